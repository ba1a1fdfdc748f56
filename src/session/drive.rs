//! What keeps a session going: the one future that gathers the model's events, the calls' results
//! and the deadlines, and lets the workers go on, also between turns.

use std::future::poll_fn;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::pin::{Pin, pin};
use std::sync::Arc;
use std::task::{Context as TaskContext, Poll};
use std::time::Duration;

use actix::fut::ActorFuture;
use actix::{ActorContext, Context};
use tokio::task::coop::unconstrained;
use tokio::time::Instant;

use super::clock::micros;
use super::coordinator::Coordinator;
use super::turn::Append;
use crate::conversation::{Batch, Event, Place, Record, VERSION};
use crate::failpoint;
use crate::store;
use crate::telemetry;
use crate::tools::later;
use crate::tools::{CallNews, News};

/// After so many steps others have their turn.
const MAX_STEPS: u32 = 256;

/// How long a store may take beyond the turn's time limit.
const PATIENCE: Duration = Duration::from_secs(1);

/// Polls what the session itself waits for. The calls are part of its task: one that never pauses
/// uses up what tokio lets a task do at a time, and nothing else of the session would move.
pub(super) fn unbudgeted<T>(
    cx: &mut TaskContext<'_>,
    poll: impl FnMut(&mut TaskContext<'_>) -> Poll<T>,
) -> Poll<T> {
    pin!(unconstrained(poll_fn(poll))).poll(cx)
}

/// What comes of one step of a turn.
enum Step {
    GoOn,
    Wait,
    Over,
}

/// Keeps the session going until it rests, or another coordinator has taken its place.
pub(super) struct Drive;

impl ActorFuture<Coordinator> for Drive {
    type Output = ();

    fn poll(
        self: Pin<&mut Self>,
        this: &mut Coordinator,
        ctx: &mut Context<Coordinator>,
        cx: &mut TaskContext<'_>,
    ) -> Poll<()> {
        if this.is_displaced() {
            ctx.stop();
            return Poll::Ready(());
        }
        this.crew.poll(cx);
        if let Some(turn) = &this.turn {
            let _entered = turn.span.clone().entered();
            this.drive(cx);
        }
        if this.opened && this.turn.is_none() {
            this.begin_next();
            if this.turn.is_some() {
                cx.waker().wake_by_ref(); // Others have their turn first.
            }
        }
        // Whoever drops the last handle asks it to rest, but a turn may have been under way then.
        if this.slot.is_abandoned() && this.may_rest() && this.rest() {
            ctx.stop();
            return Poll::Ready(());
        }
        Poll::Pending
    }
}

impl Coordinator {
    /// Goes on until everything waits, or the turn has ended.
    fn drive(&mut self, cx: &mut TaskContext<'_>) {
        if let Some(turn) = &mut self.turn {
            turn.on_woken();
        }
        for step in 0.. {
            if step == MAX_STEPS {
                cx.waker().wake_by_ref(); // Others have their turn: messages, other sessions.
                break;
            }
            match self.step(cx) {
                Step::GoOn => {}
                Step::Wait => break,
                Step::Over => return,
            }
        }
        // Everything waits: nobody is delayed by this.
        self.report();
    }

    /// One step of a turn.
    fn step(&mut self, cx: &mut TaskContext<'_>) -> Step {
        let Some(turn) = &mut self.turn else { return Step::Over };
        if let Some(append) = &mut turn.append {
            return match unbudgeted(cx, |cx| Pin::new(&mut append.pending).poll(cx)) {
                Poll::Ready(kept) => self.on_kept(kept),
                Poll::Pending => self.while_appending(cx),
            };
        }
        if turn.end.is_some() {
            self.finish();
            return Step::Over;
        }
        if !turn.news.is_empty() {
            let news = std::mem::take(&mut turn.news);
            self.record(news); // It came during the last append: it waits for nothing else.
            return Step::GoOn;
        }
        let rang = turn.rings(cx);
        let mut landed = std::mem::take(&mut turn.landed);
        let waits_for_calls = turn.model.is_none() || turn.flight.has_awaited();
        if turn.cancelled || rang || waits_for_calls || !turn.to_cancel.is_empty() {
            // What has come back in time counts, however late we look.
            self.crew.poll(cx);
            self.pass_progress_on(cx);
            let Some(turn) = &mut self.turn else { return Step::Over };
            landed.append(&mut turn.flight.take_landed(cx));
            self.stop_cancelled_calls();
        }
        let leaves = self.may_leave();
        let Some(turn) = &mut self.turn else { return Step::Over };
        let cancels = !turn.cancelled_calls.is_empty();
        if rang && (!landed.is_empty() || cancels) {
            turn.ring_again(); // It is looked at next time.
        }
        if !landed.is_empty() {
            self.on_landed(landed);
        } else if std::mem::take(&mut turn.cancelled) {
            let shut_down = turn.shut_down;
            self.cut_off(shut_down); // Before it is left: whoever cancelled it was told so.
        } else if leaves {
            self.leave_open();
        } else if cancels {
            self.end_cancelled_calls();
        } else if !turn.to_decide.is_empty() {
            self.take_decision();
        } else if rang {
            self.expire();
        } else if turn.next_try.is_some_and(|next| next.at <= Instant::now()) {
            self.try_again();
        } else if turn.asks {
            if self.crew.is_undecided() {
                return Step::Wait;
            }
            turn.asks = false;
            self.ask_model();
        } else if let Some(events) = &mut turn.model {
            // A panic of a model fails the turn, not the session.
            let poll = || unbudgeted(cx, |cx| events.as_mut().poll_next(cx));
            let polled = catch_unwind(AssertUnwindSafe(poll));
            match polled {
                Ok(Poll::Ready(event)) => self.on_model(event),
                Ok(Poll::Pending) => return Step::Wait,
                Err(panic) => self.on_model_panic(panic),
            }
        } else {
            return Step::Wait;
        }
        Step::GoOn
    }

    /// Tells how far calls are, before it is told that they have ended.
    fn pass_progress_on(&mut self, cx: &mut TaskContext<'_>) {
        let mut told = 0;
        while let Some(turn) = &mut self.turn
            && let Some((_, progress)) = &mut turn.progress
            && let Poll::Ready(Some(news)) = unbudgeted(cx, |cx| progress.poll_recv(cx))
        {
            told += 1;
            if told > MAX_STEPS {
                cx.waker().wake_by_ref(); // Somebody says more than can be told.
                break;
            }
            let CallNews { round, place, what } = news;
            if round == self.state.round_number() && self.state.is_unanswered(place) {
                let Place { reply_attempt, ordinal } = place;
                self.tell(match what {
                    News::Progressed { message } => {
                        let message = self.options.rules.secrets.redacted(message);
                        Event::CallProgressed { round, reply_attempt, ordinal, message }
                    }
                    News::Queued { ahead } => {
                        Event::CallQueued { round, reply_attempt, ordinal, ahead }
                    }
                    News::Retrying { attempt, cause, rest } => Event::CallRetried {
                        round,
                        reply_attempt,
                        ordinal,
                        attempt,
                        cause,
                        backoff_us: micros(rest),
                    },
                });
            }
        }
    }

    fn on_kept(&mut self, kept: Result<(), store::Error>) -> Step {
        let Some(turn) = &mut self.turn else { return Step::Over };
        let Some(Append { records, .. }) = turn.append.take() else { return Step::GoOn };
        if std::mem::take(&mut turn.postponed) {
            turn.ring_again();
        }
        match kept {
            Ok(()) => {
                failpoint::append(failpoint::Append::After);
                self.carry_out(records);
            }
            Err(error) => self.lose(error),
        }
        Step::GoOn
    }

    /// Nothing may be decided before the journal has what was. But calls that are cancelled or
    /// late stop, and a store that does not answer holds a turn no longer than its time limit and
    /// a little.
    fn while_appending(&mut self, cx: &mut TaskContext<'_>) -> Step {
        let Some(turn) = &mut self.turn else { return Step::Over };
        let rang = turn.rings(cx);
        if !turn.cancelled && !rang && turn.to_cancel.is_empty() {
            return Step::Wait;
        }
        self.crew.poll(cx);
        let Some(turn) = &mut self.turn else { return Step::Over };
        turn.landed.append(&mut turn.flight.take_landed(cx));
        self.stop_cancelled_calls();
        let Some(turn) = &mut self.turn else { return Step::Over };
        if turn.cancelled {
            (turn.model, turn.next_try) = (None, None);
            turn.flight.stop();
        }
        if !rang {
            return Step::Wait;
        }
        let since = turn.append.as_ref().and_then(|append| append.since);
        let (last, now) = (later(turn.end_for_store(since), PATIENCE), Instant::now());
        if last <= now {
            let reason = "it did not answer within the turn's time limit".to_owned();
            self.lose(store::Error::Unavailable { reason });
        } else {
            turn.flight.give_up_late(now);
            turn.set_timer(turn.flight.next_deadline().unwrap_or(last));
            turn.postponed = true;
        }
        Step::GoOn
    }

    /// Tells subscribers of something that is not kept.
    pub(super) fn tell(&mut self, event: Event) {
        if self.subscribers.hear(&event) && self.slot.is_current(self.generation) {
            let at_us = self.clock.micros_at(Instant::now());
            let (v, seq, session) = (VERSION, self.told, self.id.clone());
            self.subscribers.tell(Record { v, seq, at_us, session, event });
        }
    }

    /// Puts `event` into the spans and events of `tracing`.
    fn log(&mut self, event: &Event) {
        let Some(turn) = &mut self.turn else { return telemetry::step(&self.span, event) };
        match event {
            Event::ModelAsked { round, attempt: 1, .. } => {
                turn.round_span = telemetry::round(&turn.span, *round)
            }
            Event::TurnEnded { .. } => turn.round_span = turn.span.clone(),
            _ => {}
        }
        telemetry::step(&turn.round_span, event);
    }

    /// Carries out what is on record now: asks the model, hands calls to their workers, ends the
    /// turn.
    fn carry_out(&mut self, records: Batch) {
        let (mut asked, mut sums_up) = (None, false);
        for record in records.iter() {
            self.log(&record.event);
            let Some(turn) = &mut self.turn else { break };
            match &record.event {
                Event::ModelAsked { attempt, .. } => asked = Some(*attempt),
                Event::SummaryAsked { .. } => sums_up = true,
                Event::ContextCompacted { .. } => {
                    (turn.history, turn.is_too_long) = (None, false);
                }
                Event::TurnEnded { turn: number, end, .. } if *number == self.state.turns() => {
                    turn.end = Some(end.clone());
                }
                _ => {}
            }
            self.told = record.seq;
            if self.is_observed() && matches!(record.event, Event::TurnEnded { .. }) {
                self.report(); // Of rounds that are over nobody expects to hear after that.
            }
            self.subscribers.tell_once(record);
        }
        self.follow_approvals(&records);
        let Some(turn) = &mut self.turn else { return };
        turn.records.push(Arc::clone(&records));
        if turn.end.is_some() || turn.cancelled {
            return; // Nothing begins any more.
        }
        let mut asks = false;
        if let Some(attempt) = asked {
            turn.attempt = attempt;
            turn.claims.clear();
            turn.rest_waits = false;
            if attempt == 1 {
                (turn.round_deadline, turn.failures) = (None, 0);
                turn.was_too_long = false;
                turn.approvals = None;
                turn.flight.clear(); // Nobody waits for what was given up.
            }
            turn.asks = self.crew.is_undecided();
            asks = !turn.asks;
        }
        self.dispatch(&records); // With the tools that they were recorded with.
        if sums_up {
            self.ask_for_summary();
        } else if asks {
            self.ask_model();
        }
    }
}
