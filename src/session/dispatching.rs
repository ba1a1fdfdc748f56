//! The tools' part of a turn: calls are recorded, handed to their workers, and gathered.

use std::sync::Arc;

use tokio::time::Instant;

use super::clock::micros;
use super::coordinator::Coordinator;
use super::flight::{InFlight, Part};
use crate::conversation::{
    CallKey, CallTimes, Catalogue, Effects, Event, Expired, Outcome, OutcomeKind, Place, Record,
    Reused, SessionId,
};
use crate::sabotage::{self, Sabotage};
use crate::telemetry;
use crate::tools::{
    CacheKey, CacheScope, Caching, CallContext, Completion, Ended, Facts, Order, RunCall, Spent,
    ToolType, TypedContext, later,
};

impl Coordinator {
    /// The beginning of the call `ordinal` of the round under way.
    pub(super) fn beginning(&self, ordinal: u32) -> Option<Event> {
        let (place, round) = (self.state.place_of(ordinal)?, self.state.rounds());
        let (id, tool) = self.state.call_at(place)?;
        let Place { reply_attempt, ordinal } = place;
        let tools = self.options.with_reader(&self.tools, &self.state);
        let once = tools.effects(tool) == Effects::Once;
        let (id, tool, arguments) = (Arc::clone(id), Arc::clone(tool), None);
        Some(Event::CallStarted { round, reply_attempt, ordinal, id, tool, arguments, once })
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
        let watcher = self.subscribers.hear_passing().then(|| turn.watcher());
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
            let is_shared = tool.limits().single_flight;
            let part = is_shared.then(|| turn.flight.part(tool.name(), arguments)).flatten();
            let deadline = match &part {
                Some(Part::Follows(_, last)) => deadline.min(*last),
                _ => deadline,
            };
            let Place { reply_attempt: attempt, ordinal } = place;
            let key = CallKey { session: self.id.clone(), round, attempt, ordinal };
            let (typed, watcher) = (turn.typed.clone(), watcher.clone());
            let own = self.subscribers.observers().trace_parent(&key).map(Arc::new);
            let trace_parent = own.or_else(|| turn.trace_parent.clone());
            let facts = Facts { key, attempt: 1, deadline, typed, trace_parent, watcher };
            let context = CallContext::new(facts);
            turn.ring_at(deadline);
            let effects = tool.declared_effects();
            let cached_as = cache_key(&self.id, &self.options.typed, &turn.typed, &tool, arguments);
            let cached = || tool.shared().cached(cached_as.as_ref()?, now);
            let known = match &part {
                Some(Part::Follows(run, _)) => {
                    turn.flight.follow(run.clone(), effects, now, context);
                    continue;
                }
                Some(Part::Has(ended)) => Some((Reused::Shared, ended.for_another(now, now))),
                Some(Part::Leads(_)) | None => {
                    cached().map(|outcome| (Reused::Cached, Ended::at_once(outcome)))
                }
            };
            let completer = turn.flight.begin(effects, now, context.clone());
            if let (Some((reused, ended)), Some(call)) = (known, turn.flight.last_mut()) {
                call.reused = Some(reused);
                completer.complete(ended);
                continue;
            }
            if let Some(Part::Leads(run)) = part {
                turn.flight.lead(run, arguments);
            }
            if let (Some(key), Some(call)) = (cached_as, turn.flight.last_mut()) {
                call.cached_as = Some(Box::new((Arc::clone(&tool), key)));
            }
            let order =
                Order { context, arguments: Arc::clone(arguments), expires, dispatched: now };
            let span = telemetry::call(&turn.round_span, id, tool.name());
            let worker = self.crew.worker(index, &tool, &self.seat);
            worker.do_send(RunCall { order, completer, span });
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
                    if let Some(cached_as) = &call.cached_as {
                        keep(cached_as, &outcome);
                    }
                    let times = self.call_times(place, dispatched, spent);
                    (outcome, CallTimes { reused: call.reused, ..times })
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
            reused: None,
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

/// Where the result of a call of `tool` is kept, if it is. What one tenant was told is not told to
/// another: `typed` is what goes with the call, and `of_session` what goes with all of the session.
fn cache_key(
    session: &SessionId,
    of_session: &Option<TypedContext>,
    typed: &Option<TypedContext>,
    tool: &ToolType,
    arguments: &Arc<str>,
) -> Option<CacheKey> {
    let is_of_session = match (typed, of_session) {
        (None, _) => true,
        (Some(typed), Some(of_session)) => Arc::ptr_eq(typed, of_session),
        (Some(_), None) => false,
    };
    let session = match tool.limits().caching?.scope {
        CacheScope::Session => Some(session.clone()).filter(|_| is_of_session)?,
        CacheScope::Process if typed.is_none() => return Some(CacheKey::new(None, arguments)),
        CacheScope::Process => return None,
    };
    Some(CacheKey::new(Some(session), arguments))
}

/// Keeps the result of a call that ended well. One of which the store has the rest is its session's.
fn keep((tool, key): &(Arc<ToolType>, CacheKey), outcome: &Outcome) {
    let Some(Caching { lifetime, scope }) = tool.limits().caching else { return };
    if outcome.is_ok() && (scope == CacheScope::Session || outcome.stored.is_none()) {
        tool.shared().cache(key.clone(), outcome.clone(), lifetime, Instant::now());
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
