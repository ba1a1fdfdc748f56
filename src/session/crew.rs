//! How the workers of a session go on, also between its turns.

use std::pin::Pin;
use std::task::{Context as TaskContext, Poll};

use actix::Context;
use actix::fut::ActorFuture;

use super::coordinator::Coordinator;

/// Tends the workers and their calls as long as somebody can reach the session.
pub(super) struct Tend;

impl ActorFuture<Coordinator> for Tend {
    type Output = ();

    fn poll(
        self: Pin<&mut Self>,
        this: &mut Coordinator,
        ctx: &mut Context<Coordinator>,
        cx: &mut TaskContext<'_>,
    ) -> Poll<()> {
        this.crew.poll(cx);
        // The context wakes when the last handle goes, and ends when nothing is left to be polled.
        let goes_on = ctx.connected() || this.turn.is_some() || !this.opened;
        if goes_on { Poll::Pending } else { Poll::Ready(()) }
    }
}
