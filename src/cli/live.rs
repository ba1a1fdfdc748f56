//! What a person sees while a turn runs: the text as it comes, a line for each call in flight, and
//! the account of each round when it is over.

use std::collections::{HashMap, HashSet};
use std::sync::Arc;
use std::time::Duration;

use indicatif::{ProgressBar, ProgressStyle};

use super::draw::render::{retry_lines, round_lines};
use super::draw::table::{retry_table, round_table};
use super::draw::width::{fit_end, one_line};
use super::running_text::RunningText;
use super::screen::Screen;
use super::status::Closed;
use crate::conversation::{AskedCall, Decision, Event, Place, Record};
use crate::supervision::{ModelRetry, RoundReport, Rounds};

/// How often a line of a call in flight is drawn anew.
const TICK: Duration = Duration::from_millis(100);

/// The most calls in flight that get a line; the others are counted. Each line costs a thread, and
/// all are drawn when one changes.
const MAX_LINES: usize = 16;

/// Columns that text which is held back leaves free, for the margin of the lines and the cursor.
const BESIDE_TEXT: usize = 4;

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
    text: RunningText,
    /// The line that shows what is held back of the text; there while anything is.
    held: Option<ProgressBar>,
    /// The model whose try of the reply came to nothing.
    failed: Option<Arc<str>>,
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
            text: RunningText::default(),
            held: None,
            failed: None,
        }
    }

    /// Takes in what happened in the turn before it was cut, and shows nothing of it.
    pub fn catch_up(&mut self, records: &[Record]) {
        for Record { at_us, event, .. } in records {
            self.rounds.on(*at_us, event);
            if let Event::Replied { calls, .. } = event {
                self.calls = calls.to_vec();
            }
        }
        let _ = self.rounds.take();
    }

    /// Shows what `record` changes.
    pub fn show(&mut self, record: &Record) -> Result<(), Closed> {
        if let Some(report) = self.rounds.on(record.at_us, &record.event) {
            self.end_text()?;
            self.screen.note(&draw(self.screen, &report));
        }
        let retries = self.rounds.take_retries();
        if !retries.is_empty() {
            self.end_text()?;
            self.screen.note(&draw_retries(self.screen, &retries));
        }
        match &record.event {
            Event::TextStreamed { text } if self.screen.is_terminal() => {
                let piece = self.text.push(text, self.has_lines());
                self.screen.data(&piece)?;
                self.show_held();
            }
            Event::Replied { calls, .. } => {
                if !calls.is_empty() {
                    self.end_text()?;
                    self.text.take_has_come(); // It is not the answer.
                }
                self.calls = calls.to_vec();
            }
            Event::ModelFailed { model, error, retry_in_us, .. } => {
                self.end_text()?;
                let is_void = self.text.take_has_come();
                let void = if is_void { "the text so far is void: " } else { "" };
                if is_void && !self.screen.shows_notes() {
                    self.screen.data_line("[the text so far is void]")?;
                }
                let (message, when) = (one_line(&error.message), rest(*retry_in_us));
                self.screen.note(&format!("{void}{message}; asking again {when}"));
                self.failed = Some(Arc::clone(model));
            }
            Event::ContextCompacted { summary, problem, tokens_before, tokens_after, .. } => {
                let what = match (summary, problem) {
                    (Some(_), _) => "a summary stands for its oldest messages".to_owned(),
                    (None, None) => "its oldest messages are not sent any more".to_owned(),
                    (None, Some(problem)) => format!(
                        "its oldest messages are not sent any more, and have no summary: {}",
                        one_line(&problem.message)
                    ),
                };
                let sizes = format!("about {tokens_before} tokens, {tokens_after} now");
                self.screen.note(&format!("the conversation was too long: {what} ({sizes})"));
            }
            Event::ModelAsked { model: Some(model), .. } => {
                if self.failed.take().is_some_and(|failed| failed != *model) {
                    self.screen.note(&format!("asking {} instead", one_line(model)));
                }
            }
            Event::ApprovalDecided { ordinal, decision, .. } => {
                if let (Some(call), Decision::Edited { arguments }) =
                    (self.calls.get_mut(*ordinal as usize), decision)
                {
                    call.arguments = Arc::clone(arguments);
                }
            }
            Event::CallStarted { reply_attempt, ordinal, tool, arguments, .. } => {
                let asked = self.calls.get(*ordinal as usize).map(|call| &call.arguments);
                let arguments = arguments.as_ref().or(asked).map(|text| one_line(text));
                let tool = one_line(tool);
                self.begin(at(*reply_attempt, *ordinal), &tool, arguments.unwrap_or_default())?;
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
                self.end(at(*reply_attempt, *ordinal))?;
            }
            Event::SessionOpened { .. }
            | Event::ApprovalAsked { .. } // Whoever asks a person shows it.
            | Event::TurnStarted { .. }
            | Event::SummaryAsked { .. }
            | Event::ModelAsked { model: None, .. }
            | Event::TextStreamed { .. }
            | Event::ReasoningStreamed { .. }
            | Event::WorkerRestarted { .. } // The log tells of it.
            | Event::CircuitOpened { .. }
            | Event::CircuitClosed { .. }
            | Event::TurnResumed { .. }
            | Event::TurnEnded { .. }
            | Event::Unknown(_) => {}
        }
        Ok(())
    }

    /// Prints the answer, unless it is on the screen already.
    pub fn finish(mut self, answer: &str) -> Result<(), Closed> {
        self.end_text()?;
        if self.text.take_has_come() { Ok(()) } else { self.screen.foreign_line(answer) }
    }

    /// Clears away what was drawn of a turn that was broken off.
    pub fn clear(&mut self) {
        for (_, line) in std::mem::take(&mut self.lines) {
            self.remove(&line);
        }
        self.others.clear();
        self.show_count();
        let _ = self.end_text();
    }

    fn begin(&mut self, place: Place, tool: &str, arguments: String) -> Result<(), Closed> {
        if self.screen.lines.is_hidden() {
            return Ok(());
        }
        if self.lines.len() >= MAX_LINES {
            self.others.insert(place);
            self.show_count();
            return Ok(());
        }
        self.screen.end_line()?;
        let line = self.line("{spinner} {prefix}  {elapsed}  {wide_msg}", tool, arguments);
        self.lines.insert(place, line);
        Ok(())
    }

    fn say(&self, place: Place, message: String) {
        if let Some(line) = self.lines.get(&place) {
            line.set_message(message);
        }
    }

    fn end(&mut self, place: Place) -> Result<(), Closed> {
        if let Some(line) = self.lines.remove(&place) {
            self.remove(&line);
        } else if self.others.remove(&place) {
            self.show_count();
        }
        if self.has_lines() {
            return Ok(());
        }
        let text = self.text.take_held();
        self.show_held();
        self.screen.data(&text)
    }

    /// Says whether lines of calls are drawn.
    fn has_lines(&self) -> bool {
        !self.lines.is_empty() || self.count.is_some()
    }

    /// A new line, above the one that counts.
    fn line(&self, template: &str, prefix: &str, message: String) -> ProgressBar {
        let line = styled(template).with_prefix(prefix.to_owned()).with_message(message);
        let line = match &self.count {
            Some(count) => self.screen.lines.insert_before(count, line),
            None => self.screen.lines.add(line),
        };
        line.enable_steady_tick(TICK);
        line
    }

    fn remove(&self, line: &ProgressBar) {
        line.finish_and_clear();
        self.screen.lines.remove(line);
    }

    /// Says how many calls in flight have no line.
    fn show_count(&mut self) {
        if self.others.is_empty() {
            if let Some(count) = self.count.take() {
                self.remove(&count);
            }
            return;
        }
        let message = format!("and {} more", self.others.len());
        match &self.count {
            Some(count) => count.set_message(message),
            None => self.count = Some(self.line("{spinner} {wide_msg}", "", message)),
        }
    }

    /// Shows the end of what is held back of the text, above the lines of calls.
    fn show_held(&mut self) {
        let held = self.text.held().replace('\t', " ");
        if held.trim().is_empty() {
            if let Some(line) = self.held.take() {
                self.remove(&line);
            }
            return;
        }
        let shown = fit_end(&held, self.screen.width().saturating_sub(BESIDE_TEXT), "…");
        let line = self.held.get_or_insert_with(|| self.screen.lines.insert(0, styled("{msg}")));
        line.set_message(shown);
    }

    /// Ends the line of text, and prints what was held back of it.
    fn end_text(&mut self) -> Result<(), Closed> {
        let mut text = self.text.take_held();
        if !text.is_empty() {
            text.push('\n');
        }
        self.show_held();
        self.screen.data(&text)?;
        self.screen.end_line()
    }
}

/// A line that looks like `template`.
fn styled(template: &str) -> ProgressBar {
    let line = ProgressBar::new_spinner();
    match ProgressStyle::with_template(template) {
        Ok(style) => line.with_style(style),
        Err(_) => line,
    }
}

/// Says when the next try begins.
fn rest(micros: u64) -> String {
    match micros {
        0 => "at once".to_owned(),
        _ => format!("in {:.1} s", Duration::from_micros(micros).as_secs_f64()),
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

/// Why the model was asked again for a reply that led to no round, as it suits standard error.
pub(super) fn draw_retries(screen: &Screen, retries: &[ModelRetry]) -> String {
    if screen.draws() {
        retry_table(retries, screen.width(), screen.color())
    } else {
        retry_lines(retries)
    }
}

fn at(reply_attempt: u32, ordinal: u32) -> Place {
    Place { reply_attempt, ordinal }
}
