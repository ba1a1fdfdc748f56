//! What a session was, for others: the document of `ask --json`, of `sessions show --json` and of the
//! server, and the trace that a browser draws. Made from records and reports alone.
//!
//! The shape of the document is a promise: names and units of fields do not change.

pub(crate) mod past;
pub(crate) mod trace;

use std::time::Duration;

use jiff::Timestamp;
use serde::Serialize;
use serde_json::value::RawValue;

use self::past::{Past, PastTurn};
use crate::conversation::{Problem, Record, Reused};
use crate::session::{Answer, FailedTurn, TurnReport};
use crate::supervision::{CallReport, ModelRetry, RoundReport};
use crate::wire;

/// A turn, or a session so far.
#[derive(Debug, Serialize)]
pub(crate) struct Document<'a> {
    #[serde(skip_serializing_if = "Option::is_none")]
    error: Option<Error>,
    session: &'a str,
    answer: Option<&'a str>,
    finish: Option<&'a str>,
    /// Absent where the record does not say: no model has replied.
    model: Option<&'a str>,
    elapsed_ms: f64,
    usage: Usage,
    rounds: Vec<Round<'a>>,
    /// Of the last reply, where it led to no round.
    retries: Vec<Retry<'a>>,
    /// Of a session so far.
    #[serde(flatten)]
    so_far: Option<SoFar<'a>>,
}

/// What a session has beyond its last turn.
#[derive(Debug, Serialize)]
struct SoFar<'a> {
    state: &'static str,
    title: &'a str,
    system: Option<&'a str>,
    created_at: String,
    updated_at: String,
    turns: Vec<Turn<'a>>,
}

/// A turn of a session.
#[derive(Debug, Serialize)]
struct Turn<'a> {
    turn: u64,
    prompt: &'a str,
    answer: Option<&'a str>,
    error: Option<Error>,
    elapsed_ms: f64,
    /// Their numbers.
    rounds: Vec<u64>,
}

#[derive(Debug, Serialize)]
struct Error {
    code: String,
    message: String,
}

#[derive(Debug, Serialize)]
struct Usage {
    input_tokens: u64,
    output_tokens: u64,
    cached_tokens: u64,
    reasoning_tokens: u64,
    cost: Option<f64>,
}

impl Usage {
    fn of(usage: &wire::Usage) -> Self {
        let wire::Usage { input_tokens, output_tokens, cached_tokens, reasoning_tokens, cost } =
            *usage;
        Self { input_tokens, output_tokens, cached_tokens, reasoning_tokens, cost }
    }
}

/// A round of it.
#[derive(Debug, Serialize)]
pub(crate) struct Round<'a> {
    round: u64,
    mode: &'static str,
    model_ms: f64,
    first_token_ms: Option<f64>,
    round_ms: f64,
    wall_ms: f64,
    sum_ms: f64,
    saved_ms: f64,
    speedup: f64,
    overlap_ms: f64,
    overhead_ms: f64,
    critical_call: Option<&'a str>,
    restarts: u32,
    calls: Vec<Call<'a>>,
    discarded: Vec<Call<'a>>,
    retries: Vec<Retry<'a>>,
}

/// A try of a reply that came to nothing.
#[derive(Debug, Serialize)]
struct Retry<'a> {
    model: &'a str,
    error: Error,
    waited_ms: f64,
}

/// A call of a round.
#[derive(Debug, Serialize)]
pub(crate) struct Call<'a> {
    id: &'a str,
    tool: &'a str,
    arguments: Option<&'a RawValue>,
    outcome: Option<&'static str>,
    result: Option<&'a str>,
    attempts: u32,
    worker_generation: u32,
    queued_ms: f64,
    started_ms: f64,
    startup_ms: f64,
    backoff_ms: f64,
    waited_ms: f64,
    ran_ms: f64,
    error: Option<Error>,
    early: bool,
    /// Of a call that has the result of another one.
    #[serde(skip_serializing_if = "Option::is_none")]
    reused: Option<&'static str>,
}

impl<'a> Document<'a> {
    pub fn of_answer(answer: &'a Answer) -> Self {
        Self {
            answer: Some(&answer.text),
            finish: Some(&answer.finish),
            ..Self::of_report(&answer.report)
        }
    }

    pub fn of_failure(failed: &'a FailedTurn) -> Self {
        let (code, message) = (failed.cause.code().to_owned(), failed.cause.to_string());
        Self { error: Some(Error { code, message }), ..Self::of_report(&failed.report) }
    }

