//! Turns end, cancels and questions are heard at once, and nothing is left behind.

use callsheet::conversation::TurnEnd;
use callsheet::session::Status;

use super::Case;
use crate::simulation::ledger::Turn;
use crate::simulation::world::{Meddled, Response, TurnRun};

/// The turns as they are recorded and as the one who asked saw them.
fn turns<'a>(case: &Case<'a>) -> impl Iterator<Item = (&'a Turn, &'a TurnRun)> {
    case.ledger.turns.iter().zip(&case.run.turns)
}

pub fn every_turn_ends_by_its_limit(case: &Case<'_>) -> Vec<String> {
    let limit = case.scenario.limits.turn_time_limit.as_micros() as u64;
    let mut found = Vec::new();
    if case.ledger.turns.len() != case.run.turns.len() + 1 {
        found.push(format!("{} turns are on record", case.ledger.turns.len()));
    }
    for (turn, seen) in turns(case) {
        let Some((ended_at, end)) = &turn.ended else {
            found.push(format!("a turn has no end: {seen:?}"));
            continue;
        };
        let deadline = turn.began_at + limit;
        let code = match end {
            TurnEnd::Answered => None,
            TurnEnd::Cancelled => Some("cancelled"),
            TurnEnd::TimedOut => Some("turn_timed_out"),
            TurnEnd::Failed { problem } => Some(&*problem.code),
        };
        let is_in_time = match end {
            TurnEnd::TimedOut => *ended_at == deadline,
            _ => *ended_at <= deadline,
        };
        let as_asked = (turn.began_at, *ended_at) == (seen.asked_at, seen.answered_at)
            && code == seen.failed.as_deref();
        if !is_in_time || !as_asked || seen.still_working > 0 {
            let began_at = turn.began_at;
            found.push(format!(
                "a turn from {began_at} to {ended_at} ({end:?}), by {deadline} at the latest, was \
                 seen as {seen:?}"
            ));
        }
    }
    found
}

pub fn a_cancel_ends_the_turn_at_once(case: &Case<'_>) -> Vec<String> {
    let is_wrong = |turn: &Turn, meddled: &Meddled| {
        let (Response::Cancelled(was_heard), Some((ended_at, end))) =
            (&meddled.answer, &turn.ended)
        else {
            return false;
        };
        let is_right = match was_heard {
            true => {
                meddled.at == *ended_at && !matches!(end, TurnEnd::Answered | TurnEnd::TimedOut)
            }
            false => meddled.at >= *ended_at,
        };
        !is_right || !meddled.took.is_zero()
    };
    meddling_that(case, is_wrong)
}

/// Nothing that calls and workers do holds a question to the model.
pub fn the_model_is_asked_at_once(case: &Case<'_>) -> Vec<String> {
    let mut found = Vec::new();
    for ((turn, _), plan) in turns(case).zip(&case.scenario.turns) {
        for (round, reply) in turn.rounds.iter().zip(&plan.replies) {
            let took = round.replied_at - round.asked_at;
            if u128::from(took) != reply.delay.as_micros() {
                found.push(format!("the reply of {reply:?} took {took} us"));
            }
        }
    }
    found
}

pub fn a_question_about_the_status_is_answered_at_once(case: &Case<'_>) -> Vec<String> {
    let is_wrong = |turn: &Turn, meddled: &Meddled| {
        let (Response::Status(status), Some((ended_at, _))) = (&meddled.answer, &turn.ended) else {
            return false;
        };
        let Some(Status { busy, calls_in_flight, .. }) = status else { return true };
        let is_busy_right = meddled.at == *ended_at || *busy == (meddled.at < *ended_at);
        let (surely, perhaps) = in_flight(turn, meddled.at);
        let is_count_right = (surely..=perhaps).contains(calls_in_flight);
        !is_busy_right || !is_count_right || !meddled.took.is_zero()
    };
    meddling_that(case, is_wrong)
}

/// How many calls of `turn` were in flight at `at`: surely, and with those that began or ended at
/// that very moment.
fn in_flight(turn: &Turn, at: u64) -> (usize, usize) {
    let ends = || {
        let calls = turn.rounds.iter().flat_map(|round| &round.calls);
        calls.filter_map(|call| call.end()).filter_map(|end| Some((end.dispatched_at()?, end.at)))
    };
    let surely = ends().filter(|(from, to)| *from < at && at < *to).count();
    (surely, ends().filter(|(from, to)| *from <= at && at <= *to).count())
}

fn meddling_that(case: &Case<'_>, is_wrong: impl Fn(&Turn, &Meddled) -> bool) -> Vec<String> {
    let meddling = turns(case)
        .flat_map(|(turn, seen)| seen.meddled.iter().map(move |meddled| (turn, meddled)));
    let wrong = meddling.filter(|(turn, meddled)| is_wrong(turn, meddled));
    wrong
        .map(|(turn, meddled)| {
            format!("{meddled:?} in a turn from {} that ended {:?}", turn.began_at, turn.ended)
        })
        .collect()
}

pub fn nothing_is_left(case: &Case<'_>) -> Vec<String> {
    case.run.left.clone()
}
