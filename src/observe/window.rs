//! The last durations, and how they are spread.

use std::collections::VecDeque;
use std::time::Duration;

/// So many are kept.
const SIZE: usize = 1_000;

/// How the last durations are spread: exact, over at most the last thousand. Half, or 95 or 99 of a hundred of
/// them took so long at most.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Percentiles {
    /// Of a half.
    pub p50: Duration,
    /// Of 95 of a hundred.
    pub p95: Duration,
    /// Of 99 of a hundred.
    pub p99: Duration,
}

/// The last durations, the oldest first.
#[derive(Clone, Default)]
pub(super) struct Window(VecDeque<u64>);

impl Window {
    pub fn push(&mut self, micros: u64) {
        if self.0.len() == SIZE {
            self.0.pop_front();
        }
        self.0.push_back(micros);
    }

    /// `None` of none.
    pub fn percentiles(&self) -> Option<Percentiles> {
        let mut sorted: Vec<u64> = self.0.iter().copied().collect();
        sorted.sort_unstable();
        let last = sorted.len().checked_sub(1)?;
        // The smallest that so many of a hundred do not exceed.
        let at = |share: usize| {
            let rank = (sorted.len() * share).div_ceil(100).saturating_sub(1);
            Duration::from_micros(sorted[rank.min(last)])
        };
        Some(Percentiles { p50: at(50), p95: at(95), p99: at(99) })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(micros: impl IntoIterator<Item = u64>, expected: Option<[u64; 3]>) {
        let mut window = Window::default();
        micros.into_iter().for_each(|micros| window.push(micros));
        let found = window.percentiles();
        let found = found.map(|found| [found.p50, found.p95, found.p99]);
        assert_eq!(found, expected.map(|all| all.map(Duration::from_micros)));
    }

    #[test]
    fn so_many_of_a_hundred_took_so_long_at_most() {
        check([], None);
        check([7], Some([7, 7, 7]));
        check([2, 1], Some([1, 2, 2]));
        check(1..=100, Some([50, 95, 99]));
        check((1..=100).rev(), Some([50, 95, 99]));
        check(1..=200, Some([100, 190, 198]));
    }

    #[test]
    fn what_is_long_ago_does_not_count() {
        check((0..1_000).map(|_| 5).chain((0..1_000).map(|_| 1)), Some([1, 1, 1]));
    }
}
