//! What becomes of a turn that was cut: of each of its calls, and of the turn itself.
//!
//! A plan is worked out from the record alone, so that it can be shown before it is carried out. To
//! carry it out is to record its events, and then to do what the state asks for.

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use super::{
    Action, CallTimes, Due, EarlyCalls, Effects, Event, Outcome, OutcomeKind, Place, Record,
    SessionState,
};
use crate::sabotage::{self, Sabotage};

/// A call in the middle of which the process ended so often is not run again, whatever its effects:
/// it may be why.
const MAX_STARTS: u32 = 3;

/// What a resume will do.
#[derive(Clone, Debug, PartialEq)]
pub struct ResumePlan {
    /// The turn that was cut.
    pub turn: u64,
    /// The round that its calls belong to: the one under way, or the one that begins if the next
    /// reply asks for calls.
    pub round: u64,
    /// The calls of the round under way, in order; or those that began while the model wrote its
    /// reply, which did not come.
    pub calls: Vec<PlannedCall>,
    /// What is done then.
    pub next: Action,
}

/// A call of the turn that was cut.
#[derive(Clone, Debug, PartialEq)]
pub struct PlannedCall {
    /// Its place in the round.
    pub place: Place,
    /// Its id on the wire.
    pub id: Arc<str>,
    /// The tool's name.
    pub tool: Arc<str>,
    /// What becomes of it.
    pub fate: Fate,
    /// Of one that began while the model wrote.
    arguments: Option<Arc<str>>,
}

/// What a resume does with a call.
#[derive(Clone, Debug, PartialEq)]
pub enum Fate {
    /// It has ended: its result is used, and it does not run again.
    Reuse,
    /// It never began: it runs now, or when its turn comes.
    Run,
    /// It waits for a person's approval: they are asked, now or when its turn comes, also if they were
    /// asked before.
    Ask,
    /// It had begun, nobody knows how it ended, and its effects allow it to run again under the same
    /// key.
    RunAgain,
    /// It cannot run, or must not run again: this is what the model is told.
    Answer(Outcome),
}

impl ResumePlan {
    /// The plan for the turn that was cut, by its `state`; `None` if its last turn has ended.
    /// `effects` knows those of a tool, if there is one of that name.
    #[must_use]
    pub fn of(state: &SessionState, effects: &dyn Fn(&str) -> Option<Effects>) -> Option<Self> {
        Self::without(None, state, effects)
    }

    /// As [`ResumePlan::of`], for a session that leaves an arbiter whose thread the tool `blocker`
    /// holds: its calls that have begun do not run again, as they would hold the next one.
    #[must_use]
    pub fn without(
        blocker: Option<&str>,
        state: &SessionState,
        effects: &dyn Fn(&str) -> Option<Effects>,
    ) -> Option<Self> {
        if !state.is_busy() {
            return None;
        }
        let fate = |place, tool: &str| match blocker == Some(tool) && state.starts(place) > 0 {
            true => {
                let (kind, effects) = (OutcomeKind::UnknownOutcome, effects(tool));
                let message = "the tool blocked its thread, and nobody waits for it any more";
                let effects = effects.unwrap_or_default();
                Fate::Answer(Outcome::broken_off(kind, message, effects, true))
            }
            false => unanswered(state, place, effects(tool)),
        };
        let calls = match state.calls() {
            Some(calls) => {
                let ordinals = (0..).zip(calls.iter());
                let planned = ordinals.filter_map(|(ordinal, call)| {
                    let place = state.place_of(ordinal)?;
                    let fate = match state.outcome_of(ordinal) {
                        Some(_) => Fate::Reuse,
                        None => fate(place, &call.tool),
                    };
                    let (id, tool) = (Arc::clone(&call.id), Arc::clone(&call.tool));
                    Some(PlannedCall { place, id, tool, fate, arguments: None })
                });
                planned.collect()
            }
            None => early(state, &fate),
        };
        let mut plan =
            Self { turn: state.turns(), round: state.round_number(), calls, next: Action::Wait };
        let mut after = state.clone();
        for event in plan.events() {
            match after.on(&event) {
                Action::Wait => {}
                next => plan.next = next,
            }
        }
        Some(plan)
    }

    /// The events that carry it out: that the turn is resumed, and the ends of calls that do not run.
    #[must_use]
    pub fn events(&self) -> Vec<Event> {
        let mut events = vec![Event::TurnResumed { turn: self.turn }];
        events.extend(self.calls.iter().filter_map(|call| self.end(call)));
        events.extend(self.calls.iter().filter_map(|call| self.beginning(call)));
        events
    }

    fn end(&self, call: &PlannedCall) -> Option<Event> {
        let Fate::Answer(outcome) = &call.fate else { return None };
        let (round, Place { reply_attempt, ordinal }) = (self.round, call.place);
        let (id, tool, outcome) = (Arc::clone(&call.id), Arc::clone(&call.tool), outcome.clone());
        let times = CallTimes::default();
        Some(Event::CallEnded { round, reply_attempt, ordinal, id, tool, outcome, times })
    }

