//! The sessions that the server has a handle of: those in use, and those that were lately.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Instant;

use super::problem::Problem;
use crate::conversation::SessionId;
use crate::session::{Runtime, Session, SessionOptions};

/// Handles of sessions. One that is asleep costs little; beyond the most the one that was used longest
/// ago is let go.
pub(super) struct Registry {
    most: usize,
    held: Mutex<HashMap<SessionId, Held>>,
}

struct Held {
    session: Session,
    used: Instant,
    /// Every request that uses it has one.
    keys: Arc<tokio::sync::Mutex<()>>,
}

/// A session in use.
#[derive(Clone)]
pub(super) struct InUse {
    pub session: Session,
    /// Held by whoever looks whether a question was asked already, until it is.
    pub keys: Arc<tokio::sync::Mutex<()>>,
}

impl Registry {
    pub fn new(most: usize) -> Self {
        Self { most: most.max(1), held: Mutex::default() }
    }

    /// The session of this id, with what is known of it here or else made of `options`.
    ///
    /// # Errors
    /// If too many are in use.
    pub fn enter(
        &self,
        id: &SessionId,
        runtime: &Runtime,
        options: impl FnOnce() -> SessionOptions,
    ) -> Result<InUse, Problem> {
        let mut held = self.locked();
        if let Some(known) = held.get_mut(id) {
            known.used = Instant::now();
            let (session, keys) = (known.session.clone(), Arc::clone(&known.keys));
            return Ok(InUse { session, keys });
        }
        if held.len() >= self.most {
            let unused = held.iter().filter(|(_, held)| Arc::strong_count(&held.keys) == 1);
            let oldest = unused.min_by_key(|(_, held)| held.used).map(|(id, _)| id.clone());
            let Some(oldest) = oldest else {
                return Err(Problem::overloaded("too many sessions are in use", 1));
            };
            held.remove(&oldest);
        }
        let session = runtime.session(options().id(id.clone()));
        let keys = Arc::default();
        let in_use = InUse { session: session.clone(), keys: Arc::clone(&keys) };
        held.insert(id.clone(), Held { session, used: Instant::now(), keys });
        Ok(in_use)
    }

    /// Lets the session go.
    pub fn forget(&self, id: &SessionId) -> bool {
        self.locked().remove(id).is_some()
    }

    fn locked(&self) -> MutexGuard<'_, HashMap<SessionId, Held>> {
        self.held.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
