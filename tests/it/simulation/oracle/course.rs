//! How a call may end: whatever comes first of its own end, its limits and a cancel.

use callsheet::OutcomeKind;
use callsheet::conversation::TurnEnd;

use super::Case;
use crate::simulation::behaviour::Behaviour;
use crate::simulation::ledger::{Call, End, Round, Turn};

/// A way for a call to end, and when it would.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Way {
    kind: OutcomeKind,
    at: u64,
}

/// What there is to know of a call to say how it may end.
struct Situation<'a> {
    case: &'a Case<'a>,
    turn: &'a Turn,
    round: &'a Round,
    call: &'a Call,
    end: &'a End,
}

/// The table of what may become of a call: of all ways that are open to it the first one counts,
/// and of several at the same moment any.
const WAYS: [fn(&Situation<'_>) -> Option<Way>; 5] =
    [by_itself, by_its_own_limit, by_the_limit_of_the_round, by_the_limit_of_the_turn, by_a_cancel];

pub fn every_call_takes_its_course(case: &Case<'_>) -> Vec<String> {
    let mut found = Vec::new();
    for (turn, round) in case.ledger.rounds() {
        for call in &round.calls {
            let Some(end) = call.end() else { continue };
            let situation = Situation { case, turn, round, call, end };
            let ways: Vec<Way> = WAYS.iter().filter_map(|way| way(&situation)).collect();
            let first = ways.iter().map(|way| way.at).min();
            let came = Way { kind: end.outcome.kind, at: end.at };
            if Some(came.at) != first || !ways.contains(&came) {
                let name = call.name();
                found.push(format!("{name} ended as {came:?}, open to it were {ways:?}: {end:?}"));
            }
        }
    }
    found
}

/// As its behaviour says, so long after it began.
fn by_itself(Situation { call, end, .. }: &Situation<'_>) -> Option<Way> {
    let (kind, ms) = call.behaviour.natural_end()?;
    Some(Way { kind, at: end.began_at()? + ms * 1_000 })
}

fn by_its_own_limit(Situation { case, call, end, .. }: &Situation<'_>) -> Option<Way> {
    let tool = case.scenario.tools.iter().find(|tool| *tool.name == *call.asked.tool)?;
    let limit = tool.time_limit.unwrap_or(case.scenario.limits.call_time_limit);
    Some(timed_out(end.dispatched_at()?, limit))
}

fn by_the_limit_of_the_round(Situation { case, round, .. }: &Situation<'_>) -> Option<Way> {
    let ends = round.calls.iter().filter_map(Call::end);
    let first = ends.filter_map(End::dispatched_at).min()?;
    Some(timed_out(first, case.scenario.limits.round_time_limit))
}

fn by_the_limit_of_the_turn(Situation { case, turn, .. }: &Situation<'_>) -> Option<Way> {
    Some(timed_out(turn.began_at, case.scenario.limits.turn_time_limit))
}

fn by_a_cancel(Situation { turn, .. }: &Situation<'_>) -> Option<Way> {
    let (at, end) = turn.ended.as_ref()?;
    (*end == TurnEnd::Cancelled).then_some(Way { kind: OutcomeKind::Cancelled, at: *at })
}

fn timed_out(from: u64, limit: std::time::Duration) -> Way {
    Way { kind: OutcomeKind::TimedOut, at: from + limit.as_micros() as u64 }
}

/// What a call says of itself is heard, in order, and all of it if it ends well.
pub fn progress_is_heard_in_order(case: &Case<'_>) -> Vec<String> {
    let mut found = Vec::new();
    for call in case.ledger.calls() {
        let Some(end) = call.end() else { continue };
        let steps = match call.behaviour {
            Behaviour::Report { steps, .. } => steps,
            _ => 0,
        };
        let all: Vec<String> = (0..steps).map(|step| step.to_string()).collect();
        let is_whole = if end.outcome.is_ok() {
            call.progress == all
        } else {
            all.starts_with(&call.progress)
        };
        if !is_whole {
            found.push(format!("{} was heard to say {:?}", call.name(), call.progress));
        }
    }
    found
}
