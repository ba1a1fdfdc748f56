//! Nothing runs twice: a key has one execution, and a call that an earlier try of the reply began is
//! that call, and no other.

use std::collections::{HashMap, HashSet};

use callsheet::Effects;
use callsheet::conversation::{AskedCall, Place};
use serde_json::Value;

use super::{Case, are_same};

/// No two executions share a key, and each is on record as started.
pub fn a_key_is_run_once(case: &Case<'_>) -> Vec<String> {
    let mut seen = HashSet::new();
    let mut found = Vec::new();
    for execution in &case.run.executions {
        if !seen.insert(execution.key.to_string()) {
            found.push(format!("{execution:?} has a key that was run before"));
        }
        let call = case.call_of(execution);
        let is_recorded = call.is_some_and(|call| {
            let arguments = call.arguments.as_ref();
            let is_same = arguments.is_none_or(|arguments| **arguments == *execution.arguments);
            let is_same = is_same && call.has_started;
            is_same && *call.tool == *execution.tool && call.at <= execution.began_at
        });
        if !is_recorded {
            found.push(format!("{execution:?} is not on record: {call:?}"));
        }
    }
    found
}

/// What did not begin early is a call of the final reply, which is not refused.
pub fn what_runs_at_the_end_is_asked_for(case: &Case<'_>) -> Vec<String> {
    let mut found = Vec::new();
    for execution in &case.run.executions {
        let key = &execution.key;
        if case.call_of(execution).is_some_and(|call| call.arguments.is_some()) {
            continue;
        }
        let reply = case.ledger.ask(key.round, key.attempt).and_then(|ask| ask.reply.as_ref());
        let asked = reply.and_then(|reply| reply.calls.get(key.ordinal as usize));
        let is_asked = asked.is_some_and(|asked| {
            let is_same =
                (&*asked.tool, &*asked.arguments) == (execution.tool, &*execution.arguments);
            is_same && asked.refused.is_none() && asked.begun.is_none()
        });
        if !is_asked {
            found.push(format!("{execution:?} is not what the reply asks for: {asked:?}"));
        }
    }
    found
}

/// A round has no more executions of a call than one of its tries asked for. One that was
/// contradicted and has no effects may be run again by a later try.
pub fn another_try_does_not_run_the_same_again(case: &Case<'_>) -> Vec<String> {
    let mut ran: HashMap<(u64, &str, String), usize> = HashMap::new();
    let canonical =
        |text: &str| serde_json::from_str::<Value>(text).unwrap_or_default().to_string();
    for execution in &case.run.executions {
        let call = (execution.key.round, execution.tool, canonical(&execution.arguments));
        *ran.entry(call).or_default() += 1;
    }
    let mut found = Vec::new();
    for ((round, tool, arguments), count) in ran.into_iter().filter(|(_, count)| *count > 1) {
        let tries: Option<Vec<_>> =
            case.ledger.tries(round).map(|ask| ask.sent?.truth.as_ref()).collect();
        let Some(tries) = tries else { continue };
        let has_effects = case.tool(tool).is_some_and(|tool| tool.effects != Effects::None);
        let (mut most, mut contradicted) = (0, 0);
        for truth in tries {
            let calls = truth.calls.iter().filter(|call| call.tool == tool);
            let readings = calls.flat_map(|call| &call.readings);
            let same = readings.filter(|reading| are_same(&reading.arguments, &arguments));
            let (open, closed): (Vec<_>, Vec<_>) =
                same.partition(|reading| reading.until.is_none());
            most = most.max(open.len() + closed.len());
            contradicted += closed.len();
        }
        if count > most + if has_effects { 0 } else { contradicted } {
            found.push(format!(
                "round {round} ran `{tool}` {count}x with {arguments}, asked for {most}x"
            ));
        }
    }
    found
}

/// The final reply takes a call that has begun for one of its own only if it is the same, and only
/// once.
pub fn a_call_that_has_begun_is_the_one_that_is_asked_for(case: &Case<'_>) -> Vec<String> {
    let mut found = Vec::new();
    for ask in &case.ledger.asks {
        let Some(reply) = &ask.reply else { continue };
        let mut taken = HashSet::new();
        for asked in reply.calls.iter() {
            let Some(begun) = asked.begun else { continue };
            let is_first = taken.insert(begun);
            if !is_first || !is_begun(case, ask.round, asked, begun) {
                found.push(format!("round {}: {asked:?} has not begun", ask.round));
            }
        }
    }
    found
}

fn is_begun(case: &Case<'_>, round: u64, asked: &AskedCall, begun: Place) -> bool {
    let mut calls = case.ledger.calls.iter();
    let call = calls.find(|call| call.round == round && call.place == begun);
    let arguments = call.and_then(|call| call.arguments.as_ref().map(|text| (&call.tool, text)));
    arguments.is_some_and(|(tool, arguments)| {
        *tool == asked.tool && are_same(arguments, &asked.arguments) && asked.refused.is_none()
    })
}
