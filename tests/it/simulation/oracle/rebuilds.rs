//! What crashes is replaced, with back-off, and only that.

use callsheet::supervision::RestartLimits;

use super::Case;
use super::circuits::may_be_a_probe;
use super::tries::Try;
use crate::simulation::ledger::{Becomes, Loss};
use crate::simulation::scenario::ToolPlan;

/// The generation that a call names was there when its last try began. A call that was given up
/// names none.
pub fn a_call_is_served_by_the_generation_of_its_time(case: &Case<'_>) -> Vec<String> {
    let mut found = Vec::new();
    for one in case.tries.iter().filter(|one| one.retry().is_none()) {
        let natural = one.call.behaviour.natural_end(one.number).map(|(kind, _)| kind);
        let end = one.call.end().filter(|end| natural == Some(end.outcome.kind));
        let Some(end) = end else { continue };
        let losses = case.ledger.losses_of(one.plan.name);
        let back = |by: u64| losses.clone().filter(|loss| loss.back_at <= by).count();
        let there = back(one.began_at.saturating_sub(1))..=back(one.began_at);
        if !there.contains(&(end.times.worker_generation as usize)) {
            let (name, losses) = (one.call.name(), losses.clone().collect::<Vec<_>>());
            found.push(format!("{name} was not to be served like this: {end:?}, {losses:?}"));
        }
    }
    found
}

/// A try that crashes takes its generation down, unless something else has before.
pub fn every_crash_takes_a_worker_down(case: &Case<'_>) -> Vec<String> {
    let mut found = Vec::new();
    for one in case.tries.iter().filter(|one| one.crashed()) {
        let mut losses = case.ledger.losses_of(one.plan.name);
        if !losses.any(|loss| one.touches(loss.failed_at)) {
            found.push(format!("{} crashed and nothing came of it: {one:?}", one.call.name()));
        }
    }
    found
}

/// A worker is lost when a call crashed, its tool could not be made, or it is taken for dead; slow is
/// not dead. Generations are counted, and rest as long as they may.
pub fn every_loss_has_a_cause(case: &Case<'_>) -> Vec<String> {
    let backoff = &case.scenario.supervision.backoff;
    let fifth = |rest: u128, fifths: u128| (rest * fifths / 5) as u64;
    let rests =
        fifth(backoff.min.as_micros(), 4).saturating_sub(1_000)..=fifth(backoff.max.as_micros(), 6);
    let mut found = Vec::new();
    for tool in &case.scenario.tools {
        for (loss, due) in case.ledger.losses_of(tool.name).zip(1..) {
            let is_counted = match loss.what {
                Becomes::Rebuilt { generation } => {
                    generation == due && rests.contains(&(loss.back_at - loss.failed_at))
                }
                Becomes::Withdrawn { .. } => true,
            };
            if !is_counted || !is_caused(case, tool, loss) {
                found.push(format!("the {due}. loss of {tool:?} is {loss:?}"));
            }
        }
    }
    found
}

fn is_caused(case: &Case<'_>, tool: &ToolPlan, loss: &Loss) -> bool {
    let mut failed = case.run.failed_makes.iter();
    let tries = case.tries.iter().filter(|one| one.plan.name == tool.name);
    let mut ended = tries.filter(|one| one.gone_at == loss.failed_at);
    failed.any(|make| make.tool == tool.name && make.at == loss.failed_at)
        || ended.any(|one| one.crashed() || may_be_one_too_many(case, one))
}

/// Says whether the worker may be taken for dead because of `one`, which did not crash.
fn may_be_one_too_many(case: &Case<'_>, one: &Try<'_>) -> bool {
    let max_time_outs = case.scenario.supervision.max_time_outs as usize;
    let tries = case.tries.iter().filter(|other| other.plan.name == one.plan.name);
    let time_outs = tries
        .filter(|other| other.gone_at <= one.gone_at && other.may_have_timed_out(case))
        .count();
    let in_a_row = max_time_outs > 0 && time_outs >= max_time_outs;
    (one.may_have_timed_out(case) && (in_a_row || may_be_a_probe(case, one)))
        || so_many_may_have_failed(case, one.plan, one.gone_at)
}

/// Says whether the share of calls that failed may have been too large at `at`: also one that goes
/// well can make them so many that their share says something.
pub fn so_many_may_have_failed(case: &Case<'_>, tool: &ToolPlan, at: u64) -> bool {
    let RestartLimits { max_failure_rate, failure_rate_min_calls, within, .. } =
        case.scenario.supervision;
    let within = (at - within.as_micros() as u64)..=at;
    let tries = case.tries.iter().filter(|one| one.plan.name == tool.name);
    let ended = tries.filter(|one| within.contains(&one.gone_at));
    let failed = ended.clone().filter(|one| one.crashed() || one.may_have_timed_out(case)).count();
    let min_calls = failure_rate_min_calls as usize;
    ended.count() >= min_calls && failed as f64 > max_failure_rate * min_calls as f64
}
