//! The guard round one call: a panic, a time limit and a lost caller become plain values. Knows
//! nothing of actix.

use std::any::Any;
use std::future::poll_fn;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::pin::pin;
use std::rc::Rc;

use futures_util::FutureExt;
use tokio::time::{Instant, timeout_at};

use super::context::Cancellation;
use super::{CallContext, Error, Tool};
use crate::conversation::{Effects, Expired, Outcome, OutcomeKind, timed_out};

/// What the guard needs to know of a call.
pub(super) struct Limits {
    pub effects: Effects,
    pub deadline: Instant,
    /// Whose deadline that is, for the text of the outcome.
    pub expires: Expired,
}

/// Runs one call to its end, whatever the tool does. The message of a panic is handed to
/// `on_panic` besides being answered.
pub(super) async fn guarded(
    tool: Rc<dyn Tool>,
    arguments: &str,
    context: CallContext,
    limits: Limits,
    on_panic: impl FnOnce(&str),
) -> Outcome {
    let _over = CancelOnDrop(context.cancellation.clone());
    let Limits { effects, deadline, expires } = limits;
    // The tool's own part of the call, the making of its future included, runs under the catch.
    let work = AssertUnwindSafe(async move { tool.call(arguments, context).await }).catch_unwind();
    let mut work = pin!(Some(work));
    let poll = poll_fn(|cx| work.as_mut().as_pin_mut().expect("dropped below").poll(cx));
    let ended = timeout_at(deadline, poll).await;
    // What a future does when it is dropped is the tool's doing too.
    let dropped = catch_unwind(AssertUnwindSafe(|| work.set(None)));
    match (ended, dropped) {
        (Ok(Ok(Ok(text))), Ok(())) => Outcome::ok(text),
        (Ok(Ok(Err(error))), Ok(())) => tool_error(&error),
        (Err(_elapsed), Ok(())) => {
            let (kind, message) = timed_out(expires);
            Outcome::broken_off(kind, &message, effects, true)
        }
        (Ok(Err(panic)), _) | (_, Err(panic)) => {
            let message = message_of(&*panic);
            on_panic(&message);
            let message = format!("tool panicked: {message}");
            Outcome::broken_off(OutcomeKind::Panicked, &message, effects, true)
        }
    }
}

fn tool_error(error: &Error) -> Outcome {
    Outcome::failed(OutcomeKind::ToolError, error.message())
}

/// The text a panic was raised with.
pub(crate) fn message_of(panic: &(dyn Any + Send)) -> String {
    let text = panic.downcast_ref::<&str>().copied();
    let text = text.or_else(|| panic.downcast_ref::<String>().map(String::as_str));
    text.unwrap_or("no message").to_owned()
}

struct CancelOnDrop(Cancellation);

impl Drop for CancelOnDrop {
    fn drop(&mut self) {
        self.0.cancel();
    }
}
