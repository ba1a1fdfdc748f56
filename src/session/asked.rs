//! A question that was asked, and its answer.

use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};

use futures_util::FutureExt;
use tokio::sync::oneshot;

use super::ticket::Ticket;
use super::{Answer, Error};

/// A question that was asked, and its answer to come. Dropping it does not stop a turn that has begun.
#[must_use = "the answer is lost"]
pub struct Asked {
    ticket: Arc<Ticket>,
    answer: oneshot::Receiver<Result<Answer, Error>>,
}

impl Asked {
    pub(super) fn new(
        ticket: Arc<Ticket>,
        answer: oneshot::Receiver<Result<Answer, Error>>,
    ) -> Self {
        Self { ticket, answer }
    }

    pub(super) fn ticket(&self) -> &Arc<Ticket> {
        &self.ticket
    }

    /// The number of the turn that has begun with the question; `None` as long as none has. It is there
    /// before anybody hears of the turn.
    #[must_use]
    pub fn turn(&self) -> Option<u64> {
        Some(self.ticket.turn()).filter(|turn| *turn > 0)
    }
}

impl Future for Asked {
    type Output = Result<Answer, Error>;

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        self.answer.poll_unpin(cx).map(|answer| answer.unwrap_or(Err(Error::Closed)))
    }
}

impl std::fmt::Debug for Asked {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Asked").field("turn", &self.turn()).finish_non_exhaustive()
    }
}
