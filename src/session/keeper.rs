//! The keeper of one coordinator: polls its context and, when it panics, has it rebuilt from its
//! record behind the same address, with the same queue. The message it panicked at is lost.
//!
//! What this leans on (`ContextFut::restart` keeps the mailbox, a panicked message is off the
//! queue) is held by tests in `tests/it/actix_facts.rs`.

use std::any::Any;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::pin::Pin;
use std::rc::Rc;
use std::task::{Context as TaskContext, Poll};

use actix::Context;
use actix::dev::ContextFut;
use actix::dev::channel::AddressReceiver;
use tokio::time::Instant;
use tracing::{error, warn};

use super::coordinator::Coordinator;
use super::roster::Entry;
use super::slot::Occupancy;
use crate::supervision::{Decision, Failure, RestartPolicy, Seat};
use crate::tools::message_of;

/// Polls a coordinator as long as its session lives. When it is given up its mailbox goes with it,
/// and whoever asked learns that the session is closed.
pub(super) struct Keeper {
    watched: Option<ContextFut<Coordinator, Context<Coordinator>>>,
    seat: Rc<Seat>,
    /// Most coordinators never panic.
    policy: Option<Box<RestartPolicy>>,
    /// As long as the session lives.
    _there: (Entry, Occupancy),
}

impl Keeper {
    /// Keeps `coordinator`, whose mailbox its callers have already. Nothing happens before it is
    /// polled.
    pub fn new(
        mailbox: AddressReceiver<Coordinator>,
        coordinator: Coordinator,
        there: (Entry, Occupancy),
    ) -> Self {
        let seat = Rc::clone(&coordinator.seat);
        let watched = Some(Context::with_receiver(mailbox).into_future(coordinator));
        Self { watched, seat, policy: None, _there: there }
    }

    /// Has the coordinator begin anew, or gives it up. What it ran is let go of at once, and it
    /// answers; it opens its session after a rest.
    fn on_panic(&mut self, panic: Box<dyn Any + Send>) {
        let now = Instant::now();
        let failure = Failure::Crash { cause: message_of(panic), arguments: None };
        let cause = failure.cause();
        let Self { watched, seat, policy, .. } = self;
        let session = seat.session();
        let fresh = || Box::new(seat.policy());
        match (policy.get_or_insert_with(fresh).on_failure(now, &failure), watched) {
            (Decision::RebuildAfter(rest), Some(watched)) => {
                warn!(%session, %cause, ?rest, "coordinator panicked, rebuilding");
                seat.set_rest(rest);
                let _address = watched.address(); // Without one nothing is restarted.
                let restart = AssertUnwindSafe(|| watched.restart());
                if let Err(panic) = catch_unwind(restart) {
                    self.on_panic(panic);
                }
            }
            _ => {
                error!(%session, %cause, "coordinator panicked too often, given up");
                self.bury();
            }
        }
    }

    fn bury(&mut self) {
        let_go(self.watched.take());
    }
}

/// Drops `value`. A panic of what it holds ends here.
pub(super) fn let_go<T>(value: T) {
    if let Err(panic) = catch_unwind(AssertUnwindSafe(move || drop(value))) {
        message_of(panic);
    }
}

impl Future for Keeper {
    type Output = ();

    fn poll(mut self: Pin<&mut Self>, cx: &mut TaskContext<'_>) -> Poll<()> {
        let this = &mut *self;
        while let Some(watched) = &mut this.watched {
            match catch_unwind(AssertUnwindSafe(|| Pin::new(&mut *watched).poll(cx))) {
                Ok(polled) => return polled,
                Err(panic) => this.on_panic(panic),
            }
        }
        Poll::Ready(())
    }
}

impl Drop for Keeper {
    fn drop(&mut self) {
        self.bury(); // The thread's runtime may drop the task while the session still lives.
    }
}
