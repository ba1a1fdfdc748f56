//! The only place that prints: data to standard output, all else to standard error.

use std::io::{self, IsTerminal, Write};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, mpsc};
use std::time::Duration;

use indicatif::{MultiProgress, ProgressDrawTarget};

use super::args::Output;
use super::draw::clean::{clean, clean_json};
use super::draw::color::use_color;
use super::margin::Margin;
use super::status::{Closed, UsageError, store_error};
use crate::session::{Cause, Error};
use crate::store;

/// How long a thread that panics waits until that is printed.
const PATIENCE: Duration = Duration::from_millis(500);

/// Standard output and standard error, as they are today.
#[derive(Debug)]
pub(super) struct Screen {
    pub output: Output,
    quiet: bool,
    to_terminal: bool,
    errors_to_terminal: bool,
    color: bool,
    data_color: bool,
    draws_lines: bool,
    /// Draws the lines of calls in flight, on standard error.
    pub lines: MultiProgress,
    /// On the terminal the cursor stands after text that has no line end yet.
    line_is_open: Arc<AtomicBool>,
}

/// Standard error for whoever writes whole lines: what is drawn there, and an unfinished line of text
/// on the same terminal, are out of their way.
#[derive(Clone, Debug)]
pub(super) struct ErrorLines {
    lines: MultiProgress,
    line_is_open: Option<Arc<AtomicBool>>,
}

impl ErrorLines {
    /// Writes `lines`, with the last line's end.
    pub fn write(&self, lines: &[u8]) -> io::Result<()> {
        self.lines.suspend(|| {
            let mut out = io::stderr().lock();
            if self.line_is_open.as_ref().is_some_and(|open| open.swap(false, Ordering::Relaxed)) {
                out.write_all(b"\n")?;
            }
            out.write_all(lines)
        })
    }
}

impl Screen {
    pub fn new(quiet: bool, output: Output) -> Self {
        let errors_to_terminal = io::stderr().is_terminal();
        let variable = |name| std::env::var(name).ok();
        let to_terminal = io::stdout().is_terminal();
        let (no_color, forced) = (variable("NO_COLOR"), variable("CLICOLOR_FORCE"));
        let color = |is_terminal| use_color(no_color.as_deref(), forced.as_deref(), is_terminal);
        let (color, data_color) = (color(errors_to_terminal), color(to_terminal));
        let draws_lines = !quiet && errors_to_terminal && output == Output::Text;
        let lines = MultiProgress::with_draw_target(draw_target(draws_lines));
        let line_is_open = Arc::default();
        Self {
            output,
            quiet,
            to_terminal,
            errors_to_terminal,
            color,
            data_color,
            draws_lines,
            lines,
            line_is_open,
        }
    }

    /// Takes the lines of calls in flight off the terminal until [`Screen::release_lines`]: a person is
    /// asked something there.
    pub fn hold_lines(&self) {
        let _ = self.lines.clear();
        self.lines.set_draw_target(draw_target(false));
    }

    /// Draws the lines of calls in flight again.
    pub fn release_lines(&self) {
        self.lines.set_draw_target(draw_target(self.draws_lines));
    }

    /// Prints a question to standard error, also if it is to be quiet: the answer is typed behind it.
    pub fn ask(&self, question: &str) {
        let _ = self.error_lines().write(question.as_bytes()); // Then nobody answers.
    }

    /// Says whether standard output is a terminal.
    pub fn is_terminal(&self) -> bool {
        self.to_terminal
    }

    /// Says whether standard error is a terminal, on which tables can be drawn.
    pub fn draws(&self) -> bool {
        self.errors_to_terminal
    }

    /// Says whether notes are seen on a terminal.
    pub fn shows_notes(&self) -> bool {
        self.errors_to_terminal && !self.quiet
    }

    /// Says whether to color what goes to standard error.
    pub fn color(&self) -> bool {
        self.color
    }

    /// Says whether to color what goes to standard output.
    pub fn data_color(&self) -> bool {
        self.data_color
    }

    /// How many columns standard output has, where it is a terminal.
    pub fn data_width(&self) -> Option<usize> {
        let columns = || Some(usize::from(console::Term::stdout().size_checked()?.1));
        if self.to_terminal { columns() } else { None }
    }

    /// How many columns the terminal has.
    pub fn width(&self) -> usize {
        let columns = std::env::var("COLUMNS").ok().and_then(|columns| columns.parse().ok());
        let terminal = || Some(usize::from(console::Term::stderr().size_checked()?.1));
        columns.or_else(terminal).unwrap_or(100)
    }

    /// Prints `text` to standard output, as it is. While lines of calls are drawn it has to end with a
    /// line's end.
    pub fn data(&self, text: &str) -> Result<(), Closed> {
        if text.is_empty() {
            return Ok(());
        }
        let write = || {
            let mut out = io::stdout().lock();
            out.write_all(text.as_bytes()).and_then(|()| out.flush()).map_err(|_| Closed)
        };
        if !self.to_terminal {
            return write(); // Nothing is drawn there, and whoever reads it may be slow.
        }
        self.lines.suspend(|| {
            write()?;
            self.line_is_open.store(!text.ends_with('\n'), Ordering::Relaxed);
            Ok(())
        })
    }

