//! Replies of hosted providers, each with what it means.

use std::collections::BTreeMap;
use std::fs;

use serde_json::Value;

use super::super::chat::error_in;
use super::super::{Error, Finish};
use super::{CUTS, decode_file, folder, same};

/// Recordings whose expectation is wrong, and why.
const WRONGLY_EXPECTED: [(&str, &str); 3] = [
    (
        "openai-chat-completion-custom-tool-call.json",
        "a call of the custom tool `math_exp` with a text as its input is no nameless call with `{}`",
    ),
    (
        "doubleword-invalid-temperature-blocking.json",
        "a status of 400 with `code` and `message` in the body itself is an error, not an empty reply",
    ),
    (
        "mistral-blocking-error-carries-the-correlation-id.json",
        "a status of 400 with a body of type `error` is an error, not an empty reply",
    ),
];

/// How many of a provider's recordings were read as expected, by how they were cut.
#[derive(Clone, Copy, Default)]
struct Score {
    files: usize,
    passed: [usize; 3],
}

impl Score {
    fn cells(&self) -> String {
        match self.files {
            0 => format!("{:>9} {:>9} {:>9}", "-", "-", "-"),
            files => {
                let [whole, seven, one] = self.passed.map(|passed| format!("{passed}/{files}"));
                format!("{whole:>9} {seven:>9} {one:>9}")
            }
        }
    }

    fn add(&mut self, other: &Score) {
        self.files += other.files;
        for (sum, passed) in self.passed.iter_mut().zip(other.passed) {
            *sum += passed;
        }
    }
}

#[test]
fn recorded_replies_are_read_as_expected() {
    let Some(folder) = folder() else { return };
    let index = fs::read_to_string(folder.join("index.csv")).unwrap();
    let mut scores: BTreeMap<&str, [Score; 2]> = BTreeMap::new();
    let mut failures = Vec::new();
    for line in index.lines() {
        let columns: Vec<&str> = line.splitn(6, ',').collect();
        let [file, "chat", mode, _, provider, _] = columns[..] else { continue };
        let body = fs::read(folder.join("captures").join(file)).unwrap();
        let expected = folder.join("expected").join(format!("{file}.expected.json"));
        let expected: Value = serde_json::from_str(&fs::read_to_string(expected).unwrap()).unwrap();
        let score = &mut scores.entry(provider).or_default()[usize::from(mode != "stream")];
        score.files += 1;
        for (at, cut) in CUTS.into_iter().enumerate() {
            match compare(file, &body, cut, &expected) {
                Ok(()) => score.passed[at] += 1,
                Err(difference) => failures.push((file, format!("{file}, {cut}: {difference}"))),
            }
        }
    }
    print(&scores);
    for (file, why) in WRONGLY_EXPECTED {
        println!("{file}: {why}");
    }
    for (file, _) in WRONGLY_EXPECTED {
        let known = failures.iter().filter(|(failed, _)| *failed == file).count();
        assert_eq!(known, CUTS.len(), "{file} is read as expected after all");
    }
    failures.retain(|(file, _)| !WRONGLY_EXPECTED.iter().any(|(wrong, _)| wrong == file));
    let failures: Vec<String> = failures.into_iter().map(|(_, failure)| failure).collect();
    assert!(failures.is_empty(), "{}", failures.join("\n"));
}

fn print(scores: &BTreeMap<&str, [Score; 2]>) {
    let [whole, seven, one] = CUTS;
    let cuts = format!("{whole:>9} {seven:>9} {one:>9}");
    println!("{:<18} | {:>29} | {:>29}", "", "streamed", "not streamed");
    println!("{:<18} | {cuts} | {cuts}", "provider");
    let mut sums = [Score::default(); 2];
    for (provider, modes) in scores {
        println!("{provider:<18} | {} | {}", modes[0].cells(), modes[1].cells());
        for (sum, score) in sums.iter_mut().zip(modes) {
            sum.add(score);
        }
    }
    println!("{:<18} | {} | {}", "all", sums[0].cells(), sums[1].cells());
}

fn compare(file: &str, body: &[u8], cut: &str, expected: &Value) -> Result<(), String> {
    let wants_error = !expected["error"].is_null();
    let reply = match decode_file(file, body, cut) {
        Ok(reply) if !wants_error => reply,
        Ok(_) => return Err("expected an error, got a reply".to_owned()),
        Err(Error::Cut { partial }) if wants_error => *partial,
        Err(Error::Api(error)) if wants_error => {
            same("message, read again", error_in(body), Some((*error).clone()))?;
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
