//! Percentiles by nearest rank: always a value that was measured, never one between two.

use std::time::Duration;

/// The smallest of `sorted` that at least `percent` of 100 of them do not exceed; `None` of nothing.
pub fn percentile(sorted: &[Duration], percent: u8) -> Option<Duration> {
    let rank = (sorted.len() * usize::from(percent)).div_ceil(100).max(1);
    sorted.get(rank - 1).copied()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(count: u64, percent: u8, expected: Option<u64>) {
        let sorted: Vec<_> = (1..=count).map(Duration::from_millis).collect();
        let found = percentile(&sorted, percent);
        assert_eq!(found, expected.map(Duration::from_millis), "{percent} of {count}");
    }

    #[test]
    fn the_rank_is_rounded_up() {
        check(5, 30, Some(2)); // 1.5
        check(5, 40, Some(2));
        check(5, 50, Some(3)); // 2.5
        check(10, 99, Some(10)); // 9.9
        check(100, 99, Some(99));
        check(101, 99, Some(100)); // 99.99
        check(200, 50, Some(100));
    }

    #[test]
    fn the_ends_are_the_least_and_the_most() {
        check(7, 0, Some(1));
        check(7, 100, Some(7));
        check(1, 50, Some(1));
        check(0, 50, None);
    }
}
