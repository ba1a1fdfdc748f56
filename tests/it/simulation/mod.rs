//! Random sessions through the real actors, on the paused clock: what the runtime promises holds of
//! each of them, or the seed is shown. The same seed is the same session for ever.
//!
//! `CALLSHEET_SIM_SEED=7` runs that session alone, `CALLSHEET_SIM_SESSIONS=10000` as many as that.

mod behaviour;
mod dice;
mod ledger;
mod oracle;
mod scenario;
mod tools;
mod world;

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Mutex;
use std::sync::atomic::{AtomicU64, Ordering};

use callsheet::OutcomeKind;
use callsheet::testing::{self, Sabotage};

use ledger::Ledger;
use oracle::{Promise, Violation};
use scenario::Scenario;

/// How many sessions are tried where the environment does not say.
const SESSIONS: u64 = 1_500;

/// How many failing seeds are shown, and how many violations of each.
const SHOWN: usize = 3;

/// How many it may take to find out that the runtime is broken.
const SESSIONS_TO_FIND_OUT: u64 = 300;

/// Runs the session of `seed` twice, and says which promises it broke.
fn try_out(seed: u64) -> Vec<Violation> {
    tools::silence_scripted_panics();
    let scenario = Scenario::new(seed);
    let (Some(first), Some(second)) = (world::run(&scenario), world::run(&scenario)) else {
        return vec![Violation { promise: Promise::EverythingEnds, what: "it hangs".into() }];
    };
    let mut found = oracle::judge(&scenario, &first);
    found.extend(oracle::compare(&first, &second));
    found
}

/// What is wrong with `seed`, in words; a panic is wrong too.
fn complaint(seed: u64) -> Option<String> {
    let tried = catch_unwind(AssertUnwindSafe(|| try_out(seed)));
    let violations = match tried {
        Ok(violations) if violations.is_empty() => return None,
        Ok(violations) => violations,
        Err(_) => {
            let what = "it panicked".to_owned();
            vec![Violation { promise: Promise::EverythingEnds, what }]
        }
    };
    let mut text = format!("seed {seed}:\n");
    for Violation { promise, what } in violations.iter().take(SHOWN) {
        text.push_str(&format!("  {promise:?}: {what}\n"));
    }
    let again = format!("CALLSHEET_SIM_SEED={seed} cargo test --all-features --test it simulation");
    Some(format!("{text}  run just it: {again}\n"))
}

/// The number that the environment variable `name` gives.
fn from_environment(name: &str) -> Option<u64> {
    let text = std::env::var(name).ok()?;
    Some(text.parse().unwrap_or_else(|_| panic!("{name} is not a number: {text}")))
}

#[test]
fn every_promise_holds_in_every_session() {
    let seeds = match from_environment("CALLSHEET_SIM_SEED") {
        Some(seed) => seed..seed + 1,
        None => 0..from_environment("CALLSHEET_SIM_SESSIONS").unwrap_or(SESSIONS),
    };
    let (next, complaints) = (AtomicU64::new(seeds.start), Mutex::new(Vec::new()));
    let threads = std::thread::available_parallelism().map_or(1, usize::from);
    std::thread::scope(|scope| {
        for _ in 0..threads {
            scope.spawn(|| {
                loop {
                    let seed = next.fetch_add(1, Ordering::Relaxed);
                    if seed >= seeds.end {
                        return;
                    }
                    if let Some(complaint) = complaint(seed) {
                        complaints.lock().unwrap().push((seed, complaint));
                    }
                }
            });
        }
    });
    let mut complaints = complaints.into_inner().unwrap();
    complaints.sort();
    let (broken, all) = (complaints.len(), seeds.end - seeds.start);
    let shown: String =
        complaints.into_iter().take(SHOWN).map(|(_, complaint)| complaint).collect();
    assert_eq!(broken, 0, "of {all} sessions broke a promise\n{shown}");
}

/// A rule holds of what never happens: see that it does.
#[test]
fn sessions_come_to_every_kind_of_end() {
    tools::silence_scripted_panics();
    let (mut calls, mut turns, mut rebuilds, mut waits) = (Vec::new(), Vec::new(), 0, 0);
    for scenario in (0..100).map(Scenario::new) {
        let run = world::run(&scenario).expect("it does not hang");
        turns.extend(run.turns.iter().map(|turn| turn.failed.clone().unwrap_or_default()));
        let rounds = run.turns.iter().flat_map(|turn| &turn.rounds);
        calls.extend(rounds.flat_map(|round| &round.calls).filter_map(|call| call.outcome));
        let ledger = Ledger::new(&run.heard);
        rebuilds += ledger.rebuilds.len();
        let ends = ledger.calls().filter_map(|call| call.end());
        waits += ends.filter(|end| end.times.backoff_us > 0 && end.outcome.is_ok()).count();
    }
    for kind in [
        OutcomeKind::Ok,
        OutcomeKind::ToolError,
        OutcomeKind::Panicked,
        OutcomeKind::TimedOut,
        OutcomeKind::Cancelled,
        OutcomeKind::UnknownTool,
        OutcomeKind::BadArguments,
        OutcomeKind::Truncated,
        OutcomeKind::Denied,
    ] {
        assert!(calls.contains(&kind), "no call ended as {kind:?}");
    }
    for code in ["", "cancelled", "turn_timed_out", "max_rounds", "stream_cut"] {
        assert!(turns.iter().any(|turn| turn == code), "no turn ended as `{code}`");
    }
    assert!(rebuilds > 100, "{rebuilds} rebuilds");
    assert!(waits > 20, "{waits} calls waited for a rebuild and were served");
}

/// Breaks the runtime on this thread for as long as it lives.
struct Broken;

impl Broken {
    fn by(sabotage: Sabotage) -> Self {
        testing::sabotage(Some(sabotage));
        Self
    }
}

impl Drop for Broken {
    fn drop(&mut self) {
        testing::sabotage(None);
    }
}

/// How a runtime that is broken in one way is found out. It must be soon, and the promise that it
/// breaks be named.
fn found_out(sabotage: Sabotage, promise: Promise) -> String {
    let broken = Broken::by(sabotage);
    let mut tried = (0..SESSIONS_TO_FIND_OUT).map(|seed| (seed, try_out(seed)));
    let found = tried.find(|(_, violations)| !violations.is_empty());
    drop(broken);
    let (seed, violations) = found.expect("a broken runtime is found out");
    let named = violations.iter().find(|violation| violation.promise == promise);
    let Some(Violation { what, .. }) = named else {
        panic!("{sabotage:?} is to break {promise:?}: {violations:?}");
    };
    format!("{sabotage:?} breaks {promise:?} at seed {seed}: {what}")
}

#[test]
fn a_worker_that_stays_down_is_found_out() {
    println!("{}", found_out(Sabotage::StockSupervisor, Promise::WhatFailsIsReplaced));
}

#[test]
fn siblings_that_are_given_up_are_found_out() {
    println!("{}", found_out(Sabotage::SiblingsCancelled, Promise::SiblingsAreStrangers));
}

#[test]
fn a_missing_answer_is_found_out() {
    println!("{}", found_out(Sabotage::AnswerMissing, Promise::OneCallOneAnswer));
}

#[test]
fn answers_in_the_order_they_came_are_found_out() {
    println!("{}", found_out(Sabotage::CompletionOrder, Promise::OneCallOneAnswer));
}
