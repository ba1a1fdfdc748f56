//! Tools that are out of service: when they are, and what calls are told of it.

use callsheet::OutcomeKind;

use super::Case;
use super::rebuilds::so_many_may_have_failed;
use super::room::{is_full, waiting_at};
use super::tries::{Try, crashes_of};
use crate::simulation::ledger::{Becomes, Call, End, Loss};
use crate::simulation::scenario::ToolPlan;

/// The last time that `tool` was withdrawn by `at`, and until when. What happened at that moment
/// counts.
fn withdrawn<'a>(case: &Case<'a>, tool: &str, at: u64) -> Option<(&'a Loss, u64)> {
    let ledger = case.ledger;
    let earlier = ledger.losses.iter().filter(|loss| *loss.tool == *tool && loss.failed_at <= at);
    let until = |loss: &'a Loss| match loss.what {
        Becomes::Withdrawn { until } => Some((loss, until)),
        Becomes::Rebuilt { .. } => None,
    };
    earlier.rev().find_map(until)
}

/// Says whether `tool` came back into service after `loss`, before `at`.
fn has_closed(case: &Case<'_>, loss: &Loss, at: u64) -> bool {
    let mut closings = case.ledger.closings.iter().filter(|closing| closing.tool == loss.tool);
    closings.any(|closing| closing.losses_before > loss.place && closing.at < at)
}

/// Says whether the try may have been there to find out whether its tool works again.
pub fn may_be_a_probe(case: &Case<'_>, one: &Try<'_>) -> bool {
    let at = one.began_at;
    // It may be withdrawn again at the same moment.
    [at, at - 1].iter().any(|by| {
        let withdrawn = withdrawn(case, one.plan.name, *by);
        withdrawn.is_some_and(|(loss, until)| until <= at && !has_closed(case, loss, at))
    })
}

/// Says whether the circuit of the tool of `call` had a reason to refuse it at `at`.
fn is_cooling_down(case: &Case<'_>, call: &Call, at: u64) -> bool {
    withdrawn(case, &call.asked.tool, at).is_some_and(|(_, until)| at < until)
}

fn is_probed(case: &Case<'_>, call: &Call, at: u64) -> bool {
    let others = case.tries.iter().filter(|one| *one.plan.name == *call.asked.tool);
    let mut others = others.filter(|one| !std::ptr::eq(one.call, call) && one.touches(at));
    others.any(|one| may_be_a_probe(case, one))
}

fn is_poison(case: &Case<'_>, call: &Call, at: u64) -> bool {
    crashes_of(case, call, at).1 >= 2
}

/// Says whether so many calls of the same tool waited at `at` that no other may.
fn is_crowded(case: &Case<'_>, call: &Call, at: u64) -> bool {
    let Some(ToolPlan { name, max_queue: Some(max), .. }) = case.scenario.tool(&call.asked.tool)
    else {
        return false;
    };
    is_full(case, name, at) && waiting_at(case, call, at) >= *max
}

/// Says whether there was a reason to refuse `call` at `at`.
pub fn is_refused(case: &Case<'_>, call: &Call, at: u64) -> bool {
    [is_cooling_down, is_probed, is_poison, is_crowded].iter().any(|reason| reason(case, call, at))
}

/// A call is refused for a reason that the record shows, and the one it is told.
pub fn a_call_is_refused_for_the_reason_it_is_told(case: &Case<'_>) -> Vec<String> {
    let mut found = Vec::new();
    for (call, end) in ends(case) {
        let says = |text: &str| end.outcome.content.contains(text);
        let reason: fn(&Case<'_>, &Call, u64) -> bool = match end.outcome.kind {
            OutcomeKind::Unavailable if says("crashed twice with these arguments") => is_poison,
            OutcomeKind::Unavailable if says("another call is just finding out") => is_probed,
            OutcomeKind::Unavailable if says("it is tried again in") => is_cooling_down,
            OutcomeKind::Unavailable => |_, _, _| false,
            OutcomeKind::Overloaded => is_crowded,
            _ => continue,
        };
        if !reason(case, call, end.at) {
            let losses: Vec<_> = case.ledger.losses_of(&call.asked.tool).collect();
            found.push(format!("{} was refused as {end:?}, {losses:?}", call.name()));
        }
    }
    found
}

