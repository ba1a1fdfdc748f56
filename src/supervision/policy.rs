//! What becomes of a worker that failed, and of a tool that fails in many sessions. Pure state
//! machines: time and seeds come from outside.

use std::collections::VecDeque;
use std::time::Duration;

use tokio::time::Instant;

use crate::tools::{Backoff, CrashLog, Ends, Failure, MaxFailureRate, Rules, Secrets, Tolerance};

/// A tool is withdrawn in the whole process only if it failed in so many sessions.
const MIN_SESSIONS: usize = 3;

/// How failing workers of a session are dealt with ([`crate::SessionOptions::supervision`]). A
/// worker runs the calls of one tool for one session.
///
/// A panic is a failure, and so are several time-outs in a row; an error that the tool answers is
/// not. A tool is withdrawn in the whole process once three sessions have withdrawn it, or once it
/// has crashed in three sessions, and more often than [`RestartLimits::max_restarts`] altogether.
#[derive(Clone, Debug, PartialEq)]
pub struct RestartLimits {
    /// So many rebuilds within [`RestartLimits::within`]; one more failure opens the circuit. 5 by
    /// default; with 0 the first one does.
    pub max_restarts: u32,
    /// What is longer ago does not count. 30 s by default.
    pub within: Duration,
    /// How long a worker rests before it is rebuilt, and a call before it is tried again.
    pub backoff: Backoff,
    /// How long a tool whose circuit opened is out of service: it is not offered to the model, and
    /// calls of it are answered `unavailable`. Then one call finds out whether it works. 30 s by
    /// default.
    pub cool_down: Duration,
    /// So many calls in a row without a result in time are a failure of the worker; 0 = they never
    /// are. 3 by default. A single one says nothing: slow is not dead.
    pub max_time_outs: u32,
    /// The share of calls, 0 to 1, that may panic or time out within [`RestartLimits::within`];
    /// above it the circuit opens. Counted from the first failure on. 0.5 by default; 1 = all of
    /// them may.
    pub max_failure_rate: f64,
    /// Of fewer calls the share says nothing. 20 by default.
    pub failure_rate_min_calls: u32,
}

impl Default for RestartLimits {
    fn default() -> Self {
        Self {
            max_restarts: 5,
            within: Duration::from_secs(30),
            backoff: Backoff::default(),
            cool_down: Duration::from_secs(30),
            max_time_outs: 3,
            max_failure_rate: 0.5,
            failure_rate_min_calls: 20,
        }
    }
}

impl RestartLimits {
    /// What calls and their workers have to know of it.
    pub(crate) fn rules(&self, max_result_bytes: usize) -> Rules {
        let (share, min_calls) = (self.max_failure_rate, self.failure_rate_min_calls);
        let max_failure_rate = MaxFailureRate { share, min_calls, within: self.within };
        let tolerance = Tolerance { max_time_outs: self.max_time_outs, max_failure_rate };
        Rules { backoff: self.backoff, tolerance, max_result_bytes, secrets: Secrets::default() }
    }
}

/// What becomes of a worker that failed. Its running calls are spared either way.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Decision {
    /// It rests for so long and is made anew behind its address. Calls wait meanwhile, within their
    /// time limits.
    RebuildAfter(Duration),
    /// Its circuit opens: for so long calls are answered at once, `unavailable`. The first call
    /// after that finds out whether it works again.
    OpenCircuit(Duration),
}

/// The restart policy of one worker.
#[derive(Clone, Debug)]
pub struct RestartPolicy {
    limits: RestartLimits,
    seed: u64,
    /// Within the window, the oldest first.
    failures: VecDeque<Instant>,
    /// Failures since the last quiet time, the last of them, and the rest that followed it.
    streak: u32,
    last: Option<(Instant, Duration)>,
    /// The circuit is open, or its probe under way.
    open: bool,
}

impl RestartPolicy {
    /// A policy without a past. The same `seed` gives the same rests.
    #[must_use]
    pub fn new(limits: RestartLimits, seed: u64) -> Self {
        Self { limits, seed, failures: VecDeque::new(), streak: 0, last: None, open: false }
    }

