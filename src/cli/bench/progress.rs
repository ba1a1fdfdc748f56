//! How far a load is: one line on a terminal, nothing elsewhere.

use std::time::Duration;

use indicatif::{ProgressBar, ProgressStyle};
use tokio::time::Instant;

use super::tally::Tally;
use crate::cli::screen::Screen;

/// How often the line is drawn anew: seldom enough not to be part of what is measured.
const TICK: Duration = Duration::from_millis(200);

/// The line. It is cleared away when this is dropped.
pub struct Progress<'a> {
    screen: &'a Screen,
    /// Absent where there is no terminal.
    line: Option<ProgressBar>,
    questions: u64,
    shown: Instant,
}

impl<'a> Progress<'a> {
    /// Of so many `questions`.
    pub fn new(screen: &'a Screen, questions: u64) -> Self {
        let line = (!screen.lines.is_hidden()).then(|| {
            let line = screen.lines.add(ProgressBar::new_spinner());
            if let Ok(style) = ProgressStyle::with_template("{elapsed}  {wide_msg}") {
                line.set_style(style);
            }
            line
        });
        Self { screen, line, questions, shown: Instant::now() }
    }

    /// Shows how far it is, unless that was shown just now.
    pub fn show(&mut self, tally: &Tally) {
        let Some(line) = self.line.as_ref().filter(|_| self.shown.elapsed() >= TICK) else {
            return;
        };
        self.shown = Instant::now();
        let (asked, failures) = (tally.asked(), tally.failures());
        line.set_message(format!("{asked} of {} questions, {failures} failed", self.questions));
    }
}

impl Drop for Progress<'_> {
    fn drop(&mut self) {
        if let Some(line) = self.line.take() {
            line.finish_and_clear();
            self.screen.lines.remove(&line);
        }
    }
}
