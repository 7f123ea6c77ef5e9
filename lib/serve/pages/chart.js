// A line chart that is drawn anew as its series grow; pointer and arrow keys tell values. A series is {name, key, x, y, low, high,
// colour, smooth, points}: x ascending; low and high are empty or a band.
import {el, svg} from "./dom.js";
import {formatCount, formatShare, formatValue, short} from "./format.js";
import {logTicks, nearest, niceTicks, smoothed, thinned} from "./series.js";

const kLeft = 46, kRight = 12, kTop = 8, kBottom = 34;
const kMaxPoints = 900;
const kMaxMarks = 60;  // more of them are one smear

export class Chart {
  constructor(wide) {
    this.logWanted = null;  // null: as the values are
    this.at = null;         // the step whose values are told
    this.title = el("b");
    this.unit = el("span.unit");
    this.legend = el("span.legend", {"aria-live": "off"});
    this.help = el("p");
    this.logButton = el("button.small", {
      type: "button", "aria-pressed": "false", title: "logarithmic scale", onclick: () => this.#toggleLog(),
    }, "log");
    this.svg = svg("svg", {
      role: "img", tabindex: "0",
      onpointermove: (event) => this.#point(event), onpointerdown: (event) => this.#point(event),
      onpointerleave: () => this.#tell(null), onblur: () => this.#tell(null), onkeydown: (event) => this.#key(event),
    });
    this.node = el(`figure.chart${wide ? ".wide" : ""}`, {},
      el("figcaption", {}, this.title, this.unit, this.logButton, this.legend), this.svg, this.help);
  }

  // about: {title, unit, help, share, log, wide}; xs: [first, last] of all charts; calm: the smoothing's strength, 1: as in
  // report.html; width: of the place for the drawing, in pixels.
  draw(about, series, xs, calm, width) {
    Object.assign(this, {about, series, xs, calm, width});
    const log = this.#isLog();
    this.title.textContent = about.title;
    this.help.textContent = about.help ?? "";
    this.unit.textContent = [about.unit, log ? "log scale" : ""].filter(Boolean).join(", ");
    this.logButton.hidden = about.share === true;
    this.logButton.setAttribute("aria-pressed", String(log));
    this.frame = frameOf(series, xs, {log, share: about.share, width});
    this.cursor = svg("g.cursor");
    this.svg.setAttribute("viewBox", `0 0 ${this.frame.width} ${this.frame.height}`);
    this.svg.replaceChildren(...axes(this.frame, about.share), ...series.map((one) => line(this.frame, one, calm)), this.cursor);
    this.svg.setAttribute("aria-label",
      `${about.title}. ${series.map((one) => this.#spoken(one)).join(". ")}. Arrow keys tell values.`);
    this.#tell(this.at);
  }

  #isLog() {
    return !this.about.share && (this.logWanted ?? (this.about.log && spansDecades(this.series)));
  }

  #toggleLog() {
    this.logWanted = !this.#isLog();
    this.draw(this.about, this.series, this.xs, this.calm, this.width);
  }

  #format(value) {
    return this.about.share ? formatShare(value) : formatValue(value);
  }

  #point(event) {
    const box = this.svg.getBoundingClientRect(), {width} = this.frame;
    const share = (((event.clientX - box.left) / box.width) * width - kLeft) / (width - kLeft - kRight);
    this.#tell(this.xs[0] + Math.max(0, Math.min(1, share)) * (this.xs[1] - this.xs[0]));
  }

  #key(event) {
    const step = {ArrowLeft: -1, ArrowRight: 1}[event.key], {x} = this.series[0];
    if (!step) return;
    event.preventDefault();
    const index = nearest(x, this.at ?? this.xs[1]);
    this.legend.setAttribute("aria-live", "polite");
    this.#tell(x[Math.max(0, Math.min(x.length - 1, index + (this.at === null ? 0 : step)))]);
  }

  // The legend has the values at the nearest step, or the last ones. It says no more than before, so that the chart stays where it
  // is under the pointer.
  #tell(at) {
    const {frame} = this;
    if (!frame) return;
    if (at === null) this.legend.setAttribute("aria-live", "off");
    this.at = at === null ? null : this.series[0].x[nearest(this.series[0].x, at)];
    this.legend.replaceChildren(...this.series.map((one) => this.#legendOf(one)));
    this.cursor.replaceChildren();
    if (this.at === null) return;
    const x = frame.x(this.at), left = x < frame.width / 2;
    this.cursor.append(svg("path.rule", {d: `M${x} ${kTop}V${frame.height - kBottom}`}),
      svg(`text.tick.at${left ? "" : ".end"}`, {x: left ? x + 5 : x - 5, y: kTop + 8}, `step ${formatCount(this.at)}`),
      ...this.series.map((one) => this.#dot(one)).filter((dot) => dot !== null));
  }

  #indexAt(one) {
    return this.at === null ? one.y.findLastIndex((y) => drawable(y, this.frame.log)) : nearest(one.x, this.at);
  }

  #legendOf(one) {
    return el(`span.s${one.colour}`, {}, ...(this.series.length > 1 ? [el("i"), one.name, " "] : []),
      el("output", {}, this.#format(one.y[this.#indexAt(one)])));
  }

  #dot(one) {
    const i = this.#indexAt(one);
    if (!drawable(one.y[i], this.frame.log)) return null;
    return svg(`circle.s${one.colour}`, {cx: this.frame.x(one.x[i]), cy: this.frame.y(one.y[i]), r: 4});
  }

  // For those who cannot see the curve.
  #spoken(one) {
    const known = one.y.filter(Number.isFinite);
    if (known.length === 0) return one.name;
    const low = known.reduce((a, b) => Math.min(a, b)), high = known.reduce((a, b) => Math.max(a, b));
    return `${one.name}, last ${this.#format(known.at(-1))}, lowest ${this.#format(low)}, highest ${this.#format(high)}`;
  }
}