/// A call is refused when it comes, when its worker comes back or is withdrawn, or when it was its
/// turn: it does not wait to hear of it, and has not run.
pub fn a_call_is_refused_at_once(case: &Case<'_>) -> Vec<String> {
    let mut found = Vec::new();
    for (call, end) in ends(case) {
        if !matches!(end.outcome.kind, OutcomeKind::Unavailable | OutcomeKind::Overloaded) {
            continue;
        }
        let mut losses = case.ledger.losses_of(&call.asked.tool);
        let is_at_once = end.dispatched_at() == Some(end.at)
            || losses.any(|loss| loss.back_at == end.at)
            || case.tries.iter().any(|one| one.gone_at == end.at);
        if !is_at_once || end.times.attempts > 0 || end.times.ran_us > 0 {
            found.push(format!("{} was refused so late: {end:?}", call.name()));
        }
    }
    found
}

fn ends<'a>(case: &Case<'a>) -> impl Iterator<Item = (&'a Call, &'a End)> {
    case.ledger.calls().filter_map(|call| Some((call, call.end()?)))
}

/// What a tool that is out of service is asked to do first shows whether it works again.
pub fn a_probe_closes_the_circuit_or_opens_it_again(case: &Case<'_>) -> Vec<String> {
    let mut found = Vec::new();
    for one in case.tries.iter().filter(|one| is_the_probe(case, one)) {
        let (tool, at) = (one.plan.name, one.gone_at);
        let closed =
            case.ledger.closings.iter().any(|closing| *closing.tool == *tool && closing.at == at);
        let opened =
            case.ledger.losses_of(tool).any(|loss| loss.failed_at == at && loss.is_withdrawal());
        let is_right = match one.kind {
            _ if one.crashed() => opened,
            Some(OutcomeKind::TimedOut) if one.was_late() => opened,
            Some(OutcomeKind::Ok | OutcomeKind::ToolError) => closed,
            _ => true, // It shows nothing.
        };
        if !is_right {
            let losses: Vec<_> = case.ledger.losses_of(tool).collect();
            found.push(format!("the probe {one:?} changed nothing: {losses:?}"));
        }
    }
    found
}

/// Says whether it was the first and only try that began after the cool-down.
fn is_the_probe(case: &Case<'_>, one: &Try<'_>) -> bool {
    let Some((loss, until)) = withdrawn(case, one.plan.name, one.began_at) else { return false };
    let mut earlier = case.tries.iter().filter(|other| {
        *other.plan.name == *one.plan.name && (until..=one.began_at).contains(&other.began_at)
    });
    until <= one.began_at
        && earlier.all(|other| std::ptr::eq(other, one))
        && !has_closed(case, loss, one.began_at + 1)
}

/// A tool is withdrawn when its worker failed too often, too many of its calls failed, or it did not
/// work again after all; and when it failed too often, it is.
pub fn a_tool_is_withdrawn_when_it_failed_too_often(case: &Case<'_>) -> Vec<String> {
    let limits = &case.scenario.supervision;
    let within = limits.within.as_micros() as u64;
    let mut found = Vec::new();
    for tool in &case.scenario.tools {
        let mut failures = Vec::new(); // Since it was last withdrawn.
        let mut is_open = false;
        for loss in case.ledger.losses_of(tool.name) {
            failures.push(loss.failed_at);
            let recent = failures.iter().filter(|at| loss.failed_at - **at <= within).count();
            let too_often = recent > limits.max_restarts as usize;
            let before = withdrawn(case, tool.name, loss.failed_at.saturating_sub(1));
            let is_open_by = |at: u64| {
                is_open && before.is_some_and(|(before, _)| !has_closed(case, before, at))
            };
            let may_be_too_many = so_many_may_have_failed(case, tool, loss.failed_at);
            let is_withdrawn = loss.is_withdrawal();
            let is_right = match is_withdrawn {
                true => too_often || is_open_by(loss.failed_at) || may_be_too_many,
                false => !too_often && !is_open_by(loss.failed_at + 1),
            };
            if !is_right {
                found.push(format!("{tool:?} failed at {failures:?}, and {loss:?}"));
            }
            if is_withdrawn {
                failures.clear();
            }
            is_open = is_withdrawn;
        }
    }
    found
}
