//! What a worker's calls tell of it: shared by the calls, the worker and its rebuilder, all on one
//! thread.

use std::cell::{Cell, RefCell};
use std::collections::BTreeMap;
use std::sync::Arc;
use std::task::Waker;

use tokio::time::Instant;

use super::circuit::{Circuit, Probed, Trip, Verdict};
use super::failure_rate::FailureRate;
use super::{Failure, MaxFailureRate};
use crate::conversation::Place;

/// The same arguments crash so often, without an answer in between, and are not tried again.
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

/// How many arguments that crashed are remembered.
const MAX_CRASHES: usize = 256;

/// The condition of one worker.
#[derive(Debug, Default)]
pub(crate) struct Health {
    generation: Cell<u32>,
    /// Calls that were sent to the worker and have not come there yet.
    under_way: Cell<u32>,
    failure: RefCell<Option<Box<Failure>>>,
    /// Failed, and not rebuilt yet.
    is_down: Cell<bool>,
    /// Failed, and nobody has said yet what becomes of it.
    is_undecided: Cell<bool>,
    down: Cell<Option<(Instant, Instant)>>,
    /// Somebody wants the worker made anew.
    is_to_restart: Cell<bool>,
    /// The circuit has closed again.
    recovered: Cell<bool>,
    /// Since the last answer.
    time_outs: Cell<u32>,
    /// The one who rebuilds the worker.
    watcher: RefCell<Option<Waker>>,
    /// What the next call has to look at. Most workers never know any.
    trouble: RefCell<Option<Box<Trouble>>>,
}

/// What is remembered of failures.
#[derive(Debug, Default)]
struct Trouble {
    circuit: Circuit,
    rate: FailureRate,
    /// Arguments that crashed, and how often.
    crashes: Vec<(u64, u32)>,
    /// Calls that wait to begin, by round and place: tries of one reply have calls of the same ordinal.
    waiters: BTreeMap<(u64, Place), Waker>,
}

impl Health {
    /// How often the worker was rebuilt.
    pub fn generation(&self) -> u32 {
        self.generation.get()
    }

    /// A call is sent to the worker.
    pub fn on_sent(&self) {
        self.under_way.set(self.under_way.get() + 1);
    }

    /// A call has come to the worker.
    pub fn on_come(&self) {
        self.under_way.set(self.under_way.get().saturating_sub(1));
    }

    /// Says whether no call waits for the worker itself.
    pub fn is_awaited_by_none(&self) -> bool {
        self.under_way.get() == 0 && !self.is_down()
    }

    /// Says that `generation` of the worker failed. News of an earlier one is stale.
    pub fn report_failure(&self, generation: u32, failure: Failure) {
        if generation != self.generation.get() || self.is_down.get() {
            return;
        }
        self.lost();
        *self.failure.borrow_mut() = Some(Box::new(failure));
        self.wake_watcher();
    }

    /// The worker is lost. Calls that come wait until it is back.
    pub fn is_down(&self) -> bool {
        self.is_down.get()
    }

    /// Has `waker` woken when the worker is back, or its circuit opens, on behalf of `call`, until
    /// that stops waiting.
    pub fn wait_for_change(&self, call: (u64, Place), waker: &Waker) {
        self.with_trouble(|trouble| trouble.waiters.insert(call, waker.clone()));
    }

    /// The call waits no longer.
    pub fn stop_waiting(&self, call: (u64, Place)) {
        if let Some(trouble) = &mut *self.trouble.borrow_mut() {
            trouble.waiters.remove(&call);
        }
        self.look_for_trouble();
    }

    /// Takes the failure that was reported, or has `waker` woken by the next news.
    pub fn take_failure(&self, waker: &Waker) -> Option<Failure> {
        let failure = self.failure.borrow_mut().take();
        if failure.is_none() {
            self.watch(waker);
        }
        failure.map(|failure| *failure)
    }

