//! Tries of calls: put together from what tools saw and what the record says, and how often a call
//! may be tried.

use std::fmt;

use callsheet::supervision::Backoff;
use callsheet::{Effects, OutcomeKind};

use super::Case;
use super::course::deadline;
use crate::simulation::behaviour::Behaviour;
use crate::simulation::ledger::{BROKEN_OFF_BY_A_TRY, Call, Ledger, Retry};
use crate::simulation::scenario::{Scenario, ToolPlan};
use crate::simulation::tools::Sighting;

/// A try of a call, as its tool saw it.
#[derive(Clone, Copy)]
pub struct Try<'a> {
    pub call: &'a Call,
    pub plan: &'a ToolPlan,
    pub number: u32,
    pub began_at: u64,
    pub gone_at: u64,
    /// How it ended: what the record says of the try, or of the call.
    pub kind: Option<OutcomeKind>,
}

impl fmt::Debug for Try<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { call, number, began_at, gone_at, kind, .. } = self;
        write!(f, "try {number} of {}, {began_at} to {gone_at}: {kind:?}", call.name())
    }
}

impl<'a> Try<'a> {
    /// The tries that `sightings` are of, call by call and in order; what is of no call is left out.
    pub fn all(scenario: &'a Scenario, ledger: &'a Ledger, sightings: &[Sighting]) -> Vec<Self> {
        let mut tries: Vec<_> = ledger
            .calls()
            .filter_map(|call| Some((call, scenario.tool(&call.asked.tool)?)))
            .flat_map(|(call, plan)| {
                let key = call.key();
                let seen = sightings.iter().filter(move |seen| seen.key == key);
                seen.map(move |seen| Self::new(call, plan, seen))
            })
            .collect();
        tries.sort_by_key(|one| (one.call.round, one.call.place)); // Stable.
        tries
    }

    fn new(call: &'a Call, plan: &'a ToolPlan, seen: &Sighting) -> Self {
        let retry = call.retries.iter().find(|retry| retry.number == seen.number);
        let kind = retry.map(Retry::kind).or(call.end().map(|end| end.outcome.kind));
        let (number, began_at) = (seen.number, seen.began_at);
        Self { call, plan, number, began_at, gone_at: seen.gone_at.unwrap_or(u64::MAX), kind }
    }

    /// The news that there will be another.
    pub fn retry(&self) -> Option<&'a Retry> {
        self.call.retries.iter().find(|retry| retry.number == self.number)
    }

    /// Says whether it took its worker down, if nothing else had.
    pub fn crashed(&self) -> bool {
        self.kind == Some(OutcomeKind::Panicked)
            || matches!(self.call.behaviour, Behaviour::PanicInDrop { .. })
    }

    /// Says whether its tool answered, if only that it cannot.
    pub fn was_answered(&self) -> bool {
        let answered = matches!(self.kind, Some(OutcomeKind::Ok | OutcomeKind::ToolError));
        answered && !self.crashed()
    }

    /// Says whether it had no result within its own time, and not within that of its round or turn.
    pub fn was_late(&self) -> bool {
        let says =
            |text: &str| self.call.end().is_some_and(|end| end.outcome.content.contains(text));
        self.timed_out()
            && (self.retry().is_some()
                || says("the call's time limit")
                || BROKEN_OFF_BY_A_TRY.iter().any(|text| says(text)))
    }

    /// Says whether it had no result in time.
    pub fn timed_out(&self) -> bool {
        self.kind == Some(OutcomeKind::TimedOut)
    }

    /// As [`Try::timed_out`], also where somebody cancelled it at that very moment.
    pub fn may_have_timed_out(&self, case: &Case<'_>) -> bool {
        let is_late = || deadline(case, self.call).is_some_and(|at| at <= self.gone_at);
        self.timed_out() || (self.kind == Some(OutcomeKind::Cancelled) && is_late())
    }

    /// Says whether it was there at `at`, if only for that moment.
    pub fn touches(&self, at: u64) -> bool {
        (self.began_at..=self.gone_at).contains(&at)
    }
}

/// How often the arguments of `call` crashed by `at`, without an answer in between: at least, and at
/// most, for what happened at the same moment may have come in either order.
pub fn crashes_of(case: &Case<'_>, call: &Call, at: u64) -> (usize, usize) {
    let same = |other: &Call| {
        (&other.asked.tool, &other.asked.arguments) == (&call.asked.tool, &call.asked.arguments)
    };
    let tries = || case.tries.iter().filter(|one| one.gone_at <= at && same(one.call));
    let answers = || tries().filter(|one| one.was_answered()).map(|one| one.gone_at);
    let crashes = || tries().filter(|one| one.crashed()).map(|one| one.gone_at);
    let last = answers().max();
    let before = answers().filter(|answer| *answer < at).max();
    let surely = crashes().filter(|crash| last.is_none_or(|last| last < *crash)).count();
    let perhaps = crashes().filter(|crash| before.is_none_or(|before| before <= *crash)).count();
    (surely, perhaps)
}

