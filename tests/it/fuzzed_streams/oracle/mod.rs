//! What must hold of every session, whatever its streams. A rule is a small function that says what
//! it finds wrong; [`RULES`] lists them under the promises they hold. They go by the bytes that were
//! sent, by what the tools wrote down, and by the session's events.

mod answers;
mod beginnings;
mod bytes;
mod ends;
mod keys;

use callsheet::conversation::TurnEnd;
use callsheet::{Effects, Mode};
use serde_json::Value;

use super::Violation;
use super::ledger::{Call, Ledger};
use super::scenario::{Scenario, ToolPlan};
use super::tools::Execution;
use super::truth::{CallTruth, Truth};
use super::world::Run;

/// What is promised of streams, whatever is in them.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Promise {
    /// A call whose arguments were cut, or that the stream contradicted, is never run.
    CutNeverRuns,
    /// What is run has the exact arguments of a call that was complete: no prefix, no placeholder.
    OnlyWholeCallsRun,
    /// Nothing with effects runs before its reply has ended, or from one that ended badly, unless its
    /// tool says otherwise; and nothing begins before it is as certain as it must be.
    EarlyButSound,
    /// A key is run once, and what an earlier try began is not begun again.
    NothingRunsTwice,
    /// Every call of the final reply is answered once, in order, in a history that any provider takes.
    OneCallOneAnswer,
    /// What started ends once, and nobody runs on when it is not wanted any more.
    WhatStartsEnds,
    /// What is whole runs, and is answered what its own tool said.
    WholeCallsStand,
    /// The report has the times and the counts of the events.
    EveryMillisecondHasAnOwner,
    /// The turn ends, and the session can be asked again.
    EverythingEnds,
    SameSeedSameTrace,
}

/// A session to judge.
struct Case<'a> {
    scenario: &'a Scenario,
    run: &'a Run,
    ledger: &'a Ledger<'a>,
}

/// When a tool's calls may begin.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Begins {
    WhenClosed,
    WhenSealed,
    AtTheEnd,
}

impl<'a> Case<'a> {
    fn tool(&self, name: &str) -> Option<&'a ToolPlan> {
        self.scenario.tool(name)
    }

    /// When calls of `tool` may begin, if the closing brace is `trusted`.
    fn begins(&self, tool: &str, trusted: bool) -> Begins {
        let limits = &self.scenario.limits;
        let Some(tool) = self.tool(tool) else { return Begins::AtTheEnd };
        match (tool.early, tool.effects) {
            _ if limits.mode == Mode::Sequential || !limits.early_dispatch => Begins::AtTheEnd,
            _ if tool.exclusive || tool.early == Some(false) => Begins::AtTheEnd,
            (_, Effects::None) if trusted => Begins::WhenClosed,
            (Some(true), _) | (_, Effects::None) => Begins::WhenSealed,
            _ => Begins::AtTheEnd,
        }
    }

    /// The start of `execution` on record.
    fn call_of(&self, execution: &Execution) -> Option<&'a Call> {
        let (round, place) = (execution.key.round, execution.key.place());
        self.ledger.calls.iter().find(|call| call.round == round && call.place == place)
    }

    /// What the stream that asked for it says, if anybody knows, and when it was asked for.
    fn truth_of(&self, execution: &Execution) -> Option<(&'a Truth, u64)> {
        let ask = self.ledger.ask(execution.key.round, execution.key.attempt)?;
        Some((ask.sent?.truth.as_ref()?, ask.at))
    }

    /// Says whether the turn of this number took its course: nobody cancelled anything, and its time
    /// did not run out.
    fn took_its_course(&self, turn: usize) -> bool {
        let meddled = self.run.turns.get(turn).is_some_and(|turn| turn.was_meddled_with);
        let end = self.ledger.ends.get(turn);
        !meddled && !matches!(end, Some(TurnEnd::Cancelled | TurnEnd::TimedOut))
    }
}

/// The call of the stream that `execution` says it is.
fn meant<'a>(truth: &'a Truth, execution: &Execution) -> Option<&'a CallTruth> {
    truth.calls.get(execution.key.ordinal as usize)
}

/// Says whether two texts are the same JSON.
fn are_same(left: &str, right: &str) -> bool {
    let read = |text: &str| serde_json::from_str::<Value>(text).ok();
    left == right || (read(left).is_some() && read(left) == read(right))
}

/// Says what is wrong in a session.
type Rule = fn(&Case<'_>) -> Vec<String>;

const RULES: [(Promise, Rule); 23] = [
    (Promise::CutNeverRuns, beginnings::a_cut_call_never_runs),
    (Promise::CutNeverRuns, beginnings::a_contradicted_call_does_not_begin),
    (Promise::CutNeverRuns, beginnings::a_contradicted_call_stops),
    (Promise::OnlyWholeCallsRun, beginnings::arguments_are_those_of_a_call_that_was_meant),
    (Promise::OnlyWholeCallsRun, bytes::arguments_stand_in_the_bytes_that_were_sent),
    (Promise::EarlyButSound, beginnings::nothing_begins_before_it_is_certain),
    (Promise::EarlyButSound, beginnings::nothing_begins_of_what_failed),
    (Promise::EarlyButSound, beginnings::effects_wait_for_a_good_end),
    (Promise::NothingRunsTwice, keys::a_key_is_run_once),
    (Promise::NothingRunsTwice, keys::what_runs_at_the_end_is_asked_for),
    (Promise::NothingRunsTwice, keys::another_try_does_not_run_the_same_again),
    (Promise::OneCallOneAnswer, answers::every_event_has_its_place),
    (Promise::OneCallOneAnswer, answers::the_model_saw_whole_histories),
    (Promise::OneCallOneAnswer, answers::every_call_has_its_answer_in_the_history),
    (Promise::WhatStartsEnds, ends::what_started_ended_once),
    (Promise::WhatStartsEnds, ends::nothing_runs_beyond_its_end),
    (Promise::WholeCallsStand, keys::a_call_that_has_begun_is_the_one_that_is_asked_for),
    (Promise::WholeCallsStand, answers::whole_calls_stand),
    (Promise::WholeCallsStand, answers::an_answer_is_what_the_tool_said),
    (Promise::WholeCallsStand, answers::nothing_is_cancelled_that_nobody_cancelled),
    (Promise::EveryMillisecondHasAnOwner, ends::the_times_of_a_round_add_up),
    (Promise::EveryMillisecondHasAnOwner, ends::a_report_counts_as_the_events_do),
    (Promise::EverythingEnds, ends::the_session_goes_on),
];

/// Judges one session.
pub fn judge(scenario: &Scenario, run: &Run) -> Vec<Violation> {
    let ledger = Ledger::new(&run.heard, scenario);
    let case = Case { scenario, run, ledger: &ledger };
    let broken = |(promise, rule): (Promise, Rule)| {
        rule(&case).into_iter().map(move |what| Violation { promise, what })
    };
    RULES.into_iter().flat_map(broken).collect()
}

/// Judges two runs of the same session.
pub fn compare(first: &Run, second: &Run) -> Vec<Violation> {
    if first.heard == second.heard && first.executions == second.executions {
        return Vec::new();
    }
    let differs = first.heard.iter().zip(&second.heard).find(|(left, right)| left != right);
    let what = match differs {
        Some((left, right)) => format!("first {left:?}, then {right:?}"),
        None => format!("first {} events, then {}", first.heard.len(), second.heard.len()),
    };
    vec![Violation { promise: Promise::SameSeedSameTrace, what }]
}
