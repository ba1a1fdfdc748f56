//! A stored session as a trace of Chrome's format, which Perfetto opens: the model in lane 0, and a
//! lane for each call of a round, with the parts of its time within it.
//!
//! Complete events of one lane lie within each other or apart, the outer one first. Lanes are used again
//! by later rounds.

use std::borrow::Cow;
use std::cmp::Reverse;
use std::collections::HashMap;

use serde::Serialize;
use serde_json::{Value, json};

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

/// One call's time.
#[derive(Debug)]
struct CallSpan {
    round: u64,
    place: Place,
    tool: String,
    from: u64,
    /// One after another, without a gap.
    parts: Vec<(&'static str, u64)>,
    args: Value,
}

impl CallSpan {
    fn until(&self) -> u64 {
        self.from + self.parts.iter().map(|(_, time)| time).sum::<u64>()
    }
}

/// Draws the calls, and says how many lanes that took.
fn draw_calls(events: &mut Vec<TraceEvent>, mut spans: Vec<CallSpan>) -> u32 {
    spans.sort_by_key(|span| (span.round, span.from, span.place));
    // Until when each lane is taken, and the last round that used it.
    let mut lanes: Vec<(u64, u64)> = Vec::new();
    for span in spans {
        let until = span.until();
        let is_free = |(busy, round): &(u64, u64)| *round != span.round && *busy <= span.from;
        let lane = lanes.iter().position(is_free).unwrap_or(lanes.len());
        match lanes.get_mut(lane) {
            Some(taken) => *taken = (until, span.round),
            None => lanes.push((until, span.round)),
        }
        let tid = u32::try_from(lane + 1).unwrap_or(u32::MAX);
        events.push(TraceEvent::span(span.tool, "call", (span.from, until), tid, span.args));
        let mut at = span.from;
        for (name, time) in span.parts.into_iter().filter(|(_, time)| *time > 0) {
            events.push(TraceEvent::span(name, "part", (at, at + time), tid, json!({})));
            at += time;
        }
    }
    u32::try_from(lanes.len()).unwrap_or(u32::MAX)
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
            Event::TurnStarted { turn, prompt } => {
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
            Event::CallStarted { round, reply_attempt, ordinal, id, tool, arguments } => {
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
        self.spans.extend(running.into_iter().map(|(key, call)| open_span(key, call, until)));
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
            return self.spans.push(open_span(key, (started, tool, args), until));
        }
        args["attempts"] = times.attempts.into();
        args["worker_generation"] = times.worker_generation.into();
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

/// The time of a call without an end of its own.
fn open_span(
    (round, place): (u64, Place),
    (from, tool, args): (u64, String, Value),
    until: u64,
) -> CallSpan {
    let parts = vec![("running", until.saturating_sub(from))];
    CallSpan { round, place, tool, from, parts, args }
}

/// Arguments as they were meant; as text if they cannot be read.
fn value(arguments: &str) -> Cow<'_, Value> {
    Cow::Owned(serde_json::from_str(arguments).unwrap_or_else(|_| arguments.into()))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cli::export::past::tests::{
        A_ENDED, A_STARTED, ANSWER, ASKED, ASKED_AGAIN, B_STARTED, CALLS, ENDED, MODEL_ASKED,
        OPENED, WHOLE, journal,
    };

    /// The trace of a journal, whose rules have been checked.
    fn trace(lines: &[&str]) -> Vec<Value> {
        let records = journal(lines);
        let trace = Trace::of(&SessionId::new("s"), &records);
        let document: Value =
            serde_json::from_str(&serde_json::to_string(&trace).unwrap()).unwrap();
        let events = document["traceEvents"].as_array().unwrap().clone();
        check(&events);
        events
    }

    /// What Perfetto wants: every event has its fields, every lane a name, and the complete events of a
    /// lane lie within each other or apart.
    fn check(events: &[Value]) {
        let number = |event: &Value, field: &str| {
            event[field].as_u64().unwrap_or_else(|| panic!("{field}: {event}"))
        };
        let mut lanes: HashMap<u64, Vec<(u64, u64)>> = HashMap::new();
        for event in events {
            assert!(event["name"].is_string() && event["pid"] == PID, "{event}");
            match event["ph"].as_str() {
                Some("X") => {
                    let from = number(event, "ts");
                    let span = (from, from + number(event, "dur"));
                    lanes.entry(number(event, "tid")).or_default().push(span);
                }
                Some("i") => assert_eq!(event["s"], "t"),
                Some("M") => {}
                _ => panic!("{event}"),
            }
        }
        for (lane, spans) in lanes {
            let is_name = |event: &&Value| event["name"] == "thread_name" && event["tid"] == lane;
            assert_eq!(events.iter().filter(is_name).count(), 1, "lane {lane} has a name");
            let mut round: Vec<(u64, u64)> = Vec::new();
            for (from, until) in &spans {
                round.retain(|(_, end)| end > from);
                let fits = round.last().is_none_or(|(begin, end)| begin <= from && until <= end);
                assert!(fits, "lane {lane}: {spans:?}");
                round.push((*from, *until));
            }
        }
    }

    /// Name, lane, beginning and length of each complete event.
    fn spans(events: &[Value]) -> Vec<(String, u64, u64, u64)> {
        let spans = events.iter().filter(|event| event["ph"] == "X");
        let number = |event: &Value, field: &str| event[field].as_u64().unwrap();
        let span = |event: &Value| {
            let name = event["name"].as_str().unwrap().to_owned();
            (name, number(event, "tid"), number(event, "ts"), number(event, "dur"))
        };
        spans.map(span).collect()
    }

    fn named<'a>(events: &'a [Value], name: &str) -> &'a Value {
        events
            .iter()
            .find(|event| event["name"] == name)
            .unwrap_or_else(|| panic!("{name}: {events:#?}"))
    }

