// Rows of a run's samples.jsonl as cards.
import {el, plain} from "./dom.js";
import {formatCount, formatValue} from "./format.js";

const kMaxCharacters = 20000;

// low, high: of the rewards beside it, which the badge's colour is told by.
export function sampleCard(row, low, high) {
  return el("article.sample", {},
    text(row.prompt, "prompt", "pre.prompt"),
    el("header", {}, el("b", {}, `Step ${formatCount(row.step)}`), row.split === "eval" ? "held out" : null,
      rewardBadge(row.reward, low, high), ...partsOf(row), `${formatCount(row.tokens)} tokens`,
      row.finish === "length" ? el("span.badge.bad", {}, "cut off") : null),
    ...(Array.isArray(row.messages) ? row.messages.map(turn) : [text(row.completion, "answer")]));
}

// The lowest and the highest reward of some rows.
export function rewardRange(rows) {
  const known = rows.map((row) => row.reward).filter(Number.isFinite);
  return [Math.min(...known), Math.max(...known)];
}

function rewardBadge(reward, low, high) {
  if (!Number.isFinite(reward)) return null;
  const share = high > low ? (reward - low) / (high - low) : 0.5;
  const kind = share > 2 / 3 ? ".good" : share < 1 / 3 ? ".bad" : "";
  return el(`span.badge${kind}`, {}, `reward ${formatValue(reward)}`);
}

function partsOf(row) {
  const parts = Object.entries(row.rewards ?? {});
  return parts.length > 1 ? parts.map(([name, value]) => el("span", {}, `${name} ${formatValue(value)}`)) : [];
}

function turn(message) {
  const mine = message.role === "assistant";
  const content = typeof message.content === "string" ? message.content : JSON.stringify(message.content ?? "");
  return el(`div.turn${mine ? "" : ".other"}`, {}, el("b", {}, mine ? "policy" : message.role), text(content, message.role));
}

function text(whole, label, tag = "pre") {
  const cut = whole.length - kMaxCharacters;
  const shown = cut > 0 ? `${whole.slice(0, kMaxCharacters)}\n[... ${formatCount(cut)} more characters in samples.jsonl]` : whole;
  return el(tag, {dir: "auto", tabindex: "0", role: "region", "aria-label": label}, plain(shown));
}
