//! What is counted of the questions, and what is checked of them: a fold over their ends.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use crate::model;
use crate::session::{Answer, Cause, Error};
use crate::supervision::RoundReport;

/// How a question ended.
#[derive(Debug)]
pub struct Ended {
    pub result: Result<Answer, Error>,
    /// From the question to its end, as the one who asked sees it.
    pub took: Duration,
    /// How many calls each reply asked for, as the [`super::witness::Witness`] saw it.
    pub asked_for: Vec<usize>,
}

/// The questions that have ended so far.
#[derive(Debug, Default)]
pub struct Tally {
    pub answered: u64,
    /// By the code of the cause.
    pub failed: BTreeMap<&'static str, u64>,
    /// Questions that the endpoint refused (400, 422) for what the history looks like.
    pub broken_histories: u64,
    pub rounds: u64,
    /// Calls that the replies asked for.
    pub calls: u64,
    /// Calls by how they ended.
    pub outcomes: BTreeMap<&'static str, u64>,
    /// Calls that no report has, or has without an outcome, or that no reply asked for.
    pub unaccounted_calls: u64,
    pub restarts: u64,
    /// Of the questions that were answered.
    pub latencies: Vec<Duration>,
    /// Of each round, the time with a call under way.
    pub round_walls: Vec<Duration>,
}

impl Tally {
    /// Takes in the end of a question.
    pub fn on(&mut self, ended: &Ended) {
        let rounds: &[Arc<RoundReport>] = match &ended.result {
            Ok(answer) => {
                self.answered += 1;
                self.latencies.push(ended.took);
                &answer.report.rounds
            }
            Err(error) => {
                *self.failed.entry(code(error)).or_default() += 1;
                self.broken_histories += u64::from(refuses_history(error));
                match error {
                    Error::Turn(failed) => &failed.report.rounds,
                    Error::Busy
                    | Error::Budget(_)
                    | Error::EmptyPrompt
                    | Error::Closed
                    | Error::ShuttingDown
                    | Error::NoAnswer
                    | Error::Store(_) => &[],
                }
            }
        };
        for place in 0..rounds.len().max(ended.asked_for.len()) {
            let asked_for = ended.asked_for.get(place).copied().unwrap_or_default();
            self.on_round(asked_for, rounds.get(place).map(|round| &**round));
        }
    }

    /// Questions asked that have ended, however they did.
    pub fn asked(&self) -> u64 {
        self.answered + self.failures()
    }

    /// Questions without an answer.
    pub fn failures(&self) -> u64 {
        self.failed.values().sum()
    }

    /// Says whether every history was taken and every call accounted for.
    pub fn is_sound(&self) -> bool {
        self.broken_histories == 0 && self.unaccounted_calls == 0
    }

    /// Takes in a round whose reply asked for so many calls, and what was reported of it.
    fn on_round(&mut self, asked_for: usize, report: Option<&RoundReport>) {
        self.rounds += 1;
        self.calls += asked_for as u64;
        let calls = report.map_or(&[][..], |report| &report.calls);
        self.unaccounted_calls += asked_for.abs_diff(calls.len()) as u64;
        for call in calls {
            match call.outcome {
                Some(outcome) => *self.outcomes.entry(outcome.as_str()).or_default() += 1,
                None => self.unaccounted_calls += 1,
            }
        }
        if let Some(report) = report {
            self.restarts += u64::from(report.restarts);
            self.round_walls.push(report.wall);
        }
    }
}

/// A stable name for why there is no answer.
fn code(error: &Error) -> &'static str {
    match error {
        Error::Busy => "busy",
        Error::EmptyPrompt => "empty_prompt",
        Error::Closed => "session_closed",
        Error::ShuttingDown => "shutting_down",
        Error::NoAnswer => "no_answer",
        Error::Store(_) => "store_failed",
        Error::Turn(failed) | Error::Budget(failed) => failed.cause.code(),
    }
}

/// Says whether the endpoint did not take the history. It has no other word for it than that the
/// request is bad, so a request that is bad for another reason counts as well.
fn refuses_history(error: &Error) -> bool {
    let Error::Turn(failed) = error else { return false };
    matches!(failed.cause, Cause::Model(model::Error::Refused { status: 400 | 422, .. }))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cli::draw::render::tests::{bad_round, good_round};
    use crate::conversation::SessionId;
    use crate::session::{FailedTurn, TurnReport};
    use crate::supervision::RoundReports;
    use crate::wire::Usage;

    fn failed(cause: Cause) -> Error {
        let report = TurnReport {
            session: SessionId::new("s"),
            model: "m".into(),
            elapsed: Duration::ZERO,
            usage: Usage::default(),
            rounds: RoundReports::default(),
        };
        Error::Turn(Box::new(FailedTurn { cause, report }))
    }

    fn refused(status: u16) -> Error {
        let (url, message) = ("u".to_owned(), "no".to_owned());
        failed(Cause::Model(model::Error::Refused { url, status, message }))
    }

    /// The tally of one question that ended with `error` after replies with so many calls.
    fn tally(error: Error, asked_for: &[usize]) -> Tally {
        let mut tally = Tally::default();
        let asked_for = asked_for.to_vec();
        tally.on(&Ended { result: Err(error), took: Duration::ZERO, asked_for });
        tally
    }

    #[test]
    fn a_refused_history_is_not_sound_and_other_failures_are() {
        for status in [400, 422] {
            let tally = tally(refused(status), &[]);
            assert_eq!((tally.broken_histories, tally.is_sound()), (1, false));
            assert_eq!(tally.failed["request_refused"], 1);
        }
        for error in [refused(413), failed(Cause::TimedOut), Error::Closed] {
            let tally = tally(error, &[]);
            assert_eq!((tally.asked(), tally.failures(), tally.is_sound()), (1, 1, true));
        }
    }

    #[test]
    fn calls_without_a_report_are_unaccounted_for() {
        for error in [Error::Closed, failed(Cause::Cancelled)] {
            let tally = tally(error, &[3, 2]);
            assert_eq!((tally.calls, tally.unaccounted_calls, tally.rounds), (5, 5, 2));
        }
    }

    #[test]
    fn a_round_accounts_for_as_many_calls_as_were_asked_for() {
        let check = |asked_for, unaccounted| {
            let mut tally = Tally::default();
            tally.on_round(asked_for, Some(&good_round()));
            assert_eq!((tally.unaccounted_calls, tally.outcomes["ok"]), (unaccounted, 3));
        };
        check(3, 0);
        check(5, 2);
        check(2, 1);
    }

    #[test]
    fn a_call_without_an_outcome_is_unaccounted_for() {
        let mut round = bad_round();
        round.calls[0].outcome = None;
        let mut tally = Tally::default();
        tally.on_round(3, Some(&round));
        assert_eq!((tally.calls, tally.unaccounted_calls, tally.restarts), (3, 1, 1));
        let outcomes: Vec<_> = tally.outcomes.into_iter().collect();
        assert_eq!(outcomes, [("panicked", 1), ("timed_out", 1)]);
    }
}
