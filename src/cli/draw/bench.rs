//! What a load came to, as a table.

use std::fmt::Write;
use std::time::Duration;

use super::color::Style;
use super::columns::GAP;
use super::health::condition;
use super::render::short;
use super::width::{left, one_line};
use crate::cli::bench::report::{Report, Times};

/// What stands where nobody tells.
const UNKNOWN: &str = "n/a";

/// Draws a load that is over: a line for each thing counted, measured or checked.
pub fn bench(report: &Report, color: bool) -> String {
    let tally = &report.tally;
    let mut table = Table { text: String::new(), color };
    table.row("model", &one_line(&report.model), Style::Plain);
    let Report { sessions, arbiters, questions, .. } = report;
    let sessions = format!("{sessions} at once, arbiters {arbiters}, questions each {questions}");
    table.row("sessions", &sessions, Style::Plain);
    let cut = if report.interrupted { ", interrupted" } else { "" };
    let (asked, answered, failures) = (tally.asked(), tally.answered, tally.failures());
    let questions = format!("{asked} asked, {answered} answered, {failures} failed{cut}");
    table.row("questions", &questions, Style::Bold);
    for (code, count) in &tally.failed {
        table.row(&format!("  {code}"), &count.to_string(), Style::Bad);
    }
    let rounds = format!("{}, {:.1} a second", tally.rounds, report.rounds_per_s());
    table.row("rounds", &rounds, Style::Bold);
    table.row("calls", &tally.calls.to_string(), Style::Bold);
    for (outcome, count) in &tally.outcomes {
        table.row(&format!("  {outcome}"), &count.to_string(), Style::Plain);
    }
    let Times { p50, p99, max } = report.question_times();
    let times = format!("p50 {}, p99 {}, max {}", time(p50), time(p99), time(max));
    table.row("question", &times, Style::Plain);
    let Times { p50, p99, .. } = report.round_times();
    table.row("round's wall", &format!("p50 {}, p99 {}", time(p50), time(p99)), Style::Plain);
    table.row("restarts", &tally.restarts.to_string(), Style::Plain);
    table.row("cpu a round", &cpu(report), Style::Plain);
    let memory = report.peak_memory_kib.map(|kib| format!("{:.1} MiB", kib as f64 / 1024.0));
    table.row("peak memory", memory.as_deref().unwrap_or(UNKNOWN), Style::Plain);
    table.row("wall time", &short(report.wall), Style::Plain);
    table.check("broken histories", tally.broken_histories);
    table.check("unaccounted calls", tally.unaccounted_calls);
    if report.had_trouble() {
        table.row("tools", &report.tools.len().to_string(), Style::Bold);
        for tool in &report.tools {
            let style = if tool.circuit == "closed" { Style::Plain } else { Style::Bad };
            table.row(&format!("  {}", tool.tool), &condition(tool), style);
        }
    }
    table.text
}

fn cpu(report: &Report) -> String {
    let stand_in = if report.stand_in { ", the offline stand-in's included" } else { "" };
    match report.cpu_per_round() {
        Some(cpu) => format!("{:.3} ms{stand_in}", cpu.as_secs_f64() * 1000.0),
        None => UNKNOWN.to_owned(),
    }
}

fn time(time: Option<Duration>) -> String {
    time.map_or_else(|| UNKNOWN.to_owned(), short)
}

struct Table {
    text: String,
    color: bool,
}

impl Table {
    fn row(&mut self, name: &str, value: &str, style: Style) {
        let line = style.paint(&(left(name, 20) + GAP + value), self.color);
        let _ = writeln!(self.text, "{line}"); // A string takes everything.
    }

    /// A count that ought to be 0.
    fn check(&mut self, name: &str, count: u64) {
        let style = if count == 0 { Style::Good } else { Style::Bad };
        self.row(name, &count.to_string(), style);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cli::bench::report::tests::small;

    #[test]
    fn a_small_load() {
        let expected = "
model                 m
sessions              2 at once, arbiters 2, questions each 2
questions             4 asked, 3 answered, 1 failed
  turn_timed_out      1
rounds                4, 2.0 a second
calls                 12
  ok                  10
  panicked            1
  timed_out           1
question              p50 340 ms, p99 1500 ms, max 1500 ms
round's wall          p50 301 ms, p99 303 ms
restarts              1
cpu a round           7.500 ms, the offline stand-in's included
peak memory           34.0 MiB
wall time             2000 ms
broken histories      0
unaccounted calls     0
tools                 2
  look                closed, 0 restarts, 0 withdrawals
  act                 closed, 1 restart, 0 withdrawals
";
        assert_eq!(bench(&small(), false), expected[1..]);
    }

    #[test]
    fn tools_that_were_in_no_trouble_are_not_listed() {
        let mut report = small();
        report.tools.iter_mut().for_each(|tool| tool.restarts = 0);
        assert!(bench(&report, false).ends_with("\nunaccounted calls     0\n"));
        report.tools[0].withdrawals = 1;
        let table = bench(&report, false);
        assert!(table.ends_with("  act                 closed, 0 restarts, 0 withdrawals\n"));
    }

    #[test]
    fn a_name_that_is_too_long_keeps_its_distance() {
        let mut report = small();
        report.tally.failed = [("endpoint_unreachable", 1)].into();
        assert!(bench(&report, false).contains("\n  endpoint_unreachable  1\n"));
    }

    #[test]
    fn what_nobody_tells_is_said_to_be_unknown() {
        let mut report = small();
        (report.cpu, report.peak_memory_kib, report.interrupted) = (None, None, true);
        report.tally.latencies.clear();
        let table = bench(&report, false);
        assert!(table.contains("question              p50 n/a, p99 n/a, max n/a\n"), "{table}");
        assert!(table.contains("cpu a round           n/a\npeak memory           n/a\n"));
        assert!(table.contains("1 failed, interrupted\n"), "{table}");
    }
}