    /// Takes in a failure at `now` and says what becomes of the worker.
    ///
    /// A worker that was quiet for the mean of the shortest and the longest rest after it came back
    /// begins anew with the shortest; the same rule as Akka's `resetBackoffAfter`.
    pub fn on_failure(&mut self, now: Instant, failure: &Failure) -> Decision {
        let RestartLimits { max_restarts, within, backoff, cool_down, .. } = self.limits;
        let is_old = |at: Instant| now.saturating_duration_since(at) > within;
        while self.failures.front().is_some_and(|at| is_old(*at)) {
            self.failures.pop_front();
        }
        self.failures.push_back(now);
        let too_many = self.failures.len() > max_restarts as usize;
        if self.open || too_many || matches!(failure, Failure::TooMany { .. }) {
            (self.open, self.streak, self.last) = (true, 0, None);
            self.failures.clear();
            return Decision::OpenCircuit(cool_down);
        }
        let quiet =
            |rest: Duration| rest.saturating_add(backoff.min.saturating_add(backoff.max) / 2);
        let goes_on = self
            .last
            .is_some_and(|(failed, rest)| now.saturating_duration_since(failed) < quiet(rest));
        self.streak = if goes_on { self.streak.saturating_add(1) } else { 1 };
        let rest = backoff.rest(self.streak, self.seed);
        self.last = Some((now, rest));
        Decision::RebuildAfter(rest)
    }

    /// Says whether its circuit is open, or being found out about.
    #[cfg(feature = "mcp")]
    pub(crate) fn is_open(&self) -> bool {
        self.open
    }

    /// The probe went well: the past is forgotten.
    pub fn on_recovery(&mut self) {
        self.open = false;
        self.failures.clear();
        (self.streak, self.last) = (0, None);
    }
}

