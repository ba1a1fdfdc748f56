//! Where the spans and events of `tracing` go.

use std::borrow::Cow;
use std::io;

use tracing::level_filters::LevelFilter;
use tracing_subscriber::filter::Targets;
use tracing_subscriber::layer::SubscriberExt;
use tracing_subscriber::util::SubscriberInitExt;
use tracing_subscriber::{Layer, fmt};

use super::args::Common;
use super::draw::clean::{clean_json, without_turns};
use super::screen::{ErrorLines, Screen};
use crate::config::{Config, LogFormat, LogLevel};

/// Sends what `config` and `-v` ask for to standard error. Of the libraries below only warnings are
/// heard, unless everything is.
pub(super) fn start(config: &Config, common: &Common, screen: &Screen) {
    let level = match (common.quiet, common.verbose) {
        (true, _) => LevelFilter::OFF,
        (false, 0) => level(config.log.level),
        (false, 1) => level(config.log.level).max(LevelFilter::INFO),
        (false, 2) => level(config.log.level).max(LevelFilter::DEBUG),
        (false, _) => LevelFilter::TRACE,
    };
    let below = if level == LevelFilter::TRACE { level } else { level.min(LevelFilter::WARN) };
    let filter = Targets::new().with_default(below).with_target("callsheet", level);
    // The colors of a line are ours; what is foreign in it is escaped, but for the direction of writing.
    let clean = match config.log.format {
        LogFormat::Text => without_turns,
        LogFormat::Json => clean_json,
    };
    let lines = fmt::layer().with_writer(between(screen, clean)).with_ansi(screen.color());
    let lines = match config.log.format {
        LogFormat::Text => lines.with_target(false).boxed(),
        LogFormat::Json => lines.json().boxed(),
    };
    // Another subscriber may be there already, in a program that calls this as a library.
    let _ = tracing_subscriber::registry().with(lines.with_filter(filter)).try_init();
}

/// Standard error, with what is drawn there out of the way of each line written.
fn between(screen: &Screen, clean: Clean) -> impl Fn() -> Between + Send + Sync + 'static {
    let (lines, clean) = (screen.error_lines(), screen.draws().then_some(clean));
    move || Between(lines.clone(), clean)
}

/// Takes out of a line what would make a terminal do something.
type Clean = fn(&str) -> Cow<'_, str>;

struct Between(ErrorLines, Option<Clean>);

impl io::Write for Between {
    /// Gets a whole line at a time.
    fn write(&mut self, line: &[u8]) -> io::Result<usize> {
        match (self.1, std::str::from_utf8(line)) {
            (Some(clean), Ok(text)) => self.0.write(clean(text).as_bytes())?,
            _ => self.0.write(line)?,
        }
        Ok(line.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(()) // Standard error keeps nothing back.
    }
}

fn level(level: LogLevel) -> LevelFilter {
    match level {
        LogLevel::Off => LevelFilter::OFF,
        LogLevel::Error => LevelFilter::ERROR,
        LogLevel::Warn => LevelFilter::WARN,
        LogLevel::Info => LevelFilter::INFO,
        LogLevel::Debug => LevelFilter::DEBUG,
        LogLevel::Trace => LevelFilter::TRACE,
    }
}
