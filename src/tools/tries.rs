//! The account of a call that may wait and be tried again: kept with the call, so that it is right
//! also when the call is given up in the middle.

use std::time::Duration;

use tokio::time::Instant;

use super::Waits;

/// Where the time of one call went so far.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Tries {
    dispatched: Instant,
    startup: Duration,
    /// Before the first try.
    backoff: Duration,
    pub attempts: u32,
    pub generation: u32,
    ran: Duration,
    rested: Duration,
    phase: Phase,
    since: Instant,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Phase {
    Queued,
    Running,
    /// What it needs has not started yet.
    #[cfg(feature = "mcp")]
    Starting,
    Resting,
}

/// Why what a call needs is not there.
#[cfg(feature = "mcp")]
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Absent {
    /// It has not started yet.
    NotStarted,
    /// It failed, and will be back.
    Failed,
}

#[cfg(feature = "mcp")]
impl From<Absent> for Phase {
    fn from(absent: Absent) -> Self {
        match absent {
            Absent::NotStarted => Self::Starting,
            Absent::Failed => Self::Resting,
        }
    }
}

/// The sums.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Spent {
    pub waits: Waits,
    pub ran: Duration,
    pub attempts: u32,
    pub generation: u32,
}

impl Spent {
    /// Of a call that has waited so long, and not run.
    pub fn waiting(queued: Duration, generation: u32) -> Self {
        let waits = Waits { queued, ..Waits::default() };
        Self { waits, ran: Duration::ZERO, attempts: 0, generation }
    }
}

impl Tries {
    pub fn new(dispatched: Instant) -> Self {
        let (startup, backoff, ran, rested) = Default::default();
        let (phase, since) = (Phase::Queued, dispatched);
        let (attempts, generation) = (0, 0);
        Self { dispatched, startup, backoff, attempts, generation, ran, rested, phase, since }
    }

    /// The next try begins. Of what came before the first one, `waits` knows.
    pub fn begin(&mut self, now: Instant, generation: u32, waits: Waits) {
        if self.attempts == 0 {
            (self.startup, self.backoff) = (waits.startup, waits.backoff);
        }
        self.turn_to(Phase::Running, now);
        self.attempts += 1;
        self.generation = generation;
    }

    /// What the try that runs needs is away: it waits for it, and does not run.
    #[cfg(feature = "mcp")]
    pub fn wait_for(&mut self, absent: Absent, now: Instant) {
        self.turn_to(absent.into(), now);
    }

    /// What it needs is there: it runs.
    #[cfg(feature = "mcp")]
    pub fn run_on(&mut self, now: Instant) {
        self.turn_to(Phase::Running, now);
    }

    /// Says whether the call runs, and does not wait.
    pub fn is_running(&self) -> bool {
        self.phase == Phase::Running
    }

    /// A try has ended, or the wait for a place; now the call rests, or waits for its worker.
    pub fn rest(&mut self, now: Instant) {
        if self.attempts > 0 {
            self.turn_to(Phase::Resting, now);
        }
    }

    /// The call waits for its turn.
    pub fn queue(&mut self, now: Instant) {
        self.turn_to(Phase::Queued, now);
    }

    /// The account at `now`.
    pub fn spent(&self, now: Instant) -> Spent {
        let mut until_now = *self;
        until_now.turn_to(Phase::Queued, now);
        let Self { startup, backoff, ran, rested, attempts, generation, .. } = until_now;
        let backoff = backoff + rested;
        let all = now.saturating_duration_since(self.dispatched);
        let queued = all.saturating_sub(startup + backoff + ran);
        Spent { waits: Waits { queued, startup, backoff }, ran, attempts, generation }
    }

    fn turn_to(&mut self, phase: Phase, now: Instant) {
        let passed = now.saturating_duration_since(self.since);
        match self.phase {
            Phase::Queued => {}
            Phase::Running => self.ran += passed,
            #[cfg(feature = "mcp")]
            Phase::Starting => self.startup += passed,
            Phase::Resting => self.rested += passed,
        }
        (self.phase, self.since) = (phase, now);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test(start_paused = true)]
    async fn every_moment_is_spent_on_one_thing() {
        let start = Instant::now();
        let at = |s| start + Duration::from_secs(s);
        let secs = Duration::from_secs;
        let mut tries = Tries::new(start);
        let waits = Waits { queued: secs(1), startup: secs(1), backoff: secs(2) };
        tries.begin(at(4), 3, waits);
        tries.rest(at(9));
        tries.queue(at(11));
        tries.begin(at(12), 4, Waits::default());
        let Spent { waits, ran, attempts, generation } = tries.spent(at(20));
        assert_eq!(waits, Waits { queued: secs(2), startup: secs(1), backoff: secs(4) });
        assert_eq!((ran, attempts, generation), (secs(13), 2, 4));
    }

    #[cfg(feature = "mcp")]
    #[tokio::test(start_paused = true)]
    async fn a_try_that_waits_for_what_it_needs_does_not_run() {
        let start = Instant::now();
        let at = |s| start + Duration::from_secs(s);
        let secs = Duration::from_secs;
        let mut tries = Tries::new(start);
        let waits = Waits { queued: secs(1), startup: secs(1), backoff: secs(0) };
        tries.begin(at(2), 0, waits);
        tries.wait_for(Absent::NotStarted, at(2));
        assert!(!tries.is_running());
        assert_eq!(tries.spent(at(5)).waits.startup, secs(4), "also in the middle");
        tries.wait_for(Absent::Failed, at(6));
        tries.run_on(at(11));
        tries.rest(at(13));
        tries.begin(at(14), 0, Waits::default());
        tries.wait_for(Absent::NotStarted, at(14));
        let Spent { waits, ran, attempts, .. } = tries.spent(at(20));
        assert_eq!(waits, Waits { queued: secs(1), startup: secs(11), backoff: secs(6) });
        assert_eq!((ran, attempts), (secs(2), 2));
    }

    #[tokio::test(start_paused = true)]
    async fn a_call_that_never_began_was_queued() {
        let start = Instant::now();
        let spent = Tries::new(start).spent(start + Duration::from_secs(7));
        assert_eq!(spent.waits.queued, Duration::from_secs(7));
        assert_eq!((spent.ran, spent.attempts), (Duration::ZERO, 0));
    }
}
