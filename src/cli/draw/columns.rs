//! The columns of a round's table: what stands in them, and how they share the width of a terminal.

use std::time::Duration;

use super::color::Style;
use super::render::{Asked, arguments, outcome, short};
use super::width::{fit, left, one_line, right, width};
use crate::conversation::OutcomeKind;
use crate::supervision::RoundReport;

/// What separates two columns.
pub(super) const GAP: &str = "  ";

/// From this width on nothing has to be saved.
const WIDE: usize = 110;

/// The texts of one line, left of its lane.
#[derive(Debug, Default)]
pub(super) struct Line {
    mark: &'static str,
    tool: String,
    arguments: String,
    queue: String,
    run: String,
    outcome: String,
    pub(super) style: Style,
}

impl Line {
    /// Names the columns.
    pub(super) fn heading() -> Line {
        let [tool, arguments, queue, run, outcome] =
            ["tool", "arguments", "queue", "run", "outcome"].map(str::to_owned);
        Line { mark: "", tool, arguments, queue, run, outcome, style: Style::Dim }
    }

    /// The model's own line.
    pub(super) fn model(report: &RoundReport) -> Line {
        let outcome = match report.retries.len() {
            0 => String::new(),
            retries => format!("{} tries", retries + 1),
        };
        Line { tool: "model".to_owned(), run: short(report.model), outcome, ..Line::default() }
    }

    /// Puts a call into words.
    pub(super) fn of(asked: Asked<'_>) -> Line {
        let Asked { call, is_discarded } = asked;
        let (mark, style) = if is_discarded { UNUSED } else { look(call.outcome) };
        Line {
            mark,
            tool: one_line(&call.tool),
            arguments: arguments(call),
            queue: short(call.queued),
            run: short(call.ran),
            outcome: outcome(asked),
            style,
        }
    }
}

/// The mark of a call whose result is none or of no use, and its style.
const UNUSED: (&str, Style) = ("-", Style::Odd);

/// Returns the mark of an outcome and its style.
pub(super) fn look(outcome: Option<OutcomeKind>) -> (&'static str, Style) {
    match outcome {
        Some(OutcomeKind::Ok) => ("✓", Style::Good),
        Some(
            OutcomeKind::ToolError
            | OutcomeKind::Panicked
            | OutcomeKind::TimedOut
            | OutcomeKind::UnknownTool
            | OutcomeKind::BadArguments
            | OutcomeKind::Truncated,
        ) => ("✗", Style::Bad),
        Some(
            OutcomeKind::Cancelled
            | OutcomeKind::Unavailable
            | OutcomeKind::Overloaded
            | OutcomeKind::Denied,
        ) => UNUSED,
        Some(OutcomeKind::UnknownOutcome) => ("?", Style::Bad),
        None => ("…", Style::Odd),
    }
}

/// The widths of the columns; 0 = not shown.
#[derive(Debug)]
pub(super) struct Columns {
    tool: usize,
    arguments: usize,
    queue: usize,
    run: usize,
    outcome: usize,
    pub(super) lane: usize,
    pub(super) critical: &'static str,
}

impl Columns {
    /// Shares out `columns`. On a narrow terminal a queue in which nobody waited goes first, then the
    /// queue and the arguments, then the outcome.
    pub(super) fn fit_into(columns: usize, lines: &[Line]) -> Columns {
        let heading = Line::heading();
        let widest = |text: fn(&Line) -> &String| {
            lines.iter().chain([&heading]).map(|line| width(text(line))).max().unwrap_or(0)
        };
        let critical = if columns >= WIDE { "◀ critical" } else { "◀" };
        let has_queue = lines.iter().any(|line| line.queue != short(Duration::ZERO));
        let shows_queue = columns >= WIDE || (columns >= 64 && has_queue);
        let mut widths = Columns {
            tool: widest(|line| &line.tool).max(5).min(columns * 3 / 10),
            arguments: 0,
            queue: if shows_queue { widest(|line| &line.queue) } else { 0 },
            run: widest(|line| &line.run).max(7),
            outcome: if columns >= 56 { widest(|line| &line.outcome).min(columns / 4) } else { 0 },
            lane: 0,
            critical,
        };
        let texts = [widths.queue, widths.run, widths.outcome];
        let texts = texts.iter().filter(|width| **width > 0).map(|width| width + GAP.len());
        let used = 2 + widths.tool + texts.sum::<usize>() + GAP.len() + 1 + width(critical);
        let free = columns.saturating_sub(used);
        let wanted = widest(|line| &line.arguments) + GAP.len();
        let for_arguments = wanted.min(free / 2);
        if columns >= 64 && for_arguments >= 10 {
            widths.arguments = for_arguments - GAP.len();
            widths.lane = free - for_arguments;
        } else {
            widths.lane = free;
        }
        widths
    }

    /// Writes one line of the table; its lane comes drawn.
    pub(super) fn line(&self, line: &Line, lane: &str, style: Style, color: bool) -> String {
        let cell = |text: &str, columns: usize, fill: fn(&str, usize) -> String| match columns {
            0 => String::new(),
            _ => fill(&fit(text, columns, "…"), columns) + GAP,
        };
        let mark = line.style.paint(&left(line.mark, 2), color);
        let call = cell(&line.tool, self.tool, left) + &cell(&line.arguments, self.arguments, left);
        let times = cell(&line.queue, self.queue, right) + &cell(&line.run, self.run, right);
        let outcome = line.style.paint(&cell(&line.outcome, self.outcome, left), color);
        let text =
            mark + &style.paint(&(call + &times), color) + &outcome + &style.paint(lane, color);
        text.trim_end().to_owned() + "\n"
    }
}
