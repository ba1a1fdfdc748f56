//! What a reply may cost, whoever sends it.

use std::fmt::Write;
use std::time::{Duration, Instant};

use super::*;
use crate::wire::MAX_CALLS;

/// Work that grows with the square of these sizes takes minutes.
const QUICK: Duration = Duration::from_secs(3);

/// The body of a reply with one call, and a stream of one chunk that says the same.
fn bodies(message: &str) -> [String; 2] {
    let body = |field| format!(r#"{{"choices":[{{"{field}":{message},"finish_reason":"stop"}}]}}"#);
    [body("message"), format!("data: {}\n\ndata: [DONE]\n\n", body("delta"))]
}

#[test]
fn a_body_or_event_over_the_limit_is_an_error() {
    let fed =
        |bytes: &str| StreamDecoder::with_limits(12, 13).feed(bytes.as_bytes(), &mut Vec::new());
    assert!(matches!(fed("data: 0123456789"), Err(Error::TooLarge { limit: 12 })));
    let body = fed("{\"a\":\"0123456789");
    assert!(matches!(body, Err(Error::ReplyTooLarge { limit: 13 })), "{body:?}");
}

#[test]
fn a_reply_over_the_limit_is_an_error_however_small_its_events_are() {
    let json = r#"{"tool_calls":[{"index":0,"function":{"arguments":{"x":"0123456789"}}}]}"#;
    for (delta, bytes) in [
        (r#"{"content":"0123456789"}"#, 10),
        (r#"{"reasoning_content":"0123456789"}"#, "reasoning_content\"0123456789\"".len()),
        (r#"{"content":[{"type":"thinking","thinking":"0123456789"}]}"#, 10),
        (&piece(Some(0), None, None, "0123456789"), 10),
        (&piece(None, Some("new"), Some("name"), ""), 7),
        (json, r#"{"x":"0123456789"}"#.len()),
        (r#"{"function_call":{"arguments":"0123456789"}}"#, 10),
        (r#"{"k":{"a":"0123456789"}}"#, 1 + r#"{"a":"0123456789"}"#.len()),
        (r#"{"tool_calls":[{"index":0,"id":"i","k":"0123456789"}]}"#, 14),
    ] {
        let fed = |limit| {
            let mut decoder = StreamDecoder::with_limits(1000, limit);
            let chunk = chunk(delta, "null");
            (0..5).map(|_| decoder.feed(chunk.as_bytes(), &mut Vec::new())).find(Result::is_err)
        };
        assert!(fed(5 * bytes).is_none(), "{delta}: {:?}", fed(5 * bytes));
        let over = fed(5 * bytes - 1);
        assert!(matches!(over, Some(Err(Error::ReplyTooLarge { .. }))), "{delta}: {over:?}");
    }
}

#[test]
fn what_a_reply_does_not_keep_does_not_count() {
    let mut decoder = StreamDecoder::with_limits(1000, 10);
    for chunk in ["{\"choices\":[],\"x\":\"0123456789\"}", "{\"choices\":[{\"x\":\"0123456789\"}]}"]
    {
        decoder.feed(format!("data: {chunk}\n\n").as_bytes(), &mut Vec::new()).unwrap();
    }
}

#[test]
fn more_calls_than_anybody_can_mean_are_an_error() {
    let calls = |count: usize| {
        let call = |id| format!(r#"{{"id":{id},"function":{{"name":"f"}}}}"#);
        let calls: Vec<String> = (0..count).map(call).collect();
        format!(r#"{{"tool_calls":[{}]}}"#, calls.join(","))
    };
    for body in bodies(&calls(MAX_CALLS)) {
        assert_eq!(run([body.as_bytes()]).1.unwrap().calls.len(), MAX_CALLS);
    }
    for body in bodies(&calls(MAX_CALLS + 1)) {
        let result = run([body.as_bytes()]).1;
        let Err(Error::Malformed { what, .. }) = result else { panic!("{result:?}") };
        assert_eq!(what, "expected a reply, got more than 10000 calls");
    }
    let many: String = (0..=MAX_CALLS)
        .map(|at| chunk(&piece(Some(at as i64), None, Some("f"), ""), "null"))
        .collect();
    assert!(matches!(run([many.as_bytes()]).1, Err(Error::Malformed { .. })));
}

#[test]
fn ids_made_to_collide_cost_no_more_than_others() {
    let mut calls = String::new();
    for number in 0..MAX_CALLS {
        // Each of the second half would try all names of the first.
        let half = MAX_CALLS / 2;
        let id = if number < half { format!("a_{}", number + half) } else { "a".to_owned() };
        let comma = if number == 0 { "" } else { "," };
        write!(calls, r#"{comma}{{"id":"{id}","function":{{"name":"f"}}}}"#).unwrap();
    }
    let began = Instant::now();
    let [body, _] = bodies(&format!(r#"{{"tool_calls":[{calls}]}}"#));
    let calls = run([body.as_bytes()]).1.unwrap().calls;
    let distinct: std::collections::HashSet<_> = calls.iter().map(|call| &call.id).collect();
    assert_eq!(distinct.len(), MAX_CALLS);
    assert!(began.elapsed() < QUICK);
}

#[test]
fn fields_nobody_knows_are_kept_up_to_a_number() {
    let mut fields = String::new();
    for number in 0..200_000 {
        write!(fields, r#""x{number}":1,"#).unwrap();
    }
    let began = Instant::now();
    let call = r#"{"id":"a","function":{"name":"f","arguments":"{}"}}"#;
    for body in bodies(&format!(r#"{{{fields}"tool_calls":[{{{fields}"id":"b"}},{call}]}}"#)) {
        let reply = run([body.as_bytes()]).1.unwrap();
        assert_eq!(show(&reply), ["b  {}", "a f {}"]);
        assert_eq!((reply.extra.iter().count(), reply.calls[0].extra.iter().count()), (256, 256));
    }
    assert!(began.elapsed() < QUICK);
}

#[test]
fn blanks_and_repetitions_cost_no_more_than_other_text() {
    let blank = " ".repeat(100_000);
    let object = format!(r#"{blank}{{{blank}"x"{blank}:1{blank}}}{blank}"#);
    let mut stream = chunk(&piece(Some(0), Some("a"), Some("f"), &object), "null");
    for _ in 0..20_000 {
        stream += &chunk(&piece(Some(0), None, None, "{\"x\":1}"), "null");
    }
    let began = Instant::now();
    let result = run([stream.as_bytes()]).1;
    let Err(Error::Cut { partial }) = result else { panic!("{result:?}") };
    assert_eq!(show(&partial), ["a f truncated"], "too short to be the same");
    assert!(began.elapsed() < QUICK);
}

#[test]
fn what_is_waited_for_is_bounded_by_the_limit_and_what_is_held_by_what_came() {
    let mut decoder = StreamDecoder::with_limits(1000, MAX_REPLY_BYTES);
    let mut events = Vec::new();
    let chunk = chunk(&piece(Some(0), Some("a"), Some("f"), "{\"x\":1}"), "null");
    for _ in 0..1000 {
        for byte in chunk.as_bytes().chunks(1) {
            decoder.feed(byte, &mut events).unwrap();
        }
    }
    assert!(held(&decoder) < 2000, "{decoder:?}");
}
