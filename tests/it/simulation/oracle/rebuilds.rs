//! What crashes is replaced, with back-off, and only that.

use super::Case;
use crate::simulation::ledger::{Call, End};

/// The calls that were handed to their workers: each with its end, and with when it was handed over.
fn dispatched<'a>(case: &Case<'a>) -> impl Iterator<Item = (&'a Call, &'a End, u64)> {
    let ends = case.ledger.calls().filter_map(|call| Some((call, call.end()?)));
    ends.filter_map(|(call, end)| Some((call, end, end.dispatched_at()?)))
}

/// A call begins at once, or when its worker is back. While it is down, none begins.
pub fn a_call_waits_only_while_its_worker_is_down(case: &Case<'_>) -> Vec<String> {
    let mut found = Vec::new();
    for (call, end, dispatched_at) in dispatched(case) {
        let waited_until = end.began_at().unwrap_or(end.at);
        let mut explained_until = dispatched_at;
        let mut is_down = false;
        for rebuild in case.ledger.rebuilds_of(&call.asked.tool) {
            if (rebuild.failed_at..=rebuild.back_at).contains(&explained_until) {
                explained_until = rebuild.back_at;
            }
            is_down |= rebuild.failed_at < waited_until && waited_until < rebuild.back_at;
        }
        if waited_until > explained_until || (is_down && end.began_at().is_some()) {
            let (name, tool) = (call.name(), &call.asked.tool);
            let rebuilds: Vec<_> = case.ledger.rebuilds_of(tool).collect();
            found.push(format!("{name} waited until {waited_until}: {end:?}, {rebuilds:?}"));
        }
    }
    found
}

/// The generation that a call names was there when the call began. A call that was given up names
/// none.
pub fn a_call_is_served_by_the_generation_of_its_time(case: &Case<'_>) -> Vec<String> {
    let mut found = Vec::new();
    for (call, end, _) in dispatched(case) {
        let natural = call.behaviour.natural_end().map(|(kind, _)| kind);
        let Some(began_at) = end.began_at().filter(|_| natural == Some(end.outcome.kind)) else {
            continue;
        };
        let generation = end.times.worker_generation;
        let rebuild = |generation| {
            let mut rebuilds = case.ledger.rebuilds_of(&call.asked.tool);
            rebuilds.find(move |rebuild| rebuild.generation == generation)
        };
        let was_there = match rebuild(generation) {
            Some(rebuild) => rebuild.back_at <= began_at,
            None => generation == 0,
        };
        let was_gone = rebuild(generation + 1).is_some_and(|next| next.failed_at < began_at);
        if !was_there || was_gone {
            let (name, tool) = (call.name(), &call.asked.tool);
            let rebuilds: Vec<_> = case.ledger.rebuilds_of(tool).collect();
            found.push(format!("{name} was not to be served like this: {end:?}, {rebuilds:?}"));
        }
    }
    found
}

/// A call that crashes takes its generation down, unless something else has before.
pub fn every_crash_leads_to_a_rebuild(case: &Case<'_>) -> Vec<String> {
    let mut found = Vec::new();
    for (call, end, began_at) in crashes(case) {
        let mut rebuilds = case.ledger.rebuilds_of(&call.asked.tool);
        if !rebuilds.any(|rebuild| (began_at..=end.at).contains(&rebuild.failed_at)) {
            found.push(format!("{} crashed and nothing was rebuilt: {end:?}", call.name()));
        }
    }
    found
}

/// A worker is rebuilt when a call crashed or it could not be made; slow is not dead. Generations
/// are counted, and rest as long as they may.
pub fn every_rebuild_has_a_cause(case: &Case<'_>) -> Vec<String> {
    let backoff = &case.scenario.supervision.backoff;
    let fifth = |rest: u128, fifths: u128| (rest * fifths / 5) as u64;
    let rests =
        fifth(backoff.min.as_micros(), 4).saturating_sub(1_000)..=fifth(backoff.max.as_micros(), 6);
    let mut found = Vec::new();
    for tool in &case.scenario.tools {
        let calls = dispatched(case).filter(|(call, ..)| *call.asked.tool == *tool.name);
        // When a worker that cannot be made fails.
        let mut made_at = calls.map(|(.., dispatched_at)| dispatched_at).min();
        for (rebuild, due) in case.ledger.rebuilds_of(tool.name).zip(1..) {
            let is_caused = match rebuild.generation <= tool.failed_makes {
                true => Some(rebuild.failed_at) == made_at,
                false => crashes(case).any(|(call, end, _)| {
                    *call.asked.tool == *tool.name && end.at == rebuild.failed_at
                }),
            };
            let rest = rebuild.back_at - rebuild.failed_at;
            if !is_caused || rebuild.generation != due || !rests.contains(&rest) {
                found.push(format!("the {due}. rebuild of {tool:?} is {rebuild:?}"));
            }
            made_at = Some(rebuild.back_at);
        }
    }
    found
}

/// The calls that took their worker down if it had not been before, each with its end and its
/// beginning.
fn crashes<'a>(case: &Case<'a>) -> impl Iterator<Item = (&'a Call, &'a End, u64)> {
    let begun = dispatched(case).filter_map(|(call, end, _)| Some((call, end, end.began_at()?)));
    begun.filter(|(call, end, _)| call.behaviour.crashes_its_worker(end.outcome.kind))
}
