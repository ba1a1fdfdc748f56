//! What a call knows of itself and of who asked for it.

use std::any::Any;
use std::fmt;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, OnceLock};
use std::task::{Context, Poll};

use futures_util::task::AtomicWaker;
use tokio::sync::{Notify, mpsc};
use tokio::time::Instant;

use super::CallProgressed;
use crate::conversation::CallKey;

/// A value of the embedding program that travels with every call of a session or a question: a
/// tenant, a request, a user.
pub type TypedContext = Arc<dyn Any + Send + Sync>;

/// The call's own facts. Cheap to clone, and `Send`: it may go along to a thread that does the
/// work.
#[derive(Clone)]
pub struct CallContext(Arc<Inner>);

struct Inner {
    facts: Facts,
    began: OnceLock<Instant>,
    over: AtomicBool,
    changed: Notify,
    /// Whoever runs the call.
    runner: AtomicWaker,
}

/// What a call is told when it begins.
pub(crate) struct Facts {
    pub key: CallKey,
    pub attempt: u32,
    pub deadline: Instant,
    pub typed: Option<TypedContext>,
    pub watcher: Option<mpsc::UnboundedSender<CallProgressed>>,
}

impl CallContext {
    pub(crate) fn new(facts: Facts) -> Self {
        let (over, changed) = (AtomicBool::new(false), Notify::new());
        let (began, runner) = (OnceLock::new(), AtomicWaker::new());
        Self(Arc::new(Inner { facts, began, over, changed, runner }))
    }

    /// The call's name for ever; hand it on as an idempotency key.
    #[must_use]
    pub fn key(&self) -> &CallKey {
        &self.0.facts.key
    }

    /// Which try this is, from 1.
    #[must_use]
    pub fn attempt(&self) -> u32 {
        self.0.facts.attempt
    }

    /// When the call is dropped if it has not ended.
    #[must_use]
    pub fn deadline(&self) -> Instant {
        self.0.facts.deadline
    }

    /// The caller's own value, if it is a `T`: what was given with the question, else with the
    /// session.
    #[must_use]
    pub fn get<T: Any + Send + Sync>(&self) -> Option<&T> {
        self.0.facts.typed.as_ref()?.downcast_ref()
    }

    /// Tells those who watch how far the call is. Costs nothing when nobody listens.
    pub fn report_progress(&self, message: impl Into<String>) {
        if let Some(watcher) = &self.0.facts.watcher {
            let CallKey { round, ordinal, .. } = *self.key();
            let message = message.into();
            drop(watcher.send(CallProgressed { round, ordinal, message })); // The turn may be over.
        }
    }

    /// Says whether the call is over: answered, cancelled or out of time. The call's future is
    /// dropped then, so only work that was moved elsewhere (a thread, another task) needs to ask.
    #[must_use]
    pub fn is_over(&self) -> bool {
        self.0.over.load(Ordering::Acquire)
    }

    /// Waits until the call is over. Dropping the future is harmless.
    pub async fn over(&self) {
        let changed = self.0.changed.notified();
        if !self.is_over() {
            changed.await;
        }
    }

    /// The call leaves the queue and begins.
    pub(super) fn begin(&self, now: Instant) {
        let _ = self.0.began.set(now);
    }

    /// When the call began, if it has.
    pub(crate) fn began(&self) -> Option<Instant> {
        self.0.began.get().copied()
    }

    /// Nobody waits for the call any more: whoever runs it stops it.
    pub(crate) fn give_up(&self) {
        self.end();
        self.0.runner.wake();
    }

    pub(super) fn end(&self) {
        if !self.0.over.swap(true, Ordering::AcqRel) {
            self.0.changed.notify_waiters();
        }
    }

    /// Ready once the call is over.
    pub(super) fn poll_over(&self, cx: &Context<'_>) -> Poll<()> {
        if !self.is_over() {
            self.0.runner.register(cx.waker());
        }
        if self.is_over() { Poll::Ready(()) } else { Poll::Pending }
    }
}

impl fmt::Debug for CallContext {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("CallContext")
            .field("key", self.key())
            .field("attempt", &self.attempt())
            .field("deadline", &self.deadline())
            .finish_non_exhaustive()
    }
}
