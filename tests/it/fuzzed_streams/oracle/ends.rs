//! How everything ends, and what is said of it.

use std::collections::HashSet;

use callsheet::RoundReport;
use callsheet::conversation::Place;

use super::Case;
use crate::fuzzed_streams::ledger::Call;

/// Every start has one end.
pub fn what_started_ended_once(case: &Case<'_>) -> Vec<String> {
    let wrong = case.ledger.calls.iter().filter(|call| call.ends.len() != 1);
    wrong.map(|call| format!("{call:?} has {} ends", call.ends.len())).collect()
}

/// An execution is gone when its call has ended, and none is left when the turn is over.
pub fn nothing_runs_beyond_its_end(case: &Case<'_>) -> Vec<String> {
    let mut found = Vec::new();
    for (number, turn) in case.run.turns.iter().enumerate() {
        if turn.still_running > 0 {
            found.push(format!("turn {number} leaves {} executions", turn.still_running));
        }
    }
    for execution in &case.run.executions {
        let end = case.call_of(execution).and_then(|call| call.ends.first());
        let is_gone = end.zip(execution.gone_at).is_some_and(|((end, _), gone)| gone <= *end);
        if !is_gone {
            found.push(format!("{execution:?} ended as {end:?}"));
        }
    }
    found
}

/// The rounds with their reports: those with calls, and those that began some.
fn rounds<'a>(case: &Case<'a>) -> impl Iterator<Item = (Vec<&'a Call>, &'a RoundReport)> {
    let reports = case.run.turns.iter().flat_map(|turn| &turn.rounds);
    reports.map(|report| {
        let calls = case.ledger.calls.iter().filter(|call| call.round == report.round);
        (calls.collect(), &**report)
    })
}

/// In virtual time the runtime itself takes none.
pub fn the_times_of_a_round_add_up(case: &Case<'_>) -> Vec<String> {
    let adds_up = |report: &RoundReport| {
        let whole = report.clock + report.overlap;
        whole == report.model + report.wall + report.overhead && report.overhead.is_zero()
    };
    let wrong = rounds(case).filter(|(_, report)| !adds_up(report));
    wrong.map(|(_, report)| format!("{report:?}")).collect()
}

/// The report has a round for each that began something; its calls are those of the final reply, and
/// what began and is none of them is discarded.
pub fn a_report_counts_as_the_events_do(case: &Case<'_>) -> Vec<String> {
    let mut found = Vec::new();
    let mut reported = HashSet::new();
    for (calls, report) in rounds(case) {
        reported.insert(report.round);
        let asked = case.ledger.final_ask(report.round).map(|(_, reply)| &reply.calls);
        let begun: HashSet<Place> = asked
            .into_iter()
            .flat_map(|calls| calls.iter().filter_map(|call| call.begun))
            .collect();
        let early = calls.iter().filter(|call| call.arguments.is_some());
        let discarded = early.filter(|call| !begun.contains(&call.place)).count();
        let is_early = report.calls.iter().filter(|call| call.early).count();
        let counts = [
            ("calls", report.calls.len(), asked.map_or(0, |calls| calls.len())),
            ("early calls", is_early, begun.len()),
            ("discarded calls", report.discarded.len(), discarded),
            ("tries", report.retries.len() + 1, case.ledger.tries(report.round).count()),
        ];
        let wrong = counts.iter().filter(|(_, reported, due)| reported != due);
        found.extend(wrong.map(|(what, reported, due)| {
            format!("round {}: {reported} {what} reported, not {due}", report.round)
        }));
    }
    let started = case.ledger.calls.iter().map(|call| call.round);
    let missing = started.filter(|round| !reported.contains(round));
    found.extend(missing.map(|round| format!("round {round} is not reported")));
    found
}

/// Each turn has ended, and a plain question is answered after all of them.
pub fn the_session_goes_on(case: &Case<'_>) -> Vec<String> {
    let mut found = Vec::new();
    if case.ledger.ends.len() != case.scenario.turns.len() + 1 {
        found.push(format!("{} turns ended", case.ledger.ends.len()));
    }
    if case.run.last_words != "all is well" {
        found.push(format!("a plain question at the end: {}", case.run.last_words));
    }
    found
}
