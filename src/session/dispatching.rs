//! The tools' part of a turn: calls are recorded, handed to their workers, and gathered.

use std::sync::Arc;

use tokio::time::Instant;

use super::clock::micros;
use super::coordinator::Coordinator;
use super::flight::InFlight;
use crate::conversation::{CallKey, CallTimes, Event, Expired, Outcome, OutcomeKind, Record};
use crate::sabotage::{self, Sabotage};
use crate::telemetry;
use crate::tools::later;
use crate::tools::{CallContext, Completion, Ended, Facts, Order, RunCall, Spent};

impl Coordinator {
    /// The beginnings of the unanswered ones among `calls`.
    pub(super) fn beginnings(&self, calls: std::ops::Range<u32>) -> impl Iterator<Item = Event> {
        let round = self.state.rounds();
        let asked = self.state.calls();
        calls.filter_map(move |ordinal| {
            let call = asked?.get(ordinal as usize)?;
            let (id, tool) = (Arc::clone(&call.id), Arc::clone(&call.tool));
            self.state.is_unanswered(ordinal).then_some(Event::CallStarted {
                round,
                ordinal,
                id,
                tool,
            })
        })
    }

    /// Hands the calls, whose beginnings `records` tell of and the journal has, to their workers.
    pub(super) fn dispatch(&mut self, records: &[Record]) {
        let ordinals = records.iter().filter_map(|record| match &record.event {
            Event::CallStarted { ordinal, .. } => Some(*ordinal),
            _ => None,
        });
        if ordinals.clone().next().is_none() {
            return;
        }
        let Some(calls) = self.state.calls().map(Arc::clone) else {
            return;
        };
        let Some(mut turn) = self.turn.take() else {
            return;
        };
        let now = Instant::now();
        let limits = &self.options.limits;
        let round_deadline = *turn
            .round_deadline
            .get_or_insert_with(|| later(now, limits.round_time_limit).min(turn.deadline));
        let round_expires =
            if round_deadline == turn.deadline { Expired::Turn } else { Expired::Round };
        let (call_time_limit, round) = (limits.call_time_limit, self.state.rounds());
        let watcher = (!self.subscribers.is_empty()).then(|| turn.watcher());
        turn.flight.reserve(records.len());
        for ordinal in ordinals {
            if turn.cancelled_calls.contains(&ordinal) {
                continue; // Before it could begin.
            }
            let call = &calls[ordinal as usize];
            let Some(index) = self.options.tools.index_of(&call.tool) else {
                continue;
            };
            let Some(tool) = self.options.tools.at(index).map(Arc::clone) else {
                continue;
            };
            let deadline = later(now, tool.declared_time_limit().unwrap_or(call_time_limit));
            let (deadline, expires) = match deadline < round_deadline {
                true => (deadline, Expired::Call),
                false => (round_deadline, round_expires),
            };
            let (session, attempt) = (self.id.clone(), turn.attempt);
            let context = CallContext::new(Facts {
                key: CallKey { session, round, attempt, ordinal },
                attempt: 1,
                deadline,
                typed: turn.typed.clone(),
                watcher: watcher.clone(),
            });
            let order = Order {
                context: context.clone(),
                arguments: Arc::clone(&call.arguments),
                expires,
                dispatched: now,
            };
            let span = telemetry::call(&turn.round_span, &call.id, &call.tool);
            let completer = turn.flight.begin(ordinal, tool.declared_effects(), now, context);
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
        for Completion { place, ended } in landed {
            let call = turn.flight.call(place);
            let Some(call) = call.filter(|call| self.state.is_unanswered(call.ordinal)) else {
                continue;
            };
            let InFlight { ordinal, effects, dispatched, .. } = *call;
            let (outcome, times) = match ended {
                Some(Ended { outcome, spent }) => (outcome, self.call_times(dispatched, spent)),
                None => {
                    let message = "the worker was lost with the call";
                    let (kind, began) = (OutcomeKind::Panicked, call.context.began());
                    let outcome = Outcome::broken_off(kind, message, effects, began.is_some());
                    (outcome, self.times_until_now(call))
                }
            };
            gives_siblings_up |= sabotage::is(Sabotage::SiblingsCancelled)
                && matches!(outcome.kind, OutcomeKind::Panicked | OutcomeKind::ToolError);
            draft.push(self.call_ended(ordinal, outcome, times));
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
        self.call_times(call.dispatched, spent)
    }

    fn call_times(&self, dispatched: Instant, spent: Spent) -> CallTimes {
        let Spent { waits, ran, attempts, generation } = spent;
        CallTimes {
            dispatched_at_us: self.clock.micros_at(dispatched),
            queued_us: micros(waits.queued),
            startup_us: micros(waits.startup),
            backoff_us: micros(waits.backoff),
            waited_us: 0,
            ran_us: micros(ran),
            attempts,
            worker_generation: generation,
        }
    }

    pub(super) fn call_ended(&self, ordinal: u32, outcome: Outcome, times: CallTimes) -> Event {
        let call = self.state.calls().and_then(|calls| calls.get(ordinal as usize));
        let (id, tool) =
            call.map(|call| (Arc::clone(&call.id), Arc::clone(&call.tool))).unwrap_or_default();
        Event::CallEnded { round: self.state.rounds(), ordinal, id, tool, outcome, times }
    }
}