    fn of_report(report: &'a TurnReport) -> Self {
        Self {
            error: None,
            session: report.session.as_str(),
            answer: None,
            finish: None,
            model: Some(&report.model),
            elapsed_ms: millis(report.elapsed),
            usage: Usage::of(&report.usage),
            rounds: report.rounds.iter().map(|round| Round::of(round)).collect(),
            retries: report.retries().iter().map(Retry::of).collect(),
            so_far: None,
        }
    }

    /// A turn on record, as it was printed when it was asked, or would have been.
    pub fn of_turn(past: &'a Past<'_>, turn: &'a PastTurn<'_>) -> Self {
        Self {
            error: turn.problem().as_ref().map(Error::of),
            session: past.session.as_str(),
            answer: turn.answer.map(|(text, _)| text),
            finish: turn.answer.map(|(_, finish)| finish),
            model: turn.model,
            elapsed_ms: millis(turn.elapsed),
            usage: Usage::of(&turn.usage),
            rounds: turn.rounds.iter().map(|round| Round::of(round)).collect(),
            retries: turn.retries.iter().map(Retry::of).collect(),
            so_far: None,
        }
    }

    /// A session so far: the rounds, the tokens and the time of all its turns, the answer of the last
    /// one. `state` is `idle`, `running` or `cut`.
    pub fn of_session(past: &'a Past<'_>, state: &'static str) -> Self {
        let turns = &past.turns;
        let mut usage = wire::Usage::default();
        turns.iter().for_each(|turn| usage += turn.usage);
        let so_far = SoFar {
            state,
            title: &past.title,
            system: past.system,
            created_at: exact(past.began_at_us),
            updated_at: exact(past.updated_at_us),
            turns: turns.iter().map(Turn::of).collect(),
        };
        let of_last = turns.last().map(|turn| Self::of_turn(past, turn));
        let (error, answer, finish, retries) = match of_last {
            Some(last) => (last.error, last.answer, last.finish, last.retries),
            None => (None, None, None, Vec::new()),
        };
        Self {
            error,
            session: past.session.as_str(),
            answer,
            finish,
            model: turns.iter().rev().find_map(|turn| turn.model),
            elapsed_ms: millis(turns.iter().map(|turn| turn.elapsed).sum()),
            usage: Usage::of(&usage),
            rounds: turns
                .iter()
                .flat_map(|turn| &turn.rounds)
                .map(|round| Round::of(round))
                .collect(),
            retries,
            so_far: Some(so_far),
        }
    }
}

impl<'a> Turn<'a> {
    fn of(turn: &'a PastTurn<'_>) -> Self {
        Self {
            turn: turn.turn,
            prompt: turn.prompt,
            answer: turn.answer.map(|(text, _)| text),
            error: turn.problem().as_ref().map(Error::of),
            elapsed_ms: millis(turn.elapsed),
            rounds: turn.rounds.iter().map(|round| round.round).collect(),
        }
    }
}

impl<'a> Round<'a> {
    pub fn of(report: &'a RoundReport) -> Self {
        Self {
            round: report.round,
            mode: report.mode.as_str(),
            model_ms: millis(report.model),
            first_token_ms: report.first_token.map(millis),
            round_ms: millis(report.clock),
            wall_ms: millis(report.wall),
            sum_ms: millis(report.sum),
            saved_ms: millis(report.saved),
            speedup: (report.speedup * 100.0).round() / 100.0,
            overlap_ms: millis(report.overlap),
            overhead_ms: millis(report.overhead),
            critical_call: report.critical_call.as_deref(),
            restarts: report.restarts,
            calls: report.calls.iter().map(Call::of).collect(),
            discarded: report.discarded.iter().map(Call::of).collect(),
            retries: report.retries.iter().map(Retry::of).collect(),
        }
    }
}

impl<'a> Call<'a> {
    pub fn of(call: &'a CallReport) -> Self {
        Self {
            id: &call.id,
            tool: &call.tool,
            arguments: call.arguments.as_deref().and_then(|text| serde_json::from_str(text).ok()),
            outcome: call.outcome.map(|outcome| outcome.as_str()),
            result: call.result.as_deref(),
            attempts: call.attempts,
            worker_generation: call.worker_generation,
            queued_ms: millis(call.queued),
            started_ms: millis(call.started),
            startup_ms: millis(call.startup),
            backoff_ms: millis(call.backoff),
            waited_ms: millis(call.waited),
            ran_ms: millis(call.ran),
            error: call.error.as_ref().map(Error::of),
            early: call.early,
            reused: call.reused.map(Reused::as_str),
        }
    }
}

