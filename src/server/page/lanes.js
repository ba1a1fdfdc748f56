// The lanes of a waterfall: what the model, or a call, was doing at each moment of a round.

import { attr, block, h, say, unseen } from "./dom.js";
import { isWaiting, modelStretches, outcomeOf, stretches } from "./fold.js";
import { ms, oneLine, outcome, pretty, us } from "./text.js";

/** What a lane shows, in the order of the legend. */
export const PHASES = {
  asked: "model, to the first token", model: "model, writing", failed: "model, failed", summary: "summary",
  waited: "waiting for a person", queued: "queued", startup: "start-up", backoff: "back-off", running: "running", bad: "running, and did not end well", off: "running, cancelled",
};

/** When the first piece of the reply came, as far as it is known. */
export function firstOf(round) {
  return round.firstTokenAt ?? round.firstTextAt;
}

/** Where `time` lies on the axis, in percent. */
export function share(time, { total }) {
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

  draw(all, scale, extra = {}) {
    // A wait too short to be seen would only cover what came after it.
    const found = all.filter(({ phase, from, to }) => phase === "running" || to - from > scale.total / 500);
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

/** The lane of the model. */
export class ModelLane {
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

/** The lane of one call, and what can be read about it. */
export class CallLane {
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
    this.track.draw(found, scale, { outcome: endOf(kind), isLive: kind === null });
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
    if ((told?.attempts ?? call.end?.attempts ?? 0) > 1 && call.tries.length === 0) {
      parts.push(h("p", { class: "hint" }, "The record keeps the sums of its tries: the lane shows all back-off, then all running."));
    }
    if (call.edited !== null) parts.push(h("p", { class: "hint" }, "A person changed the arguments before the call was run."));
    if (call.approval?.reason) parts.push(block("Reason of the person", call.approval.reason, "reason"));
    call.tries.forEach(({ attempt, cause, restUs }) =>
      parts.push(h("p", { class: "bad" }, `✗ try ${attempt} failed, rest ${us(restUs)}: ${oneLine(cause, 400)}`)));
    if (error) parts.push(block(`Error: ${error.code}`, error.message, "error"));
    if (result !== null) parts.push(block("Result, as the model was told", pretty(result), "result"));
    if (call.end?.stored) parts.push(h("p", { class: "hint" }, `The whole result has ${call.end.stored.bytes} bytes and is kept as ${call.end.stored.id}.`));
    if (kind === null && call.startedAt !== null) {
      parts.push(h("button", { type: "button", class: "quiet", data: { cancelCall: call.key }, on: { click: () => this.onCancel(call.id) } }, "Cancel this call"));
    }
    this.details.replaceChildren(...parts);
  }
}

/** How the last bar of a call that ended so is drawn. */
function endOf(kind) {
  if (kind === null) return null;
  if (kind === "ok") return "ok";
  return kind === "cancelled" ? "off" : "bad";
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
