//! The model's part of a turn: it is asked, and its events are passed on.

use std::any::Any;
use std::borrow::Cow;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;

use tokio::time::Instant;

use super::Cause;
use super::coordinator::Coordinator;
use crate::conversation::Event;
use crate::model::{self, History, Request, ToolName, is_plain};
use crate::supervision::Crew;
use crate::tools::{ToolSet, ToolType, message_of};
use crate::wire::Finish;

/// The tools that a request lists.
struct Offer<'a> {
    tools: Cow<'a, [u8]>,
    names: Cow<'a, [ToolName]>,
    may_call: bool,
}

/// All tools but those that are out of service. If that is every one, and the history holds calls,
/// all are listed and none may be called.
fn offer<'a>(tools: &'a ToolSet, crew: &Crew, history_has_calls: bool) -> Offer<'a> {
    let now = Instant::now();
    let is_withdrawn = |(place, tool): (usize, &Arc<ToolType>)| {
        crew.withdraws(place, now) || tool.shared().withdraws(now)
    };
    let all = |may_call| {
        let names = Cow::Borrowed(tools.names());
        Offer { tools: Cow::Borrowed(tools.on_the_wire()), names, may_call }
    };
    let withdrawn: Vec<bool> = match tools.iter().enumerate().any(is_withdrawn) {
        false => return all(true),
        true => tools.iter().enumerate().map(is_withdrawn).collect(),
    };
    let in_service = tools.names().iter().zip(&withdrawn).filter(|(_, withdrawn)| !**withdrawn);
    let names: Vec<_> = in_service.map(|(name, _)| name.clone()).collect();
    if names.is_empty() && history_has_calls {
        return all(false);
    }
    let tools = Cow::Owned(tools.without(&withdrawn));
    Offer { tools, names: Cow::Owned(names), may_call: true }
}

impl Coordinator {
    pub(super) fn ask_model(&mut self) {
        let Some(turn) = &mut self.turn else { return };
        (turn.first_token, turn.counted) = (None, None);
        let offer = offer(self.options.tools_of(&self.state), &self.crew, self.state.rounds() > 0);
        let model = &self.options.models[turn.model_index];
        let count = offer.names.len();
        if let Some(most) = model.dialect().max_tools.filter(|most| count > *most as usize) {
            let message = format!("{count} tools, it takes {most} at most; not sent");
            let (url, status) = (model.name().to_owned(), 400);
            return self.on_model_error(model::Error::Refused { url, status, message });
        }
        let transcript = self.state.transcript();
        let is_as_it_is = transcript.is_all_of(model.origin()) && is_plain(&model.dialect());
        let messages = match is_as_it_is {
            true => transcript.as_bytes(),
            false => {
                let history = turn.history.take().filter(|known| known.is_for(model.origin()));
                let new = || History::new(model.origin(), model.dialect());
                let history = turn.history.insert(history.unwrap_or_else(new));
                history.follow(transcript.as_bytes(), |number| transcript.author(number))
            }
        };
        let first = self.state.rounds_left() == self.options.limits.max_rounds;
        let Offer { tools, names, may_call } = &offer;
        let request = Request { messages, tools, names, may_call: *may_call, first };
        match catch_unwind(AssertUnwindSafe(|| model.ask(request))) {
            Ok(events) => turn.model = Some(events),
            Err(panic) => self.on_model_panic(panic),
        }
    }

    /// The model's own code panicked. Asking it again would be asking for the same.
    pub(super) fn on_model_panic(&mut self, panic: Box<dyn Any + Send>) {
        let message = format!("it panicked: {}", message_of(panic));
        let (url, status) = (self.model_name(), 500);
        let retry_after = None;
        let error = model::Error::Failed { url, status, message, retry_after };
        self.break_off(Cause::Model(error));
    }

    /// The configured name of the model that is asked.
    fn model_name(&self) -> String {
        let index = self.turn.as_ref().map_or(0, |turn| turn.model_index);
        self.options.models[index].name().to_owned()
    }

    pub(super) fn on_model(&mut self, event: Option<Result<model::Event, model::Error>>) {
        let Some(turn) = &mut self.turn else { return };
        match event {
            Some(Ok(model::Event::Began)) => turn.first_token = Some(Instant::now()),
            Some(Ok(model::Event::Text(text))) => {
                turn.text_was_shown |= !self.subscribers.is_empty();
                self.tell(Event::TextStreamed { text });
            }
            Some(Ok(model::Event::Reasoning(text))) => self.tell(Event::ReasoningStreamed { text }),
            Some(Ok(model::Event::CallReady { ordinal, certainty, call })) => {
                self.on_call_ready(ordinal, certainty, &call);
            }
            Some(Ok(model::Event::CallChanged { ordinal })) => self.on_call_changed(ordinal),
            Some(Ok(model::Event::Counted(usage))) => turn.counted = Some(usage),
            Some(Ok(model::Event::Reply(reply))) if reply.finish == Finish::Error => {
                turn.counted = reply.usage.or(turn.counted);
                let (url, status) = (self.model_name(), 502);
                let message = "it broke its reply off with the finish reason `error`".to_owned();
                let retry_after = None;
                self.on_model_error(model::Error::Failed { url, status, message, retry_after });
            }
            Some(Ok(model::Event::Reply(reply))) => {
                turn.model = None;
                self.on_reply(*reply);
            }
            Some(Err(error)) => self.on_model_error(error),
            None => {
                let (url, reason) = (self.model_name(), "it ended without a reply".to_owned());
                self.on_model_error(model::Error::Cut { url, reason });
            }
        }
    }
}
