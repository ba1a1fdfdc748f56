//! Random sessions through the real actors, on the paused clock: what the runtime promises holds of
//! each of them, or the seed is shown. The same seed is the same session for ever. Of every two
//! sessions one is calm, and one troubled: its tools are withdrawn, its calls are tried again, wait
//! for their turn and come with arguments that crash.
//!
//! `CALLSHEET_SIM_SEED=7` runs that session alone, `CALLSHEET_SIM_SESSIONS=10000` as many as that,
//! and both together as many from that one on.

mod behaviour;
mod dice;
mod ledger;
mod oracle;
mod scenario;
mod tools;
mod world;

use std::collections::HashMap;
use std::io::Write;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Mutex, mpsc};
use std::time::Duration;

use callsheet::testing::{self, Sabotage};

use ledger::{Becomes, End, Ledger, Loss};
use oracle::{Promise, Violation};
use scenario::Scenario;
use world::Run;

/// How many sessions are tried where the environment does not say.
const SESSIONS: u64 = 1_500;

/// How many failing seeds are shown, and how many violations of each.
const SHOWN: usize = 3;

/// A session takes some milliseconds.
const PATIENCE: Duration = Duration::from_secs(60);

/// What was simulated so far.
static ROUNDS: AtomicU64 = AtomicU64::new(0);
static CALLS: AtomicU64 = AtomicU64::new(0);

/// How many it may take to find out that the runtime is broken.
const SESSIONS_TO_FIND_OUT: u64 = 300;

/// Runs the session of `seed` twice, and says which promises it broke.
fn try_out(seed: u64) -> Vec<Violation> {
    tools::silence_scripted_panics();
    let scenario = Scenario::new(seed);
    let (Some(first), Some(second)) = (world::run(&scenario), world::run(&scenario)) else {
        return vec![Violation { promise: Promise::EverythingEnds, what: "it hangs".into() }];
    };
    let rounds = || first.turns.iter().flat_map(|turn| &turn.rounds);
    ROUNDS.fetch_add(rounds().count() as u64, Ordering::Relaxed);
    let calls: usize = rounds().map(|round| round.calls.len()).sum();
    CALLS.fetch_add(calls as u64, Ordering::Relaxed);
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
    let temper = Scenario::new(seed).temper;
    let mut text = format!("seed {seed}, {temper:?}:\n");
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
        Some(seed) => seed..seed + from_environment("CALLSHEET_SIM_SESSIONS").unwrap_or(1),
        None => 0..from_environment("CALLSHEET_SIM_SESSIONS").unwrap_or(SESSIONS),
    };
    let (next, complaints) = (AtomicU64::new(seeds.start), Mutex::new(Vec::new()));
    let threads = std::thread::available_parallelism().map_or(1, usize::from);
    std::thread::scope(|scope| {
        for _ in 0..threads {
            scope.spawn(|| {
                let (tell, hear) = mpsc::channel();
                scope.spawn(move || watch(&hear));
                loop {
                    let seed = next.fetch_add(1, Ordering::Relaxed);
                    if seed >= seeds.end {
                        return;
                    }
                    tell.send(seed).unwrap();
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
    let [rounds, calls] = [&ROUNDS, &CALLS].map(|count| count.load(Ordering::Relaxed));
    println!("{all} sessions, {rounds} rounds, {calls} calls, each run twice");
    assert_eq!(broken, 0, "of {all} sessions broke a promise\n{shown}");
}

/// Ends the process when a session does not end, by the machine's time: it turns in circles, and
/// nothing else would say which it is.
fn watch(seeds: &mpsc::Receiver<u64>) {
    let Ok(mut seed) = seeds.recv() else { return };
    loop {
        match seeds.recv_timeout(PATIENCE) {
            Ok(next) => seed = next,
            Err(mpsc::RecvTimeoutError::Disconnected) => return,
            Err(mpsc::RecvTimeoutError::Timeout) => {
                let text = format!("seed {seed} does not end: run it with CALLSHEET_SIM_SEED\n");
                let _ = std::io::stderr().write_all(text.as_bytes()); // Past the test's capture.
                std::process::exit(101);
            }
        }
    }
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
    tools::silence_scripted_panics();
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
    ] {
        let count = tally.0.get(what).copied().unwrap_or_default();
        assert!(count >= at_least, "{what}: {count} of at least {at_least}");
    }
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

#[test]
fn permits_that_are_kept_are_found_out() {
    println!("{}", found_out(Sabotage::PermitsKept, Promise::SiblingsAreStrangers));
}

#[test]
fn a_circuit_that_never_closes_is_found_out() {
    println!("{}", found_out(Sabotage::CircuitNeverCloses, Promise::WhatFailsIsReplaced));
}
