//! What a worker's calls tell of it: shared by the calls, the worker and its rebuilder, all on one
//! thread.

use std::cell::{Cell, RefCell};
use std::sync::Arc;
use std::task::Waker;

use tokio::time::Instant;

use super::circuit::{Circuit, Probed, Trip, Verdict};
use super::failure_rate::FailureRate;
use super::{Failure, MaxFailureRate};

/// The same arguments crash so often, and are not tried again.
const POISON: u32 = 2;

/// When a worker is taken for failed though it did not crash.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) struct Tolerance {
    /// So many time-outs in a row; 0 = any number may be.
    pub max_time_outs: u32,
    pub max_failure_rate: MaxFailureRate,
}

/// How a call, or one try of it, ended, as far as its worker is concerned.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum CallEnd<'a> {
    /// The tool answered, if only that it cannot.
    Answered,
    Crashed {
        cause: &'a str,
        arguments: u64,
    },
    TimedOut,
}

/// The condition of one worker.
#[derive(Debug, Default)]
pub(crate) struct Health {
    generation: Cell<u32>,
    failure: RefCell<Option<Failure>>,
    /// Failed, and not rebuilt yet.
    is_down: Cell<bool>,
    /// Failed, and nobody has said yet what becomes of it.
    is_undecided: Cell<bool>,
    down: Cell<Option<(Instant, Instant)>>,
    /// Something is remembered that the next call has to look at.
    troubled: Cell<bool>,
    circuit: RefCell<Circuit>,
    /// The circuit has closed again.
    recovered: Cell<bool>,
    /// Since the last answer.
    time_outs: Cell<u32>,
    rate: RefCell<FailureRate>,
    /// Arguments that crashed, and how often.
    crashes: RefCell<Vec<(u64, u32)>>,
    /// The one who rebuilds the worker.
    watcher: RefCell<Option<Waker>>,
    /// Calls that wait for the worker to come back.
    waiters: RefCell<Vec<Waker>>,
}

impl Health {
    /// How often the worker was rebuilt.
    pub fn generation(&self) -> u32 {
        self.generation.get()
    }

    /// Says that `generation` of the worker failed. News of an earlier one is stale.
    pub fn report_failure(&self, generation: u32, failure: Failure) {
        if generation != self.generation.get() || self.is_down.get() {
            return;
        }
        self.lost();
        *self.failure.borrow_mut() = Some(failure);
        self.wake_watcher();
    }

    /// The worker is lost. Calls that come wait until it is back.
    pub fn is_down(&self) -> bool {
        self.is_down.get()
    }

    /// As [`Health::is_down`], and has `waker` woken when that changes.
    pub fn poll_down(&self, waker: &Waker) -> bool {
        if self.is_down() {
            self.waiters.borrow_mut().push(waker.clone());
        }
        self.is_down()
    }

    /// Takes the failure that was reported, or has `waker` woken by the next news.
    pub fn take_failure(&self, waker: &Waker) -> Option<Failure> {
        let failure = self.failure.borrow_mut().take();
        if failure.is_none() {
            let mut watcher = self.watcher.borrow_mut();
            if !watcher.as_ref().is_some_and(|watcher| watcher.will_wake(waker)) {
                *watcher = Some(waker.clone());
            }
        }
        failure
    }

    /// The worker failed without a call's saying so.
    pub fn lost(&self) {
        self.is_down.set(true);
        self.is_undecided.set(true);
    }

    /// It is known what becomes of the worker.
    pub fn decided(&self) {
        self.is_undecided.set(false);
    }

    /// Says whether it is still to be known what becomes of the worker.
    pub fn is_undecided(&self) -> bool {
        self.is_undecided.get()
    }

    /// Begins the next generation. The worker was down from `since` until now.
    pub fn rebuilt(&self, since: Instant) {
        self.generation.set(self.generation.get() + 1);
        self.failure.borrow_mut().take(); // Of the generation that is gone.
        self.is_down.set(false);
        self.is_undecided.set(false);
        self.time_outs.set(0);
        self.down.set(Some((since, Instant::now())));
        self.wake_waiters();
    }

    /// The last time the worker was down.
    pub fn down(&self) -> Option<(Instant, Instant)> {
        self.down.get()
    }

