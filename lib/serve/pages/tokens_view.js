// An answer's tokens, each shaded by how unlikely the model found it, with the likeliest tokens in its place as a tip: under the
// pointer, or by the arrow keys.
import {el, plain} from "./dom.js";
import {formatShare} from "./format.js";

const kGap = 5;  // pixels

export class TokensView {
  constructor() {
    this.tokens = [];
    this.at = -1;  // whose tip is shown
    this.decoder = new TextDecoder();
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
      const span = el("span.token", {}, visible(this.#textOf(token)));
      span.style.setProperty("--doubt", `${Math.round(100 * (1 - Math.exp(token.logprob)))}%`);
      this.tokens.push(token);
      this.line.append(span);
    }
  }

  // A character may be made of several tokens: it stands at the last of them.
  #textOf({token, bytes}) {
    return bytes ? this.decoder.decode(Uint8Array.from(bytes), {stream: true}) : token;
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

  // Under the token, or above it where there is no room.
  #place(span) {
    const box = span.getBoundingClientRect(), {offsetWidth: width, offsetHeight: height} = this.tip;
    const below = box.bottom + kGap + height < window.innerHeight;
    this.tip.style.left = `${Math.max(kGap, Math.min(box.left, window.innerWidth - width - kGap))}px`;
    this.tip.style.top = `${below ? box.bottom + kGap : box.top - height - kGap}px`;
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
  return plain(token).replaceAll("\n", "⏎\n");
}

function quoted(token) {
  return plain(JSON.stringify(token));
}
