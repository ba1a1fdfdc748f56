//! What a worker's calls tell of it: shared by the calls, the worker and its rebuilder, all on one
//! thread.

use std::cell::{Cell, RefCell};
use std::task::Waker;

use tokio::time::Instant;

/// The condition of one worker.
#[derive(Debug, Default)]
pub(crate) struct Health {
    generation: Cell<u32>,
    failure: RefCell<Option<String>>,
    watcher: RefCell<Option<Waker>>,
    down: Cell<Option<(Instant, Instant)>>,
}

impl Health {
    /// How often the worker was rebuilt.
    pub fn generation(&self) -> u32 {
        self.generation.get()
    }

    /// Says that a call of `generation` panicked. News of an earlier generation is stale.
    pub fn report_failure(&self, generation: u32, cause: &str) {
        if generation != self.generation.get() || self.failure.borrow().is_some() {
            return;
        }
        *self.failure.borrow_mut() = Some(cause.to_owned());
        if let Some(waker) = self.watcher.borrow_mut().take() {
            waker.wake();
        }
    }

    /// Says whether a failure waits to be dealt with.
    pub fn has_failed(&self) -> bool {
        self.failure.borrow().is_some()
    }

    /// Takes the failure that was reported, or has `waker` woken by the next one.
    pub fn take_failure(&self, waker: &Waker) -> Option<String> {
        let failure = self.failure.borrow_mut().take();
        if failure.is_none() {
            let mut watcher = self.watcher.borrow_mut();
            if !watcher.as_ref().is_some_and(|watcher| watcher.will_wake(waker)) {
                *watcher = Some(waker.clone());
            }
        }
        failure
    }

    /// Begins the next generation. The worker was down from `since` until now.
    pub fn rebuilt(&self, since: Instant) {
        self.generation.set(self.generation.get() + 1);
        self.failure.borrow_mut().take(); // Of the generation that is gone.
        self.down.set(Some((since, Instant::now())));
    }

    /// The last time the worker was down.
    pub fn down(&self) -> Option<(Instant, Instant)> {
        self.down.get()
    }
}
