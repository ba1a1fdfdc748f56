//! A stored session as a trace of Chrome's format, which Perfetto opens: the model in lane 0, and a
//! lane for each call of a round, with the parts of its time within it.
//!
//! Complete events of one lane lie within each other or apart, the outer one first. Lanes are used again
//! by later rounds.

mod lanes;

use std::borrow::Cow;
use std::cmp::Reverse;
use std::collections::HashMap;

use serde::Serialize;
use serde_json::{Value, json};

use lanes::{CallSpan, draw_calls};

use crate::conversation::{
    AskedCall, CallKey, CallTimes, Event, Outcome, Place, Record, SessionId,
};
use crate::store::Digest;

/// The one process: the session.
const PID: u32 = 1;

/// The lane of turns and of the model.
const MODEL: u32 = 0;

/// The document.
#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Trace {
    trace_events: Vec<TraceEvent>,
    display_time_unit: &'static str,
    other_data: Value,
}

#[derive(Debug, Serialize)]
struct TraceEvent {
    name: String,
    cat: &'static str,
    /// `X` has a duration, `i` is an instant, `M` names something.
    ph: char,
    /// Microseconds since 1970.
    ts: u64,
    #[serde(skip_serializing_if = "Option::is_none")]
    dur: Option<u64>,
    pid: u32,
    tid: u32,
    /// How far an instant reaches: its lane.
    #[serde(skip_serializing_if = "Option::is_none")]
    s: Option<char>,
    args: Value,
}

impl TraceEvent {
    fn span(
        name: impl Into<String>,
        cat: &'static str,
        (ts, until): (u64, u64),
        tid: u32,
        args: Value,
    ) -> Self {
        let dur = Some(until.saturating_sub(ts));
        Self { name: name.into(), cat, ph: 'X', ts, dur, pid: PID, tid, s: None, args }
    }

    fn instant(name: impl Into<String>, cat: &'static str, ts: u64, args: Value) -> Self {
        Self {
            name: name.into(),
            cat,
            ph: 'i',
            ts,
            dur: None,
            pid: PID,
            tid: MODEL,
            s: Some('t'),
            args,
        }
    }

    /// What encloses another event stands before it.
    fn order(&self) -> (u64, Reverse<u64>, bool, bool) {
        let (is_part, is_model) = (self.cat == "part", self.cat == "model");
        (self.ts, Reverse(self.dur.unwrap_or_default()), is_part, is_model)
    }

    fn names(what: &'static str, tid: u32, args: Value) -> Self {
        Self {
            name: what.to_owned(),
            cat: "__metadata",
            ph: 'M',
            ts: 0,
            dur: None,
            pid: PID,
            tid,
            s: None,
            args,
        }
    }
}

impl Trace {
    /// The trace of `records`, all those of a session in order. What has no end on record lasts to the
    /// last sign of life of the process that ran it.
    pub fn of(session: &SessionId, records: &[Record]) -> Self {
        let mut drawing = Drawing::default();
        for record in records {
            drawing.on(session, record);
        }
        drawing.cut();
        let Drawing { mut events, spans, .. } = drawing;
        let lanes = draw_calls(&mut events, spans);
        let title = Digest::of(records).title;
        let mut names = vec![
            TraceEvent::names("process_name", MODEL, json!({"name": format!("session {session}")})),
            TraceEvent::names("thread_name", MODEL, json!({"name": "model"})),
        ];
        names.extend((1..=lanes).map(|lane| {
            TraceEvent::names("thread_name", lane, json!({"name": format!("call {lane}")}))
        }));
        names.extend(
            (MODEL..=lanes).map(|lane| {
                TraceEvent::names("thread_sort_index", lane, json!({"sort_index": lane}))
            }),
        );
        events.sort_by_key(TraceEvent::order);
        names.append(&mut events);
        let other_data = json!({"session": session, "title": title});
        Self { trace_events: names, display_time_unit: "ms", other_data }
    }
}

/// What is under way while the records are gone through.
#[derive(Debug, Default)]
struct Drawing {
    events: Vec<TraceEvent>,
    spans: Vec<CallSpan>,
    /// When it began, or went on; its number and question.
    turn: Option<(u64, u64, String)>,
    /// The request to the model: when, the round and the try.
    asked: Option<(u64, u64, u32)>,
    /// The rest before the model is asked again: from when to when.
    rest: Option<(u64, u64)>,
    /// The calls of the reply, to know what was asked of them.
    calls: Vec<AskedCall>,
    running: HashMap<(u64, Place), (u64, String, Value)>,
    /// The last event of the process that ran the turn.
    alive_us: u64,
}