    #[test]
    fn each_call_of_a_round_has_a_lane_with_the_parts_of_its_time() {
        let events = trace(&WHOLE);
        let expected = [
            ("turn 1", 0, 2000, 9000),
            ("model", 0, 3000, 1000),
            ("to the first token", 0, 3000, 500),
            ("writing", 0, 3500, 500),
            ("get_weather", 1, 5000, 1000),
            ("queued", 1, 5000, 100),
            ("start-up", 1, 5100, 50),
            ("back-off", 1, 5150, 200),
            ("running", 1, 5350, 650),
            ("get_stock", 2, 6000, 2500),
            ("running", 2, 6000, 2500),
            ("model", 0, 9500, 1500),
        ];
        let expected = expected.map(|(name, lane, from, time)| (name.to_owned(), lane, from, time));
        assert_eq!(spans(&events), expected);
        let args = &named(&events, "get_weather")["args"];
        assert_eq!((&args["key"], &args["outcome"]), (&json!("s/1/1/0"), &json!("ok")));
        assert_eq!((&args["arguments"]["city"], &args["attempts"]), (&json!("Tokyo"), &json!(2)));
        assert_eq!(named(&events, "get_stock")["args"]["error"]["code"], "timed_out");
        assert_eq!(named(&events, "process_name")["args"]["name"], "session s");
    }

    #[test]
    fn a_turn_that_was_cut_lasts_to_its_last_event_and_goes_on_later() {
        let open = trace(&WHOLE[..7]);
        let spans_of = |events: &[Value], name: &str| {
            let all = spans(events).into_iter().filter(|(found, ..)| found == name);
            all.map(|(_, lane, from, time)| (lane, from, time)).collect::<Vec<_>>()
        };
        assert_eq!(spans_of(&open, "get_stock"), [(2, 6000, 1000)]);
        assert_eq!(spans_of(&open, "turn 1"), [(0, 2000, 5000)]);
        assert_eq!(named(&open, "get_stock")["args"]["outcome"], json!(null));

        let again = r#""at_us":50000,"type":"call_started","round":1,"reply_attempt":1,"ordinal":1,"id":"b","tool":"get_stock""#;
        let resumed = r#""at_us":49000,"type":"turn_resumed","turn":1"#;
        let b_ended = r#""at_us":52000,"type":"call_ended","round":1,"ordinal":1,"id":"b","tool":"get_stock","kind":"ok","content":"1","dispatched_at_us":50100,"queued_us":0,"startup_us":0,"backoff_us":0,"waited_us":0,"ran_us":1000,"attempts":1,"worker_generation":0"#;
        let ended = r#""at_us":60000,"type":"turn_ended","turn":1,"end":"cancelled""#;
        let whole = trace(&[&WHOLE[..7], &[resumed, again, b_ended, ended]].concat());
        assert_eq!(spans_of(&whole, "get_stock"), [(2, 6000, 1000), (3, 50_100, 1000)]);
        assert_eq!(spans_of(&whole, "turn 1"), [(0, 2000, 5000), (0, 49_000, 11_000)]);
        assert_eq!(named(&whole, "turn resumed")["ph"], "i");

        let asking = trace(&[
            OPENED,
            ASKED,
            MODEL_ASKED,
            r#""at_us":9000,"type":"turn_resumed","turn":1"#,
            r#""at_us":9000,"type":"model_asked","round":1,"attempt":1"#,
            r#""at_us":9500,"type":"turn_ended","turn":1,"end":"cancelled""#,
        ]);
        assert_eq!(spans_of(&asking, "model, cut"), [(0, 3000, 0), (0, 9000, 500)]);
    }

