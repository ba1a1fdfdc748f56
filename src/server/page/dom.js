// Elements from code. Text is only ever text: nothing here takes markup.

import { head } from "./text.js";

/**
 * Makes an element. `props`: `class`, `data` (an object of data attributes), `on` (an object of
 * listeners), DOM properties that exist on the element, and attributes for the rest; what is `null`,
 * `undefined` or `false` is left out. `children`: nodes and texts.
 */
export function h(tag, props = {}, ...children) {
  const element = document.createElement(tag);
  for (const [name, value] of Object.entries(props)) {
    if (value === null || value === undefined || value === false) continue;
    set(element, name, value);
  }
  element.append(...children.flat(Infinity).filter((child) => child !== null && child !== undefined && child !== false));
  return element;
}

function set(element, name, value) {
  if (name === "data") Object.assign(element.dataset, value);
  else if (name === "on") Object.entries(value).forEach(([event, listener]) => element.addEventListener(event, listener));
  else if (name === "class") element.className = value;
  else if (name in element && name !== "role" && !name.startsWith("aria")) element[name] = value;
  else element.setAttribute(name, value === true ? "" : String(value));
}

/** Sets the text of `element`, if it is another one. */
export function say(element, text) {
  if (element.textContent !== text) element.textContent = text;
}

/** Sets an attribute, or removes it with `null`. */
export function attr(element, name, value) {
  if (value === null) element.removeAttribute(name);
  else if (element.getAttribute(name) !== String(value)) element.setAttribute(name, String(value));
}

/** Makes `parent` hold `children` in their order, and moves only what is not in its place. */
export function arrange(parent, children) {
  const wanted = new Set(children);
  for (const child of [...parent.childNodes]) if (!wanted.has(child)) child.remove();
  let at = parent.firstChild;
  for (const child of children) {
    if (child === at) at = at.nextSibling;
    else parent.insertBefore(child, at);
  }
}

/** A text for screen readers only. */
export function unseen(text) {
  return h("span", { class: "unseen" }, text);
}

/** A named text, of which only the beginning is drawn if it is long. */
export function block(name, text, part) {
  const { shown, left } = head(text);
  const content = h("pre", { tabIndex: 0, "aria-label": name }, shown);
  const rest = left === 0 ? null : h("button", {
    type: "button", class: "quiet",
    on: { click: ({ currentTarget }) => { content.textContent = text; currentTarget.remove(); content.focus(); } },
  }, `Show ${left} more characters`);
  return h("div", { class: "block", data: { part } }, h("h4", {}, name), content, rest);
}

/** Does what `button` is for, and nothing more until that is over. The button keeps the focus. */
export async function once(button, work) {
  if (button.getAttribute("aria-disabled") === "true") return;
  button.setAttribute("aria-disabled", "true");
  try {
    await work();
  } finally {
    button.removeAttribute("aria-disabled");
  }
}

/** Says whether the person wants things to stand still. */
export function wantsStillness() {
  return window.matchMedia("(prefers-reduced-motion: reduce)").matches;
}

/** Runs `step` every `ms` while the page is visible, and at once when it becomes so. Returns what ends it. */
export function everySoOften(ms, step) {
  let timer = null;
  let isOver = false;
  const run = async () => {
    clearTimeout(timer);
    if (isOver || document.hidden) return;
    await step();
    clearTimeout(timer);
    if (!isOver) timer = setTimeout(run, ms);
  };
  document.addEventListener("visibilitychange", run);
  run();
  return () => {
    isOver = true;
    clearTimeout(timer);
    document.removeEventListener("visibilitychange", run);
  };
}
