//! On which terms the calls of a session run, and what all sessions of a runtime share.

use std::sync::Arc;

use tokio::sync::Semaphore;

use super::threads::Threads;
use super::{Backoff, Breadcrumb, Tolerance};

/// On which terms the calls of one session run.
pub(crate) struct Terms {
    /// A number that stands for the session, and seeds its rests.
    pub session: u64,
    pub rules: Arc<Rules>,
    /// How many calls of the session may run at a time; `None` = any number.
    pub permits: Option<Arc<Semaphore>>,
    pub capacity: Arc<Capacity>,
    /// Of the thread that the session lives on.
    pub breadcrumb: Arc<Breadcrumb>,
}

/// What sessions that are made alike have in common.
#[derive(Clone, Debug)]
pub(crate) struct Rules {
    pub backoff: Backoff,
    pub tolerance: Tolerance,
    pub max_result_bytes: usize,
}

/// What the sessions of one runtime share.
#[derive(Debug)]
pub(crate) struct Capacity {
    /// How many calls may run at a time; `None` = any number.
    pub permits: Option<Arc<Semaphore>>,
    pub threads: Threads,
}

impl Capacity {
    /// Room for so many calls, 0 for any number, and so many threads for blocking tools.
    pub fn new(max_concurrency: usize, blocking_threads: usize) -> Arc<Self> {
        let permits = (max_concurrency > 0).then(|| permits(max_concurrency));
        Arc::new(Self { permits, threads: Threads::new(blocking_threads) })
    }
}

/// So many permits, as far as there can be so many.
pub(crate) fn permits(count: usize) -> Arc<Semaphore> {
    Arc::new(Semaphore::new(count.min(Semaphore::MAX_PERMITS)))
}
