//! Traces of small journals, and the rules of the format.

use super::*;
use crate::document::past::tests::{
    A_ENDED, A_STARTED, ANSWER, ASKED, ASKED_AGAIN, B_STARTED, CALLS, ENDED, MODEL_ASKED, OPENED,
    WHOLE, journal,
};

/// The trace of a journal, whose rules have been checked.
fn trace(lines: &[&str]) -> Vec<Value> {
    let records = journal(lines);
    let trace = Trace::of(&SessionId::new("s"), &records);
    let document: Value = serde_json::from_str(&serde_json::to_string(&trace).unwrap()).unwrap();
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
    assert_eq!(spans_of(&whole, "get_stock"), [(2, 6000, 1000), (2, 50_100, 1000)]);
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
    let events = trace(&[OPENED, ASKED, MODEL_ASKED, CALLS, A_STARTED, B_STARTED, &a, &b, ended]);
    let calls: Vec<_> =
        spans(&events).into_iter().filter(|(name, ..)| name.starts_with("get_")).collect();
    let expected = [("get_weather", 1, 5000, 1000), ("get_stock", 2, 6000, 0)];
    assert_eq!(calls, expected.map(|(name, lane, from, time)| (name.to_owned(), lane, from, time)));
    assert_eq!(named(&events, "get_stock")["args"]["outcome"], "unknown_outcome");
}

#[test]
fn calls_of_later_rounds_use_the_lanes_again() {
    let asked = r#""at_us":11000,"type":"replied","round":2,"attempt":1,"message":"{}","text":"","calls":[{"id":"c","tool":"get_news","arguments":"{"}],"mode":"parallel","finish":"tool_calls","model":"m","usage":null,"first_token_at_us":null"#;
    let started =
        r#""at_us":11500,"type":"call_started","round":2,"ordinal":0,"id":"c","tool":"get_news""#;
    let events =
        trace(&[&WHOLE[..9], &[asked, started, r#""at_us":12000,"type":"moon_rose""#]].concat());
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
        has("model, failed", 3000, 1000) && has("back-off", 4000, 500) && has("model", 4500, 500),
        "{found:#?}"
    );
    let call = named(&events, "get_weather");
    assert_eq!((&call["ts"], &call["args"]["early"]), (&json!(5000), &json!(true)));
    assert_eq!(named(&events, "get_stock not run")["args"]["outcome"], "denied");
    assert_eq!(named(&events, "get_x not run")["ph"], "i");
}