/// Says whether a tool that failed as `crashes` tell, and whose calls ended as `ends` in the whole
/// process, is to be withdrawn in all of it: it crashed more often than one worker may, and in three
/// sessions at least, or three sessions have withdrawn it each for itself; and that is too large a
/// share of its calls. Among thousands of sessions some call crashes at any time.
pub(crate) fn is_widespread(crashes: &CrashLog, ends: Ends, limits: &RestartLimits) -> bool {
    let often = crashes.len() > limits.max_restarts as usize;
    let in_many = crashes.sessions(|_| true) >= MIN_SESSIONS;
    let withdrawn = crashes.sessions(|crash| crash.withdrawn) >= MIN_SESSIONS;
    let share = crashes.share(ends);
    ((often && in_many) || withdrawn) && (share > limits.max_failure_rate || share >= 1.0)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::tools::Crash;

    fn limits() -> RestartLimits {
        RestartLimits {
            max_restarts: 5,
            within: Duration::from_secs(30),
            backoff: Backoff { min: Duration::from_millis(100), max: Duration::from_secs(1) },
            cool_down: Duration::from_secs(60),
            ..RestartLimits::default()
        }
    }

    fn crash() -> Failure {
        Failure::Crash { cause: "boom".into(), arguments: None }
    }

    fn rest(decision: Decision) -> u128 {
        match decision {
            Decision::RebuildAfter(rest) => rest.as_millis(),
            Decision::OpenCircuit(_) => panic!("the circuit opened"),
        }
    }

    #[tokio::test(start_paused = true)]
    async fn rests_grow_and_begin_anew_after_a_quiet_time() {
        let mut policy = RestartPolicy::new(limits(), 1);
        let mut now = Instant::now();
        let first = rest(policy.on_failure(now, &crash()));
        assert!((80..120).contains(&first), "{first}");
        now += Duration::from_millis(600);
        let second = rest(policy.on_failure(now, &crash()));
        assert!((160..240).contains(&second), "{second}");
        now += Duration::from_millis(second as u64 + 551);
        let third = rest(policy.on_failure(now, &crash()));
        assert!((80..120).contains(&third), "{third}");
    }

    #[tokio::test(start_paused = true)]
    async fn one_failure_more_than_may_be_opens_the_circuit_wherever_the_window_lies() {
        let mut policy = RestartPolicy::new(limits(), 1);
        let mut now = Instant::now();
        for _ in 0..20 {
            rest(policy.on_failure(now, &crash())); // One each 7 s: 5 within 30 s at most.
            now += Duration::from_secs(7);
        }
        let mut policy = RestartPolicy::new(limits(), 1);
        for _ in 0..5 {
            rest(policy.on_failure(now, &crash()));
            now += Duration::from_secs(5);
        }
        let sixth = policy.on_failure(now, &crash());
        assert_eq!(sixth, Decision::OpenCircuit(Duration::from_secs(60)));
    }

    #[tokio::test(start_paused = true)]
    async fn a_probe_that_fails_opens_it_again_and_one_that_goes_well_forgets_the_past() {
        let mut policy = RestartPolicy::new(RestartLimits { max_restarts: 0, ..limits() }, 1);
        let now = Instant::now();
        let open = Decision::OpenCircuit(Duration::from_secs(60));
        assert_eq!(policy.on_failure(now, &crash()), open);
        let mut policy = RestartPolicy::new(RestartLimits { max_restarts: 1, ..limits() }, 1);
        rest(policy.on_failure(now, &crash()));
        assert_eq!(policy.on_failure(now, &crash()), open);
        let later = now + Duration::from_secs(3600);
        assert_eq!(policy.on_failure(later, &crash()), open, "the probe");
        policy.on_recovery();
        rest(policy.on_failure(later, &crash()));
    }

    #[tokio::test(start_paused = true)]
    async fn too_high_a_share_of_failures_opens_the_circuit_at_once() {
        let mut policy = RestartPolicy::new(limits(), 1);
        let too_many = Failure::TooMany { cause: "half of them".into() };
        let decision = policy.on_failure(Instant::now(), &too_many);
        assert_eq!(decision, Decision::OpenCircuit(Duration::from_secs(60)));
    }

    fn ended(answered: u64, failed: u64) -> Ends {
        Ends { answered, failed }
    }

    fn log(crashes: &[(u64, Option<u64>, bool)]) -> CrashLog {
        let (mut log, at) = (CrashLog::default(), Instant::now());
        for (session, arguments, withdrawn) in crashes.iter().copied() {
            let crash = Crash { at, session, arguments, withdrawn, ends: Ends::default() };
            log.add(crash, Duration::from_secs(30));
        }
        log
    }

    #[tokio::test(start_paused = true)]
    async fn a_tool_is_withdrawn_everywhere_only_if_it_fails_in_three_sessions() {
        let crashes =
            |sessions: u64| -> Vec<_> { (0..9).map(|n| (n % sessions, Some(n), false)).collect() };
        assert!(!is_widespread(&log(&crashes(1)), ended(0, 0), &limits()));
        assert!(!is_widespread(&log(&crashes(2)), ended(0, 0), &limits()));
        assert!(is_widespread(&log(&crashes(3)), ended(0, 0), &limits()));
        assert!(
            !is_widespread(&log(&crashes(9)[..5]), ended(0, 0), &limits()),
            "five are not too many"
        );
    }

    #[tokio::test(start_paused = true)]
    async fn three_sessions_that_withdrew_it_are_enough() {
        let withdrawn = [(1, None, true), (2, None, true), (3, None, true)];
        assert!(is_widespread(&log(&withdrawn), ended(0, 0), &limits()));
        assert!(!is_widespread(&log(&withdrawn[..2]), ended(0, 0), &limits()));
    }

    #[tokio::test(start_paused = true)]
    async fn a_small_share_of_crashes_is_nobodys_concern_in_however_many_sessions() {
        let crashes: Vec<_> = (0..9).map(|n| (n, Some(n), n % 2 == 0)).collect();
        assert!(is_widespread(&log(&crashes), ended(8, 0), &limits()));
        assert!(
            !is_widespread(&log(&crashes), ended(9, 0), &limits()),
            "half of them are not too many"
        );
        assert!(!is_widespread(&log(&crashes), ended(891, 0), &limits()), "one in a hundred");
        assert!(is_widespread(&log(&crashes), ended(891, 900), &limits()), "lost with the workers");
        let all_may = RestartLimits { max_failure_rate: 1.0, ..limits() };
        assert!(!is_widespread(&log(&crashes), ended(1, 0), &all_may));
        assert!(is_widespread(&log(&crashes), ended(0, 0), &all_may), "nothing was answered");
    }

    #[tokio::test(start_paused = true)]
    async fn poison_says_nothing_of_the_tool() {
        let mut log =
            log(&[(1, Some(7), false), (2, Some(7), false), (3, Some(7), false)].repeat(2));
        assert!(is_widespread(&log, ended(0, 0), &limits()));
        (1..=3).for_each(|session| log.forget(session, 7));
        assert!(!is_widespread(&log, ended(0, 0), &limits()));
    }

    #[tokio::test(start_paused = true)]
    async fn crashes_long_past_do_not_count() {
        let mut log = log(&[(1, None, false), (2, None, false), (3, None, false)].repeat(3));
        let at = Instant::now() + Duration::from_secs(31);
        log.add(
            Crash { at, session: 1, arguments: None, withdrawn: false, ends: Ends::default() },
            limits().within,
        );
        assert_eq!(log.len(), 1);
    }
}
