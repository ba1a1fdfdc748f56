//! A call that runs. It belongs to its session, not to the worker that began it: a worker that is
//! rebuilt spares its calls.

use std::cell::RefCell;
use std::pin::Pin;
use std::rc::Rc;
use std::task::{Context, Poll};

use tokio::time::Instant;
use tracing::Span;

use super::guard::Guard;
use super::{Completer, Ended, Health, Waits};
use crate::conversation::{Outcome, OutcomeKind};

/// The calls of one session that have begun and are not polled by anybody yet. Cheap to clone.
#[derive(Clone, Default)]
pub(crate) struct Begun(Rc<RefCell<Vec<Running>>>);

impl Begun {
    pub(super) fn push(&self, call: Running) {
        self.0.borrow_mut().push(call);
    }

    /// Hands every call to `take`, who polls it from now on.
    pub fn drain_into(&self, take: impl FnMut(Running)) {
        self.0.borrow_mut().drain(..).for_each(take);
    }
}

/// A call that runs. Dropping it stops the work.
pub(crate) struct Running {
    pub(super) guard: Guard,
    pub(super) health: Rc<Health>,
    pub(super) generation: u32,
    pub(super) waits: Waits,
    pub(super) began: Instant,
    /// `None` once it is answered.
    pub(super) completer: Option<Completer>,
    pub(super) span: Span,
}

impl Running {
    /// Tells those who wait for the call, and the worker if it was the last of this one.
    pub(super) fn end(&mut self, outcome: Outcome) {
        let Self { health, generation, waits, began, guard, .. } = self;
        if let (OutcomeKind::Panicked, Some(problem)) = (outcome.kind, &outcome.problem) {
            health.report_failure(*generation, &problem.message);
        } else if let Some(cause) = guard.panicked_on_drop() {
            health.report_failure(*generation, cause);
        }
        let (waits, ran, generation) = (*waits, began.elapsed(), *generation);
        if let Some(completer) = self.completer.take() {
            completer.complete(Ended { outcome, waits, ran, attempts: 1, generation });
        }
    }
}

impl Future for Running {
    type Output = ();

    /// Runs the call to its end. The work is dropped as soon as nobody waits for the answer.
    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<()> {
        let this = &mut *self;
        let entered = this.span.enter();
        let polled = this.guard.poll_work(cx);
        drop(entered);
        match polled {
            Poll::Ready(outcome) => {
                this.end(outcome);
                Poll::Ready(())
            }
            Poll::Pending => this.guard.poll_given_up(cx),
        }
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        let _entered = self.span.enter();
        self.guard.stop();
        if let (Some(cause), Some(_)) = (self.guard.panicked_on_drop(), &self.completer) {
            self.health.report_failure(self.generation, cause); // Given up, and bad at it.
        }
    }
}
