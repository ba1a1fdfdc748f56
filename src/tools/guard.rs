//! The guard round one try of a call: a panic becomes a plain value. Knows nothing of actix, and
//! nothing of time: whoever waits for the call gives it up at its deadline, and that stops the work.

use std::any::Any;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::task::{Context, Poll};

use super::error::Again;
use super::result_limit::{ResultLimit, cut};
use super::{CallContext, ToolFuture};
use crate::conversation::{Effects, Outcome, OutcomeKind};

/// How much of the text of a panic says something.
pub(super) const MAX_PANIC: usize = 2000;

/// A try that runs. Dropping it stops the work.
pub(super) struct Guard {
    /// `None` before it begins and once it has ended.
    work: Option<ToolFuture>,
    /// What the tool's `call` itself panicked with.
    stillborn: Option<Box<str>>,
    context: CallContext,
    effects: Effects,
    /// What the tool's failure said of another try.
    again: Again,
    /// What the work panicked with when it was dropped. Its outcome stands all the same.
    drop_panic: Option<Box<str>>,
}

impl Guard {
    /// Nothing to do yet: see [`Guard::begin`].
    pub fn idle(context: CallContext, effects: Effects) -> Self {
        let (work, stillborn, drop_panic) = (None, None, None);
        Self { work, stillborn, context, effects, again: Again::default(), drop_panic }
    }

    /// Begins a try with `context`. The last one must have ended.
    pub fn begin(&mut self, context: &CallContext, call: impl FnOnce(CallContext) -> ToolFuture) {
        (self.context, self.again) = (context.clone(), Again::default());
        let call = || call(context.clone());
        match catch_unwind(AssertUnwindSafe(call)) {
            Ok(work) => self.work = Some(work),
            Err(panic) => self.stillborn = Some(text_of(panic).into()),
        }
    }

    /// What the tool says, of a long text not more than `limit` allows, or that it panicked; pending
    /// while it works.
    pub fn poll_work(&mut self, cx: &mut Context<'_>, limit: ResultLimit<'_>) -> Poll<Outcome> {
        let polled = self.poll_tool(cx, limit);
        if polled.is_ready() {
            self.stop();
        }
        polled
    }

    /// Ready once nobody waits for the call any more.
    pub fn poll_given_up(&self, cx: &Context<'_>) -> Poll<()> {
        self.context.poll_over(cx)
    }

    /// When the work last showed that it is alive.
    pub fn context(&self) -> &CallContext {
        &self.context
    }

    /// What the tool's failure said of another try; nothing, if it did not fail.
    pub fn again(&self) -> Again {
        self.again
    }

    fn poll_tool(&mut self, cx: &mut Context<'_>, limit: ResultLimit<'_>) -> Poll<Outcome> {
        if let Some(panic) = self.stillborn.take() {
            return Poll::Ready(panicked(&limit.panic(panic.into()), self.effects));
        }
        let Some(work) = &mut self.work else { return Poll::Pending };
        match catch_unwind(AssertUnwindSafe(|| work.as_mut().poll(cx))) {
            Ok(Poll::Pending) => Poll::Pending,
            Ok(Poll::Ready(Ok(text))) => Poll::Ready(Outcome::ok(limit.result(text))),
            Ok(Poll::Ready(Err(error))) => {
                self.again = error.again();
                let message = limit.error(error.message().to_owned());
                Poll::Ready(error.outcome(message, self.effects))
            }
            Err(panic) => {
                let message = limit.panic(text_of(panic));
                Poll::Ready(panicked(&message, self.effects))
            }
        }
    }

    /// What the work panicked with when it was dropped, if it did. Said once.
    pub fn take_drop_panic(&mut self) -> Option<Box<str>> {
        self.drop_panic.take()
    }

    /// Drops the work. What it does when it is dropped is the tool's doing too.
    pub fn stop(&mut self) {
        self.context.end();
        let Some(work) = self.work.take() else { return };
        let dropped = catch_unwind(AssertUnwindSafe(move || drop(work)));
        if let Err(panic) = dropped {
            self.drop_panic = Some(format!("tool panicked: {}", text_of(panic)).into());
        }
    }
}

impl Drop for Guard {
    fn drop(&mut self) {
        self.stop();
    }
}

fn panicked(cause: &str, effects: Effects) -> Outcome {
    let message = format!("tool panicked: {cause}");
    Outcome::broken_off(OutcomeKind::Panicked, &message, effects, true)
}

/// The text a panic was raised with, of a long one the beginning. What it was raised with ends here,
/// even if that panics, too.
pub(crate) fn message_of(panic: Box<dyn Any + Send>) -> String {
    cut(text_of(panic), MAX_PANIC)
}

/// The same, all of it.
fn text_of(panic: Box<dyn Any + Send>) -> String {
    let text = panic.downcast_ref::<&str>().copied();
    let text = text.or_else(|| panic.downcast_ref::<String>().map(String::as_str));
    let text = text.unwrap_or("no message").to_owned();
    if let Err(another) = catch_unwind(AssertUnwindSafe(move || drop(panic))) {
        std::mem::forget(another); // It may go on like this.
    }
    text
}
