//! The document of `ask --json`. Its shape is a promise: names and units of fields do not change.

use std::time::Duration;

use serde::Serialize;
use serde_json::value::RawValue;

use crate::conversation::Problem;
use crate::session::{Answer, FailedTurn, TurnReport};
use crate::supervision::{CallReport, ModelRetry, RoundReport};
use crate::wire;

/// A turn.
#[derive(Debug, Serialize)]
pub(super) struct Document<'a> {
    #[serde(skip_serializing_if = "Option::is_none")]
    error: Option<Error>,
    session: &'a str,
    answer: Option<&'a str>,
    finish: Option<&'a str>,
    model: &'a str,
    elapsed_ms: f64,
    usage: Usage,
    rounds: Vec<Round<'a>>,
    /// Of the last reply, where it led to no round.
    retries: Vec<Retry<'a>>,
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

#[derive(Debug, Serialize)]
struct Round<'a> {
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

#[derive(Debug, Serialize)]
struct Call<'a> {
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
            model: &report.model,
            elapsed_ms: millis(report.elapsed),
            usage: Usage::of(&report.usage),
            rounds: report.rounds.iter().map(|round| Round::of(round)).collect(),
            retries: report.retries().iter().map(Retry::of).collect(),
        }
    }
}

impl<'a> Round<'a> {
    fn of(report: &'a RoundReport) -> Self {
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
    fn of(call: &'a CallReport) -> Self {
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

/// Milliseconds, to the microsecond.
pub(super) fn millis(duration: Duration) -> f64 {
    let micros = u32::try_from(duration.as_micros()).map(f64::from);
    micros.unwrap_or(duration.as_secs_f64() * 1e6) / 1e3
}
