// The sessions: those that need somebody first, then the newest.

import * as api from "./api.js";
import { arrange, attr, everySoOften, h, say } from "./dom.js";
import { handOver } from "./session.js";
import { attempt, link, problem, solved } from "./news.js";
import { ago, moment, oneLine } from "./text.js";

const EVERY_MS = 3000;
const STATES = { idle: "idle", running: "running", waiting: "waiting", cut: "cut", elsewhere: "elsewhere" };

/** What somebody should look at: its last turn failed, or it does not go on by itself. */
export function needsSomebody({ last_error, state }) {
  return last_error !== null || state === "cut" || state === "waiting";
}

/** Those that need somebody above the others, and the newest first among both. */
export function inOrder(sessions) {
  return [...sessions].sort((one, other) =>
    needsSomebody(other) - needsSomebody(one)
    || Date.parse(other.updated_at) - Date.parse(one.updated_at)
    || one.session.localeCompare(other.session));
}

/** Takes the newest page into `known`: what should be on it and is not is gone. */
export function takeNewest(known, { sessions, next }) {
  const oldest = sessions.at(-1)?.updated_at;
  for (const [id, session] of known) {
    const belongs = next === null || (oldest !== undefined && Date.parse(session.updated_at) > Date.parse(oldest));
    if (belongs) known.delete(id);
  }
  sessions.forEach((session) => known.set(session.session, session));
}

/** The view of all sessions. */
export class SessionsView {
  constructor() {
    Object.assign(this, { known: new Map(), rows: new Map(), next: null, hasOlder: false });
    this.heading = h("h1", { tabIndex: -1 }, "Sessions");
    this.ask = h("textarea", { id: "ask", rows: 2, placeholder: "Ask something in a new session…", "aria-describedby": "ask-hint" });
    this.send = h("button", { type: "submit", class: "main", id: "send" }, "Ask");
    this.make = h("button", { type: "button", class: "quiet", id: "new", on: { click: () => this.begin("") } }, "Empty session");
    this.form = h("form", { class: "asking new", id: "ask-form", on: { submit: (event) => { event.preventDefault(); this.begin(this.ask.value.trim()); } } },
      h("label", { htmlFor: "ask", class: "unseen" }, "Your question, in a new session"), this.ask,
      h("div", { class: "buttons" }, this.send, this.make),
      h("p", { class: "hint", id: "ask-hint" }, "Enter sends, Shift and Enter begin a new line."));
    this.ask.addEventListener("keydown", (event) => {
      if (event.key !== "Enter" || event.shiftKey || event.isComposing) return;
      event.preventDefault();
      this.form.requestSubmit();
    });
    this.body = h("tbody", { role: "rowgroup" });
    const head = (text, style = "") => h("th", { role: "columnheader", scope: "col", class: style }, text);
    this.table = h("table", { class: "list", role: "table", id: "sessions", "aria-label": "Sessions", hidden: true },
      h("thead", { role: "rowgroup" }, h("tr", { role: "row" },
        head("State"), head("Session", "wide"), head("Turns", "num"), head("Rounds", "num"), head("Failed", "num"), head("Last activity", "num"))),
      this.body);
    this.nothing = h("p", { class: "empty", hidden: true }, "No sessions yet. Ask something.");
    this.older = h("button", { type: "button", class: "quiet more", id: "older", hidden: true, on: { click: () => this.loadOlder() } }, "Older");
    this.element = h("div", {}, this.heading, this.form, this.nothing, this.table, this.older);
    document.title = "Sessions · Callsheet";
    this.stop = everySoOften(EVERY_MS, () => this.poll());
  }

  title() {
    return "Sessions";
  }

  close() {
    this.isOver = true;
    this.stop();
    link("idle", "");
  }

  async poll() {
    try {
      const page = await api.sessions();
      if (this.isOver) return;
      takeNewest(this.known, page);
      if (!this.hasOlder) this.next = page.next;
      link("polling", "up to date");
      solved("Sessions");
      this.draw();
    } catch (error) {
      if (this.isOver) return;
      link("lost", "not connected");
      problem("Sessions", error);
    }
  }

  async loadOlder() {
    await attempt("Older sessions", async () => {
      const page = await api.sessions(this.next);
      this.hasOlder = true;
      this.next = page.next;
      const first = page.sessions[0]?.session;
      page.sessions.filter(({ session }) => !this.known.has(session)).forEach((session) => this.known.set(session.session, session));
      this.draw();
      this.rows.get(first)?.link.focus();
    });
  }

  draw() {
    const sessions = inOrder(this.known.values());
    for (const id of this.rows.keys()) if (!this.known.has(id)) this.rows.delete(id);
    arrange(this.body, sessions.map((session) => {
      const row = this.rows.get(session.session) ?? new Row(session);
      this.rows.set(session.session, row);
      row.update(session);
      return row.element;
    }));
    this.table.hidden = sessions.length === 0;
    this.nothing.hidden = sessions.length > 0;
    this.older.hidden = this.next === null;
  }

  async begin(text) {
    this.send.disabled = this.make.disabled = true;
    await attempt("Ask", async () => {
      const { session } = await api.newSession();
      if (text) handOver(session, text);
      window.location.hash = `#/s/${encodeURIComponent(session)}`;
    });
    this.send.disabled = this.make.disabled = false;
  }
}

class Row {
  constructor({ session }) {
    const cell = (label, ...content) => h("td", { role: "cell", class: "num", data: { label } }, ...content);
    this.state = h("span", { class: "state" });
    this.link = h("a", { href: `#/s/${encodeURIComponent(session)}` });
    this.error = h("span", { class: "bad aside" });
    [this.turns, this.rounds, this.failed] = [cell("turns"), cell("rounds"), cell("failed")];
    this.time = h("time");
    this.element = h("tr", { role: "row", data: { session } },
      h("td", { role: "cell" }, this.state),
      h("th", { role: "rowheader", scope: "row", class: "wide" }, this.link, h("span", { class: "id aside" }, session), this.error),
      this.turns, this.rounds, this.failed, cell("last", this.time));
  }

  update(session) {
    const { state, title, turns, rounds, failed, updated_at, last_error } = session;
    attr(this.element, "data-state", state);
    attr(this.element, "data-needs", needsSomebody(session) ? "" : null);
    attr(this.state, "data-state", last_error && state === "idle" ? "failed" : state);
    say(this.state, last_error && state === "idle" ? "failed" : STATES[state] ?? state);
    say(this.link, title ? oneLine(title, 140) : "(nothing asked yet)");
    say(this.error, last_error ? `✗ ${last_error.code}: ${oneLine(last_error.message, 200)}` : "");
    this.error.hidden = !last_error;
    say(this.turns, String(turns));
    say(this.rounds, String(rounds));
    say(this.failed, String(failed));
    attr(this.failed, "data-bad", failed > 0 ? "" : null);
    say(this.time, ago(updated_at));
    attr(this.time, "datetime", updated_at);
    attr(this.time, "title", moment(updated_at));
  }
}
