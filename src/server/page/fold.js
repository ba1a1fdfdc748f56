// A session as the page shows it: a fold over its records, without the document, the network or a
// clock. Times are microseconds. Those of rounds are by the session's clock, which stands still while
// no process runs the turn: `at_us` less `stoodStill`.

import { us } from "./text.js";

const NEWS = new Set([
  "text_streamed", "reasoning_streamed", "call_progressed", "call_queued", "call_retried",
]);

/** The version of records that is understood here. */
const VERSION = 1;

/** A reply that was asked for so long before the page heard of it may have lost its beginning. */
const LATE_US = 1_000_000;

/** An empty session. */
export function empty() {
  return {
    lastSeq: 0, lastAt: 0, stoodStill: 0, system: null, turns: [], turn: null, open: null,
    rounds: new Map(), lost: new Set(), model: null,
  };
}

/**
 * Takes `record` into `session`, and says whether it told anything. A kept record that is known
 * already tells nothing. `receivedAt`, by the server's clock, tells a reply whose beginning was missed.
 */
export function fold(session, record, receivedAt = null) {
  const { seq, at_us: at, type } = record;
  const isNews = NEWS.has(type);
  if (!isNews) {
    if (seq <= session.lastSeq) return false;
    session.lastSeq = seq;
    if (type === "turn_resumed") {
      session.stoodStill += Math.max(0, at - session.lastAt);
      session.lost.clear();
    }
    session.lastAt = at;
  }
  const on = record.v > VERSION ? null : HANDLERS[type];
  if (!on) return false;
  on(session, record, clock(session, at), receivedAt === null ? 0 : receivedAt - at);
  touch(session);
  return true;
}

/** The moment `at` by the session's clock. */
export function clock(session, at) {
  return Math.max(0, at - session.stoodStill);
}

/** Notes that pieces of a text that is being written may have been missed. */
export function missed(session) {
  if (session.open && session.open.text) session.open.isTextCut = true;
}