    fn watch(&self, waker: &Waker) {
        let mut watcher = self.watcher.borrow_mut();
        if !watcher.as_ref().is_some_and(|watcher| watcher.will_wake(waker)) {
            *watcher = Some(waker.clone());
        }
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

    /// Somebody wants the worker made anew, and says that its tool works: what is held against it is
    /// forgotten. `was_out` of service it was everywhere.
    pub fn order_restart(&self, was_out: bool) {
        let was_open = self.trouble.borrow_mut().as_mut().is_some_and(|trouble| {
            trouble.rate = FailureRate::default();
            trouble.crashes.clear();
            trouble.circuit.close()
        });
        self.recovered.set(self.recovered.get() || was_open || was_out);
        self.is_to_restart.set(true);
        self.wake_watcher();
        self.look_for_trouble();
    }

    /// Says once that somebody wants the worker made anew, and has `waker` woken by the next who does.
    pub fn take_restart(&self, waker: &Waker) -> bool {
        self.watch(waker);
        self.is_to_restart.take()
    }

    /// Takes in the end of a call that `generation` began.
    pub fn on_end(&self, generation: u32, end: CallEnd<'_>, tolerance: &Tolerance) {
        let answered = end == CallEnd::Answered;
        if answered {
            self.time_outs.set(0);
            if !self.is_troubled() {
                return;
            }
        }
        if let CallEnd::Crashed { cause, arguments } = end {
            self.with_trouble(|trouble| trouble.remember_crash(arguments));
            let arguments = Some(arguments);
            self.report_failure(generation, Failure::Crash { cause: cause.into(), arguments });
        }
        if generation != self.generation.get() {
            return; // It says nothing of the worker there is now.
        }
        let (now, max) = (Instant::now(), &tolerance.max_failure_rate);
        let too_many = self.with_trouble(|trouble| trouble.rate.on_end(now, !answered, max));
        // Of a failure that is being dealt with already nothing is to be added.
        if too_many && (!self.is_down() || self.failure.borrow().is_some()) {
            let cause = format!("more than {:.0} % of its calls fail", max.share * 100.0);
            self.failure.borrow_mut().take(); // This opens the circuit, and that may not.
            self.is_down.set(false);
            self.report_failure(generation, Failure::TooMany { cause });
        }
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
        self.trouble.borrow().is_some()
    }

    /// Says whether these arguments crashed so often that they are not tried again.
    pub fn is_poison(&self, arguments: u64) -> bool {
        let trouble = self.trouble.borrow();
        let mut crashes = trouble.iter().flat_map(|trouble| &trouble.crashes);
        crashes.any(|(crashed, times)| *crashed == arguments && *times >= POISON)
    }

    /// These arguments were answered: that they crashed before was not their fault.
    pub fn forgive(&self, arguments: u64) {
        self.with_trouble(|trouble| trouble.crashes.retain(|(crashed, _)| *crashed != arguments));
    }

    /// Says whether anything has crashed that [`Health::is_poison`] could know of.
    pub fn has_crashed(&self) -> bool {
        self.trouble.borrow().as_ref().is_some_and(|trouble| !trouble.crashes.is_empty())
    }

    /// What the circuit makes of a call that would begin at `now`.
    pub fn judge(&self, now: Instant) -> Verdict {
        let trouble = self.trouble.borrow();
        trouble.as_ref().map_or(Verdict::Run, |trouble| trouble.circuit.judge(now))
    }

    /// Says whether the model should not be offered the tool at `now`.
    pub fn withdraws(&self, now: Instant) -> bool {
        self.trouble.borrow().as_ref().is_some_and(|trouble| trouble.circuit.withdraws(now))
    }

    /// Says whether the circuit is closed.
    pub fn is_closed(&self) -> bool {
        let trouble = self.trouble.borrow();
        trouble.as_ref().is_none_or(|trouble| trouble.circuit == Circuit::Closed)
    }

    /// Too many failures: see [`Circuit::open`]. Those who wait for the worker are told.
    pub fn open_circuit(&self, now: Instant, trip: Trip) {
        self.with_trouble(|trouble| {
            trouble.circuit.open(now, trip);
            trouble.rate = FailureRate::default();
        });
        self.wake_waiters();
    }

    /// The first call after the cool-down begins.
    pub fn begin_probe(&self, until: Instant) {
        self.with_trouble(|trouble| trouble.circuit.begin_probe(until));
    }

    /// The probe has ended.
    pub fn end_probe(&self, now: Instant, probed: Probed) {
        // One that was closed meanwhile, by hand, is not opened by what it has left behind.
        let is_probing = self.with_trouble(|trouble| trouble.circuit.as_str() == "half-open");
        if probed == Probed::Badly && is_probing {
            let cause = "the call that was to find out had no result in time".to_owned();
            self.report_failure(self.generation.get(), Failure::TooMany { cause }); // If not a crash.
        }
        if self.with_trouble(|trouble| trouble.circuit.end_probe(now, probed)) {
            self.recovered.set(true);
            self.wake_watcher();
        }
        self.look_for_trouble();
    }

    /// The circuit of the tool type has closed, if not this one.
    pub fn tell_recovery(&self) {
        self.recovered.set(true);
        self.wake_watcher();
    }

    /// Says once that the circuit has closed again.
    pub fn take_recovery(&self) -> bool {
        self.recovered.take()
    }

    fn with_trouble<T>(&self, change: impl FnOnce(&mut Trouble) -> T) -> T {
        change(self.trouble.borrow_mut().get_or_insert_default())
    }

    /// Forgets trouble that is over.
    fn look_for_trouble(&self) {
        let mut trouble = self.trouble.borrow_mut();
        if trouble.as_ref().is_some_and(|trouble| trouble.is_over()) {
            *trouble = None;
        }
    }

    /// Has the one who rebuilds the worker look after it.
    pub fn wake_watcher(&self) {
        if let Some(waker) = self.watcher.borrow_mut().take() {
            waker.wake();
        }
    }

    fn wake_waiters(&self) {
        let mut trouble = self.trouble.borrow_mut();
        let waiters = trouble.as_mut().map(|trouble| std::mem::take(&mut trouble.waiters));
        drop(trouble);
        waiters.into_iter().flatten().for_each(|(_, waker)| waker.wake());
        self.look_for_trouble();
    }
}

impl Trouble {
    fn is_over(&self) -> bool {
        let Self { circuit, rate, crashes, waiters } = self;
        *circuit == Circuit::Closed && rate.is_quiet() && crashes.is_empty() && waiters.is_empty()
    }

    fn remember_crash(&mut self, arguments: u64) {
        let crashes = &mut self.crashes;
        match crashes.iter_mut().find(|(crashed, _)| *crashed == arguments) {
            Some((_, times)) => *times += 1,
            None => {
                if crashes.len() >= MAX_CRASHES {
                    crashes.remove(0);
                }
                crashes.push((arguments, 1));
            }
        }
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn calls_that_waited_leave_nothing_behind() {
        let health = Health::default();
        for ordinal in 0..1000 {
            let call = (1, Place { reply_attempt: 1, ordinal });
            health.wait_for_change(call, Waker::noop());
            health.wait_for_change(call, Waker::noop());
            assert!(health.is_troubled());
            health.stop_waiting(call);
        }
        assert!(!health.is_troubled());
        assert!(health.trouble.borrow().is_none());
    }
}
