//! The tools' part of a turn: calls are recorded, handed to their workers, and gathered.

use std::sync::Arc;

use tokio::time::Instant;

use super::clock::micros;
use super::coordinator::Coordinator;
use super::flight::InFlight;
use crate::conversation::{
    CallKey, CallTimes, Event, Expired, Outcome, OutcomeKind, Place, Record,
};
use crate::sabotage::{self, Sabotage};
use crate::telemetry;
use crate::tools::later;
use crate::tools::{CallContext, Completion, Ended, Facts, Order, RunCall, Spent};

impl Coordinator {
    /// The beginning of the call `ordinal` of the round under way.
    pub(super) fn beginning(&self, ordinal: u32) -> Option<Event> {
        let (place, round) = (self.state.place_of(ordinal)?, self.state.rounds());
        let (id, tool) = self.state.call_at(place)?;
        let Place { reply_attempt, ordinal } = place;
        let (id, tool, arguments) = (Arc::clone(id), Arc::clone(tool), None);
        Some(Event::CallStarted { round, reply_attempt, ordinal, id, tool, arguments })
    }

    /// Hands the calls, whose beginnings `records` tell of and the journal has, to their workers.
    pub(super) fn dispatch(&mut self, records: &[Record]) {
        let starts = records.iter().filter_map(|record| Start::of(&record.event));
        if starts.clone().next().is_none() {
            return;
        }
        let calls = self.state.calls().map(Arc::clone).unwrap_or_default();
        let Some(mut turn) = self.turn.take() else {
            return;
        };
        let now = Instant::now();
        let limits = &self.options.limits;
        let (call_time_limit, round) = (limits.call_time_limit, self.state.round_number());
        let watcher = (!self.subscribers.is_empty()).then(|| turn.watcher());
        turn.flight.reserve(records.len());
        let tools = Arc::clone(self.options.with_reader(&self.tools, &self.state));
        for Start { place, id, tool, arguments: early } in starts {
            if turn.cancelled_calls.contains(&place) {
                continue; // Before it could begin.
            }
            let Some(index) = tools.index_of(tool) else {
                continue;
            };
            let Some(tool) = tools.at(index).map(Arc::clone) else {
                continue;
            };
            let asked = || {
                if let Some(edited) = self.state.edited(place) {
                    return Some(edited);
                }
                let ordinal = self.state.ordinal_at(place)?;
                calls.get(ordinal as usize).map(|call| &call.arguments)
            };
            let Some(arguments) = early.or_else(asked) else {
                continue;
            };
            // The round's time begins with the first call that its finished reply asks for.
            let (last, last_expires) = match early {
                Some(_) => (turn.deadline, Expired::Turn),
                None => turn.round_end(now, limits.round_time_limit),
            };
            let deadline = later(now, tool.declared_time_limit().unwrap_or(call_time_limit));
            // While a person is awaited nobody knows when the round's time is over: it is seen to then.
            let (deadline, expires) = match deadline < last || turn.stands_still() {
                true => (deadline, Expired::Call),
                false => (last, last_expires),
            };
            let Place { reply_attempt: attempt, ordinal } = place;
            let key = CallKey { session: self.id.clone(), round, attempt, ordinal };
            let (typed, watcher) = (turn.typed.clone(), watcher.clone());
            let context = CallContext::new(Facts { key, attempt: 1, deadline, typed, watcher });
            let order = Order {
                context: context.clone(),
                arguments: Arc::clone(arguments),
                expires,
                dispatched: now,
            };
            let span = telemetry::call(&turn.round_span, id, tool.name());
            let completer = turn.flight.begin(tool.declared_effects(), now, context);
            let worker = self.crew.worker(index, &tool, &self.seat);
            worker.do_send(RunCall { order, completer, span });
            turn.ring_at(deadline);
        }
        self.turn = Some(turn);
    }

    pub(super) fn on_landed(&mut self, landed: Vec<Completion>) {
        let Some(turn) = &self.turn else { return };
        let mut draft = self.draft(landed.len() + 1); // And what they lead to.
        let mut gives_siblings_up = false;
        for Completion { place: index, ended } in landed {
            let call = turn.flight.call(index);
            let Some(call) = call.filter(|call| self.state.is_unanswered(call.place())) else {
                continue;
            };
            let (place, effects, dispatched) = (call.place(), call.effects, call.dispatched);
            let (outcome, times) = match ended {
                Some(Ended { outcome, spent }) => {
                    (outcome, self.call_times(place, dispatched, spent))
                }
                None => {
                    let message = "the worker was lost with the call";
                    let (kind, began) = (OutcomeKind::Panicked, call.context.began());
                    let outcome = Outcome::broken_off(kind, message, effects, began.is_some());
                    (outcome, self.times_until_now(call))
                }
            };
            gives_siblings_up |= sabotage::is(Sabotage::SiblingsCancelled)
                && matches!(outcome.kind, OutcomeKind::Panicked | OutcomeKind::ToolError);
            draft.push(self.call_ended(place, outcome, times));
        }
        if let Some(turn) = self.turn.as_mut().filter(|_| gives_siblings_up) {
            turn.flight.stop();
            turn.ring_again();
        }
        self.record_draft(draft);
    }

    /// The times of a call that was given up.
    pub(super) fn times_until_now(&self, call: &InFlight) -> CallTimes {
        let spent = call.context.spent(call.dispatched, Instant::now());
        self.call_times(call.place(), call.dispatched, spent)
    }

    fn call_times(&self, place: Place, dispatched: Instant, spent: Spent) -> CallTimes {
        let Spent { waits, ran, attempts, generation } = spent;
        let asked = self.turn.as_ref().and_then(|turn| turn.approvals.as_ref()?.since(place));
        let since = asked.unwrap_or(dispatched);
        CallTimes {
            dispatched_at_us: self.clock.micros_at(since),
            queued_us: micros(waits.queued),
            startup_us: micros(waits.startup),
            backoff_us: micros(waits.backoff),
            waited_us: micros(dispatched.saturating_duration_since(since)),
            ran_us: micros(ran),
            attempts,
            worker_generation: generation,
        }
    }

    pub(super) fn call_ended(&self, place: Place, outcome: Outcome, times: CallTimes) -> Event {
        let call = self.state.call_at(place);
        let (id, tool) =
            call.map(|(id, tool)| (Arc::clone(id), Arc::clone(tool))).unwrap_or_default();
        let outcome = self.state.with_edit(place, outcome);
        let (round, Place { reply_attempt, ordinal }) = (self.state.round_number(), place);
        let outcome = self.state.noted(place, outcome);
        Event::CallEnded { round, reply_attempt, ordinal, id, tool, outcome, times }
    }
}

/// A call that is to be handed to its worker.
#[derive(Clone)]
struct Start<'a> {
    place: Place,
    id: &'a Arc<str>,
    tool: &'a Arc<str>,
    /// Of one that begins early.
    arguments: Option<&'a Arc<str>>,
}

impl<'a> Start<'a> {
    fn of(event: &'a Event) -> Option<Self> {
        match event {
            Event::CallStarted { reply_attempt, ordinal, id, tool, arguments, .. } => {
                let place = Place { reply_attempt: *reply_attempt, ordinal: *ordinal };
                Some(Self { place, id, tool, arguments: arguments.as_ref() })
            }
            _ => None,
        }
    }
}
