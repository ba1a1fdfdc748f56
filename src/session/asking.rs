//! The model's part of a turn: it is asked, its events are passed on, its reply is recorded.

use std::any::Any;
use std::borrow::Cow;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;

use tokio::time::Instant;

use super::Cause;
use super::coordinator::Coordinator;
use crate::conversation::{Catalogue, Event, plan};
use crate::model::{self, Request};
use crate::supervision::Crew;
use crate::tools::{ToolSet, ToolType, message_of};
use crate::wire::Reply;

/// The tools that a request lists.
struct Offer<'a> {
    tools: Cow<'a, [u8]>,
    may_call: bool,
}

/// All tools but those that are out of service. If that is every one, and the history holds calls,
/// all are listed and none may be called.
fn offer<'a>(tools: &'a ToolSet, crew: &Crew, history_has_calls: bool) -> Offer<'a> {
    let now = Instant::now();
    let is_withdrawn = |(place, tool): (usize, &Arc<ToolType>)| {
        crew.withdraws(place, now) || tool.shared().withdraws(now)
    };
    let withdrawn: Vec<bool> = match tools.iter().enumerate().any(is_withdrawn) {
        false => return Offer { tools: Cow::Borrowed(tools.on_the_wire()), may_call: true },
        true => tools.iter().enumerate().map(is_withdrawn).collect(),
    };
    let none_is_left = withdrawn.iter().all(|withdrawn| *withdrawn);
    if none_is_left && history_has_calls {
        return Offer { tools: Cow::Borrowed(tools.on_the_wire()), may_call: false };
    }
    Offer { tools: Cow::Owned(tools.without(&withdrawn)), may_call: true }
}

impl Coordinator {
    pub(super) fn ask_model(&mut self) {
        let Some(turn) = &mut self.turn else { return };
        turn.first_token = None;
        let offer = offer(&self.options.tools, &self.crew, self.state.rounds() > 0);
        let messages = self.state.transcript().as_bytes();
        let request = Request { messages, tools: &offer.tools, may_call: offer.may_call };
        match catch_unwind(AssertUnwindSafe(|| self.options.model.ask(request))) {
            Ok(events) => turn.model = Some(events),
            Err(panic) => self.on_model_panic(panic),
        }
    }

    /// The model's own code panicked.
    pub(super) fn on_model_panic(&mut self, panic: Box<dyn Any + Send>) {
        let message = format!("it panicked: {}", message_of(panic));
        let (url, status) = (self.options.model.name().to_owned(), 500);
        self.break_off(Cause::Model(model::Error::Failed { url, status, message }));
    }

    pub(super) fn on_model(&mut self, event: Option<Result<model::Event, model::Error>>) {
        let Some(turn) = &mut self.turn else { return };
        match event {
            Some(Ok(model::Event::Began)) => turn.first_token = Some(Instant::now()),
            Some(Ok(model::Event::Text(text))) => self.tell(Event::TextStreamed { text }),
            Some(Ok(model::Event::Reasoning(text))) => self.tell(Event::ReasoningStreamed { text }),
            Some(Ok(model::Event::Reply(reply))) => {
                turn.model = None;
                self.on_reply(*reply);
            }
            Some(Err(error)) => self.break_off(Cause::Model(error)),
            None => {
                let (url, reason) = (self.options.model.name(), "it ended without a reply");
                let error = model::Error::Cut { url: url.into(), reason: reason.into() };
                self.break_off(Cause::Model(error));
            }
        }
    }

    fn on_reply(&mut self, reply: Reply) {
        let Some(turn) = &mut self.turn else { return };
        let mut message = Vec::new();
        reply.write_message(&mut message);
        let message = String::from_utf8(message).expect("JSON is written as UTF-8");
        let limits = &self.options.limits;
        let catalogue: &dyn Catalogue = &*self.options.tools;
        let calls = plan(reply.calls, catalogue, limits, self.state.rounds_left());
        let text =
            if reply.text.is_empty() { Arc::default() } else { Arc::<str>::from(reply.text) };
        let finish = reply.finish.into_word();
        turn.usage += reply.usage.unwrap_or_default();
        if let Some(model) = &reply.model {
            turn.model_name = Some(Arc::clone(model));
        }
        if calls.is_empty() {
            turn.answer = Some((Arc::clone(&text), finish.clone()));
        }
        let (attempt, first_token) = (turn.attempt, turn.first_token);
        let mut draft = self.draft(1 + calls.len().max(1)); // And what it leads to.
        draft.push(Event::Replied {
            round: self.state.rounds() + 1,
            attempt,
            message: message.into(),
            text,
            calls,
            mode: limits.mode,
            finish,
            model: reply.model,
            usage: reply.usage,
            first_token_at_us: first_token.map(|at| self.clock.micros_at(at)),
        });
        self.record_draft(draft);
    }
}
