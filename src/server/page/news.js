// What is told of at the edge of the page: problems, which stay until they are put away, and what only
// screen readers need to hear.

import { h, say } from "./dom.js";
import { oneLine } from "./text.js";

const MOST = 4;
const shown = new Map();

/** Shows that `what` went wrong. The same thing again takes the place of the last time. */
export function problem(what, error) {
  if (error.name === "AbortError") return;
  const place = document.getElementById("problems");
  solved(what);
  const title = error.title ?? "Something went wrong in the page";
  const detail = error.title ? error.detail : error.message;
  const close = h("button", { type: "button", class: "quiet", "aria-label": `Put away: ${what}`, on: { click: () => solved(what) } }, "×");
  const element = h("div", { class: "problem", data: { problem: error.code ?? "page" } },
    h("p", {}, h("strong", {}, `${what}: ${oneLine(title)}`), error.code ? h("code", {}, error.code) : null),
    detail && detail !== title ? h("p", { class: "detail" }, oneLine(detail, 600)) : null,
    close);
  shown.set(what, element);
  place.append(element);
  while (shown.size > MOST) solved(shown.keys().next().value);
}

/** Puts a problem away, if it is shown. */
export function solved(what) {
  shown.get(what)?.remove();
  shown.delete(what);
}

/** Puts all of them away. */
export function allSolved() {
  for (const what of [...shown.keys()]) solved(what);
}

/** Runs `work`, and shows what goes wrong with it. Answers whether it went well. */
export async function attempt(what, work) {
  try {
    await work();
    solved(what);
    return true;
  } catch (error) {
    problem(what, error);
    return false;
  }
}

/** Tells screen readers `text`. */
export function announce(text) {
  say(document.getElementById("said"), text);
}

/** Says how the page hears of what happens: `live`, `lost`, `polling`, `idle`. */
export function link(state, text) {
  const element = document.getElementById("link");
  element.dataset.link = state;
  say(element, text);
}
