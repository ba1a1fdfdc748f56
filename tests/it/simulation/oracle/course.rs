//! How a call may end: whatever comes first of its own end, its limits and a cancel.

use std::time::Duration;

use callsheet::OutcomeKind;
use callsheet::conversation::TurnEnd;

use super::Case;
use super::circuits::is_refused;
use super::tries::Try;
use crate::simulation::behaviour::Behaviour;
use crate::simulation::ledger::{Call, End, Round, Turn};

/// A way for a call, or one try of it, to end, and when it would.
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
const WAYS: [fn(&Situation<'_>) -> Option<Way>; 5] = [
    by_its_own_limit,
    by_the_limit_of_the_round,
    by_the_limit_of_the_turn,
    by_the_end_of_the_turn,
    by_the_reply,
];

/// And of one try of it.
const WAYS_OF_A_TRY: [fn(&Try<'_>) -> Option<Way>; 3] =
    [by_itself, by_the_limit_of_a_try, by_silence];

pub fn every_call_takes_its_course(case: &Case<'_>) -> Vec<String> {
    let mut found = Vec::new();
    for (turn, round) in case.ledger.rounds() {
        for call in round.begun() {
            let Some(end) = call.end() else { continue };
            let situation = Situation { case, turn, round, call, end };
            let ways: Vec<Way> = WAYS.iter().filter_map(|way| way(&situation)).collect();
            let came = Way { kind: end.outcome.kind, at: end.at };
            let tries = case.tries_of(call);
            for one in tries {
                let mut ways = ways.clone();
                ways.extend(WAYS_OF_A_TRY.iter().filter_map(|way| way(one)));
                let ended = one.kind.map(|kind| Way { kind, at: one.gone_at });
                if !ended.is_some_and(|ended| comes_first(ended, &ways)) {
                    let name = call.name();
                    found.push(format!("{name}: open to {one:?} were {ways:?}: {end:?}"));
                }
            }
            let last = tries.last().filter(|last| last.retry().is_none());
            let is_right = match last {
                Some(last) => last.gone_at == end.at,
                None => comes_first(came, &ways) || is_turned_away(&situation, &ways),
            };
            if !is_right {
                let name = call.name();
                found.push(format!("{name} ended as {came:?}, open to it were {ways:?}: {end:?}"));
            }
        }
    }
    found
}

fn comes_first(came: Way, ways: &[Way]) -> bool {
    ways.contains(&came) && ways.iter().all(|way| came.at <= way.at)
}

/// Before its time is over a call ends without running if it is refused, or its tool cannot be
/// made. If it has run, what came of that is told in place of it.
fn is_turned_away(Situation { case, call, end, .. }: &Situation<'_>, ways: &[Way]) -> bool {
    let kind = end.outcome.kind;
    let is_in_time = ways.iter().all(|way| end.at <= way.at);
    let mut failed = case.run.failed_makes.iter();
    let is_unmade = failed.any(|make| *make.tool == *call.asked.tool && make.at == end.at);
    let is_right = match case.tries_of(call).last() {
        Some(last) => last.kind == Some(kind) && (is_unmade || is_refused(case, call, end.at)),
        None if kind == OutcomeKind::Panicked => is_unmade,
        // Whether rightly is a rule of its own.
        None => matches!(kind, OutcomeKind::Unavailable | OutcomeKind::Overloaded),
    };
    is_in_time && is_right
}

/// As its behaviour says, so long after it began.
fn by_itself(one: &Try<'_>) -> Option<Way> {
    let (kind, ms) = one.call.behaviour.natural_end(one.number)?;
    Some(Way { kind, at: one.began_at + ms * 1_000 })
}

fn by_the_limit_of_a_try(one: &Try<'_>) -> Option<Way> {
    Some(timed_out(one.began_at, one.plan.try_limit?))
}

/// When it has said nothing for so long. What it says at that very moment counts.
fn by_silence(one: &Try<'_>) -> Option<Way> {
    let limit = one.plan.silence_limit?;
    let mut last = 0;
    for sign in one.call.behaviour.signs() {
        if u128::from(sign - last) > limit.as_millis() {
            break;
        }
        last = sign;
    }
    Some(timed_out(one.began_at + last * 1_000, limit))
}

fn by_its_own_limit(Situation { case, call, end, .. }: &Situation<'_>) -> Option<Way> {
    let limits = &case.scenario.limits;
    let tool = case.scenario.tool(&call.asked.tool)?;
    Some(timed_out(end.dispatched_at()?, tool.time_limit.unwrap_or(limits.call_time_limit)))
}

/// It counts from the end of the reply where calls of it had begun before, and from the first
/// dispatch where none had.
fn by_the_limit_of_the_round(Situation { case, round, call, .. }: &Situation<'_>) -> Option<Way> {
    let ends = round.calls.iter().filter_map(Call::end);
    let from = match round.calls.iter().any(Call::is_early) {
        true => round.replied_at?,
        false => ends.filter_map(End::dispatched_at).min()?,
    };
    is_asked_for(round, call).then(|| timed_out(from, case.scenario.limits.round_time_limit))
}

fn by_the_limit_of_the_turn(Situation { case, turn, .. }: &Situation<'_>) -> Option<Way> {
    Some(timed_out(turn.began_at, case.scenario.limits.turn_time_limit))
}

/// Somebody cancelled it, or the model failed for good.
fn by_the_end_of_the_turn(Situation { turn, .. }: &Situation<'_>) -> Option<Way> {
    let (at, end) = turn.ended.as_ref()?;
    let is_broken_off = matches!(end, TurnEnd::Cancelled | TurnEnd::Failed { .. });
    is_broken_off.then_some(Way { kind: OutcomeKind::Cancelled, at: *at })
}

/// The finished reply does not ask for it.
fn by_the_reply(Situation { round, call, .. }: &Situation<'_>) -> Option<Way> {
    let at = round.replied_at.filter(|_| !is_asked_for(round, call))?;
    Some(Way { kind: OutcomeKind::Cancelled, at })
}

fn is_asked_for(round: &Round, call: &Call) -> bool {
    round.calls.iter().any(|asked| std::ptr::eq(asked, call))
}

fn timed_out(from: u64, limit: Duration) -> Way {
    Way { kind: OutcomeKind::TimedOut, at: from + limit.as_micros() as u64 }
}

/// When the time of `call` is over, if it was handed to its worker.
pub fn deadline(case: &Case<'_>, call: &Call) -> Option<u64> {
    let end = call.end()?;
    let mut rounds = case.ledger.rounds();
    let (turn, round) = rounds.find(|(_, round)| round.number == call.round)?;
    let situation = Situation { case, turn, round, call, end };
    let ways = WAYS.iter().filter_map(|way| way(&situation));
    ways.filter(|way| way.kind == OutcomeKind::TimedOut).map(|way| way.at).min()
}

/// What a call says of itself is heard, in order, and all of it if it ends well. Each try begins
/// anew.
pub fn progress_is_heard_in_order(case: &Case<'_>) -> Vec<String> {
    let mut found = Vec::new();
    for call in case.ledger.calls() {
        let Some(end) = call.end() else { continue };
        let steps = match call.behaviour {
            Behaviour::Report { steps, .. } => steps,
            _ => 0,
        };
        let all: Vec<String> = (0..steps).map(|step| step.to_string()).collect();
        let mut tries: Vec<&[String]> = call.progress.chunk_by(|_, next| next != "0").collect();
        let is_whole = tries.pop().unwrap_or_default() == all;
        let is_in_order =
            call.progress.chunk_by(|_, next| next != "0").all(|of_a_try| all.starts_with(of_a_try));
        if !is_in_order || (end.outcome.is_ok() && !is_whole) {
            found.push(format!("{} was heard to say {:?}", call.name(), call.progress));
        }
    }
    found
}
