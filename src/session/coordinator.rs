//! The coordinator holds one conversation. It records each event, shows it to the session's state,
//! and carries out the action that comes back; it decides nothing itself.

use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context as TaskContext, Poll, ready};
use std::time::Duration;

use actix::fut::ActorFuture;
use actix::{Actor, Addr, AsyncContext, Context, Handler, Message, MessageResult, Recipient};
use tokio::sync::oneshot;
use tokio::time::{Instant, Sleep, sleep_until};
use tracing::{Span, info_span};

use super::clock::micros;
use super::flight::{Flight, InFlight, Landed};
use super::subscribers::{Subscriber, Subscribers};
use super::{Answer, Cause, Clock, Error, FailedTurn, SessionOptions, Status, TurnReport};
use crate::conversation::{
    Action, CallKey, CallTimes, Catalogue, Effects, Event, Expired, Outcome, OutcomeKind, Record,
    SessionId, SessionState, TurnEnd, VERSION, plan, timed_out,
};
use crate::model::{self, Events, Request};
use crate::store::{self, Journal, Pending};
use crate::supervision::{self, RoundReported, Rounds, Supervisor, WorkerRestarting, spawn_worker};
use crate::tools::{CallProgressed, Order, RunCall, ToolType, ToolWorker, TypedContext};
use crate::wire::{Reply, Usage};

/// How long after its deadline a call is given up that its worker did not answer. Its guard should
/// have; a worker that rests after a failure cannot.
const GRACE: Duration = Duration::from_millis(5);

/// The shortest [`Coordinator::heartbeat`]. A call that may take less sets the timer itself.
const MIN_HEARTBEAT: Duration = Duration::from_secs(1);

/// Begins a turn.
#[derive(Message)]
#[rtype(result = "()")]
pub(super) struct Ask {
    pub prompt: Arc<str>,
    pub typed: Option<TypedContext>,
    pub reply: oneshot::Sender<Result<Answer, Error>>,
}

/// Ends the turn that is under way. The answer says whether there was one.
#[derive(Message)]
#[rtype(result = "bool")]
pub(super) struct Cancel;

/// Asks what the session is doing.
#[derive(Message)]
#[rtype(result = "Status")]
pub(super) struct GetStatus;

/// Asks for the events from now on.
#[derive(Message)]
#[rtype(result = "()")]
pub(super) struct Subscribe(pub Subscriber);

/// Asks for the account of every round from now on.
#[derive(Message)]
#[rtype(result = "()")]
pub(super) struct Listen(pub Recipient<RoundReported>);

/// Holds one conversation and runs its turns, one at a time.
pub(super) struct Coordinator {
    id: SessionId,
    options: SessionOptions,
    journal: Arc<dyn Journal>,
    clock: Clock,
    epoch: u64,
    seq: u64,
    state: SessionState,
    supervisor: Option<Addr<Supervisor>>,
    /// By the place of the tool in the set; empty until the tool's first call.
    workers: Vec<Option<Addr<ToolWorker>>>,
    subscribers: Subscribers,
    turn: Option<Turn>,
    /// How often a turn looks whether a call is overdue: no rarer than the shortest time limit of
    /// a tool, so that a round need not set a timer of its own.
    heartbeat: Duration,
    /// Set when the store refuses this owner.
    lost: Option<store::Error>,
}

/// What a turn holds besides the session's state: the work that is under way.
struct Turn {
    reply: oneshot::Sender<Result<Answer, Error>>,
    span: Span,
    typed: Option<TypedContext>,
    began: Instant,
    deadline: Instant,
    round_deadline: Option<Instant>,
    timer: Pin<Box<Sleep>>,
    model: Option<Events>,
    first_token: Option<Instant>,
    attempt: u32,
    flight: Flight,
    append: Option<Append>,
    cancelled: bool,
    cause: Option<Cause>,
    end: Option<TurnEnd>,
    answer: Option<(Arc<str>, String)>,
    model_name: Option<String>,
    usage: Usage,
    rounds: Rounds,
    /// Events that the report has not taken in yet: it does while the model is busy.
    unreported: Vec<Arc<[Record]>>,
}

/// Events on their way into the journal.
struct Append {
    pending: Pending<Result<(), store::Error>>,
    records: Arc<[Record]>,
}

