// The waterfall of one round: a table with a lane for the model and one for each call. While something
// runs the lanes come from the session's events; the numbers of a finished round are the report's.

import { callsOf, isWaiting, modelStretches, numbers, outcomeOf, stretches } from "./fold.js";
import { arrange, attr, h, say, unseen } from "./dom.js";
import { count, head, marks, ms, oneLine, outcome, pretty, us } from "./text.js";

/** The most calls that get a lane before the rest is asked for. */
const MOST_LANES = 40;

const PHASES = {
  asked: "model, to the first token", model: "model, writing", failed: "model, failed", summary: "summary",
  waited: "waiting for a person", queued: "queued", startup: "start-up", backoff: "back-off", running: "running",
};

/** One round. `onCancel(key)` is asked to cancel a call. */
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
    this.drawAxis();
    this.model.tick(round, scale, now);
    for (const lane of this.lanes.values()) lane.tick(round, scale, now);
    if (this.report === null) this.drawFacts(counted(round, null, now));
    const replied = round.repliedAt === null ? "-1px" : `${share(round.repliedAt - scale.zero, scale)}%`;
    this.table.style.setProperty("--reply", replied);
  }

  drawAxis() {
    const isNarrow = this.table.clientWidth > 0 && this.table.clientWidth < 560;
    const wanted = `${this.total} ${isNarrow}`;
    if (this.drawnAxis === wanted) return;
    this.drawnAxis = wanted;
    const at = marks(this.total, isNarrow ? 4 : 7);
    const step = at.length > 1 ? (100 * at[1]) / this.total : 100;
    this.table.style.setProperty("--step", `${step}%`);
    arrange(this.axis, at.map((time) => {
      const left = (100 * time) / this.total;
      const mark = h("span", { class: left > 94 ? "last" : "" }, time === 0 ? "0" : us(time));
      mark.style.left = `${left}%`;
      return mark;
    }));
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
    const has = new Set([...this.body.querySelectorAll(".bar:not([hidden])")].map((bar) => bar.dataset.phase));
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

function firstOf(round) {
  return round.firstTokenAt ?? round.firstTextAt;
}

function share(time, { total }) {
  return Math.min(100, Math.max(0, (100 * time) / total));
}

/** A track: bars and marks, placed by the time. */
class Track {
  constructor() {
    this.bars = [];
    this.marks = new Map();
    this.text = unseen("");
    this.area = h("div", { class: "area", "aria-hidden": "true" });
    this.cell = h("td", { role: "cell", class: "track" }, this.area, this.text);
  }

  draw(found, scale, extra = {}) {
    found.forEach(({ phase, from, to }, place) => {
      const bar = this.bars[place] ??= this.area.appendChild(h("i", { class: "bar" }));
      bar.hidden = false;
      if (bar.dataset.phase !== phase) bar.dataset.phase = phase;
      if (extra.outcome !== undefined) attr(bar, "data-outcome", place === found.length - 1 ? extra.outcome : null);
      const title = `${PHASES[phase]} ${us(to - from)}`;
      if (!extra.isLive && bar.title !== title) bar.title = title;
      const left = share(from - scale.zero, scale);
      bar.style.left = `${left}%`;
      bar.style.width = `${share(to - scale.zero, scale) - left}%`;
    });
    this.bars.slice(found.length).forEach((bar) => { bar.hidden = true; });
  }

  mark(name, at, scale, text = "", title = "") {
    let mark = this.marks.get(name);
    if (at === null) {
      mark?.remove();
      this.marks.delete(name);
      return;
    }
    if (!mark) {
      mark = this.area.appendChild(h("b", { class: `at ${name.split(" ")[0]}` }, text));
      if (title) mark.title = title;
      this.marks.set(name, mark);
    }
    mark.style.left = `${share(at - scale.zero, scale)}%`;
  }
}

class ModelLane {
  constructor() {
    this.track = new Track();
    this.time = h("td", { role: "cell", class: "num" });
    this.end = h("td", { role: "cell", class: "end" });
    this.name = h("span", { class: "hint" });
    this.row = h("tr", { role: "row", class: "lane model", data: { lane: "model" } },
      h("th", { role: "rowheader", scope: "row", class: "who" }, h("span", { class: "tool" }, "model"), this.name),
      this.track.cell, this.time, this.end);
  }

  update(round, found) {
    const asked = round.model ?? round.tries.findLast(({ model }) => model)?.model ?? "";
    say(this.name, oneLine(asked, 60));
    say(this.time, round.repliedAt === null && round.endedAt === null ? "" : ms(found.model));
    const tries = round.retries > 0 ? `, ${round.retries + 1} tries` : "";
    const how = round.repliedAt !== null ? "replied" : round.endedAt !== null ? "no reply" : "asked";
    say(this.end, how + tries);
    const first = found.firstToken === null ? "" : `, first token at ${ms(found.firstToken)}`;
    say(this.track.text, round.repliedAt === null ? "under way" : `asked at 0, replied at ${ms(found.model)}${first}`);
  }

  tick(round, scale, now) {
    const first = firstOf(round);
    const found = modelStretches(round, now).flatMap((stretch) => {
      const { phase, from, to } = stretch;
      if (phase !== "model") return [stretch];
      const split = first !== null && first >= from && first <= to ? first : round.repliedAt === null ? to : from;
      return [{ phase: "asked", from, to: split }, { phase: "model", from: split, to }].filter((part) => part.to > part.from);
    });
    this.track.draw(found, scale, { isLive: round.repliedAt === null });
    this.track.mark("first", first, scale, "", "first token");
    if (round.repliedAt === null && round.endedAt === null) say(this.time, us(now - round.askedAt));
  }
}

class CallLane {
  constructor(key, onCancel) {
    Object.assign(this, { key, onCancel, isOpen: false });
    this.track = new Track();
    this.mark = h("span", { class: "sign", "aria-hidden": "true" });
    this.tool = h("span", { class: "tool" });
    this.args = h("span", { class: "args" });
    const more = `more-${key}`;
    this.button = h("button", {
      type: "button", class: "name", "aria-expanded": "false", "aria-controls": more,
      on: { click: () => this.toggle() },
    }, this.mark, this.tool, this.args);
    this.time = h("td", { role: "cell", class: "num" });
    this.word = h("span", { class: "word" });
    this.aside = h("span", { class: "aside" });
    this.row = h("tr", { role: "row", class: "lane", data: { call: key } },
      h("th", { role: "rowheader", scope: "row", class: "who" }, this.button),
      this.track.cell, this.time, h("td", { role: "cell", class: "end" }, this.word, this.aside));
    this.details = h("td", { role: "cell", colSpan: 4 });
    this.more = h("tr", { role: "row", class: "more", id: more, hidden: true }, this.details);
  }

  toggle() {
    this.isOpen = !this.isOpen;
    this.more.hidden = !this.isOpen;
    attr(this.button, "aria-expanded", this.isOpen);
    this.drawDetails();
  }

  update(call, facts) {
    Object.assign(this, { call, facts });
    const { told, isCritical, isDiscarded, isStill } = facts;
    const kind = this.kind = told?.outcome ?? outcomeOf(call);
    const state = isStill && kind === null ? "cut" : stateOfCall(call, kind);
    attr(this.row, "data-state", state);
    attr(this.row, "data-outcome", kind);
    attr(this.row, "data-critical", isCritical ? "" : null);
    attr(this.row, "data-tool", call.tool);
    say(this.mark, signOf(kind, state));
    say(this.tool, oneLine(call.tool, 100));
    say(this.args, oneLine(call.arguments ?? "", 120));
    if (kind !== null) say(this.time, timeOf(call, told));
    say(this.word, wordOf(call, kind, state));
    const attempts = told?.attempts ?? call.end?.attempts ?? call.tries.length + 1;
    const asides = [
      attempts > 1 && `${attempts} tries`, told?.reused ?? call.end?.reused, call.isEarly && "early",
      isDiscarded && "not asked for in the end", isCritical && "critical",
      kind === null && call.progress && oneLine(call.progress, 80),
    ];
    say(this.aside, asides.filter(Boolean).join(" · "));
    say(this.track.text, textOf(call, told, kind));
    this.drawDetails();
  }

  tick(round, scale, now) {
    const { call, kind } = this;
    const until = round.endedAt ?? now;
    const found = stretches(call, until);
    this.track.draw(found, scale, { outcome: kind === null ? null : kind === "ok" ? "ok" : "bad", isLive: kind === null });
    const last = found.at(-1);
    this.track.mark("critical", this.facts.isCritical && kind !== null && last ? last.to : null, scale, "◀", "critical call");
    for (const { tool, generation, at, cause } of round.restarted) {
      if (tool !== call.tool) continue;
      const isIts = call.end ? call.end.generation === generation - 1 && call.end.kind === "panicked" : true;
      const isWithin = last && at >= found[0].from && at <= last.to;
      const place = isWithin ? at : isIts && last ? Math.min(Math.max(at, last.to), scale.zero + scale.total) : null;
      this.track.mark(`restart ${generation}`, isWithin || (isIts && call.end) ? place : null, scale, "↻", `restarted: ${oneLine(cause, 100)}`);
    }
    if (kind === null) {
      const running = found.filter(({ phase }) => phase === "running");
      say(this.time, running.length === 0 ? "" : us(running.reduce((sum, { from, to }) => sum + to - from, 0)));
      const now = last?.phase;
      if (now !== this.drawnPhase) {
        this.drawnPhase = now;
        if (!this.facts.isStill) say(this.word, wordOf(call, kind, stateOfCall(call, kind), now));
      }
    }
  }

  drawDetails() {
    if (!this.isOpen || !this.call) return;
    const { call, facts: { told }, kind } = this;
    const drawn = JSON.stringify([call.arguments, kind, told?.result?.length, call.end?.at, call.edited, call.approval, call.tries.length, call.progress]);
    if (this.drawnDetails === drawn) return;
    this.drawnDetails = drawn;
    const result = told?.result ?? call.end?.content ?? call.refused?.content ?? null;
    const error = told?.error ?? call.end?.problem ?? call.refused?.problem ?? null;
    const parts = [
      h("dl", { class: "parts" }, partsOf(call, told).map(([name, value]) => h("div", {}, h("dt", {}, name), h("dd", {}, value)))),
      block("Arguments", call.arguments === null ? "none yet" : pretty(call.arguments), "arguments"),
    ];
    if (call.edited !== null) parts.push(h("p", { class: "hint" }, "A person changed the arguments before the call was run."));
    if (call.approval?.reason) parts.push(block("Reason of the person", call.approval.reason, "reason"));
    call.tries.forEach(({ attempt, cause, restUs }) =>
      parts.push(h("p", { class: "bad" }, `✗ try ${attempt} failed, rest ${us(restUs)}: ${oneLine(cause, 400)}`)));
    if (error) parts.push(block(`Error: ${error.code}`, error.message, "error"));
    if (result !== null) parts.push(block("Result, as the model was told", pretty(result), "result"));
    if (call.end?.stored) parts.push(h("p", { class: "hint" }, `The whole result has ${call.end.stored.bytes} bytes and is kept as ${call.end.stored.id}.`));
    if (kind === null && call.startedAt !== null) {
      parts.push(h("button", { type: "button", class: "quiet", data: { cancelCall: call.key }, on: { click: () => this.onCancel(call.key) } }, "Cancel this call"));
    }
    this.details.replaceChildren(...parts);
  }
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

function stateOfCall(call, kind) {
  if (kind !== null) return "ended";
  if (isWaiting(call)) return "waiting";
  return call.startedAt === null ? "asked" : "running";
}

function signOf(kind, state) {
  if (kind === null) return { waiting: "?", running: "▸", asked: "·", cut: "✂" }[state];
  if (kind === "ok") return "✓";
  return ["unavailable", "overloaded", "denied", "cancelled"].includes(kind) ? "–" : "✗";
}

function wordOf(call, kind, state, phase = null) {
  if (kind !== null) return outcome(kind);
  if (state === "waiting") return "waits for you";
  if (state === "asked") return "asked for";
  if (state === "cut") return call.startedAt === null ? "cut, not begun" : "cut, no end";
  if (phase === "queued") return call.queued.ahead > 0 ? `queued, ${call.queued.ahead} ahead` : "queued";
  return phase === "backoff" ? "back-off" : "running";
}

function timeOf(call, told) {
  if (told) return told.attempts === 0 && told.ran_ms === 0 ? "–" : ms(told.ran_ms);
  return call.end && call.end.dispatchedAt > 0 ? us(call.end.ran) : "–";
}

function partsOf(call, told) {
  const end = call.end;
  const of = (field, own) => (told ? told[field] : end ? own / 1000 : null);
  const times = [
    ["waiting for a person", of("waited_ms", end?.waited)], ["queued", of("queued_ms", end?.queued)],
    ["start-up", of("startup_ms", end?.startup)], ["back-off", of("backoff_ms", end?.backoff)],
    ["running", of("ran_ms", end?.ran)],
  ].map(([name, value]) => [name, ms(value)]);
  const attempts = told?.attempts ?? end?.attempts;
  return [["id", call.id || "–"], ["key", call.key], ...times, ["tries", String(attempts ?? "–")],
    ["worker's generation", String(told?.worker_generation ?? end?.generation ?? "–")]];
}

/** What the lane shows, in words. */
function textOf(call, told, kind) {
  if (kind === null) return "under way";
  const parts = partsOf(call, told).slice(2, 7).filter(([, value]) => value !== "–" && value !== "0 ms");
  const began = told ? `, began ${ms(told.started_ms)} after the first call` : "";
  return parts.length === 0 ? "not run" : parts.map(([name, value]) => `${name} ${value}`).join(", ") + began;
}
