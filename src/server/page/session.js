// A session: its turns, live, and what can be done with it.

import * as api from "./api.js";
import { arrange, attr, everySoOften, h, once, say, wantsStillness } from "./dom.js";
import { callsOf, clock, empty, fold, missed, outcomeOf, waiting } from "./fold.js";
import { announce, attempt, link, problem, solved } from "./news.js";
import { follow } from "./sse.js";
import { TurnView } from "./turns.js";
import { ms, oneLine, outcome } from "./text.js";

/** How many turns are drawn at first, and with each asking for more. */
const TURNS = 10;
/** How long the page stays connected after it was hidden. */
const HIDDEN_MS = 60_000;
/** How often it is asked whether somebody has taken up a turn that was cut. */
const AGAIN_MS = 10_000;
/** How long a long past is collected before it is drawn. */
const CATCH_UP_MS = 300;
/** News that are older were not heard live. */
const OLD_US = 5_000_000;

const STATES = { idle: "idle", running: "running", waiting: "waits for you", cut: "cut", elsewhere: "runs elsewhere" };

function isAtEnd() {
  const page = document.documentElement;
  return page.scrollHeight - page.scrollTop - window.innerHeight < 120;
}

let handed = null;

/** Lets the view of session `id`, when it comes, ask `text`. */
export function handOver(id, text) {
  handed = { id, text };
}

/** The view of session `id`. */
export class SessionView {
  constructor(id) {
    Object.assign(this, {
      id, session: empty(), views: new Map(), skew: null, told: null, most: TURNS, isOver: false, isSending: false, reports: new Map(), follows: null,
    });
    this.heading = h("h1", { tabIndex: -1 }, "Session");
    this.state = h("span", { class: "state", data: { state: "idle" }, id: "state" });
    this.meta = h("span", { class: "hint" });
    this.resume = h("button", { type: "button", class: "main", id: "resume", hidden: true, on: { click: () => this.onResume() } }, "Resume");
    this.earlier = h("button", { type: "button", class: "quiet more", id: "earlier", hidden: true, on: { click: () => this.showEarlier() } });
    this.turns = h("div", { class: "turns", id: "turns" });
    this.nothing = h("p", { class: "empty" }, "Nothing was asked yet.");
    this.ask = h("textarea", { id: "ask", rows: 2, "aria-describedby": "ask-hint", placeholder: "Ask…" });
    this.send = h("button", { type: "submit", class: "main", id: "send" }, "Send");
    this.stop = h("button", { type: "button", class: "danger", id: "cancel", hidden: true, on: { click: () => this.onCancel() } }, "Cancel");
    this.form = h("form", { class: "asking", id: "ask-form", on: { submit: (event) => this.onSubmit(event) } },
      h("label", { htmlFor: "ask", class: "unseen" }, "Your question"), this.ask,
      h("div", { class: "buttons" }, this.send, this.stop),
      h("p", { class: "hint", id: "ask-hint" }, "Enter sends, Shift and Enter begin a new line."));
    this.ask.addEventListener("keydown", (event) => {
      if (event.key !== "Enter" || event.shiftKey || event.isComposing) return;
      event.preventDefault();
      this.form.requestSubmit();
    });
    this.system = h("details", { class: "system", hidden: true }, h("summary", {}, "System prompt"), h("p", { class: "text" }));
    const save = (format, text) => h("button", {
      type: "button", class: "quiet", data: { download: format },
      on: { click: () => attempt("Download", () => api.download(id, format)) },
    }, text);
    this.element = h("div", { class: "session", data: { session: id } },
      h("div", { class: "head" }, this.heading,
        h("div", { class: "row" }, this.state, this.resume, this.meta,
          h("div", { class: "row saves" }, h("span", { class: "hint" }, "Download"),
            save("jsonl", "JSONL"), save("chrome-trace", "Chrome trace")))),
      this.system, this.earlier, this.nothing, this.turns, this.form);
    this.onHidden = () => this.whileHidden();
    this.onScroll = () => {
      if (this.follows !== null) this.follows = isAtEnd();
    };
    window.addEventListener("scroll", this.onScroll, { passive: true });
    this.onResize = () => this.shown().forEach((view) => view.fit(this.now()));
    document.addEventListener("visibilitychange", this.onHidden);
    window.addEventListener("resize", this.onResize);
    this.draw();
    this.connect();
    if (handed?.id === id) {
      this.ask.value = handed.text;
      handed = null;
      this.onSubmit();
    }
    this.looking = everySoOften(AGAIN_MS, () => (this.isStill() ? this.look() : null));
  }

  title() {
    const first = this.session.turns[0]?.prompt ?? this.told?.title;
    return first ? oneLine(first, 100) : "New session";
  }

  close() {
    this.isOver = true;
    this.end?.();
    this.looking();
    cancelAnimationFrame(this.frame);
    clearTimeout(this.timer);
    clearTimeout(this.resting);
    clearTimeout(this.hiding);
    document.removeEventListener("visibilitychange", this.onHidden);
    window.removeEventListener("resize", this.onResize);
    window.removeEventListener("scroll", this.onScroll);
    this.views.forEach((view) => view.close());
    link("idle", "");
  }

