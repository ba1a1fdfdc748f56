//! What the sessions of a runtime share: where they live, and who is there.

use std::collections::HashMap;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use actix::Addr;

use super::SessionOptions;
use super::host::Host;
use super::observer::Observers;
use super::pulse::Pulse;
use super::slot::Slot;
use crate::conversation::SessionId;

/// How many locks share the sessions of a runtime.
const SHARDS: usize = 16;

/// The arbiters of a runtime, and the sessions on them.
pub(super) struct Home {
    /// One for each arbiter.
    pub hosts: Vec<Addr<Host>>,
    /// As the hosts: how each arbiter is.
    pub pulses: Vec<Arc<Pulse>>,
    pub directory: Directory,
    pub observers: Observers,
    next: AtomicUsize,
}

impl Home {
    pub fn new(hosts: Vec<Addr<Host>>, pulses: Vec<Arc<Pulse>>, observers: Observers) -> Arc<Self> {
        let (directory, next) = (Directory::default(), AtomicUsize::new(0));
        Arc::new(Self { hosts, pulses, directory, observers, next })
    }

    pub fn host(&self, arbiter: usize) -> &Addr<Host> {
        &self.hosts[arbiter]
    }

    /// The next arbiter in turn among those that are not stuck, or among all if all are.
    pub fn next_place(&self) -> usize {
        let next = self.next.fetch_add(1, Ordering::Relaxed);
        self.sound_after(next).unwrap_or(next % self.pulses.len())
    }

    /// The next arbiter in turn among those that are not stuck.
    pub fn sound_place(&self) -> Option<usize> {
        self.sound_after(self.next.fetch_add(1, Ordering::Relaxed))
    }

    fn sound_after(&self, next: usize) -> Option<usize> {
        let sound = || (0..self.pulses.len()).filter(|place| !self.pulses[*place].is_stuck());
        match sound().count() {
            0 => None,
            count => sound().nth(next % count), // Meanwhile another may have become stuck.
        }
    }
}

/// The sessions that are awake, or that somebody has a handle of. Those that sleep and that nobody
/// knows cost nothing.
#[derive(Default)]
pub(super) struct Directory {
    /// Hashed as safely as by default: ids may come from anybody.
    hasher: ahash::RandomState,
    shards: [Mutex<HashMap<SessionId, Arc<Slot>, ahash::RandomState>>; SHARDS],
}

impl Directory {
    /// The session `id`, with one handle more; made with `options` if it is not there.
    pub fn enter(&self, id: SessionId, options: SessionOptions, home: &Arc<Home>) -> Arc<Slot> {
        let mut shard = self.shard(&id);
        if let Some(slot) = shard.get(&id).filter(|slot| !slot.has_ended()) {
            slot.add_handle();
            return Arc::clone(slot);
        }
        let slot = Slot::new(id.clone(), Arc::new(options), Arc::clone(home));
        let ended = shard.insert(id, Arc::clone(&slot));
        drop(shard);
        drop(ended);
        slot
    }

    /// Forgets `slot` if nothing is left of it.
    pub fn forget(&self, slot: &Arc<Slot>) {
        let mut shard = self.shard(&slot.id);
        let is_it = shard.get(&slot.id).is_some_and(|known| Arc::ptr_eq(known, slot));
        let forgotten = if is_it && slot.is_done_with() { shard.remove(&slot.id) } else { None };
        if shard.len() < shard.capacity() / 4 {
            shard.shrink_to_fit();
        }
        drop(shard);
        if let Some(slot) = &forgotten {
            slot.leave();
        }
        drop(forgotten);
    }

    /// The session `id`, if it is there.
    pub fn find(&self, id: &SessionId) -> Option<Arc<Slot>> {
        self.shard(id).get(id).cloned()
    }

    /// How many there are.
    pub fn len(&self) -> usize {
        self.shards.iter().map(|shard| lock(shard).len()).sum()
    }

    /// All of them.
    pub fn all(&self) -> Vec<Arc<Slot>> {
        let shards = self.shards.iter().map(lock);
        shards.flat_map(|shard| shard.values().cloned().collect::<Vec<_>>()).collect()
    }

    fn shard(
        &self,
        id: &SessionId,
    ) -> MutexGuard<'_, HashMap<SessionId, Arc<Slot>, ahash::RandomState>> {
        let shards = u64::try_from(SHARDS).unwrap_or(1);
        let place = usize::try_from(self.hasher.hash_one(id) % shards).unwrap_or_default();
        lock(&self.shards[place])
    }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
