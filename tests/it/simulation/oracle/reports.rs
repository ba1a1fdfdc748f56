//! The account of each round: every millisecond has an owner.

use std::time::Duration;

use callsheet::{CallReport, RoundReport};

use super::Case;
use crate::simulation::ledger::{Call, End, Round};

pub fn the_times_of_a_round_add_up(case: &Case<'_>) -> Vec<String> {
    let mut found = Vec::new();
    for (turn, seen) in case.ledger.turns.iter().zip(&case.run.turns) {
        if turn.rounds.len() != seen.rounds.len() {
            found.push(format!("{} reports of {} rounds", seen.rounds.len(), turn.rounds.len()));
        }
        for (round, report) in turn.rounds.iter().zip(&seen.rounds) {
            let wrong = [
                ("the parts are not the whole", adds_up(report)),
                ("the times are not those of the record", is_as_recorded(round, report)),
                ("a call does not fit in", report.calls.iter().all(|call| fits(call, report))),
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

fn is_as_recorded(round: &Round, report: &RoundReport) -> bool {
    let ends = || round.calls.iter().filter_map(Call::end);
    let first = ends().filter_map(End::dispatched_at).min();
    let last = ends().filter(|end| end.dispatched_at().is_some()).map(|end| end.at).max();
    let wall = first.zip(last).map_or(0, |(first, last)| last - first);
    let sum = ends().map(|end| end.times.ran_us).sum();
    let refused = |call: &Call| call.asked.refused.as_ref().map(|outcome| outcome.kind);
    let outcomes =
        round.calls.iter().map(|call| call.end().map(|end| end.outcome.kind).or(refused(call)));
    report.round == round.number
        && report.model == micros(round.replied_at - round.asked_at)
        && Some(report.clock) == round.ended_at.map(|at| micros(at - round.asked_at))
        && report.wall == micros(wall)
        && report.sum == micros(sum)
        && report.calls.iter().map(|call| call.outcome).eq(outcomes)
}

fn fits(call: &CallReport, report: &RoundReport) -> bool {
    let CallReport { started, queued, startup, backoff, waited, ran, .. } = *call;
    started + queued + startup + backoff + waited + ran <= report.wall
}

/// The times of a call follow each other without a gap, up to its end.
fn ends_meet(round: &Round) -> bool {
    let ends = round.calls.iter().filter_map(Call::end);
    let mut dispatched = ends.filter(|end| end.dispatched_at().is_some());
    dispatched.all(|end| end.times.ended_at_us() == end.at)
}

fn micros(micros: u64) -> Duration {
    Duration::from_micros(micros)
}
