//! A journal that ends with the process.

use std::collections::HashMap;
use std::collections::hash_map::Entry;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use super::{
    Access, Cursor, Digest, Error, Journal, Listing, Owner, Page, Pending, ReadLimit, ResultPart,
    Store, Summary,
};
use crate::conversation::{Batch, Record, ResultId, SessionId};

/// Keeps records in memory: those of a session as long as the session lives, or for good.
#[derive(Debug, Default)]
pub struct MemoryStore {
    keeps_closed: bool,
    /// Hashed as safely as by default, and faster: ids may come from anybody.
    sessions: Mutex<HashMap<SessionId, Kept, ahash::RandomState>>,
    /// The highest epoch of a session that was forgotten. One made later begins above it: the owner
    /// of the one is not taken for that of the other.
    forgotten: AtomicU64,
}

#[derive(Debug, Default)]
struct Kept {
    /// When it was made as such; `None` of one that began with its first record.
    made_at_us: Option<u64>,
    epoch: u64,
    is_held: bool,
    seq: u64,
    /// None of them is empty.
    batches: Vec<Batch>,
    /// That of all records, so that a list need not look at them.
    digest: Digest,
    results: HashMap<ResultId, Arc<str>>,
    forked_from: Option<SessionId>,
}

impl Kept {
    fn records(&self) -> impl Iterator<Item = &Record> {
        self.batches.iter().flat_map(|batch| batch.iter())
    }

    /// Those after event `after`.
    fn records_after(&self, after: u64) -> impl Iterator<Item = &Record> {
        let is_before = |batch: &Batch| batch.last().is_some_and(|last| last.seq <= after);
        let rest = &self.batches[self.batches.partition_point(is_before)..];
        rest.iter().flat_map(|batch| batch.iter()).filter(move |record| record.seq > after)
    }

    /// Says whether there is more to it than that somebody has it open.
    fn is_known(&self) -> bool {
        self.made_at_us.is_some() || self.seq > 0
    }

    /// Takes `records` in behind those that are there.
    fn add(&mut self, records: Batch) {
        let Some(last) = records.last() else { return };
        self.seq = last.seq;
        for record in records.iter() {
            self.digest.on(&record.event);
        }
        self.batches.push(records);
    }

    /// When it was last active; `None` if there is no more to it than that somebody has it open.
    fn updated_at_us(&self) -> Option<u64> {
        let last = self.batches.last().and_then(|batch| batch.last()).map(|last| last.at_us);
        last.or(self.made_at_us)
    }

    fn summary(&self, session: &SessionId) -> Option<Summary> {
        let first = self.records().next().map(|first| first.at_us);
        Some(Summary {
            session: session.clone(),
            created_at_us: self.made_at_us.or(first)?,
            updated_at_us: self.updated_at_us()?,
            last_seq: self.seq,
            digest: self.digest.clone(),
            owner: self.is_held.then(this_process),
            forked_from: self.forked_from.clone(),
        })
    }
}

