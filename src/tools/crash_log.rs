//! The crashes of one tool type in the whole process. Pure: the time comes from outside.

use std::collections::VecDeque;
use std::time::Duration;

use tokio::time::Instant;

/// The most crashes that are remembered.
const MAX_CRASHES: usize = 1000;

/// A worker that was lost, or withdrawn in its session.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Crash {
    pub at: Instant,
    /// A number that stands for the session.
    pub session: u64,
    /// A number that stands for the call's arguments; `None` where no single call did it.
    pub arguments: Option<u64>,
    /// The session has withdrawn the tool.
    pub withdrawn: bool,
    /// How the tool's calls had ended by then, in the whole process.
    pub ends: Ends,
}

/// How many calls of a tool ended, from some moment on.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Ends {
    pub answered: u64,
    /// Crashed, or had no result in time.
    pub failed: u64,
}

/// The last crashes.
#[derive(Clone, Debug, Default)]
pub(crate) struct CrashLog(VecDeque<Crash>);

impl CrashLog {
    /// Takes in `crash`, and forgets what is older than `within`.
    pub fn add(&mut self, crash: Crash, within: Duration) {
        let is_old = |at: Instant| crash.at.saturating_duration_since(at) > within;
        while self.0.front().is_some_and(|first| is_old(first.at)) || self.0.len() >= MAX_CRASHES {
            self.0.pop_front();
        }
        self.0.push_back(crash);
    }

    /// Forgets the crashes of a call that turned out to be poison: they say nothing of the tool.
    pub fn forget(&mut self, session: u64, arguments: u64) {
        self.0.retain(|crash| (crash.session, crash.arguments) != (session, Some(arguments)));
    }

    /// Forgets everything.
    pub fn clear(&mut self) {
        self.0.clear();
    }

    /// The share of failures, 0 to 1, among the calls since the first crash: `now` is how they have
    /// ended by now. A worker that is lost is one crash, however many calls were lost with it.
    #[expect(clippy::cast_precision_loss, reason = "there are never so many")]
    pub fn share(&self, now: Ends) -> f64 {
        let Some(Crash { ends: then, .. }) = self.0.front() else { return 0.0 };
        let answered = now.answered.saturating_sub(then.answered) as f64;
        let failed = now.failed.saturating_sub(then.failed) as f64;
        let failed = failed.max(self.0.len() as f64);
        failed / (failed + answered)
    }

    /// Says whether there are none.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// How many crashes there are.
    pub fn len(&self) -> usize {
        self.0.len()
    }

    /// In how many sessions they were, those only that `which` says of.
    pub fn sessions(&self, which: impl Fn(&Crash) -> bool) -> usize {
        let crashes = self.0.iter().filter(|crash| which(crash));
        let mut sessions: Vec<u64> = crashes.map(|crash| crash.session).collect();
        sessions.sort_unstable();
        sessions.dedup();
        sessions.len()
    }
}
