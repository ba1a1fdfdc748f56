//! A round's report on a terminal: one table that is the waterfall at the same time.

use std::time::Duration;

use super::color::Style;
use super::columns::{Columns, GAP, Line};
use super::lane::{Axis, Phase};
use super::render::{calls, is_critical, short};
use super::width::width;
use crate::conversation::OutcomeKind;
use crate::supervision::{CallReport, RoundReport};

/// The most calls that get a line.
const MAX_LINES: usize = 40;

/// The narrowest table; a narrower terminal wraps it.
const MIN_WIDTH: usize = 36;

/// Draws a round for a terminal of `width` columns: totals, scale, the model's lane, a lane per call.
///
/// Of very many calls those that did not end well are kept, and the critical one.
pub fn round_table(report: &RoundReport, width: usize, color: bool) -> String {
    let width = width.max(MIN_WIDTH);
    let shown = shown_calls(report);
    let lines: Vec<Line> = shown.iter().copied().map(Line::of).collect();
    let columns = Columns::fit_into(width, &lines);
    let axis = Axis { total: end(report), columns: columns.lane };

    let mut text = header(report, width, color);
    text += &columns.line(&Line::heading(), &axis.scale(), Style::Dim, color);
    let lane = axis.lane(Duration::ZERO, &[(Phase::Model, report.model)]);
    let lane = Style::Model.paint(&lane, color);
    text += &columns.line(&Line::model(report.model), &lane, Style::Plain, color);
    let mut drawn = String::new();
    for (call, line) in shown.iter().zip(&lines) {
        let lane = axis.lane(dispatch(report) + call.started, &phases(call));
        drawn += &lane;
        let mut lane = line.style.paint(&lane, color);
        if is_critical(report, call) {
            drawn += columns.critical;
            lane = lane + " " + &Style::Bold.paint(columns.critical, color);
        }
        text += &columns.line(line, &lane, Style::Plain, color);
    }
    text += &left_out(report, &shown);
    text + &Style::Dim.paint(&legend(&drawn), color)
}

/// Returns when the first call was dispatched.
fn dispatch(report: &RoundReport) -> Duration {
    report.model.saturating_sub(report.overlap)
}

/// Returns the totals, on as many lines as they need.
fn header(report: &RoundReport, columns: usize, color: bool) -> String {
    let mut facts = vec![
        format!("round {}", report.round),
        report.mode.as_str().to_owned(),
        calls(report.calls.len()),
        format!("model {}", short(report.model)),
        format!("wall {}", short(report.wall)),
        format!("sum {}", short(report.sum)),
        format!("saved {}", short(report.saved)),
        format!("×{:.2}", report.speedup),
    ];
    if !report.overlap.is_zero() {
        facts.push(format!("overlap {}", short(report.overlap)));
    }
    match report.restarts {
        0 => {}
        1 => facts.push("1 restart".to_owned()),
        restarts => facts.push(format!("{restarts} restarts")),
    }
    let mut lines: Vec<String> = Vec::new();
    for fact in facts {
        match lines.last_mut() {
            Some(line) if width(line) + 3 + width(&fact) <= columns => {
                *line += &format!(" · {fact}")
            }
            Some(_) => lines.push(format!("  {fact}")),
            None => lines.push(fact),
        }
    }
    lines.iter().map(|line| Style::Bold.paint(line, color) + "\n").collect()
}

/// Tells how many calls have no line.
fn left_out(report: &RoundReport, shown: &[&CallReport]) -> String {
    let hidden = report.calls.len() - shown.len();
    if hidden == 0 {
        return String::new();
    }
    let not_ok = report.calls.iter().filter(|call| !is_ok(call)).count();
    let not_ok_shown = shown.iter().filter(|call| !is_ok(call)).count();
    let all_ok = if not_ok == not_ok_shown { ", all ok" } else { "" };
    format!("… {hidden} more{all_ok}\n")
}