impl Coordinator {
    pub fn new(
        id: SessionId,
        options: SessionOptions,
        journal: Arc<dyn Journal>,
        clock: Clock,
    ) -> Self {
        let limits = options.tools.iter().filter_map(|tool| tool.declared_time_limit());
        let shortest = limits.min().unwrap_or(options.limits.call_time_limit);
        Self {
            id,
            heartbeat: shortest.min(options.limits.call_time_limit).max(MIN_HEARTBEAT),
            state: SessionState::new(options.limits.max_rounds),
            workers: Vec::new(),
            options,
            journal,
            clock,
            epoch: 0,
            seq: 0,
            supervisor: None,
            subscribers: Subscribers::default(),
            turn: None,
            lost: None,
        }
    }
}

impl Actor for Coordinator {
    type Context = Context<Self>;

    fn started(&mut self, ctx: &mut Context<Self>) {
        ctx.set_mailbox_capacity(0);
        ctx.wait(Opening::Epoch(self.journal.open(&self.id)));
    }

    fn stopped(&mut self, _: &mut Context<Self>) {
        self.journal.close(&self.id, self.epoch);
    }
}

impl Handler<Ask> for Coordinator {
    type Result = ();

    fn handle(&mut self, Ask { prompt, typed, reply }: Ask, ctx: &mut Context<Self>) {
        if let Some(error) = &self.lost {
            drop(reply.send(Err(Error::Store(error.clone()))));
            return;
        }
        if self.turn.is_some() {
            drop(reply.send(Err(Error::Busy)));
            return;
        }
        let turn = self.state.turns() + 1;
        let typed = typed.or_else(|| self.options.typed.clone());
        let span = info_span!("turn", session = %self.id, turn);
        self.turn = Some(Turn::new(
            reply,
            span,
            typed,
            self.options.limits.turn_time_limit,
            self.heartbeat,
        ));
        self.record(vec![Event::TurnStarted { turn, prompt }]);
        ctx.spawn(Drive);
    }
}

impl Handler<Cancel> for Coordinator {
    type Result = bool;

    fn handle(&mut self, _: Cancel, _: &mut Context<Self>) -> bool {
        // `Drive` is polled after the mailbox and acts on it.
        self.turn.as_mut().is_some_and(|turn| {
            turn.cancelled = true;
            true
        })
    }
}

impl Handler<GetStatus> for Coordinator {
    type Result = MessageResult<GetStatus>;

    fn handle(&mut self, _: GetStatus, _: &mut Context<Self>) -> Self::Result {
        MessageResult(Status {
            busy: self.turn.is_some(),
            turns: self.state.turns(),
            rounds: self.state.rounds(),
            calls_in_flight: self.turn.as_ref().map_or(0, |turn| turn.flight.awaited().count()),
        })
    }
}

impl Handler<Subscribe> for Coordinator {
    type Result = ();

    fn handle(&mut self, Subscribe(subscriber): Subscribe, _: &mut Context<Self>) {
        self.subscribers.add(subscriber);
    }
}

impl Handler<Listen> for Coordinator {
    type Result = ();

    fn handle(&mut self, Listen(recipient): Listen, ctx: &mut Context<Self>) {
        self.supervisor(ctx).do_send(supervision::Listen(recipient));
    }
}

impl Handler<CallProgressed> for Coordinator {
    type Result = ();

    fn handle(&mut self, CallProgressed { key, message }: CallProgressed, _: &mut Context<Self>) {
        let CallKey { round, ordinal, .. } = key;
        if round == self.state.rounds() && self.state.is_unanswered(ordinal) {
            self.tell(Event::CallProgressed { round, ordinal, message });
        }
    }
}

impl Handler<WorkerRestarting> for Coordinator {
    type Result = ();

    fn handle(&mut self, news: WorkerRestarting, _: &mut Context<Self>) {
        let WorkerRestarting { tool, generation, cause, backoff } = news;
        let backoff_us = micros(backoff);
        let event = Event::WorkerRestarted { tool, generation, cause, backoff_us };
        match &mut self.turn {
            // News, not a step of the turn: nothing waits for it to be kept.
            Some(turn) if turn.append.is_none() => self.record(vec![event]),
            _ => self.tell(event),
        }
    }
}

/// Takes the session over from whoever held it, and rebuilds what it was.
enum Opening {
    Epoch(Pending<Result<u64, store::Error>>),
    Reading(Pending<Result<Vec<Record>, store::Error>>),
    Writing(Pending<Result<(), store::Error>>),
}