const HANDLERS = {
  session_opened(session, { system }) {
    session.system = system;
  },
  turn_started(session, { turn, prompt, at_us }, at) {
    session.lost.clear();
    session.turn = {
      turn, prompt, at: at_us, startedAt: at, endedAt: null, end: null, problem: null, answer: null,
      finish: null, model: null, rounds: [], notes: [], rev: 0,
      usage: { input: 0, output: 0, cost: null },
    };
    session.turns.push(session.turn);
  },
  summary_asked(session, record, at) {
    const open = opened(session, record, at);
    open.tries.push({ kind: "summary", askedAt: at, endedAt: null, model: record.model ?? null });
  },
  context_compacted(session, { tokens_before, tokens_after, summary, problem, usage }, at) {
    endTry(session.open, at);
    addUsage(session.turn, usage);
    const how = summary ? "a summary took their place" : "they left without a summary";
    const why = problem ? ` (${problem.message})` : "";
    note(session, "compacted", at, `The oldest messages left the history: about ${tokens_before} tokens before, ${tokens_after} after; ${how}${why}.`);
  },
  model_asked(session, record, at, age) {
    const open = opened(session, record, at);
    endTry(open, at);
    const { attempt, model = null } = record;
    Object.assign(open, { text: "", reasoning: "", isTextCut: age > LATE_US });
    open.tries.push({ kind: "model", attempt, model, askedAt: at, endedAt: null, error: null, restUs: 0 });
  },
  model_failed(session, { model, error, retry_in_us, usage }, at) {
    const { open } = session;
    addUsage(session.turn, usage);
    if (!open) return;
    const last = endTry(open, at);
    if (last) Object.assign(last, { model, error, restUs: retry_in_us });
    open.retries += 1;
  },
  text_streamed(session, { text }, at) {
    const { open } = session;
    if (!open || open.repliedAt !== null) return;
    open.text += text;
    open.firstTextAt ??= at;
  },
  reasoning_streamed(session, { text }) {
    const { open } = session;
    if (open && open.repliedAt === null) open.reasoning += text;
  },
  replied(session, record, at) {
    const { open, turn } = session;
    addUsage(turn, record.usage);
    if (turn) turn.model = record.model ?? turn.model;
    session.model = record.model ?? session.model;
    if (!open) return;
    endTry(open, at);
    const first = record.first_token_at_us;
    Object.assign(open, {
      repliedAt: at, text: record.text, isTextCut: false, reasoning: "", mode: record.mode,
      finish: record.finish, model: record.model ?? null, replyAttempt: record.attempt,
      firstTokenAt: first === null || first === undefined ? null : clock(session, first),
    });
    const early = open.calls;
    const taken = new Set();
    open.calls = record.calls.map((asked, ordinal) => {
      const place = asked.begun ?? { reply_attempt: record.attempt, ordinal };
      const key = keyOf(record.round, place.reply_attempt, place.ordinal);
      const begun = early.find((call) => call.key === key);
      taken.add(key);
      const call = begun ?? newCall(key, asked.id, asked.tool, asked.arguments);
      call.id = asked.id;
      call.tool = asked.tool;
      call.isEarly = Boolean(asked.begun);
      call.arguments = call.edited ?? asked.arguments;
      call.refused = asked.refused ?? null;
      return call;
    });
    open.discarded = early.filter((call) => !taken.has(call.key));
    if (turn) turn.finish = record.finish;
  },
  approval_asked(session, record, at) {
    const call = callOf(session, record);
    if (call) call.approval = { askedAt: at, decidedAt: null, decision: null, reason: null };
  },
  approval_decided(session, record, at) {
    const call = callOf(session, record);
    if (!call || !call.approval || call.approval.decision) return;
    const { decision, reason = null, for_session } = record;
    Object.assign(call.approval, { decision, reason, decidedAt: at, forSession: for_session });
    if (decision === "edited") {
      call.edited = record.arguments;
      call.arguments = record.arguments;
    }
  },
  call_started(session, record, at) {
    const call = callOf(session, record);
    if (!call) return;
    // Once more after a restart of the process: what was seen of the first time is void.
    Object.assign(call, { startedAt: at, queued: null, tries: [], progress: null });
    if (record.arguments !== undefined && session.open.repliedAt === null) call.isEarly = true;
  },
  call_progressed(session, record, at) {
    const call = callOf(session, record);
    if (call && !call.end) Object.assign(call, { progress: record.message, queued: endQueue(call, at) });
  },
  call_queued(session, record, at) {
    const call = callOf(session, record);
    if (call && !call.end) call.queued = { at, ahead: record.ahead, until: null };
  },
  call_retried(session, record, at) {
    const call = callOf(session, record);
    if (!call || call.end) return;
    call.queued = endQueue(call, at);
    call.tries.push({ attempt: record.attempt, failedAt: at, cause: record.cause, restUs: record.backoff_us });
  },
  call_ended(session, record, at) {
    if (record.kind === "panicked") lose(session, record.tool, record.worker_generation);
    const call = callOf(session, record);
    if (!call || call.end) return; // The first end counts.
    const dispatched = record.dispatched_at_us;
    call.end = {
      at, kind: record.kind, content: record.content, problem: record.problem ?? null,
      stored: record.stored ?? null, dispatchedAt: clock(session, dispatched),
      queued: record.queued_us, startup: record.startup_us, backoff: record.backoff_us,
      waited: record.waited_us, ran: record.ran_us, attempts: record.attempts,
      generation: record.worker_generation, reused: record.reused ?? null,
    };
    // Who waits behind it comes closer.
    for (const other of callsOf(session.open)) {
      const { queued } = other;
      if (other.tool !== call.tool || !queued || queued.until !== null || other.end) continue;
      if (queued.ahead === 0) queued.until = at;
      else queued.ahead -= 1;
    }
  },
  worker_restarted(session, { tool, generation, cause, backoff_us }, at) {
    lose(session, tool, generation - 1);
    const news = { tool, generation, cause, restUs: backoff_us, at };
    if (session.open) session.open.restarted.push(news);
    else note(session, "restarted", at, `${tool} was restarted (generation ${generation}): ${cause}`);
  },
  circuit_opened(session, { tool, cause, cool_down_us, everywhere }, at) {
    const where = everywhere ? "everywhere" : "in this session";
    note(session, "withdrawn", at, `${tool} is withdrawn ${where} for ${us(cool_down_us)}: ${cause}`);
  },
  circuit_closed(session, { tool }, at) {
    note(session, "back", at, `${tool} is back.`);
  },
  turn_resumed(session, { turn }, at) {
    const { open } = session;
    if (open) open.isTextCut = true;
    note(session, "resumed", at, `Turn ${turn} was cut and goes on.`);
  },
  turn_ended(session, record, at) {
    const { turn } = session;
    const reply = session.open;
    close(session, at);
    if (!turn) return;
    addUsage(turn, record.usage);
    Object.assign(turn, { end: record.end, endedAt: at, problem: record.problem ?? null });
    if (record.end === "answered") turn.answer = reply ? reply.text : "";
    session.turn = null;
  },
};

