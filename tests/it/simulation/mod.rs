//! Random sessions through the real actors, on the paused clock: what the runtime promises holds of
//! each of them, or the seed is shown. The same seed is the same session for ever. Of every two
//! sessions one is calm, and one troubled: its tools are withdrawn, its calls are tried again, wait
//! for their turn and come with arguments that crash. Of every three of each kind one is streamed: its
//! calls begin while the model writes, and its replies break off, fail, and are asked for again.
//!
//! `CALLSHEET_SIM_SEED=7` runs that session alone, `CALLSHEET_SIM_SESSIONS=10000` as many as that,
//! and both together as many from that one on.

mod behaviour;
mod ledger;
mod oracle;
mod scenario;
mod tools;
mod world;

use std::collections::HashMap;
use std::sync::atomic::{AtomicU64, Ordering};

use callsheet::OutcomeKind;
use callsheet::testing::Sabotage;

use crate::support::seeds::{self, Course, silence_scripted_panics};
use ledger::{Becomes, Call, End, Ledger, Loss, Round};
use oracle::Promise;
use scenario::Scenario;
use world::Run;

type Violation = seeds::Violation<Promise>;

/// How many sessions are tried where the environment does not say.
const SESSIONS: u64 = 1_500;

const COURSE: Course<Promise> = Course {
    try_out,
    test: "simulation",
    seed_variable: "CALLSHEET_SIM_SEED",
    count_variable: "CALLSHEET_SIM_SESSIONS",
    a_seed_counts: 1,
    endless: Promise::EverythingEnds,
};

/// What was simulated so far.
static ROUNDS: AtomicU64 = AtomicU64::new(0);
static CALLS: AtomicU64 = AtomicU64::new(0);
static EARLY: AtomicU64 = AtomicU64::new(0);

/// Runs the session of `seed` twice, and says which promises it broke.
fn try_out(seed: u64) -> Vec<Violation> {
    silence_scripted_panics();
    let scenario = Scenario::new(seed);
    let (Some(first), Some(second)) = (world::run(&scenario), world::run(&scenario)) else {
        return vec![Violation { promise: Promise::EverythingEnds, what: "it hangs".into() }];
    };
    let rounds = || first.turns.iter().flat_map(|turn| &turn.rounds);
    ROUNDS.fetch_add(rounds().count() as u64, Ordering::Relaxed);
    let calls: usize = rounds().map(|round| round.calls.len()).sum();
    CALLS.fetch_add(calls as u64, Ordering::Relaxed);
    let begun = rounds().flat_map(|round| round.calls.iter().chain(&round.discarded));
    EARLY.fetch_add(begun.filter(|call| call.early).count() as u64, Ordering::Relaxed);
    let mut found = oracle::judge(&scenario, &first);
    found.extend(oracle::compare(&first, &second));
    found
}

#[test]
fn every_promise_holds_in_every_session() {
    let seeds = COURSE.seeds(SESSIONS);
    COURSE.run(seeds.clone());
    let counts = [&ROUNDS, &CALLS, &EARLY];
    let [rounds, calls, early] = counts.map(|count| count.load(Ordering::Relaxed));
    let all = seeds.end - seeds.start;
    println!("{all} sessions, {rounds} rounds, {calls} calls, {early} early, each run twice");
}

/// What sessions came to, counted under what a test calls it.
#[derive(Default)]
struct Tally(HashMap<String, usize>);

impl Tally {
    fn count(&mut self, what: impl Into<String>) {
        *self.0.entry(what.into()).or_default() += 1;
    }

    fn take_in(&mut self, run: &Run) {
        for turn in &run.turns {
            self.count(format!("turn: {}", turn.failed.as_deref().unwrap_or("answered")));
        }
        let ledger = Ledger::new(&run.heard);
        for call in ledger.calls() {
            let end = call.end();
            let outcome = call.asked.refused.as_ref().or(end.map(|end| &end.outcome));
            if let Some(outcome) = outcome {
                self.count(outcome.kind.as_str());
            }
            if let Some(end) = end {
                self.take_in_end(end);
            }
        }
        ledger.rounds().for_each(|(_, round)| self.take_in_early(round));
        for ask in ledger.turns.iter().flat_map(|turn| &turn.asks) {
            if ask.failed.is_some() {
                self.count("a reply that is asked for again");
            }
            if ask.model.is_some() {
                self.count("a reply of the second model");
            }
        }
        ledger.losses.iter().for_each(|loss| self.take_in_loss(&ledger, loss));
        ledger.closings.iter().for_each(|_| self.count("a probe that closed a circuit"));
    }

    fn take_in_end(&mut self, End { outcome, times, .. }: &End) {
        let says = |text| outcome.content.contains(text);
        let facts = [
            ("unavailable: circuit", says("is out of service after repeated failures")),
            ("unavailable: probe", says("another call is just finding out")),
            ("unavailable: poison", says("has crashed twice with these arguments")),
            ("ok: after a rebuild", outcome.is_ok() && times.backoff_us > 0 && times.attempts == 1),
            ("ok: after another try", outcome.is_ok() && times.attempts > 1),
            ("ok: after a wait for a permit", outcome.is_ok() && times.queued_us > 0),
            ("no sign of life", says("no sign of life")),
            ("too long a try", says("within the time limit of one try")),
        ];
        facts.iter().filter(|(_, holds)| *holds).for_each(|(what, _)| self.count(*what));
    }

