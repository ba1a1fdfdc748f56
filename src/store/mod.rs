//! The journal: the append-only record of each session, of which its state is a fold.

mod memory;

use std::pin::Pin;
use std::task::{Context, Poll};

use futures_util::future::LocalBoxFuture;

pub use memory::MemoryStore;

use crate::conversation::{Batch, Record, SessionId};

/// Why a record was not taken.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// Somebody else wrote to the session: this owner knows less than the journal and must stop.
    #[error("session `{session}` is at event {found}, not {expected}: it has another owner")]
    Conflict {
        /// The session.
        session: SessionId,
        /// What the writer took for the last event.
        expected: u64,
        /// The last event there is.
        found: u64,
    },
    /// The store does not answer, or cannot write.
    #[error("the store failed: {reason}")]
    Unavailable {
        /// One line.
        reason: String,
    },
    /// A later owner opened the session: this one begins nothing any more.
    #[error("session `{session}` was taken over by a later owner")]
    Fenced {
        /// The session.
        session: SessionId,
    },
}

/// Keeps the records of sessions. One value serves all sessions of a process.
///
/// Answers are polled on the arbiter of their session, and may be dropped before they are there:
/// what was asked for is then done or not done, but never in part.
pub trait Journal: Send + Sync {
    /// Opens `session` for writing under a higher epoch than anyone before, and answers with that
    /// epoch. Whoever held it is fenced from now on.
    fn open(&self, session: &SessionId) -> Pending<Result<u64, Error>>;

    /// Adds `records` to the session's end, all or none. `expected_seq` is the number of the last
    /// event the writer knows of; `epoch` is what [`Journal::open`] answered.
    ///
    /// Once the answer is `Ok`, the records are kept as safely as the store promises.
    ///
    /// # Errors
    /// [`Error::Conflict`] and [`Error::Fenced`]: nothing was written, and the writer is no longer
    /// the owner.
    fn append(
        &self,
        session: &SessionId,
        expected_seq: u64,
        epoch: u64,
        records: Batch,
    ) -> Pending<Result<(), Error>>;

    /// The records of `session` after event `after`, in order; empty for a session nobody knows.
    fn read(&self, session: &SessionId, after: u64) -> Pending<Result<Vec<Record>, Error>>;

    /// The owner of `epoch` will write no more. Nothing is lost if it is never called.
    fn close(&self, session: &SessionId, epoch: u64);

    /// Forgets `session`.
    fn remove(&self, session: &SessionId) -> Pending<Result<(), Error>>;
}

/// An answer that may be there already: a store in memory costs its callers no waiting.
pub enum Pending<T> {
    /// It is there.
    Ready(Option<T>),
    /// It will come.
    Later(LocalBoxFuture<'static, T>),
}

impl<T> Pending<T> {
    /// An answer that is there.
    pub fn ready(value: T) -> Self {
        Self::Ready(Some(value))
    }
}

impl<T: Unpin> Future for Pending<T> {
    type Output = T;

    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<T> {
        match self.get_mut() {
            Self::Ready(value) => Poll::Ready(value.take().expect("polled after its answer")),
            Self::Later(future) => future.as_mut().poll(cx),
        }
    }
}