    /// Ends the line of text on the terminal, if it has no end yet.
    pub fn end_line(&self) -> Result<(), Closed> {
        if self.line_is_open.load(Ordering::Relaxed) { self.data("\n") } else { Ok(()) }
    }

    /// Prints `line` and a line end to standard output. Where JSON was asked for it is that.
    pub fn data_line(&self, line: &str) -> Result<(), Closed> {
        let line = format!("{line}\n");
        if self.output == Output::Text { self.data(&line) } else { self.json(&line) }
    }

    /// Prints `lines` of JSON to standard output: on a terminal with what would control it escaped.
    pub fn json(&self, lines: &str) -> Result<(), Closed> {
        if self.to_terminal { self.data(&clean_json(lines)) } else { self.data(lines) }
    }

    /// Prints text of a model or a tool to standard output: on a terminal without what would
    /// control it.
    pub fn foreign_line(&self, line: &str) -> Result<(), Closed> {
        if self.to_terminal { self.data_line(&clean(line)) } else { self.data_line(line) }
    }

    /// Prints `text`, whole lines, to standard error, unless it is to be quiet.
    pub fn note(&self, text: &str) {
        if !self.quiet {
            write_lines(&self.error_lines(), text);
        }
    }

    /// Prints `text`, whole lines that may be somebody else's words, to standard error, unless it is to
    /// be quiet: without what would control a terminal.
    pub fn foreign_note(&self, text: &str) {
        self.note(&clean(text));
    }

    /// Prints `text`, whole lines that were asked for, to standard error, also if it is to be quiet.
    pub fn tell(&self, text: &str) {
        write_lines(&self.error_lines(), text);
    }

    /// Prints why the command failed: one line, and one on what to do about it.
    pub fn complain(&self, error: &anyhow::Error) {
        let mut text = format!("error: {}", clean(&format!("{error:#}")));
        if let Some(advice) = advice(error) {
            text.push_str("\n  ");
            text.push_str(advice);
        }
        write_lines(&self.error_lines(), &text);
    }

    /// What prints a panic to standard error, from whatever thread; also when it is to be quiet, for
    /// a panic is no report.
    pub fn panics(&self) -> impl Fn(&str) + Send + Sync + 'static {
        let lines = self.error_lines();
        move |text| {
            let text = clean(text);
            if lines.lines.is_hidden() || !write_elsewhere(&lines, text.clone().into_owned()) {
                write_lines(&lines, &text);
            }
        }
    }

    /// Standard error, for others that write to it.
    pub fn error_lines(&self) -> ErrorLines {
        let line_is_open = self.errors_to_terminal.then(|| Arc::clone(&self.line_is_open));
        ErrorLines { lines: self.lines.clone(), line_is_open }
    }
}

/// Where lines of calls in flight are drawn, if they are.
fn draw_target(draws: bool) -> ProgressDrawTarget {
    match draws {
        true => ProgressDrawTarget::term_like(Box::new(Margin::new())),
        false => ProgressDrawTarget::hidden(),
    }
}

/// Prints `text`, whole lines, to standard error.
fn write_lines(lines: &ErrorLines, text: &str) {
    // Nobody can be told that standard error is gone.
    let _ = lines.write(format!("{}\n", text.trim_end_matches('\n')).as_bytes());
}

/// Prints `text` from a thread of its own: on one that panics indicatif moves nothing out of the way.
/// Answers with false if there can be no such thread.
fn write_elsewhere(lines: &ErrorLines, text: String) -> bool {
    let lines = lines.clone();
    let (tell, written) = mpsc::channel();
    let write = move || {
        write_lines(&lines, &text);
        let _ = tell.send(());
    };
    let is_begun = std::thread::Builder::new().spawn(write).is_ok();
    let _ = written.recv_timeout(PATIENCE); // Whoever panics may hold what the lines need.
    is_begun
}

fn advice(error: &anyhow::Error) -> Option<&'static str> {
    if error.is::<UsageError>() {
        return None;
    }
    if let Some(error) = store_error(error) {
        return store_advice(error);
    }
    match error.downcast_ref::<Error>()? {
        Error::Turn(failed) => match &failed.cause {
            Cause::Model(error) => Some(error.advice()),
            Cause::Cancelled
            | Cause::ShutDown
            | Cause::TimedOut
            | Cause::MaxRounds { .. }
            | Cause::Budget(_)
            | Cause::Loop(_)
            | Cause::Store(_)
            | Cause::Crashed => None,
        },
        Error::Busy
        | Error::Budget(_)
        | Error::EmptyPrompt
        | Error::Closed
        | Error::ShuttingDown
        | Error::NoAnswer
        | Error::Store(_) => None,
    }
}

fn store_advice(error: &store::Error) -> Option<&'static str> {
    match error {
        store::Error::NotFound { .. } => Some("`callsheet sessions list` shows those there are"),
        store::Error::Busy { .. } => {
            Some("wait until it is closed there, or take it over with --take-over")
        }
        store::Error::Conflict { .. }
        | store::Error::Fenced { .. }
        | store::Error::Exists { .. }
        | store::Error::BadUrl { .. }
        | store::Error::Newer { .. }
        | store::Error::Damaged { .. }
        | store::Error::Unavailable { .. } => None,
    }
}