fn this_process() -> Owner {
    Owner { host: "this host".into(), pid: std::process::id(), is_here: true }
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

    fn forget(&self, epoch: u64) {
        self.forgotten.fetch_max(epoch, Ordering::Relaxed);
    }

    fn sessions(&self) -> MutexGuard<'_, HashMap<SessionId, Kept, ahash::RandomState>> {
        // A panic while the lock was held leaves whole records: each change is one step.
        self.sessions.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Journal for MemoryStore {
    fn open(&self, session: &SessionId, access: Access) -> Pending<Result<u64, Error>> {
        let mut sessions = self.sessions();
        let kept = match (sessions.entry(session.clone()), access) {
            (Entry::Occupied(kept), _) => kept.into_mut(),
            (Entry::Vacant(_), Access::Renew { .. }) => {
                return Pending::ready(Err(Error::Fenced { session: session.clone() }));
            }
            (Entry::Vacant(place), Access::IfFree | Access::TakeOver) => {
                let epoch = self.forgotten.load(Ordering::Relaxed);
                place.insert(Kept { epoch, ..Kept::default() })
            }
        };
        let refused = match access {
            Access::IfFree if kept.is_held => {
                Some(Error::Busy { session: session.clone(), owner: this_process() })
            }
            Access::Renew { epoch } if epoch != kept.epoch => {
                Some(Error::Fenced { session: session.clone() })
            }
            Access::IfFree | Access::TakeOver | Access::Renew { .. } => None,
        };
        if let Some(refused) = refused {
            return Pending::ready(Err(refused));
        }
        kept.epoch += 1;
        kept.is_held = true;
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
        let is_own = |kept: &&mut Kept| kept.epoch == epoch && kept.is_held;
        let Some(kept) = sessions.get_mut(session).filter(is_own) else {
            return Pending::ready(Err(Error::Fenced { session: session.clone() }));
        };
        if kept.seq != expected_seq {
            let (session, found) = (session.clone(), kept.seq);
            return Pending::ready(Err(Error::Conflict { session, expected: expected_seq, found }));
        }
        kept.add(records);
        Pending::ready(Ok(()))
    }

    fn read(&self, session: &SessionId, after: u64) -> Pending<Result<Vec<Record>, Error>> {
        let sessions = self.sessions();
        let records = sessions.get(session).into_iter().flat_map(|kept| kept.records_after(after));
        Pending::ready(Ok(records.cloned().collect()))
    }

    fn read_some(
        &self,
        session: &SessionId,
        after: u64,
        limit: ReadLimit,
    ) -> Pending<Result<Vec<Record>, Error>> {
        let sessions = self.sessions();
        let records = sessions.get(session).into_iter().flat_map(|kept| kept.records_after(after));
        let records: Vec<Record> = records.take(limit.records.max(1)).cloned().collect();
        drop(sessions);
        Pending::ready(Ok(limit.cut(records)))
    }

    fn close(&self, session: &SessionId, epoch: u64) {
        let mut sessions = self.sessions();
        let Some(kept) = sessions.get_mut(session).filter(|kept| kept.epoch == epoch) else {
            return;
        };
        kept.is_held = false;
        if !self.keeps_closed || !kept.is_known() {
            sessions.remove(session);
            self.forget(epoch);
        }
    }

    fn keep_result(
        &self,
        session: &SessionId,
        result: Arc<str>,
    ) -> Pending<Result<ResultId, Error>> {
        let id = ResultId::of(&result);
        match self.sessions().get_mut(session) {
            Some(kept) => {
                kept.results.insert(id.clone(), result);
                Pending::ready(Ok(id))
            }
            None => Pending::ready(Err(Error::NotFound { session: session.clone() })),
        }
    }

    fn result_part(
        &self,
        session: &SessionId,
        id: &ResultId,
        offset: u64,
        max_bytes: usize,
    ) -> Pending<Result<Option<ResultPart>, Error>> {
        let sessions = self.sessions();
        let result = sessions.get(session).and_then(|kept| kept.results.get(id));
        Pending::ready(Ok(result.map(|text| ResultPart::of(text, offset, max_bytes))))
    }

    fn outlives_close(&self) -> bool {
        self.keeps_closed
    }
}

impl Store for MemoryStore {
    fn make(&self, session: &SessionId, at_us: u64) -> Pending<Result<(), Error>> {
        let epoch = self.forgotten.load(Ordering::Relaxed);
        let mut sessions = self.sessions();
        let begun = sessions.entry(session.clone());
        let kept = begun.or_insert_with(|| Kept { epoch, ..Kept::default() });
        if kept.is_known() {
            return Pending::ready(Err(Error::Exists { session: session.clone() }));
        }
        kept.made_at_us = Some(at_us);
        Pending::ready(Ok(()))
    }

    fn find(&self, session: &SessionId) -> Pending<Result<Option<Summary>, Error>> {
        let sessions = self.sessions();
        Pending::ready(Ok(sessions.get(session).and_then(|kept| kept.summary(session))))
    }

    fn list(&self, listing: &Listing) -> Pending<Result<Page, Error>> {
        let is_wanted = |session: &SessionId, kept: &Kept| {
            session.as_str().starts_with(&*listing.prefix)
                && (!listing.open_only || kept.digest.is_open)
        };
        let is_behind = |place: (u64, &SessionId)| {
            let after = listing.after.as_ref();
            after.is_none_or(|Cursor { updated_at_us, session }| place < (*updated_at_us, session))
        };
        let sessions = self.sessions();
        let wanted = sessions.iter().filter(|(session, kept)| is_wanted(session, kept));
        // What stands first in the list stands last in this order.
        let places = wanted.filter_map(|(session, kept)| Some((kept.updated_at_us()?, session)));
        let mut places: Vec<_> = places.filter(|place| is_behind(*place)).collect();
        places.sort_unstable_by(|one, other| other.cmp(one));
        // One more than is wanted, which tells that there are more.
        let places = places.into_iter().take(listing.limit.saturating_add(1));
        let found = places.filter_map(|(_, session)| sessions.get(session)?.summary(session));
        let found = found.collect();
        drop(sessions);
        Pending::ready(Ok(Page::of(found, listing.limit)))
    }

    fn fork(
        &self,
        session: &SessionId,
        last_seq: u64,
        copy: &SessionId,
    ) -> Pending<Result<(), Error>> {
        let mut sessions = self.sessions();
        if sessions.get(copy).is_some_and(|kept| kept.is_known() || kept.is_held) {
            return Pending::ready(Err(Error::Exists { session: copy.clone() }));
        }
        let Some(kept) = sessions.get(session).filter(|kept| kept.is_known()) else {
            return Pending::ready(Err(Error::NotFound { session: session.clone() }));
        };
        let records = kept.records().take_while(|record| record.seq <= last_seq);
        let own = |record: &Record| Record { session: copy.clone(), ..record.clone() };
        let records: Vec<Record> = records.map(own).collect();
        if records.is_empty() {
            return Pending::ready(Ok(())); // There is nothing before its first event.
        }
        let mut forked = Kept {
            results: kept.results.clone(),
            forked_from: Some(session.clone()),
            epoch: self.forgotten.load(Ordering::Relaxed),
            ..Kept::default()
        };
        forked.add(Arc::new(records));
        sessions.insert(copy.clone(), forked);
        Pending::ready(Ok(()))
    }

    fn remove(&self, session: &SessionId, access: Access) -> Pending<Result<bool, Error>> {
        let mut sessions = self.sessions();
        let is_held = sessions.get(session).is_some_and(|kept| kept.is_held);
        if is_held && access != Access::TakeOver {
            let (session, owner) = (session.clone(), this_process());
            return Pending::ready(Err(Error::Busy { session, owner }));
        }
        let removed = sessions.remove(session);
        self.forget(removed.as_ref().map_or(0, |kept| kept.epoch));
        Pending::ready(Ok(removed.is_some_and(|kept| kept.is_known())))
    }

    fn prune(&self, before_us: u64) -> Pending<Result<u64, Error>> {
        let mut sessions = self.sessions();
        let is_old = |kept: &Kept| kept.updated_at_us().is_some_and(|updated| updated < before_us);
        let pruned = sessions.extract_if(|_, kept| !kept.is_held && is_old(kept));
        let pruned = pruned.map(|(_, kept)| self.forget(kept.epoch));
        Pending::ready(Ok(pruned.map(|()| 1).sum()))
    }

    fn check(&self) -> Pending<Result<String, Error>> {
        Pending::ready(Ok("in memory: nothing outlives the process".to_owned()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::conversation::{Event, TurnEnd};
    use crate::testing::store::wait;

    fn record(session: &SessionId, seq: u64, event: Event) -> Record {
        Record { v: 1, seq, at_us: seq, session: session.clone(), event }
    }

    #[test]
    fn what_a_list_says_of_a_session_grows_with_its_records() {
        let (store, id) = (MemoryStore::keeping(), SessionId::new("a"));
        let epoch = wait(store.open(&id, Access::IfFree)).unwrap();
        let asks = |turn, prompt: &str| {
            let (prompt, goes_on, key) = (prompt.into(), false, None);
            Event::TurnStarted { turn, prompt, goes_on, key }
        };
        let (end, orphans) = (TurnEnd::Answered, Arc::default());
        let ends = Event::TurnEnded { turn: 1, end, usage: None, orphans };
        let batches = [vec![asks(1, "one"), ends], vec![asks(2, "two")]];
        let mut seq = 0;
        for events in batches {
            let (expected, number) = (seq, |(n, event)| record(&id, n, event));
            let records: Vec<_> = (seq + 1..).zip(events).map(number).collect();
            seq += records.len() as u64;
            wait(store.append(&id, expected, epoch, Arc::new(records))).unwrap();
        }
        let copy = SessionId::new("b");
        wait(store.fork(&id, 2, &copy)).unwrap();
        let listed = wait(store.list(&Listing { limit: 9, ..Listing::default() })).unwrap();
        let said: Vec<_> = listed.sessions.iter().map(|it| (&it.session, &it.digest)).collect();
        let digest = |turns, is_open| Digest { title: "one".into(), turns, is_open };
        assert_eq!(said, [(&id, &digest(2, true)), (&copy, &digest(1, false))]);
        for (session, digest) in said {
            assert_eq!(*digest, Digest::of(&wait(store.read(session, 0)).unwrap()));
        }
    }
}
