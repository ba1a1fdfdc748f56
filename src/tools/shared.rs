//! What all workers of a tool type share, in all sessions of the process.

use std::sync::atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError};
use std::time::Duration;

use serde::Serialize;
use tokio::time::Instant;

use super::CallLimits;
use super::admission::Gate;
use super::cache::{Cache, CacheKey};
use super::circuit::{Circuit, Probed, Trip, Verdict};
use super::crash_log::{Crash, CrashLog, Ends};
use crate::conversation::Outcome;

/// The condition of a tool in the whole process, at one moment ([`super::ToolType::health`]).
///
/// A session withdraws a tool for itself first: `circuit` may be `closed` and `withdrawals` above 0.
/// Serialized it has the names of its fields.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct ToolHealth {
    /// The tool's name.
    pub tool: Arc<str>,
    /// `closed`: it is offered; `open`: it is withdrawn everywhere; `half-open`: one call is just
    /// finding out whether it works again.
    pub circuit: &'static str,
    /// For how many milliseconds it stays withdrawn; `None` unless the circuit is open, and once
    /// that time is over: then the next call finds out.
    pub retry_after_ms: Option<u64>,
    /// How often workers of it were rebuilt, since the tool type was made.
    pub restarts: u64,
    /// How often circuits of it opened, in sessions and everywhere, since the tool type was made.
    pub withdrawals: u64,
    /// The last failure of a worker, one line; `None` if there was none.
    pub last_failure: Option<Arc<str>>,
    /// Calls that wait for their turn. Those that rest before another try are not among them.
    pub waiting: usize,
    /// Calls that run; `None` unless their number is limited
    /// ([`max_concurrency`](super::ToolType::max_concurrency)).
    pub running: Option<usize>,
    /// Threads that go on with calls of a [blocking](super::ToolType::blocking) tool that were given
    /// up.
    pub abandoned_threads: usize,
}

/// What all workers of a tool type share.
#[derive(Debug, Default)]
pub(crate) struct Shared {
    /// The circuit is not closed.
    troubled: AtomicBool,
    circuit: Mutex<Circuit>,
    /// There are crashes to compare answers with.
    counting: AtomicBool,
    /// While that is so.
    answered: AtomicU64,
    failed: AtomicU64,
    crashes: Mutex<CrashLog>,
    gate: OnceLock<Gate>,
    pub waiting: AtomicUsize,
    pub abandoned: AtomicUsize,
    restarts: AtomicU64,
    withdrawals: AtomicU64,
    last_failure: Mutex<Option<Arc<str>>>,
    cache: Mutex<Cache>,
}

impl Shared {
    /// The result of the call `key`, if it is kept.
    pub fn cached(&self, key: &CacheKey, now: Instant) -> Option<Outcome> {
        locked(&self.cache).get(key, now)
    }

    /// Keeps the result of the call `key` for so long.
    pub fn cache(&self, key: CacheKey, outcome: Outcome, lifetime: Duration, now: Instant) {
        locked(&self.cache).put(key, outcome, lifetime, now);
    }

    /// The gate that all calls go through.
    pub fn gate(&self, limits: &CallLimits) -> &Gate {
        self.gate.get_or_init(|| Gate::new(limits))
    }

    /// Says whether the next call has to ask [`Shared::judge`].
    pub fn is_troubled(&self) -> bool {
        self.troubled.load(Ordering::Acquire)
    }

    /// What the circuit makes of a call that would begin at `now`.
    pub fn judge(&self, now: Instant) -> Verdict {
        if self.is_troubled() { locked(&self.circuit).judge(now) } else { Verdict::Run }
    }

    /// Says whether no model should be offered the tool at `now`.
    pub fn withdraws(&self, now: Instant) -> bool {
        self.is_troubled() && locked(&self.circuit).withdraws(now)
    }

    /// A call has ended. That costs next to nothing while nothing has crashed.
    pub fn on_end(&self, was_answered: bool) {
        if self.counting.load(Ordering::Relaxed) {
            let count = if was_answered { &self.answered } else { &self.failed };
            count.fetch_add(1, Ordering::Relaxed);
        }
    }

    /// How calls ended while it was counted.
    pub fn ends(&self) -> Ends {
        Ends {
            answered: self.answered.load(Ordering::Relaxed),
            failed: self.failed.load(Ordering::Relaxed),
        }
    }

    /// Takes in a crash, and opens the circuit if `is_widespread` says so. Says whether it did.
    pub fn on_crash(
        &self,
        crash: Crash,
        trip: Trip,
        within: Duration,
        is_widespread: impl FnOnce(&CrashLog) -> bool,
    ) -> bool {
        let mut crashes = locked(&self.crashes);
        crashes.add(crash, within);
        self.counting.store(true, Ordering::Relaxed);
        let mut circuit = locked(&self.circuit);
        // One that is open still, or whose probe is under way, knows better.
        let may_open = matches!(circuit.judge(crash.at), Verdict::Run | Verdict::Probe);
        let opens = may_open && is_widespread(&crashes);
        if opens {
            crashes.clear();
            self.counting.store(false, Ordering::Relaxed);
            circuit.open(crash.at, trip);
            self.troubled.store(true, Ordering::Release);
            self.withdrawals.fetch_add(1, Ordering::Relaxed);
        }
        opens
    }

    /// The tool holds a thread that others need: it is out of service from `now` on, as `trip` says.
    pub fn on_block(&self, now: Instant, trip: Trip) {
        let mut circuit = locked(&self.circuit);
        if matches!(circuit.judge(now), Verdict::Refuse { .. }) {
            return; // It is already.
        }
        let cause = Arc::clone(&trip.cause);
        circuit.open(now, trip);
        self.troubled.store(true, Ordering::Release);
        drop(circuit);
        self.on_failure(&cause, true);
    }

