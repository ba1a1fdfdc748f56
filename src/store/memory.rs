//! A journal that ends with the process.

use std::collections::HashMap;
use std::sync::{Mutex, MutexGuard, PoisonError};

use super::{Error, Journal, Pending};
use crate::conversation::{Record, SessionId};

/// Keeps records in memory.
#[derive(Debug, Default)]
pub struct MemoryStore {
    sessions: Mutex<HashMap<SessionId, Kept>>,
}

#[derive(Debug, Default)]
struct Kept {
    epoch: u64,
    records: Vec<Record>,
}

impl MemoryStore {
    /// An empty store.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    fn sessions(&self) -> MutexGuard<'_, HashMap<SessionId, Kept>> {
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
        records: Vec<Record>,
    ) -> Pending<Result<(), Error>> {
        let mut sessions = self.sessions();
        let Some(kept) = sessions.get_mut(session).filter(|kept| kept.epoch == epoch) else {
            return Pending::ready(Err(Error::Fenced { session: session.clone() }));
        };
        let found = kept.records.last().map_or(0, |record| record.seq);
        if found != expected_seq {
            let session = session.clone();
            return Pending::ready(Err(Error::Conflict { session, expected: expected_seq, found }));
        }
        kept.records.extend(records);
        Pending::ready(Ok(()))
    }

    fn read(&self, session: &SessionId, after: u64) -> Pending<Result<Vec<Record>, Error>> {
        let sessions = self.sessions();
        let records = sessions.get(session).map_or(&[][..], |kept| &kept.records);
        let from = records.partition_point(|record| record.seq <= after);
        Pending::ready(Ok(records[from..].to_vec()))
    }

    fn remove(&self, session: &SessionId) -> Pending<Result<(), Error>> {
        self.sessions().remove(session);
        Pending::ready(Ok(()))
    }
}
