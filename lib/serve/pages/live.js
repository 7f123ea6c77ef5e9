// A run as it trains.
import {ApiError, request} from "./api.js";
import {Curves, Numbers} from "./curves.js";
import {byId, el} from "./dom.js";
import {formatCount, formatDuration, formatShare, formatValue} from "./format.js";
import {key} from "./key.js";
import {followRun} from "./run_stream.js";
import {rewardRange, sampleCard} from "./samples.js";

const kDrawEvery = 500;    // ms, at most
const kRest = 4;           // times what drawing took
const kSamples = 12;       // newest, on the page
const kRecentSteps = 20;   // whose time tells the time that is left

const numbers = new Numbers();
const curves = new Curves(byId("charts"), numbers);
let state = null, samples = [];

// ---- what comes ---------------------------------------------------------------------------------------------------------------

const events = {
  state: (row) => { state = row; drawSoon(); },
  metrics: (row) => { numbers.add(row); drawSoon(); },
  samples: (row) => { samples = [row, ...samples].slice(0, kSamples); samplesChanged = true; drawSoon(); },
  // The files were cut back and come anew. The numbers need no word of it: rows of earlier steps take the later ones' place.
  reset: () => { samples = []; samplesChanged = true; drawSoon(); },
};

function showConnection(trouble) {
  byId("connection").textContent = trouble;
  byId("connection").hidden = trouble === "";
  if (state === null && trouble !== "") byId("waiting").hidden = true;
}

// ---- drawing --------------------------------------------------------------------------------------------------------------------

let drawing = false, samplesChanged = false, tookToDraw = 0;

// However fast rows come, the page is drawn twice a second; less often where drawing takes its time.
function drawSoon() {
  if (drawing) return;
  drawing = true;
  setTimeout(() => {
    const begun = performance.now();
    drawing = false;
    draw();
    tookToDraw = performance.now() - begun;
  }, numbers.last === 0 ? 0 : Math.max(kDrawEvery, kRest * tookToDraw));
}

function draw() {
  if (state === null) return;
  byId("waiting").hidden = true;
  byId("run").hidden = false;
  drawHeader();
  drawTiles();
  curves.draw();
  drawSamples();
}

function drawHeader() {
  const step = numbers.last || (state.step ?? 0);
  byId("over").textContent = ["Temper", state.task, state.algorithm].filter(Boolean).join(" · ");
  byId("name").textContent = state.name;
  byId("state").textContent = state.state;
  byId("state").className = `pill ${state.state}`;
  byId("note").textContent = state.note ?? "";
  byId("note").hidden = !state.note;
  byId("progress").max = state.steps ?? 1;
  byId("progress").value = state.steps ? step : 0;
  byId("progress").hidden = !state.steps;
  byId("facts").replaceChildren(...factsOf(step).map(([name, text]) => el("div", {}, el("dt", {}, name), el("dd", {}, text))));
  byId("ask-stop").hidden = !(state.state === "training" && state.can_stop);
  byId("to-report").hidden = !state.report;
  document.title = `${state.steps ? `${step}/${state.steps} ` : ""}${state.name} – Temper`;
}

function factsOf(step) {
  const left = state.state === "training" ? state.left_s ?? reckonedLeft(step) : null;
  const [tokens, speed, memory] = ["tokens", "tokens_per_s", "memory_gb"].map((key) => numbers.latest("train", key));
  return [
    ["Step", `${formatCount(step)}${state.steps ? ` of ${formatCount(state.steps)}` : ""}`],
    ["Time left", Number.isFinite(left) ? formatDuration(left) : null],
    ["Time so far", numbers.seconds > 0 ? formatDuration(numbers.seconds) : null],
    ["Speed", Number.isFinite(speed) ? `${formatValue(speed)} tokens/s` : null],
    ["Tokens", Number.isFinite(tokens) ? formatCount(tokens) : null],
    ["Peak memory", Number.isFinite(memory) ? `${formatValue(memory)} GB` : null],
  ].filter(([, text]) => text !== null);
}

