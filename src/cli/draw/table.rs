//! A round's report on a terminal: one table that is the waterfall at the same time.

use std::time::Duration;

use super::color::Style;
use super::columns::{Columns, GAP, Line};
use super::lane::{Axis, Phase};
use super::render::{Asked, asked_calls, calls, is_critical, short};
use super::width::{fit, one_line, width};
use crate::conversation::OutcomeKind;
use crate::supervision::{CallReport, ModelRetry, RoundReport};

/// The most calls that get a line.
const MAX_LINES: usize = 40;

/// The most tries of a reply that get a line.
const MAX_TRIES: usize = 5;

/// The narrowest table; a narrower terminal wraps it.
const MIN_WIDTH: usize = 36;

/// Draws a round for a terminal of `width` columns: totals, scale, the model's lane, a lane per call,
/// and why the model was asked again for the reply.
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
    let mut drawn = axis.lane(Duration::ZERO, &tries(report));
    let lane = Style::Model.paint(&drawn, color);
    text += &columns.line(&Line::model(report), &lane, Style::Plain, color);
    for (asked, line) in shown.iter().zip(&lines) {
        let lane = axis.lane(dispatch(report) + asked.call.started, &phases(asked.call));
        drawn += &lane;
        let mut lane = line.style.paint(&lane, color);
        if is_critical(report, *asked) {
            drawn += columns.critical;
            lane = lane + " " + &Style::Bold.paint(columns.critical, color);
        }
        text += &columns.line(line, &lane, Style::Plain, color);
    }
    text += &left_out(report, &shown);
    text += &failures(&report.retries, width, color);
    text + &legend(&drawn, color)
}

/// Draws the tries that came to nothing of a reply that led to no round.
pub fn retry_table(retries: &[ModelRetry], width: usize, color: bool) -> String {
    let heading = format!("last reply · {}", count(retries.len(), "retry", "retries"));
    Style::Bold.paint(&heading, color) + "\n" + &failures(retries, width.max(MIN_WIDTH), color)
}