impl ActorFuture<Coordinator> for Opening {
    type Output = ();

    fn poll(
        mut self: Pin<&mut Self>,
        this: &mut Coordinator,
        _: &mut Context<Coordinator>,
        cx: &mut TaskContext<'_>,
    ) -> Poll<()> {
        loop {
            match &mut *self {
                Self::Epoch(pending) => match ready!(Pin::new(pending).poll(cx)) {
                    Ok(epoch) => {
                        this.epoch = epoch;
                        *self = Self::Reading(this.journal.read(&this.id, 0));
                    }
                    Err(error) => return this.give_up_session(error),
                },
                Self::Reading(pending) => match ready!(Pin::new(pending).poll(cx)) {
                    Ok(records) => {
                        let events = this.rebuild(&records);
                        if events.is_empty() {
                            return Poll::Ready(());
                        }
                        *self = Self::Writing(this.write(events).0);
                    }
                    Err(error) => return this.give_up_session(error),
                },
                Self::Writing(pending) => {
                    this.lost = ready!(Pin::new(pending).poll(cx)).err();
                    return Poll::Ready(());
                }
            }
        }
    }
}

/// Keeps the turn going: the one future that gathers the model's events, the calls' results and
/// the deadlines.
struct Drive;

impl ActorFuture<Coordinator> for Drive {
    type Output = ();

    fn poll(
        self: Pin<&mut Self>,
        this: &mut Coordinator,
        ctx: &mut Context<Coordinator>,
        cx: &mut TaskContext<'_>,
    ) -> Poll<()> {
        let Some(turn) = &this.turn else {
            return Poll::Ready(());
        };
        let _entered = turn.span.clone().entered();
        this.drive(ctx, cx)
    }
}

impl Turn {
    fn new(
        reply: oneshot::Sender<Result<Answer, Error>>,
        span: Span,
        typed: Option<TypedContext>,
        time_limit: Duration,
        heartbeat: Duration,
    ) -> Self {
        let began = Instant::now();
        let deadline = began + time_limit;
        Self {
            reply,
            span,
            typed,
            began,
            deadline,
            round_deadline: None,
            timer: Box::pin(sleep_until(deadline.min(began + heartbeat))),
            model: None,
            first_token: None,
            attempt: 1,
            flight: Flight::default(),
            append: None,
            cancelled: false,
            cause: None,
            end: None,
            answer: None,
            model_name: None,
            usage: Usage::default(),
            rounds: Rounds::default(),
            unreported: Vec::new(),
        }
    }

    /// Has the timer ring at `deadline` at the latest. It may ring early: the one who hears it
    /// looks what is due.
    fn ring_at(&mut self, deadline: Instant) {
        if deadline < self.timer.deadline() {
            self.timer.as_mut().reset(deadline);
        }
    }
}

impl Coordinator {
    /// Goes on until everything waits, or the turn has ended.
    fn drive(&mut self, ctx: &mut Context<Self>, cx: &mut TaskContext<'_>) -> Poll<()> {
        loop {
            let Some(turn) = &mut self.turn else {
                return Poll::Ready(());
            };
            if let Some(append) = &mut turn.append {
                let Poll::Ready(kept) = Pin::new(&mut append.pending).poll(cx) else {
                    break;
                };
                let Some(Append { records, .. }) = turn.append.take() else { continue };
                match kept {
                    Ok(()) => self.apply(records, ctx),
                    Err(error) => self.lose(error),
                }
                continue;
            }
            if turn.end.is_some() {
                self.finish();
                return Poll::Ready(());
            }
            if std::mem::take(&mut turn.cancelled) {
                self.break_off(Cause::Cancelled);
                continue;
            }
            if turn.timer.as_mut().poll(cx).is_ready() {
                self.expire();
                continue;
            }
            if let Some(events) = &mut turn.model {
                match events.as_mut().poll_next(cx) {
                    Poll::Ready(event) => {
                        self.on_model(event);
                        continue;
                    }
                    Poll::Pending => break,
                }
            }
            let landed = turn.flight.poll_landed(cx);
            if landed.is_empty() {
                break;
            }
            self.on_landed(landed);
        }
        // Everything waits: nobody is delayed by this.
        self.report();
        self.supervisor(ctx);
        Poll::Pending
    }

