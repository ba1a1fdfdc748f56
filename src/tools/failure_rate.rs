//! How many of the last calls failed. Pure: the time comes from outside.

use std::collections::VecDeque;
use std::time::Duration;

use tokio::time::Instant;

/// The most calls that are remembered.
const MAX_CALLS: usize = 1000;

/// When a share of failed calls is too large.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct MaxFailureRate {
    /// The share, 0 to 1; above it the circuit opens.
    pub share: f64,
    /// Fewer calls say nothing.
    pub min_calls: u32,
    /// Older calls say nothing.
    pub within: Duration,
}

/// The calls of the last while, from the first failure on: as long as all is well it costs nothing.
#[derive(Clone, Debug, Default)]
pub(crate) struct FailureRate {
    ended: VecDeque<(Instant, bool)>,
    failed: usize,
}

impl FailureRate {
    /// Takes in a call that ended at `now`, and says whether it was one failure too many.
    pub fn on_end(&mut self, now: Instant, failed: bool, max: &MaxFailureRate) -> bool {
        let is_old = |at: Instant| now.saturating_duration_since(at) > max.within;
        while self.ended.front().is_some_and(|(at, _)| is_old(*at)) || self.ended.len() >= MAX_CALLS
        {
            self.forget_first();
        }
        self.failed += usize::from(failed);
        if self.failed == 0 {
            self.ended.clear();
            return false;
        }
        self.ended.push_back((now, failed));
        failed && self.is_too_high(max)
    }

    /// Says whether there is nothing to remember.
    pub fn is_quiet(&self) -> bool {
        self.ended.is_empty()
    }

    #[expect(clippy::cast_precision_loss, reason = "there are never so many")]
    fn is_too_high(&self, max: &MaxFailureRate) -> bool {
        let calls = self.ended.len();
        calls >= max.min_calls as usize && self.failed as f64 > max.share * calls as f64
    }

    fn forget_first(&mut self) {
        if let Some((_, true)) = self.ended.pop_front() {
            self.failed -= 1;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const MAX: MaxFailureRate =
        MaxFailureRate { share: 0.5, min_calls: 10, within: Duration::from_secs(30) };

    #[tokio::test(start_paused = true)]
    async fn failures_between_successes_count() {
        let (mut rate, now) = (FailureRate::default(), Instant::now());
        let ended: Vec<_> = (0..30).map(|n| rate.on_end(now, n % 3 != 0, &MAX)).collect();
        assert_eq!(ended.iter().position(|too_many| *too_many), Some(10)); // Nine say nothing yet, and the first was well.
        let mut rate = FailureRate::default();
        assert!((0..300).all(|n| !rate.on_end(now, n % 3 == 0, &MAX)), "a third is not too many");
    }

    #[tokio::test(start_paused = true)]
    async fn what_is_long_past_is_forgotten() {
        let (mut rate, now) = (FailureRate::default(), Instant::now());
        assert!((0..9).all(|_| !rate.on_end(now, true, &MAX)));
        let later = now + Duration::from_secs(31);
        assert!(!rate.on_end(later, true, &MAX), "nine of them are old");
        assert!(!rate.on_end(later + Duration::from_secs(31), false, &MAX));
        assert!(rate.is_quiet());
    }

    #[test]
    fn memory_is_bounded_and_nothing_is_remembered_while_all_is_well() {
        let (mut rate, now) = (FailureRate::default(), Instant::now());
        rate.on_end(now, false, &MAX);
        assert!(rate.is_quiet());
        rate.on_end(now, true, &MAX);
        for _ in 0..3000 {
            rate.on_end(now, false, &MAX);
        }
        assert!(rate.ended.len() <= MAX_CALLS && rate.failed == 0);
    }
}
