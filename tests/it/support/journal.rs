//! A journal that does as a test says.

use std::collections::HashMap;
use std::marker::PhantomData;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::task::{Context, Poll};
use std::time::Duration;

use callsheet::conversation::{Batch, Record, ResultId};
use callsheet::session::RuntimeBuilder;
use callsheet::store::{
    Access, Error, Journal, Listing, MemoryStore, Page, Pending, ResultPart, Store, Summary,
};
use callsheet::testing;
use callsheet::{Decision, Event, Runtime, SessionId};
use tokio::time::sleep;

/// What the journal is asked for.
pub enum Asked<'a> {
    Open(Access),
    Read,
    Append(&'a [Record]),
    Keep,
    ReadPart,
}

/// What it does then.
#[derive(Clone, Copy, Debug)]
pub enum Does {
    AsAsked,
    AsAskedAfter(Duration),
    /// Never answers, and keeps nothing.
    Hangs,
    /// Cannot be reached.
    Fails,
    /// Keeps what it is given, and says that it failed.
    FailsAfterwards,
    /// Another has the session.
    Refuses,
    Panics,
    /// Keeps what it is given, and panics.
    PanicsAfterwards,
    /// Panics when it is waited for.
    PanicsLater,
    /// And once more when what is waited for is dropped.
    PanicsTwice,
}

