//! The coordinator holds one conversation. It records each event, shows it to the session's state,
//! and carries out the action that comes back; it decides nothing itself.

use std::cell::Cell;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::pin::Pin;
use std::rc::Rc;
use std::sync::Arc;
use std::time::Duration;

use actix::{Actor, AsyncContext, Context, Handler, Message, MessageResult, WeakAddr};
use tokio::sync::oneshot;
use tokio::time::{Instant, Sleep, sleep_until};
use tracing::Span;

use super::clock::micros;
use super::drive::Drive;
use super::host::Premises;
use super::line::Line;
use super::opening::Opening;
use super::pulse::Pulse;
use super::recovery::Asker;
use super::result_keeper::ResultKeeper;
use super::resuming::CutOpen;
use super::shutdown::Closing;
use super::slot::{Entrance, Occupancy, Slot};
use super::subscribers::Subscribers;
use super::ticket::{Given, Reply};
use super::turn::Turn;
use super::{Clock, Error, SessionOptions, Status, TurnBegun};
use crate::conversation::{Event, SessionId, SessionState};
use crate::store::{self, Access, Journal};
use crate::supervision::{self, Crew, IdleWorkers, Seat, WorkerChange, WorkerNews};
use crate::telemetry;
use crate::tools::{Bound, Capacity, Terms, ToolSet, later, stable_hash};

/// How long a store may take to open a session after a rest that was longer than a turn may take.
const REPLY_TIME: Duration = Duration::from_secs(1);

/// The shortest [`Coordinator::heartbeat`]. A call that may take less sets the timer itself.
const MIN_HEARTBEAT: Duration = Duration::from_secs(1);

/// Begins a turn, or goes on with one that was cut.
#[derive(Message)]
#[rtype(result = "()")]
pub(super) struct Ask {
    pub what: What,
    pub given: Given,
    /// In line, where another turn is under way.
    pub waits: bool,
    pub reply: Reply,
}

/// What a session is asked for.
#[derive(Clone)]
pub(super) enum What {
    /// The answer to this question.
    Answer(Prompt),
    /// The end of the turn that was cut; the last answer if none was.
    Rest,
}

/// A question, and what whoever asks it calls it.
#[derive(Clone)]
pub(super) struct Prompt {
    /// Empty if the history ends with what is to be answered.
    pub text: Arc<str>,
    pub key: Option<Arc<str>>,
}

/// Ends the turn that is under way. The answer says whether there was one.
#[derive(Message)]
#[rtype(result = "bool")]
pub(super) struct Cancel;

/// A question was taken back: its ticket says so.
#[derive(Message)]
#[rtype(result = "()")]
pub(super) struct Withdrawn;

/// Ends the call `id` of the round that is under way. `reply` says whether it was still to be had.
#[derive(Message)]
#[rtype(result = "()")]
pub(super) struct CancelCall {
    pub id: Arc<str>,
    pub reply: oneshot::Sender<bool>,
}

/// Asks what the session is doing.
#[derive(Message)]
#[rtype(result = "Status")]
pub(super) struct GetStatus;

/// Somebody asks for the account of every round from now on.
#[derive(Message)]
#[rtype(result = "()")]
pub(super) struct Listen;

