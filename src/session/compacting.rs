//! A history that has become too long: what leaves it is recorded before the request that goes without
//! it, and the model is asked for a summary first where one is wanted.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;

use super::asking::as_sent;
use super::coordinator::Coordinator;
use super::offer::offer;
use crate::conversation::{Compaction, ContextBudget, Cut, Event, Problem, TooLong};
use crate::model::{self, Request};
use crate::tools::message_of;
use crate::wire::{Finish, Usage, chat};

/// What the model is asked for.
const REQUEST: &str = "The conversation above has become too long to be sent in full. Write the summary \
     that will stand in its place: everything above will be removed, but for the system prompt, and \
     you will see the summary instead. Keep what may matter later: what the user wants and has said \
     about it, what was done and what came of it, what the tools answered, and names, numbers, ids \
     and handles exactly as they are. Leave out what is settled and of no use any more. If there is a \
     summary of an earlier part above, what still matters of it belongs into the new one. Call no \
     tool. Write only the summary, in not more than";

/// How the summary is introduced to the model.
const INTRODUCTION: &str =
    "[Summary of the conversation so far, whose messages are not shown any more]\n";

/// So many bytes a word has, with the blank behind it.
const BYTES_A_WORD: usize = 7;

/// A summary that is being written.
pub(super) struct Summing {
    cut: Cut,
}

impl Coordinator {
    /// What is recorded for the model to be asked: that it is, or what must come before it.
    pub(super) fn asking(&mut self, round: u64, attempt: u32) -> Event {
        let budget = self.options.context_budget;
        let Some(cut) = self.cut(&budget) else { return self.model_asked(round, attempt) };
        if cut.summary_bytes == 0 {
            return compacted(cut, None, None, None);
        }
        let model = self.other_model();
        if let Some(turn) = &mut self.turn {
            turn.summing = Some(Box::new(Summing { cut }));
        }
        Event::SummaryAsked { round, model }
    }

    /// What is to leave the history before the model is asked.
    fn cut(&self, budget: &ContextBudget) -> Option<Cut> {
        let refused = self.turn.as_ref().is_some_and(|turn| turn.is_too_long);
        let why = if refused { TooLong::Refused } else { TooLong::Estimated };
        if why == TooLong::Estimated && budget.tokens == 0 {
            return None; // Nothing to compare with.
        }
        let tools = self.options.with_reader(&self.tools, &self.state).on_the_wire().len();
        self.state.compaction(budget, tools, why)
    }

    /// Says whether there is something to leave out of the history that the model has refused for its
    /// length. It is asked once more for a reply.
    pub(super) fn can_be_shortened(&self, error: &model::Error) -> bool {
        let is_new = self.turn.as_ref().is_some_and(|turn| !turn.was_too_long);
        let tools = self.options.with_reader(&self.tools, &self.state).on_the_wire().len();
        let cut = || {
            self.state.compaction(&self.options.context_budget, tools, TooLong::Refused).is_some()
        };
        matches!(error, model::Error::TooLong { .. }) && is_new && cut()
    }

    /// Asks for the summary that is on record as asked for.
    pub(super) fn ask_for_summary(&mut self) {
        let Some(turn) = &mut self.turn else { return };
        let Some(summing) = &turn.summing else { return };
        let words = summing.cut.summary_bytes / BYTES_A_WORD;
        let mut messages = self.state.to_summarise(&summing.cut).into_bytes();
        if !messages.is_empty() {
            messages.push(b',');
        }
        chat::write_user(&mut messages, &format!("{REQUEST} {words} words."));
        turn.counted = None;
        let model = &self.options.models[turn.model_index];
        let mut history = None;
        let messages = as_sent(&**model, self.state.transcript(), &messages, &mut history);
        let offer = offer(self.options.with_reader(&self.tools, &self.state), &self.crew, true);
        let (tools, names) = (&*offer.tools, &*offer.names);
        let request = Request { messages, tools, names, may_call: false, first: false };
        match catch_unwind(AssertUnwindSafe(|| model.ask(request))) {
            Ok(events) => turn.model = Some(events),
            Err(panic) => self.on_summary_panic(message_of(panic)),
        }
    }

