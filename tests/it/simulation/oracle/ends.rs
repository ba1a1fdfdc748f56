//! Turns end, cancels and questions are heard at once, and nothing is left behind.

use std::time::Duration;

use callsheet::conversation::TurnEnd;
use callsheet::session::Status;

use super::Case;
use super::tries::rest;
use crate::simulation::ledger::{Ask, Turn};
use crate::simulation::scenario::ReplyPlan;
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

/// Nothing that calls and workers do holds a question to the model, or its answer.
pub fn the_model_is_asked_at_once(case: &Case<'_>) -> Vec<String> {
    let mut found = Vec::new();
    for ((turn, _), plan) in turns(case).zip(&case.scenario.turns) {
        let turn_ended_at = turn.ended.as_ref().map(|(at, _)| *at);
        for (place, ask) in turn.asks.iter().enumerate() {
            // Where the script is at its end, the model fails at once.
            let plan = plan.replies.get(place).map_or(Some(Duration::ZERO), ReplyPlan::takes);
            let due = plan.map_or(u64::MAX, |takes| ask.at + takes.as_micros() as u64);
            let is_right = match ask.ended_at {
                Some(ended_at) => ended_at == due,
                None => turn_ended_at.is_some_and(|at| at <= due),
            };
            if !is_right {
                found.push(format!("{ask:?} was to end at {due}: {plan:?}"));
            }
        }
    }
    found
}

/// A model that failed in a way that may pass is asked again after a rest, as often as it may be; then
/// the next one is, and answers for the rest of the turn; then the turn fails.
pub fn a_failed_reply_is_asked_for_again_as_often_as_it_may_be(case: &Case<'_>) -> Vec<String> {
    let scenario = case.scenario;
    let mut found = Vec::new();
    for ((turn, _), plan) in turns(case).zip(&scenario.turns) {
        let Some((ended_at, end)) = &turn.ended else { continue };
        let deadline = turn.began_at + scenario.limits.turn_time_limit.as_micros() as u64;
        let (mut on_second, mut failures) = (false, 0);
        for (place, ask) in turn.asks.iter().enumerate() {
            let next = turn.asks.get(place + 1);
            if ask.attempt == 1 {
                failures = 0;
            }
            let is_right_model = ask.model.is_some() == on_second;
            let Some(at) = failed_at(ask, plan.replies.get(place), (*ended_at, end)) else {
                if !is_right_model || next.is_some_and(|next| next.attempt != 1) {
                    found.push(format!("{ask:?}, then {next:?}"));
                }
                continue;
            };
            failures += 1;
            let is_refused = plan.replies.get(place).is_some_and(|plan| plan.is_refused());
            let (least, most) = rest(&scenario.model_retries.backoff, failures);
            let may_again = !is_refused && failures <= scenario.model_retries.retries;
            let rests = |retry_in: u64| match retry_in {
                0 => !(may_again && at + most < deadline) && scenario.has_fallback && !on_second,
                rest => may_again && at + rest < deadline && (least..=most).contains(&rest),
            };
            let is_right = match &ask.failed {
                Some((_, retry_in)) => {
                    let is_in_time = match next {
                        Some(next) => next.at == at + retry_in && next.attempt == ask.attempt + 1,
                        None => *ended_at <= at + retry_in,
                    };
                    rests(*retry_in) && is_in_time
                }
                None => {
                    let may_go_on = (may_again && at + most < deadline)
                        || (scenario.has_fallback && !on_second);
                    !may_go_on && *ended_at == at && next.is_none()
                }
            };
            if !is_right || !is_right_model {
                found.push(format!("the {failures}. failure: {ask:?}, then {next:?}, {end:?}"));
            }
            if ask.failed.as_ref().is_some_and(|(_, retry_in)| *retry_in == 0) {
                (on_second, failures) = (true, 0);
            }
        }
    }
    found
}

/// When `ask` came to nothing, if it did: another try follows, or it ended its turn.
fn failed_at(ask: &Ask, plan: Option<&ReplyPlan>, turn: (u64, &TurnEnd)) -> Option<u64> {
    if ask.failed.is_some() {
        return ask.ended_at;
    }
    let is_to_fail = plan.is_none_or(ReplyPlan::fails);
    let (at, end) = turn;
    let fails = matches!(end, TurnEnd::Failed { .. }) && is_to_fail && ask.ended_at.is_none();
    fails.then_some(at)
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
        let calls = turn.rounds.iter().flat_map(|round| round.begun());
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