    /// Appends `events` to the journal; they take effect once it has them.
    fn record(&mut self, events: Vec<Event>) {
        if events.is_empty() {
            return;
        }
        let (pending, records) = self.write(events);
        if let Some(turn) = &mut self.turn {
            turn.append = Some(Append { pending, records });
        }
    }

    fn write(&mut self, events: Vec<Event>) -> (Pending<Result<(), store::Error>>, Arc<[Record]>) {
        let (at_us, expected) = (self.clock.micros_at(Instant::now()), self.seq);
        let (session, v) = (&self.id, VERSION);
        let stamp = |(seq, event)| Record { v, seq, at_us, session: session.clone(), event };
        let records: Arc<[Record]> = (expected + 1..).zip(events).map(stamp).collect();
        self.seq += records.len() as u64;
        let pending = self.journal.append(&self.id, expected, self.epoch, Arc::clone(&records));
        (pending, records)
    }

    /// Tells subscribers of something that is not kept.
    fn tell(&mut self, event: Event) {
        if !self.subscribers.is_empty() {
            let at_us = self.clock.micros_at(Instant::now());
            let (v, seq, session) = (VERSION, self.seq, self.id.clone());
            self.subscribers.tell(Record { v, seq, at_us, session, event });
        }
    }

    /// Shows `records`, which the journal has, to the state, and carries out what they ask for. Of
    /// several wishes the last one counts: it knows all events.
    fn apply(&mut self, records: Arc<[Record]>, ctx: &mut Context<Self>) {
        let mut wish = Action::Wait;
        let (mut asked, mut started, mut ended) = (false, Vec::new(), None);
        for record in records.iter() {
            match self.state.on(&record.event) {
                Action::Wait => {}
                action => wish = action,
            }
            match &record.event {
                Event::ModelAsked { .. } => asked = true,
                Event::CallStarted { ordinal, .. } => started.push(*ordinal),
                Event::TurnEnded { end, .. } => ended = Some(end.clone()),
                _ => {}
            }
            if !self.subscribers.is_empty() {
                self.subscribers.tell(record.clone());
            }
        }
        if let Some(turn) = &mut self.turn {
            turn.unreported.push(records);
            turn.end = ended;
            if turn.end.is_some() {
                return; // Whatever the calls' ends would have led to.
            }
        }
        if asked {
            self.ask_model();
        }
        self.dispatch(&started, ctx);
        match wish {
            Action::Wait => {}
            Action::AskModel { round, attempt } => {
                if let Some(turn) = &mut self.turn {
                    turn.attempt = attempt;
                    turn.round_deadline = None;
                }
                self.record(vec![Event::ModelAsked { round, attempt }]);
            }
            Action::RunCalls(calls) => self.start_calls(calls),
            Action::EndTurn(end) => self.end_turn(end),
        }
    }

    fn ask_model(&mut self) {
        let Some(turn) = &mut self.turn else { return };
        let (messages, tools) = (self.state.transcript(), &self.options.tools);
        let request = Request { messages: messages.as_bytes(), tools: tools.on_the_wire() };
        turn.first_token = None;
        turn.model = Some(self.options.model.ask(request));
    }

    fn on_model(&mut self, event: Option<Result<model::Event, model::Error>>) {
        let Some(turn) = &mut self.turn else { return };
        match event {
            Some(Ok(model::Event::Began)) => turn.first_token = Some(Instant::now()),
            Some(Ok(model::Event::Text(text))) => self.tell(Event::TextStreamed { text }),
            Some(Ok(model::Event::Reasoning(text))) => self.tell(Event::ReasoningStreamed { text }),
            Some(Ok(model::Event::Reply(reply))) => {
                turn.model = None;
                self.on_reply(*reply);
            }
            Some(Err(error)) => self.break_off(Cause::Model(error)),
            None => {
                let (url, reason) = (self.options.model.name(), "it ended without a reply");
                let error = model::Error::Cut { url: url.into(), reason: reason.into() };
                self.break_off(Cause::Model(error));
            }
        }
    }

