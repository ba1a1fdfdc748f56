//! The sessions that the server has a handle of: those in use, and those that were lately.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use tokio::time::Instant;

use super::access::Owner;
use super::problem::Problem;
use crate::conversation::SessionId;
use crate::session::{Runtime, Session, SessionOptions};

/// Handles of sessions. One that is asleep costs little; of each owner's, beyond the most the one that was
/// used longest ago is let go. What others do lets none of them go.
pub(super) struct Registry {
    most_of_one: usize,
    held: Mutex<HashMap<Owner, HashMap<SessionId, Held>>>,
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
    /// At most `most_of_one` of each owner.
    pub fn new(most_of_one: usize) -> Self {
        Self { most_of_one: most_of_one.max(1), held: Mutex::default() }
    }

    /// The session `id` of `owner`, with what is known of it here or else made of `options`.
    ///
    /// # Errors
    /// If too many are in use.
    pub fn enter(
        &self,
        owner: &Owner,
        id: &SessionId,
        runtime: &Runtime,
        options: impl FnOnce() -> SessionOptions,
    ) -> Result<InUse, Problem> {
        let mut let_go = None; // Dropped when it is not locked any more: observers hear of that.
        let mut all = self.locked();
        let held = all.entry(owner.clone()).or_default();
        if held.get(id).is_some_and(|known| known.session.has_ended()) {
            let_go = held.remove(id);
        }
        if let Some(known) = held.get_mut(id) {
            known.used = Instant::now();
            let (session, keys) = (known.session.clone(), Arc::clone(&known.keys));
            return Ok(InUse { session, keys });
        }
        if held.len() >= self.most_of_one {
            let unused = held.iter().filter(|(_, held)| Arc::strong_count(&held.keys) == 1);
            let mut unused: Vec<_> = unused.map(|(id, held)| (held.used, id)).collect();
            unused.sort_unstable_by_key(|(used, _)| *used);
            // A turn goes on whether or not its client is there.
            let oldest = unused.into_iter().find(|(_, id)| !runtime.is_busy(id));
            let Some(oldest) = oldest.map(|(_, id)| id.clone()) else {
                return Err(Problem::overloaded("too many sessions are in use", 1));
            };
            let_go = held.remove(&oldest);
        }
        let session = runtime.session(options().id(id.clone()));
        let keys = Arc::default();
        let in_use = InUse { session: session.clone(), keys: Arc::clone(&keys) };
        held.insert(id.clone(), Held { session, used: Instant::now(), keys });
        drop(all);
        drop(let_go);
        Ok(in_use)
    }

    /// Lets the session go.
    pub fn forget(&self, owner: &Owner, id: &SessionId) {
        let held = self.locked().get_mut(owner).and_then(|held| held.remove(id));
        drop(held);
    }

    fn locked(&self) -> MutexGuard<'_, HashMap<Owner, HashMap<SessionId, Held>>> {
        self.held.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use tokio::time::sleep;

    use super::super::access::Tokens;
    use super::*;
    use crate::testing::{self, ScriptedModel};
    use crate::tools::ToolSet;

    #[test]
    fn the_one_that_was_used_longest_ago_is_let_go_and_none_that_is_in_use() {
        testing::run(async {
            let runtime = testing::runtime();
            let tools = Arc::new(ToolSet::new([]).expect("no tools are well formed"));
            let options = SessionOptions::new(ScriptedModel::new([]), tools);
            let owner = Tokens::new(&[], None).unwrap().owner_of("a");
            let registry = Registry::new(3);
            let enter = async |id: &str| {
                sleep(Duration::from_secs(1)).await;
                registry.enter(&owner, &SessionId::new(id), &runtime, || options.clone())
            };
            let held = || {
                let all = registry.locked();
                let mut held: Vec<_> = all[&owner].keys().map(SessionId::to_string).collect();
                held.sort_unstable();
                held.concat()
            };
            let used = enter("a").await.unwrap();
            for id in ["b", "c", "b", "d"] {
                drop(enter(id).await.unwrap());
            }
            assert_eq!(held(), "abd", "c is older than b, and a is in use");
            drop(used);
            drop(enter("e").await.unwrap());
            assert_eq!(held(), "bde");
            registry.forget(&owner, &SessionId::new("b"));
            assert_eq!(held(), "de");
        });
    }
}
