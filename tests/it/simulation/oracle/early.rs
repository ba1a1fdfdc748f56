//! Calls that begin while the model writes: those that may, when they may, and once.

use callsheet::conversation::Place;
use callsheet::{Effects, Mode};

use super::Case;
use crate::simulation::ledger::{Ask, Call, Turn};
use crate::simulation::scenario::{CallPlan, Pace, ReplyPlan, Says};

/// A call begins before its reply has ended if its tool, the mode and the session allow it: when its
/// brace closes if it has no effects and braces can be trusted, and when the next call opens, or the
/// reply is finished, if not.
pub fn a_call_begins_early_when_it_may_and_not_before(case: &Case<'_>) -> Vec<String> {
    let mut found = Vec::new();
    for (turn, round) in case.ledger.rounds() {
        for call in round.begun().filter(|call| call.is_early()) {
            let due = ask_of(turn, call).and_then(|ask| begins(case, turn, ask, call));
            if due.is_none_or(|due| call.started_at != [due]) {
                let at = &call.started_at;
                found.push(format!("{} began at {at:?}, and was to at {due:?}", call.name()));
            }
        }
        // Those that could have begun, and did not before their reply had ended.
        for call in round.calls.iter().filter(|call| !call.is_early()) {
            let due = ask_of(turn, call).and_then(|ask| begins(case, turn, ask, call));
            let is_late = due.is_some_and(|due| Some(due) < round.replied_at);
            if is_late && call.asked.refused.is_none() {
                found.push(format!("{} did not begin early, at {due:?}", call.name()));
            }
        }
    }
    found
}

/// When `call` is to begin, if it may before its reply has ended.
fn begins(case: &Case<'_>, turn: &Turn, ask: &Ask, call: &Call) -> Option<u64> {
    let plan = planned(case, turn, ask)?;
    let tool = case.scenario.tool(&call.asked.tool)?;
    let has_effects = tool.effects != Effects::None;
    let limits = &case.scenario.limits;
    let may_begin = limits.early_dispatch && limits.mode == Mode::Parallel && !tool.exclusive;
    if !may_begin || !tool.early.unwrap_or(!has_effects) {
        return None;
    }
    let Pace { pause, doubtful, .. } = plan.pace?;
    let closed = 2 * (call.place.ordinal + 1);
    let chunks = if has_effects || doubtful { closed + 1 } else { closed };
    Some(ask.at + (plan.delay + pause * chunks).as_micros() as u64)
}

/// The try of the reply that asked for it first.
fn ask_of<'a>(turn: &'a Turn, call: &Call) -> Option<&'a Ask> {
    let Place { reply_attempt, .. } = call.place;
    turn.asks.iter().find(|ask| (ask.round, ask.attempt) == (call.round, reply_attempt))
}

/// What the model was to say to it.
fn planned<'a>(case: &Case<'a>, turn: &Turn, ask: &Ask) -> Option<&'a ReplyPlan> {
    let number = case.ledger.turns.iter().position(|other| std::ptr::eq(other, turn))?;
    let place = turn.asks.iter().position(|other| std::ptr::eq(other, ask))?;
    case.scenario.turns.get(number)?.replies.get(place)
}

/// Of calls that are the same, no more begin than one try of the reply asks for.
pub fn a_call_that_has_begun_is_not_begun_by_the_next_try(case: &Case<'_>) -> Vec<String> {
    let mut found = Vec::new();
    for (turn, round) in case.ledger.rounds() {
        let asks = turn.asks.iter().filter(|ask| ask.round == round.number);
        let says: Vec<&[CallPlan]> = asks
            .filter_map(|ask| match &planned(case, turn, ask)?.says {
                Says::Calls(calls) => Some(&calls[..]),
                Says::Text | Says::Failure | Says::Refusal | Says::Silence => None,
            })
            .collect();
        for call in round.begun().filter(|call| !call.started_at.is_empty()) {
            let is_same = |other: &&Call| {
                let same = (&other.asked.tool, &other.asked.arguments);
                same == (&call.asked.tool, &call.asked.arguments) && !other.started_at.is_empty()
            };
            let began = round.begun().filter(is_same).count();
            let asks_for = |plan: &&CallPlan| {
                let arguments = plan.behaviour.arguments(plan.number);
                *plan.tool == *call.asked.tool && *arguments == *call.asked.arguments
            };
            let most = says.iter().map(|calls| calls.iter().filter(asks_for).count()).max();
            if Some(began) > most {
                found.push(format!("{} began {began}x, asked for {most:?}x", call.name()));
            }
        }
    }
    found
}