/// How often its arguments had surely crashed before `one` ended, without an answer in between.
fn crashed_before(case: &Case<'_>, one: &Try<'_>) -> usize {
    match crashes_of(case, one.call, one.gone_at) {
        (0, _) => 0, // There was an answer at the same moment.
        _ => crashes_of(case, one.call, one.gone_at - 1).0,
    }
}

/// A tool was given a call as often as the record says, one try after the other, for as long as it
/// says, and under one key; what has begun and must not be repeated, once. What is not on record as
/// begun did not run.
pub fn calls_ran_as_the_record_says(case: &Case<'_>) -> Vec<String> {
    let mut found = Vec::new();
    if case.tries.len() != case.run.sightings.len() {
        found.push("tools were given calls that nobody asked for".to_owned());
    }
    for call in case.ledger.calls() {
        let tries = case.tries_of(call);
        let end = call.end();
        let attempts = end.map_or(0, |end| end.times.attempts as usize);
        let ran: u64 = tries.iter().map(|one| one.gone_at - one.began_at).sum();
        let is_counted = tries.iter().map(|one| one.number).eq(1..=attempts as u32);
        let is_one_by_one = tries.windows(2).all(|pair| pair[0].gone_at <= pair[1].began_at);
        let began_at = end
            .map(|end| end.at - end.times.ran_us)
            .filter(|_| attempts == 1 && call.retries.is_empty());
        let is_timed = end.is_none_or(|end| end.times.ran_us == ran)
            && began_at.is_none_or(|at| tries.first().is_some_and(|one| one.began_at == at));
        let is_repeated = attempts > 1 && tries[0].plan.effects == Effects::Once;
        if !is_counted || !is_one_by_one || !is_timed || is_repeated {
            found.push(format!("{} ran as {tries:?}, the record says {end:?}", call.name()));
        }
    }
    found
}

/// A try is followed by another where there is one left, running it again harms nobody, and there is
/// time for it; and nowhere else. It rests before.
pub fn a_failed_try_is_followed_by_another_if_it_may_be(case: &Case<'_>) -> Vec<String> {
    let mut found = Vec::new();
    for one in &case.tries {
        let allowed = one.number <= one.plan.retries && one.plan.effects != Effects::Once;
        let (least, most) = rest(&case.scenario.supervision.backoff, one.number);
        let is_right = match one.retry() {
            Some(retry) => {
                let again = retry.at + retry.rest;
                let next = case.tries_of(one.call).iter().find(|next| next.number > one.number);
                let is_first = next.is_none_or(|next| again <= next.began_at);
                let rests = (least..=most).contains(&retry.rest);
                allowed
                    && rests
                    && is_first
                    && retry.at == one.gone_at
                    && !is_poison(one, crashed_before(case, one))
            }
            None => {
                let has_time = deadline(case, one.call).is_some_and(|at| one.gone_at + most < at);
                !(allowed && has_time && failed_by_itself(one))
                    || is_poison(one, crashes_of(case, one.call, one.gone_at).1.saturating_sub(1))
            }
        };
        if !is_right {
            let retries = &one.call.retries;
            found.push(format!("after {one:?} came {retries:?}"));
        }
    }
    found
}

/// Says whether nothing but the try itself, or a limit of it, was its end.
fn failed_by_itself(one: &Try<'_>) -> bool {
    match one.kind {
        Some(OutcomeKind::ToolError | OutcomeKind::Panicked) => true,
        Some(OutcomeKind::TimedOut) => one.call.end().is_some_and(|end| {
            BROKEN_OFF_BY_A_TRY.iter().any(|text| end.outcome.content.contains(text))
        }),
        _ => false,
    }
}

/// Says whether `one` crashed, and its arguments had, so many times.
fn is_poison(one: &Try<'_>, others: usize) -> bool {
    one.kind == Some(OutcomeKind::Panicked) && others > 0
}

/// How long to rest after the try of this number, at least and at most.
pub fn rest(backoff: &Backoff, number: u32) -> (u64, u64) {
    let rest = (backoff.min * (1 << (number - 1))).min(backoff.max).as_micros() as u64;
    ((rest * 4 / 5).saturating_sub(1_000), rest * 6 / 5)
}

/// Arguments that crashed twice, without an answer in between, do not run a third time.
pub fn poison_is_not_run_again(case: &Case<'_>) -> Vec<String> {
    let poison = |one: &&Try<'_>| {
        one.began_at.checked_sub(1).is_some_and(|before| crashes_of(case, one.call, before).0 >= 2)
    };
    let run = case.tries.iter().filter(poison);
    run.map(|one| format!("poison was run: {one:?}")).collect()
}
