// One turn of a session: the question, its rounds, and the answer while it is written and after.

import { Approval } from "./approvals.js";
import { callsOf, isRound, isWaiting } from "./fold.js";
import { arrange, attr, h, say } from "./dom.js";
import { count, us } from "./text.js";
import { failedTries, Waterfall } from "./waterfall.js";

const ENDS = {
  cancelled: ["cancelled", "The turn was cancelled."],
  timed_out: ["timed_out", "The turn's time limit passed."],
};

/** A turn. `onCancelCall(call)` and `onSeen(round)` are told of what the reader does. */
export class TurnView {
  constructor(id, turn, { onCancelCall, onSeen }) {
    Object.assign(this, { id, turn, onCancelCall, rounds: new Map(), texts: new Map(), approvals: new Map(), rev: -1 });
    this.watcher = new IntersectionObserver((entries) => {
      entries.filter(({ isIntersecting }) => isIntersecting).forEach(({ target }) => onSeen(Number(target.dataset.round), this));
    }, { rootMargin: "400px" });
    const name = `turn-${turn.turn}`;
    this.prompt = h("p", { class: "text", data: { role: "prompt" } }, turn.prompt);
    this.middle = h("div", { class: "rounds" });
    this.notes = h("ul", { class: "news" });
    this.answer = h("div", { class: "text answer", data: { role: "answer" }, "aria-live": "polite", "aria-busy": "false" });
    this.thinking = h("p", { class: "hint thinking", hidden: true });
    this.error = h("p", { class: "failure", data: { role: "error" }, hidden: true });
    this.foot = h("p", { class: "foot" });
    this.element = h("article", { class: "turn", data: { turn: turn.turn }, "aria-labelledby": name },
      h("h2", { id: name, class: "label" }, `Turn ${turn.turn}`, h("span", { class: "unseen" }, ": the question")),
      this.prompt, this.middle, this.thinking, this.answer, this.error, this.notes, this.foot);
  }

  /** Draws what has changed. `now` is by the session's clock; `isStill` if nobody runs the turn. */
  update(now, isStill) {
    const { turn } = this;
    const isOpen = turn.end === null;
    if (this.rev === turn.rev && this.wasStill === isStill) return;
    Object.assign(this, { rev: turn.rev, wasStill: isStill });
    attr(this.element, "data-state", isOpen ? (isStill ? "cut" : "running") : turn.end);
    const parts = turn.rounds.filter(isRound).flatMap((round) => this.drawRound(round, now));
    arrange(this.middle, parts);
    this.drawAnswer();
    this.drawError();
    this.drawNotes();
    this.drawFoot();
  }

  drawRound(round, now) {
    let view = this.rounds.get(round.round);
    if (!view) {
      view = new Waterfall(round, { onCancel: this.onCancelCall });
      this.rounds.set(round.round, view);
      this.watcher.observe(view.element);
    }
    if (view.rev !== round.rev || view.isStale || (round.endedAt === null && view.isStill !== this.wasStill)) {
      view.rev = round.rev;
      view.update(now, this.wasStill && round.endedAt === null);
      if (round.endedAt !== null && view.report === null) { // What is seen already is not seen anew.
        this.watcher.unobserve(view.element);
        this.watcher.observe(view.element);
      }
    }
    const text = this.texts.get(round.round) ?? h("p", { class: "text", data: { role: "reply" } });
    this.texts.set(round.round, text);
    say(text, round.text);
    const asked = callsOf(round).filter(isWaiting);
    for (const key of this.approvals.keys()) {
      if (!key.startsWith(`${round.round}-`) || asked.some((call) => call.key === key)) continue;
      if (this.approvals.get(key).element.contains(document.activeElement)) view.focus(key);
      this.approvals.delete(key);
    }
    const questions = asked.map((call) => {
      const known = this.approvals.get(call.key) ?? new Approval(this.id, call);
      this.approvals.set(call.key, known);
      return known.element;
    });
    return [...(round.text ? [text] : []), view.element, ...questions];
  }

  drawAnswer() {
    const { turn } = this;
    const last = turn.rounds.at(-1);
    const isWriting = turn.end === null && last && !isRound(last);
    const written = isWriting ? (last.isTextCut && last.text ? `… ${last.text}` : last.text) : turn.answer ?? "";
    // The text so far of a turn that failed is kept: it was seen.
    const cut = turn.end !== null && turn.end !== "answered" && last && !isRound(last) ? last.text : "";
    attr(this.answer, "aria-busy", String(Boolean(isWriting && last.repliedAt === null)));
    this.write(written || cut);
    this.answer.hidden = !(written || cut);
    attr(this.answer, "data-state", isWriting ? "writing" : cut ? "cut" : "whole");
    const isThinking = isWriting && !written;
    this.thinking.hidden = !isThinking;
    if (isThinking) say(this.thinking, last.reasoning ? `The model is thinking: …${last.reasoning.slice(-300)}` : "The model was asked.");
  }

  /** What is written piece by piece is not written anew with each piece. */
  write(text) {
    const { answer } = this;
    const node = answer.firstChild;
    if (node && text.startsWith(node.data)) node.appendData(text.slice(node.data.length));
    else say(answer, text);
  }

  drawError() {
    const { turn } = this;
    const [code, message] = turn.end === "failed"
      ? [turn.problem?.code ?? "failed", turn.problem?.message ?? "The turn failed."]
      : ENDS[turn.end] ?? [null, null];
    this.error.hidden = code === null;
    if (code === null) return;
    this.error.replaceChildren(h("span", { "aria-hidden": "true" }, turn.end === "cancelled" ? "– " : "✗ "), h("code", {}, code), " ", message);
    attr(this.error, "data-code", code);
  }

  drawNotes() {
    const { turn } = this;
    const notes = turn.notes.map(({ kind, text }) => h("li", { data: { note: kind } }, text));
    // Those of a round stand with it.
    const tries = turn.rounds.filter((round) => !isRound(round)).flatMap(failedTries);
    this.notes.replaceChildren(...tries, ...notes);
    this.notes.hidden = tries.length + notes.length === 0;
  }

  drawFoot() {
    const { turn } = this;
    const last = turn.rounds.at(-1);
    const facts = [];
    if (turn.end !== null) facts.push(us(turn.endedAt - turn.startedAt));
    const rounds = turn.rounds.filter(isRound).length;
    facts.push(count(rounds, "round"));
    if (last && !isRound(last) && last.repliedAt !== null) {
      const first = last.firstTokenAt === null ? "" : ` (first token ${us(last.firstTokenAt - last.askedAt)})`;
      facts.push(`answer ${us(last.repliedAt - last.askedAt)}${first}`);
    }
    const { input, output, cost } = turn.usage;
    if (input + output > 0) facts.push(`${input} tokens in, ${output} out`);
    if (cost !== null) facts.push(`$${cost.toFixed(4)}`);
    if (turn.model) facts.push(turn.model);
    if (last && !isRound(last) && last.retries > 0) facts.push(`${count(last.retries, "retry", "retries")} of the answer`);
    say(this.foot, facts.join(" · "));
  }

  /** Moves what grows with the time. Says whether anything does. */
  tick(now) {
    const open = [...this.rounds.values()].filter(({ round }) => round.endedAt === null);
    open.forEach((view) => view.tick(now));
    return this.turn.end === null;
  }

  /** The page has another width. */
  fit(now) {
    for (const view of this.rounds.values()) view.tick(view.round.endedAt ?? now);
  }

  close() {
    this.watcher.disconnect();
  }
}