/// Holds one conversation and runs its turns, one at a time.
pub(super) struct Coordinator {
    pub(super) id: SessionId,
    /// What its handles know of it.
    pub(super) slot: Arc<Slot>,
    /// Which of the session's coordinators this is.
    pub(super) generation: u64,
    pub(super) span: Span,
    pub(super) options: Arc<SessionOptions>,
    /// Those that the model was offered last.
    pub(super) tools: Arc<ToolSet>,
    pub(super) journal: Arc<dyn Journal>,
    pub(super) clock: Clock,
    /// The runtime shuts down: no turn begins.
    pub(super) closing: Closing,
    /// On what terms the session is opened.
    pub(super) access: Access,
    /// If this process has it already it is taken over.
    pub(super) reclaims: bool,
    /// The tool that blocks the arbiter which the session has left.
    pub(super) blocker: Option<Arc<str>>,
    pub(super) epoch: u64,
    /// The last event that was handed to the journal.
    pub(super) seq: u64,
    /// The last event that took effect.
    pub(super) told: u64,
    /// The last round whose account was given.
    pub(super) reported: u64,
    /// The session has been taken over and rebuilt.
    pub(super) opened: bool,
    /// It was so before, and a panic or a failure of the store undid it, or it was moved.
    pub(super) was_open: bool,
    /// How much had been sent to it when it was last asked to rest.
    pub(super) rest_asked: Option<u64>,
    /// The journal was told that it is closed.
    pub(super) closed: bool,
    /// Questions that came while another turn was under way, or before the session was open.
    pub(super) waiting: Line,
    /// How long they wait for the session to open.
    pub(super) patience: Option<Pin<Box<Sleep>>>,
    pub(super) state: SessionState,
    pub(super) seat: Rc<Seat>,
    pub(super) subscribers: Subscribers,
    pub(super) asker: Option<Asker>,
    /// What is on record of a turn that was cut, until it goes on or is ended.
    pub(super) cut: Option<Box<CutOpen>>,
    /// Boxed: a session between turns is small.
    pub(super) turn: Option<Box<Turn>>,
    /// What the first turn's record begins with: a session without a turn leaves no trace.
    pub(super) unrecorded: Vec<Event>,
    /// How often a turn looks whether a call is overdue: no rarer than the shortest time limit of
    /// a tool, so that a round need not set a timer of its own.
    pub(super) heartbeat: Duration,
    /// Set when the store refuses this owner.
    pub(super) lost: Option<store::Error>,
    /// Where the crew's workers come from and go to.
    pub(super) idle: IdleWorkers,
    /// Goes last: its workers may go to other sessions, and what is left in their queues is given
    /// up by then.
    pub(super) crew: Crew,
}

impl Coordinator {
    pub fn new(
        Occupancy { slot, generation, .. }: &Occupancy,
        own: WeakAddr<Self>,
        Entrance { access, reclaims, was_open, blocker }: Entrance,
        premises: Premises,
    ) -> Self {
        let (id, options, slot) = (slot.id.clone(), Arc::clone(&slot.options), Arc::clone(slot));
        let Premises { journal, clock, idle, capacity, pulse, closing } = premises;
        let journal = options.journal.clone().unwrap_or(journal);
        let tools = options.first_tools();
        let limits = tools.iter().filter_map(|tool| tool.declared_time_limit());
        let shortest = limits.min().unwrap_or(options.limits.call_time_limit);
        Self {
            span: telemetry::session(&id),
            seat: Seat::new(
                id.clone(),
                Arc::clone(&options.supervision),
                terms(&id, (&options, &tools), &journal, capacity, &pulse),
                own.recipient(),
            ),
            id,
            unrecorded: Vec::new(),
            heartbeat: shortest.min(options.limits.call_time_limit).max(MIN_HEARTBEAT),
            state: options.state(),
            access,
            reclaims,
            blocker,
            options,
            tools,
            journal,
            clock,
            closing,
            epoch: 0,
            seq: 0,
            told: slot.subscribers.told(),
            reported: 0,
            opened: false,
            was_open,
            rest_asked: None,
            closed: false,
            waiting: Line::default(),
            patience: None,
            subscribers: slot.subscribers.clone(),
            asker: None,
            cut: None,
            turn: None,
            lost: None,
            generation: *generation,
            slot,
            crew: Crew::new(idle.clone()),
            idle,
        }
    }
}

/// On which terms the calls of the session `id` run.
fn terms(
    id: &SessionId,
    (options, tools): (&SessionOptions, &ToolSet),
    journal: &Arc<dyn Journal>,
    capacity: Arc<Capacity>,
    pulse: &Pulse,
) -> Terms {
    Terms {
        session: stable_hash(id),
        rules: Arc::clone(&options.rules),
        bound: options.max_concurrency.map(Bound::new),
        capacity,
        large_results: options.keeps_large_results().then(|| ResultKeeper::boxed(journal, id)),
        reads_on: Cell::new(options.reads_large_results(tools)),
        breadcrumb: Arc::clone(&pulse.breadcrumb),
    }
}

impl Actor for Coordinator {
    type Context = Context<Self>;

    fn started(&mut self, ctx: &mut Context<Self>) {
        self.listen();
        let opening = match self.seat.take_rest() {
            Duration::ZERO => self.take_over(),
            rest => {
                let now = Instant::now();
                // The store has its time, however long the rest.
                let patience = self.options.limits.turn_time_limit.max(rest + REPLY_TIME);
                self.patience = Some(Box::pin(sleep_until(later(now, patience))));
                Opening::Resting(Box::pin(sleep_until(later(now, rest))))
            }
        };
        if let Some(opening) = opening.at_once(self, ctx) {
            ctx.spawn(opening); // Not `wait`: a store that hangs must not hold the mailbox.
        }
        ctx.spawn(Drive);
    }

