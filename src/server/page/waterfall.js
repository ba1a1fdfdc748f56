// The waterfall of one round: a table with a lane for the model and one for each call. While something
// runs the lanes come from the session's events; the numbers of a finished round are the report's.

import { arrange, attr, h, say, unseen } from "./dom.js";
import { callsOf, isWaiting, numbers, outcomeOf, stretches } from "./fold.js";
import { CallLane, firstOf, ModelLane, PHASES, share } from "./lanes.js";
import { count, marks, ms, oneLine, us } from "./text.js";

/** The most calls that get a lane before the rest is asked for. */
const MOST_LANES = 40;
/** The room that one mark of the axis needs. */
const MARK_PX = 72;

/** One round. `onCancel(id)` is asked to cancel a call, by its id on the wire. */
export class Waterfall {
  constructor(round, { onCancel }) {
    Object.assign(this, { round, onCancel, report: null, lanes: new Map(), total: 0, areAllShown: false });
    const name = `round-${round.round}`;
    this.facts = h("dl", { class: "facts" });
    this.kind = h("span", { class: "hint" });
    this.axis = h("div", { class: "axis", "aria-hidden": "true" });
    this.model = new ModelLane();
    this.body = h("tbody", { role: "rowgroup" }, this.model.row);
    this.table = h("table", { class: "lanes", role: "table", "aria-labelledby": name },
      h("thead", { role: "rowgroup" }, h("tr", { role: "row" },
        h("th", { role: "columnheader", scope: "col", class: "who" }, "Call"),
        h("th", { role: "columnheader", scope: "col", class: "track" }, unseen("Timeline"), this.axis),
        h("th", { role: "columnheader", scope: "col", class: "num" }, "Run"),
        h("th", { role: "columnheader", scope: "col", class: "end" }, "Outcome"))),
      this.body);
    this.more = h("button", { type: "button", class: "quiet more", hidden: true, on: { click: () => this.showAll() } });
    this.legend = h("ul", { class: "legend", "aria-label": "Legend" });
    this.news = h("ul", { class: "news" });
    this.element = h("section", { class: "round", data: { round: round.round }, "aria-labelledby": name },
      h("header", {}, h("h3", { id: name }, `Round ${round.round}`), this.kind, this.facts),
      this.table, this.more, this.legend, this.news);
  }

  /** Takes the report of the finished round: from now on its numbers are shown. */
  take(report) {
    this.report = report;
    this.isStale = true;
  }

  showAll() {
    this.areAllShown = true;
    this.update(this.now, this.isStill);
    this.body.querySelector("button")?.focus();
  }

  /** Moves the focus to the lane of a call. */
  focus(key) {
    this.lanes.get(key)?.button.focus();
  }

  /** Draws it anew. `now` is by the session's clock; `isStill` if nobody runs the turn. */
  update(now, isStill = false) {
    this.now = now;
    if (isStill && !this.isStill) this.total = 0;
    this.isStill = isStill;
    const { round, report } = this;
    const found = this.numbers = counted(round, report, now);
    const calls = callsOf(round);
    // Which call ended last is known when all have.
    if (round.endedAt === null && calls.some((call) => outcomeOf(call) === null)) found.critical = null;
    attr(this.element, "data-state", isStill ? "cut" : stateOf(round));
    attr(this.element, "data-numbers", report ? "report" : "live");
    say(this.kind, `${round.mode} · ${count(round.calls.length, "call")}`);
    this.drawFacts(found);
    const shown = this.areAllShown ? calls : picked(calls, found.critical);
    const rows = shown.flatMap((call) => {
      const lane = this.lanes.get(call.key) ?? this.newLane(call);
      const place = round.calls.indexOf(call);
      const told = place >= 0 ? report?.calls[place] : report?.discarded[round.discarded.indexOf(call)];
      lane.update(call, { told, isCritical: call.key === found.critical, isDiscarded: place < 0, isStill });
      return [lane.row, lane.more];
    });
    this.model.update(round, found);
    arrange(this.body, [this.model.row, ...rows]);
    this.more.hidden = shown.length === calls.length;
    say(this.more, `Show all ${calls.length} calls`);
    this.drawNews();
    this.tick(now);
    this.drawLegend();
    this.isStale = false;
  }

  newLane(call) {
    const lane = new CallLane(call.key, this.onCancel);
    this.lanes.set(call.key, lane);
    return lane;
  }

  /** Moves what grows with the time, and nothing else. */
  tick(now) {
    const { round } = this;
    this.now = now;
    const end = endOf(round, now) - round.askedAt;
    if (round.endedAt !== null) this.total = Math.max(end, 1);
    else if (end > this.total * 0.98 || end < this.total / 4) this.total = Math.max(500_000, end * (this.isStill ? 1.03 : 1.35));
    const scale = { zero: round.askedAt, total: this.total };
    const isNew = this.drawAxis();
    this.model.tick(round, scale, now);
    for (const lane of this.lanes.values()) lane.tick(round, scale, now);
    if (this.report === null) this.drawFacts(counted(round, null, now));
    const replied = round.repliedAt === null ? "-1px" : `${share(round.repliedAt - scale.zero, scale)}%`;
    this.table.style.setProperty("--reply", replied);
    if (isNew) this.drawLegend(); // What is too short to be seen depends on the axis.
  }

  /** Draws the axis, and says whether it is another one. */
  drawAxis() {
    const room = this.axis.clientWidth || Infinity;
    const most = Math.max(2, Math.min(7, Math.floor(room / MARK_PX)));
    const wanted = `${this.total} ${most}`;
    if (this.drawnAxis === wanted) return false;
    this.drawnAxis = wanted;
    const at = marks(this.total, most);
    const step = at.length > 1 ? (100 * at[1]) / this.total : 100;
    this.table.style.setProperty("--step", `${step}%`);
    arrange(this.axis, at.map((time) => {
      const left = (100 * time) / this.total;
      const mark = h("span", {}, time === 0 ? "0" : us(time));
      mark.style.left = `${left}%`;
      return mark;
    }));
    return true;
  }

