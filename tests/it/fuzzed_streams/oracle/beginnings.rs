//! What may begin, and when: by the bytes that were sent until then.

use std::time::Duration;

use callsheet::Effects;

use super::{Begins, Case, meant};
use crate::fuzzed_streams::tools::Execution;
use crate::fuzzed_streams::truth::{CallTruth, Fate, Moment, Reading};

fn micros(duration: Duration) -> u64 {
    duration.as_micros() as u64
}

/// The way to read the call's arguments that `execution` has taken.
fn reading<'a>(call: &'a CallTruth, execution: &Execution) -> Option<&'a Reading> {
    call.readings.iter().find(|reading| reading.arguments == execution.arguments)
}

/// The executions of calls that were meant, each with its call and with when its reply was asked for.
fn all<'a>(
    case: &Case<'a>,
) -> impl Iterator<Item = (&'a Execution, &'a CallTruth, &'a Reading, u64)> {
    case.run.executions.iter().filter_map(|execution| {
        let (truth, asked_at) = case.truth_of(execution)?;
        let call = meant(truth, execution)?;
        Some((execution, call, reading(call, execution)?, asked_at))
    })
}

/// Every execution is one of a call that the stream asks for at this place, of its tool, with the
/// exact text of its arguments.
pub fn arguments_are_those_of_a_call_that_was_meant(case: &Case<'_>) -> Vec<String> {
    let mut found = Vec::new();
    for execution in &case.run.executions {
        let Some((truth, _)) = case.truth_of(execution) else { continue };
        let call = meant(truth, execution).filter(|call| call.tool == execution.tool);
        if call.and_then(|call| reading(call, execution)).is_none() {
            found.push(format!("{execution:?} was not meant: {call:?}"));
        }
    }
    found
}

/// A call whose arguments' bytes were not all sent before the end of the stream is not run, neither
/// early nor late, neither with what came of them nor with anything else.
pub fn a_cut_call_never_runs(case: &Case<'_>) -> Vec<String> {
    let mut found = Vec::new();
    for execution in &case.run.executions {
        let Some((truth, _)) = case.truth_of(execution) else { continue };
        let Some(call) = meant(truth, execution) else { continue };
        if call.readings.iter().all(|reading| reading.from.is_none()) {
            found.push(format!("{execution:?} was cut: {call:?}"));
        }
    }
    found
}

/// A call that goes on after its brace may have begun before that, and not with or after it.
pub fn a_contradicted_call_does_not_begin(case: &Case<'_>) -> Vec<String> {
    let mut found = Vec::new();
    for (execution, call, reading, asked_at) in all(case) {
        let (Some(from), Some(until)) = (reading.from, reading.until) else { continue };
        let is_early = case.call_of(execution).is_some_and(|call| call.arguments.is_some());
        let is_in_time =
            from.piece < until.piece && execution.began_at <= asked_at + micros(until.at);
        if !is_early || !is_in_time {
            found.push(format!("{execution:?}, asked for at {asked_at}, is not: {call:?}"));
        }
    }
    found
}

/// One that has begun is stopped when the stream contradicts it.
pub fn a_contradicted_call_stops(case: &Case<'_>) -> Vec<String> {
    let goes_on = |(execution, _, reading, asked_at): &(&Execution, _, &Reading, u64)| {
        let until = reading.until.filter(Moment::has_piece);
        let until = until.map(|until| asked_at + micros(until.at));
        until.is_some_and(|until| execution.gone_at.is_none_or(|gone| gone > until))
    };
    all(case)
        .filter(goes_on)
        .map(|(execution, _, reading, asked_at)| {
            format!("{execution:?}, asked for at {asked_at}, goes on: {reading:?}")
        })
        .collect()
}

/// A call begins no earlier than its tool allows: when its arguments are complete, when the next call
/// has begun or the reply has said why it ends, or when the reply has ended.
pub fn nothing_begins_before_it_is_certain(case: &Case<'_>) -> Vec<String> {
    let mut found = Vec::new();
    for (execution, call, reading, asked_at) in all(case) {
        let Some(ask) = case.ledger.ask(execution.key.round, execution.key.attempt) else {
            continue;
        };
        let Some(sent) = ask.sent else { continue };
        let Some(truth) = &sent.truth else { continue };
        let is_early = case.call_of(execution).is_some_and(|call| call.arguments.is_some());
        let due: Option<Moment> = match case.begins(execution.tool, sent.trusted) {
            _ if !is_early => Some(truth.ended),
            _ if call.waits => None,
            // What is empty may be a placeholder.
            Begins::WhenClosed if reading.arguments != "{}" => reading.from,
            Begins::WhenClosed | Begins::WhenSealed => call.sealed,
            Begins::AtTheEnd => None,
        };
        if due.is_none_or(|due| execution.began_at < asked_at + micros(due.at)) {
            found.push(format!("{execution:?}, asked for at {asked_at}, was due {due:?}"));
        }
    }
    found
}

/// Once a reply is known to have failed, or to have been cut by a filter, nothing of it begins. What had
/// begun may still wait for its worker.
pub fn nothing_begins_of_what_failed(case: &Case<'_>) -> Vec<String> {
    let mut found = Vec::new();
    for execution in &case.run.executions {
        let Some((truth, asked_at)) = case.truth_of(execution) else { continue };
        let Some(failed) = truth.failed else { continue };
        let began_at = case.call_of(execution).map_or(execution.began_at, |call| call.at);
        if began_at >= asked_at + micros(failed) {
            found.push(format!(
                "{execution:?}, asked for at {asked_at}, was known to fail {failed:?}"
            ));
        }
    }
    found
}

/// What has effects runs after the end of its reply, if that ended well, unless its tool may begin
/// early. Of a reply that a filter cut, or that came to nothing, nothing begins at the end.
pub fn effects_wait_for_a_good_end(case: &Case<'_>) -> Vec<String> {
    let mut found = Vec::new();
    for execution in &case.run.executions {
        let Some(ask) = case.ledger.ask(execution.key.round, execution.key.attempt) else {
            found.push(format!("{execution:?} was not asked for"));
            continue;
        };
        let Some(plan) = case.tool(execution.tool) else { continue };
        let is_early = case.call_of(execution).is_some_and(|call| call.arguments.is_some());
        let may_be_early = case.begins(execution.tool, true) != Begins::AtTheEnd;
        let fate = ask.sent.and_then(|sent| sent.truth.as_ref()).map(|truth| truth.fate);
        let ended_well = ask.reply.as_ref().is_some_and(|reply| {
            let is_good = !matches!(&*reply.finish, "content_filter" | "error");
            is_good && reply.at <= execution.began_at
        });
        let is_bad = matches!(fate, Some(Fate::Filtered | Fate::Failed)) || !ended_well;
        let is_sound = match is_early {
            true => may_be_early && (plan.effects == Effects::None || plan.early == Some(true)),
            false => !is_bad,
        };
        if !is_sound {
            found.push(format!(
                "{execution:?} of {plan:?} ran, its reply ended {fate:?}: {:?}",
                ask.reply
            ));
        }
    }
    found
}
