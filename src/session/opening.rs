//! How a coordinator begins: it takes the session over and rebuilds what it was.

use std::pin::Pin;
use std::task::{Context as TaskContext, Poll, ready};

use actix::Context;
use actix::fut::ActorFuture;

use super::coordinator::Coordinator;
use crate::conversation::{CallTimes, Effects, Event, Outcome, OutcomeKind, Record, TurnEnd};
use crate::store::{self, Pending};

/// Takes the session over from whoever held it, and rebuilds what it was.
pub(super) enum Opening {
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

impl Coordinator {
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
