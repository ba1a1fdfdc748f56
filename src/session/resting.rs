//! How a session rests: it is asked whether it may, and goes if it has nothing to do and nothing was
//! sent to it since. It also goes where another coordinator has taken its place.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use std::time::Duration;

use actix::{ActorContext, Context, Handler, Message};

use super::coordinator::Coordinator;
use super::keeper::let_go;
use super::line::Line;
use super::subscribers::Subscribers;
use crate::sabotage::{self, Sabotage};
use crate::store;

/// Asks the session to rest, unless more than this is sent to it.
#[derive(Message)]
#[rtype(result = "()")]
pub(super) struct Rest {
    pub sent: u64,
}

impl Handler<Rest> for Coordinator {
    type Result = ();

    fn handle(&mut self, Rest { sent }: Rest, ctx: &mut Context<Self>) {
        self.rest_asked = Some(sent);
        if self.may_rest() && self.rest() {
            ctx.stop();
        }
    }
}

impl Coordinator {
    /// Says whether it has nothing to do, and nobody waits for it or hears it. One that has no handle
    /// is heard by nobody for long.
    pub(super) fn may_rest(&self) -> bool {
        let is_idle =
            self.opened && self.turn.is_none() && self.asker.is_none() && self.waiting.len() == 0;
        let sleeps = || self.journal.outlives_close() && !self.slot.is_heard();
        is_idle && (self.slot.is_abandoned() || sleeps())
    }

    /// Goes, unless something was sent since it was asked to. Says whether it does.
    pub(super) fn rest(&mut self) -> bool {
        let Some(sent) = self.rest_asked else { return false };
        let (journal, id, epoch) = (&self.journal, &self.id, self.epoch);
        let close = || {
            if sabotage::is(Sabotage::ClosesLater) {
                let (journal, id) = (Arc::clone(journal), id.clone());
                actix_rt::spawn(async move {
                    tokio::time::sleep(Duration::from_millis(10)).await;
                    journal.close(&id, epoch);
                });
            } else if epoch > 0 {
                drop(catch_unwind(AssertUnwindSafe(|| journal.close(id, epoch))));
            }
        };
        let rests = self.slot.fall_asleep(self.generation, sent, close);
        self.closed |= rests;
        rests
    }

    /// Gives the session back to the store, where the runtime ends and leaves what it does to others: no
    /// turn begins here any more.
    pub(super) fn hand_back(&mut self) {
        if self.closing.leaves_turns() && self.opened && !self.closed && self.epoch > 0 {
            let close = AssertUnwindSafe(|| self.journal.close(&self.id, self.epoch));
            self.slot.close_if_current(self.generation, || drop(catch_unwind(close)));
            self.closed = true;
        }
    }

    /// Says whether another coordinator has taken its place. It then lets go of everything, and
    /// answers nobody.
    pub(super) fn is_displaced(&mut self) -> bool {
        if self.slot.is_current(self.generation) {
            return false;
        }
        if self.lost.is_none() {
            self.lost = Some(store::Error::Fenced { session: self.id.clone() });
        }
        self.subscribers = Subscribers::default();
        (self.asker, self.waiting) = (None, Line::default());
        let_go(self.turn.take());
        true
    }
}
