//! Reads a script: TOML in, points out.

use std::collections::BTreeMap;
use std::ops::Range;
use std::time::Duration;

use hyper::header::{HeaderName, HeaderValue};
use hyper::{HeaderMap, StatusCode};
use serde::Deserialize;
use toml::Spanned;

use super::super::json::Json;
use super::super::refusal::Refusal;
use super::super::reply::{Answer, Call, Failure, Reply, Usage};
use super::{OnEnd, Point, Script, ScriptError};

/// The member that `toml` hands a date over in.
const DATE: &str = "$__toml_private_datetime";

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct File {
    #[serde(default)]
    on_end: OnEnd,
    #[serde(default)]
    reply: Vec<Spanned<Entry>>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Entry {
    text: Option<String>,
    calls: Option<Vec<Spanned<CallEntry>>>,
    delay_ms: Option<u64>,
    token_delay_ms: Option<u64>,
    cut_after: Option<usize>,
    finish: Option<String>,
    usage: Option<UsageEntry>,
    status: Option<u16>,
    headers: Option<BTreeMap<String, Json>>,
    body: Option<Json>,
    times: Option<u64>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct CallEntry {
    name: String,
    arguments: Option<Json>,
    raw: Option<String>,
    id: Option<String>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct UsageEntry {
    prompt_tokens: u64,
    completion_tokens: u64,
}

/// Something wrong, and the bytes of the script that say it.
type Wrong = (Range<usize>, String);

pub(super) fn parse(text: &str) -> Result<Script, ScriptError> {
    let located = |(span, message): Wrong| {
        let before = text.get(..span.start).unwrap_or(text);
        ScriptError { line: before.matches('\n').count() + 1, message }
    };
    let file: File = toml::from_str(text)
        .map_err(|error| (error.span().unwrap_or_default(), one_line(error.message())))
        .map_err(located)?;
    let mut points = vec![Point::default()];
    for entry in file.reply {
        let span = entry.span();
        let entry = entry.into_inner();
        let times = entry.times.or(entry.status.map(|_| 1));
        if times == Some(0) {
            return Err(located((span, "`times` must be at least 1".to_owned())));
        }
        let answer = answer(entry, span).map_err(located)?;
        let Some(point) = points.last_mut() else { break };
        match times {
            Some(times) => point.passing.push((times, answer)),
            None => {
                point.lasting = Some(answer);
                points.push(Point::default());
            }
        }
    }
    points.retain(|point| *point != Point::default());
    if points.is_empty() {
        return Err(located((0..0, "a script needs at least one `[[reply]]`".to_owned())));
    }
    Ok(Script { points, on_end: file.on_end })
}

fn answer(entry: Entry, span: Range<usize>) -> Result<Answer, Wrong> {
    let wrong = |message: &str| Err((span.clone(), message.to_owned()));
    let message_fields = entry.text.is_some()
        || entry.calls.is_some()
        || entry.token_delay_ms.is_some()
        || entry.cut_after.is_some()
        || entry.finish.is_some()
        || entry.usage.is_some();
    match entry.status {
        Some(_) if message_fields => {
            wrong("a reply with `status` has only `headers`, `body`, `delay_ms` and `times`")
        }
        Some(status) => failure(status, entry, span).map(Answer::Failure),
        None if entry.headers.is_some() || entry.body.is_some() => {
            wrong("`headers` and `body` need a `status`")
        }
        None if entry.text.is_none() && entry.calls.is_none() => {
            wrong("a reply needs `text`, `calls` or `status`")
        }
        None => reply(entry).map(Answer::Reply),
    }
}

fn reply(entry: Entry) -> Result<Reply, Wrong> {
    let calls = entry.calls.unwrap_or_default().into_iter().map(call);
    Ok(Reply {
        text: entry.text,
        calls: calls.collect::<Result<_, _>>()?,
        finish: entry.finish,
        usage: entry.usage.map(|UsageEntry { prompt_tokens, completion_tokens }| Usage {
            prompt_tokens,
            completion_tokens,
        }),
        delay: Duration::from_millis(entry.delay_ms.unwrap_or_default()),
        token_delay: entry.token_delay_ms.map(Duration::from_millis),
        cut_after: entry.cut_after,
    })
}

fn call(entry: Spanned<CallEntry>) -> Result<Call, Wrong> {
    let span = entry.span();
    let CallEntry { name, arguments, raw, id } = entry.into_inner();
    let arguments = match (arguments, raw) {
        (Some(_), Some(_)) => {
            return Err((span, "a call has `arguments` or `raw`, not both".to_owned()));
        }
        (Some(arguments @ Json::Object(_)), None) => with_dates_as_text(arguments).to_string(),
        (Some(_), None) => {
            return Err((span, "`arguments` must be a table; other text goes in `raw`".to_owned()));
        }
        (None, Some(raw)) => raw,
        (None, None) => "{}".to_owned(),
    };
    Ok(Call { id, name, arguments })
}

fn failure(status: u16, entry: Entry, span: Range<usize>) -> Result<Failure, Wrong> {
    let wrong = |message: String| (span.clone(), message);
    let status = StatusCode::from_u16(status)
        .ok()
        .filter(|status| (200..600).contains(&status.as_u16()))
        .ok_or_else(|| wrong(format!("`status` must be from 200 to 599, not {status}")))?;
    let mut headers = HeaderMap::new();
    for (name, value) in entry.headers.unwrap_or_default() {
        let unusable = || wrong(format!("header `{name}` cannot be sent"));
        let name = HeaderName::try_from(&name).map_err(|_| unusable())?;
        headers.append(name, HeaderValue::try_from(plain(value)).map_err(|_| unusable())?);
    }
    let default = || {
        let reason = status.canonical_reason().unwrap_or("error");
        Refusal::new(status, format!("scripted: {reason}")).body().to_string()
    };
    Ok(Failure {
        status,
        headers,
        body: entry.body.map_or_else(default, |body| plain(with_dates_as_text(body))),
        delay: Duration::from_millis(entry.delay_ms.unwrap_or_default()),
    })
}

/// A string as it is, anything else as JSON.
fn plain(value: Json) -> String {
    match value {
        Json::Text(text) => text,
        other => other.to_string(),
    }
}

fn with_dates_as_text(value: Json) -> Json {
    match value {
        Json::Object(members) => match members.as_slice() {
            [(key, date)] if key == DATE => date.clone(),
            _ => Json::Object(
                members.into_iter().map(|(key, value)| (key, with_dates_as_text(value))).collect(),
            ),
        },
        Json::List(items) => Json::List(items.into_iter().map(with_dates_as_text).collect()),
        other => other,
    }
}

fn one_line(message: &str) -> String {
    message.split_whitespace().collect::<Vec<_>>().join(" ")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn error(text: &str) -> String {
        parse(text).expect_err("unreadable").to_string()
    }

    /// The example in the documentation of `script`.
    fn documented() -> String {
        let source = include_str!("mod.rs");
        let block = source.split("//! ```").nth(1).expect("an example");
        let lines = block.lines().skip(1).map(|line| line.trim_start_matches("//!"));
        lines.collect::<Vec<_>>().join("\n")
    }

    #[test]
    fn the_documented_example_is_a_script_of_two_points() {
        let script = parse(&documented()).expect("readable");
        let shape: Vec<(usize, bool)> = script
            .points
            .iter()
            .map(|point| (point.passing.len(), point.lasting.is_some()))
            .collect();
        assert_eq!(shape, [(1, true), (1, true)]);
    }

    #[test]
    fn dates_in_arguments_become_text() {
        let script = "[[reply]]\ncalls = [{ name = 'f', arguments = { on = 2026-01-02 } }]";
        let script = parse(script).expect("readable");
        let Some(Answer::Reply(reply)) = &script.points[0].lasting else { panic!("{script:?}") };
        assert_eq!(reply.calls[0].arguments, r#"{"on":"2026-01-02"}"#);
    }

    #[test]
    fn an_unknown_field_is_named_with_its_line() {
        let said = error("on_end = 'repeat'\n\n[[reply]]\ntext = 'x'\ntxet = 'y'\n");
        assert!(said.starts_with("line 5: unknown field `txet`"), "{said}");
        let said = error("[[reply]]\ncalls = [\n  { name = 'f' },\n  { nam = 'g' },\n]\n");
        assert!(said.starts_with("line 4: "), "{said}");
        assert!(said.contains("`nam`"), "{said}");
        let said = error("[[reply]]\ntext = 'a'\n[[replay]]\n");
        assert!(said.starts_with("line 3: unknown field `replay`"), "{said}");
    }

    #[test]
    fn what_cannot_be_meant_is_said_with_its_line() {
        for (text, expected) in [
            ("", "line 1: a script needs at least one `[[reply]]`"),
            ("[[reply]]\ndelay_ms = 1", "line 1: a reply needs `text`, `calls` or `status`"),
            (
                "[[reply]]\ntext = 'a'\n[[reply]]\nstatus = 429\ntext = 'b'",
                "line 3: a reply with `status` has only `headers`, `body`, `delay_ms` and `times`",
            ),
            ("[[reply]]\nstatus = 42", "line 1: `status` must be from 200 to 599, not 42"),
            ("\n[[reply]]\ntext = ''\nbody = ''", "line 2: `headers` and `body` need a `status`"),
            ("[[reply]]\ntext = ''\ntimes = 0", "line 1: `times` must be at least 1"),
            (
                "[[reply]]\ncalls = [\n{ name = 'f', raw = '', arguments = {} }]",
                "line 3: a call has `arguments` or `raw`, not both",
            ),
            (
                "[[reply]]\nstatus = 500\nheaders = { 'bad name' = 'x' }",
                "line 1: header `bad name` cannot be sent",
            ),
        ] {
            assert_eq!(error(text), expected);
        }
        assert!(error("[[reply]]\ntext = 'a'\ntext = 'b'").starts_with("line 3: "));
        assert!(error("[[reply]]\ntext = 3").starts_with("line 2: "));
    }
}
