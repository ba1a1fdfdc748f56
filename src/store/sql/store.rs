//! The store as others hold it: it asks a thread of its own, and nothing depends on who asks.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::thread::{self, JoinHandle};
use std::time::Duration;

use tokio::sync::{mpsc, oneshot};

use super::job::{Change, Job, Question, Reply, Step};
use super::worker::Worker;
use super::{Database, encoding};
use crate::conversation::{Batch, Record, ResultId, SessionId};
use crate::store::{
    Access, Error, Journal, Listing, Page, Pending, ReadLimit, ResultPart, Store, Summary,
};

/// Keeps sessions in an SQL database. Dropping it waits until all that was asked for is done; the
/// sessions that it has open are free then.
#[derive(Debug)]
pub(in crate::store) struct SqlStore {
    /// `None` once it is being dropped.
    jobs: Option<mpsc::UnboundedSender<Job>>,
    thread: Option<JoinHandle<()>>,
    counts: Arc<Counts>,
}

/// What was written so far.
#[derive(Debug, Default)]
pub(super) struct Counts {
    pub appends: AtomicU64,
    /// Those that were committed with appends in them.
    pub transactions: AtomicU64,
}

/// How long things may take.
#[derive(Clone, Copy, Debug)]
pub(in crate::store) struct Patience {
    /// How long an owner on another host may be silent.
    pub lease: Duration,
    /// How long a database that does not answer is tried again.
    pub retry: Duration,
}

impl SqlStore {
    /// Connects to `database` and brings it to the present schema.
    pub async fn open(
        database: Database,
        lease: Duration,
        retry: Duration,
    ) -> Result<Arc<Self>, Error> {
        let patience = Patience { lease, retry };
        let (jobs, asked) = mpsc::unbounded_channel();
        let (ready, opened) = oneshot::channel();
        let counts = Arc::new(Counts::default());
        let counted = Arc::clone(&counts);
        let thread = thread::Builder::new().name("callsheet-store".to_owned()).spawn(move || {
            let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
            match runtime {
                Ok(runtime) => {
                    let work = Worker::run(database, patience, counted, asked, ready);
                    tokio::task::LocalSet::new().block_on(&runtime, work);
                }
                Err(error) => drop(ready.send(Err(gone(&error.to_string())))),
            }
        });
        let thread = thread.map_err(|error| gone(&error.to_string()))?;
        let store = Self { jobs: Some(jobs), thread: Some(thread), counts };
        opened.await.unwrap_or_else(|_| Err(ended()))?;
        Ok(Arc::new(store))
    }

    /// How many appends were written, and in how many transactions.
    #[cfg(all(test, feature = "sqlite"))]
    pub fn counts(&self) -> (u64, u64) {
        let Counts { appends, transactions } = &*self.counts;
        (appends.load(Ordering::Relaxed), transactions.load(Ordering::Relaxed))
    }

    fn send(&self, job: Job) {
        if let Some(jobs) = &self.jobs {
            drop(jobs.send(job)); // A job that is dropped answers that the thread has ended.
        }
    }

    fn ask<T: Send + 'static>(
        &self,
        job: impl FnOnce(Reply<T>) -> Job,
    ) -> Pending<Result<T, Error>> {
        let (reply, answer) = oneshot::channel();
        self.send(job(reply));
        Pending::Later(Box::pin(async move { answer.await.unwrap_or_else(|_| Err(ended())) }))
    }

    fn records(
        &self,
        session: &SessionId,
        after: u64,
        limit: Option<ReadLimit>,
    ) -> Pending<Result<Vec<Record>, Error>> {
        let (session, (reply, answer)) = (session.clone(), oneshot::channel());
        let asked = session.clone();
        self.send(Job::Question(Question::Read { session: asked, after, limit, reply }));
        Pending::Later(Box::pin(async move {
            // Taken apart where it is needed, and not on the one thread of the store.
            let batches: Vec<String> = answer.await.unwrap_or_else(|_| Err(ended()))?;
            let mut records = Vec::new();
            for batch in batches {
                encoding::read(&session, &batch, after, &mut records)?;
            }
            Ok(records)
        }))
    }
}