/** The round that `record` speaks of: the open one, or a new one that ends it. */
function opened(session, { round }, at) {
  if (session.open && session.open.round === round) return session.open;
  close(session, at);
  session.open = {
    round, askedAt: at, endedAt: null, firstTextAt: null, firstTokenAt: null, repliedAt: null,
    mode: "parallel", finish: null, model: null, text: "", reasoning: "", isTextCut: false,
    replyAttempt: 1, tries: [], retries: 0, calls: [], discarded: [], restarts: 0, restarted: [], rev: 0,
  };
  session.rounds.set(round, session.open);
  if (session.turn) session.turn.rounds.push(session.open);
  return session.open;
}

function close(session, at) {
  const { open } = session;
  if (!open) return;
  endTry(open, at);
  const last = open.tries.at(-1);
  if (last && last.restUs) last.restUs = Math.min(last.restUs, Math.max(0, at - last.endedAt));
  open.endedAt = at;
  open.rev += 1;
  session.open = null;
}

/** Ends the try of the reply that is under way, if there is one. */
function endTry(open, at) {
  const last = open && open.tries.at(-1);
  if (!last || last.endedAt !== null) return null;
  last.endedAt = at;
  return last;
}

function callOf(session, { round, reply_attempt = 1, ordinal, id, tool, arguments: text }) {
  const { open } = session;
  if (!open || open.round !== round) return null;
  const key = keyOf(round, reply_attempt, ordinal);
  const known = callsOf(open).find((call) => call.key === key);
  if (known || id === undefined) return known ?? null;
  const call = newCall(key, id, tool, text ?? null); // It begins before its reply has ended.
  open.calls.push(call);
  return call;
}

function newCall(key, id, tool, text) {
  return {
    key, id, tool, arguments: text, edited: null, refused: null, isEarly: false, approval: null,
    startedAt: null, queued: null, tries: [], progress: null, end: null,
  };
}

function keyOf(round, attempt, ordinal) {
  return `${round}-${attempt}-${ordinal}`;
}

function endQueue({ queued }, at) {
  return queued && { ...queued, until: queued.until ?? at };
}

function lose(session, tool, generation) {
  const lost = JSON.stringify([tool, generation]);
  if (!session.open || session.lost.has(lost)) return;
  session.lost.add(lost);
  session.open.restarts += 1;
}

function note(session, kind, at, text) {
  const turn = session.turn ?? session.turns.at(-1);
  if (turn) turn.notes.push({ kind, at, text });
}

function addUsage(turn, usage) {
  if (!turn || !usage) return;
  turn.usage.input += usage.input_tokens ?? 0;
  turn.usage.output += usage.output_tokens ?? 0;
  if (typeof usage.cost === "number") turn.usage.cost = (turn.usage.cost ?? 0) + usage.cost;
}

function touch(session) {
  const turn = session.turn ?? session.turns.at(-1);
  if (turn) turn.rev += 1;
  if (session.open) session.open.rev += 1;
}

/** All calls of a round, those that were not asked for in the end behind the others. */
export function callsOf(round) {
  return round ? [...round.calls, ...round.discarded] : [];
}

/** Whether the reply asked for calls, or some had begun: what a report counts as a round. */
export function isRound(round) {
  return round.calls.length + round.discarded.length > 0;
}

/** The calls that wait for a person. */
export function waiting(session) {
  return callsOf(session.open).filter(isWaiting);
}

export function isWaiting({ approval, end }) {
  return Boolean(approval && !approval.decision && !end);
}

/** How the call ended, `null` while it has not. */
export function outcomeOf({ end, refused }) {
  return refused?.kind ?? end?.kind ?? null;
}

/** What the call was doing, one stretch after the other, until `now` if it has not ended. */
export function stretches(call, now) {
  const found = [];
  let at = beginOf(call);
  const add = (phase, time) => {
    if (time > 0) found.push({ phase, from: at, to: at + time });
    at += Math.max(0, time);
  };
  if (at === null || call.refused) return found;
  const { end } = call;
  if (!end) return soFar(call, at, now, add) ?? found;
  add("waited", end.waited);
  add("queued", end.queued);
  add("startup", end.startup);
  const seen = call.tries.length === end.attempts - 1 ? call.tries : [];
  const rested = seen.reduce((sum, { restUs }) => sum + restUs, 0);
  if (seen.length === 0 || rested > end.backoff) {
    add("backoff", end.backoff);
    add("running", end.ran);
    return found;
  }
  add("backoff", end.backoff - rested);
  let left = end.ran;
  for (const { failedAt, restUs } of seen) {
    const ran = Math.min(left, Math.max(0, failedAt - at));
    add("running", ran);
    add("backoff", restUs);
    left -= ran;
  }
  add("running", left);
  return found;
}

