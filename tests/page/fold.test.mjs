// What the page makes of a session's events: the same numbers as the report.

import test from "node:test";
import assert from "node:assert/strict";
import * as f from "../../src/server/page/fold.js";
export const WHOLE = [
 `"type":"session_opened","system":"Be brief."`,
 `"type":"turn_started","turn":1,"prompt":"Weather and stock?\\nToday."`,
 `"type":"model_asked","round":1,"attempt":1`,
 `"type":"replied","round":1,"attempt":1,"message":"{}","text":"","calls":[{"id":"a","tool":"get_weather","arguments":"{\\"city\\":\\"Tokyo\\"}"},{"id":"b","tool":"get_stock","arguments":"{\\"x\\":1}"}],"mode":"parallel","finish":"tool_calls","model":"m","usage":{"input_tokens":7,"output_tokens":3},"first_token_at_us":3500`,
 `"type":"call_started","round":1,"reply_attempt":1,"ordinal":0,"id":"a","tool":"get_weather"`,
 `"type":"call_started","round":1,"reply_attempt":1,"ordinal":1,"id":"b","tool":"get_stock"`,
 `"at_us":7000,"type":"call_ended","round":1,"reply_attempt":1,"ordinal":0,"id":"a","tool":"get_weather","kind":"ok","content":"{\\"temp\\":71}","dispatched_at_us":5000,"queued_us":100,"startup_us":50,"backoff_us":200,"waited_us":0,"ran_us":650,"attempts":2,"worker_generation":0`,
 `"at_us":9000,"type":"call_ended","round":1,"reply_attempt":1,"ordinal":1,"id":"b","tool":"get_stock","kind":"timed_out","content":"error: too late","problem":{"code":"timed_out","message":"too late"},"dispatched_at_us":6000,"queued_us":0,"startup_us":0,"backoff_us":0,"waited_us":0,"ran_us":2500,"attempts":1,"worker_generation":0`,
 `"at_us":9500,"type":"model_asked","round":2,"attempt":1`,
 `"at_us":11000,"type":"replied","round":2,"attempt":1,"message":"{}","text":"71 degrees.","calls":[],"mode":"parallel","finish":"stop","model":"m","usage":{"input_tokens":20,"output_tokens":5},"first_token_at_us":null`,
 `"at_us":11000,"type":"turn_ended","turn":1,"end":"answered"`,
];
export function journal(lines, start = 1) {
  return lines.map((line, i) => {
    const seq = start + i;
    const at = line.includes('"at_us":') ? "" : `"at_us":${seq * 1000},`;
    return JSON.parse(`{"v":1,"seq":${seq},"session":"s",${at}${line}}`);
  });
}
const session = (lines) => { const s = f.empty(); for (const r of journal(lines)) f.fold(s, r); return s; };
test("a whole turn has the numbers of the report", () => {
  const s = session(WHOLE);
  const r = s.rounds.get(1);
  const n = f.numbers(r, 0);
  assert.deepEqual(n, { model: 1000, clock: 6500, wall: 3500, sum: 3150, overlap: 0, firstToken: 500, dispatched: 2000, saved: 0, speedup: 3150/3500, overhead: 2000, critical: "1-1-1", restarts: 0 });
  assert.equal(s.turns[0].answer, "71 degrees."); assert.equal(s.turns[0].usage.input, 27);
  assert.equal(f.isRound(s.rounds.get(2)), false);
  assert.deepEqual(f.stretches(r.calls[0], 0).map(({phase, from, to}) => [phase, from, to]), [["queued",5000,5100],["startup",5100,5150],["backoff",5150,5350],["running",5350,6000]]);
  assert.equal(s.turn, null); assert.equal(s.open, null);
});
test("an open round is counted until now, and a call without an end has none", () => {
  const s = session(WHOLE.slice(0, 7));
  const n = f.numbers(s.open, s.lastAt);
  assert.equal(n.critical, "1-1-1"); // as past.rs: b, whose ran is 1 ms until the last event
  assert.equal(n.sum, 650 + 1000);
  assert.equal(f.outcomeOf(s.open.calls[1]), null);
  assert.equal(s.turn.turn, 1);
});
test("records come once", () => {
  const s = session(WHOLE);
  for (const r of journal(WHOLE)) assert.equal(f.fold(s, r), false);
  assert.equal(s.turns.length, 1);
});
test("wall is the time with a call under way and overlap what is before the reply's end", () => {
  const check = (spans, replied, wall, overlap) => {
    const calls = spans.map(([from, ran], i) => ({ key: String(i), end: { dispatchedAt: from, queued:0,startup:0,backoff:0,waited:0,ran, reused: null }, refused: null }));
    const n = f.numbers({ askedAt: 0, endedAt: 1000, repliedAt: replied, firstTokenAt: null, calls, discarded: [], restarts: 0 }, 0);
    assert.deepEqual([n.wall, n.overlap], [wall, overlap]);
  };
  check([], 0, 0, 0); check([[10,5]],10,5,0); check([[10,5],[12,5]],10,7,0); check([[10,9],[12,2]],10,9,0);
  check([[10,5],[20,5]],10,10,0); check([[20,5],[10,5]],10,10,0);
  check([[10,10]],15,10,5); check([[10,2],[14,4]],15,6,3); check([[10,2]],100,2,2);
});
test("time in which no process ran the turn is left out", () => {
  const s = session([...WHOLE.slice(0, 7), `"at_us":1000000,"type":"turn_resumed","turn":1`, `"at_us":1002000,"type":"turn_ended","turn":1,"end":"cancelled"`]);
  assert.equal(s.turns[0].endedAt - s.turns[0].startedAt, 7000);
  assert.equal(s.turns[0].end, "cancelled");
  const n = f.numbers(s.rounds.get(1), 0);
  assert.equal(n.clock, 9000 - 3000);
});
test("restarts count once: panicked end and later news of the same generation", () => {
  const s = session([...WHOLE.slice(0, 6),
   `"type":"call_ended","round":1,"reply_attempt":1,"ordinal":0,"id":"a","tool":"get_weather","kind":"panicked","content":"error: p","problem":{"code":"panicked","message":"p"},"dispatched_at_us":5000,"queued_us":0,"startup_us":0,"backoff_us":0,"waited_us":0,"ran_us":650,"attempts":1,"worker_generation":0`,
   `"type":"worker_restarted","tool":"get_weather","generation":1,"cause":"panicked","backoff_us":100`,
   `"type":"worker_restarted","tool":"get_weather","generation":2,"cause":"panicked","backoff_us":100`]);
  assert.equal(s.open.restarts, 2); assert.equal(s.open.restarted.length, 2);
});
test("early calls keep their place, and those not asked for are discarded", () => {
  const s = session([...WHOLE.slice(0, 3),
   `"type":"call_started","round":1,"reply_attempt":1,"ordinal":0,"id":"","tool":"get_weather","arguments":"{}"`,
   `"type":"call_started","round":1,"reply_attempt":1,"ordinal":1,"id":"","tool":"get_news","arguments":"{}"`,
   `"type":"replied","round":1,"attempt":2,"message":"{}","text":"","calls":[{"id":"a","tool":"get_weather","arguments":"{}","begun":{"reply_attempt":1,"ordinal":0}},{"id":"t","tool":"u","arguments":"{","refused":{"kind":"truncated","content":"no"}}],"mode":"parallel","finish":"tool_calls","model":"m","usage":null,"first_token_at_us":null`]);
  assert.deepEqual(s.open.calls.map((c) => [c.key, c.isEarly, f.outcomeOf(c)]), [["1-1-0", true, null], ["1-2-1", false, "truncated"]]);
  assert.deepEqual(s.open.discarded.map((c) => c.key), ["1-1-1"]);
  const n = f.numbers(s.open, 7000);
  assert.equal(n.overlap, 2000); assert.equal(n.wall, 3000);
});
test("an approval is waited for, edited, and its wait is drawn first", () => {
  const asked = [...WHOLE.slice(0, 4), `"type":"approval_asked","round":1,"reply_attempt":1,"ordinal":0,"id":"a","tool":"get_weather"`];
  let s = session(asked);
  assert.deepEqual(f.waiting(s).map((c) => c.key), ["1-1-0"]);
  assert.deepEqual(f.stretches(s.open.calls[0], 9000), [{ phase: "waited", from: 5000, to: 9000 }]);
  s = session([...asked, `"type":"approval_decided","round":1,"reply_attempt":1,"ordinal":0,"id":"a","tool":"get_weather","decision":"edited","arguments":"{\\"city\\":\\"Kyoto\\"}","for_session":false`,
    `"type":"call_started","round":1,"reply_attempt":1,"ordinal":0,"id":"a","tool":"get_weather"`]);
  assert.equal(f.waiting(s).length, 0);
  assert.equal(s.open.calls[0].arguments, `{"city":"Kyoto"}`);
  assert.deepEqual(f.stretches(s.open.calls[0], 9000).map((x) => [x.phase, x.to - x.from]), [["waited", 2000], ["running", 2000]]);
});
test("tries that were seen are drawn between their rests", () => {
  const s = session([...WHOLE.slice(0, 5),
   `"at_us":6000,"type":"call_retried","round":1,"ordinal":0,"attempt":1,"cause":"c","backoff_us":500`,
   `"at_us":9000,"type":"call_ended","round":1,"reply_attempt":1,"ordinal":0,"id":"a","tool":"get_weather","kind":"ok","content":"x","dispatched_at_us":5000,"queued_us":100,"startup_us":0,"backoff_us":600,"waited_us":0,"ran_us":3300,"attempts":2,"worker_generation":0`]);
  assert.deepEqual(f.stretches(s.open.calls[0], 0).map((x) => [x.phase, x.to - x.from]), [["queued",100],["backoff",100],["running",800],["backoff",500],["running",2500]]);
});
test("model tries and rests", () => {
  const s = session([...WHOLE.slice(0,3), `"at_us":8000,"type":"model_failed","round":1,"attempt":1,"model":"m","error":{"code":"stream_cut","message":"cut"},"retry_in_us":500,"text_was_shown":false`, `"at_us":8600,"type":"model_asked","round":1,"attempt":2`]);
  assert.deepEqual(f.modelStretches(s.open, 9600).map((x) => [x.phase, x.to - x.from]), [["failed",5000],["backoff",500],["model",1000]]);
});
test("what a later version wrote is passed over", () => {
  const s = session([...WHOLE, `"type":"moon_rose","of":1`]);
  assert.equal(s.lastSeq, 12); assert.equal(s.turns.length, 1);
});
test("turn_started after an unfinished one leaves it open and closes nothing before model_asked", () => {
  const s = session([...WHOLE.slice(0, 6), `"type":"turn_started","turn":2,"prompt":"x"`, `"type":"model_asked","round":2,"attempt":1`]);
  assert.equal(s.turns.length, 2); assert.equal(s.turns[0].end, null); assert.equal(s.open.round, 2);
});
const end = (ordinal, more) => `"type":"call_ended","round":1,"reply_attempt":1,"ordinal":${ordinal},"id":"${"ab"[ordinal]}","tool":"${["get_weather", "get_stock"][ordinal]}","content":"x","dispatched_at_us":5000,"queued_us":0,"startup_us":0,"backoff_us":0,"waited_us":0,"ran_us":1000,"attempts":1,"worker_generation":0,${more}`;
const panicked = end(0, `"kind":"panicked","problem":{"code":"panicked","message":"p"}`);
test("a new turn counts lost workers anew, for its process may be a new one", () => {
  const next = [`"type":"turn_ended","turn":1,"end":"cancelled"`, `"type":"turn_started","turn":2,"prompt":"x"`, `"type":"model_asked","round":2,"attempt":1`, `"type":"worker_restarted","tool":"get_weather","generation":1,"cause":"p","backoff_us":1`];
  const s = session([...WHOLE.slice(0, 6), panicked, ...next]);
  assert.deepEqual([s.rounds.get(1).restarts, s.rounds.get(2).restarts], [1, 1]);
});
test("the first end of a call counts", () => {
  const s = session([...WHOLE.slice(0, 6), end(0, `"kind":"ok"`), end(0, `"kind":"cancelled"`)]);
  assert.equal(f.outcomeOf(s.open.calls[0]), "ok");
});
test("of calls that ended at once the last is critical, and one that ran itself before one that did not", () => {
  assert.equal(f.numbers(session([...WHOLE.slice(0, 6), end(0, `"kind":"ok"`), end(1, `"kind":"ok"`)]).open, 9000).critical, "1-1-1");
  assert.equal(f.numbers(session([...WHOLE.slice(0, 6), end(0, `"kind":"ok"`), end(1, `"kind":"ok","reused":"shared"`)]).open, 9000).critical, "1-1-0");
});
test("a known kind of a later version is passed over", () => {
  const s = session(WHOLE.slice(0, 2)); const r = journal(WHOLE)[10];
  assert.equal(f.fold(s, { ...r, seq: 3, v: 2 }), false); assert.equal(s.turn.turn, 1); assert.equal(s.lastSeq, 3);
});
test("waiting for a person comes before the queue", () => {
  const s = session([...WHOLE.slice(0, 6), end(0, `"kind":"ok"`).replace(`"queued_us":0`, `"queued_us":10`).replace(`"waited_us":0`, `"waited_us":20`)]);
  assert.deepEqual(f.stretches(s.open.calls[0], 0).map((x) => x.phase), ["waited", "queued", "running"]);
});
test("an edit of a call that had begun early stays", () => {
  const s = session([...WHOLE.slice(0, 3), `"type":"call_started","round":1,"reply_attempt":1,"ordinal":0,"id":"","tool":"t","arguments":"{}"`, `"type":"approval_asked","round":1,"reply_attempt":1,"ordinal":0,"id":"","tool":"t"`, `"type":"approval_decided","round":1,"reply_attempt":1,"ordinal":0,"id":"","tool":"t","decision":"edited","arguments":"{\\"e\\":1}"`]);
  assert.equal(s.open.calls[0].arguments, `{"e":1}`);
  f.fold(s, { v: 1, seq: 99, at_us: 9000, type: "replied", round: 1, attempt: 1, text: "", mode: "parallel", finish: "tool_calls", usage: null, first_token_at_us: null, calls: [{ id: "a", tool: "t", arguments: "{}" }] });
  assert.equal(s.open.calls[0].arguments, `{"e":1}`);
});
