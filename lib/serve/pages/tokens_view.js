// An answer's tokens, each shaded by how unlikely the model found it, with the likeliest tokens in its place as a tip: under the
// pointer, or by the arrow keys.
import {el} from "./dom.js";
import {formatShare} from "./format.js";

export class TokensView {
  constructor() {
    this.tokens = [];
    this.at = -1;  // whose tip is shown
    this.tip = el("div.tip", {role: "tooltip", hidden: true});
    this.line = el("div.tokens", {
      tabindex: "0", role: "group", dir: "auto",
      "aria-label": "tokens by probability; arrow keys go from token to token",
      onpointerover: (event) => this.#showAt([...this.line.children].indexOf(event.target.closest(".token"))),
      onpointerleave: () => this.#showAt(-1),
      onblur: () => this.#showAt(-1),
      onkeydown: (event) => this.#key(event),
    });
    this.spoken = el("div.unseen", {"aria-live": "polite"});
    this.node = el("div.tokens-view", {}, this.line, this.tip, this.spoken);
  }

  // Those that came since the last call.
  update(tokens) {
    for (const token of tokens.slice(this.tokens.length)) {
      const span = el("span.token", {}, visible(token.token));
      span.style.setProperty("--doubt", `${Math.round(80 * (1 - Math.exp(token.logprob)))}%`);
      this.tokens.push(token);
      this.line.append(span);
    }
  }

  #key(event) {
    const step = {ArrowLeft: -1, ArrowRight: 1}[event.key];
    if (event.key === "Escape") this.#showAt(-1);
    if (!step) return;
    event.preventDefault();
    this.#showAt(Math.max(0, Math.min(this.tokens.length - 1, this.at + step)));
    this.spoken.textContent = this.tip.innerText;
  }

  #showAt(index) {
    this.line.children[this.at]?.classList.remove("shown");
    this.at = index;
    this.tip.hidden = index < 0;
    if (index < 0) return;
    this.line.children[index].classList.add("shown");
    this.tip.replaceChildren(...tipOf(this.tokens[index]));
    this.#place(this.line.children[index]);
  }

  // Under the token, within the width of the view.
  #place(span) {
    const around = this.node.getBoundingClientRect(), box = span.getBoundingClientRect();
    const room = around.width - this.tip.offsetWidth;
    this.tip.style.left = `${Math.max(0, Math.min(box.left - around.left, room))}px`;
    this.tip.style.top = `${box.bottom - around.top + 4}px`;
  }
}

function tipOf(token) {
  const rows = token.top.map((other) => el(`div.row${other.token === token.token ? ".chosen" : ""}`, {},
    el("code", {}, quoted(other.token)), el("span", {}, formatShare(Math.exp(other.logprob)))));
  return [el("div.row.head", {}, el("code", {}, quoted(token.token)),
    el("span", {}, `${formatShare(Math.exp(token.logprob))}, log-prob ${token.logprob.toFixed(3)}`)), ...rows];
}

// Line ends have a mark, so that one that is doubted can be seen.
function visible(token) {
  return token.replaceAll("\n", "⏎\n");
}

function quoted(token) {
  return JSON.stringify(token);
}
