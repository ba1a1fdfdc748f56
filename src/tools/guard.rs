//! The guard round one call: a panic and a time limit become plain values. Knows nothing of actix.

use std::any::Any;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::pin::Pin;
use std::task::{Context, Poll};

use tokio::time::{Instant, Sleep, sleep_until};

use super::{CallContext, Error, Tool, ToolFuture};
use crate::conversation::{Effects, Expired, Outcome, OutcomeKind, timed_out};

/// What a call may not outlive.
#[derive(Clone, Copy, Debug)]
pub(super) struct Limit {
    pub deadline: Instant,
    /// Whose deadline that is, for the text of the outcome.
    pub expires: Expired,
}

/// A call that runs. Dropping it stops the work.
///
/// Written by hand so that a call costs some 100 bytes, and its timer nothing until it has to wait.
pub(super) struct Guard {
    /// `None` once it has ended.
    work: Option<ToolFuture>,
    /// A panic of the tool's `call` itself.
    stillborn: Option<Outcome>,
    context: CallContext,
    effects: Effects,
    limit: Limit,
    timer: Option<Pin<Box<Sleep>>>,
    /// What the work panicked with when it was dropped. Its outcome stands all the same.
    drop_panic: Option<String>,
}

impl Guard {
    /// Begins the call.
    pub fn new(
        tool: &dyn Tool,
        arguments: &str,
        context: CallContext,
        effects: Effects,
        limit: Limit,
    ) -> Self {
        let call = || tool.call(arguments, context.clone());
        let (work, stillborn) = match catch_unwind(AssertUnwindSafe(call)) {
            Ok(work) => (Some(work), None),
            Err(panic) => (None, Some(panicked(&*panic, effects))),
        };
        Self { work, stillborn, context, effects, limit, timer: None, drop_panic: None }
    }

    /// What the tool says, or that it panicked; pending while it works. Knows of no time limit.
    pub fn poll_work(&mut self, cx: &mut Context<'_>) -> Poll<Outcome> {
        let polled = self.poll_tool(cx);
        if polled.is_ready() {
            self.stop();
        }
        polled
    }

    fn poll_tool(&mut self, cx: &mut Context<'_>) -> Poll<Outcome> {
        if let Some(outcome) = self.stillborn.take() {
            return Poll::Ready(outcome);
        }
        let Some(work) = &mut self.work else { return Poll::Pending };
        match catch_unwind(AssertUnwindSafe(|| work.as_mut().poll(cx))) {
            Ok(Poll::Pending) => Poll::Pending,
            Ok(Poll::Ready(Ok(text))) => Poll::Ready(Outcome::ok(text)),
            Ok(Poll::Ready(Err(error))) => Poll::Ready(tool_error(&error)),
            Err(panic) => Poll::Ready(panicked(&*panic, self.effects)),
        }
    }

    fn poll_timer(&mut self, cx: &mut Context<'_>) -> Poll<Outcome> {
        let Limit { deadline, expires } = self.limit;
        let timer = self.timer.get_or_insert_with(|| Box::pin(sleep_until(deadline)));
        timer.as_mut().poll(cx).map(|()| {
            let (kind, message) = timed_out(expires);
            Outcome::broken_off(kind, &message, self.effects, true)
        })
    }

    /// What the work panicked with when it was dropped, if it did.
    pub fn panicked_on_drop(&self) -> Option<&str> {
        self.drop_panic.as_deref()
    }

    /// Drops the work. What it does when it is dropped is the tool's doing too.
    fn stop(&mut self) {
        self.context.end();
        let work = self.work.take();
        let dropped = catch_unwind(AssertUnwindSafe(move || drop(work)));
        if let Err(panic) = dropped {
            self.drop_panic = Some(format!("tool panicked: {}", message_of(&*panic)));
        }
    }
}

impl Future for Guard {
    type Output = Outcome;

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Outcome> {
        if let Poll::Ready(outcome) = self.poll_work(cx) {
            return Poll::Ready(outcome);
        }
        let late = self.poll_timer(cx);
        if late.is_ready() {
            self.stop();
        }
        late
    }
}

impl Drop for Guard {
    fn drop(&mut self) {
        self.stop();
    }
}

fn tool_error(error: &Error) -> Outcome {
    let kind =
        if error.is_bad_arguments() { OutcomeKind::BadArguments } else { OutcomeKind::ToolError };
    Outcome::failed(kind, error.message())
}

fn panicked(panic: &(dyn Any + Send), effects: Effects) -> Outcome {
    let message = format!("tool panicked: {}", message_of(panic));
    Outcome::broken_off(OutcomeKind::Panicked, &message, effects, true)
}

/// The text a panic was raised with.
pub(crate) fn message_of(panic: &(dyn Any + Send)) -> String {
    let text = panic.downcast_ref::<&str>().copied();
    let text = text.or_else(|| panic.downcast_ref::<String>().map(String::as_str));
    text.unwrap_or("no message").to_owned()
}
