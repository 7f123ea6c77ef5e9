// An answer's text as it grows: prose, and blocks of code between lines of ```. Each piece is added at the end, so that a long
// answer costs no more the longer it gets.
import {copyFrom, el, plain} from "./dom.js";

// A new node of prose is begun at a line's end past this length: the browser lays out only the last one again.
const kLongProse = 4000;

export class TextView {
  constructor() {
    this.node = el("div.text", {dir: "auto"});
    this.line = "";      // what has come of the last line
    this.held = "";      // its part that is not shown yet, as it may become a line of ```
    this.block = null;   // the text node that grows
    this.inCode = false;
  }

  add(piece) {
    const lines = piece.split("\n");
    lines.forEach((part, i) => this.#addPart(part, i + 1 < lines.length));
  }

  // Nothing more comes: what was held back is text.
  finish() {
    if (this.held !== "" && !this.#isFence()) this.#show(this.held);
    this.held = "";
  }

  #addPart(part, ends) {
    this.line += part;
    this.held += part;
    if (ends && this.#isFence()) return this.#turn();
    if (!ends && mayBeFence(this.line)) return undefined;
    this.#show(this.held + (ends ? "\n" : ""));
    this.held = "";
    if (!ends) return undefined;
    this.line = "";
    if (!this.inCode && this.block.length > kLongProse) this.block = null;
    return undefined;
  }

  // The end of a block names no language: such a line within one is code.
  #isFence() {
    return (this.inCode ? /^ {0,3}```\s*$/ : /^ {0,3}```[\w+#.-]*\s*$/).test(this.line);
  }

  #turn() {
    const language = this.line.trim().replace(/^`+/, "");
    this.line = this.held = "";
    this.block = null;
    this.inCode = !this.inCode;
    if (this.inCode) this.#beginCode(language);
  }

  #show(text) {
    if (text === "") return;
    if (this.block === null) {
      this.block = document.createTextNode("");
      this.node.append(el("div.prose", {}, this.block));
    }
    this.block.appendData(plain(text));
  }

  #beginCode(language) {
    this.block = document.createTextNode("");
    const code = this.block;
    const copy = el("button.small", {type: "button", onclick: () => copyFrom(copy, code.data)}, "Copy code");
    this.node.append(el("div.code", {}, el("div.bar", {}, el("span", {}, language || "code"), copy),
      el("pre", {tabindex: "0", role: "region", "aria-label": `code ${language}`}, el("code", {}, code))));
  }
}

function mayBeFence(line) {
  return /^ {0,3}(`{0,2}|```[\w+#.-]*\s*)$/.test(line) && line.includes("`");
}