function soFar(call, begin, now, add) {
  const { approval, startedAt, queued, tries } = call;
  if (approval) add("waited", (startedAt ?? now) - begin);
  if (startedAt === null) return null;
  let at = startedAt;
  const until = (phase, moment) => {
    add(phase, Math.max(0, moment - at));
    at = Math.max(at, moment);
  };
  if (queued) until("queued", Math.min(now, queued.until ?? now));
  for (const { failedAt, restUs } of tries) {
    until("running", Math.min(now, failedAt));
    until("backoff", Math.min(now, failedAt + restUs));
  }
  until("running", now);
  return null;
}

/** When the call's time began; `null` if it did not, or if nobody knows. */
function beginOf({ end, approval, startedAt }) {
  if (end) return end.dispatchedAt > 0 ? end.dispatchedAt : null;
  return approval?.askedAt ?? startedAt;
}

/** What the model was doing until `now`: asked, resting before it is asked again, and a summary. */
export function modelStretches(round, now) {
  const until = round.endedAt ?? now;
  return round.tries.flatMap(({ kind, askedAt, endedAt, error, restUs = 0 }, place) => {
    const end = endedAt ?? until;
    const next = round.tries[place + 1]?.askedAt ?? until;
    const rest = Math.min(end + restUs, next);
    const asked = { phase: error ? "failed" : kind, from: askedAt, to: end };
    return rest > end ? [asked, { phase: "backoff", from: end, to: rest }] : [asked];
  });
}

/**
 * The numbers of a round, as a report has them: of one that has not ended, until `now`. Times are in
 * microseconds.
 */
export function numbers(round, now) {
  const endedAt = round.endedAt ?? now;
  const repliedAt = round.repliedAt ?? endedAt;
  const spans = callsOf(round).map((call) => spanOf(call, endedAt)).filter(Boolean);
  const { wall, overlap } = covered(spans, repliedAt);
  const sum = spans.reduce((total, { ran }) => total + ran, 0);
  const model = Math.max(0, repliedAt - round.askedAt);
  const whole = Math.max(0, endedAt - round.askedAt);
  const first = spans.reduce((least, { from }) => Math.min(least, from), Infinity);
  const asked = new Set(round.calls.filter(({ refused }) => !refused));
  let critical = null;
  for (const span of spans.filter(({ call }) => asked.has(call))) {
    const isLater = !critical || span.to > critical.to
      || (span.to === critical.to && (span.isOwn || !critical.isOwn));
    if (isLater) critical = span;
  }
  return {
    model, clock: whole, wall, sum, overlap,
    firstToken: round.firstTokenAt === null ? null : Math.max(0, round.firstTokenAt - round.askedAt),
    dispatched: spans.length === 0 ? null : Math.max(0, first - round.askedAt),
    saved: Math.max(0, sum - wall),
    speedup: wall === 0 ? 0 : sum / wall,
    overhead: Math.max(0, whole + overlap - model - wall),
    critical: critical ? critical.call.key : null,
    restarts: round.restarts,
  };
}

function spanOf(call, now) {
  const from = beginOf(call);
  const { end } = call;
  if (from === null) return null;
  if (end) {
    const to = from + end.queued + end.startup + end.backoff + end.waited + end.ran;
    return { call, from, to, ran: end.ran, isOwn: end.reused === null };
  }
  const ran = call.startedAt === null ? 0 : Math.max(0, now - call.startedAt);
  return { call, from, to: Math.max(from, now), ran, isOwn: true };
}

/** The time with a call under way, and the part of it before the reply's end. */
function covered(spans, repliedAt) {
  const sorted = [...spans].sort((one, other) => one.from - other.from || one.to - other.to);
  let [wall, overlap, until] = [0, 0, 0];
  for (const { from, to } of sorted) {
    const begin = Math.max(from, until);
    if (to <= begin) continue;
    wall += to - begin;
    overlap += Math.max(0, Math.min(to, repliedAt) - begin);
    until = to;
  }
  return { wall, overlap };
}
