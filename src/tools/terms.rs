//! On which terms the calls of a session run, and what all sessions of a runtime share.

use std::cell::Cell;
use std::sync::Arc;

use tokio::sync::Semaphore;

use super::LargeResults;
use super::bound::Bound;
use super::threads::Threads;
use super::{Backoff, Breadcrumb, Secrets, Tolerance};

/// On which terms the calls of one session run.
pub(crate) struct Terms {
    /// A number that stands for the session, and seeds its rests.
    pub session: u64,
    pub rules: Arc<Rules>,
    /// How many calls of the session may run at a time; `None` = any number.
    pub bound: Option<Arc<Bound>>,
    pub capacity: Arc<Capacity>,
    /// Where results go that are too large for the model; `None` = they are cut.
    pub large_results: Option<Box<dyn LargeResults>>,
    /// The model is offered the tool that reads them, or can be: else they are cut all the same.
    pub reads_on: Cell<bool>,
    /// Of the thread that the session lives on.
    pub breadcrumb: Arc<Breadcrumb>,
}

/// What sessions that are made alike have in common.
#[derive(Clone, Debug)]
pub(crate) struct Rules {
    pub backoff: Backoff,
    pub tolerance: Tolerance,
    /// A result that has more is too large for the model.
    pub max_result_bytes: usize,
    /// What no result may tell.
    pub secrets: Secrets,
}

/// What the sessions of one runtime share.
#[derive(Debug)]
pub(crate) struct Capacity {
    /// How many calls may run at a time; `None` = any number.
    pub bound: Option<Arc<Bound>>,
    pub threads: Threads,
}

impl Capacity {
    /// Room for so many calls, 0 for any number, and so many threads for blocking tools.
    pub fn new(max_concurrency: usize, blocking_threads: usize) -> Arc<Self> {
        let bound = (max_concurrency > 0).then(|| Bound::new(max_concurrency));
        Arc::new(Self { bound, threads: Threads::new(blocking_threads) })
    }
}

/// What is one call's at a time.
pub(super) fn turn() -> Arc<Semaphore> {
    Arc::new(Semaphore::new(1))
}
