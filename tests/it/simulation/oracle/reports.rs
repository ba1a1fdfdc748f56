//! The account of each round: every millisecond has an owner.

use std::time::Duration;

use callsheet::{CallReport, RoundReport};

use super::Case;
use crate::simulation::ledger::{Call, Round, Turn};

pub fn the_times_of_a_round_add_up(case: &Case<'_>) -> Vec<String> {
    let mut found = Vec::new();
    for (turn, seen) in case.ledger.turns.iter().zip(&case.run.turns) {
        if turn.rounds.len() != seen.rounds.len() {
            found.push(format!("{} reports of {} rounds", seen.rounds.len(), turn.rounds.len()));
        }
        for (round, report) in turn.rounds.iter().zip(&seen.rounds) {
            let wrong = [
                ("the parts are not the whole", adds_up(report)),
                ("the times are not those of the record", is_as_recorded(turn, round, report)),
                ("a call does not fit in", reported(report).all(|call| fits(call, round))),
                ("an end is not where the times lead to", ends_meet(round)),
            ];
            let wrong = wrong.into_iter().filter(|(_, holds)| !holds);
            found.extend(wrong.map(|(what, _)| format!("{what}: {report:?}")));
        }
    }
    found
}

/// In virtual time the runtime itself takes none.
fn adds_up(report: &RoundReport) -> bool {
    let whole = report.clock + report.overlap;
    whole == report.model + report.wall + report.overhead && report.overhead.is_zero()
}

fn reported(report: &RoundReport) -> impl Iterator<Item = &CallReport> {
    report.calls.iter().chain(&report.discarded)
}

fn is_as_recorded(turn: &Turn, round: &Round, report: &RoundReport) -> bool {
    let model_ended_at = round.replied_at.or(round.ended_at);
    let sum = round.begun().filter_map(Call::end).map(|end| end.times.ran_us).sum();
    let refused = |call: &Call| call.asked.refused.as_ref().map(|outcome| outcome.kind);
    let outcome = |call: &Call| call.end().map(|end| end.outcome.kind).or(refused(call));
    let failed = turn.asks.iter().filter(|ask| ask.round == round.number && ask.failed.is_some());
    report.round == round.number
        && Some(report.model) == model_ended_at.map(|at| micros(at - round.asked_at))
        && Some(report.clock) == round.ended_at.map(|at| micros(at - round.asked_at))
        && report.wall == micros(wall(round))
        && report.sum == micros(sum)
        && report.retries.len() == failed.count()
        && report.calls.iter().map(|call| call.outcome).eq(round.calls.iter().map(outcome))
        && (report.discarded.iter().map(|call| call.outcome))
            .eq(round.discarded.iter().map(outcome))
}

/// From their dispatch to their end.
fn spans(round: &Round) -> impl Iterator<Item = (u64, u64)> {
    let ends = round.begun().filter_map(Call::end);
    ends.filter_map(|end| Some((end.dispatched_at()?, end.at)))
}

/// How long at least one call was unfinished.
fn wall(round: &Round) -> u64 {
    let mut cuts: Vec<u64> = spans(round).flat_map(|(from, to)| [from, to]).collect();
    cuts.sort_unstable();
    let parts = cuts
        .windows(2)
        .filter(|part| spans(round).any(|(from, to)| from <= part[0] && part[1] <= to));
    parts.map(|part| part[1] - part[0]).sum()
}

fn fits(call: &CallReport, round: &Round) -> bool {
    let CallReport { started, queued, startup, backoff, waited, ran, .. } = *call;
    let first = spans(round).map(|(from, _)| from).min();
    let whole = first.zip(spans(round).map(|(_, to)| to).max()).map_or(0, |(from, to)| to - from);
    started + queued + startup + backoff + waited + ran <= micros(whole)
}

/// The times of a call follow each other without a gap, up to its end.
fn ends_meet(round: &Round) -> bool {
    let ends = round.begun().filter_map(Call::end);
    let mut dispatched = ends.filter(|end| end.dispatched_at().is_some());
    dispatched.all(|end| end.times.ended_at_us() == end.at)
}

fn micros(micros: u64) -> Duration {
    Duration::from_micros(micros)
}