    fn on_reply(&mut self, reply: Reply) {
        let Some(turn) = &mut self.turn else { return };
        let mut message = Vec::new();
        reply.write_message(&mut message);
        let message = String::from_utf8(message).expect("JSON is written as UTF-8");
        let limits = &self.options.limits;
        let catalogue: &dyn Catalogue = &*self.options.tools;
        let calls = plan(reply.calls, catalogue, limits, self.state.rounds_left());
        let text: Arc<str> = reply.text.into();
        turn.usage += reply.usage.unwrap_or_default();
        if let Some(model) = &reply.model {
            turn.model_name = Some(model.clone());
        }
        if calls.is_empty() {
            turn.answer = Some((Arc::clone(&text), reply.finish.as_str().to_owned()));
        }
        let event = Event::Replied {
            round: self.state.rounds() + 1,
            attempt: turn.attempt,
            message: message.into(),
            text,
            calls,
            mode: limits.mode,
            finish: reply.finish.as_str().to_owned(),
            model: reply.model,
            usage: reply.usage,
            first_token_at_us: turn.first_token.map(|at| self.clock.micros_at(at)),
        };
        self.record(vec![event]);
    }

    /// Records that the unanswered ones among `calls` begin.
    fn start_calls(&mut self, calls: std::ops::Range<u32>) {
        let round = self.state.rounds();
        let Some(asked) = self.state.calls() else {
            return;
        };
        let begin = |ordinal: u32| {
            let call = asked.get(ordinal as usize)?;
            let (id, tool) = (Arc::clone(&call.id), Arc::clone(&call.tool));
            self.state.is_unanswered(ordinal).then_some(Event::CallStarted {
                round,
                ordinal,
                id,
                tool,
            })
        };
        let events = calls.filter_map(begin).collect();
        self.record(events);
    }