impl Drawing {
    fn on(&mut self, session: &SessionId, record: &Record) {
        let at_us = record.at_us;
        let is_late = matches!(&record.event,
            Event::CallEnded { times, .. } if times.dispatched_at_us == 0);
        match &record.event {
            Event::TurnStarted { turn, prompt, .. } => {
                self.cut();
                self.turn = Some((at_us, *turn, prompt.to_string()));
            }
            Event::TurnResumed { turn } => {
                let prompt =
                    self.turn.as_ref().map_or_else(String::new, |(.., prompt)| prompt.clone());
                self.cut();
                self.turn = Some((at_us, *turn, prompt));
                self.mark("turn resumed", at_us, json!({"turn": turn}));
            }
            Event::TurnEnded { end, .. } => {
                let until = at_us.max(self.alive_us);
                self.end_rest(until);
                self.end_asking("model, cut", until, json!({}));
                self.end_turn(until, json!({"end": end}));
            }
            Event::ModelAsked { round, attempt, .. } => {
                self.end_rest(at_us);
                self.end_asking("model, cut", self.alive_us, json!({}));
                self.asked = Some((at_us, *round, *attempt));
            }
            Event::ModelFailed { model, error, retry_in_us, .. } => {
                self.end_asking("model, failed", at_us, json!({"model": model, "error": error}));
                self.rest = Some((at_us, at_us + retry_in_us));
            }
            Event::Replied { first_token_at_us, finish, model, usage, calls, .. } => {
                let asked = self.asked.map(|(from, ..)| from);
                self.end_asking(
                    "model",
                    at_us,
                    json!({"finish": finish, "model": model, "usage": usage}),
                );
                if let (Some(from), Some(first)) = (asked, *first_token_at_us) {
                    let first = first.clamp(from, at_us);
                    for (name, from, until) in
                        [("to the first token", from, first), ("writing", first, at_us)]
                    {
                        self.events.push(TraceEvent::span(
                            name,
                            "part",
                            (from, until),
                            MODEL,
                            json!({}),
                        ));
                    }
                }
                for call in calls.iter().filter(|call| call.begun.is_none()) {
                    if let Some(outcome) = &call.refused {
                        self.not_run(&call.tool, &call.id, outcome, at_us);
                    }
                }
                self.calls = calls.to_vec();
            }
            Event::CallStarted { round, reply_attempt, ordinal, id, tool, arguments, .. } => {
                let place = Place { reply_attempt: *reply_attempt, ordinal: *ordinal };
                let asked = self.calls.get(*ordinal as usize).map(|call| &call.arguments);
                let (arguments, is_early) = match arguments {
                    Some(arguments) => (Some(arguments), true),
                    None => (asked, false),
                };
                let key = CallKey {
                    session: session.clone(),
                    round: *round,
                    attempt: *reply_attempt,
                    ordinal: *ordinal,
                };
                let args = json!({"id": id, "key": key.to_string(), "round": round, "early": is_early,
                    "arguments": arguments.map(|text| value(text)), "outcome": null});
                self.running.insert((*round, place), (at_us, tool.to_string(), args));
            }
            Event::CallEnded { round, reply_attempt, ordinal, id, tool, outcome, times } => {
                let place = Place { reply_attempt: *reply_attempt, ordinal: *ordinal };
                self.end_call((*round, place), (tool, id), outcome, times, at_us);
            }
            Event::WorkerRestarted { tool, generation, cause, .. } => {
                let args = json!({"generation": generation, "cause": cause});
                self.mark(&format!("{tool} restarted"), at_us, args);
            }
            Event::CircuitOpened { tool, cause, .. } => {
                self.mark(&format!("{tool} withdrawn"), at_us, json!({"cause": cause}));
            }
            Event::CircuitClosed { tool } => self.mark(&format!("{tool} back"), at_us, json!({})),
            Event::ApprovalAsked { id, tool, .. } => {
                self.mark(&format!("{tool} waits for approval"), at_us, json!({"id": id}));
            }
            Event::ApprovalDecided { id, tool, decision, for_session, .. } => {
                let args = json!({"id": id, "for_session": for_session});
                self.mark(&format!("{tool} {}", decision.as_str()), at_us, args);
            }
            Event::SummaryAsked { round, .. } => {
                self.mark("summary asked for", at_us, json!({"round": round}));
            }
            Event::ContextCompacted { summary, tokens_before, tokens_after, .. } => {
                let args = json!({"summarised": summary.is_some(), "tokens_before": tokens_before,
                    "tokens_after": tokens_after});
                self.mark("history compacted", at_us, args);
            }
            Event::SessionOpened { .. }
            | Event::TextStreamed { .. }
            | Event::ReasoningStreamed { .. }
            | Event::CallProgressed { .. }
            | Event::CallQueued { .. }
            | Event::CallRetried { .. }
            | Event::Unknown(_) => {}
        }
        if !is_late {
            self.alive_us = self.alive_us.max(at_us);
        }
    }

