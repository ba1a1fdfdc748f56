//! What a person sees while a turn runs: the text as it comes, a line for each call in flight, and
//! the account of each round when it is over.

use std::collections::{HashMap, HashSet};
use std::time::Duration;

use indicatif::{ProgressBar, ProgressStyle};

use super::draw::clean::Cleaner;
use super::draw::render::round_lines;
use super::draw::table::round_table;
use super::screen::Screen;
use super::status::Closed;
use crate::conversation::{AskedCall, Event, Place, Record};
use crate::supervision::{RoundReport, Rounds};

/// How often a line of a call in flight is drawn anew.
const TICK: Duration = Duration::from_millis(100);

/// The most calls in flight that get a line; the others are counted. Each line costs a thread, and
/// all are drawn when one changes.
const MAX_LINES: usize = 16;

/// Follows the events of one session.
pub(super) struct Live<'a> {
    screen: &'a Screen,
    rounds: Rounds,
    calls: Vec<AskedCall>,
    lines: HashMap<Place, ProgressBar>,
    /// Calls in flight without a line.
    others: HashSet<Place>,
    /// The line that counts them; there while there are any.
    count: Option<ProgressBar>,
    cleaner: Cleaner,
    /// Text of the reply under way that is on the screen already.
    streamed: String,
}

impl<'a> Live<'a> {
    pub fn new(screen: &'a Screen) -> Self {
        Self {
            screen,
            rounds: Rounds::default(),
            calls: Vec::new(),
            lines: HashMap::new(),
            others: HashSet::new(),
            count: None,
            cleaner: Cleaner::default(),
            streamed: String::new(),
        }
    }

    /// Shows what `record` changes.
    pub fn show(&mut self, record: &Record) -> Result<(), Closed> {
        if let Some(report) = self.rounds.on(record.at_us, &record.event) {
            self.screen.note(&draw(self.screen, &report));
        }
        match &record.event {
            Event::TextStreamed { text } if self.screen.is_terminal() => {
                let piece = self.cleaner.push(text);
                self.screen.data(&piece)?;
                self.streamed.push_str(&piece);
            }
            Event::Replied { calls, .. } => {
                if !calls.is_empty() {
                    self.end_text()?;
                }
                self.calls = calls.to_vec();
            }
            Event::ModelFailed { error, retry_in_us, .. } => {
                let void = if self.streamed.is_empty() { "" } else { "the text so far is void: " };
                self.end_text()?;
                let message = one_line(&error.message);
                let rest = Duration::from_micros(*retry_in_us).as_secs_f64();
                self.screen.note(&format!("{void}{message}; asking again in {rest:.1} s"));
            }
            Event::CallStarted { reply_attempt, ordinal, tool, arguments, .. } => {
                let asked = self.calls.get(*ordinal as usize).map(|call| &call.arguments);
                let arguments = arguments.as_ref().or(asked).map(|text| one_line(text));
                self.begin(at(*reply_attempt, *ordinal), tool, arguments.unwrap_or_default());
            }
            Event::CallProgressed { reply_attempt, ordinal, message, .. } => {
                self.say(at(*reply_attempt, *ordinal), one_line(message));
            }
            Event::CallQueued { reply_attempt, ordinal, ahead, .. } => {
                let message = format!("waits for its turn, {ahead} before it");
                self.say(at(*reply_attempt, *ordinal), message);
            }
            Event::CallRetried { reply_attempt, ordinal, attempt, cause, .. } => {
                let message = one_line(&format!("try {} after: {cause}", attempt + 1));
                self.say(at(*reply_attempt, *ordinal), message);
            }
            Event::CallEnded { reply_attempt, ordinal, .. } => {
                self.end(at(*reply_attempt, *ordinal));
            }
            Event::SessionOpened { .. }
            | Event::TurnStarted { .. }
            | Event::ModelAsked { .. }
            | Event::TextStreamed { .. }
            | Event::ReasoningStreamed { .. }
            | Event::WorkerRestarted { .. } // The log tells of it.
            | Event::CircuitOpened { .. }
            | Event::CircuitClosed { .. }
            | Event::TurnEnded { .. } => {}
        }
        Ok(())
    }

    /// Prints the answer, unless it is on the screen already.
    pub fn finish(mut self, answer: &str) -> Result<(), Closed> {
        if self.streamed.is_empty() {
            return self.screen.foreign_line(answer);
        }
        self.end_text()
    }

    /// Clears away what was drawn of a turn that was broken off.
    pub fn clear(&mut self) {
        for (_, line) in self.lines.drain() {
            line.finish_and_clear();
        }
        self.others.clear();
        self.show_count();
        let _ = self.end_text();
    }

    fn begin(&mut self, place: Place, tool: &str, arguments: String) {
        if self.screen.lines.is_hidden() {
            return;
        }
        if self.lines.len() >= MAX_LINES {
            self.others.insert(place);
            return self.show_count();
        }
        let line = self.line("{spinner} {prefix}  {elapsed}  {wide_msg}");
        line.set_prefix(tool.to_owned());
        line.set_message(arguments);
        self.lines.insert(place, line);
    }

    fn say(&self, place: Place, message: String) {
        if let Some(line) = self.lines.get(&place) {
            line.set_message(message);
        }
    }

    fn end(&mut self, place: Place) {
        if let Some(line) = self.lines.remove(&place) {
            line.finish_and_clear();
            self.screen.lines.remove(&line);
        } else if self.others.remove(&place) {
            self.show_count();
        }
    }

    /// A new line, above the one that counts.
    fn line(&self, template: &str) -> ProgressBar {
        let line = ProgressBar::new_spinner();
        let line = match &self.count {
            Some(count) => self.screen.lines.insert_before(count, line),
            None => self.screen.lines.add(line),
        };
        if let Ok(style) = ProgressStyle::with_template(template) {
            line.set_style(style);
        }
        line.enable_steady_tick(TICK);
        line
    }

    /// Says how many calls in flight have no line.
    fn show_count(&mut self) {
        if self.others.is_empty() {
            if let Some(count) = self.count.take() {
                count.finish_and_clear();
                self.screen.lines.remove(&count);
            }
            return;
        }
        let count = self.count.take().unwrap_or_else(|| self.line("{spinner} {wide_msg}"));
        count.set_message(format!("and {} more", self.others.len()));
        self.count = Some(count);
    }

    fn end_text(&mut self) -> Result<(), Closed> {
        let streamed = std::mem::take(&mut self.streamed);
        if streamed.is_empty() || streamed.ends_with('\n') {
            return Ok(());
        }
        self.screen.data("\n")
    }
}

/// A round as it suits standard error.
pub(super) fn draw(screen: &Screen, report: &RoundReport) -> String {
    if screen.draws() {
        round_table(report, screen.width(), screen.color())
    } else {
        round_lines(report)
    }
}

fn at(reply_attempt: u32, ordinal: u32) -> Place {
    Place { reply_attempt, ordinal }
}

fn one_line(text: &str) -> String {
    let words = super::draw::clean::clean(text);
    words.split_whitespace().collect::<Vec<_>>().join(" ")
}