/// Keeps records in memory, or does what its judge says in place of that.
pub struct Rigged {
    pub inner: Arc<MemoryStore>,
    judge: Box<dyn Fn(Asked<'_>) -> Does + Send + Sync>,
    /// Sessions cannot be listed.
    pub lists_nothing: AtomicBool,
}

/// A store that keeps the first records of the session `s`, as they were found.
pub async fn kept(records: &[Record]) -> MemoryStore {
    let (journal, id) = (MemoryStore::keeping(), SessionId::new("s"));
    let epoch = journal.open(&id, Access::IfFree).await.expect("it is free");
    let records = Arc::new(records.to_vec());
    journal.append(&id, 0, epoch, records).await.expect("memory does not fail");
    journal
}

/// A runtime on a journal with this judge, and what the journal keeps.
pub fn rigged(
    judge: impl Fn(Asked<'_>) -> Does + Send + Sync + 'static,
) -> (Runtime, Arc<MemoryStore>) {
    let (builder, inner) = rigged_builder(judge);
    (builder.in_current_system().expect("within `testing::run`"), inner)
}

/// As [`rigged`], with more to say of the runtime.
pub fn rigged_builder(
    judge: impl Fn(Asked<'_>) -> Does + Send + Sync + 'static,
) -> (RuntimeBuilder, Arc<MemoryStore>) {
    let inner = Arc::new(MemoryStore::keeping());
    let journal = Rigged::new(Arc::clone(&inner), judge);
    (testing::builder().journal(Arc::new(journal)), inner)
}

/// Panics when it is polled, and when it is dropped.
struct Bomb<T>(PhantomData<T>);

impl<T> Future for Bomb<T> {
    type Output = T;

    fn poll(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<T> {
        panic!("the journal panics when it is waited for")
    }
}

impl<T> Drop for Bomb<T> {
    fn drop(&mut self) {
        assert!(std::thread::panicking(), "the journal panics when it is dropped");
    }
}

impl Rigged {
    /// Keeps records in `inner` as long as `judge` lets it.
    pub fn new(
        inner: Arc<MemoryStore>,
        judge: impl Fn(Asked<'_>) -> Does + Send + Sync + 'static,
    ) -> Self {
        Self { inner, judge: Box::new(judge), lists_nothing: AtomicBool::new(false) }
    }

    fn answer<T: Send + 'static>(
        &self,
        asked: Asked<'_>,
        session: &SessionId,
        act: impl FnOnce(&MemoryStore) -> Pending<Result<T, Error>> + Send + 'static,
    ) -> Pending<Result<T, Error>>
    where
        Result<T, Error>: Unpin,
    {
        let inner = Arc::clone(&self.inner);
        match (self.judge)(asked) {
            Does::AsAsked => act(&inner),
            Does::AsAskedAfter(delay) => Pending::Later(Box::pin(async move {
                sleep(delay).await;
                act(&inner).await
            })),
            Does::Hangs => Pending::Later(Box::pin(std::future::pending())),
            Does::Fails => Pending::ready(Err(Error::Unavailable { reason: "as planned".into() })),
            Does::FailsAfterwards => {
                drop(act(&inner));
                Pending::ready(Err(Error::Unavailable { reason: "as planned".into() }))
            }
            Does::Refuses => Pending::ready(Err(Error::Fenced { session: session.clone() })),
            Does::Panics => panic!("the journal panics"),
            Does::PanicsAfterwards => {
                drop(act(&inner));
                panic!("the journal panics afterwards")
            }
            Does::PanicsLater => Pending::Later(Box::pin(async move {
                tokio::task::yield_now().await;
                panic!("the journal panics later")
            })),
            Does::PanicsTwice => Pending::Later(Box::pin(Bomb(PhantomData))),
        }
    }
}

impl Journal for Rigged {
    fn open(&self, session: &SessionId, access: Access) -> Pending<Result<u64, Error>> {
        let id = session.clone();
        self.answer(Asked::Open(access), session, move |inner| inner.open(&id, access))
    }

    fn append(
        &self,
        session: &SessionId,
        expected_seq: u64,
        epoch: u64,
        records: Batch,
    ) -> Pending<Result<(), Error>> {
        let (id, kept) = (session.clone(), Arc::clone(&records));
        let act = move |inner: &MemoryStore| inner.append(&id, expected_seq, epoch, kept);
        self.answer(Asked::Append(&records), session, act)
    }

    fn read(&self, session: &SessionId, after: u64) -> Pending<Result<Vec<Record>, Error>> {
        let id = session.clone();
        self.answer(Asked::Read, session, move |inner| inner.read(&id, after))
    }

    fn close(&self, session: &SessionId, epoch: u64) {
        self.inner.close(session, epoch);
    }

    fn keep_result(
        &self,
        session: &SessionId,
        result: Arc<str>,
    ) -> Pending<Result<ResultId, Error>> {
        let id = session.clone();
        self.answer(Asked::Keep, session, move |inner| inner.keep_result(&id, result))
    }

    fn result_part(
        &self,
        session: &SessionId,
        result: &ResultId,
        offset: u64,
        max_bytes: usize,
    ) -> Pending<Result<Option<ResultPart>, Error>> {
        let (id, result) = (session.clone(), result.clone());
        let act = move |inner: &MemoryStore| inner.result_part(&id, &result, offset, max_bytes);
        self.answer(Asked::ReadPart, session, act)
    }

    fn outlives_close(&self) -> bool {
        self.inner.outlives_close()
    }
}

/// What a journal has not is as in memory.
impl Store for Rigged {
    fn make(&self, session: &SessionId, at_us: u64) -> Pending<Result<(), Error>> {
        self.inner.make(session, at_us)
    }

    fn find(&self, session: &SessionId) -> Pending<Result<Option<Summary>, Error>> {
        self.inner.find(session)
    }

    fn list(&self, listing: &Listing) -> Pending<Result<Page, Error>> {
        match self.lists_nothing.load(Ordering::Relaxed) {
            true => Pending::ready(Err(Error::Unavailable { reason: "as planned".into() })),
            false => self.inner.list(listing),
        }
    }

    fn fork(
        &self,
        session: &SessionId,
        last_seq: u64,
        copy: &SessionId,
    ) -> Pending<Result<(), Error>> {
        self.inner.fork(session, last_seq, copy)
    }

    fn remove(&self, session: &SessionId, access: Access) -> Pending<Result<bool, Error>> {
        self.inner.remove(session, access)
    }

    fn prune(&self, before_us: u64) -> Pending<Result<u64, Error>> {
        self.inner.prune(before_us)
    }

    fn check(&self) -> Pending<Result<String, Error>> {
        self.inner.check()
    }
}

/// Says what is wrong with a record: gaps, and calls and turns without exactly one end. A call that
/// was refused has none.
pub fn faults(records: &[Record]) -> Vec<String> {
    faults_but(records, |(starts, ends)| (starts, ends) == (1, 1))
}

/// The same of a turn that was cut: a call may have begun more than once, or have ended without.
pub fn faults_of_cut(records: &[Record]) -> Vec<String> {
    faults_but(records, |(_, ends)| ends == 1)
}

/// The same of one in which calls may have ended that never began.
pub fn faults_but_unbegun(records: &[Record]) -> Vec<String> {
    faults_but(records, |(starts, ends)| starts <= 1 && ends == 1)
}

/// The faults of a record whose calls are sound if their beginnings and ends are counted so.
fn faults_but(records: &[Record], is_sound: fn((u32, u32)) -> bool) -> Vec<String> {
    let mut faults = Vec::new();
    let mut calls: HashMap<(u64, u32, u32), (u32, u32)> = HashMap::new();
    let mut turns: HashMap<u64, (u32, u32)> = HashMap::new();
    for (place, record) in (1..).zip(records) {
        if record.seq != place {
            faults.push(format!("event {} at place {place}", record.seq));
        }
        match &record.event {
            Event::CallStarted { round, reply_attempt, ordinal, .. } => {
                calls.entry((*round, *reply_attempt, *ordinal)).or_default().0 += 1;
            }
            Event::CallEnded { round, reply_attempt, ordinal, .. } => {
                calls.entry((*round, *reply_attempt, *ordinal)).or_default().1 += 1;
            }
            Event::TurnStarted { turn, .. } => turns.entry(*turn).or_default().0 += 1,
            Event::TurnEnded { turn, .. } => turns.entry(*turn).or_default().1 += 1,
            _ => {}
        }
    }
    let odd = calls.iter().filter(|(_, counts)| !is_sound(**counts));
    faults.extend(odd.map(|(call, counts)| format!("call {call:?}: {counts:?}")));
    let odd = turns.iter().filter(|(_, counts)| **counts != (1, 1));
    faults.extend(odd.map(|(turn, counts)| format!("turn {turn}: {counts:?}")));
    faults
}

/// Says what is wrong with a record in the matter of approvals, where the tools `asking` need it: a call
/// that began without, one that ran although it was denied, and a question that was answered before.
pub fn faults_of_approvals(records: &[Record], asking: &[&str]) -> Vec<String> {
    let (mut faults, mut decided, mut for_session_tools) =
        (Vec::new(), HashMap::new(), Vec::<Arc<str>>::new());
    for record in records {
        match &record.event {
            Event::ApprovalAsked { round, reply_attempt, ordinal, tool, .. } => {
                let key = (*round, *reply_attempt, *ordinal);
                if decided.contains_key(&key) || for_session_tools.contains(tool) {
                    faults.push(format!("{tool} {key:?} is asked about again"));
                }
            }
            Event::ApprovalDecided {
                round,
                reply_attempt,
                ordinal,
                tool,
                decision,
                for_session,
                ..
            } => {
                let may_run = !matches!(decision, Decision::Denied { .. });
                let key = (*round, *reply_attempt, *ordinal);
                if decided.insert(key, may_run).is_some() {
                    faults.push(format!("{tool} {key:?} is decided twice"));
                }
                if *for_session {
                    for_session_tools.push(Arc::clone(tool));
                }
            }
            Event::CallStarted { round, reply_attempt, ordinal, tool, .. } => {
                let key = (*round, *reply_attempt, *ordinal);
                let is_approved = decided.get(&key).copied();
                let may_run = is_approved.unwrap_or_else(|| for_session_tools.contains(tool));
                if asking.contains(&&**tool) && !may_run {
                    faults.push(format!("{tool} {key:?} began unapproved"));
                }
            }
            _ => {}
        }
    }
    faults
}