/// Returns when the first call was dispatched.
fn dispatch(report: &RoundReport) -> Duration {
    report.dispatched.unwrap_or(report.model)
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
    let counts = [
        (report.restarts as usize, "restart", "restarts"),
        (report.discarded.len(), "discarded", "discarded"),
        (report.retries.len(), "retry", "retries"),
    ];
    for (count, one, many) in counts.into_iter().filter(|(count, ..)| *count > 0) {
        facts.push(self::count(count, one, many));
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

fn count(count: usize, one: &str, many: &str) -> String {
    format!("{count} {}", if count == 1 { one } else { many })
}

/// Tells how many calls have no line.
fn left_out(report: &RoundReport, shown: &[Asked<'_>]) -> String {
    let hidden = asked_calls(report).count() - shown.len();
    if hidden == 0 {
        return String::new();
    }
    let others = asked_calls(report).filter(|asked| !is_ok(*asked)).count();
    let others_shown = shown.iter().filter(|asked| !is_ok(**asked)).count();
    let all_ok = if others == others_shown { ", all ok" } else { "" };
    format!("… {hidden} more{all_ok}\n")
}

/// Tells of each try of a reply that came to nothing.
fn failures(retries: &[ModelRetry], columns: usize, color: bool) -> String {
    let mut text = String::new();
    for retry in retries.iter().take(MAX_TRIES) {
        let line = format!(
            "{} failed at {}, rest {}: {}",
            one_line(&retry.model),
            short(retry.failed),
            short(retry.waited),
            one_line(&retry.error.message),
        );
        text += &(Style::Bad.paint("✗ ", color) + &fit(&line, columns - 2, "…") + "\n");
    }
    match retries.len().saturating_sub(MAX_TRIES) {
        0 => text,
        more => text + &format!("… {more} more tries\n"),
    }
}

/// Explains what was drawn and does not explain itself.
fn legend(drawn: &str, color: bool) -> String {
    let blocks = Phase::EXPLAINED.into_iter().filter(|phase| drawn.contains(phase.block()));
    let mut legend: Vec<String> =
        blocks.map(|phase| format!("{} {}", phase.block(), phase.name())).collect();
    if drawn.contains('◀') && !drawn.contains("◀ critical") {
        legend.push("◀ critical".to_owned());
    }
    if legend.is_empty() {
        return String::new();
    }
    Style::Dim.paint(&format!("  {}", legend.join(GAP)), color) + "\n"
}

/// Picks the calls that get a line, in their order.
fn shown_calls(report: &RoundReport) -> Vec<Asked<'_>> {
    let mut ranked: Vec<(usize, Asked<'_>)> = asked_calls(report).enumerate().collect();
    ranked.sort_by_key(|(_, asked)| match asked.is_discarded {
        true => 1,
        false if is_ok(*asked) && !is_critical(report, *asked) => 2,
        false => 0,
    });
    ranked.truncate(MAX_LINES);
    ranked.sort_unstable_by_key(|(place, _)| *place);
    ranked.into_iter().map(|(_, asked)| asked).collect()
}

fn is_ok(Asked { call, is_discarded }: Asked<'_>) -> bool {
    !is_discarded && call.outcome == Some(OutcomeKind::Ok)
}

/// Returns how the model spent its time, from the request on: tries of the reply, and a rest after
/// each but the last. A rest that was broken off ended with the round.
fn tries(report: &RoundReport) -> Vec<(Phase, Duration)> {
    let mut phases = Vec::new();
    let mut at = Duration::ZERO;
    for retry in &report.retries {
        let again = (retry.failed + retry.waited).min(report.model);
        phases.push((Phase::Model, retry.failed.saturating_sub(at)));
        phases.push((Phase::BackOff, again.saturating_sub(retry.failed)));
        at = again;
    }
    phases.push((Phase::Model, report.model.saturating_sub(at)));
    phases
}

/// Returns how a call spent its time, from its dispatch on.
fn phases(call: &CallReport) -> [(Phase, Duration); 4] {
    [
        (Phase::Waited, call.waited),
        (Phase::Queued, call.queued + call.startup),
        (Phase::BackOff, call.backoff),
        (Phase::Running, call.ran),
    ]
}

/// Returns the end of the axis: of the last call, or of the round without our own overhead.
fn end(report: &RoundReport) -> Duration {
    let ends = asked_calls(report).map(|Asked { call, .. }| {
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
    use crate::cli::draw::render::tests::{
        bad_round, call, cared_for_round, early_round, good_round, retried_round, round,
    };

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
    fn an_early_round_at_120_columns() {
        let expected = r#"
round 1 · parallel · 2 calls · model 500 ms · wall 500 ms · sum 600 ms · saved 100 ms · ×1.20 · overlap 290 ms
  tool             arguments          queue      run  outcome  0                   355 ms              710 ms
  model                                       500 ms           ▒▒▒▒▒▒▒▒▒▒▒▒▒▒▒▒▒▒▒▒▒▒▒▒▒▒▒▒▒▒▒▒
✓ get_weather      {"city":"Tokyo"}    0 ms   300 ms  ok                     ███████████████████
✓ get_stock_price  {"symbol":"ACME"}   0 ms   300 ms  ok                                  ███████████████████ ◀ critical
"#;
        assert_eq!(round_table(&early_round(), 120, false), expected[1..]);
    }

    #[test]
    fn an_early_round_at_100_columns() {
        let expected = r#"
round 1 · parallel · 2 calls · model 500 ms · wall 500 ms · sum 600 ms · saved 100 ms · ×1.20
  overlap 290 ms
  tool             arguments              run  outcome  0                 355 ms            710 ms
  model                                500 ms           ▒▒▒▒▒▒▒▒▒▒▒▒▒▒▒▒▒▒▒▒▒▒▒▒▒▒▒▒▒▒
✓ get_weather      {"city":"Tokyo"}    300 ms  ok                   ██████████████████
✓ get_stock_price  {"symbol":"ACME"}   300 ms  ok                               ██████████████████ ◀
  ◀ critical
"#;
        assert_eq!(round_table(&early_round(), 100, false), expected[1..]);
    }

    #[test]
    fn an_early_round_at_80_columns() {
        let expected = r#"
round 1 · parallel · 2 calls · model 500 ms · wall 500 ms · sum 600 ms
  saved 100 ms · ×1.20 · overlap 290 ms
  tool             arguments              run  outcome  0               710 ms
  model                                500 ms           ▒▒▒▒▒▒▒▒▒▒▒▒▒▒▒
✓ get_weather      {"city":"Tokyo"}    300 ms  ok              █████████
✓ get_stock_price  {"symbol":"ACME"}   300 ms  ok                    █████████ ◀
  ◀ critical
"#;
        assert_eq!(round_table(&early_round(), 80, false), expected[1..]);
    }

    #[test]
    fn a_reply_that_broke_off_and_its_calls_at_120_columns() {
        let expected = r#"
round 1 · parallel · 1 call · model 1200 ms · wall 1150 ms · sum 1250 ms · saved 100 ms · ×1.09 · overlap 950 ms
  2 discarded · 1 retry
  tool             arguments          queue      run  outcome               0            700 ms       1400 ms
  model                                      1200 ms  2 tries               ▒▒▒▒▒▒▒▒▒╌╌╌╌╌╌╌╌╌╌╌╌▒▒▒▒▒▒▒
✓ get_weather      {"city":"Tokyo"}    0 ms   300 ms  ok                                              ███████ ◀ critical
- get_weather      {"city":"Kyoto"}    0 ms   100 ms  ok, discarded              ██
- get_stock_price  {"symbol":"ACME"}   0 ms   850 ms  cancelled, discarded          ████████████████████
✗ some/model failed at 400 ms, rest 500 ms: the reply of http://127.0.0.1:1/v1 was cut: end of file in a chunk
  ╌ back-off
"#;
        assert_eq!(round_table(&retried_round(), 120, false), expected[1..]);
    }

    #[test]
    fn a_reply_that_broke_off_and_its_calls_at_100_columns() {
        let expected = r#"
round 1 · parallel · 1 call · model 1200 ms · wall 1150 ms · sum 1250 ms · saved 100 ms · ×1.09
  overlap 950 ms · 2 discarded · 1 retry
  tool             arguments              run  outcome               0                     1400 ms
  model                               1200 ms  2 tries               ▒▒▒▒▒▒▒▒╌╌╌╌╌╌╌╌╌╌╌▒▒▒▒▒▒
✓ get_weather      {"city":"Tokyo"}    300 ms  ok                                           ██████ ◀
- get_weather      {"city":"Kyoto"}    100 ms  ok, discarded             ██
- get_stock_price  {"symbol":"ACME"}   850 ms  cancelled, discarded         ██████████████████
✗ some/model failed at 400 ms, rest 500 ms: the reply of http://127.0.0.1:1/v1 was cut: end of file…
  ╌ back-off  ◀ critical
"#;
        assert_eq!(round_table(&retried_round(), 100, false), expected[1..]);
    }

    #[test]
    fn a_reply_that_broke_off_and_its_calls_at_80_columns() {
        let expected = r#"
round 1 · parallel · 1 call · model 1200 ms · wall 1150 ms · sum 1250 ms
  saved 100 ms · ×1.09 · overlap 950 ms · 2 discarded · 1 retry
  tool             arguments         run  outcome               0      1400 ms
  model                          1200 ms  2 tries               ▒▒▒▒╌╌╌╌╌▒▒▒
✓ get_weather      {"city":"To…   300 ms  ok                               ███ ◀
- get_weather      {"city":"Ky…   100 ms  ok, discarded           █
- get_stock_price  {"symbol":"…   850 ms  cancelled, discarded      ████████
✗ some/model failed at 400 ms, rest 500 ms: the reply of http://127.0.0.1:1/v1 …
  ╌ back-off  ◀ critical
"#;
        assert_eq!(round_table(&retried_round(), 80, false), expected[1..]);
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
            let more = [early_round(), retried_round(), round(Vec::new())];
            for report in rounds.into_iter().chain(more) {
                for line in round_table(&report, columns, false).lines() {
                    assert!(width(line) <= columns, "{columns}: {line}");
                }
            }
        }
    }

    #[test]
    fn color_changes_nothing_but_color() {
        for report in [good_round(), bad_round(), retried_round()] {
            let colored = round_table(&report, 100, true);
            assert!(colored.contains("\u{1b}[3"));
            assert!(!colored.contains("\n\u{1b}[0m"), "no line ends within a color: {colored:?}");
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

        report.discarded = vec![call(129, "t", "{}", 10)];
        let table = round_table(&report, 80, false);
        assert!(table.contains("\n… 89 more, all ok\n"), "{table}");
        assert!(table.contains("  ok, discarded"), "{table}");

        for call in &mut report.calls {
            call.outcome = None;
        }
        assert!(round_table(&report, 80, false).contains("\n… 89 more\n"));
    }

    #[test]
    fn a_rest_that_was_broken_off_ends_with_the_round() {
        let mut report = retried_round();
        report.model = Duration::from_millis(600);
        let ms = |phase, ms| (phase, Duration::from_millis(ms));
        let expected = [ms(Phase::Model, 400), ms(Phase::BackOff, 200), ms(Phase::Model, 0)];
        assert_eq!(tries(&report), expected);
    }

    #[test]
    fn the_tries_of_a_reply_without_calls_are_told_of_at_80_columns() {
        let retries = vec![retried_round().retries[0].clone(); 7];
        let one =
            "✗ some/model failed at 400 ms, rest 500 ms: the reply of http://127.0.0.1:1/v1 …";
        let expected = format!("last reply · 1 retry\n{one}\n");
        assert_eq!(retry_table(&retries[..1], 80, false), expected);
        let table = retry_table(&retries, 80, false);
        assert!(table.starts_with("last reply · 7 retries\n"), "{table}");
        assert!(table.ends_with(&format!("{one}\n… 2 more tries\n")), "{table}");
    }

    #[test]
    fn of_many_tries_the_first_ones_are_told_of() {
        let mut report = retried_round();
        report.retries = vec![report.retries[0].clone(); 7];
        let table = round_table(&report, 80, false);
        assert_eq!(table.lines().filter(|line| line.starts_with("✗ some/model ")).count(), 5);
        assert!(table.contains("\n… 2 more tries\n") && table.contains(" 7 retries\n"), "{table}");
        assert!(table.contains(" 8 tries "), "{table}");
    }
}
