//! Replies as providers send them, written by hand after the catalogue of their quirks.
//!
//! | row of the catalogue | file |
//! |---|---|
//! | F1–F14: events, chunks, text | `framing` |
//! | D1–D3, D13–D16: which call a piece belongs to | `calls` |
//! | D4–D12: names and ids | `names_and_ids` |
//! | D17–D25: arguments | `arguments` |
//! | D26–D30: other kinds of calls, and calls that are none | `kinds` |
//! | finish reasons | `finish` |
//! | errors | `errors` |
//!
//! Usage and cost have their rows in `chat/usage.rs`. `limits` and `properties` hold for every stream.

mod arguments;
mod calls;
mod errors;
mod finish;
mod framing;
mod generated;
mod kinds;
mod limits;
mod names_and_ids;
mod properties;

use serde_json::json;

use super::super::{Arguments, Finish};
use super::*;

/// A stream of one chunk per delta, then a finish reason, then `[DONE]`.
fn stream(deltas: &[&str], finish: &str) -> String {
    let mut out = String::new();
    for delta in deltas {
        out.push_str(&chunk(delta, "null"));
    }
    out + &chunk("{}", finish) + "data: [DONE]\n\n"
}

fn chunk(delta: &str, finish: &str) -> String {
    format!(
        "data: {{\"id\":\"r\",\"model\":\"m\",\"choices\":[{{\"index\":0,\"delta\":{delta},\"finish_reason\":{finish}}}]}}\n\n"
    )
}

/// A delta with one piece of a call.
fn piece(index: Option<i64>, id: Option<&str>, name: Option<&str>, arguments: &str) -> String {
    let mut call = json!({"function": {"arguments": arguments}});
    if let Some(index) = index {
        call["index"] = json!(index);
    }
    if let Some(id) = id {
        call["id"] = json!(id);
    }
    if let Some(name) = name {
        call["function"]["name"] = json!(name);
    }
    json!({"tool_calls": [call]}).to_string()
}

fn run<'a>(pieces: impl IntoIterator<Item = &'a [u8]>) -> (Vec<StreamEvent>, Result<Reply, Error>) {
    let mut decoder = StreamDecoder::new();
    let mut events = Vec::new();
    for piece in pieces {
        if let Err(error) = decoder.feed(piece, &mut events) {
            return (events, Err(error));
        }
    }
    (events, decoder.finish())
}

/// Reads a stream whole and byte by byte, which must come to the same.
fn read(stream: &str) -> (Vec<StreamEvent>, Result<Reply, Error>) {
    let whole = run([stream.as_bytes()]);
    let bytes = run(stream.as_bytes().chunks(1));
    assert_eq!(format!("{bytes:?}"), format!("{whole:?}"), "{stream}, byte by byte");
    whole
}

fn reply(stream: &str) -> Reply {
    read(stream).1.unwrap()
}

/// What had come of a stream that was cut.
fn partial(stream: &str) -> Reply {
    let result = read(stream).1;
    let Err(Error::Cut { partial }) = result else { panic!("{stream}: {result:?}") };
    *partial
}

/// Shows calls as `id name arguments`.
fn show(reply: &Reply) -> Vec<String> {
    let show = |arguments: &Arguments| match arguments {
        Arguments::Object(text) => text.clone(),
        Arguments::NotAnObject { .. } => "not an object".to_owned(),
        Arguments::Malformed { .. } => "malformed".to_owned(),
        Arguments::Truncated { .. } => "truncated".to_owned(),
    };
    reply
        .calls
        .iter()
        .map(|call| format!("{} {} {}", call.id, call.name, show(&call.arguments)))
        .collect()
}

/// Checks the calls of a clean stream of these deltas.
fn check(deltas: &[String], expected: &[&str]) {
    check_finish(deltas, "\"tool_calls\"", expected);
}

fn check_finish(deltas: &[String], finish: &str, expected: &[&str]) {
    let deltas: Vec<&str> = deltas.iter().map(String::as_str).collect();
    assert_eq!(show(&reply(&stream(&deltas, finish))), expected, "{deltas:#?}");
}

/// Checks the calls of a reply that came whole, with this message: read as a body, and as a stream that is none.
fn check_body(message: &str, expected: &[&str]) {
    check_body_finish(message, "\"tool_calls\"", expected);
}

fn check_body_finish(message: &str, finish: &str, expected: &[&str]) {
    let body = format!(
        "{{\"id\":\"r\",\"model\":\"m\",\"choices\":[{{\"index\":0,\"message\":{message},\"finish_reason\":{finish}}}]}}"
    );
    assert_eq!(show(&decode_reply(body.as_bytes()).unwrap()), expected, "{body}");
    let (_, streamed) = run(body.as_bytes().chunks(1));
    assert_eq!(show(&streamed.unwrap()), expected, "{body}, byte by byte");
}

/// About how much `decoder` holds: the length of all of it, written out. A byte takes up to six, and a call some hundreds.
fn held(decoder: &StreamDecoder) -> usize {
    format!("{decoder:?}").len()
}