    #[test]
    fn a_call_that_was_lost_ends_with_the_last_sign_of_life() {
        let lost = |ordinal, id: &str| {
            format!(
                r#""at_us":99000,"type":"call_ended","round":1,"ordinal":{ordinal},"id":"{id}","tool":"t","kind":"unknown_outcome","content":"?","dispatched_at_us":0,"queued_us":0,"startup_us":0,"backoff_us":0,"waited_us":0,"ran_us":0,"attempts":0,"worker_generation":0"#
            )
        };
        let (a, b) = (lost(0, "a"), lost(1, "b"));
        let ended = r#""at_us":99000,"type":"turn_ended","turn":1,"end":"cancelled""#;
        let events =
            trace(&[OPENED, ASKED, MODEL_ASKED, CALLS, A_STARTED, B_STARTED, &a, &b, ended]);
        let calls: Vec<_> =
            spans(&events).into_iter().filter(|(name, ..)| name.starts_with("get_")).collect();
        let expected = [("get_weather", 1, 5000, 1000), ("get_stock", 2, 6000, 0)];
        assert_eq!(
            calls,
            expected.map(|(name, lane, from, time)| (name.to_owned(), lane, from, time))
        );
        assert_eq!(named(&events, "get_stock")["args"]["outcome"], "unknown_outcome");
    }

    #[test]
    fn calls_of_later_rounds_use_the_lanes_again() {
        let asked = r#""at_us":11000,"type":"replied","round":2,"attempt":1,"message":"{}","text":"","calls":[{"id":"c","tool":"get_news","arguments":"{"}],"mode":"parallel","finish":"tool_calls","model":"m","usage":null,"first_token_at_us":null"#;
        let started = r#""at_us":11500,"type":"call_started","round":2,"ordinal":0,"id":"c","tool":"get_news""#;
        let events = trace(
            &[&WHOLE[..9], &[asked, started, r#""at_us":12000,"type":"moon_rose""#]].concat(),
        );
        assert!(spans(&events).contains(&("get_news".to_owned(), 1, 11_500, 500)), "{events:#?}");
        assert_eq!(named(&events, "get_news")["args"]["arguments"], "{", "as it came");
    }

    #[test]
    fn calls_that_began_early_were_retried_or_never_ran_are_told_apart() {
        let early = r#""at_us":3200,"type":"call_started","round":1,"reply_attempt":1,"ordinal":0,"id":"","tool":"get_weather","arguments":"{}""#;
        let failed = r#""at_us":4000,"type":"model_failed","round":1,"attempt":1,"model":"m","error":{"code":"stream_cut","message":"cut"},"retry_in_us":9000000,"text_was_shown":false"#;
        let again = r#""at_us":4500,"type":"model_asked","round":1,"attempt":2"#;
        let refused = r#""at_us":5000,"type":"replied","round":1,"attempt":2,"message":"{}","text":"","calls":[{"id":"d","tool":"get_stock","arguments":"{}","refused":{"kind":"denied","content":"no","problem":{"code":"denied","message":"too many"}}}],"mode":"parallel","finish":"tool_calls","model":"m","usage":null,"first_token_at_us":4600"#;
        let never = r#""at_us":9000,"type":"call_ended","round":1,"reply_attempt":2,"ordinal":4,"id":"e","tool":"get_x","kind":"cancelled","content":"no","dispatched_at_us":0,"queued_us":0,"startup_us":0,"backoff_us":0,"waited_us":0,"ran_us":0,"attempts":0,"worker_generation":0"#;
        let events = trace(&[
            OPENED,
            ASKED,
            MODEL_ASKED,
            early,
            failed,
            again,
            refused,
            A_ENDED,
            never,
            ASKED_AGAIN,
            ANSWER,
            ENDED,
        ]);
        let found = spans(&events);
        let has = |name: &str, from, time| found.contains(&(name.to_owned(), 0, from, time));
        assert!(
            has("model, failed", 3000, 1000)
                && has("back-off", 4000, 500)
                && has("model", 4500, 500),
            "{found:#?}"
        );
        let call = named(&events, "get_weather");
        assert_eq!((&call["ts"], &call["args"]["early"]), (&json!(5000), &json!(true)));
        assert_eq!(named(&events, "get_stock not run")["args"]["outcome"], "denied");
        assert_eq!(named(&events, "get_x not run")["ph"], "i");
    }
}
