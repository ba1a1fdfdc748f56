//! The calls that workers have and that have not come back.

use std::pin::Pin;
use std::task::{Context, Poll, ready};

use actix::MailboxError;
use actix::dev::Request;
use futures_util::Stream;
use futures_util::stream::FuturesUnordered;
use pin_project_lite::pin_project;
use tokio::time::Instant;

use crate::conversation::Effects;
use crate::tools::{Ended, RunCall, ToolWorker};

pin_project! {
    /// A call that a worker has.
    pub(super) struct InFlight {
        pub ordinal: u32,
        pub effects: Effects,
        pub dispatched: Instant,
        pub deadline: Instant,
        // `None` once nobody waits for the answer: the worker stops or skips the call.
        #[pin]
        pub answer: Option<Request<ToolWorker, RunCall>>,
    }
}

/// A call that came back.
pub(super) struct Landed {
    pub ordinal: u32,
    pub effects: Effects,
    pub dispatched: Instant,
    /// An error if the worker was lost with the call.
    pub ended: Result<Ended, MailboxError>,
}

impl Future for InFlight {
    type Output = Option<Landed>;

    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Landed>> {
        let this = self.project();
        let Some(answer) = this.answer.as_pin_mut() else {
            return Poll::Ready(None);
        };
        let ended = ready!(answer.poll(cx));
        let (ordinal, effects, dispatched) = (*this.ordinal, *this.effects, *this.dispatched);
        Poll::Ready(Some(Landed { ordinal, effects, dispatched, ended }))
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
        while let Poll::Ready(Some(call)) = Pin::new(&mut self.0).poll_next(cx) {
            landed.extend(call);
        }
        landed
    }

    /// All calls that have not come back, those given up included.
    pub fn all(&self) -> impl Iterator<Item = Pin<&InFlight>> {
        Pin::new(&self.0).iter_pin_ref()
    }

    /// The calls that somebody still waits for.
    pub fn awaited(&self) -> impl Iterator<Item = Pin<&InFlight>> {
        self.all().filter(|call| call.answer.is_some())
    }

    /// Gives up the calls whose deadline lies before `now`, and says which they were.
    pub fn give_up(&mut self, now: Instant) -> Vec<u32> {
        let calls = Pin::new(&mut self.0).iter_pin_mut();
        let late = calls.filter(|call| call.answer.is_some() && call.deadline <= now);
        late.map(|call| {
            let mut call = call.project();
            call.answer.set(None);
            *call.ordinal
        })
        .collect()
    }

    /// The first deadline of a call that somebody still waits for.
    pub fn next_deadline(&self) -> Option<Instant> {
        self.awaited().map(|call| call.deadline).min()
    }
}
