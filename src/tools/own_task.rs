//! A reply that does not die with its actor.

use actix::dev::{MessageResponse, OneshotSender};
use actix::{Actor, Message};
use futures_util::future::LocalBoxFuture;

/// A reply computed in a task of its own: it outlives a restart of its actor, and is dropped as
/// soon as nobody waits for it.
///
/// actix's own choices do neither: `ResponseActFuture` is dropped with its actor, and
/// `ResponseFuture` goes on after its caller is gone.
pub struct OwnTask<T>(LocalBoxFuture<'static, T>);

impl<T> OwnTask<T> {
    /// Will run `work` when the actor hands the reply out.
    pub fn new(work: impl Future<Output = T> + 'static) -> Self {
        Self(Box::pin(work))
    }
}

impl<A, M, T> MessageResponse<A, M> for OwnTask<T>
where
    A: Actor,
    M: Message<Result = T>,
    T: 'static,
{
    fn handle(self, _: &mut A::Context, reply: Option<OneshotSender<T>>) {
        let work = self.0;
        actix_rt::spawn(async move {
            let Some(mut reply) = reply else {
                drop(work.await);
                return;
            };
            tokio::select! {
                biased;
                value = work => drop(reply.send(value)),
                () = reply.closed() => {} // The caller is gone, and so is the work.
            }
        });
    }
}