function drawable(y, log) {
  return Number.isFinite(y) && Math.abs(y) < 1e300 && (!log || y > 0);
}

function spansDecades(series) {
  let low = Infinity, high = 0;
  for (const y of series.flatMap((one) => one.y)) {
    if (!Number.isFinite(y) || y === 0) continue;
    low = Math.min(low, y);
    high = Math.max(high, y);
  }
  return low > 0 && high > 100 * low;
}

// Where things stand on the paper, which is as wide as its place on the page, so that texts have their size.
function frameOf(series, [xLow, xHigh], {log, share, width}) {
  const height = width > 600 ? 260 : 190;
  let low = Infinity, high = -Infinity;
  for (const one of series) {
    for (const values of [one.y, one.low, one.high]) {
      for (const y of values) if (drawable(y, log)) { low = Math.min(low, y); high = Math.max(high, y); }
    }
  }
  if (low > high) [low, high] = log ? [0.1, 1] : [0, 1];
  if (share) [low, high] = [0, 1];
  const ticks = log ? logTicks(low, high) : niceTicks(low, high, 4), scale = log ? Math.log10 : (value) => value;
  const bottom = scale(ticks[0]), span = scale(ticks.at(-1)) - bottom;
  return {
    width, height, ticks, log, xLow, xHigh,
    x: (value) => kLeft + (xHigh > xLow ? (value - xLow) / (xHigh - xLow) : 0.5) * (width - kLeft - kRight),
    y: (value) => height - kBottom - ((scale(value) - bottom) / span) * (height - kTop - kBottom),
  };
}

function tickLabel(value, share) {
  if (share) return `${short(100 * value, 6)}%`;
  const size = Math.abs(value);
  if (size >= 1e15) return short(value, 3);
  for (const [unit, letter] of [[1e9, "G"], [1e6, "M"], [1e3, "k"]]) {
    if (size >= Math.max(unit, 1e4)) return short(value / unit, 6) + letter;
  }
  return short(value, 6);
}

function axes(frame, share) {
  const out = [], {width, height} = frame;
  for (const tick of frame.ticks) {
    const y = frame.y(tick);
    out.push(svg("path.grid", {d: `M${kLeft} ${y}H${width - kRight}`}),
      svg("text.tick.end", {x: kLeft - 6, y: y + 4}, tickLabel(tick, share)));
  }
  for (const tick of niceTicks(frame.xLow, frame.xHigh, width > 600 ? 10 : 4)) {
    if (tick < frame.xLow || tick > frame.xHigh || !Number.isInteger(tick)) continue;
    out.push(svg("text.tick.mid", {x: frame.x(tick), y: height - kBottom + 16}, tickLabel(tick, false)));
  }
  out.push(svg("text.tick.mid", {x: (kLeft + width - kRight) / 2, y: height - 3}, "step"));
  return out;
}

function line(frame, one, calm) {
  const which = thinned(one.y, kMaxPoints), group = svg(`g.s${one.colour}`);
  const over = one.smooth && calm > 0 && one.y.length >= 10;
  const marks = which.length <= kMaxMarks && (one.points || one.y.length === 1);
  if (one.low.length > 0 && marks) group.append(...whiskers(frame, one, which));
  else if (one.low.length > 0) group.append(svg("path.band", {d: bandOf(frame, one, which)}));
  group.append(svg(over ? "path.raw" : "path.line", {d: pathOf(frame, one.x, one.y, which)}));
  if (over) group.append(svg("path.line", {d: pathOf(frame, one.x, calmed(one.y, frame.log, calm), which)}));
  for (const i of marks ? which : []) {
    if (drawable(one.y[i], frame.log)) group.append(svg("circle", {cx: frame.x(one.x[i]), cy: frame.y(one.y[i]), r: 3.5}));
  }
  return group;
}

// Intervals, while there is room for each, and the area that they cover.
function whiskers(frame, one, which) {
  return which.filter((i) => hasInterval(frame, one, i)).map((i) =>
    svg("path.whisker", {d: `M${frame.x(one.x[i])} ${frame.y(one.low[i])}V${frame.y(one.high[i])}`}));
}

function bandOf(frame, one, which) {
  const there = which.filter((i) => hasInterval(frame, one, i));
  const at = (i, y) => `${frame.x(one.x[i]).toFixed(1)} ${frame.y(y[i]).toFixed(1)}`;
  const along = [...there.map((i) => at(i, one.high)), ...there.toReversed().map((i) => at(i, one.low))];
  return along.length > 0 ? `M${along.join("L")}Z` : "";
}

function hasInterval(frame, one, i) {
  return drawable(one.low[i], frame.log) && drawable(one.high[i], frame.log);
}

// Smoothed on the scale that it is drawn on, and more where there are more points.
function calmed(y, log, calm) {
  const scaled = y.map((value) => (drawable(value, log) ? (log ? Math.log(value) : value) : NaN));
  const out = smoothed(scaled, 0.4 * calm * Math.sqrt(y.length));
  return log ? out.map(Math.exp) : out;
}

// Broken at gaps; a point between two gaps becomes a dot.
function pathOf(frame, x, y, which) {
  let d = "", down = false;
  for (const i of which) {
    const there = drawable(y[i], frame.log);
    if (there) d += `${down ? "L" : "M"}${frame.x(x[i]).toFixed(1)} ${frame.y(y[i]).toFixed(1)}${down ? "" : "h.01"}`;
    down = there;
  }
  return d;
}