    /// Of a call that began while the model wrote: the others begin when the state asks for it.
    fn beginning(&self, call: &PlannedCall) -> Option<Event> {
        let arguments = call.arguments.clone().filter(|_| call.fate == Fate::RunAgain)?;
        let (round, Place { reply_attempt, ordinal }) = (self.round, call.place);
        let (id, tool, arguments) = (Arc::clone(&call.id), Arc::clone(&call.tool), Some(arguments));
        let once = false; // It runs again.
        Some(Event::CallStarted { round, reply_attempt, ordinal, id, tool, arguments, once })
    }
}

/// The calls that began while the model wrote a reply that did not come.
fn early(state: &SessionState, fate: &dyn Fn(Place, &str) -> Fate) -> Vec<PlannedCall> {
    let begun = state.early().into_iter().flat_map(EarlyCalls::iter);
    let planned = begun.map(|call| PlannedCall {
        place: call.place,
        id: Arc::clone(&call.id),
        tool: Arc::clone(&call.tool),
        fate: match call.outcome {
            Some(_) => Fate::Reuse,
            None => fate(call.place, &call.tool),
        },
        arguments: Some(Arc::clone(&call.arguments)),
    });
    planned.collect()
}

/// What becomes of a call that has no answer.
fn unanswered(state: &SessionState, place: Place, effects: Option<Effects>) -> Fate {
    // What was said of the tool when it began holds.
    let effects = effects.map(|now| if state.began_once(place) { Effects::Once } else { now });
    let (starts, known) = (state.starts(place), effects.unwrap_or_default());
    let unknown = |message: &str| {
        Fate::Answer(Outcome::broken_off(OutcomeKind::UnknownOutcome, message, known, true))
    };
    match (starts, effects) {
        (0, Some(_)) => not_begun(state, place),
        (0, None) => {
            let message = "the tool is not there any more; not run";
            Fate::Answer(Outcome::failed(OutcomeKind::Unavailable, message))
        }
        (MAX_STARTS.., Some(Effects::None | Effects::Idempotent)) => {
            unknown(&format!("the process ended {starts} times while the call ran"))
        }
        (_, Some(Effects::None | Effects::Idempotent)) => Fate::RunAgain,
        (_, Some(Effects::Once)) if sabotage::is(Sabotage::OnceRunsAgain) => Fate::RunAgain,
        (_, Some(Effects::Once)) => unknown("the process ended while the call ran"),
        (_, None) => unknown("the process ended while the call ran, and the tool is gone"),
    }
}

/// What becomes of a call that never began.
fn not_begun(state: &SessionState, place: Place) -> Fate {
    let ordinal = state.ordinal_at(place);
    match ordinal.and_then(|ordinal| state.due(ordinal)) {
        Some(Due::Answer(outcome)) => Fate::Answer(outcome),
        _ if ordinal.is_some_and(|ordinal| state.needs_approval(ordinal)) => Fate::Ask,
        _ => Fate::Run,
    }
}

impl fmt::Display for Fate {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Reuse => f.write_str("has ended: its result is used"),
            Self::Run => f.write_str("never began: runs"),
            Self::Ask => f.write_str("waits for approval: is asked about"),
            Self::RunAgain => f.write_str("had begun: runs again under the same key"),
            Self::Answer(outcome) => {
                let message = outcome.problem.as_ref().map_or("", |problem| &problem.message);
                write!(f, "is answered {}: {message}", outcome.kind.as_str())
            }
        }
    }
}

/// How much of their time limits a turn that was cut has used: the process being down does not
/// count, nor does a wait for a person.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct TimeUsed {
    /// Of the turn's.
    pub turn: Duration,
    /// Of that of the round under way, if its time has begun.
    pub round: Option<Duration>,
    /// How long the turn has taken, waits for a person included.
    pub elapsed: Duration,
}

impl TimeUsed {
    /// By the last turn in `records`.
    #[must_use]
    pub fn of(records: &[Record]) -> Self {
        let (mut used, mut last_at_us) = (Self::default(), 0);
        let mut waiting: Vec<Place> = Vec::new();
        for Record { at_us, event, .. } in records {
            let passed = Duration::from_micros(at_us.saturating_sub(last_at_us));
            last_at_us = *at_us;
            if !matches!(event, Event::TurnResumed { .. }) {
                used.elapsed += passed;
                if waiting.is_empty() {
                    used.turn += passed;
                    used.round = used.round.map(|round| round + passed);
                }
            }
            match event {
                Event::TurnStarted { .. } => (used, waiting) = Default::default(),
                Event::TurnResumed { .. } => waiting.clear(),
                Event::ModelAsked { attempt: 1, .. } => used.round = None,
                // As long as the reply is awaited, its early calls have the time of the turn.
                Event::Replied { calls, .. } if calls.iter().any(|call| call.begun.is_some()) => {
                    used.round = Some(Duration::ZERO);
                }
                Event::CallStarted { arguments: None, .. } => {
                    used.round = used.round.or(Some(Duration::ZERO));
                }
                Event::ApprovalAsked { reply_attempt, ordinal, .. } => {
                    waiting.push(Place { reply_attempt: *reply_attempt, ordinal: *ordinal });
                }
                Event::ApprovalDecided { reply_attempt, ordinal, .. }
                | Event::CallEnded { reply_attempt, ordinal, .. } => {
                    let place = Place { reply_attempt: *reply_attempt, ordinal: *ordinal };
                    waiting.retain(|waiting| *waiting != place);
                }
                _ => {}
            }
        }
        used
    }
}

#[cfg(test)]
mod tests;
