//! A place for sessions to live.

use std::fmt;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::thread::JoinHandle;

use actix::Addr;
use actix_rt::{Arbiter, ArbiterHandle, System};

use super::host::Host;
use super::{Clock, Session, SessionOptions};
use crate::conversation::SessionId;
use crate::store::{Journal, MemoryStore};
use crate::tools::Capacity;

/// How many threads there may be for tools that block, where nothing else is said.
const BLOCKING_THREADS: usize = 64;

/// Why a runtime did not start.
#[derive(Debug, thiserror::Error)]
pub enum StartError {
    /// The operating system gave no thread.
    #[error("cannot start a thread for the runtime")]
    Thread(#[source] std::io::Error),
    /// [`RuntimeBuilder::in_current_system`] was called outside of one.
    #[error("no actix System runs on this thread")]
    NoSystem,
}

/// A place for sessions to live: a thread of its own with an actix System and its arbiters, or the
/// caller's running System. Cheap to clone.
///
/// When the last clone is dropped, a System of its own stops, and with it every session: turns that
/// are under way end with [`super::Error::Closed`]. Dropping it waits for that thread, unless it is
/// dropped on one of the runtime's own.
#[derive(Clone)]
pub struct Runtime {
    inner: Arc<Inner>,
}

struct Inner {
    /// One for each arbiter.
    hosts: Vec<Addr<Host>>,
    next: AtomicUsize,
    own: Option<OwnSystem>,
}

/// A System on a thread of the runtime's own.
struct OwnSystem {
    system: System,
    thread: Option<JoinHandle<()>>,
}

/// How a [`Runtime`] is made.
pub struct RuntimeBuilder {
    arbiters: usize,
    max_concurrency: usize,
    blocking_threads: usize,
    journal: Option<Arc<dyn Journal>>,
    clock: Option<Clock>,
}

impl Runtime {
    /// A builder with the usual settings: one arbiter per core, records kept in memory.
    #[must_use]
    pub fn builder() -> RuntimeBuilder {
        let (arbiters, max_concurrency, blocking_threads) = (0, 0, BLOCKING_THREADS);
        let (journal, clock) = (None, None);
        RuntimeBuilder { arbiters, max_concurrency, blocking_threads, journal, clock }
    }

    /// Makes a session on the next arbiter in turn, or goes on with one that the store knows.
    /// Returns at once.
    #[must_use]
    pub fn session(&self, options: SessionOptions) -> Session {
        let id = options.id.clone().unwrap_or_else(SessionId::random);
        let place = self.inner.next.fetch_add(1, Ordering::Relaxed) % self.inner.hosts.len();
        Host::open(&self.inner.hosts[place], id, options)
    }

    /// How many arbiters share the sessions.
    #[must_use]
    pub fn arbiters(&self) -> usize {
        self.inner.hosts.len()
    }
}

impl fmt::Debug for Runtime {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Runtime").field("arbiters", &self.arbiters()).finish_non_exhaustive()
    }
}

impl RuntimeBuilder {
    /// How many arbiters, each a thread, share the sessions. 0, the default: one per core.
    #[must_use]
    pub fn arbiters(mut self, arbiters: usize) -> Self {
        self.arbiters = arbiters;
        self
    }

    /// Lets so many calls run at a time, of all sessions together; the others wait. 0, the default:
    /// any number.
    #[must_use]
    pub fn max_concurrency(mut self, calls: usize) -> Self {
        self.max_concurrency = calls;
        self
    }

    /// How many threads there may be for tools that block ([`crate::ToolType::blocking`]): 64 if it
    /// is not said, at least 1. They are started as they are needed.
    #[must_use]
    pub fn blocking_threads(mut self, threads: usize) -> Self {
        self.blocking_threads = threads.max(1);
        self
    }

    /// Where records are kept.
    #[must_use]
    pub fn journal(mut self, journal: Arc<dyn Journal>) -> Self {
        self.journal = Some(journal);
        self
    }

    /// The clock that events are stamped with.
    #[must_use]
    pub fn clock(mut self, clock: Clock) -> Self {
        self.clock = Some(clock);
        self
    }

    /// Starts a System on a thread of its own. Works with any runtime round it, or none.
    ///
    /// # Errors
    /// [`StartError::Thread`] if the operating system gives no thread.
    pub fn start(self) -> Result<Runtime, StartError> {
        let arbiters = match self.arbiters {
            0 => std::thread::available_parallelism().map_or(1, usize::from),
            arbiters => arbiters,
        };
        let (ready, started) = std::sync::mpsc::channel();
        let thread = std::thread::Builder::new().name("callsheet".into()).spawn(move || {
            let runner = System::new();
            let handles = (0..arbiters).map(|_| Arbiter::new().handle()).collect::<Vec<_>>();
            let started = ready.send((System::current(), handles)).is_ok();
            if started {
                drop(runner.run());
            }
        });
        let thread = thread.map_err(StartError::Thread)?;
        let (system, arbiters) = started.recv().map_err(|_| {
            StartError::Thread(std::io::Error::other("the thread ended while it started"))
        })?;
        Ok(self.build(&arbiters, Some(OwnSystem { system, thread: Some(thread) })))
    }

    /// Uses the actix System of this thread: sessions live on the current arbiter.
    ///
    /// # Errors
    /// [`StartError::NoSystem`] outside of a System.
    pub fn in_current_system(self) -> Result<Runtime, StartError> {
        let arbiter = Arbiter::try_current().ok_or(StartError::NoSystem)?;
        Ok(self.build(&[arbiter], None))
    }

    fn build(self, arbiters: &[ArbiterHandle], own: Option<OwnSystem>) -> Runtime {
        let journal = self.journal.unwrap_or_else(|| Arc::new(MemoryStore::new()));
        let clock = self.clock.unwrap_or_else(Clock::system);
        let capacity = Capacity::new(self.max_concurrency, self.blocking_threads);
        let host =
            |arbiter| Host::start(arbiter, Arc::clone(&journal), clock, Arc::clone(&capacity));
        let (hosts, next) = (arbiters.iter().map(host).collect(), AtomicUsize::new(0));
        Runtime { inner: Arc::new(Inner { hosts, next, own }) }
    }
}

impl Drop for Inner {
    fn drop(&mut self) {
        let Some(own) = &mut self.own else { return };
        own.system.stop();
        // On a thread of the System itself, waiting would be waiting for oneself.
        let inside = System::try_current().is_some_and(|system| system.id() == own.system.id());
        if let Some(thread) = own.thread.take().filter(|_| !inside) {
            drop(thread.join());
        }
    }
}
