//! A journal that ends with the process.

use std::collections::HashMap;
use std::sync::{Mutex, MutexGuard, PoisonError};

use super::{Error, Journal, Pending};
use crate::conversation::{Batch, Record, SessionId};

/// Keeps records in memory: those of a session as long as the session lives, or for good.
#[derive(Debug, Default)]
pub struct MemoryStore {
    keeps_closed: bool,
    /// Hashed as safely as by default, and faster: ids may come from anybody.
    sessions: Mutex<HashMap<SessionId, Kept, ahash::RandomState>>,
}

#[derive(Debug, Default)]
struct Kept {
    epoch: u64,
    seq: u64,
    batches: Vec<Batch>,
}

impl MemoryStore {
    /// A store that forgets a session when it ends: memory does not grow with sessions past.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// A store that keeps every session until it is removed, so that it can be opened again.
    #[must_use]
    pub fn keeping() -> Self {
        Self { keeps_closed: true, ..Self::default() }
    }

    fn sessions(&self) -> MutexGuard<'_, HashMap<SessionId, Kept, ahash::RandomState>> {
        // A panic while the lock was held leaves whole records: each change is one step.
        self.sessions.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Journal for MemoryStore {
    fn open(&self, session: &SessionId) -> Pending<Result<u64, Error>> {
        let mut sessions = self.sessions();
        let kept = sessions.entry(session.clone()).or_default();
        kept.epoch += 1;
        Pending::ready(Ok(kept.epoch))
    }

    fn append(
        &self,
        session: &SessionId,
        expected_seq: u64,
        epoch: u64,
        records: Batch,
    ) -> Pending<Result<(), Error>> {
        let mut sessions = self.sessions();
        let Some(kept) = sessions.get_mut(session).filter(|kept| kept.epoch == epoch) else {
            return Pending::ready(Err(Error::Fenced { session: session.clone() }));
        };
        if kept.seq != expected_seq {
            let (session, found) = (session.clone(), kept.seq);
            return Pending::ready(Err(Error::Conflict { session, expected: expected_seq, found }));
        }
        kept.seq = records.last().map_or(kept.seq, |record| record.seq);
        kept.batches.push(records);
        Pending::ready(Ok(()))
    }

    fn read(&self, session: &SessionId, after: u64) -> Pending<Result<Vec<Record>, Error>> {
        let sessions = self.sessions();
        let batches = sessions.get(session).map_or(&[][..], |kept| &kept.batches);
        let records = batches.iter().flat_map(|batch| batch.iter());
        Pending::ready(Ok(records.filter(|record| record.seq > after).cloned().collect()))
    }

    fn close(&self, session: &SessionId, epoch: u64) {
        let mut sessions = self.sessions();
        if !self.keeps_closed && sessions.get(session).is_some_and(|kept| kept.epoch == epoch) {
            sessions.remove(session);
        }
    }

    fn remove(&self, session: &SessionId) -> Pending<Result<(), Error>> {
        self.sessions().remove(session);
        Pending::ready(Ok(()))
    }
}
