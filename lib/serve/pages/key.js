// The API key of a server that wants one. It lives as long as the tab.
import {el} from "./dom.js";

const kStored = "temper.key";

export const key = () => sessionStorage.getItem(kStored) ?? "";

let asking = null;

// Whether the user gave one. Requests that fail together ask once. refused: what the server said of the key that was sent.
export function askForKey(refused) {
  asking ??= showDialog(refused).finally(() => { asking = null; });
  return asking;
}

function showDialog(refused) {
  const field = el("input", {type: "password", id: "key", autocomplete: "off", required: true, "aria-describedby": "key-why"});
  const cancel = el("button", {type: "button"}, "Cancel");
  const form = el("form", {method: "dialog"},
    el("h2", {id: "key-title"}, "API key"),
    el("p", {id: "key-why"}, refused || "This server answers only with its API key. It is kept until this tab is closed."),
    el("label", {for: "key"}, "Key"), field,
    el("div.buttons", {}, cancel, el("button.main", {type: "submit", value: "given"}, "Use this key")));
  const dialog = el("dialog", {"aria-labelledby": "key-title"}, form);
  document.body.append(dialog);
  dialog.showModal();
  cancel.addEventListener("click", () => dialog.close());
  return new Promise((resolve) => {
    dialog.addEventListener("close", () => {
      const given = dialog.returnValue === "given" && field.value.trim() !== "";
      if (given) sessionStorage.setItem(kStored, field.value.trim());
      dialog.remove();
      resolve(given);
    });
  });
}
