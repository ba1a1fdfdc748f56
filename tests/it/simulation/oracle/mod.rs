//! What must hold of every session, whatever its seed. A rule is a small function that says what it
//! finds wrong; [`RULES`] lists them under the promises they hold.

mod answers;
mod circuits;
mod course;
mod early;
mod ends;
mod rebuilds;
mod reports;
mod room;
mod tries;

use super::Violation;
use super::ledger::{Call, Ledger};
use super::scenario::Scenario;
use super::world::Run;
use tries::Try;

/// The promises of the runtime, as far as a simulation can hold them.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Promise {
    /// 1.
    OneCallOneAnswer,
    /// 2.
    SiblingsAreStrangers,
    /// 3.
    NothingIsLostOrRunAgain,
    /// 4.
    EverythingEnds,
    /// 5.
    WhatFailsIsReplaced,
    /// 6.
    TruncatedNeverRuns,
    /// 7.
    EarlyButSound,
    /// 8.
    EveryMillisecondHasAnOwner,
    NothingLeaks,
    SameSeedSameTrace,
}

/// A session to judge.
struct Case<'a> {
    scenario: &'a Scenario,
    run: &'a Run,
    ledger: &'a Ledger,
    /// Call by call, in order.
    tries: Vec<Try<'a>>,
}

impl<'a> Case<'a> {
    fn new(scenario: &'a Scenario, run: &'a Run, ledger: &'a Ledger) -> Self {
        Self { scenario, run, ledger, tries: Try::all(scenario, ledger, &run.sightings) }
    }

    /// The tries of `call`, in order.
    fn tries_of(&self, call: &Call) -> &[Try<'a>] {
        let place = |one: &Try<'_>| (one.call.round, one.call.place);
        let from = self.tries.partition_point(|one| place(one) < (call.round, call.place));
        let tries = &self.tries[from..];
        &tries[..tries.partition_point(|one| place(one) == (call.round, call.place))]
    }
}

/// Says what is wrong in a session.
type Rule = fn(&Case<'_>) -> Vec<String>;

const RULES: [(Promise, Rule); 31] = [
    (Promise::OneCallOneAnswer, answers::every_event_has_its_place),
    (Promise::OneCallOneAnswer, answers::every_call_ends_once),
    (Promise::OneCallOneAnswer, answers::the_model_saw_whole_histories),
    (Promise::OneCallOneAnswer, answers::an_answer_belongs_to_its_call),
    (Promise::SiblingsAreStrangers, course::every_call_takes_its_course),
    (Promise::SiblingsAreStrangers, course::progress_is_heard_in_order),
    (Promise::SiblingsAreStrangers, room::no_more_calls_run_than_may),
    (Promise::SiblingsAreStrangers, room::no_more_calls_wait_than_may),
    (Promise::SiblingsAreStrangers, room::a_call_waits_only_while_there_is_no_room),
    (Promise::NothingIsLostOrRunAgain, answers::the_journal_has_what_was_heard),
    (Promise::NothingIsLostOrRunAgain, tries::calls_ran_as_the_record_says),
    (Promise::NothingIsLostOrRunAgain, early::a_call_that_has_begun_is_not_begun_by_the_next_try),
    (Promise::NothingIsLostOrRunAgain, tries::a_failed_try_is_followed_by_another_if_it_may_be),
    (Promise::NothingIsLostOrRunAgain, answers::what_may_have_happened_is_said),
    (Promise::EverythingEnds, ends::every_turn_ends_by_its_limit),
    (Promise::EverythingEnds, ends::a_cancel_ends_the_turn_at_once),
    (Promise::EverythingEnds, ends::the_model_is_asked_at_once),
    (Promise::EverythingEnds, ends::a_failed_reply_is_asked_for_again_as_often_as_it_may_be),
    (Promise::EverythingEnds, ends::a_question_about_the_status_is_answered_at_once),
    (Promise::WhatFailsIsReplaced, rebuilds::a_call_is_served_by_the_generation_of_its_time),
    (Promise::WhatFailsIsReplaced, rebuilds::every_crash_takes_a_worker_down),
    (Promise::WhatFailsIsReplaced, rebuilds::every_loss_has_a_cause),
    (Promise::WhatFailsIsReplaced, circuits::a_tool_is_withdrawn_when_it_failed_too_often),
    (Promise::WhatFailsIsReplaced, circuits::a_probe_closes_the_circuit_or_opens_it_again),
    (Promise::WhatFailsIsReplaced, circuits::a_call_is_refused_for_the_reason_it_is_told),
    (Promise::WhatFailsIsReplaced, circuits::a_call_is_refused_at_once),
    (Promise::WhatFailsIsReplaced, tries::poison_is_not_run_again),
    (Promise::TruncatedNeverRuns, answers::what_may_not_run_is_refused),
    (Promise::EarlyButSound, early::a_call_begins_early_when_it_may_and_not_before),
    (Promise::EveryMillisecondHasAnOwner, reports::the_times_of_a_round_add_up),
    (Promise::NothingLeaks, ends::nothing_is_left),
];

/// Judges one session.
pub fn judge(scenario: &Scenario, run: &Run) -> Vec<Violation> {
    let ledger = Ledger::new(&run.heard);
    let case = Case::new(scenario, run, &ledger);
    let broken = |(promise, rule): (Promise, Rule)| {
        rule(&case).into_iter().map(move |what| Violation { promise, what })
    };
    RULES.into_iter().flat_map(broken).collect()
}

/// Judges two runs of the same session.
pub fn compare(first: &Run, second: &Run) -> Vec<Violation> {
    let trace = |run: &Run| {
        run.heard
            .iter()
            .map(|record| serde_json::to_string(record).expect("a record is JSON"))
            .chain(run.sightings.iter().map(|sighting| format!("{sighting:?}")))
            .collect::<Vec<_>>()
    };
    if first.heard == second.heard && first.sightings == second.sightings {
        return Vec::new();
    }
    let (first, second) = (trace(first), trace(second));
    let differs = first.iter().zip(&second).find(|(left, right)| left != right);
    let what = match differs {
        Some((left, right)) => format!("first `{left}`, then `{right}`"),
        None => format!("first {} events, then {}", first.len(), second.len()),
    };
    vec![Violation { promise: Promise::SameSeedSameTrace, what }]
}
