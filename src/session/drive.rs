//! What keeps a turn going: the one future that gathers the model's events, the calls' results and
//! the deadlines; and the rule that everything is recorded before it takes effect.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context as TaskContext, Poll};
use std::time::Duration;

use actix::Context;
use actix::fut::ActorFuture;
use tokio::time::Instant;

use super::Cause;
use super::clock::later;
use super::coordinator::Coordinator;
use super::flight::Flight;
use super::turn::Append;
use crate::conversation::{Action, Event, Record, VERSION};
use crate::store::{self, Pending};
use crate::telemetry;

/// After so many steps others have their turn.
const MAX_STEPS: u32 = 256;

/// How long a store may take beyond the turn's time limit.
const PATIENCE: Duration = Duration::from_secs(1);

/// What comes of one step of a turn.
enum Step {
    GoOn,
    Wait,
    Over,
}

/// Keeps the turn going: the one future that gathers the model's events, the calls' results and
/// the deadlines.
pub(super) struct Drive;

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

impl Coordinator {
    /// Goes on until everything waits, or the turn has ended.
    fn drive(&mut self, ctx: &mut Context<Self>, cx: &mut TaskContext<'_>) -> Poll<()> {
        for step in 0.. {
            if step == MAX_STEPS {
                cx.waker().wake_by_ref(); // Others have their turn: messages, other sessions.
                break;
            }
            match self.step(ctx, cx) {
                Step::GoOn => {}
                Step::Wait => break,
                Step::Over => return Poll::Ready(()),
            }
        }
        // Everything waits: nobody is delayed by this.
        self.report();
        self.seat(ctx);
        Poll::Pending
    }

    fn step(&mut self, ctx: &mut Context<Self>, cx: &mut TaskContext<'_>) -> Step {
        let Some(turn) = &mut self.turn else { return Step::Over };
        if let Some(append) = &mut turn.append {
            return match Pin::new(&mut append.pending).poll(cx) {
                Poll::Ready(kept) => self.on_kept(kept, ctx),
                Poll::Pending => self.while_appending(cx),
            };
        }
        if turn.end.is_some() {
            self.finish();
            return Step::Over;
        }
        let rang = turn.timer.as_mut().poll(cx).is_ready();
        let mut landed = std::mem::take(&mut turn.landed);
        if turn.cancelled || rang || turn.model.is_none() {
            // What has come back in time counts, however late we look.
            landed.extend(turn.flight.poll_landed(cx));
        }
        if !landed.is_empty() {
            if rang {
                turn.ring_again(); // It is looked at next time.
            }
            self.on_landed(landed);
        } else if std::mem::take(&mut turn.cancelled) {
            self.break_off(Cause::Cancelled);
        } else if rang {
            self.expire();
        } else if let Some(events) = &mut turn.model {
            // A panic of a model fails the turn, not the session.
            let polled = catch_unwind(AssertUnwindSafe(|| events.as_mut().poll_next(cx)));
            match polled {
                Ok(Poll::Ready(event)) => self.on_model(event),
                Ok(Poll::Pending) => return Step::Wait,
                Err(panic) => self.on_model_panic(&*panic),
            }
        } else {
            return Step::Wait;
        }
        Step::GoOn
    }

    fn on_kept(&mut self, kept: Result<(), store::Error>, ctx: &mut Context<Self>) -> Step {
        let Some(turn) = &mut self.turn else { return Step::Over };
        let Some(Append { records, .. }) = turn.append.take() else { return Step::GoOn };
        if std::mem::take(&mut turn.postponed) {
            turn.ring_again();
        }
        match kept {
            Ok(()) => self.apply(records, ctx),
            Err(error) => self.lose(error),
        }
        Step::GoOn
    }

    /// Nothing may be decided before the journal has what was. But cancelled calls stop, and a
    /// store that does not answer holds a turn no longer than its time limit and a little.
    fn while_appending(&mut self, cx: &mut TaskContext<'_>) -> Step {
        let Some(turn) = &mut self.turn else { return Step::Over };
        if turn.cancelled {
            turn.model = None;
            turn.landed.extend(turn.flight.poll_landed(cx));
            turn.flight.stop();
        }
        if turn.timer.as_mut().poll(cx).is_pending() {
            return Step::Wait;
        }
        let last = later(turn.deadline, PATIENCE);
        if last <= Instant::now() {
            let reason = "it did not answer within the turn's time limit".to_owned();
            self.lose(store::Error::Unavailable { reason });
        } else {
            let next = later(Instant::now(), PATIENCE);
            turn.timer.as_mut().reset(next.max(turn.deadline).min(last));
            turn.postponed = true;
        }
        Step::GoOn
    }

    /// Appends `events` to the journal; they take effect once it has them.
    pub(super) fn record(&mut self, events: Vec<Event>) {
        if events.is_empty() {
            return;
        }
        let news = self.turn.as_mut().map(|turn| std::mem::take(&mut turn.news));
        let events = news.into_iter().flatten().chain(events).collect();
        let (pending, records) = self.write(events);
        if let Some(turn) = &mut self.turn {
            turn.append = Some(Append { pending, records });
        }
    }

    pub(super) fn write(
        &mut self,
        events: Vec<Event>,
    ) -> (Pending<Result<(), store::Error>>, Arc<[Record]>) {
        let (at_us, expected) = (self.clock.micros_at(Instant::now()), self.seq);
        let (session, v) = (&self.id, VERSION);
        let stamp = |(seq, event)| Record { v, seq, at_us, session: session.clone(), event };
        let records: Arc<[Record]> = (expected + 1..).zip(events).map(stamp).collect();
        self.seq += records.len() as u64;
        let pending = self.journal.append(&self.id, expected, self.epoch, Arc::clone(&records));
        (pending, records)
    }

    /// Tells subscribers of something that is not kept.
    pub(super) fn tell(&mut self, event: Event) {
        if !self.subscribers.is_empty() {
            let at_us = self.clock.micros_at(Instant::now());
            let (v, seq, session) = (VERSION, self.told, self.id.clone());
            self.subscribers.tell(Record { v, seq, at_us, session, event });
        }
    }

    /// Puts `event` into the spans and events of `tracing`.
    fn log(&mut self, event: &Event) {
        let Some(turn) = &mut self.turn else { return telemetry::step(&self.span, event) };
        match event {
            Event::ModelAsked { round, .. } => {
                turn.round_span = telemetry::round(&turn.span, *round)
            }
            Event::TurnEnded { .. } => turn.round_span = turn.span.clone(),
            _ => {}
        }
        telemetry::step(&turn.round_span, event);
    }

    /// Shows `records`, which the journal has, to the state, and carries out what they ask for. Of
    /// several wishes the last one counts: it knows all events.
    fn apply(&mut self, records: Arc<[Record]>, ctx: &mut Context<Self>) {
        let mut wish = Action::Wait;
        let (mut asked, mut started, mut ended) = (false, Vec::new(), None);
        for record in records.iter() {
            self.log(&record.event);
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
            self.told = record.seq;
            if !self.subscribers.is_empty() {
                self.subscribers.tell(record.clone());
            }
        }
        if let Some(turn) = &mut self.turn {
            turn.unreported.push(records);
            if ended.is_some() {
                turn.end = ended;
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
                    turn.flight = Flight::default(); // Nobody waits for what was given up.
                }
                self.record(vec![Event::ModelAsked { round, attempt }]);
            }
            Action::RunCalls(calls) => self.start_calls(calls),
            Action::EndTurn(end) => self.end_turn(end),
        }
    }
}