  drawFacts(found) {
    const facts = [
      ["wall", ms(found.wall), "The time with at least one call under way"],
      ["sum", ms(found.sum), "The running times of the calls added up"],
      ["saved", ms(found.saved), "What running at the same time saved: sum less wall", true],
      ["speedup", found.speedup > 0 ? `×${found.speedup.toFixed(2)}` : "–", "Sum by wall", true],
      ["model", ms(found.model), "From the request to the end of the reply"],
      ["round", ms(found.clock), "The whole round"],
    ];
    if (found.overlap >= 0.05) facts.push(["overlap", ms(found.overlap), "The part of wall before the end of the reply"]);
    if (this.report) facts.push(["overhead", ms(found.overhead), "What the runtime itself took"]);
    if (found.restarts > 0) facts.push(["restarts", String(found.restarts), "Workers that were rebuilt"]);
    const drawn = JSON.stringify(facts);
    if (this.drawnFacts === drawn) return;
    this.drawnFacts = drawn;
    this.facts.replaceChildren(...facts.map(([name, value, title, isGood]) =>
      h("div", { data: { fact: name, ...(isGood && found.saved > 0 ? { good: "" } : {}) }, title }, h("dt", {}, name), h("dd", {}, value))));
  }

  drawNews() {
    const { round } = this;
    const since = (at) => us(Math.max(0, at - round.askedAt));
    const tries = failedTries(round);
    const restarts = round.restarted.map(({ tool, generation, cause, restUs, at }) =>
      h("li", { data: { restarted: tool } }, `↻ ${oneLine(tool, 100)} restarted at ${since(at)} (generation ${generation}, after ${us(restUs)} of rest): ${oneLine(cause, 300)}`));
    this.news.replaceChildren(...tries, ...restarts);
    this.news.hidden = tries.length + restarts.length === 0;
  }

  drawLegend() {
    const bars = [...this.body.querySelectorAll(".bar:not([hidden])")];
    const has = new Set(bars.map(({ dataset: { phase, outcome } }) => (phase === "running" && ["bad", "off"].includes(outcome) ? outcome : phase)));
    const entries = Object.keys(PHASES).filter((phase) => has.has(phase)).map((phase) =>
      h("li", {}, h("i", { class: "swatch bar", data: { phase }, "aria-hidden": "true" }), PHASES[phase]));
    const { round } = this;
    if (firstOf(round) !== null) entries.push(h("li", {}, h("i", { class: "diamond", "aria-hidden": "true" }), "first token"));
    if (round.repliedAt !== null) entries.push(h("li", {}, h("i", { class: "line", "aria-hidden": "true" }), "end of the reply"));
    if (this.numbers.critical) entries.push(h("li", {}, h("i", { class: "point", "aria-hidden": "true" }, "◀"), "critical call: it ended last"));
    if (round.restarted.length > 0) entries.push(h("li", {}, h("i", { class: "point", "aria-hidden": "true" }, "↻"), "worker restarted"));
    const drawn = entries.map((entry) => entry.textContent).join();
    if (this.drawnLegend === drawn) return;
    this.drawnLegend = drawn;
    this.legend.replaceChildren(...entries);
  }
}

/** What is told of the tries of a reply that came to nothing. */
export function failedTries({ tries, askedAt }) {
  return tries.filter(({ error }) => error).map(({ model, error, endedAt, restUs, attempt }) =>
    h("li", { class: "bad" }, `✗ try ${attempt} of the reply failed at ${us(endedAt - askedAt)}, rest ${us(restUs)}: ${oneLine(model, 60)}: ${oneLine(error.message, 300)}`));
}

/** The numbers in milliseconds: the report's, or those so far. */
function counted(round, report, now) {
  const own = numbers(round, now);
  if (!report) {
    const all = Object.entries(own).map(([name, value]) =>
      [name, typeof value === "number" && !["speedup", "restarts"].includes(name) ? value / 1000 : value]);
    return Object.fromEntries(all);
  }
  const critical = round.calls.find(({ id }) => id === report.critical_call);
  return {
    model: report.model_ms, clock: report.round_ms, wall: report.wall_ms, sum: report.sum_ms,
    saved: report.saved_ms, speedup: report.speedup, overlap: report.overlap_ms, overhead: report.overhead_ms,
    firstToken: report.first_token_ms, restarts: report.restarts, critical: critical?.key ?? null,
  };
}

function stateOf(round) {
  if (round.endedAt !== null) return "done";
  return callsOf(round).some(isWaiting) ? "waiting" : "running";
}

/** Those that did not end well, the critical one, and of the others the first. */
function picked(calls, critical) {
  if (calls.length <= MOST_LANES) return calls;
  const matters = (call) => call.key === critical || isWaiting(call) || !["ok", null].includes(outcomeOf(call));
  const ranked = [...calls.filter(matters), ...calls.filter((call) => !matters(call))];
  const kept = new Set(ranked.slice(0, MOST_LANES));
  return calls.filter((call) => kept.has(call));
}

/** The end of the axis: of the reply, or of the last call. */
function endOf(round, now) {
  const until = round.endedAt ?? now;
  const ends = callsOf(round).map((call) => stretches(call, until).at(-1)?.to ?? 0);
  const open = round.endedAt === null ? now : 0;
  return Math.max(round.repliedAt ?? until, open, ...ends);
}
