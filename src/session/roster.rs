//! The sessions of one arbiter: whom a shutdown has to ask.

use std::cell::RefCell;
use std::rc::Rc;

use actix::WeakAddr;
use slab::Slab;

use super::coordinator::Coordinator;

/// The sessions of one arbiter that have not ended. Cheap to clone.
#[derive(Clone, Default)]
pub(super) struct Roster(Rc<RefCell<Slab<WeakAddr<Coordinator>>>>);

/// The entry of one session. Dropping it takes it off.
pub(super) struct Entry {
    roster: Roster,
    key: usize,
}

impl Roster {
    /// Takes `session` in.
    pub fn enter(&self, session: WeakAddr<Coordinator>) -> Entry {
        let key = self.0.borrow_mut().insert(session);
        Entry { roster: self.clone(), key }
    }

    /// Those that are in.
    pub fn sessions(&self) -> Vec<WeakAddr<Coordinator>> {
        self.0.borrow().iter().map(|(_, session)| session.clone()).collect()
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
        let living: Vec<_> = (0..10).map(|_| roster.enter(session())).collect();
        for _ in 0..1000 {
            drop(roster.enter(session()));
        }
        assert_eq!(roster.sessions().len(), 10);
        assert!(roster.0.borrow().capacity() < 100);
        drop(living);
        assert!(roster.sessions().is_empty());
    }
}