fn gone(reason: &str) -> Error {
    Error::Unavailable { reason: format!("its thread cannot be started: {reason}") }
}

fn ended() -> Error {
    Error::Unavailable { reason: "its thread has ended".to_owned() }
}

impl Drop for SqlStore {
    fn drop(&mut self) {
        drop(self.jobs.take());
        if let Some(thread) =
            self.thread.take().filter(|own| own.thread().id() != thread::current().id())
            && thread.join().is_err()
        {
            tracing::error!("the store's thread panicked");
        }
        let Counts { appends, transactions } = &*self.counts;
        let (appends, transactions) =
            (appends.load(Ordering::Relaxed), transactions.load(Ordering::Relaxed));
        tracing::debug!(appends, transactions, "store closed");
    }
}

impl Journal for SqlStore {
    fn open(&self, session: &SessionId, access: Access) -> Pending<Result<u64, Error>> {
        let session = session.clone();
        self.ask(|reply| Job::Step(Step::Open { session, access, reply }))
    }

    fn append(
        &self,
        session: &SessionId,
        expected_seq: u64,
        epoch: u64,
        records: Batch,
    ) -> Pending<Result<(), Error>> {
        let (session, expected) = (session.clone(), expected_seq);
        self.ask(|reply| Job::Step(Step::Append { session, expected, epoch, records, reply }))
    }

    fn read(&self, session: &SessionId, after: u64) -> Pending<Result<Vec<Record>, Error>> {
        self.records(session, after, None)
    }

    fn read_some(
        &self,
        session: &SessionId,
        after: u64,
        limit: ReadLimit,
    ) -> Pending<Result<Vec<Record>, Error>> {
        let found = self.records(session, after, Some(limit));
        found.map(move |found| found.map(|records| limit.cut(records)))
    }

    fn close(&self, session: &SessionId, epoch: u64) {
        self.send(Job::Step(Step::Close { session: session.clone(), epoch }));
    }

    fn keep_result(
        &self,
        session: &SessionId,
        result: Arc<str>,
    ) -> Pending<Result<ResultId, Error>> {
        let session = session.clone();
        self.ask(|reply| Job::Step(Step::KeepResult { session, result, reply }))
    }

    fn result_part(
        &self,
        session: &SessionId,
        id: &ResultId,
        offset: u64,
        max_bytes: usize,
    ) -> Pending<Result<Option<ResultPart>, Error>> {
        let (session, id) = (session.clone(), id.clone());
        self.ask(|reply| {
            Job::Question(Question::ResultPart { session, id, offset, max_bytes, reply })
        })
    }

    fn outlives_close(&self) -> bool {
        true
    }
}

impl Store for SqlStore {
    fn make(&self, session: &SessionId, at_us: u64) -> Pending<Result<(), Error>> {
        let session = session.clone();
        self.ask(|reply| Job::Change(Change::Make { session, at_us, reply }))
    }

    fn find(&self, session: &SessionId) -> Pending<Result<Option<Summary>, Error>> {
        let session = session.clone();
        self.ask(|reply| Job::Question(Question::Find { session, reply }))
    }

    fn list(&self, listing: &Listing) -> Pending<Result<Page, Error>> {
        let listing = listing.clone();
        self.ask(|reply| Job::Question(Question::List { listing, reply }))
    }

    fn fork(
        &self,
        session: &SessionId,
        last_seq: u64,
        copy: &SessionId,
    ) -> Pending<Result<(), Error>> {
        let (session, copy) = (session.clone(), copy.clone());
        self.ask(|reply| Job::Change(Change::Fork { session, last_seq, copy, reply }))
    }

    fn remove(&self, session: &SessionId, access: Access) -> Pending<Result<bool, Error>> {
        let session = session.clone();
        self.ask(|reply| Job::Change(Change::Remove { session, access, reply }))
    }

    fn prune(&self, before_us: u64) -> Pending<Result<u64, Error>> {
        self.ask(|reply| Job::Change(Change::Prune { before_us, after: 0, pruned: 0, reply }))
    }

    fn check(&self) -> Pending<Result<String, Error>> {
        self.ask(|reply| Job::Change(Change::Check { reply }))
    }
}
