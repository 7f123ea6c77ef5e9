// What is asked for beside the question, kept in this browser.
import {byId, stored} from "./dom.js";

const kStored = "temper.settings";
const kTopLogprobs = 5;
const kNumbers = ["temperature", "top_p", "max_tokens", "seed"];
const kFields = ["system", "tools", ...kNumbers];

export class Settings {
  // onChange(): something in the form is other than before.
  constructor(onChange) {
    this.form = byId("settings");
    this.logprobs = byId("logprobs");
    this.#restore();
    this.form.addEventListener("input", () => {
      this.#checkTools();
      this.#keep();
      onChange();
    });
  }

  get showTokens() { return this.logprobs.checked; }

  valid() {
    this.#checkTools();
    return this.form.checkValidity();
  }

  // Shows what is wrong, which must be in sight.
  report() {
    for (const field of this.form.querySelectorAll("details :invalid")) field.closest("details").open = true;
    return this.form.reportValidity();
  }

  // The fields of a request; what was left empty is the server's to choose. `system` is the system prompt.
  fields() {
    const out = {system: byId("system").value.trim()};
    for (const name of kNumbers) if (byId(name).value !== "") out[name] = Number(byId(name).value);
    if (byId("tools").value.trim() !== "") out.tools = JSON.parse(byId("tools").value);
    if (this.showTokens) Object.assign(out, {logprobs: true, top_logprobs: kTopLogprobs});
    return out;
  }

  #checkTools() {
    byId("tools").setCustomValidity(problemOfTools(byId("tools").value));
  }

  #keep() {
    const values = Object.fromEntries(kFields.map((name) => [name, byId(name).value]));
    localStorage.setItem(kStored, JSON.stringify({...values, logprobs: this.logprobs.checked}));
  }

  #restore() {
    const kept = stored(localStorage, kStored);
    for (const name of kFields) byId(name).value = kept?.[name] ?? "";
    this.logprobs.checked = kept?.logprobs === true;
  }
}

function problemOfTools(text) {
  if (text.trim() === "") return "";
  try {
    if (Array.isArray(JSON.parse(text))) return "";
    return 'Expected a list: [{"type": "function", "function": {"name": ..., "parameters": {...}}}]';
  } catch (error) {
    return `Not JSON: ${error.message}`;
  }
}
