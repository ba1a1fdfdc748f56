//! The only place that prints: data to standard output, all else to standard error.

use std::io::{self, IsTerminal, Write};

use indicatif::{MultiProgress, ProgressDrawTarget};

use super::args::Output;
use super::draw::clean::clean;
use super::draw::color::use_color;
use super::margin::Margin;
use super::status::{Closed, UsageError};
use crate::session::{Cause, Error};

/// Standard output and standard error, as they are today.
#[derive(Debug)]
pub(super) struct Screen {
    pub output: Output,
    quiet: bool,
    to_terminal: bool,
    errors_to_terminal: bool,
    color: bool,
    /// Draws the lines of calls in flight, on standard error.
    pub lines: MultiProgress,
}

impl Screen {
    pub fn new(quiet: bool, output: Output) -> Self {
        let errors_to_terminal = io::stderr().is_terminal();
        let variable = |name| std::env::var(name).ok();
        let color = use_color(
            variable("NO_COLOR").as_deref(),
            variable("CLICOLOR_FORCE").as_deref(),
            errors_to_terminal,
        );
        let target = if quiet || !errors_to_terminal || output != Output::Text {
            ProgressDrawTarget::hidden()
        } else {
            ProgressDrawTarget::term_like(Box::new(Margin::new()))
        };
        let lines = MultiProgress::with_draw_target(target);
        let to_terminal = io::stdout().is_terminal();
        Self { output, quiet, to_terminal, errors_to_terminal, color, lines }
    }

    /// Says whether standard output is a terminal.
    pub fn is_terminal(&self) -> bool {
        self.to_terminal
    }

    /// Says whether standard error is a terminal, on which tables can be drawn.
    pub fn draws(&self) -> bool {
        self.errors_to_terminal
    }

    /// Says whether to color what goes to standard error.
    pub fn color(&self) -> bool {
        self.color
    }

    /// How many columns the terminal has.
    pub fn width(&self) -> usize {
        let columns = std::env::var("COLUMNS").ok().and_then(|columns| columns.parse().ok());
        let terminal = || Some(usize::from(console::Term::stderr().size_checked()?.1));
        columns.or_else(terminal).unwrap_or(100)
    }

    /// Prints `text` to standard output, as it is.
    pub fn data(&self, text: &str) -> Result<(), Closed> {
        let mut out = io::stdout().lock();
        out.write_all(text.as_bytes()).and_then(|()| out.flush()).map_err(|_| Closed)
    }

    /// Prints `line` and a line end to standard output.
    pub fn data_line(&self, line: &str) -> Result<(), Closed> {
        self.data(&format!("{line}\n"))
    }

    /// Prints text of a model or a tool to standard output: on a terminal without what would
    /// control it.
    pub fn foreign_line(&self, line: &str) -> Result<(), Closed> {
        if self.to_terminal { self.data_line(&clean(line)) } else { self.data_line(line) }
    }

    /// Prints `text`, whole lines, to standard error, unless it is to be quiet.
    pub fn note(&self, text: &str) {
        if !self.quiet {
            self.error_lines(text);
        }
    }

    /// Prints why the command failed: one line, and one on what to do about it.
    pub fn complain(&self, error: &anyhow::Error) {
        let mut text = format!("error: {}", clean(&format!("{error:#}")));
        if let Some(advice) = advice(error) {
            text.push_str("\n  ");
            text.push_str(advice);
        }
        self.error_lines(&text);
    }

    /// What prints a panic to standard error, from whatever thread; also when it is to be quiet, for
    /// a panic is no report.
    pub fn panics(&self) -> impl Fn(&str) + Send + Sync + 'static {
        let lines = self.lines.clone();
        move |text| error_lines(&lines, &clean(text))
    }

    fn error_lines(&self, text: &str) {
        error_lines(&self.lines, text);
    }
}

/// Prints `text`, whole lines, to standard error, with the lines of calls in flight out of the way.
fn error_lines(lines: &MultiProgress, text: &str) {
    lines.suspend(|| {
        // Nobody can be told that standard error is gone.
        let _ = writeln!(io::stderr().lock(), "{}", text.trim_end_matches('\n'));
    });
}

fn advice(error: &anyhow::Error) -> Option<&'static str> {
    if error.is::<UsageError>() {
        return None;
    }
    match error.downcast_ref::<Error>()? {
        Error::Turn(failed) => match &failed.cause {
            Cause::Model(error) => Some(error.advice()),
            Cause::Cancelled
            | Cause::ShutDown
            | Cause::TimedOut
            | Cause::MaxRounds { .. }
            | Cause::Store(_)
            | Cause::Crashed => None,
        },
        Error::Busy
        | Error::EmptyPrompt
        | Error::Closed
        | Error::ShuttingDown
        | Error::Store(_) => None,
    }
}