    fn stopped(&mut self, _: &mut Context<Self>) {
        // Also runs while unwinding, where a second panic would end the process.
        let close = AssertUnwindSafe(|| self.journal.close(&self.id, self.epoch));
        if !self.closed && self.epoch > 0 {
            self.slot.close_if_current(self.generation, || drop(catch_unwind(close)));
        }
    }
}

impl Handler<Ask> for Coordinator {
    type Result = ();

    fn handle(&mut self, ask: Ask, ctx: &mut Context<Self>) {
        if self.closing.has_begun() {
            return self.begin(ask); // That is refused.
        }
        if self.may_open_again() {
            return self.open_again(ask, ctx);
        }
        let is_first = self.waiting.len() == 0;
        if self.opened && self.turn.is_none() && is_first {
            return self.begin(ask);
        }
        // After a panic somebody's turn may be still to be ended.
        let opens_with_it = !self.opened && is_first && self.asker.is_none();
        let refused = if ask.waits || opens_with_it { self.waiting.push(ask) } else { Err(ask) };
        if let Err(ask) = refused {
            ask.reply.send(Err(Error::Busy));
        }
    }
}

impl Coordinator {
    /// Lets those hear of rounds who have asked for it since this was last done.
    fn listen(&self) {
        for listener in self.slot.new_listeners(self.generation) {
            self.seat.supervisor().do_send(supervision::Listen(listener));
        }
    }

    /// Begins the turn of the first in line; where there will be no more turns, tells all of them.
    pub(super) fn begin_next(&mut self) {
        while self.turn.is_none()
            && let Some(ask) = self.waiting.take_first()
        {
            self.begin(ask);
        }
    }

    /// Begins a turn, or says why not. No other may be under way.
    pub(super) fn begin(&mut self, ask: Ask) {
        let Ask { what, given, reply, .. } = ask;
        if self.closing.has_begun() {
            reply.send(Err(Error::ShuttingDown));
            return;
        }
        if reply.is_withdrawn() && reply.turn() == 0 {
            return;
        }
        if let Some(error) = &self.lost {
            reply.send(Err(Error::Store(error.clone())));
            return;
        }
        let begun = reply.turn();
        let is_on_record = begun > 0 && begun <= self.state.turns();
        match (what, self.cut.take()) {
            // The question has begun this turn at another place.
            (_, Some(cut)) if is_on_record && begun == self.state.turns() => {
                self.resume(*cut, given, reply);
            }
            (_, cut) if is_on_record => {
                self.cut = cut;
                self.tell_answer_of(begun, reply);
            }
            (What::Answer(_), cut) if self.state.session_used_up().is_some() => {
                self.cut = cut;
                self.refuse_turn(reply);
            }
            (What::Answer(prompt), cut) if prompt.text.is_empty() && self.is_untold() => {
                self.cut = cut;
                reply.send(Err(Error::EmptyPrompt));
            }
            (What::Answer(prompt), cut) => self.begin_turn(prompt, cut, given, reply),
            (What::Rest, Some(cut)) => self.resume(*cut, given, reply),
            (What::Rest, None) => self.tell_last_answer(reply),
        }
        self.cancel_withdrawn(); // What has begun elsewhere is ended here.
    }

    /// Says whether nothing was said yet that could be answered.
    fn is_untold(&self) -> bool {
        let tells = |event: &Event| matches!(event, Event::SessionOpened { history: Some(_), .. });
        self.state.transcript().is_empty() && !self.unrecorded.iter().any(tells)
    }

    /// Begins a turn. One that was cut is ended in the same step.
    fn begin_turn(
        &mut self,
        Prompt { text: prompt, key }: Prompt,
        cut: Option<Box<CutOpen>>,
        given: Given,
        reply: Reply,
    ) {
        let mut events = cut.map(|cut| self.ends_of_cut(cut.wish)).unwrap_or_default();
        let (turn, after, began) = (self.state.turns() + 1, self.seq, Instant::now());
        reply.mark_begun(turn);
        self.asker = Some(Asker { reply, turn, after, began, end_awaited: Vec::new() });
        let time_limit = self.options.limits.turn_time_limit;
        self.turn = Some(Box::new(self.new_turn(turn, given, time_limit)));
        events.append(&mut self.unrecorded);
        let goes_on = prompt.is_empty();
        events.push(Event::TurnStarted { turn, prompt, goes_on, key });
        self.record(events);
    }

