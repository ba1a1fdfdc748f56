//! Where the spans and events of `tracing` go.

use std::io;

use tracing::level_filters::LevelFilter;
use tracing_subscriber::filter::Targets;
use tracing_subscriber::layer::SubscriberExt;
use tracing_subscriber::util::SubscriberInitExt;
use tracing_subscriber::{Layer, fmt};

use super::args::Common;
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
    let lines = fmt::layer().with_writer(between(screen)).with_ansi(screen.color());
    let lines = match config.log.format {
        LogFormat::Text => lines.with_target(false).boxed(),
        LogFormat::Json => lines.json().boxed(),
    };
    // Another subscriber may be there already, in a program that calls this as a library.
    let _ = tracing_subscriber::registry().with(lines.with_filter(filter)).try_init();
}

/// Standard error, with what is drawn there out of the way of each line written.
fn between(screen: &Screen) -> impl Fn() -> Between + Send + Sync + 'static {
    let lines = screen.error_lines();
    move || Between(lines.clone())
}

struct Between(ErrorLines);

impl io::Write for Between {
    /// Gets a whole line at a time.
    fn write(&mut self, line: &[u8]) -> io::Result<usize> {
        self.0.write(line)?;
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
