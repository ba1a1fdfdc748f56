//! How long to rest after a failure.

use std::time::Duration;

/// How much chance makes of a rest, up or down: a fifth, so that those who failed together do not
/// come back together.
const JITTER: f64 = 0.2;

/// How long to rest: twice as long after each failure, from `min` up to `max`, give or take a fifth.
/// From 100 ms to 10 s by default.
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

impl Backoff {
    /// The rest after the failure of number `failure`, from 1, in whole milliseconds. The same `seed`
    /// gives the same rests.
    #[must_use]
    pub fn rest(&self, failure: u32, seed: u64) -> Duration {
        let doublings = failure.saturating_sub(1).min(31);
        let rest = self.min.saturating_mul(1 << doublings).min(self.max);
        let share = uniform(seed ^ u64::from(failure).rotate_left(32));
        let rest = rest.as_secs_f64() * (1.0 - JITTER + 2.0 * JITTER * share);
        let rest = Duration::try_from_secs_f64(rest).unwrap_or(Duration::MAX);
        // Timers are no finer than a millisecond, and would make a little more of it.
        Duration::new(rest.as_secs(), rest.subsec_millis() * 1_000_000)
    }
}

/// From 0 to 1, without 1, by the number `seed`: one step of SplitMix64 (Steele, Lea, Flood 2014).
#[expect(clippy::cast_precision_loss, reason = "53 bits fit a double")]
pub(crate) fn uniform(seed: u64) -> f64 {
    let mut mixed = seed.wrapping_add(0x9e37_79b9_7f4a_7c15);
    mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    ((mixed ^ (mixed >> 31)) >> 11) as f64 / (1u64 << 53) as f64
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rests_double_up_to_the_limit_give_or_take_a_fifth() {
        let backoff = Backoff { min: Duration::from_millis(100), max: Duration::from_secs(1) };
        for seed in 0..200 {
            for (failure, base) in [(1, 100), (2, 200), (3, 400), (4, 800), (5, 1000), (99, 1000)] {
                let rest = backoff.rest(failure, seed).as_secs_f64() * 1e3;
                let share = rest / f64::from(base);
                assert!((0.79..1.2).contains(&share), "{failure}: {rest}");
            }
        }
    }

    #[test]
    fn a_seed_gives_the_same_rests_and_another_seed_others() {
        let rests = |seed| (1..9).map(|n| Backoff::default().rest(n, seed)).collect::<Vec<_>>();
        assert_eq!(rests(7), rests(7));
        assert_ne!(rests(7), rests(8));
    }

    #[test]
    fn the_largest_numbers_overflow_nothing() {
        let backoff = Backoff { min: Duration::MAX / 4, max: Duration::MAX };
        assert!(backoff.rest(u32::MAX, u64::MAX) >= Duration::MAX / 4);
    }
}
