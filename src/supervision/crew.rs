//! The workers of one session and the calls they run: all of them part of the session's own task,
//! so that a round costs no trip through the runtime's queue, and neither worker nor call a task.

use std::pin::Pin;
use std::rc::Rc;
use std::sync::Arc;
use std::task::{Context, Poll};

use actix::Addr;
use futures_util::Stream;
use futures_util::stream::FuturesUnordered;

use super::Seat;
use super::rebuild::Rebuild;
use crate::tools::{Begun, Running, ToolType, ToolWorker};

/// The workers of one session and the calls they run. Whoever owns it polls it.
#[derive(Default)]
pub(crate) struct Crew {
    /// `None` until the first worker: most sessions that sleep have none.
    members: Option<FuturesUnordered<Member>>,
    begun: Begun,
}

/// A future of its own: a worker that is rebuilt spares its running calls.
enum Member {
    Worker(Box<Rebuild>),
    Call(Running),
}

impl Crew {
    /// Takes in a worker for `tool_type`, under the supervisor of `seat`.
    pub fn hire(&mut self, tool_type: &Arc<ToolType>, seat: &Rc<Seat>) -> Addr<ToolWorker> {
        let (worker, address) = Rebuild::new(tool_type, self.begun.clone(), seat);
        self.members.get_or_insert_default().push(Member::Worker(Box::new(worker)));
        address
    }

    /// Goes on with the workers and calls that have something to do.
    pub fn poll(&mut self, cx: &mut Context<'_>) {
        let Some(members) = &mut self.members else { return };
        loop {
            while let Poll::Ready(Some(())) = Pin::new(&mut *members).poll_next(cx) {}
            let before = members.len();
            self.begun.drain_into(|call| members.push(Member::Call(call)));
            if members.len() == before {
                return;
            }
        }
    }
}

impl Future for Member {
    type Output = ();

    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<()> {
        match self.get_mut() {
            Self::Worker(worker) => Pin::new(&mut **worker).poll(cx),
            Self::Call(call) => Pin::new(call).poll(cx),
        }
    }
}
