//! What a call knows of itself and of who asked for it.

use std::any::Any;
use std::fmt;
use std::rc::Rc;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use tokio::sync::Notify;
use tokio::time::Instant;

use crate::conversation::CallKey;

/// A value of the embedding program that travels with every call of a session or a question: a
/// tenant, a request, a user.
pub type TypedContext = Arc<dyn Any + Send + Sync>;

/// The call's own facts, handed to the tool by value.
#[derive(Clone)]
pub struct CallContext {
    pub(super) key: CallKey,
    pub(super) attempt: u32,
    pub(super) deadline: Instant,
    pub(super) cancellation: Cancellation,
    pub(super) progress: Progress,
    pub(super) typed: Option<TypedContext>,
}

impl CallContext {
    /// The call's name for ever; hand it on as an idempotency key.
    #[must_use]
    pub fn key(&self) -> &CallKey {
        &self.key
    }

    /// Which try this is, from 1.
    #[must_use]
    pub fn attempt(&self) -> u32 {
        self.attempt
    }

    /// When the call is dropped if it has not ended.
    #[must_use]
    pub fn deadline(&self) -> Instant {
        self.deadline
    }

    /// Tells when nobody waits for the call any more. The call's future is dropped then, so only
    /// work that was moved elsewhere (a thread, another task) needs to look.
    #[must_use]
    pub fn cancellation(&self) -> &Cancellation {
        &self.cancellation
    }

    /// Tells those who watch how far the call is.
    #[must_use]
    pub fn progress(&self) -> &Progress {
        &self.progress
    }

    /// The caller's own value, if it is a `T`: what was given with the question, else with the
    /// session.
    #[must_use]
    pub fn get<T: Any + Send + Sync>(&self) -> Option<&T> {
        self.typed.as_ref()?.downcast_ref()
    }
}

impl fmt::Debug for CallContext {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("CallContext")
            .field("key", &self.key)
            .field("attempt", &self.attempt)
            .field("deadline", &self.deadline)
            .finish_non_exhaustive()
    }
}

/// Says that a call is over: answered, cancelled or out of time. Cheap to clone, `Send`.
#[derive(Clone, Debug, Default)]
pub struct Cancellation(Arc<Shared>);

#[derive(Debug, Default)]
struct Shared {
    over: AtomicBool,
    changed: Notify,
}

impl Cancellation {
    /// Says whether the call is over.
    #[must_use]
    pub fn is_cancelled(&self) -> bool {
        self.0.over.load(Ordering::Acquire)
    }

    /// Waits until the call is over. Dropping the future is harmless.
    pub async fn cancelled(&self) {
        let changed = self.0.changed.notified();
        if !self.is_cancelled() {
            changed.await;
        }
    }

    pub(super) fn cancel(&self) {
        self.0.over.store(true, Ordering::Release);
        self.0.changed.notify_waiters();
    }
}

/// Where a tool says how far it is.
#[derive(Clone)]
pub struct Progress(pub(super) Option<Rc<dyn Fn(String)>>);

impl Progress {
    /// Tells subscribers `message`. Costs nothing when nobody listens.
    pub fn report(&self, message: impl Into<String>) {
        if let Some(tell) = &self.0 {
            tell(message.into());
        }
    }
}

impl fmt::Debug for Progress {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Progress")
    }
}
