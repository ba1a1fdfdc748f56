//! A model that sees how many calls each reply asks for before the runtime does: what the runtime
//! accounts for is held against this.

use std::sync::{Arc, Mutex, PoisonError};

use futures_util::StreamExt;

use crate::model::{Dialect, Event, Events, Model, Request};

/// Another model, watched. One for each session.
pub struct Witness {
    model: Arc<dyn Model>,
    /// The number of calls of each reply that asked for any, in order.
    seen: Arc<Mutex<Vec<usize>>>,
}

impl Witness {
    pub fn new(model: Arc<dyn Model>) -> Self {
        Self { model, seen: Arc::default() }
    }

    /// How many calls each reply asked for since the last time.
    pub fn take(&self) -> Vec<usize> {
        std::mem::take(&mut *self.seen.lock().unwrap_or_else(PoisonError::into_inner))
    }
}

impl Model for Witness {
    fn name(&self) -> &str {
        self.model.name()
    }

    fn origin(&self) -> &str {
        self.model.origin()
    }

    fn dialect(&self) -> Dialect {
        self.model.dialect()
    }

    fn ask(&self, request: Request<'_>) -> Events {
        let seen = Arc::clone(&self.seen);
        let watch = move |event: &Result<Event, _>| {
            if let Ok(Event::Reply(reply)) = event
                && !reply.calls.is_empty()
            {
                seen.lock().unwrap_or_else(PoisonError::into_inner).push(reply.calls.len());
            }
        };
        self.model.ask(request).inspect(watch).boxed_local()
    }
}
