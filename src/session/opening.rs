//! How a coordinator begins: it takes the session over and rebuilds what it was.

use std::pin::Pin;
use std::task::{Context as TaskContext, Poll, Waker, ready};

use actix::Context;
use actix::fut::ActorFuture;
use tokio::time::{Instant, Sleep, sleep_until};

use super::Cause;
use super::coordinator::Coordinator;
use crate::conversation::{
    Action, Batch, CallTimes, Effects, Event, Outcome, OutcomeKind, Place, Record, TurnEnd,
};
use crate::store::{self, Pending};
use crate::telemetry;
use crate::tools::later;

/// Takes the session over from whoever held it, and rebuilds what it was.
pub(super) enum Opening {
    /// After a panic: the store, or what is in it, may be to blame.
    Resting(Pin<Box<Sleep>>),
    Epoch(Pending<Result<u64, store::Error>>),
    Reading(Pending<Result<Vec<Record>, store::Error>>),
    Writing {
        pending: Pending<Result<(), store::Error>>,
        written: Batch,
        news: Vec<Record>,
    },
}

impl Opening {
    /// Opens the session now if the store answers at once; gives itself back if it does not.
    pub fn at_once(
        mut self,
        this: &mut Coordinator,
        ctx: &mut Context<Coordinator>,
    ) -> Option<Self> {
        let cx = &mut TaskContext::from_waker(Waker::noop());
        Pin::new(&mut self).poll(this, ctx, cx).is_pending().then_some(self)
    }
}

impl ActorFuture<Coordinator> for Opening {
    type Output = ();

    fn poll(
        mut self: Pin<&mut Self>,
        this: &mut Coordinator,
        _: &mut Context<Coordinator>,
        cx: &mut TaskContext<'_>,
    ) -> Poll<()> {
        if let Poll::Ready(late) = this.poll_patience(cx) {
            this.open(Err(late));
            return Poll::Ready(());
        }
        let ended = loop {
            match &mut *self {
                Self::Resting(rest) => {
                    ready!(rest.as_mut().poll(cx));
                    *self = this.take_over();
                }
                Self::Epoch(pending) => match ready!(Pin::new(pending).poll(cx)) {
                    Ok(epoch) => {
                        this.epoch = epoch;
                        *self = Self::Reading(this.journal.read(&this.id, 0));
                    }
                    Err(error) => break Err(error),
                },
                Self::Reading(pending) => match ready!(Pin::new(pending).poll(cx)) {
                    Ok(records) => {
                        let events = this.rebuild(&records);
                        let news = this.not_made_known(records);
                        if events.is_empty() {
                            break Ok(news);
                        }
                        let mut draft = this.draft(events.len());
                        draft.extend(events);
                        let (pending, written) = this.write(draft);
                        *self = Self::Writing { pending, written, news };
                    }
                    Err(error) => break Err(error),
                },
                Self::Writing { pending, written, news } => {
                    let kept = ready!(Pin::new(pending).poll(cx));
                    news.extend(written.iter().cloned());
                    break kept.map(|()| std::mem::take(news));
                }
            }
        };
        this.open(ended);
        Poll::Ready(())
    }
}

impl Coordinator {
    /// Takes the session over, unless the store has refused that before.
    pub(super) fn take_over(&self) -> Opening {
        Opening::Epoch(match &self.lost {
            Some(error) => Pending::ready(Err(error.clone())),
            None => self.journal.open(&self.id, self.access),
        })
    }

    /// Ready when a question, or whoever asked the one that was cut, has waited for its whole time
    /// limit.
    fn poll_patience(&mut self, cx: &mut TaskContext<'_>) -> Poll<store::Error> {
        let nobody_waits = self.waiting.len() == 0 && self.asker.is_none();
        if nobody_waits && self.patience.is_none() {
            return Poll::Pending;
        }
        let limit = self.options.limits.turn_time_limit;
        let late = || Box::pin(sleep_until(later(Instant::now(), limit)));
        ready!(self.patience.get_or_insert_with(late).as_mut().poll(cx));
        let reason = "it did not open the session within the turn's time limit".to_owned();
        Poll::Ready(store::Error::Unavailable { reason })
    }

    /// Takes the questions that waited, or lets them know why there will be no answer.
    fn open(&mut self, ended: Result<Vec<Record>, store::Error>) {
        self.patience = None;
        let news = match ended {
            Ok(news) => news,
            Err(error) => {
                self.lost = Some(error);
                Vec::new()
            }
        };
        for record in &news {
            if record.seq > self.told {
                self.told = record.seq;
                telemetry::step(&self.span, &record.event);
                self.subscribers.tell(record.clone());
            }
        }
        self.told = self.seq;
        self.answer_cut_turn(news);
        (self.opened, self.own) = (true, None);
        self.begin_next();
    }

    /// Rebuilds the session from its `records`, and says what is to be recorded so that it can go
    /// on: a turn that was cut is ended, each of its calls answered.
    fn rebuild(&mut self, records: &[Record]) -> Vec<Event> {
        let (mut events, mut wish) = (Vec::new(), Action::Wait);
        for record in records {
            self.seq = record.seq;
            match self.state.on(&record.event) {
                Action::Wait => {}
                action => wish = action,
            }
        }
        if records.is_empty() {
            let system = self.options.system.clone();
            self.unrecorded.push(Event::SessionOpened { system });
        }
        if self.state.is_busy() {
            let cut = match self.is_cut_by_panic() {
                true => TurnEnd::Failed { problem: Cause::Crashed.problem() },
                false => TurnEnd::Cancelled,
            };
            events.extend(self.state.unanswered().map(|place| self.lost_call(place)));
            let end = match wish {
                Action::EndTurn(end) => end, // Only its last step was missing.
                Action::AskModel { .. } | Action::RunCalls(_) | Action::Wait => cut,
            };
            let (turn, usage, orphans) = (self.state.turns(), None, self.orphans(None));
            events.push(Event::TurnEnded { turn, end, usage, orphans });
        }
        for event in &events {
            let _ = self.state.on(event);
        }
        events
    }

    /// The end of a call that the last process, or a panic in this one, left open.
    fn lost_call(&self, place: Place) -> Event {
        let call = self.state.call_at(place);
        let tool = call.and_then(|(_, tool)| self.options.tools.get(tool));
        let effects = tool.map_or(Effects::Once, |tool| tool.declared_effects());
        let started = self.state.has_started(place);
        let what = match self.is_cut_by_panic() {
            true => "the session's coordinator panicked",
            false => "the process ended",
        };
        let (kind, when) = match started {
            true => (OutcomeKind::UnknownOutcome, "while the call ran"),
            false => (OutcomeKind::Cancelled, "before the call began"),
        };
        let outcome = Outcome::broken_off(kind, &format!("{what} {when}"), effects, started);
        self.call_ended(place, outcome, CallTimes::default())
    }
}