    /// The process that ran the turn is gone, or its records end: so does all that is under way.
    fn cut(&mut self) {
        let until = self.alive_us;
        self.end_rest(until);
        self.end_asking("model, cut", until, json!({}));
        let mut running: Vec<_> = self.running.drain().collect();
        running.sort_by_key(|(key, _)| *key);
        self.spans.extend(running.into_iter().map(|(key, call)| CallSpan::open(key, call, until)));
        self.end_turn(until, json!({"end": null}));
    }

    fn end_turn(&mut self, until: u64, mut args: Value) {
        let Some((from, turn, prompt)) = self.turn.take() else { return };
        args["prompt"] = prompt.into();
        self.events.push(TraceEvent::span(
            format!("turn {turn}"),
            "turn",
            (from, until),
            MODEL,
            args,
        ));
        self.calls.clear();
    }

    fn end_asking(&mut self, name: &str, until: u64, mut args: Value) {
        let Some((from, round, attempt)) = self.asked.take() else { return };
        args["round"] = round.into();
        args["attempt"] = attempt.into();
        self.events.push(TraceEvent::span(name, "model", (from, until.max(from)), MODEL, args));
    }

    fn end_rest(&mut self, latest: u64) {
        if let Some((from, until)) = self.rest.take() {
            let span = (from, until.min(latest).max(from));
            self.events.push(TraceEvent::span("back-off", "part", span, MODEL, json!({})));
        }
    }

    fn end_call(
        &mut self,
        key: (u64, Place),
        (tool, id): (&str, &str),
        outcome: &Outcome,
        times: &CallTimes,
        at_us: u64,
    ) {
        let Some((started, tool, mut args)) = self.running.remove(&key) else {
            return self.not_run(tool, id, outcome, at_us);
        };
        args["outcome"] = outcome.kind.as_str().into();
        args["error"] = json!(outcome.problem);
        if times.dispatched_at_us == 0 {
            let until = self.alive_us; // Nobody knows how long it went on.
            return self.spans.push(CallSpan::open(key, (started, tool, args), until));
        }
        args["attempts"] = times.attempts.into();
        args["worker_generation"] = times.worker_generation.into();
        if let Some(reused) = times.reused {
            args["reused"] = reused.as_str().into();
        }
        let parts = vec![
            ("queued", times.queued_us),
            ("start-up", times.startup_us),
            ("back-off", times.backoff_us),
            ("waiting for a person", times.waited_us),
            ("running", times.ran_us),
        ];
        let (round, place) = key;
        self.spans.push(CallSpan { round, place, tool, from: times.dispatched_at_us, parts, args });
    }

    fn not_run(&mut self, tool: &str, id: &str, outcome: &Outcome, at_us: u64) {
        let args = json!({"id": id, "outcome": outcome.kind.as_str(), "error": outcome.problem});
        self.mark(&format!("{tool} not run"), at_us, args);
    }

    fn mark(&mut self, name: &str, at_us: u64, args: Value) {
        self.events.push(TraceEvent::instant(name, "news", at_us, args));
    }
}

/// Arguments as they were meant; as text if they cannot be read.
fn value(arguments: &str) -> Cow<'_, Value> {
    Cow::Owned(serde_json::from_str(arguments).unwrap_or_else(|_| arguments.into()))
}

#[cfg(test)]
mod tests;
