// The page: which view is shown. Addresses are `#/`, `#/s/ID` and `#/tools`.

import { token } from "./api.js";
import { allSolved, announce } from "./news.js";
import { say } from "./dom.js";
import { SessionView } from "./session.js";
import { SessionsView } from "./sessions.js";
import { ToolsView } from "./tools.js";

const main = document.getElementById("main");
let view = null;

function viewOf(address) {
  const [, name, id] = /^#\/(s|tools)?\/?(.*)$/.exec(address) ?? [];
  if (name === "tools") return ["tools", () => new ToolsView()];
  if (name === "s" && id) return ["sessions", () => new SessionView(decoded(id))];
  return ["sessions", () => new SessionsView()];
}

function decoded(id) {
  try {
    return decodeURIComponent(id);
  } catch {
    return id;
  }
}

function show({ isFirst = false } = {}) {
  const [name, make] = viewOf(window.location.hash);
  view?.close();
  allSolved();
  view = make();
  main.replaceChildren(view.element);
  for (const link of document.querySelectorAll("[data-nav]")) {
    if (link.dataset.nav === name) link.setAttribute("aria-current", "page");
    else link.removeAttribute("aria-current");
  }
  window.scrollTo(0, 0);
  if (isFirst) return;
  view.heading.focus({ preventScroll: true });
  announce(`${view.heading.textContent}.`);
}

const forget = document.getElementById("forget");

token.changed = () => {
  forget.hidden = token.get() === null && !token.isDeclined();
  say(forget, token.isDeclined() ? "Give a token" : "Forget token");
};

forget.addEventListener("click", () => {
  token.set(null);
  show();
});

// The skip link must not change the view's address.
document.getElementById("skip").addEventListener("click", (event) => {
  event.preventDefault();
  main.focus();
});

window.addEventListener("hashchange", () => show());
token.changed();
show({ isFirst: true });
