//! The document of `bench --json`. Its shape is a promise: names and units of fields do not change.

use std::collections::BTreeMap;
use std::time::Duration;

use serde::Serialize;

use super::report::Report;
use crate::document::millis;
use crate::tools::ToolHealth;

/// A load that is over.
#[derive(Debug, Serialize)]
pub struct Document<'a> {
    model: &'a str,
    arbiters: usize,
    sessions: u32,
    questions: u32,
    interrupted: bool,
    asked: u64,
    answered: u64,
    failed: &'a BTreeMap<&'static str, u64>,
    rounds: u64,
    rounds_per_s: f64,
    calls: u64,
    outcomes: &'a BTreeMap<&'static str, u64>,
    question_p50_ms: Option<f64>,
    question_p99_ms: Option<f64>,
    question_max_ms: Option<f64>,
    round_wall_p50_ms: Option<f64>,
    round_wall_p99_ms: Option<f64>,
    restarts: u64,
    cpu_per_round_ms: Option<f64>,
    cpu_includes_stand_in: bool,
    peak_memory_kib: Option<u64>,
    wall_ms: f64,
    broken_histories: u64,
    unaccounted_calls: u64,
    tools: &'a [ToolHealth],
}

impl<'a> Document<'a> {
    pub fn of(report: &'a Report) -> Self {
        let millis_of = |time: Option<Duration>| time.map(millis);
        let (question, round) = (report.question_times(), report.round_times());
        let tally = &report.tally;
        Self {
            model: &report.model,
            arbiters: report.arbiters,
            sessions: report.sessions,
            questions: report.questions,
            interrupted: report.interrupted,
            asked: tally.asked(),
            answered: tally.answered,
            failed: &tally.failed,
            rounds: tally.rounds,
            rounds_per_s: (report.rounds_per_s() * 100.0).round() / 100.0,
            calls: tally.calls,
            outcomes: &tally.outcomes,
            question_p50_ms: millis_of(question.p50),
            question_p99_ms: millis_of(question.p99),
            question_max_ms: millis_of(question.max),
            round_wall_p50_ms: millis_of(round.p50),
            round_wall_p99_ms: millis_of(round.p99),
            restarts: tally.restarts,
            cpu_per_round_ms: millis_of(report.cpu_per_round()),
            cpu_includes_stand_in: report.stand_in,
            peak_memory_kib: report.peak_memory_kib,
            wall_ms: millis(report.wall),
            broken_histories: tally.broken_histories,
            unaccounted_calls: tally.unaccounted_calls,
            tools: &report.tools,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cli::bench::report::tests::small;

    #[test]
    fn the_document_of_a_small_load() {
        let text = serde_json::to_string(&Document::of(&small())).unwrap();
        let expected = r#"{"model":"m","arbiters":2,"sessions":2,"questions":2,
            "interrupted":false,"asked":4,"answered":3,"failed":{"turn_timed_out":1},"rounds":4,
            "rounds_per_s":2.0,"calls":12,"outcomes":{"ok":10,"panicked":1,"timed_out":1},
            "question_p50_ms":340.0,"question_p99_ms":1500.0,"question_max_ms":1500.0,
            "round_wall_p50_ms":301.0,"round_wall_p99_ms":303.0,"restarts":1,
            "cpu_per_round_ms":7.5,"cpu_includes_stand_in":true,"peak_memory_kib":34816,
            "wall_ms":2000.0,"broken_histories":0,"unaccounted_calls":0,"tools":[{"tool":"look",
            "circuit":"closed","retry_after_ms":null,"restarts":0,"withdrawals":0,
            "last_failure":null,"waiting":0,"running":null,"abandoned_threads":0},{"tool":"act",
            "circuit":"closed","retry_after_ms":null,"restarts":1,"withdrawals":0,
            "last_failure":null,"waiting":0,"running":null,"abandoned_threads":0}]}"#;
        assert_eq!(text, expected.split_whitespace().collect::<String>());
    }

    #[test]
    fn what_nobody_tells_is_null() {
        let mut report = small();
        (report.cpu, report.peak_memory_kib) = (None, None);
        report.tally.latencies.clear();
        let document = serde_json::to_value(Document::of(&report)).unwrap();
        for name in ["cpu_per_round_ms", "peak_memory_kib", "question_p50_ms"] {
            assert!(document[name].is_null(), "{name}: {document}");
        }
    }
}
