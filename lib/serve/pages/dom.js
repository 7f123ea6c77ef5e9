// Nodes are built, never parsed: what a model wrote reaches the page as text nodes and can be no markup.

// el("button.small", {type: "button", onclick: f}, "Copy"): a tag with classes, attributes (false, null and undefined: none),
// listeners, and children that are nodes or texts.
export function el(tag, attributes = {}, ...children) {
  return filled(document.createElement(tag.split(".")[0]), tag, attributes, children);
}

export function svg(tag, attributes = {}, ...children) {
  return filled(document.createElementNS("http://www.w3.org/2000/svg", tag.split(".")[0]), tag, attributes, children);
}

function filled(node, tag, attributes, children) {
  node.classList.add(...tag.split(".").slice(1));
  for (const [name, value] of Object.entries(attributes)) {
    if (typeof value === "function") node.addEventListener(name.slice("on".length), value);
    else if (value === true) node.setAttribute(name, "");
    else if (value !== false && value != null) node.setAttribute(name, value);
  }
  node.append(...children.filter((child) => child != null));
  return node;
}

// A model's text as it may be shown: the characters that make text read backwards, and other controls, have a mark in their place.
export function plain(text) {
  return text.replace(/[\u0000-\u0008\u000b\u000c\u000e-\u001f\u007f-\u009f\u202a-\u202e\u2066-\u2069]/g, "\ufffd");
}

export const byId = (id) => document.getElementById(id);

// What a storage of the browser has under a name, or null. Another program may have been at the same address before.
export function stored(storage, name) {
  try {
    return JSON.parse(storage.getItem(name));
  } catch {
    return null;
  }
}

// Copies, and says so on the button for a moment.
export async function copyFrom(button, text) {
  const label = button.textContent;
  try {
    await navigator.clipboard.writeText(text);
    button.textContent = "Copied";
  } catch {
    // Away from localhost a page without TLS has no clipboard.
    button.textContent = copyBySelection(text) ? "Copied" : "Cannot copy";
  }
  setTimeout(() => { button.textContent = label; }, 1500);
}

function copyBySelection(text) {
  const field = el("textarea.unseen", {"aria-hidden": "true"});
  field.value = text;
  document.body.append(field);
  field.select();
  const done = document.execCommand("copy");
  field.remove();
  return done;
}
