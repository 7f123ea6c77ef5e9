// The chat: one or two columns that are asked together, the settings, and the latest samples of a run.
import {ApiError, request} from "./api.js";
import {Conversation} from "./conversation.js";
import {byId, copyFrom, stored} from "./dom.js";
import {historyOf} from "./answer.js";
import {sends} from "./message_view.js";
import {rewardRange, sampleCard} from "./samples.js";
import {Settings} from "./settings.js";

const kStored = "temper.chat";
const kSamplesEvery = 10000;  // ms
const kSamples = 12;

const settings = new Settings(() => columns.forEach((column) => column.setShowTokens(settings.showTokens)));
const columns = [0, 1].map(() => new Conversation({
  settings: () => settings.fields(), settingsValid, showTokens: () => settings.showTokens, onChange: changed, onEdit: edited,
}));
let models = [];

const isDouble = () => !columns[1].node.hidden;
const shown = () => columns.filter((column) => !column.node.hidden);

// ---- asking ----------------------------------------------------------------------------------------------------------------

function ask() {
  const text = byId("question").value;
  if (text.trim() === "" || shown().some((column) => column.busy) || models.length === 0) return;
  if (!settingsValid()) return;
  byId("question").value = "";
  fitQuestion();
  for (const column of shown()) column.ask(text);
}

// A question that both columns were asked at the same place is edited in both.
function edited(column, index, text) {
  const before = column.messages[index].content;
  if (text.trim() === "" || !settingsValid()) return;
  for (const other of shown()) {
    const message = other.messages[index];
    if (other === column || (message?.role === "user" && message.content === before)) other.askAgain(index, text);
  }
}

// Says what is wrong with them where they can be seen.
function settingsValid() {
  if (settings.valid()) return true;
  showPanel(true);
  return settings.report();
}

function changed() {
  const busy = shown().some((column) => column.busy);
  byId("send").hidden = busy;
  byId("stop").hidden = !busy;
  keep();
}

// The question's field grows with its lines, up to what the style sheet allows.
function fitQuestion() {
  const field = byId("question");
  field.style.height = "auto";
  field.style.height = `${field.scrollHeight + 2}px`;
}

// ---- what lasts as long as the tab --------------------------------------------------------------------------------------------

function keep() {
  const state = {double: isDouble(), columns: columns.map(({model, messages}) => ({model, messages}))};
  try {
    sessionStorage.setItem(kStored, JSON.stringify(state));
  } catch {
    // Too long to be kept: a reload will forget it, which is no reason to stop talking.
    sessionStorage.removeItem(kStored);
  }
}

function restore() {
  const kept = stored(sessionStorage, kStored);
  columns.forEach((column, i) => {
    const usual = models[Math.min(i, models.length - 1)].id, before = kept?.columns?.[i];
    column.setModels(models, models.some((model) => model.id === before?.model) ? before.model : usual);
    column.restore(before?.messages ?? []);
  });
  setDouble(kept?.double === true);
}

// ---- the page around ----------------------------------------------------------------------------------------------------------

function setDouble(double) {
  if (!double) columns[1].stop();
  columns[1].node.hidden = !double;
  byId("columns").classList.toggle("double", double);
  byId("double").setAttribute("aria-pressed", String(double));
  changed();
}

function showPanel(open) {
  byId("panel").hidden = !open;
  byId("page").classList.toggle("with-panel", open);
  byId("toggle-panel").setAttribute("aria-expanded", String(open));
}

// A line as the trainers read it: {"messages": [...]}.
function copyConversations(event) {
  const {system} = settings.fields();
  const lines = shown().map((column) => JSON.stringify(
    {messages: [...(system ? [{role: "system", content: system}] : []), ...historyOf(column.messages)]}));
  copyFrom(event.currentTarget, lines.join("\n"));
}

function listen() {
  byId("composer").addEventListener("submit", (event) => { event.preventDefault(); ask(); });
  byId("question").addEventListener("input", fitQuestion);
  byId("question").addEventListener("keydown", (event) => {
    if (!sends(event)) return;
    event.preventDefault();
    ask();
  });
  byId("stop").addEventListener("click", () => { columns.forEach((column) => column.stop()); byId("question").focus(); });
  byId("double").addEventListener("click", () => setDouble(!isDouble()));
  byId("clear").addEventListener("click", () => { columns.forEach((column) => column.clear()); changed(); byId("question").focus(); });
  byId("copy-all").addEventListener("click", copyConversations);
  byId("toggle-panel").addEventListener("click", () => showPanel(byId("panel").hidden));
}

async function loadModels() {
  try {
    models = (await (await request("v1/models")).json()).data;
    if (models.length === 0) throw new ApiError("The server has no model.", 0);
    byId("trouble").hidden = true;
  } catch (error) {
    byId("trouble-text").textContent = error.message;
    byId("trouble").hidden = false;
  }
}

// ---- the run that is there, perhaps ---------------------------------------------------------------------------------------------

async function showRun() {
  try {
    const state = await (await request("run/state")).json();
    const {samples} = await (await request(`run/samples?last=${kSamples}`)).json();
    showSamples(state, samples);
  } catch (error) {
    if (!(error instanceof ApiError)) throw error;
    if (error.status === 404 || error.status === 401) return;  // there is none, or it is not for us
  }
  setTimeout(showRun, kSamplesEvery);
}

let samplesSeen = "";

function showSamples(state, samples) {
  byId("run").hidden = byId("to-live").hidden = false;
  byId("run-name").textContent = state.name;
  const seen = JSON.stringify(samples);
  if (seen === samplesSeen) return;  // whoever reads or selects in them is left alone
  samplesSeen = seen;
  const [low, high] = rewardRange(samples);
  byId("no-samples").hidden = samples.length > 0;
  byId("samples").replaceChildren(...samples.toReversed().map((row) => sampleCard(row, low, high)));
}

async function start() {
  byId("columns").append(...columns.map((column) => column.node));
  columns[1].node.hidden = true;
  showPanel(window.matchMedia("(min-width: 60rem)").matches);
  listen();
  byId("trouble-again").addEventListener("click", () => location.reload());
  await loadModels();
  if (models.length === 0) return;
  restore();
  byId("question").focus();
  showRun();
}

start();
