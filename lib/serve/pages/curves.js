// Which numbers of metrics.jsonl share a chart, what it is called, and in which order they come: as in report.html
// (lib/report/curves.cc). What is not known here gets a chart of its own.
import {el} from "./dom.js";
import {Chart} from "./chart.js";

const kMaxSeries = 6;  // as many as there are colours
const kBookkeeping = new Set(["step", "split", "time", "nonfinite", "low", "high", "n"]);

const kKnown = [
  {title: "Loss", keys: ["loss"],
    help: "What the optimizer minimises. In reinforcement learning it stays near 0 and says little."},
  {title: "KL to the reference", keys: ["kl"], unit: "nats per token",
    help: "How far the policy has moved from where it started."},
  {title: "Entropy", keys: ["entropy"], unit: "nats per token",
    help: "How undecided the policy is; near 0 it no longer explores."},
  {title: "Answer length", keys: ["length"], unit: "tokens", help: "Mean over the sampled answers."},
  {title: "Cut off", keys: ["truncated"], unit: "share of answers", share: true,
    help: "Answers that hit the token limit before they ended."},
  {title: "Groups with a signal", keys: ["groups_kept"], unit: "share of groups", share: true,
    help: "Groups whose answers did not all get the same reward."},
  {title: "Reward spread", keys: ["reward_std"], help: "Standard deviation of the reward over the step's answers."},
  {title: "Clipped", keys: ["clip_low", "clip_high"], unit: "share of tokens",
    help: "Tokens whose ratio the clip held back, on each side."},
  {title: "Ratio", keys: ["ratio"], help: "Mean of the new policy's probability over the old one's."},
  {title: "Advantage", keys: ["advantage_abs"], help: "Mean size of the advantages."},
  {title: "Change of the policy", keys: ["approx_kl"], unit: "nats per token",
    help: "From the policy that sampled to the one being trained."},
  {title: "Rollout gap", keys: ["rollout_gap"], unit: "nats per token",
    help: "How much sampling and training disagree about the same tokens."},
  {title: "Gradient norm", keys: ["grad_norm"], help: "Before clipping.", log: true},
  {title: "Learning rate", keys: ["lr"], exact: true},
  {title: "Busiest expert", keys: ["router_load"], unit: "times the mean",
    help: "Of a mixture's experts: 1 when all are equally busy. No token is ever dropped."},
  {title: "Routers of decoding and training", keys: ["router_agreement"], unit: "share of choices", share: true,
    help: "Experts that decoding chose and the update's pass chooses, too."},
  {title: "Router entropy", keys: ["router_entropy"], unit: "nats", help: "Of the experts' probabilities, a token and layer."},
  {title: "Skipped updates", keys: ["skipped"], unit: "per step",
    help: "Unhealthy ones: not a number, or far outside the running band."},
  {title: "Answers without a reward", keys: ["null_rewards"], unit: "share of answers",
    help: "The reward could not tell; left out of the means."},
  {title: "Tokens trained on", keys: ["tokens"], unit: "so far", exact: true},
  {title: "Speed", keys: ["tokens_per_s"], unit: "tokens per second"},
  {title: "Time", keys: ["rollout_s", "scoring_s", "train_s", "optimizer_s"], unit: "seconds per step",
    help: "Scoring's is the part of the rollout's that waited for scores after decoding; the optimizer's is part of training's."},
  {title: "Memory", keys: ["memory_gb"], unit: "GB", exact: true, help: "Highest resident size so far."},
];

// All numbers of a run by split and name, in arrays that grow.
export class Numbers {
  constructor() {
    this.all = {train: new Map(), eval: new Map()};
    this.first = Infinity;
    this.last = 0;
    this.seconds = 0;  // of all steps and evaluations
  }

  add(row) {
    const series = this.all[row.split] ??= new Map();
    this.#cutBack("eval", row.step);
    this.#cutBack("train", row.split === "eval" ? row.step + 1 : row.step);
    this.first = Math.min(this.first, row.step);
    this.last = row.step;
    this.seconds += row.time?.seconds ?? 0;
    for (const [key, value] of [...Object.entries(row), ...Object.entries(row.time ?? {})]) {
      if (kBookkeeping.has(key) || key.startsWith("phase/") || (value !== null && typeof value !== "number")) continue;
      if (!series.has(key)) series.set(key, {x: [], y: [], low: [], high: []});
      const one = series.get(key);
      one.x.push(row.step);
      one.y.push(value ?? NaN);
      one.low.push(row.low ?? NaN);
      one.high.push(row.high ?? NaN);
    }
  }

  // A run that goes on from an older checkpoint writes steps a second time: the later rows count. Of one step the evaluation comes
  // behind the training.
  #cutBack(split, step) {
    for (const one of this.all[split].values()) {
      while (one.x.at(-1) >= step) for (const values of Object.values(one)) values.pop();
    }
  }

  get(split, key) { return this.all[split].get(key); }
  keys(split) { return [...this.all[split].keys()]; }
  latest(split, key) { return this.get(split, key)?.y.at(-1); }

  // The number that the task is about; "" where there is none yet.
  mainKey(split) {
    return ["accuracy", "reward", "loss"].find((key) => this.all[split].has(key)) ?? this.keys(split)[0] ?? "";
  }
}

