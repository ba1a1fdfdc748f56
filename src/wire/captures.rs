//! Runs the decoders over recorded replies of real providers. The recordings lie outside of the repository:
//! set `CALLSHEET_WIRE_CAPTURES` to their folder, with `index.csv`, `captures/` and `expected/` in it.

use std::fs;
use std::path::Path;

use serde_json::Value;

use super::chat::{decode_reply, error_in};
use super::{Error, Finish, Reply, StreamDecoder};

/// Recordings where we differ from the expectation on purpose.
const DIFFERENT: [(&str, &str); 3] = [
    (
        "openai-chat-completion-custom-tool-call",
        "a custom tool's call keeps its name, and its input is no object",
    ),
    ("doubleword-invalid-temperature-blocking", "an error in the body itself is an error"),
    (
        "mistral-blocking-error-carries-the-correlation-id",
        "an error in the body itself is an error",
    ),
];

#[test]
fn recorded_replies_are_read_as_expected() {
    let Some(folder) = std::env::var_os("CALLSHEET_WIRE_CAPTURES") else {
        println!("skipped: CALLSHEET_WIRE_CAPTURES is not set");
        return;
    };
    let folder = Path::new(&folder);
    let index = fs::read_to_string(folder.join("index.csv")).unwrap();
    let mut files = 0;
    let mut failures = Vec::new();
    for line in index.lines().filter(|line| line.split(',').nth(1) == Some("chat")) {
        let file = line.split(',').next().unwrap();
        files += 1;
        let body = fs::read(folder.join("captures").join(file)).unwrap();
        let expected =
            fs::read_to_string(folder.join("expected").join(format!("{file}.expected.json")))
                .unwrap();
        let expected: Value = serde_json::from_str(&expected).unwrap();
        for cut in [body.len().max(1), 7, 1] {
            if let Err(difference) = compare(file, &body, cut, &expected) {
                failures.push(format!("{file}, pieces of {cut}: {difference}"));
                break;
            }
        }
    }
    println!("{} of {files} recordings are read as expected", files - failures.len());
    failures.retain(|failure| !DIFFERENT.iter().any(|(file, _)| failure.starts_with(file)));
    assert!(failures.is_empty(), "{}", failures.join("\n"));
}

fn decode(file: &str, body: &[u8], cut: usize) -> Result<Reply, Error> {
    if file.ends_with(".json") {
        return decode_reply(body);
    }
    let mut decoder = StreamDecoder::new();
    let mut events = Vec::new();
    for piece in body.chunks(cut) {
        if let Err(error) = decoder.feed(piece, &mut events) {
            return match (error, decoder.finish()) {
                (Error::Api(_), Err(cut)) => Err(cut),
                (error, _) => Err(error),
            };
        }
    }
    decoder.finish()
}

fn compare(file: &str, body: &[u8], cut: usize, expected: &Value) -> Result<(), String> {
    let wants_error = !expected["error"].is_null();
    let reply = match decode(file, body, cut) {
        Ok(reply) if !wants_error => reply,
        Ok(_) => return Err("expected an error, got a reply".to_owned()),
        Err(Error::Cut { partial }) if wants_error => *partial,
        Err(Error::Api(error)) if wants_error => {
            same("message, read again", error_in(body), Some(error.clone()))?;
            return match expected["error"]["message"].as_str().or(expected["error"].as_str()) {
                Some(message) => same("error", message, &error.message),
                None => Ok(()),
            };
        }
        Err(error) => return Err(error.to_string()),
    };
    same("content", expected["content"].as_str().unwrap_or_default(), &reply.text)?;
    if let Some(finish) = expected["finish_reason"].as_str() {
        same("finish", Finish::parse(finish), Some(reply.finish))?;
    }
    let calls = expected["tool_calls"].as_array().unwrap();
    same("calls", calls.len(), reply.calls.len())?;
    for (expected, call) in calls.iter().zip(reply.calls) {
        match expected["id"].as_str().unwrap_or_default() {
            "" => same("minted", false, call.id.is_empty())?,
            id => same("id", id, &call.id)?,
        }
        same("name", expected["name"].as_str().unwrap_or_default(), &call.name)?;
        let arguments = call.arguments.object().map(|text| serde_json::from_str(text).unwrap());
        same("arguments", &expected["arguments"], &arguments.unwrap_or(Value::Null))?;
    }
    Ok(())
}

fn same<T: PartialEq + std::fmt::Debug>(what: &str, expected: T, found: T) -> Result<(), String> {
    match expected == found {
        true => Ok(()),
        false => Err(format!("{what}: expected {expected:?}, found {found:?}")),
    }
}
