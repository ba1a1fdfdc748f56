//! The calls that workers have and that have not come back.

use std::sync::Arc;
use std::task::Context;

use tokio::time::Instant;

use crate::conversation::{Effects, Place};
use crate::tools::{CallContext, Completer, Completion, Completions};

/// A call that a worker has.
pub(super) struct InFlight {
    pub effects: Effects,
    pub dispatched: Instant,
    /// Knows whether the call has begun.
    pub context: CallContext,
    /// False once nobody waits for the answer: the worker stops or skips the call.
    awaited: bool,
}

/// The calls of a round that workers have. Dropping it stops them.
#[derive(Default)]
pub(super) struct Flight {
    calls: Vec<InFlight>,
    completions: Option<Arc<Completions>>,
}

impl Flight {
    /// Takes in a call that begins now. Whoever runs it completes it with what comes back.
    pub fn begin(
        &mut self,
        effects: Effects,
        dispatched: Instant,
        context: CallContext,
    ) -> Completer {
        let completions = self.completions.get_or_insert_default();
        let completer = completions.completer(self.calls.len());
        self.calls.push(InFlight { effects, dispatched, context, awaited: true });
        completer
    }

    /// Makes room for `calls` more.
    pub fn reserve(&mut self, calls: usize) {
        self.calls.reserve(calls);
    }

    /// Forgets every call, and so stops those that run.
    pub fn clear(&mut self) {
        *self = Self::default();
    }

    /// Everything that has come back by now and that somebody waited for; empty if nothing has.
    pub fn take_landed(&mut self, cx: &Context<'_>) -> Vec<Completion> {
        let Some(completions) = &self.completions else { return Vec::new() };
        let mut landed = completions.take(cx);
        landed.retain(|Completion { place, .. }| {
            self.calls.get_mut(*place).is_some_and(|call| std::mem::take(&mut call.awaited))
        });
        landed
    }

    /// The call that its completer knows by `index`.
    pub fn call(&self, index: usize) -> Option<&InFlight> {
        self.calls.get(index)
    }

    /// All calls of the round that were handed to workers, those that came back or were given up
    /// included.
    pub fn all(&self) -> impl Iterator<Item = &InFlight> {
        self.calls.iter()
    }

    /// The calls that somebody still waits for.
    pub fn awaited(&self) -> impl Iterator<Item = &InFlight> {
        self.all().filter(|call| call.awaited)
    }

    /// Gives up every call, and keeps what is known of them.
    pub fn stop(&mut self) {
        self.calls.iter_mut().for_each(InFlight::give_up);
    }

    /// Says whether somebody still waits for any of them.
    pub fn has_awaited(&self) -> bool {
        self.awaited().next().is_some()
    }

    /// The call at `place` in the round.
    pub fn at(&self, place: Place) -> Option<&InFlight> {
        self.all().find(|call| call.place() == place)
    }

    /// Gives up the call at `place`, and says whether somebody still waited for it; `None` if no
    /// worker has it.
    pub fn give_up(&mut self, place: Place) -> Option<bool> {
        let call = self.calls.iter_mut().find(|call| call.place() == place)?;
        let was_awaited = call.awaited;
        call.give_up();
        Some(was_awaited)
    }

    /// Gives up the calls whose deadline has come by `now`.
    pub fn give_up_late(&mut self, now: Instant) {
        let late = self.calls.iter_mut().filter(|call| call.context.deadline() <= now);
        late.for_each(InFlight::give_up);
    }

    /// The first deadline of a call that somebody still waits for.
    pub fn next_deadline(&self) -> Option<Instant> {
        self.awaited().map(|call| call.context.deadline()).min()
    }
}

impl InFlight {
    /// Where it stands in the round.
    pub fn place(&self) -> Place {
        self.context.key().place()
    }

    /// Says whether somebody still waits for the answer. Of a call that has no answer and none on
    /// its way, that nobody does means that it was given up.
    pub fn is_awaited(&self) -> bool {
        self.awaited
    }

    fn give_up(&mut self) {
        if std::mem::take(&mut self.awaited) {
            self.context.give_up();
        }
    }
}

impl Drop for InFlight {
    fn drop(&mut self) {
        self.give_up();
    }
}
