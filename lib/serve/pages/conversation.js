// A column of the chat: one model and its own history.
import {emptyAnswer, historyOf, streamAnswer} from "./answer.js";
import {el} from "./dom.js";
import {AnswerView, questionView} from "./message_view.js";

// A reader who is within so many pixels of the end is taken along as the answer grows.
const kNearEnd = 60;

export class Conversation {
  // settings(): the fields of the request beside model and messages, with the system prompt as `system`; settingsValid(): whether
  // they can be sent, having said so otherwise. showTokens(): whether
  // log-probs are shown. onChange(): the history, or whether an answer is under way, has changed. onEdit(conversation, index,
  // text): a question is to be put another way.
  constructor({settings, settingsValid, showTokens, onChange, onEdit}) {
    Object.assign(this, {settings, settingsValid, showTokens, onChange, onEdit});
    this.messages = [];
    this.views = [];       // of the messages, in step with them
    this.aborting = null;  // while an answer is under way
    this.select = el("select", {"aria-label": "model of this column", onchange: () => this.onChange()});
    this.log = el("div.log", {role: "log", "aria-live": "polite", tabindex: "0", "aria-label": "conversation"});
    this.node = el("section.column", {}, el("header", {}, this.select), this.log);
    this.#showHint();
  }

  get model() { return this.select.value; }
  get busy() { return this.aborting !== null; }

  setModels(models, chosen) {
    this.select.replaceChildren(...models.map((model) => el("option", {value: model.id},
      model.parent ? `${model.id} (tuned from ${model.parent})` : model.id)));
    this.select.value = chosen;
    this.log.setAttribute("aria-label", `conversation with ${this.model}`);
  }

  // The history as it was kept.
  restore(messages) {
    this.clear();
    for (const message of messages) {
      const answer = message.role === "assistant";
      if (answer && message.finish === null) message.error ??= "The page was left before the answer ended.";
      this.#push(message);
      if (answer) this.views.at(-1).finish();
    }
    this.#markLast();
  }

  ask(text) {
    this.#push({role: "user", content: text});
    return this.#answer();
  }

  // The question at `index` is put anew, and what followed it is forgotten.
  askAgain(index, text) {
    this.stop();
    this.#cut(index);
    return this.ask(text);
  }

  stop() {
    this.aborting?.abort();
    this.aborting = null;
  }

  clear() {
    this.stop();
    this.#cut(0);
  }

  setShowTokens(shown) {
    for (const view of this.views) view.showTokens?.(shown);
  }

  #regenerate() {
    if (!this.settingsValid()) return undefined;
    this.stop();
    this.#cut(this.messages.length - 1);
    return this.#answer();
  }

  #giveResults(answer, results) {
    if (!this.settingsValid()) return undefined;
    results.forEach((content, i) => this.#push({role: "tool", callId: answer.toolCalls[i].id, content}));
    return this.#answer();
  }

  async #answer() {
    const {system, ...fields} = this.settings();
    const before = system ? [{role: "system", content: system}] : [];
    const body = {model: this.model, messages: [...before, ...historyOf(this.messages)], ...fields};
    const answer = emptyAnswer(this.model), aborting = new AbortController();
    this.aborting = aborting;
    this.#push(answer);
    const view = this.views.at(-1);
    // Said as a whole once it is there, not word by word.
    this.log.setAttribute("aria-busy", "true");
    this.onChange();
    await streamAnswer(body, answer, {
      signal: aborting.signal,
      onPiece: (piece) => this.#keepingEnd(() => view.add(piece)),
    });
    this.#keepingEnd(() => view.finish());
    if (this.aborting !== aborting && this.aborting !== null) return;  // another answer has begun
    this.aborting = null;
    this.log.removeAttribute("aria-busy");
    this.#markLast();
    this.onChange();
  }

  #push(message) {
    if (this.messages.length === 0) this.log.replaceChildren();
    this.messages.push(message);
    this.views.push(this.#viewOf(message));
    this.log.append(this.views.at(-1).node ?? this.views.at(-1));
    this.log.scrollTop = this.log.scrollHeight;
    this.#markLast();
  }

  #viewOf(message) {
    if (message.role === "assistant") {
      return new AnswerView(message, this.showTokens(), () => this.#regenerate(), (results) => this.#giveResults(message, results));
    }
    const edits = (text) => this.onEdit(this, this.messages.indexOf(message), text);
    return questionView(message, message.role === "user" ? edits : undefined);
  }

  // Forgets the messages from `index` on.
  #cut(index) {
    for (const view of this.views.splice(index)) (view.node ?? view).remove();
    this.messages.splice(index);
    if (index === 0) this.#showHint();
  }

  #markLast() {
    this.views.forEach((view, i) => view.setLast?.(!this.busy && i + 1 === this.views.length));
  }

  #keepingEnd(change) {
    const near = this.log.scrollHeight - this.log.scrollTop - this.log.clientHeight < kNearEnd;
    change();
    if (near) this.log.scrollTop = this.log.scrollHeight;
  }

  #showHint() {
    this.log.replaceChildren(el("p.hint", {},
      "Nothing has been said yet. Enter sends a question, Shift+Enter begins a new line in it."));
  }
}
