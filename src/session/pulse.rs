//! What can be known of an arbiter without asking it.

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use crate::tools::Breadcrumb;

/// An arbiter that does not answer: something blocks its thread, and its sessions stand still.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct StuckArbiter {
    /// Its place among the runtime's arbiters, from 0.
    pub arbiter: usize,
    /// The tool whose code its thread runs now; `None` if it is in none.
    pub tool: Option<Arc<str>>,
    /// How long it has not answered.
    pub silent_for: Duration,
}

/// The condition of one arbiter: written there and by the watchdog, read by anybody. The time is
/// the machine's, whatever a test does with the arbiter's clock.
#[derive(Debug)]
pub(super) struct Pulse {
    heard: Mutex<Instant>,
    stuck: AtomicBool,
    /// Says which tool's code runs there.
    pub breadcrumb: Arc<Breadcrumb>,
}

impl Pulse {
    /// That of an arbiter that answers at `now`.
    pub fn new(now: Instant) -> Self {
        Self { heard: Mutex::new(now), stuck: AtomicBool::new(false), breadcrumb: Arc::default() }
    }

    /// The arbiter answers at `now`.
    pub fn beat(&self, now: Instant) {
        *self.locked() = now;
    }

    /// When it last did.
    pub fn heard(&self) -> Instant {
        *self.locked()
    }

    /// Says whether the arbiter has not answered for too long.
    pub fn is_stuck(&self) -> bool {
        self.stuck.load(Ordering::Relaxed)
    }

    /// Sets what [`Pulse::is_stuck`] says.
    pub fn mark(&self, stuck: bool) {
        self.stuck.store(stuck, Ordering::Relaxed);
    }

    /// The account of an arbiter that is stuck: the `arbiter`th.
    pub fn stuck(&self, arbiter: usize, silent_for: Duration) -> StuckArbiter {
        StuckArbiter { arbiter, tool: self.breadcrumb.tool(), silent_for }
    }

    fn locked(&self) -> MutexGuard<'_, Instant> {
        self.heard.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