    /// The work of the turn `number`, which has so much time left.
    pub(super) fn new_turn(
        &self,
        number: u64,
        Given { typed, trace_parent }: Given,
        time_left: Duration,
    ) -> Turn {
        let typed = typed.or_else(|| self.options.typed.clone());
        let model = &self.options.models[0];
        self.subscribers.observers().on_turn(&TurnBegun {
            session: &self.id,
            turn: number,
            model: model.name(),
            dialect: model.dialect().name,
            trace_parent: trace_parent.as_ref(),
        });
        let given = (typed, trace_parent.map(Arc::new));
        Turn::new(telemetry::turn(&self.span, number), given, time_left, self.heartbeat)
    }
}

impl Handler<Cancel> for Coordinator {
    type Result = bool;

    fn handle(&mut self, _: Cancel, _: &mut Context<Self>) -> bool {
        self.cancel_turn()
    }
}

impl Handler<Withdrawn> for Coordinator {
    type Result = ();

    fn handle(&mut self, _: Withdrawn, _: &mut Context<Self>) {
        self.cancel_withdrawn();
    }
}

impl Coordinator {
    /// Cancels the turn that is under way, if there is one.
    fn cancel_turn(&mut self) -> bool {
        // `Drive` is polled after the mailbox and acts on it. What a shutdown cuts may be left open.
        let may_be = |turn: &&mut Box<Turn>| turn.can_be_cancelled() && !turn.shut_down;
        let turn = self.turn.as_mut().filter(may_be);
        turn.is_some_and(|turn| {
            turn.cancelled = true;
            true
        })
    }

    /// Cancels the turn that is under way if its question was taken back.
    fn cancel_withdrawn(&mut self) {
        if self.asker.as_ref().is_some_and(|asker| asker.reply.is_withdrawn()) {
            self.cancel_turn();
        }
    }
}

impl Handler<CancelCall> for Coordinator {
    type Result = ();

    fn handle(&mut self, cancel: CancelCall, _: &mut Context<Self>) {
        // `Drive` is polled after the mailbox and acts on it.
        if let Some(turn) = &mut self.turn {
            turn.to_cancel.push(cancel);
        }
    }
}

impl Handler<GetStatus> for Coordinator {
    type Result = MessageResult<GetStatus>;

    fn handle(&mut self, _: GetStatus, _: &mut Context<Self>) -> Self::Result {
        MessageResult(Status {
            opening: !self.opened,
            busy: self.asker.is_some(),
            cut: self.cut.is_some(),
            waiting: self.waiting.len(),
            turns: self.state.turns(),
            rounds: self.state.rounds(),
            usage: self.state.usage(),
            calls_in_flight: self.turn.as_ref().map_or(0, |turn| turn.flight.awaited().count()),
        })
    }
}

impl Handler<Listen> for Coordinator {
    type Result = ();

    fn handle(&mut self, _: Listen, _: &mut Context<Self>) {
        match self.is_observed() {
            true => self.report(),
            false if self.seat.has_audience() => {}
            false => drop(self.new_reports()), // Of rounds that ended before.
        }
        self.listen();
    }
}

impl Handler<WorkerNews> for Coordinator {
    type Result = ();

    fn handle(&mut self, WorkerNews { tool, what }: WorkerNews, _: &mut Context<Self>) {
        let event = match what {
            WorkerChange::Restarting { generation, cause, backoff } => {
                Event::WorkerRestarted { tool, generation, cause, backoff_us: micros(backoff) }
            }
            WorkerChange::CircuitOpened { cause, cool_down, everywhere } => {
                let cool_down_us = micros(cool_down);
                Event::CircuitOpened { tool, cause, cool_down_us, everywhere }
            }
            WorkerChange::CircuitClosed => Event::CircuitClosed { tool },
        };
        match &mut self.turn {
            None => self.tell(event), // Nobody's turn: nothing to record it in.
            Some(turn) if turn.append.is_some() => turn.news.push(event),
            Some(_) => self.record(vec![event]),
        }
    }
}
