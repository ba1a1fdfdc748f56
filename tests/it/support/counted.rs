//! A store that notes how much each of its answers hands out, and may seem to be another process's.

use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};

use callsheet::SessionId;
use callsheet::conversation::{Batch, Record};
use callsheet::store::{
    Access, Error, Journal, Listing, MemoryStore, Page, Pending, ReadLimit, Store, Summary,
};

/// Does as `inner`.
pub struct Counted {
    inner: Arc<MemoryStore>,
    /// Whoever has a session is another process.
    is_far: bool,
    read: Mutex<Vec<Handed>>,
    checks: AtomicUsize,
}

/// What was handed out at a time.
#[derive(Clone, Copy, Debug)]
pub struct Handed {
    pub records: usize,
    /// As JSON.
    pub bytes: usize,
}

type Records = Pending<Result<Vec<Record>, Error>>;

impl Counted {
    pub fn new(inner: &Arc<MemoryStore>) -> Arc<Self> {
        Self::with(inner, false)
    }

    /// One that says of each session that is open that another process has it.
    pub fn far(inner: &Arc<MemoryStore>) -> Arc<Self> {
        Self::with(inner, true)
    }

    fn with(inner: &Arc<MemoryStore>, is_far: bool) -> Arc<Self> {
        let (read, checks) = (Mutex::default(), AtomicUsize::default());
        Arc::new(Self { inner: Arc::clone(inner), is_far, read, checks })
    }

    /// What was handed out by each read so far.
    pub fn read(&self) -> Vec<Handed> {
        self.read.lock().expect("no panic").clone()
    }

    /// How often it was asked whether it is well.
    pub fn checks(&self) -> usize {
        self.checks.load(Ordering::Relaxed)
    }

    fn note(&self, mut records: Records) -> Records {
        let Pending::Ready(Some(Ok(handed))) = &mut records else { panic!("memory is at once") };
        let size = |record: &Record| serde_json::to_string(record).expect("JSON").len();
        let bytes = handed.iter().map(size).sum();
        let handed = Handed { records: handed.len(), bytes };
        self.read.lock().expect("no panic").push(handed);
        records
    }
}

impl Journal for Counted {
    fn open(&self, session: &SessionId, access: Access) -> Pending<Result<u64, Error>> {
        self.inner.open(session, access)
    }

    fn append(
        &self,
        session: &SessionId,
        expected_seq: u64,
        epoch: u64,
        records: Batch,
    ) -> Pending<Result<(), Error>> {
        self.inner.append(session, expected_seq, epoch, records)
    }

    fn read(&self, session: &SessionId, after: u64) -> Records {
        self.note(self.inner.read(session, after))
    }

    fn read_some(&self, session: &SessionId, after: u64, limit: ReadLimit) -> Records {
        self.note(self.inner.read_some(session, after, limit))
    }

    fn close(&self, session: &SessionId, epoch: u64) {
        self.inner.close(session, epoch);
    }

    fn outlives_close(&self) -> bool {
        self.inner.outlives_close()
    }
}

impl Store for Counted {
    fn make(&self, session: &SessionId, at_us: u64) -> Pending<Result<(), Error>> {
        self.inner.make(session, at_us)
    }

    fn find(&self, session: &SessionId) -> Pending<Result<Option<Summary>, Error>> {
        let mut found = self.inner.find(session);
        if let Pending::Ready(Some(Ok(Some(Summary { owner: Some(owner), .. })))) = &mut found {
            owner.is_here = !self.is_far;
        }
        found
    }

    fn list(&self, listing: &Listing) -> Pending<Result<Page, Error>> {
        self.inner.list(listing)
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
        self.checks.fetch_add(1, Ordering::Relaxed);
        let well = self.inner.check();
        Pending::Later(Box::pin(async {
            tokio::time::sleep(std::time::Duration::from_millis(100)).await;
            well.await
        }))
    }
}