// The section of the charts. It makes a chart when the first number for it comes.
export class Curves {
  constructor(node, numbers) {
    Object.assign(this, {node, numbers});
    this.charts = new Map();  // by about.id or title
    this.calm = 1;
    this.width = 0;  // as it was drawn for
    new ResizeObserver(() => { if (node.clientWidth !== this.width) this.draw(); }).observe(node);
  }

  draw() {
    const shown = chartsOf(this.numbers);
    this.width = this.node.clientWidth;
    this.#keepOnly(new Set(shown.map(({about}) => idOf(about))));
    const charts = shown.map(({about}, place) => this.charts.get(idOf(about)) ?? this.#insert(about, place));
    // All are measured before any is drawn: a measure after a change makes the browser lay out the page.
    const widths = charts.map((chart) => chart.svg.clientWidth), {first, last} = this.numbers;
    shown.forEach(({about, series}, i) => charts[i].draw(about, series, [first, last], this.calm, widths[i]));
    if (shown.length === 0) this.node.replaceChildren(el("p.soft", {}, "No step has been finished yet."));
  }

  #keepOnly(ids) {
    for (const [id, chart] of this.charts) {
      if (ids.has(id)) continue;
      chart.node.remove();
      this.charts.delete(id);
    }
  }

  #insert(about, place) {
    if (this.charts.size === 0) this.node.replaceChildren();
    const chart = new Chart(about.wide);
    this.charts.set(idOf(about), chart);
    this.node.insertBefore(chart.node, this.node.children[place] ?? null);
    return chart;
  }
}

function idOf(about) {
  return about.id ?? about.title;
}

function chartsOf(numbers) {
  const trainKey = numbers.mainKey("train"), main = mainChart(numbers, trainKey), placed = new Set(["seconds", ...main.trainKeys]);
  const out = [main];
  for (const curve of curvesOf(numbers, placed, main.evalKey)) {
    out.push({about: curve, series: seriesOf(numbers, curve, main.evalKey, placed)});
  }
  return out.filter(({series}) => series.some((one) => one.y.some(Number.isFinite)));
}

// What the task is about, on a whole row: the evaluations with their intervals and, where it is on the same scale, training.
function mainChart(numbers, trainKey) {
  const evalKey = numbers.mainKey("eval");
  const sameScale = trainKey === evalKey || evalKey === "" || (trainKey === "reward" && evalKey === "accuracy");
  const key = sameScale ? trainKey : evalKey, train = sameScale ? numbers.get("train", trainKey) : undefined;
  const series = [];
  if (train) series.push({...train, low: [], high: [], name: `training ${trainKey}`, colour: 0, smooth: true});
  if (evalKey !== "") series.push(heldOut(numbers, evalKey));
  const intervals = series.some((one) => one.points && one.low.length > 0);
  return {
    evalKey, trainKeys: train ? [trainKey] : [], series,
    // One id all along: it stays the same chart when the first evaluation comes.
    about: {id: "main", title: capital(key), wide: true, share: key === "accuracy",
      help: intervals ? "Held-out evaluations have their 95% intervals." : ""},
  };
}

function capital(text) {
  return text.charAt(0).toUpperCase() + text.slice(1);
}

function heldOut(numbers, key, colour = 1) {
  const one = numbers.get("eval", key), band = one.low.some(Number.isFinite);
  return {...one, low: band ? one.low : [], high: band ? one.high : [], name: `held-out ${key}`, colour, points: true};
}

function curvesOf(numbers, placed, evalKey) {
  const known = new Set(kKnown.flatMap((curve) => curve.keys)), train = numbers.keys("train");
  const rewards = {title: "Rewards by part", keys: train.filter((key) => key.startsWith("reward/")), help: "Unweighted means."};
  const heldOutKeys = numbers.keys("eval").filter((key) => key !== evalKey && key !== "seconds");
  const losses = {title: "Held-out losses", keys: heldOutKeys.filter((key) => key.startsWith("loss/")),
    unit: "nats per token", ofEval: true};
  const heldOutRewards = {title: "Held-out rewards by part", keys: heldOutKeys.filter((key) => key.startsWith("reward/")),
    help: "Unweighted means.", ofEval: true};
  const rest = train.filter((key) => !known.has(key) && !placed.has(key) && !key.startsWith("reward/"));
  // What is measured in training as well has its marks on that curve.
  const evalOnly = heldOutKeys.filter((key) => (!numbers.get("train", key) || placed.has(key)) && !/^(loss|reward)\//.test(key));
  return [losses, rewards, heldOutRewards, ...kKnown, ...rest.map((key) => ({title: key, keys: [key]})),
    ...evalOnly.map((key) => ({title: `Held-out ${key}`, keys: [key], ofEval: true}))];
}

function seriesOf(numbers, curve, evalKey, placed) {
  const split = curve.ofEval ? "eval" : "train";
  const keys = curve.keys.filter((key) => numbers.get(split, key) && (curve.ofEval || !placed.has(key))).slice(0, kMaxSeries);
  const out = keys.map((key, colour) => ({
    ...numbers.get(split, key), low: [], high: [], name: key.replace(/^(reward|loss)\//, ""), colour,
    smooth: !curve.exact && !curve.ofEval, points: curve.ofEval === true,
  }));
  const [key] = curve.keys;
  if (curve.keys.length === 1 && !curve.ofEval && key !== evalKey && numbers.get("eval", key)) {
    out.push({...heldOut(numbers, key), low: [], high: []});
  }
  return out;
}
