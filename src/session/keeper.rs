//! The keeper of one coordinator: polls its context and, when it panics, has it rebuilt from its
//! record behind the same address, with the same queue. The message it panicked at is lost.
//!
//! What this leans on (`ContextFut::restart` keeps the mailbox, a panicked message is off the
//! queue) is held by tests in `tests/it/actix_facts.rs`.

use std::any::Any;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context as TaskContext, Poll, ready};

use actix::dev::ContextFut;
use actix::dev::channel::AddressReceiver;
use actix::{Addr, Context};
use tokio::time::{Instant, Sleep, sleep_until};
use tracing::{Span, error, warn};

use super::clock::later;
use super::coordinator::Coordinator;
use crate::supervision::{Decision, Failure, RestartLimits, RestartPolicy};
use crate::tools::message_of;

/// Polls a coordinator as long as its session lives. When it is given up its mailbox goes with it,
/// and whoever asked learns that the session is closed.
pub(super) struct Keeper {
    watched: Option<ContextFut<Coordinator, Context<Coordinator>>>,
    span: Span,
    limits: Arc<RestartLimits>,
    /// Seeds its rests.
    seed: u64,
    /// Most coordinators never panic.
    policy: Option<Box<RestartPolicy>>,
    rest: Option<Rest>,
}

/// A coordinator that panicked rests before it is rebuilt.
struct Rest {
    over: Pin<Box<Sleep>>,
    /// Keeps the queue open though the last handle may go: the record is to be whole in any case.
    _address: Addr<Coordinator>,
}

impl Keeper {
    /// Keeps `coordinator`, whose mailbox its callers have already. Nothing happens before it is
    /// polled.
    pub fn new(mailbox: AddressReceiver<Coordinator>, coordinator: Coordinator) -> Self {
        let span = coordinator.span.clone();
        let limits = Arc::clone(&coordinator.options.supervision);
        let seed = coordinator.seat.terms().session;
        let watched = Some(Context::with_receiver(mailbox).into_future(coordinator));
        Self { watched, span, limits, seed, policy: None, rest: None }
    }

    /// Has the coordinator rest, or gives it up.
    fn on_panic(&mut self, panic: Box<dyn Any + Send>) {
        let (cause, now) = (message_of(panic), Instant::now());
        let failure = Failure::Crash { cause, arguments: None };
        let cause = failure.cause();
        let Self { limits, seed, .. } = self;
        let fresh = || Box::new(RestartPolicy::new(RestartLimits::clone(limits), *seed));
        let decision = self.policy.get_or_insert_with(fresh).on_failure(now, &failure);
        self.rest = match (decision, &self.watched) {
            (Decision::RebuildAfter(rest), Some(watched)) => {
                warn!(parent: &self.span, %cause, ?rest, "coordinator panicked, rebuilding");
                let over = Box::pin(sleep_until(later(now, rest)));
                Some(Rest { over, _address: watched.address() })
            }
            _ => {
                error!(parent: &self.span, %cause, "coordinator panicked too often, given up");
                None
            }
        };
        if self.rest.is_none() {
            self.bury();
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
            if let Some(rest) = &mut this.rest {
                ready!(rest.over.as_mut().poll(cx));
                let restarted = catch_unwind(AssertUnwindSafe(|| watched.restart()));
                this.rest = None;
                if let Err(panic) = restarted {
                    this.on_panic(panic);
                    continue;
                }
            }
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
