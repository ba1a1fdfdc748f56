//! The sessions of one arbiter: whom a shutdown has to ask.

use std::cell::RefCell;
use std::rc::Rc;
use std::sync::Weak;

use actix::WeakAddr;
use slab::Slab;

use super::coordinator::Coordinator;
use super::slot::Slot;

/// The sessions of one arbiter that have not ended. Cheap to clone.
#[derive(Clone, Default)]
pub(super) struct Roster(Rc<RefCell<Slab<Row>>>);

struct Row {
    coordinator: WeakAddr<Coordinator>,
    slot: Weak<Slot>,
    /// How much had been sent to it when it was looked at last.
    sent: u64,
    /// How often that has not changed.
    quiet: u32,
}

/// The entry of one session. Dropping it takes it off.
pub(super) struct Entry {
    roster: Roster,
    key: usize,
}

impl Roster {
    /// Takes the session of `slot` in, whose address is `coordinator`.
    pub fn enter(&self, coordinator: WeakAddr<Coordinator>, slot: Weak<Slot>) -> Entry {
        let row = Row { coordinator, slot, sent: 0, quiet: 0 };
        let key = self.0.borrow_mut().insert(row);
        Entry { roster: self.clone(), key }
    }

    /// Those that are in.
    pub fn sessions(&self) -> Vec<WeakAddr<Coordinator>> {
        self.0.borrow().iter().map(|(_, row)| row.coordinator.clone()).collect()
    }

    /// Asks those to rest that were sent nothing since they were looked at `sweeps` times.
    pub fn put_to_sleep(&self, sweeps: u32) {
        for (_, row) in self.0.borrow_mut().iter_mut() {
            let Some(slot) = row.slot.upgrade() else { continue };
            let sent = slot.sent();
            row.quiet = if sent == row.sent { row.quiet + 1 } else { 0 };
            row.sent = sent;
            if row.quiet >= sweeps {
                row.quiet = 0;
                slot.propose_rest();
            }
        }
    }
}

impl Drop for Entry {
    fn drop(&mut self) {
        let session = self.roster.0.borrow_mut().try_remove(self.key);
        drop(session); // Not while it is borrowed.
    }
}

#[cfg(test)]
mod tests {
    use actix::Addr;
    use actix::dev::channel::channel;

    use super::*;

    #[test]
    fn sessions_that_have_ended_are_not_kept() {
        let roster = Roster::default();
        let session = || Addr::new(channel(0).0).downgrade();
        let living: Vec<_> = (0..10).map(|_| roster.enter(session(), Weak::new())).collect();
        for _ in 0..1000 {
            drop(roster.enter(session(), Weak::new()));
        }
        assert_eq!(roster.sessions().len(), 10);
        assert!(roster.0.borrow().capacity() < 100);
        drop(living);
        assert!(roster.sessions().is_empty());
    }
}