    fn take_in_early(&mut self, round: &Round) {
        let attempt = |call: &&Call| call.place.reply_attempt;
        let last =
            round.calls.iter().filter(|call| !call.is_early()).map(|call| attempt(&call)).max();
        for call in round.begun().filter(|call| call.is_early()) {
            self.count("early");
            let effects = ["put", "pay"].contains(&&*call.asked.tool);
            let end = call.end().map(|end| end.outcome.kind);
            let facts = [
                ("early with effects", effects),
                ("early: panicked", end == Some(OutcomeKind::Panicked)),
                ("early: timed_out", end == Some(OutcomeKind::TimedOut)),
                ("early: unavailable", end == Some(OutcomeKind::Unavailable)),
                ("early of an earlier try", last.is_some_and(|last| attempt(&call) < last)),
            ];
            facts.iter().filter(|(_, holds)| *holds).for_each(|(what, _)| self.count(*what));
        }
        for call in &round.discarded {
            let is_stopped = call.end().is_some_and(|end| Some(end.at) == round.replied_at);
            self.count(if is_stopped { "stopped by the reply" } else { "discarded" });
        }
    }

    fn take_in_loss(&mut self, ledger: &Ledger, loss: &Loss) {
        match loss.what {
            Becomes::Rebuilt { .. } => self.count("a rebuild"),
            Becomes::Withdrawn { .. } => self.count("a circuit that opened"),
        }
        let before = ledger.losses_of(&loss.tool).rfind(|before| before.place < loss.place);
        let has_closed = |before: &Loss| {
            ledger.closings.iter().any(|closing| {
                let meanwhile = before.place < closing.losses_before;
                closing.tool == loss.tool && meanwhile && closing.losses_before <= loss.place
            })
        };
        let was_open = before.is_some_and(|before| before.is_withdrawal() && !has_closed(before));
        if was_open && loss.is_withdrawal() {
            self.count("a circuit that opened again");
        }
    }
}

/// A rule holds of what never happens: see that it does.
#[test]
fn sessions_come_to_every_kind_of_end() {
    silence_scripted_panics();
    let mut tally = Tally::default();
    for scenario in (0..200).map(Scenario::new) {
        tally.take_in(&world::run(&scenario).expect("it does not hang"));
    }
    for (what, at_least) in [
        ("ok", 1_000),
        ("tool_error", 100),
        ("panicked", 100),
        ("timed_out", 100),
        ("cancelled", 20),
        ("unknown_tool", 20),
        ("bad_arguments", 20),
        ("truncated", 5),
        ("denied", 20),
        ("unavailable", 100),
        ("overloaded", 20),
        ("turn: answered", 100),
        ("turn: cancelled", 5),
        ("turn: turn_timed_out", 5),
        ("turn: max_rounds", 5),
        ("turn: stream_cut", 2),
        ("a rebuild", 200),
        ("ok: after a rebuild", 40),
        ("ok: after another try", 20),
        ("ok: after a wait for a permit", 20),
        ("no sign of life", 5),
        ("too long a try", 5),
        ("a circuit that opened", 50),
        ("a circuit that opened again", 10),
        ("a probe that closed a circuit", 10),
        ("unavailable: circuit", 50),
        ("unavailable: probe", 5),
        ("unavailable: poison", 5),
        ("early", 250),
        ("early with effects", 80),
        ("early of an earlier try", 50),
        ("early: panicked", 30),
        ("early: timed_out", 60),
        ("early: unavailable", 20),
        ("discarded", 40),
        ("stopped by the reply", 8),
        ("a reply that is asked for again", 50),
        ("a reply of the second model", 20),
    ] {
        let count = tally.0.get(what).copied().unwrap_or_default();
        assert!(count >= at_least, "{what}: {count} of at least {at_least}");
    }
}

#[test]
fn a_worker_that_stays_down_is_found_out() {
    println!("{}", COURSE.found_out(Sabotage::StockSupervisor, Promise::WhatFailsIsReplaced));
}

#[test]
fn siblings_that_are_given_up_are_found_out() {
    println!("{}", COURSE.found_out(Sabotage::SiblingsCancelled, Promise::SiblingsAreStrangers));
}

#[test]
fn a_missing_answer_is_found_out() {
    println!("{}", COURSE.found_out(Sabotage::AnswerMissing, Promise::OneCallOneAnswer));
}

#[test]
fn answers_in_the_order_they_came_are_found_out() {
    println!("{}", COURSE.found_out(Sabotage::CompletionOrder, Promise::OneCallOneAnswer));
}

#[test]
fn permits_that_are_kept_are_found_out() {
    println!("{}", COURSE.found_out(Sabotage::PermitsKept, Promise::SiblingsAreStrangers));
}

#[test]
fn a_circuit_that_never_closes_is_found_out() {
    println!("{}", COURSE.found_out(Sabotage::CircuitNeverCloses, Promise::WhatFailsIsReplaced));
}

#[test]
fn effects_that_begin_early_are_found_out() {
    println!("{}", COURSE.found_out(Sabotage::EffectsBeginEarly, Promise::EarlyButSound));
}

#[test]
fn a_try_that_runs_again_what_the_last_one_began_is_found_out() {
    println!("{}", COURSE.found_out(Sabotage::TwinsForgotten, Promise::NothingIsLostOrRunAgain));
}

#[test]
fn a_key_that_is_used_again_is_found_out() {
    println!("{}", COURSE.found_out(Sabotage::BegunForgotten, Promise::OneCallOneAnswer));
}

#[test]
fn discarded_calls_that_never_end_are_found_out() {
    println!("{}", COURSE.found_out(Sabotage::DiscardedForgotten, Promise::OneCallOneAnswer));
}

#[test]
fn a_history_that_is_cut_anywhere_is_found_out() {
    println!("{}", COURSE.found_out(Sabotage::CutAnywhere, Promise::OneCallOneAnswer));
}
