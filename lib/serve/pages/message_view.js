// One message of a conversation: what was said, what can be done with it, and how an answer came about.
import {copyFrom, el, plain} from "./dom.js";
import {figuresOf} from "./answer.js";
import {TextView} from "./text_view.js";
import {TokensView} from "./tokens_view.js";

// A question, or a tool's result. onEdit(text): undefined for what cannot be edited.
export function questionView(message, onEdit) {
  const body = el("div.body", {}, el("div.text", {dir: "auto"}, el("div.prose", {}, plain(message.content))));
  const actions = el("div.actions", {}, copyButton(() => message.content));
  const node = el("article.message.question", {"aria-label": message.role === "tool" ? "result of a tool" : "you"},
    el("b.who", {}, message.role === "tool" ? "Tool" : "You"), body, actions);
  if (onEdit) {
    actions.append(el("button.small", {type: "button", onclick: () => showEditor(node, body, message, onEdit)}, "Edit"));
  }
  return node;
}

function showEditor(node, body, message, onEdit) {
  if (node.querySelector("form")) return;
  const field = el("textarea", {"aria-label": "edit the question", rows: "3", dir: "auto"});
  field.value = message.content;
  const close = () => { form.remove(); body.hidden = false; };
  const form = el("form.editor", {
    onsubmit: (event) => { event.preventDefault(); onEdit(field.value); },
    onkeydown: (event) => {
      if (event.key === "Escape") close();
      if (sends(event)) { event.preventDefault(); form.requestSubmit(); }
    },
  }, field, el("div.actions", {}, el("button.small", {type: "submit"}, "Send again"),
    el("button.small", {type: "button", onclick: close}, "Cancel")));
  body.hidden = true;
  body.after(form);
  field.focus();
}

// Enter sends; with shift, or while an input method composes a character, it does not.
export function sends(event) {
  return event.key === "Enter" && !event.shiftKey && !event.isComposing;
}

function copyButton(text) {
  return el("button.small", {type: "button", onclick: (event) => copyFrom(event.currentTarget, text())}, "Copy");
}

// An answer, which grows. onAgain(): asks anew; onResults([text of each call]): hands back what the tools said.
export class AnswerView {
  constructor(answer, showTokens, onAgain, onResults) {
    this.answer = answer;
    this.onResults = onResults;
    this.text = new TextView();
    this.tokens = new TokensView();
    this.reasoning = document.createTextNode("");
    this.thoughts = el("details.thoughts", {hidden: true}, el("summary", {}, "Thoughts"),
      el("pre", {tabindex: "0", role: "region", "aria-label": "thoughts"}, this.reasoning));
    this.calls = el("div.calls");
    this.figures = el("span.figures");
    this.error = el("p.notice", {role: "alert", hidden: true});
    this.again = el("button.small", {type: "button", onclick: onAgain, hidden: true}, "Regenerate");
    this.body = el("div.body.waiting", {}, this.thoughts, this.text.node, this.tokens.node, this.calls);
    this.node = el("article.message.answer", {"aria-label": `answer of ${answer.model}`}, el("b.who", {}, answer.model), this.body,
      this.error, el("div.actions", {}, copyButton(() => answer.content), this.again, this.figures));
    this.showTokens(showTokens);
    this.add(answer.content);
  }

  add(piece) {
    this.text.add(piece);
    this.tokens.update(this.answer.tokens);
    this.reasoning.appendData(plain(this.answer.reasoning.slice(this.reasoning.length)));
    this.thoughts.hidden = this.reasoning.length === 0;
    if (this.answer.pieces > 0) this.body.classList.remove("waiting");
    this.showTokens(this.wanted);
  }

  // The tokens stand in the text's place where they are wanted and came.
  showTokens(wanted) {
    this.wanted = wanted;
    const shown = wanted && this.answer.tokens.length > 0;
    this.text.node.hidden = shown;
    this.tokens.node.hidden = !shown;
  }

  finish() {
    this.body.classList.remove("waiting");
    this.text.finish();
    this.figures.textContent = figuresOf(this.answer);
    this.error.textContent = this.answer.error ?? "";
    this.error.hidden = !this.answer.error;
    this.body.hidden = Boolean(this.answer.error) && this.answer.pieces === 0;
    this.again.textContent = this.answer.error ? "Try again" : "Regenerate";
    if (this.answer.toolCalls.length > 0) this.calls.replaceChildren(...this.#callForm());
    if (!this.answer.error && this.answer.content === "" && this.answer.toolCalls.length === 0) {
      this.text.node.append(el("p.soft", {}, "(an empty answer)"));
    }
  }

  // Only the last answer can be asked for again, and only its calls can be answered.
  setLast(last) {
    this.again.hidden = !last;
    const form = this.calls.querySelector("form");
    if (form) form.hidden = !last;
  }

  // Calls are shown and not carried out: their results are the user's to give.
  #callForm() {
    const fields = this.answer.toolCalls.map((call, i) => el("textarea", {
      rows: "2", "aria-label": `result of ${call.name}, call ${i + 1}`, placeholder: `What ${call.name} gives back`, required: true,
    }));
    const form = el("form.results", {
      onsubmit: (event) => { event.preventDefault(); this.onResults(fields.map((field) => field.value)); },
    }, ...fields, el("button.small", {type: "submit"}, fields.length > 1 ? "Send the results" : "Send the result"));
    return [...this.answer.toolCalls.map(callView), form];
  }
}

function callView(call) {
  return el("div.call", {}, el("div.bar", {}, el("span", {}, "calls ", el("code", {}, call.name))),
    el("pre", {tabindex: "0", role: "region", "aria-label": `arguments of ${call.name}`}, plain(indented(call.arguments))));
}

function indented(json) {
  try {
    return JSON.stringify(JSON.parse(json), null, 2);
  } catch {
    return json;  // as the model wrote it
  }
}