/// Explains what was drawn and does not explain itself.
fn legend(drawn: &str) -> String {
    let blocks = Phase::EXPLAINED.into_iter().filter(|phase| drawn.contains(phase.block()));
    let mut legend: Vec<String> =
        blocks.map(|phase| format!("{} {}", phase.block(), phase.name())).collect();
    if drawn.contains('◀') && !drawn.contains("◀ critical") {
        legend.push("◀ critical".to_owned());
    }
    if legend.is_empty() { String::new() } else { format!("  {}\n", legend.join(GAP)) }
}

/// Picks the calls that get a line, in their order.
fn shown_calls(report: &RoundReport) -> Vec<&CallReport> {
    let mut ranked: Vec<usize> = (0..report.calls.len()).collect();
    ranked.sort_by_key(|&index| {
        let call = &report.calls[index];
        is_ok(call) && !is_critical(report, call)
    });
    ranked.truncate(MAX_LINES);
    ranked.sort_unstable();
    ranked.into_iter().map(|index| &report.calls[index]).collect()
}

fn is_ok(call: &CallReport) -> bool {
    call.outcome == Some(OutcomeKind::Ok)
}

/// Returns how a call spent its time, from its dispatch on.
fn phases(call: &CallReport) -> [(Phase, Duration); 4] {
    [
        (Phase::Queued, call.queued + call.startup),
        (Phase::BackOff, call.backoff),
        (Phase::Waited, call.waited),
        (Phase::Running, call.ran),
    ]
}

