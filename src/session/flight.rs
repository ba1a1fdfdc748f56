//! The calls that workers have and that have not come back.

use std::future::poll_fn;
use std::pin::Pin;
use std::task::{Context, Poll, ready};

use futures_util::Stream;
use futures_util::stream::FuturesUnordered;
use tokio::sync::oneshot;
use tokio::task::coop::unconstrained;
use tokio::time::Instant;

use crate::conversation::Effects;
use crate::tools::{CallContext, Ended};

/// A call that a worker has.
pub(super) struct InFlight {
    pub ordinal: u32,
    pub effects: Effects,
    pub dispatched: Instant,
    /// Knows whether the call has begun.
    pub context: CallContext,
    /// `None` once nobody waits for the answer: the worker stops or skips the call.
    pub answer: Option<oneshot::Receiver<Ended>>,
}

/// A call that came back.
pub(super) struct Landed {
    pub ordinal: u32,
    pub effects: Effects,
    pub dispatched: Instant,
    pub context: CallContext,
    /// `None` if the worker was lost with the call.
    pub ended: Option<Ended>,
}

impl Future for InFlight {
    type Output = Option<Landed>;

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Landed>> {
        let Some(answer) = &mut self.answer else { return Poll::Ready(None) };
        let ended = ready!(Pin::new(answer).poll(cx)).ok();
        let Self { ordinal, effects, dispatched, .. } = *self;
        let context = self.context.clone();
        Poll::Ready(Some(Landed { ordinal, effects, dispatched, context, ended }))
    }
}

/// The calls of a round that workers have. Dropping it stops them.
#[derive(Default)]
pub(super) struct Flight(FuturesUnordered<InFlight>);

impl Flight {
    pub fn push(&mut self, call: InFlight) {
        self.0.push(call);
    }

    /// Everything that has come back by now; empty if nothing has.
    pub fn poll_landed(&mut self, cx: &mut Context<'_>) -> Vec<Landed> {
        let mut landed = Vec::new();
        let calls = &mut self.0;
        // What has come back is taken at once, however much it is: tokio would have us come again
        // after each 128.
        let mut take = unconstrained(poll_fn(|cx| {
            while let Poll::Ready(Some(call)) = Pin::new(&mut *calls).poll_next(cx) {
                landed.extend(call);
            }
            Poll::Ready(())
        }));
        let _ = Pin::new(&mut take).poll(cx);
        landed
    }

    /// All calls that have not come back, those given up included.
    pub fn all(&self) -> impl Iterator<Item = &InFlight> {
        self.0.iter()
    }

    /// The calls that somebody still waits for.
    pub fn awaited(&self) -> impl Iterator<Item = &InFlight> {
        self.all().filter(|call| call.answer.is_some())
    }

    /// Gives up every call, and keeps what is known of them.
    pub fn stop(&mut self) {
        for call in self.0.iter_mut() {
            call.answer = None;
        }
    }

    /// Gives up the calls whose deadline lies before `now`, and says which they were.
    pub fn give_up(&mut self, now: Instant) -> Vec<u32> {
        let late = self
            .0
            .iter_mut()
            .filter(|call| call.answer.is_some() && call.context.deadline() <= now);
        late.map(|call| {
            call.answer = None;
            call.ordinal
        })
        .collect()
    }

    /// The first deadline of a call that somebody still waits for.
    pub fn next_deadline(&self) -> Option<Instant> {
        self.awaited().map(|call| call.context.deadline()).min()
    }
}
