//! The same work in parallel and one by one, side by side.

use std::time::Duration;

use super::color::Style;
use super::render::short;
use super::width::{left, right};
use crate::conversation::OutcomeKind;
use crate::supervision::RoundReport;

/// Draws the totals of two runs of the same work side by side.
pub fn compare(parallel: &[RoundReport], sequential: &[RoundReport], color: bool) -> String {
    let runs = [Totals::of(parallel), Totals::of(sequential)];
    let count = |of: fn(&Totals) -> usize| runs.each_ref().map(|run| of(run).to_string());
    let time = |of: fn(&Totals) -> Duration| runs.each_ref().map(|run| short(of(run)));
    let failed = if runs.iter().any(|run| run.not_ok > 0) { Style::Bad } else { Style::Plain };
    let counts = [
        ("", ["parallel".to_owned(), "sequential".to_owned()], Style::Bold),
        ("rounds", count(|run| run.rounds), Style::Plain),
        ("calls", count(|run| run.calls), Style::Plain),
        ("not ok", count(|run| run.not_ok), failed),
    ];
    let rare = [
        ("discarded", count(|run| run.discarded), Style::Odd),
        ("retries", count(|run| run.retries), Style::Odd),
    ];
    let rare = rare.into_iter().filter(|(_, counts, _)| counts.iter().any(|count| count != "0"));
    let times = [
        ("model", time(|run| run.model), Style::Plain),
        ("calls, wall", time(|run| run.wall), Style::Plain),
        ("calls, sum", time(|run| run.sum), Style::Plain),
        ("overlap", time(|run| run.overlap), Style::Plain),
        ("overhead", time(|run| run.overhead), Style::Plain),
        ("total", time(|run| run.clock), Style::Bold),
    ];
    let mut text = String::new();
    for (name, [parallel, sequential], style) in counts.into_iter().chain(rare).chain(times) {
        let line = left(name, 12) + &right(&parallel, 12) + &right(&sequential, 12);
        text += &style.paint(&line, color);
        text.push('\n');
    }
    let [parallel, sequential] = &runs;
    let calls = ratio(sequential.wall, parallel.wall);
    let total = ratio(sequential.clock, parallel.clock);
    text + &format!("in parallel: calls {calls} as fast, the whole {total} as fast\n")
}

/// The sums over a run.
#[derive(Default)]
struct Totals {
    rounds: usize,
    calls: usize,
    not_ok: usize,
    discarded: usize,
    retries: usize,
    model: Duration,
    wall: Duration,
    sum: Duration,
    overlap: Duration,
    overhead: Duration,
    clock: Duration,
}

impl Totals {
    fn of(reports: &[RoundReport]) -> Totals {
        let mut totals = Totals { rounds: reports.len(), ..Totals::default() };
        for report in reports {
            totals.calls += report.calls.len();
            totals.not_ok +=
                report.calls.iter().filter(|call| call.outcome != Some(OutcomeKind::Ok)).count();
            totals.discarded += report.discarded.len();
            totals.retries += report.retries.len();
            totals.model += report.model;
            totals.wall += report.wall;
            totals.sum += report.sum;
            totals.overlap += report.overlap;
            totals.overhead += report.overhead;
            totals.clock += report.clock;
        }
        totals
    }
}

/// Writes how often `fast` fits into `slow`.
fn ratio(slow: Duration, fast: Duration) -> String {
    if fast.is_zero() {
        "-".to_owned()
    } else {
        format!("{:.2}×", slow.as_secs_f64() / fast.as_secs_f64())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cli::draw::render::tests::{early_round, good_round, retried_round, tenths};

    #[test]
    fn totals_stand_side_by_side() {
        let mut sequential = good_round();
        (sequential.wall, sequential.clock) = (tenths(9025), tenths(11_137));
        let expected = "
                parallel  sequential
rounds                 1           1
calls                  3           3
not ok                 0           0
model             210 ms      210 ms
calls, wall       301 ms      902 ms
calls, sum        902 ms      902 ms
overlap             0 ms        0 ms
overhead          0.9 ms      0.9 ms
total             512 ms     1114 ms
in parallel: calls 3.00× as fast, the whole 2.17× as fast
";
        assert_eq!(compare(&[good_round()], &[sequential], false), expected[1..]);
    }

    #[test]
    fn what_was_saved_and_what_was_lost_while_the_model_wrote_is_told() {
        let expected = "
                parallel  sequential
rounds                 2           1
calls                  3           3
not ok                 0           0
discarded              2           0
retries                1           0
model            1700 ms      210 ms
calls, wall      1650 ms      301 ms
calls, sum       1850 ms      902 ms
overlap          1240 ms        0 ms
overhead          1.8 ms      0.9 ms
total            2112 ms      512 ms
in parallel: calls 0.18× as fast, the whole 0.24× as fast
";
        let parallel = [early_round(), retried_round()];
        assert_eq!(compare(&parallel, &[good_round()], false), expected[1..]);
    }

    #[test]
    fn nothing_is_no_division_by_zero() {
        assert!(compare(&[], &[], false).ends_with("calls - as fast, the whole - as fast\n"));
    }
}