impl<'a> Retry<'a> {
    fn of(retry: &'a ModelRetry) -> Self {
        let (model, error) = (&*retry.model, Error::of(&retry.error));
        Self { model, error, waited_ms: millis(retry.waited) }
    }
}

impl Error {
    fn of(Problem { code, message }: &Problem) -> Self {
        Self { code: code.to_string(), message: message.clone() }
    }
}

/// Writes `records` as they are kept, a line each.
pub(crate) fn lines(records: &[Record]) -> serde_json::Result<String> {
    let mut lines = String::new();
    for record in records {
        lines += &serde_json::to_string(record)?;
        lines.push('\n');
    }
    Ok(lines)
}

/// Writes a moment for programs: RFC 3339, in UTC, to the microsecond.
pub(crate) fn exact(at_us: u64) -> String {
    timestamp(at_us).to_string()
}

/// The moment that is so many microseconds behind 1970; what lies beyond the calendar is its last one.
pub(crate) fn timestamp(at_us: u64) -> Timestamp {
    i64::try_from(at_us)
        .ok()
        .and_then(|at_us| Timestamp::from_microsecond(at_us).ok())
        .unwrap_or(Timestamp::MAX)
}

/// Milliseconds, to the microsecond.
pub(crate) fn millis(duration: Duration) -> f64 {
    let micros = u32::try_from(duration.as_micros()).map(f64::from);
    micros.unwrap_or(duration.as_secs_f64() * 1e6) / 1e3
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;
    use crate::document::past::tests::{WHOLE, journal};

    fn document(lines: &[&str], state: &'static str) -> Value {
        let records = journal(lines);
        let past = Past::of(&records).unwrap();
        serde_json::to_value(Document::of_session(&past, state)).unwrap()
    }

    #[test]
    fn a_session_on_record_is_the_document_of_its_turns() {
        let document = document(&WHOLE, "idle");
        assert_eq!(document["answer"], "71 degrees.");
        assert_eq!((&document["finish"], &document["model"]), (&json!("stop"), &json!("m")));
        assert_eq!((&document["elapsed_ms"], &document["state"]), (&json!(9.0), &json!("idle")));
        assert_eq!(document["usage"]["input_tokens"], 27);
        assert!(document.get("error").is_none(), "{document}");
        let round = &document["rounds"][0];
        assert_eq!((&round["model_ms"], &round["wall_ms"]), (&json!(1.0), &json!(3.5)));
        let call = &round["calls"][0];
        assert_eq!((&call["outcome"], &call["backoff_ms"]), (&json!("ok"), &json!(0.2)));
        assert_eq!(call["arguments"], json!({"city": "Tokyo"}));
        assert_eq!(round["calls"][1]["error"], json!({"code": "timed_out", "message": "too late"}));
        let turn = json!([{"turn": 1, "prompt": "Weather and stock?\nToday.", "answer": "71 degrees.",
            "error": null, "elapsed_ms": 9.0, "rounds": [1]}]);
        assert_eq!((&document["turns"], &document["system"]), (&turn, &json!("Be brief.")));
        assert_eq!(document["created_at"], "1970-01-01T00:00:00.001Z");
    }

    #[test]
    fn the_outcome_of_an_open_call_is_null() {
        let document = document(&WHOLE[..7], "cut");
        let calls = &document["rounds"][0]["calls"];
        assert_eq!((&calls[0]["outcome"], &calls[1]["outcome"]), (&json!("ok"), &json!(null)));
        assert_eq!((&calls[1]["result"], &calls[1]["error"]), (&json!(null), &json!(null)));
        assert_eq!((&document["answer"], &document["state"]), (&json!(null), &json!("cut")));
        assert_eq!(document["turns"][0]["answer"], json!(null));
    }

    #[test]
    fn a_turn_that_failed_says_why_and_a_session_without_one_says_nothing() {
        let failed =
            r#""type":"turn_ended","turn":1,"end":"failed","problem":{"code":"c","message":"m"}"#;
        let document = document(&[&WHOLE[..3], &[failed]].concat(), "idle");
        assert_eq!(document["error"], json!({"code": "c", "message": "m"}));
        assert_eq!((&document["model"], &document["rounds"]), (&json!(null), &json!([])));
        let empty = self::document(&WHOLE[..1], "idle");
        assert_eq!((&empty["turns"], &empty["elapsed_ms"]), (&json!([]), &json!(0.0)));
    }
}