    /// A worker is made anew because somebody said so.
    pub fn on_restart(&self) {
        self.restarts.fetch_add(1, Ordering::Relaxed);
    }

    /// Somebody says that the tool works again. Says whether it was out of service everywhere.
    pub fn close_circuit(&self) -> bool {
        let mut crashes = locked(&self.crashes);
        let mut circuit = locked(&self.circuit);
        crashes.clear();
        self.counting.store(false, Ordering::Relaxed);
        self.troubled.store(false, Ordering::Release); // While nobody can open it.
        circuit.close()
    }

    /// The server that the tool is of is back: what its fall opened is closed. Says whether it was open.
    #[cfg(feature = "mcp")]
    pub fn on_server_back(&self) -> bool {
        if !self.is_troubled() {
            return false;
        }
        let mut circuit = locked(&self.circuit);
        let closed = circuit.on_server_back();
        if closed {
            self.troubled.store(false, Ordering::Release); // While nobody can open it.
        }
        closed
    }

    /// The arguments crashed again: they are to blame, and not the tool.
    pub fn forget_poison(&self, session: u64, arguments: u64) {
        let mut crashes = locked(&self.crashes);
        crashes.forget(session, arguments);
        self.counting.store(!crashes.is_empty(), Ordering::Relaxed);
    }

    /// Begins a probe, which ends by `until`, if it is time for one. One caller of many is told so.
    pub fn begin_probe(&self, now: Instant, until: Instant) -> bool {
        let mut circuit = locked(&self.circuit);
        let is_time = circuit.judge(now) == Verdict::Probe;
        if is_time {
            circuit.begin_probe(until);
        }
        is_time
    }

    /// The probe has ended. Says whether the circuit closed.
    pub fn end_probe(&self, now: Instant, probed: Probed) -> bool {
        let mut crashes = locked(&self.crashes);
        let mut circuit = locked(&self.circuit);
        let closed = circuit.end_probe(now, probed);
        if closed {
            crashes.clear();
            self.counting.store(false, Ordering::Relaxed);
            self.troubled.store(false, Ordering::Release); // While nobody can open it.
        } else if probed == Probed::Badly && *circuit != Circuit::Closed {
            self.withdrawals.fetch_add(1, Ordering::Relaxed);
        }
        closed
    }

    /// A worker failed, and is rebuilt or withdrawn.
    pub fn on_failure(&self, cause: &str, withdrawn: bool) {
        let count = if withdrawn { &self.withdrawals } else { &self.restarts };
        count.fetch_add(1, Ordering::Relaxed);
        *locked(&self.last_failure) = Some(cause.into());
    }

    /// What there is to say of the tool `name` at `now`.
    pub fn health(&self, name: &Arc<str>, now: Instant) -> ToolHealth {
        let circuit = locked(&self.circuit).clone();
        let retry_after_ms = match circuit.judge(now) {
            Verdict::Refuse { retry_after: Some(after), .. } => {
                u64::try_from(after.as_millis()).ok()
            }
            _ => None,
        };
        ToolHealth {
            tool: Arc::clone(name),
            circuit: circuit.as_str(),
            retry_after_ms,
            restarts: self.restarts.load(Ordering::Relaxed),
            withdrawals: self.withdrawals.load(Ordering::Relaxed),
            last_failure: locked(&self.last_failure).clone(),
            waiting: self.waiting.load(Ordering::Relaxed),
            running: self.gate.get().and_then(Gate::running),
            abandoned_threads: self.abandoned.load(Ordering::Relaxed),
        }
    }
}

fn locked<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner) // Each change is one step.
}

#[cfg(test)]
mod tests {
    use super::super::Blame;
    use super::*;

    fn crash(at: Instant) -> Crash {
        Crash { at, session: 1, arguments: None, withdrawn: false, ends: Ends::default() }
    }

    fn trip() -> Trip {
        Trip { cause: "boom".into(), cool_down: Duration::from_secs(30), blame: Blame::Tool }
    }

    #[tokio::test(start_paused = true)]
    async fn a_call_that_was_let_in_before_the_circuit_opened_is_no_probe() {
        let (shared, now) = (Shared::default(), Instant::now());
        assert!(shared.on_crash(crash(now), trip(), Duration::from_secs(30), |_| true));
        let later = now + Duration::from_secs(30);
        let much_later = now + Duration::from_secs(3600);
        assert!(!shared.begin_probe(now, much_later), "it is too early");
        assert_eq!(shared.judge(later), Verdict::Probe, "and the next one finds out");
        assert!(shared.begin_probe(later, later + Duration::from_secs(5)));
        assert!(!shared.begin_probe(later, later + Duration::from_secs(5)), "one of many");
        assert!(shared.end_probe(later, Probed::Well) && !shared.is_troubled());
    }

    #[tokio::test(start_paused = true)]
    async fn a_tool_that_still_crashes_after_the_cool_down_is_withdrawn_again() {
        let (shared, now) = (Shared::default(), Instant::now());
        let within = Duration::from_secs(30);
        assert!(shared.on_crash(crash(now), trip(), within, |_| true));
        assert!(!shared.on_crash(crash(now), trip(), within, |_| true), "it is already");
        let later = now + Duration::from_secs(31);
        assert!(shared.on_crash(crash(later), trip(), within, |_| true));
        assert!(shared.withdraws(later));
    }
}