  // Hearing of what happens.

  connect() {
    this.end?.();
    link("lost", "connecting");
    this.end = follow(
      (after, signal) => api.events(this.id, after, signal),
      () => this.session.lastSeq,
      {
        open: (response) => {
          this.skew = Math.min(this.skew ?? Infinity, api.skewOf(response));
          missed(this.session);
          link("live", "live");
          solved("Events");
          this.look();
        },
        event: ({ data }) => this.onEvent(data),
        lost: (why, time) => {
          link("lost", `${why}; again in ${ms(time)}`);
        },
        refused: (error) => {
          link("lost", "not connected");
          problem(error.status === 404 ? "No such session" : "Events", error);
        },
      },
    );
  }

  /** What the events do not say: whether anybody runs a turn that is open. */
  async look() {
    try {
      this.told = await api.session(this.id);
      this.schedule();
    } catch (error) {
      if (!this.isOver && error.status !== 404) problem("The session's state", error);
    }
  }

  whileHidden() {
    clearTimeout(this.hiding);
    if (document.hidden) {
      this.hiding = setTimeout(() => {
        this.end?.();
        this.end = null;
        link("idle", "paused");
      }, HIDDEN_MS);
      return;
    }
    if (this.end) this.end.again();
    else this.connect();
    this.schedule();
  }

  onEvent(data) {
    if (this.isOver) return;
    let record;
    try {
      record = JSON.parse(data);
    } catch {
      return problem("An event could not be read", new Error(oneLine(data, 200)));
    }
    const heard = Date.now() * 1000;
    this.skew = Math.min(this.skew ?? Infinity, heard - record.at_us);
    const age = heard - this.skew - record.at_us;
    if (!fold(this.session, record, heard - this.skew)) return;
    if (record.type === "turn_started") this.isSending = false;
    if (age < OLD_US) this.tell(record);
    this.schedule(age < OLD_US ? 0 : CATCH_UP_MS);
  }

  tell(record) {
    switch (record.type) {
      case "turn_started": return announce("The turn has begun.");
      case "approval_asked": return announce(`${record.tool} waits for your approval.`);
      case "call_ended": return record.kind === "ok" ? null : announce(`${record.tool}: ${outcome(record.kind)}.`);
      case "worker_restarted": return announce(`${record.tool} was restarted.`);
      case "turn_ended": return announce(record.end === "answered" ? "The turn is over." : `The turn ended: ${record.end.replace("_", " ")}.`);
      default: return null;
    }
  }

  /** This moment by the session's clock, in microseconds. */
  now() {
    const skew = Number.isFinite(this.skew) ? this.skew : 0;
    const now = clock(this.session, Date.now() * 1000 - skew);
    // What nobody runs has stood still since its last event.
    return this.isStill() ? clock(this.session, this.session.lastAt) : now;
  }

  /** A turn is open, and nobody runs it here. */
  isStill() {
    const { session, told } = this;
    const isFresh = told && told.last_seq >= session.lastSeq;
    return Boolean(session.turn && isFresh && ["cut", "elsewhere"].includes(told.state));
  }

  stateNow() {
    const { session, told } = this;
    if (this.isStill()) return told.state;
    if (session.turn === null) return told?.state === "elsewhere" ? "elsewhere" : "idle";
    return waiting(session).length > 0 ? "waiting" : "running";
  }

  // Drawing.

  /** Draws soon, but not before `rest` milliseconds: a long past is drawn once, and not event by event. */
  schedule(rest = 0) {
    if (this.frame || this.isOver) return;
    const draw = () => {
      this.resting = null;
      this.frame = requestAnimationFrame(() => {
        this.frame = null;
        this.draw();
      });
    };
    if (rest > 0) {
      this.resting ??= setTimeout(draw, rest);
      return;
    }
    clearTimeout(this.resting);
    draw();
  }

  /** The past is not all there yet. */
  isCatchingUp() {
    return this.told === null || this.session.lastSeq < this.told.last_seq;
  }

  shown() {
    return this.session.turns.slice(-this.most).map(({ turn }) => this.views.get(turn)).filter(Boolean);
  }

  draw() {
    if (this.isOver) return;
    const { session } = this;
    const now = this.now();
    const state = this.stateNow();
    const drawn = session.turns.slice(-this.most);
    for (const [number, view] of this.views) {
      if (drawn.some(({ turn }) => turn === number)) continue;
      view.close();
      this.views.delete(number);
    }
    for (const turn of drawn) {
      const known = this.views.get(turn.turn);
      if (known) continue;
      this.views.set(turn.turn, new TurnView(this.id, turn, {
        onCancelCall: (call) => this.onCancelCall(call),
        onSeen: (round, view) => this.fetchReport(round, view),
      }));
    }
    arrange(this.turns, drawn.map(({ turn }) => this.views.get(turn).element));
    drawn.forEach(({ turn }) => this.views.get(turn).update(now, this.isStill()));
    const hidden = session.turns.length - drawn.length;
    this.earlier.hidden = hidden === 0;
    say(this.earlier, `Show earlier turns (${hidden})`);
    this.nothing.hidden = session.turns.length > 0;
    this.drawHead(state);
    this.drawForm(state);
    // One turn is read from its beginning; of more, the last is what one comes for.
    if (this.follows === null && !this.isCatchingUp()) this.follows = session.turn !== null || session.turns.length > 1;
    if (this.follows) window.scrollTo({ top: document.documentElement.scrollHeight });
    this.grow();
  }