/// Returns the end of the axis: of the last call, or of the round without our own overhead.
fn end(report: &RoundReport) -> Duration {
    let ends = report.calls.iter().map(|call| {
        dispatch(report)
            + call.started
            + phases(call).iter().map(|(_, time)| *time).sum::<Duration>()
    });
    ends.fold(report.model.max(dispatch(report) + report.wall), Duration::max)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cli::draw::clean::clean;
    use crate::cli::draw::render::tests::{bad_round, call, cared_for_round, good_round, round};

    #[test]
    fn a_good_round_at_100_columns() {
        let expected = r#"
round 1 · parallel · 3 calls · model 210 ms · wall 301 ms · sum 902 ms · saved 601 ms · ×3.00
  tool                arguments                        run  outcome  0                      511 ms
  model                                             210 ms           ▒▒▒▒▒▒▒▒▒▒▒▒
✓ get_weather         {"city":"Tokyo"}              301 ms  ok                   █████████████████ ◀
✓ get_stock_price     {"symbol":"ACME"}             300 ms  ok                   █████████████████
✓ get_news_headlines  {"topic":"日本の経済","lim…   301 ms  ok                   █████████████████
  ◀ critical
"#;
        assert_eq!(round_table(&good_round(), 100, false), expected[1..]);
    }

    #[test]
    fn a_bad_round_at_120_columns() {
        let expected = r#"
round 1 · parallel · 3 calls · model 210 ms · wall 301 ms · sum 902 ms · saved 601 ms · ×3.00 · 1 restart
  tool                arguments            queue      run  outcome            0           256 ms       511 ms
  model                                            210 ms                     ▒▒▒▒▒▒▒▒▒▒▒▒▒
✓ get_weather         {"city":"Tokyo"}     40 ms   150 ms  ok                              ░░█████████
✗ get_stock_price     {"symbol":"ACME"}     0 ms   201 ms  panicked, 2 tries               ╌╌╌╌╌╌████████████ ◀ critical
✗ get_news_headlines  { "topic": "🌦 x" }   0 ms   301 ms  timed_out                       ██████████████████
  ░ queued  ╌ back-off
"#;
        assert_eq!(round_table(&bad_round(), 120, false), expected[1..]);
    }

    #[test]
    fn a_bad_round_at_80_columns() {
        let expected = r#"
round 1 · parallel · 3 calls · model 210 ms · wall 301 ms · sum 902 ms
  saved 601 ms · ×3.00 · 1 restart
  tool                argumen…  queue      run  outcome            0    511 ms
  model                                 210 ms                     ▒▒▒▒▒
✓ get_weather         {"city"…  40 ms   150 ms  ok                      ████
✗ get_stock_price     {"symbo…   0 ms   201 ms  panicked, 2 tries       ╌╌████ ◀
✗ get_news_headlines  { "topi…   0 ms   301 ms  timed_out               ██████
  ╌ back-off  ◀ critical
"#;
        assert_eq!(round_table(&bad_round(), 80, false), expected[1..]);
    }

    #[test]
    fn tries_waits_and_calls_that_were_not_run_at_100_columns() {
        let expected = r#"
round 1 · parallel · 4 calls · model 210 ms · wall 301 ms · sum 902 ms · saved 601 ms · ×3.00
  tool                arguments           queue      run  outcome      0                    511 ms
  model                                           210 ms               ▒▒▒▒▒▒▒▒▒▒▒
✓ get_weather         {"city":"Tokyo"}     0 ms   120 ms  ok, 3 tries             ╌╌╌╌╌╌╌╌╌╌██████ ◀
✓ get_stock_price     {"symbol":"ACME"}  100 ms   100 ms  ok                      ░░░░░╌╌╌╌╌╌█████
- get_news_headlines  {"topic":"AI"}       0 ms     0 ms  unavailable
- get_news_headlines  {"topic":"UN"}       0 ms     0 ms  overloaded
  ░ queued  ╌ back-off  ◀ critical
"#;
        assert_eq!(round_table(&cared_for_round(), 100, false), expected[1..]);
    }

    #[test]
    fn no_outcome_of_a_call_that_was_not_run_is_cut_where_there_is_room_for_it() {
        for columns in 56..=200 {
            let table = round_table(&cared_for_round(), columns, false);
            assert!(table.contains("unavailable") && table.contains("overloaded"), "{table}");
        }
    }

    #[test]
    fn a_good_round_at_40_columns() {
        let expected = r#"
round 1 · parallel · 3 calls
  model 210 ms · wall 301 ms
  sum 902 ms · saved 601 ms · ×3.00
  tool              run  0      511 ms
  model          210 ms  ▒▒▒▒▒
✓ get_weather    301 ms       ████████ ◀
✓ get_stock_p…   300 ms       ████████
✓ get_news_he…   301 ms       ████████
  ◀ critical
"#;
        assert_eq!(round_table(&good_round(), 40, false), expected[1..]);
    }

    #[test]
    fn no_line_is_wider_than_the_terminal() {
        let mut long_round = bad_round();
        for call in &mut long_round.calls {
            call.tool = "東京".repeat(32).into();
            call.outcome = Some(OutcomeKind::UnknownOutcome);
            call.attempts = 12;
            call.queued = Duration::from_secs(98_765);
            call.ran = Duration::from_secs(98_765);
        }
        for columns in MIN_WIDTH..=200 {
            let rounds = [good_round(), bad_round(), cared_for_round(), long_round.clone()];
            for report in rounds.into_iter().chain([round(Vec::new())]) {
                for line in round_table(&report, columns, false).lines() {
                    assert!(width(line) <= columns, "{columns}: {line}");
                }
            }
        }
    }

    #[test]
    fn color_changes_nothing_but_color() {
        for report in [good_round(), bad_round()] {
            let colored = round_table(&report, 100, true);
            assert!(colored.contains("\u{1b}[3"));
            let plain = clean(&colored)
                .lines()
                .map(|line| line.trim_end().to_owned() + "\n")
                .collect::<String>();
            assert_eq!(plain, round_table(&report, 100, false));
        }
    }

    #[test]
    fn of_many_calls_those_that_failed_and_the_critical_one_are_kept() {
        let mut calls: Vec<_> = (1..=128).map(|number| call(number, "t", "{}", 10)).collect();
        calls[99].outcome = Some(OutcomeKind::ToolError);
        let mut report = round(calls);
        report.critical_call = Some("call_128".into());
        let table = round_table(&report, 80, false);
        let lines: Vec<&str> = table.lines().collect();
        let marks: String = lines
            .iter()
            .filter_map(|line| line.chars().next())
            .filter(|mark| "✓✗".contains(*mark))
            .collect();
        assert_eq!(marks, "✓".repeat(38) + "✗✓");
        assert!(lines[lines.len() - 3].ends_with("█ ◀"), "{table}");
        assert_eq!(lines[lines.len() - 2], "… 88 more, all ok");

        for call in &mut report.calls {
            call.outcome = None;
        }
        assert!(round_table(&report, 80, false).contains("\n… 88 more\n"));
    }
}
