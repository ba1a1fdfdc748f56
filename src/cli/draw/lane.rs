//! One lane of the waterfall: what a call, or the model, was doing at each moment of a round.

use std::time::Duration;

use super::render::short;
use super::width::{fit, left, right, width};

/// What a stretch of a lane shows.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Phase {
    Model,
    Queued,
    BackOff,
    Waited,
    Running,
}

impl Phase {
    /// What needs explaining, in the order of the legend.
    pub(super) const EXPLAINED: [Phase; 3] = [Phase::Queued, Phase::BackOff, Phase::Waited];

    pub(super) fn block(self) -> char {
        match self {
            Phase::Model => '▒',
            Phase::Queued => '░',
            Phase::BackOff => '╌',
            Phase::Waited => '┄',
            Phase::Running => '█',
        }
    }

    pub(super) fn name(self) -> &'static str {
        match self {
            Phase::Model => "model",
            Phase::Queued => "queued",
            Phase::BackOff => "back-off",
            Phase::Waited => "waiting for a person",
            Phase::Running => "running",
        }
    }
}

/// The time axis all lanes share.
#[derive(Clone, Copy, Debug)]
pub(super) struct Axis {
    pub(super) total: Duration,
    pub(super) columns: usize,
}

impl Axis {
    /// Draws the phases one after the other from `start` on. What ran takes a column at least.
    pub(super) fn lane(&self, start: Duration, phases: &[(Phase, Duration)]) -> String {
        let mut lane = " ".repeat(self.column(start).min(self.columns.saturating_sub(1)));
        let mut at = start;
        for (phase, time) in phases {
            if time.is_zero() {
                continue;
            }
            at += *time;
            let drawn = width(&lane);
            let least = match phase {
                Phase::Model | Phase::Running => 1,
                Phase::Queued | Phase::BackOff | Phase::Waited => 0,
            };
            let end = self.column(at).max(drawn + least).min(self.columns);
            lane.extend((drawn..end).map(|_| phase.block()));
        }
        lane
    }

    /// Draws the times at both ends, and in the middle if there is room.
    pub(super) fn scale(&self) -> String {
        let (middle, end) = (short(self.total / 2), short(self.total));
        let start = match self.columns {
            30.. => left("0", (self.columns - width(&middle)) / 2) + &middle,
            _ => "0".to_owned(),
        };
        let room = self.columns.saturating_sub(width(&start));
        fit(&(start + &right(&end, room)), self.columns, "")
    }

    /// Returns the column in which the moment `at` lies.
    fn column(&self, at: Duration) -> usize {
        let share = at.as_secs_f64() / self.total.as_secs_f64().max(f64::MIN_POSITIVE);
        (share.min(1.0) * self.columns as f64).round() as usize
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const MS: fn(u64) -> Duration = Duration::from_millis;

    #[test]
    fn a_lane_shows_each_phase_at_its_time() {
        let axis = Axis { total: MS(100), columns: 10 };
        let lane = |start, phases: &[_]| axis.lane(MS(start), phases);
        assert_eq!(lane(0, &[(Phase::Model, MS(40))]), "▒▒▒▒");
        let phases = [(Phase::Queued, MS(20)), (Phase::BackOff, MS(20)), (Phase::Running, MS(20))];
        assert_eq!(lane(40, &phases), "    ░░╌╌██");
        assert_eq!(lane(20, &[(Phase::Queued, MS(1)), (Phase::Running, MS(30))]), "  ███");
        assert_eq!(lane(20, &[(Phase::Running, MS(1))]), "  █");
        assert_eq!(lane(100, &[(Phase::Running, MS(1))]), "         █");
        assert_eq!(lane(50, &[(Phase::Running, MS(900))]), "     █████");
        assert_eq!(Axis { total: MS(0), columns: 10 }.lane(MS(0), &[(Phase::Running, MS(0))]), "");
    }

    #[test]
    fn a_scale_fills_its_columns() {
        assert_eq!(Axis { total: MS(100), columns: 10 }.scale(), "0   100 ms");
        assert_eq!(Axis { total: MS(100), columns: 30 }.scale(), "0           50 ms       100 ms");
    }
}
