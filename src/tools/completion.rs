//! Where the calls of a round come back: one queue for all of them, in place of a channel each.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::Context;

use futures_util::task::AtomicWaker;

use super::Ended;

/// The calls that have come back and were not taken in yet.
#[derive(Default)]
pub(crate) struct Completions {
    done: Mutex<Vec<Completion>>,
    waker: AtomicWaker,
}

/// A call that has come back.
pub(crate) struct Completion {
    /// As it was given to [`Completions::completer`].
    pub place: usize,
    /// `None` if its worker was lost with the call.
    pub ended: Option<Ended>,
}

impl Completions {
    /// Takes what has come back by now, and has `cx` woken by what comes after it.
    pub fn take(&self, cx: &Context<'_>) -> Vec<Completion> {
        self.waker.register(cx.waker());
        std::mem::take(&mut *self.done())
    }

    /// The right to complete one call: the one that its owner knows by `place`.
    pub fn completer(self: &Arc<Self>, place: usize) -> Completer {
        Completer { queue: Some(Arc::clone(self)), place }
    }

    fn done(&self) -> MutexGuard<'_, Vec<Completion>> {
        // Whoever panicked while the lock was held had pushed or not pushed.
        self.done.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// The right to complete one call. Dropping it unused says that the call was lost.
pub(crate) struct Completer {
    queue: Option<Arc<Completions>>,
    place: usize,
}

impl Completer {
    pub fn complete(mut self, ended: Ended) {
        self.push(Some(ended));
    }

    fn push(&mut self, ended: Option<Ended>) {
        if let Some(queue) = self.queue.take() {
            queue.done().push(Completion { place: self.place, ended });
            queue.waker.wake();
        }
    }
}

impl Drop for Completer {
    fn drop(&mut self) {
        self.push(None);
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use futures_util::task::noop_waker_ref;

    use super::super::{Spent, Waits};
    use super::*;
    use crate::conversation::Outcome;

    #[test]
    fn each_call_comes_back_once_as_it_ended_or_as_lost() {
        let queue = Arc::new(Completions::default());
        let (first, second) = (queue.completer(7), queue.completer(8));
        drop(first);
        let (waits, ran) = (Waits::default(), Duration::ZERO);
        let spent = Spent { waits, ran, attempts: 1, generation: 0 };
        second.complete(Ended { outcome: Outcome::ok("done"), spent });
        let cx = Context::from_waker(noop_waker_ref());
        let back: Vec<_> =
            queue.take(&cx).into_iter().map(|c| (c.place, c.ended.is_some())).collect();
        assert_eq!(back, [(7, false), (8, true)]);
        assert!(queue.take(&cx).is_empty());
    }
}
