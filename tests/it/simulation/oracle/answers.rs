//! Every call has one answer: in the record, in what the model sees, and in what tools did.

use std::collections::HashSet;

use callsheet::{Effects, Mode, OutcomeKind};

use super::Case;
use crate::simulation::ledger::Call;
use crate::simulation::tools::{answer, failure};

pub fn every_event_has_its_place(case: &Case<'_>) -> Vec<String> {
    let mut found = case.ledger.strays.clone();
    let mut last_at = 0;
    for record in &case.run.heard {
        if record.at_us < last_at {
            found.push(format!("time ran backwards: {record:?}"));
        }
        last_at = record.at_us;
    }
    found
}

/// A call that may run ends once, whether it was started or not; one that is refused does neither.
pub fn every_call_ends_once(case: &Case<'_>) -> Vec<String> {
    let mut found = Vec::new();
    for (_, round) in case.ledger.rounds() {
        for call in round.begun() {
            let (starts, ends) = (call.started_at.len(), call.ends.len());
            let is_right = match (&call.asked.refused, round.mode) {
                (Some(_), _) => (starts, ends) == (0, 0),
                (None, _) if call.is_early() => (starts, ends) == (1, 1),
                (None, Mode::Parallel) => (starts, ends) == (1, 1),
                (None, Mode::Sequential) => starts <= 1 && ends == 1,
            };
            let was_dispatched = call.end().is_some_and(|end| end.dispatched_at().is_some());
            if !is_right || (was_dispatched && starts == 0) {
                found.push(format!("{} was started {starts}x, ended {ends}x", call.name()));
            }
        }
    }
    found
}

/// Refused are calls that cannot run, and those beyond the limits; nothing else is.
pub fn what_may_not_run_is_refused(case: &Case<'_>) -> Vec<String> {
    let limits = &case.scenario.limits;
    let mut found = Vec::new();
    for turn in &case.ledger.turns {
        for (round, earlier) in turn.rounds.iter().zip(0..) {
            for (call, ordinal) in round.calls.iter().zip(0..) {
                let is_beyond =
                    earlier >= limits.max_rounds || ordinal >= limits.max_calls_per_round;
                let denied = is_beyond.then_some(OutcomeKind::Denied);
                let due = call.behaviour.refusal().or(denied);
                let came = call.asked.refused.as_ref().map(|outcome| outcome.kind);
                if came != due {
                    found.push(format!("{} was refused as {came:?}, not {due:?}", call.name()));
                }
            }
        }
    }
    found
}

/// No provider would have refused a request, and the last one, sent after whatever happened, has
/// the answer of every call. It has the calls with effects that began early and that no reply asks for
/// before those of the reply, and no others that nobody asks for. Where a request may have only so many
/// tokens, those of the oldest turns may have left it.
pub fn the_model_saw_whole_histories(case: &Case<'_>) -> Vec<String> {
    let mut found = case.run.wire_violations.clone();
    if case.run.last_words != "all is well" {
        found.push(format!("a plain question at the end: {}", case.run.last_words));
    }
    let answers = case
        .run
        .history
        .iter()
        .filter_map(|message| Some((message.tool_call_id.as_deref()?, message.text.as_str())));
    let has_effects = |call: &&Call| {
        case.scenario.tool(&call.asked.tool).is_some_and(|tool| tool.effects != Effects::None)
    };
    let told = case.ledger.rounds().flat_map(|(_, round)| {
        let orphans = round.discarded.iter().filter(has_effects).map(|call| (call, true));
        orphans.chain(round.calls.iter().map(|call| (call, false)))
    });
    let due = told.map(|(call, is_orphan)| {
        let refused = call.asked.refused.as_ref();
        let outcome = refused.or(call.end().map(|end| &end.outcome));
        (&*call.asked.id, outcome.map_or("", |outcome| &outcome.content), is_orphan)
    });
    let (answers, due): (Vec<_>, Vec<_>) = (answers.collect(), due.collect());
    if case.scenario.context_tokens > 0 {
        // Those of the oldest turns may be gone. The others come in the same order.
        let mut rest = due.iter();
        for (id, text) in &answers {
            if !rest.any(|(due_id, due_text, _)| id.starts_with(due_id) && text == due_text) {
                found.push(format!("the model was told of `{id}`, which was not due there"));
            }
        }
        return found;
    }
    let mut ids = HashSet::new();
    let differs = answers.iter().zip(&due).find(|((id, text), (due_id, due_text, is_orphan))| {
        // An id that came before may have another end for a model that did not write it; so may one of
        // a call that nobody asks for, whose id the reply behind it may have.
        let is_again = !ids.insert(*due_id) || *is_orphan;
        let is_its = id
            .strip_prefix(due_id)
            .is_some_and(|end| end.is_empty() || (is_again && end.starts_with('_')));
        !is_its || text != due_text
    });
    if differs.is_some() || answers.len() != due.len() {
        let (came, due) = (answers.len(), due.len());
        found.push(format!("the model was told {came} answers, due were {due}: {differs:?}"));
    }
    found
}

/// What a call is answered is what its own tool said.
pub fn an_answer_belongs_to_its_call(case: &Case<'_>) -> Vec<String> {
    let mut found = Vec::new();
    for call in case.ledger.calls() {
        let Some(end) = call.end() else { continue };
        let due = match end.outcome.kind {
            OutcomeKind::Ok => answer(&call.key()),
            OutcomeKind::ToolError => format!("error: {}", failure(&call.key())),
            _ => continue,
        };
        if *end.outcome.content != *due {
            found.push(format!("{} was answered `{}`", call.name(), end.outcome.content));
        }
    }
    found
}

/// The journal has every event that is to be kept, in order. News between turns is not.
pub fn the_journal_has_what_was_heard(case: &Case<'_>) -> Vec<String> {
    let mut last_seq = 0;
    let durable = case.run.heard.iter().filter(|record| {
        let is_kept = record.event.is_durable() && record.seq > last_seq;
        last_seq = last_seq.max(record.seq);
        is_kept
    });
    let heard: Vec<_> = durable.map(|record| &**record).collect();
    let is_same = heard.iter().copied().eq(&case.run.kept);
    let is_counted = case.run.kept.iter().zip(1..).all(|(record, seq)| record.seq == seq);
    let (heard, kept) = (heard.len(), case.run.kept.len());
    let what = format!("{kept} events were kept, of {heard} that were heard");
    if is_same && is_counted { Vec::new() } else { vec![what] }
}

/// The model is told of a call that may have taken effect, and of no other.
pub fn what_may_have_happened_is_said(case: &Case<'_>) -> Vec<String> {
    let is_doubtful = |call: &&Call| {
        let Some(end) = call.end() else { return false };
        let tool = case.scenario.tool(&call.asked.tool);
        let is_once = tool.is_some_and(|tool| tool.effects == Effects::Once);
        let broken_off = matches!(
            end.outcome.kind,
            OutcomeKind::Panicked | OutcomeKind::TimedOut | OutcomeKind::Cancelled
        );
        let is_said = end.outcome.content.contains("may have taken effect");
        let has_begun = !case.tries_of(call).is_empty();
        is_said != (is_once && broken_off && has_begun)
    };
    let wrong = case.ledger.calls().filter(is_doubtful);
    wrong.map(|call| format!("{} was answered {:?}", call.name(), call.end())).collect()
}
