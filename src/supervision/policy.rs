//! When a failed worker is built again. A pure state machine: the time comes from outside.

use std::time::Duration;

use tokio::time::Instant;

/// How long a failed worker rests: twice as long after each failure, from `min` up to `max`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Backoff {
    /// After the first failure.
    pub min: Duration,
    /// The longest rest.
    pub max: Duration,
}

impl Default for Backoff {
    fn default() -> Self {
        Self { min: Duration::from_millis(100), max: Duration::from_secs(10) }
    }
}

/// What becomes of a worker that failed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Decision {
    /// It rests for so long and is made anew behind its address. Calls queue meanwhile.
    RebuildAfter(Duration),
}

/// The restart policy of one worker.
#[derive(Clone, Debug)]
pub struct RestartPolicy {
    backoff: Backoff,
    last: Option<(Instant, Duration)>,
}

impl RestartPolicy {
    /// A policy without a past.
    #[must_use]
    pub fn new(backoff: Backoff) -> Self {
        Self { backoff, last: None }
    }

    /// Takes in a failure at `now` and says what becomes of the worker.
    ///
    /// A worker that was quiet for the mean of `min` and `max` after it came back begins anew; the
    /// same rule as Akka's `resetBackoffAfter`.
    pub fn on_failure(&mut self, now: Instant) -> Decision {
        let Backoff { min, max } = self.backoff;
        let quiet = |rest: Duration| rest.saturating_add(min.saturating_add(max) / 2);
        let rest = match self.last {
            Some((failed, rest)) if now.saturating_duration_since(failed) < quiet(rest) => {
                rest.saturating_mul(2).min(max)
            }
            _ => min,
        };
        self.last = Some((now, rest));
        Decision::RebuildAfter(rest)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const BACKOFF: Backoff =
        Backoff { min: Duration::from_millis(100), max: Duration::from_millis(1000) };

    #[tokio::test(start_paused = true)]
    async fn rests_grow_to_the_limit_and_begin_anew_after_a_quiet_time() {
        let mut policy = RestartPolicy::new(BACKOFF);
        let mut now = Instant::now();
        let mut rests = Vec::new();
        for _ in 0..6 {
            let Decision::RebuildAfter(rest) = policy.on_failure(now);
            now += rest;
            rests.push(rest.as_millis());
        }
        assert_eq!(rests, [100, 200, 400, 800, 1000, 1000]);
        let Decision::RebuildAfter(rest) = policy.on_failure(now + Duration::from_millis(549));
        assert_eq!(rest.as_millis(), 1000);
        let quiet = now + Duration::from_millis(549 + 1000 + 551);
        let Decision::RebuildAfter(rest) = policy.on_failure(quiet);
        assert_eq!(rest.as_millis(), 100);
    }
}