    /// Takes in the end of a call that `generation` began.
    pub fn on_end(&self, generation: u32, end: CallEnd<'_>, tolerance: &Tolerance) {
        let answered = end == CallEnd::Answered;
        if answered {
            self.time_outs.set(0);
            if !self.troubled.get() {
                return;
            }
        }
        if let CallEnd::Crashed { cause, arguments } = end {
            self.remember_crash(arguments);
            let arguments = Some(arguments);
            self.report_failure(generation, Failure::Crash { cause: cause.into(), arguments });
        }
        if generation != self.generation.get() {
            return; // It says nothing of the worker there is now.
        }
        let (now, max) = (Instant::now(), &tolerance.max_failure_rate);
        if self.rate.borrow_mut().on_end(now, !answered, max) {
            *self.rate.borrow_mut() = FailureRate::default();
            let cause = format!("more than {:.0} % of its calls fail", max.share * 100.0);
            // Before what else there may be to say: it opens the circuit.
            self.failure.borrow_mut().take();
            self.is_down.set(false);
            self.report_failure(generation, Failure::TooMany { cause });
        }
        self.troubled.set(true);
        if end == CallEnd::TimedOut {
            self.time_outs.set(self.time_outs.get() + 1);
            if self.time_outs.get() == tolerance.max_time_outs {
                let cause =
                    format!("{} calls in a row had no result in time", self.time_outs.get());
                self.report_failure(generation, Failure::TimedOut { cause });
            }
        }
        self.look_for_trouble();
    }

    /// Says whether the next call has to ask [`Health::is_poison`] and [`Health::judge`].
    pub fn is_troubled(&self) -> bool {
        self.troubled.get()
    }

    /// Says whether these arguments crashed so often that they are not tried again.
    pub fn is_poison(&self, arguments: u64) -> bool {
        let crashes = self.crashes.borrow();
        crashes.iter().any(|(crashed, times)| *crashed == arguments && *times >= POISON)
    }

    /// Says whether anything has crashed that [`Health::is_poison`] could know of.
    pub fn has_crashed(&self) -> bool {
        !self.crashes.borrow().is_empty()
    }

    /// What the circuit makes of a call that would begin at `now`.
    pub fn judge(&self, now: Instant) -> Verdict {
        self.circuit.borrow().judge(now)
    }

    /// Says whether the model should not be offered the tool at `now`.
    pub fn withdraws(&self, now: Instant) -> bool {
        self.troubled.get() && self.circuit.borrow().withdraws(now)
    }

    pub fn is_closed(&self) -> bool {
        *self.circuit.borrow() == Circuit::Closed
    }

    /// Too many failures: see [`Circuit::open`]. Those who wait for the worker are told.
    pub fn open_circuit(&self, now: Instant, trip: Trip) {
        self.circuit.borrow_mut().open(now, trip);
        self.troubled.set(true);
        *self.rate.borrow_mut() = FailureRate::default();
        self.wake_waiters();
    }

    /// The first call after the cool-down begins.
    pub fn begin_probe(&self) {
        self.circuit.borrow_mut().begin_probe();
    }

    /// The probe has ended.
    pub fn end_probe(&self, now: Instant, probed: Probed) {
        if probed == Probed::Badly {
            let cause = "the call that was to find out had no result in time".to_owned();
            self.report_failure(self.generation.get(), Failure::TooMany { cause }); // If not a crash.
        }
        if self.circuit.borrow_mut().end_probe(now, probed) {
            self.recovered.set(true);
            self.look_for_trouble();
            self.wake_watcher();
        }
    }

    /// Says once that the circuit has closed again.
    pub fn take_recovery(&self) -> bool {
        self.recovered.take()
    }

    fn remember_crash(&self, arguments: u64) {
        self.troubled.set(true);
        let mut crashes = self.crashes.borrow_mut();
        match crashes.iter_mut().find(|(crashed, _)| *crashed == arguments) {
            Some((_, times)) => *times += 1,
            None => crashes.push((arguments, 1)),
        }
    }

    fn look_for_trouble(&self) {
        let well = self.is_closed() && !self.has_crashed() && self.rate.borrow().is_quiet();
        self.troubled.set(!well);
    }

    fn wake_watcher(&self) {
        if let Some(waker) = self.watcher.borrow_mut().take() {
            waker.wake();
        }
    }

    fn wake_waiters(&self) {
        self.waiters.take().into_iter().for_each(Waker::wake);
    }
}

/// Why a call is refused, as the model is told.
pub(super) fn refusal(
    name: &str,
    cause: &Arc<str>,
    retry_after: Option<std::time::Duration>,
) -> String {
    match retry_after {
        Some(after) => {
            let after = after.as_secs_f64().max(0.1);
            format!(
                "the tool `{name}` is out of service after repeated failures ({cause}); not run, it \
                 is tried again in {after:.1} s"
            )
        }
        None => format!(
            "the tool `{name}` is out of service after repeated failures ({cause}); not run, \
             another call is just finding out whether it works again"
        ),
    }
}