    /// Hands the calls, whose beginning the journal has, to their workers.
    fn dispatch(&mut self, ordinals: &[u32], ctx: &mut Context<Self>) {
        if ordinals.is_empty() {
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
            .get_or_insert_with(|| (now + limits.round_time_limit).min(turn.deadline));
        let round_expires =
            if round_deadline == turn.deadline { Expired::Turn } else { Expired::Round };
        let (call_time_limit, round) = (limits.call_time_limit, self.state.rounds());
        let listening = !self.subscribers.is_empty();
        for ordinal in ordinals.iter().copied() {
            let call = &calls[ordinal as usize];
            let Some(index) = self.options.tools.index_of(&call.tool) else {
                continue;
            };
            let Some(tool) = self.options.tools.at(index).map(Arc::clone) else {
                continue;
            };
            let deadline = now + tool.declared_time_limit().unwrap_or(call_time_limit);
            let (deadline, expires) = match deadline < round_deadline {
                true => (deadline, Expired::Call),
                false => (round_deadline, round_expires),
            };
            let (session, attempt) = (self.id.clone(), turn.attempt);
            let order = Order {
                key: CallKey { session, round, attempt, ordinal },
                arguments: Arc::clone(&call.arguments),
                deadline,
                expires,
                dispatched: now,
                typed: turn.typed.clone(),
                watcher: listening.then(|| ctx.address().recipient()),
            };
            let span =
                info_span!(parent: &turn.span, "call", round, id = &*call.id, tool = &*call.tool);
            let (reply, answer) = oneshot::channel();
            self.worker(index, &tool, ctx).do_send(RunCall { order, reply, span });
            let effects = tool.declared_effects();
            turn.ring_at(deadline + GRACE);
            turn.flight.push(InFlight {
                ordinal,
                effects,
                dispatched: now,
                deadline,
                answer: Some(answer),
            });
        }
        self.turn = Some(turn);
    }

    /// The worker of the tool at `index`, spawned at its first call.
    fn worker(
        &mut self,
        index: usize,
        tool: &Arc<ToolType>,
        ctx: &mut Context<Self>,
    ) -> &Addr<ToolWorker> {
        if self.workers.len() <= index {
            self.workers.resize(self.options.tools.len(), None);
        }
        if self.workers[index].is_none() {
            let supervisor = self.supervisor(ctx).clone();
            self.workers[index] = Some(spawn_worker(tool, &supervisor));
        }
        self.workers[index].as_ref().expect("spawned above")
    }

    fn supervisor(&mut self, ctx: &mut Context<Self>) -> &Addr<Supervisor> {
        let (id, backoff) = (&self.id, self.options.backoff);
        self.supervisor.get_or_insert_with(|| {
            let coordinator = ctx.address().downgrade().recipient();
            Supervisor::new(id.clone(), backoff, coordinator).start()
        })
    }

    fn on_landed(&mut self, landed: Vec<Landed>) {
        let events = landed
            .into_iter()
            .filter(|call| self.state.is_unanswered(call.ordinal))
            .map(|call| {
                let Landed { ordinal, effects, dispatched, ended } = call;
                let dispatched_at_us = self.clock.micros_at(dispatched);
                let (outcome, times) = match ended {
                    Some(ended) => (
                        ended.outcome,
                        CallTimes {
                            dispatched_at_us,
                            queued_us: micros(ended.waits.queued),
                            startup_us: micros(ended.waits.startup),
                            backoff_us: micros(ended.waits.backoff),
                            waited_us: 0,
                            ran_us: micros(ended.ran),
                            attempts: ended.attempts,
                            worker_generation: ended.generation,
                        },
                    ),
                    None => {
                        let message = "the worker was lost with the call";
                        let kind = OutcomeKind::Panicked;
                        let outcome = Outcome::broken_off(kind, message, effects, true);
                        (outcome, self.ran_since(dispatched))
                    }
                };
                self.call_ended(ordinal, outcome, times)
            })
            .collect();
        self.record(events);
    }

    /// The times of a call that was given up: all of it counts as running.
    fn ran_since(&self, dispatched: Instant) -> CallTimes {
        CallTimes {
            dispatched_at_us: self.clock.micros_at(dispatched),
            ran_us: micros(dispatched.elapsed()),
            attempts: 1,
            ..CallTimes::default()
        }
    }

    fn call_ended(&self, ordinal: u32, outcome: Outcome, times: CallTimes) -> Event {
        let call = self.state.calls().and_then(|calls| calls.get(ordinal as usize));
        let (id, tool) =
            call.map(|call| (Arc::clone(&call.id), Arc::clone(&call.tool))).unwrap_or_default();
        Event::CallEnded { round: self.state.rounds(), ordinal, id, tool, outcome, times }
    }

    /// The timer rang: sees whose time has passed.
    fn expire(&mut self) {
        let Some(turn) = &mut self.turn else { return };
        let now = Instant::now();
        if turn.deadline <= now {
            return self.break_off(Cause::TimedOut);
        }
        if turn.round_deadline.is_some_and(|deadline| deadline + GRACE <= now) {
            let events = self.give_up(Expired::Round, &|_| true);
            return self.record_and_ring(events);
        }
        let late = turn.flight.give_up(now.checked_sub(GRACE).unwrap_or(now));
        let events = self.give_up(Expired::Call, &|ordinal| late.contains(&ordinal));
        self.record_and_ring(events);
    }

    fn record_and_ring(&mut self, events: Vec<Event>) {
        self.record(events);
        if let Some(turn) = &mut self.turn {
            let due = turn.flight.next_deadline().map(|deadline| deadline + GRACE);
            let next = turn.deadline.min(Instant::now() + self.heartbeat);
            turn.timer.as_mut().reset(due.map_or(next, |due| due.min(next)));
        }
    }

    /// The ends of the unanswered calls that `which` names; whose time has passed is `expired`.
    fn give_up(&mut self, expired: Expired, which: &dyn Fn(u32) -> bool) -> Vec<Event> {
        let (kind, message) = timed_out(expired);
        self.ends_of_unanswered(kind, &message, which)
    }

    fn ends_of_unanswered(
        &mut self,
        kind: OutcomeKind,
        message: &str,
        which: &dyn Fn(u32) -> bool,
    ) -> Vec<Event> {
        let Some(turn) = &self.turn else {
            return Vec::new();
        };
        let begun: std::collections::HashMap<u32, (Effects, Instant)> =
            turn.flight.all().map(|call| (call.ordinal, (call.effects, call.dispatched))).collect();
        let end = |ordinal: u32| {
            let begun = begun.get(&ordinal);
            let (effects, dispatched) = begun.copied().unwrap_or((Effects::None, turn.began));
            let outcome = Outcome::broken_off(kind, message, effects, begun.is_some());
            let times = begun.map(|_| self.ran_since(dispatched)).unwrap_or_default();
            self.call_ended(ordinal, outcome, times)
        };
        self.state.unanswered().filter(|ordinal| which(*ordinal)).map(end).collect()
    }

    /// Ends the turn now: stops what runs, answers every call, and records the end.
    fn break_off(&mut self, cause: Cause) {
        let (kind, message) = match &cause {
            Cause::TimedOut => timed_out(Expired::Turn),
            Cause::Cancelled | Cause::Model(_) | Cause::MaxRounds { .. } | Cause::Store(_) => {
                (OutcomeKind::Cancelled, "the turn was cancelled".to_owned())
            }
        };
        let mut events = self.ends_of_unanswered(kind, &message, &|_| true);
        let end = match &cause {
            Cause::Cancelled => TurnEnd::Cancelled,
            Cause::TimedOut => TurnEnd::TimedOut,
            Cause::Model(_) | Cause::MaxRounds { .. } | Cause::Store(_) => {
                TurnEnd::Failed { problem: cause.problem() }
            }
        };
        events.push(Event::TurnEnded { turn: self.state.turns(), end });
        if let Some(turn) = &mut self.turn {
            turn.model = None;
            turn.flight = Flight::default(); // Dropping the requests stops the work.
            turn.cause = Some(cause);
        }
        self.record(events);
    }

    /// The state asks for the end of the turn.
    fn end_turn(&mut self, end: TurnEnd) {
        match end {
            TurnEnd::Answered => {
                let turn = self.state.turns();
                self.record(vec![Event::TurnEnded { turn, end }]);
            }
            TurnEnd::Cancelled => self.break_off(Cause::Cancelled),
            TurnEnd::TimedOut => self.break_off(Cause::TimedOut),
            TurnEnd::Failed { .. } => {
                let max_rounds = self.options.limits.max_rounds;
                self.break_off(Cause::MaxRounds { max_rounds });
            }
        }
    }

    /// The store refused: nothing more can be recorded, so nothing more may happen here.
    fn lose(&mut self, error: store::Error) {
        let cause = Cause::Store(error.clone());
        self.lost = Some(error);
        if let Some(turn) = &mut self.turn {
            turn.model = None;
            turn.flight = Flight::default();
            turn.end = Some(TurnEnd::Failed { problem: cause.problem() });
            turn.cause = Some(cause);
        }
    }

    /// Takes the new events into the account of the rounds, and tells of those that ended.
    fn report(&mut self) {
        let Some(turn) = &mut self.turn else { return };
        let records = std::mem::take(&mut turn.unreported);
        for Record { at_us, event, .. } in records.iter().flat_map(|records| records.iter()) {
            let Some(report) = turn.rounds.on(*at_us, event) else {
                continue;
            };
            if let Some(supervisor) = &self.supervisor {
                supervisor.do_send(RoundReported { session: self.id.clone(), report });
            }
        }
    }

    /// Answers the one who asked.
    fn finish(&mut self) {
        self.report();
        let Some(mut turn) = self.turn.take() else {
            return;
        };
        let report = TurnReport {
            session: self.id.clone(),
            model: turn.model_name.unwrap_or_else(|| self.options.model.name().to_owned()),
            elapsed: turn.began.elapsed(),
            usage: turn.usage,
            rounds: turn.rounds.take(),
        };
        let answer = match (turn.cause, turn.answer) {
            (None, Some((text, finish))) => Ok(Answer { text, finish, report }),
            (cause, _) => {
                let cause = cause.unwrap_or(Cause::Cancelled);
                Err(Error::Turn(Box::new(FailedTurn { cause, report })))
            }
        };
        drop(turn.reply.send(answer)); // Whoever asked may have gone; the turn is recorded.
    }

    /// The store does not let this owner begin.
    fn give_up_session(&mut self, error: store::Error) -> Poll<()> {
        self.lost = Some(error);
        Poll::Ready(())
    }

    /// Rebuilds the session from its `records`, and says what is to be recorded so that it can go
    /// on: a turn that was cut is ended, each of its calls answered.
    fn rebuild(&mut self, records: &[Record]) -> Vec<Event> {
        let mut events = Vec::new();
        for record in records {
            self.seq = record.seq;
            let _ = self.state.on(&record.event);
        }
        if records.is_empty() {
            events.push(Event::SessionOpened { system: self.options.system.clone() });
        }
        if self.state.is_busy() {
            let message = "the process ended while the call ran";
            for ordinal in self.state.unanswered() {
                let outcome =
                    Outcome::broken_off(OutcomeKind::UnknownOutcome, message, Effects::Once, true);
                events.push(self.call_ended(ordinal, outcome, CallTimes::default()));
            }
            let turn = self.state.turns();
            events.push(Event::TurnEnded { turn, end: TurnEnd::Cancelled });
        }
        for event in &events {
            let _ = self.state.on(event);
        }
        events
    }
}
