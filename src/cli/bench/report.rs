//! What a load came to: what was counted, and what it took.

use std::time::Duration;

use super::percentile::percentile;
use super::tally::Tally;
use crate::tools::ToolHealth;

/// A load that is over.
#[derive(Debug)]
pub struct Report {
    pub model: String,
    pub arbiters: usize,
    pub sessions: u32,
    /// Of each session.
    pub questions: u32,
    pub interrupted: bool,
    pub tally: Tally,
    /// From the first question to the end of the last.
    pub wall: Duration,
    /// Of the whole process in this time; absent where nobody tells.
    pub cpu: Option<Duration>,
    /// The offline stand-in ran in this process, and its work is in [`Self::cpu`].
    pub stand_in: bool,
    pub peak_memory_kib: Option<u64>,
    /// The tools that could be called, as they are at the end.
    pub tools: Vec<ToolHealth>,
}

/// What most of the times were, and what few were above.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Times {
    pub p50: Option<Duration>,
    pub p99: Option<Duration>,
    pub max: Option<Duration>,
}

impl Times {
    fn of(times: &[Duration]) -> Self {
        let mut sorted = times.to_vec();
        sorted.sort_unstable();
        let [p50, p99, max] = [50, 99, 100].map(|percent| percentile(&sorted, percent));
        Self { p50, p99, max }
    }
}

impl Report {
    pub fn rounds_per_s(&self) -> f64 {
        if self.wall.is_zero() { 0.0 } else { self.tally.rounds as f64 / self.wall.as_secs_f64() }
    }

    /// From a question to its answer.
    pub fn question_times(&self) -> Times {
        Times::of(&self.tally.latencies)
    }

    /// From a round's first call to the end of its last.
    pub fn round_times(&self) -> Times {
        Times::of(&self.tally.round_walls)
    }

    /// Says whether a worker was rebuilt, or a tool withdrawn.
    pub fn had_trouble(&self) -> bool {
        self.tools.iter().any(|tool| tool.restarts > 0 || tool.withdrawals > 0)
    }

    /// Absent without rounds, too.
    pub fn cpu_per_round(&self) -> Option<Duration> {
        let rounds = u32::try_from(self.tally.rounds).ok()?;
        self.cpu?.checked_div(rounds)
    }
}

#[cfg(test)]
pub(in crate::cli) mod tests {
    use super::*;
    use crate::cli::draw::health::tests::well;

    /// Four questions of which one failed.
    pub fn small() -> Report {
        let millis = |times: &[u64]| times.iter().copied().map(Duration::from_millis).collect();
        let tally = Tally {
            answered: 3,
            failed: [("turn_timed_out", 1)].into(),
            rounds: 4,
            calls: 12,
            outcomes: [("ok", 10), ("panicked", 1), ("timed_out", 1)].into(),
            restarts: 1,
            latencies: millis(&[340, 310, 1500]),
            round_walls: millis(&[301, 300, 303, 302]),
            ..Tally::default()
        };
        Report {
            model: "m".into(),
            arbiters: 2,
            sessions: 2,
            questions: 2,
            interrupted: false,
            tally,
            wall: Duration::from_secs(2),
            cpu: Some(Duration::from_millis(30)),
            stand_in: true,
            peak_memory_kib: Some(34_816),
            tools: vec![well("look"), ToolHealth { restarts: 1, ..well("act") }],
        }
    }

    #[test]
    fn rates_are_those_of_the_rounds() {
        let mut report = small();
        assert_eq!(report.rounds_per_s(), 2.0);
        assert_eq!(report.cpu_per_round(), Some(Duration::from_micros(7500)));
        report.tally.rounds = 0;
        report.wall = Duration::ZERO;
        assert_eq!((report.rounds_per_s(), report.cpu_per_round()), (0.0, None));
    }

    #[test]
    fn times_need_not_come_in_order() {
        let Times { p50, p99, max } = small().question_times();
        let times = [p50, p99, max].map(|time| time.unwrap().as_millis());
        assert_eq!(times, [340, 1500, 1500]);
        assert_eq!(Times::of(&[]), Times::default());
    }
}