// By the last steps' time; evaluations between them are not known ahead.
function reckonedLeft(step) {
  const recent = numbers.get("train", "seconds")?.y.slice(-kRecentSteps).filter(Number.isFinite) ?? [];
  if (!state.steps || recent.length === 0) return null;
  return ((state.steps - step) * recent.reduce((a, b) => a + b)) / recent.length;
}

function drawTiles() {
  const evalKey = numbers.mainKey("eval"), trainKey = numbers.mainKey("train");
  const tiles = [];
  if (evalKey !== "") tiles.push(heldOutTile(evalKey, numbers.get("eval", evalKey)));
  if (trainKey !== "") tiles.push(trainingTile(trainKey, numbers.get("train", trainKey)));
  byId("tiles").replaceChildren(...tiles);
}

// The mean of the first and of the last tenth of some values, between 1 and 10 of them: single steps say little.
function endsOf(values) {
  const known = values.filter(Number.isFinite), count = Math.max(1, Math.min(10, Math.floor(known.length / 10)));
  const mean = (some) => some.reduce((a, b) => a + b, 0) / some.length;
  return [mean(known.slice(0, count)), mean(known.slice(-count))];
}

function trainingTile(name, {y}) {
  return y.length < 2 ? tile(`Training ${name}`, name, y, "of the first step")
    : tile(`Training ${name}`, name, endsOf(y), "means over the first and the last steps");
}

function heldOutTile(name, {x, y}) {
  const steps = y.length > 1 ? `step ${formatCount(x[0])} → step ${formatCount(x.at(-1))}` : `step ${formatCount(x[0])}`;
  return tile(`Held-out ${name}`, name, y, steps);
}

function tile(title, name, y, note) {
  const show = (value) => (name === "accuracy" ? formatShare(value) : formatValue(value));
  const was = y.length > 1 ? el("span.was", {}, `${show(y[0])} → `) : null;
  return el("div.tile", {}, el("h3", {}, title), el("div.now", {}, was, show(y.at(-1))), el("p", {}, note));
}

function drawSamples() {
  if (!samplesChanged || byId("hold").checked) return;
  samplesChanged = false;
  const [low, high] = rewardRange(samples);
  byId("samples-part").hidden = samples.length === 0;
  byId("samples").replaceChildren(...samples.map((row) => sampleCard(row, low, high)));
}

// ---- what can be done -----------------------------------------------------------------------------------------------------------

async function stopRun() {
  try {
    events.state(await (await request("run/stop", {body: {}})).json());
    byId("trouble").hidden = true;
  } catch (error) {
    if (!(error instanceof ApiError)) throw error;
    byId("trouble").textContent = error.message;
    byId("trouble").hidden = false;
  }
}

// A link sends no key: with one, the report is fetched and shown from memory. The tab is opened at once, as browsers allow that
// to a click alone.
async function openReport(event) {
  if (key() === "") return;
  event.preventDefault();
  const tab = window.open("", "_blank");
  try {
    const report = await (await request("run/report")).blob();
    tab.location = URL.createObjectURL(report);
  } catch (error) {
    tab.close();
    if (!(error instanceof ApiError)) throw error;
    byId("trouble").textContent = error.message;
    byId("trouble").hidden = false;
  }
}

function listen() {
  byId("ask-stop").addEventListener("click", () => byId("stop-dialog").showModal());
  byId("stop-dialog").addEventListener("close", () => {
    if (byId("stop-dialog").returnValue === "stop") stopRun();
    byId("stop-dialog").returnValue = "";
  });
  byId("to-report").addEventListener("click", openReport);
  byId("hold").addEventListener("change", draw);
  byId("calm").addEventListener("input", () => {
    curves.calm = Number(byId("calm").value);
    curves.draw();
  });
}

// The state of the start, as the stream may have much to tell before its own. What is wrong is the stream's to say.
async function showState() {
  try {
    events.state(await (await request("run/state")).json());
  } catch (error) {
    if (!(error instanceof ApiError)) throw error;
  }
}

// Where only a run is watched, there is no model to chat with.
async function showWayToChat() {
  try {
    await request("v1/models");
    byId("to-chat").hidden = false;
  } catch (error) {
    if (!(error instanceof ApiError)) throw error;
  }
}

listen();
showState();
showWayToChat();
followRun(events, showConnection);
