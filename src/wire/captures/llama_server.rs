//! Exchanges with a real llama-server: its replies and errors, and the requests it took.

use std::fs;
use std::path::Path;

use super::super::chat::error_in;
use super::super::{Arguments, Error, Reply};
use super::requests::check_messages;
use super::{CUTS, decode_file, folder, same};

/// Answers in another protocol, which are no replies.
const OTHER_PROTOCOLS: [&str; 3] =
    ["28-models", "30-anthropic-messages-stream", "31-responses-stream"];

/// One row of the table in the folder's README.
struct Exchange<'a> {
    name: &'a str,
    status: u16,
    ending: &'a str,
    /// What came, in words: `3 calls, finish=tool_calls`.
    came: &'a str,
}

impl<'a> Exchange<'a> {
    fn in_line(line: &'a str) -> Option<Self> {
        let mut cells = line.strip_prefix("| ")?.split(" | ");
        let name = cells.next()?;
        let status = cells.next()?.parse().ok()?;
        Some(Self { name, status, ending: cells.next()?, came: cells.next()? })
    }
}

#[test]
fn exchanges_with_a_local_server_are_read() {
    let Some(folder) = folder().map(|folder| folder.join("llama-server")) else { return };
    let readme = fs::read_to_string(folder.join("README.md")).unwrap();
    let exchanges: Vec<Exchange<'_>> = readme.lines().filter_map(Exchange::in_line).collect();
    assert!(!exchanges.is_empty(), "the table of the README is read");
    let mut failures = Vec::new();
    for exchange in &exchanges {
        if let Err(failure) = check(&folder, exchange) {
            failures.push(format!("{}: {failure}", exchange.name));
        }
    }
    println!("{}/{} exchanges are read", exchanges.len() - failures.len(), exchanges.len());
    assert!(failures.is_empty(), "{}", failures.join("\n"));
}

fn check(folder: &Path, exchange: &Exchange<'_>) -> Result<(), String> {
    let Exchange { name, status, ending, came } = exchange;
    let body = fs::read(folder.join(format!("{name}.response.{ending}"))).unwrap();
    let request = fs::read_to_string(folder.join(format!("{name}.request.json")));
    let request = request.unwrap_or_default();
    let counts = *ending == "json" || request.contains("include_usage");
    for cut in CUTS {
        let result = decode_file(&format!("{name}.{ending}"), &body, cut);
        if OTHER_PROTOCOLS.contains(name) {
            same("a reply", true, result.is_err())?;
        } else if *status == 200 {
            let reply = result.map_err(|error| error.to_string())?;
            check_reply(&reply, came)?;
            let usage = reply.usage.is_some_and(|usage| usage.input_tokens > 0);
            same("usage", counts, usage)?;
        } else {
            let Err(Error::Api(error)) = result else { return Err(format!("{result:?}")) };
            same("status", Some(*status), error.status)?;
            same("error, read again", error_in(&body), Some(*error))?;
        }
    }
    // Some requests are wrong on purpose.
    match exchange.status == 200 && !name.starts_with("27-") && !OTHER_PROTOCOLS.contains(name) {
        true => check_messages(request.as_bytes()),
        false => Ok(()),
    }
}

fn check_reply(reply: &Reply, came: &str) -> Result<(), String> {
    let mut words = came.split(", ");
    let calls = words.next().and_then(|calls| calls.strip_suffix(" calls"));
    let finish = words.next().and_then(|finish| finish.strip_prefix("finish="));
    same("calls", calls, Some(&*reply.calls.len().to_string()))?;
    same("finish", finish, Some(reply.finish.as_str()))?;
    same("truncated", finish == Some("length"), reply.truncated)?;
    for (at, call) in reply.calls.iter().enumerate() {
        let is_last = at + 1 == reply.calls.len();
        match (reply.truncated && is_last, &call.arguments) {
            (true, Arguments::Truncated { .. }) | (false, Arguments::Object(_)) => {}
            (_, other) => return Err(format!("arguments of call {at}: {other:?}")),
        }
    }
    Ok(())
}