  drawHead(state) {
    const { session, told } = this;
    say(this.heading, this.title());
    attr(this.state, "data-state", state);
    attr(this.element, "data-state", state);
    say(this.state, STATES[state]);
    if (state !== "cut" && document.activeElement === this.resume) this.heading.focus({ preventScroll: true });
    this.resume.hidden = state !== "cut";
    say(this.meta, [this.id, session.model ?? told?.model].filter(Boolean).join(" · "));
    document.title = `${state === "idle" ? "" : `${STATES[state]}: `}${this.title()} · Callsheet`;
    this.system.hidden = !session.system;
    if (session.system) say(this.system.lastChild, session.system);
  }

  drawForm(state) {
    const isFree = state === "idle";
    const hadFocus = this.form.contains(document.activeElement);
    this.ask.disabled = !isFree;
    this.ask.readOnly = this.isSending;
    this.send.hidden = ["running", "waiting"].includes(state);
    this.send.disabled = !isFree || this.isSending;
    this.stop.hidden = !this.send.hidden;
    const hint = {
      idle: "Ask…", running: "A turn is under way", waiting: "A call waits for you",
      cut: "A turn was cut: resume it first", elsewhere: "Another process has this session",
    };
    attr(this.ask, "placeholder", hint[state]);
    if (this.wasFree !== isFree && hadFocus) (isFree ? this.ask : this.stop.hidden ? this.heading : this.stop).focus({ preventScroll: true });
    this.wasFree = isFree;
  }

  /** Lets what runs grow, for as long as anything does. */
  grow() {
    cancelAnimationFrame(this.growing);
    clearTimeout(this.timer);
    if (!this.session.turn || this.isStill()) return;
    const step = () => {
      if (this.isOver) return;
      const now = this.now();
      if (!document.hidden) this.shown().forEach((view) => view.tick(now));
      this.grow();
    };
    if (wantsStillness()) this.timer = setTimeout(step, 1000);
    else this.timer = setTimeout(() => { this.growing = requestAnimationFrame(step); }, 40);
  }

  showEarlier() {
    const before = document.documentElement.scrollHeight;
    this.most += 2 * TURNS;
    this.draw();
    window.scrollBy(0, document.documentElement.scrollHeight - before);
  }

  /** The numbers of a finished round are the server's. They are asked for once it is seen. */
  async fetchReport(number, view, isAgain = false) {
    const round = this.session.rounds.get(number);
    if (!round || round.endedAt === null || callsOf(round).length === 0) return;
    const isAsked = this.reports.has(number);
    try {
      if (!isAsked) this.reports.set(number, this.askReport(round));
      const report = await this.reports.get(number);
      const lanes = view.rounds.get(number);
      if (this.isOver || lanes.report === report) return;
      lanes.take(report);
      lanes.update(round.endedAt);
    } catch (error) {
      this.reports.delete(number);
      if (this.isOver || isAsked) return;
      if (isAgain) problem(`The report of round ${number}`, error);
      else setTimeout(() => this.fetchReport(number, view, true), 1500);
    }
  }

  async askReport(round) {
    const report = await api.round(this.id, round.round);
    const isBehind = report.calls.some(({ outcome: kind }, place) =>
      kind === null && outcomeOf(round.calls[place] ?? {}) !== null);
    if (isBehind) throw new Error("the server does not have all of the round yet");
    return report;
  }

  // Doing.

  async onSubmit(event) {
    event?.preventDefault();
    const text = this.ask.value.trim();
    if (!text || this.send.disabled) return;
    // The same text again, after a request that may have got through, is the same question.
    if (this.lastAsked?.text !== text) this.lastAsked = { text, key: api.newKey() };
    this.isSending = true;
    this.follows = true;
    this.draw();
    const isTaken = await attempt("Ask", () => api.ask(this.id, text, this.lastAsked.key));
    if (isTaken) {
      this.ask.value = "";
      this.lastAsked = null;
      setTimeout(() => { this.isSending = false; this.schedule(); }, 3000);
    } else {
      this.isSending = false;
    }
    this.schedule();
  }

  async onCancel() {
    await once(this.stop, () => attempt("Cancel", () => api.cancel(this.id)));
  }

  onCancelCall(call) {
    return attempt("Cancel the call", async () => {
      const { cancelled } = await api.cancel(this.id, call);
      announce(cancelled ? "The call is cancelled." : "The call was over already.");
    });
  }

  async onResume() {
    await once(this.resume, () => attempt("Resume", () => api.resume(this.id)));
    this.look();
  }
}
