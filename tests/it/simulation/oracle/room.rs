//! Room for calls: so many run at a time as may, and none waits while there is room.

use std::ops::Range;

use super::Case;
use super::tries::Try;
use crate::simulation::ledger::{Call, Loss};
use crate::simulation::scenario::ToolPlan;

/// How many calls of the tool may run at a time.
fn bound(plan: &ToolPlan) -> usize {
    if plan.exclusive { 1 } else { plan.max_concurrency.unwrap_or(usize::MAX) }
}

/// How many tries that `which` says of were there all the `time`.
fn running(case: &Case<'_>, time: &Range<u64>, which: impl Fn(&Try<'_>) -> bool) -> usize {
    let tries =
        case.tries.iter().filter(|one| one.began_at <= time.start && time.end <= one.gone_at);
    tries.filter(|one| which(one)).count()
}

/// Says whether no more calls of `tool` could run all the `time`.
fn has_no_room(case: &Case<'_>, tool: &str, time: &Range<u64>) -> bool {
    let of_tool = |one: &Try<'_>| *one.plan.name == *tool;
    let bound = case.scenario.tool(tool).map_or(usize::MAX, bound);
    running(case, time, of_tool) >= bound
        || case.scenario.max_concurrency.is_some_and(|max| running(case, time, |_| true) >= max)
}

/// As [`has_no_room`], for the moment `at` and those who came or went just then.
pub fn is_full(case: &Case<'_>, tool: &str, at: u64) -> bool {
    has_no_room(case, tool, &(at..at))
}

/// When `call` waited to begin: first, and again after each rest.
fn waits(case: &Case<'_>, call: &Call) -> Vec<Range<u64>> {
    let tries = case.tries_of(call);
    let Some((end, dispatched_at)) = call.end().and_then(|end| Some((end, end.dispatched_at()?)))
    else {
        return Vec::new();
    };
    let rests = tries.iter().filter_map(Try::retry).map(|retry| retry.at + retry.rest);
    let begins = tries.iter().map(|one| one.began_at).chain([end.at]);
    std::iter::once(dispatched_at).chain(rests).zip(begins).map(|(from, to)| from..to).collect()
}

/// How many other calls of the tool of `call` waited at `at`, or may have for that moment.
pub fn waiting_at(case: &Case<'_>, call: &Call, at: u64) -> usize {
    let others = case.ledger.calls().filter(|other| other.asked.tool == call.asked.tool);
    let others = others.filter(|other| !std::ptr::eq(*other, call));
    let waits =
        |other: &Call| waits(case, other).iter().any(|wait| wait.start <= at && at <= wait.end);
    others.filter(|other| waits(other)).count()
}

pub fn no_more_calls_run_than_may(case: &Case<'_>) -> Vec<String> {
    let mut found = Vec::new();
    for one in &case.tries {
        let now = one.began_at..one.began_at + 1;
        let of_tool = |other: &Try<'_>| other.plan.name == one.plan.name;
        let (of_tool, all) = (running(case, &now, of_tool), running(case, &now, |_| true));
        let max = case.scenario.max_concurrency.unwrap_or(usize::MAX);
        if of_tool > bound(one.plan) || all > max {
            found.push(format!("{of_tool} calls of the tool and {all} in all ran with {one:?}"));
        }
    }
    found
}

/// A call that has come, or has rested, begins at once, unless its worker is down, or so many run as
/// may. While its worker is down, none begins.
pub fn a_call_waits_only_while_there_is_no_room(case: &Case<'_>) -> Vec<String> {
    let mut found = Vec::new();
    for call in case.ledger.calls() {
        let tool = &*call.asked.tool;
        for wait in waits(case, call) {
            let unexplained = moments(case, tool, &wait).find(|time| {
                !case.ledger.losses_of(tool).any(|loss| is_down(loss, time))
                    && !has_no_room(case, tool, time)
            });
            if let Some(time) = unexplained {
                let (name, end) = (call.name(), call.end());
                let losses: Vec<_> = case.ledger.losses_of(tool).collect();
                found.push(format!(
                    "{name} waited {wait:?}, with room in {time:?}: {end:?}, {losses:?}"
                ));
            }
        }
        for one in case.tries_of(call) {
            let at = one.began_at;
            if case.ledger.losses_of(tool).any(|loss| loss.failed_at < at && at < loss.back_at) {
                found.push(format!("{} began while its worker was down: {one:?}", call.name()));
            }
        }
    }
    found
}

/// While its worker is there, a call that waits is in line, and no more are than may be.
pub fn no_more_calls_wait_than_may(case: &Case<'_>) -> Vec<String> {
    let mut found = Vec::new();
    for ToolPlan { name, max_queue, .. } in &case.scenario.tools {
        let Some(max) = max_queue else { continue };
        let calls = case.ledger.calls().filter(|call| *call.asked.tool == **name);
        let waits: Vec<_> = calls.flat_map(|call| waits(case, call)).collect();
        for time in waits.iter().flat_map(|wait| moments(case, name, wait)) {
            let in_line = waits
                .iter()
                .filter(|wait| wait.start <= time.start && time.end <= wait.end)
                .count();
            let is_down = case.ledger.losses_of(name).any(|loss| is_down(loss, &time));
            if in_line > *max && !is_down {
                found.push(format!("{in_line} calls of `{name}` waited in {time:?}, not {max}"));
            }
        }
    }
    found
}

fn is_down(loss: &Loss, time: &Range<u64>) -> bool {
    loss.failed_at <= time.start && time.end <= loss.back_at
}

/// Cuts `time` where anything happens that a call of `tool` may wait for.
fn moments(case: &Case<'_>, tool: &str, time: &Range<u64>) -> impl Iterator<Item = Range<u64>> {
    let mut cuts = Vec::new();
    if !time.is_empty() {
        cuts.extend([time.start, time.end]);
        cuts.extend(case.tries.iter().flat_map(|one| [one.began_at, one.gone_at]));
        cuts.extend(case.ledger.losses_of(tool).flat_map(|loss| [loss.failed_at, loss.back_at]));
        cuts.retain(|cut| (time.start..=time.end).contains(cut));
        cuts.sort_unstable();
        cuts.dedup();
    }
    let next = cuts.clone().into_iter().skip(1);
    cuts.into_iter().zip(next).map(|(from, to)| from..to)
}
