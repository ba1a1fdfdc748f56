//! Random streams through real sessions, on the paused clock: replies with calls as all kinds of
//! providers write them, whole, broken off and damaged, try after try. Next to each stream stands
//! what its bytes say, so that nothing depends on what the decoder makes of them.
//!
//! `CALLSHEET_FUZZ_SEED=7` runs that session alone; `CALLSHEET_FUZZ_STREAMS=100000` runs sessions
//! until there were about so many streams, and both together from that seed on.

mod captures;
mod dialect;
mod flaw;
mod hostile;
mod ledger;
mod oracle;
mod pieces;
mod scenario;
mod stream;
mod tally;
mod tools;
mod truth;
mod wish;
mod world;

use callsheet::testing::Sabotage;

use crate::support::seeds::{self, Course, silence_scripted_panics};
use oracle::Promise;
use scenario::Scenario;
use tally::Tally;

type Violation = seeds::Violation<Promise>;

/// How many sessions are tried where the environment does not say.
const SESSIONS: u64 = 300;

const COURSE: Course<Promise> = Course {
    try_out: |seed| try_out(seed, &Tally::new()),
    test: "fuzzed_streams",
    seed_variable: "CALLSHEET_FUZZ_SEED",
    count_variable: "CALLSHEET_FUZZ_STREAMS",
    a_seed_counts: 5,
    endless: Promise::EverythingEnds,
};

/// Runs the session of `seed` twice, and says which promises it broke.
fn try_out(seed: u64, tally: &Tally) -> Vec<Violation> {
    silence_scripted_panics();
    let scenario = Scenario::new(seed);
    let (Some(first), Some(second)) = (world::run(&scenario), world::run(&scenario)) else {
        return vec![Violation { promise: Promise::EverythingEnds, what: "it hangs".into() }];
    };
    tally.take_in(&scenario, &first);
    let mut found = oracle::judge(&scenario, &first);
    found.extend(oracle::compare(&first, &second));
    found
}

#[test]
fn every_promise_holds_of_every_stream() {
    static TALLY: Tally = Tally::new();
    let course = Course { try_out: |seed| try_out(seed, &TALLY), ..COURSE };
    course.run(course.seeds(SESSIONS));
    println!("{TALLY}; each session was run twice");
}

/// A rule holds of what never happens: see that it does.
#[test]
fn streams_come_to_every_kind_of_end() {
    silence_scripted_panics();
    let tally = Tally::new();
    for scenario in (0..150).map(Scenario::new) {
        tally.take_in(&scenario, &world::run(&scenario).expect("it does not hang"));
    }
    for (what, at_least) in [
        ("streams", 500),
        ("ended well", 150),
        ("too long", 20),
        ("filtered", 15),
        ("failed", 100),
        ("damaged", 100),
        ("calls asked for", 800),
        ("calls cut or contradicted", 200),
        ("executions", 600),
        ("with effects", 400),
        ("early", 200),
        ("early of an earlier try", 10),
        ("contradicted after they began", 4),
        ("discarded", 40),
        ("told though nobody asks for them", 4),
    ] {
        let count = tally.of(what);
        assert!(count >= at_least, "{what}: {count} of at least {at_least}");
    }
}

#[test]
fn a_call_that_begins_on_what_can_be_read_of_it_is_found_out() {
    println!("{}", COURSE.found_out(Sabotage::ReadableIsComplete, Promise::OnlyWholeCallsRun));
}

#[test]
fn effects_that_begin_early_are_found_out() {
    println!("{}", COURSE.found_out(Sabotage::EffectsBeginEarly, Promise::EarlyButSound));
}

#[test]
fn a_cut_call_that_is_mended_and_run_is_found_out() {
    println!("{}", COURSE.found_out(Sabotage::CutIsMended, Promise::CutNeverRuns));
}

#[test]
fn a_changed_call_that_runs_again_is_found_out() {
    println!("{}", COURSE.found_out(Sabotage::ChangedRunsAgain, Promise::NothingRunsTwice));
}

#[test]
fn a_changed_call_that_goes_on_is_found_out() {
    println!("{}", COURSE.found_out(Sabotage::ChangeUnheard, Promise::CutNeverRuns));
}

#[test]
fn a_result_that_is_used_for_another_call_is_found_out() {
    println!("{}", COURSE.found_out(Sabotage::AnyTwinWillDo, Promise::WholeCallsStand));
}

#[test]
fn a_try_that_runs_again_what_the_last_one_began_is_found_out() {
    println!("{}", COURSE.found_out(Sabotage::TwinsForgotten, Promise::NothingRunsTwice));
}

#[test]
fn a_key_that_is_used_again_is_found_out() {
    println!("{}", COURSE.found_out(Sabotage::BegunForgotten, Promise::NothingRunsTwice));
}

#[test]
fn calls_that_begin_although_their_reply_has_failed_are_found_out() {
    println!("{}", COURSE.found_out(Sabotage::FailureUnheard, Promise::EarlyButSound));
}

#[test]
fn calls_that_run_although_a_filter_cut_their_reply_are_found_out() {
    println!("{}", COURSE.found_out(Sabotage::FilterIgnored, Promise::EarlyButSound));
}

#[test]
fn calls_with_effects_of_a_dropped_reply_that_the_model_never_hears_of_are_found_out() {
    println!("{}", COURSE.found_out(Sabotage::OrphansUntold, Promise::OneCallOneAnswer));
}

#[test]
fn discarded_calls_that_never_end_are_found_out() {
    println!("{}", COURSE.found_out(Sabotage::DiscardedForgotten, Promise::WhatStartsEnds));
}