    /// The model's own code panicked: that is no summary.
    pub(super) fn on_summary_panic(&mut self, message: String) {
        let message = format!("it panicked: {message}");
        self.end_summary(Err(Problem { code: "model_failed".into(), message }), None);
    }

    /// The model goes on with the summary. Nobody is shown it as it comes.
    pub(super) fn on_summary(&mut self, event: Option<Result<model::Event, model::Error>>) {
        let Some(turn) = &mut self.turn else { return };
        let no_summary = |code: &'static str, message: &str| Problem {
            code: code.into(),
            message: message.into(),
        };
        match event {
            Some(Ok(model::Event::Counted(usage))) => turn.counted = Some(usage),
            Some(Ok(model::Event::Reply(reply))) => {
                let text = reply.text.trim();
                let summary = match &reply.finish {
                    Finish::Error => Err(no_summary("model_failed", "it broke the summary off")),
                    _ if text.is_empty() => Err(no_summary("no_summary", "it wrote no summary")),
                    _ => Ok(text.to_owned()),
                };
                self.end_summary(summary, reply.usage);
            }
            Some(Ok(_)) => {}
            Some(Err(error)) => {
                let (code, message) = (error.code().into(), error.to_string());
                self.end_summary(Err(Problem { code, message }), None);
            }
            None => {
                self.end_summary(Err(no_summary("stream_cut", "it ended the summary early")), None)
            }
        }
    }

    /// Records what came of the summary, and what leaves the history with it or without.
    fn end_summary(&mut self, summary: Result<String, Problem>, usage: Option<Usage>) {
        let Some(turn) = &mut self.turn else { return };
        turn.model = None;
        let Some(summing) = turn.summing.take() else { return };
        let usage = usage.or(turn.counted.take());
        turn.counted = None;
        turn.usage += usage.unwrap_or_default();
        let event = match summary {
            Ok(text) => {
                let told = introduced(&text, summing.cut.summary_bytes);
                compacted(summing.cut, Some(told.into()), None, usage)
            }
            Err(problem) => {
                // A summary of an earlier part stays: it is not in another one.
                let budget = ContextBudget {
                    compaction: Compaction::DropOldest,
                    ..self.options.context_budget
                };
                let cut = self.cut(&budget).unwrap_or(summing.cut);
                compacted(cut, None, Some(problem), usage)
            }
        };
        self.record(vec![event]);
    }
}

fn compacted(
    cut: Cut,
    summary: Option<Arc<str>>,
    problem: Option<Problem>,
    usage: Option<Usage>,
) -> Event {
    let Cut { dropped, tokens_before, tokens_after, .. } = cut;
    let dropped = dropped.into();
    Event::ContextCompacted { dropped, summary, problem, usage, tokens_before, tokens_after }
}

/// The summary as the model is told it, in a message of not more than `max_bytes`.
fn introduced(text: &str, max_bytes: usize) -> String {
    let whole = format!("{INTRODUCTION}{text}");
    if fits(&whole, max_bytes) {
        return whole;
    }
    let beginning = |end: usize| format!("{} […]", &whole[..whole.floor_char_boundary(end)]);
    let (mut fitting, mut too_long) = (0, whole.len());
    while too_long - fitting > 1 {
        let end = fitting.midpoint(too_long);
        match fits(&beginning(end), max_bytes) {
            true => fitting = end,
            false => too_long = end,
        }
    }
    beginning(fitting)
}

/// Says whether a message of `text`, and the comma before it, have at most `max_bytes` as they travel.
fn fits(text: &str, max_bytes: usize) -> bool {
    let mut message = Vec::new();
    chat::write_user(&mut message, text);
    message.len() < max_bytes
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_summary_is_cut_to_its_room_as_it_travels() {
        assert_eq!(introduced("short", 500), format!("{INTRODUCTION}short"));
        for text in ["long ".repeat(200), "\"\n".repeat(500), "ü".repeat(500)] {
            let told = introduced(&text, 400);
            let mut message = Vec::new();
            chat::write_user(&mut message, &told);
            assert!((390..400).contains(&message.len()), "{} bytes: {told}", message.len());
            assert!(told.starts_with(INTRODUCTION) && told.ends_with(" […]"));
        }
    }
}
