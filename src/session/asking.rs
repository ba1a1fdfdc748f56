//! The model's part of a turn: it is asked, and its events are passed on.

use std::any::Any;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;

use tokio::time::Instant;

use super::Cause;
use super::coordinator::Coordinator;
use super::offer::{Offer, offer};
use crate::conversation::{Event, Transcript};
use crate::model::{self, History, Model, Request, is_plain};
use crate::tools::message_of;
use crate::wire::Finish;

/// The messages `said`, all of `transcript` or the first of it, as `model` is sent them: as they stand
/// where it wrote all of it. Otherwise `known`, which is what it was sent before, is gone on with.
pub(super) fn as_sent<'a>(
    model: &dyn Model,
    transcript: &Transcript,
    said: &'a [u8],
    known: &'a mut Option<History>,
) -> &'a [u8] {
    if transcript.is_all_of(model.origin()) && is_plain(&model.dialect()) {
        return said;
    }
    let history = known.take().filter(|known| known.is_for(model.origin()));
    let new = || History::new(model.origin(), model.dialect());
    let history = known.insert(history.unwrap_or_else(new));
    history.follow(said, |number| transcript.author(number))
}

impl Coordinator {
    pub(super) fn ask_model(&mut self) {
        self.take_up_tools();
        let Some(turn) = &mut self.turn else { return };
        (turn.first_token, turn.counted) = (None, None);
        let offer = offer(
            self.options.with_reader(&self.tools, &self.state),
            &self.crew,
            self.state.rounds() > 0,
        );
        let model = &self.options.models[turn.model_index];
        let count = offer.names.len();
        if let Some(most) = model.dialect().max_tools.filter(|most| count > *most as usize) {
            let message = format!("{count} tools, it takes {most} at most; not sent");
            let (url, status) = (model.name().to_owned(), 400);
            return self.on_model_error(model::Error::Refused { url, status, message });
        }
        let transcript = self.state.transcript();
        let said = transcript.as_bytes();
        let messages = as_sent(&**model, transcript, said, &mut turn.history);
        let first = self.state.rounds_left() == self.options.limits.max_rounds;
        let Offer { tools, names, may_call } = &offer;
        let request = Request { messages, tools, names, may_call: *may_call, first };
        match catch_unwind(AssertUnwindSafe(|| model.ask(request))) {
            Ok(events) => turn.model = Some(events),
            Err(panic) => self.on_model_panic(panic),
        }
    }

    /// From now on the session has the tools of this moment, where they may change.
    pub(super) fn take_up_tools(&mut self) {
        let Some(source) = &self.options.source else { return };
        let tools = source.current();
        if !Arc::ptr_eq(&tools, &self.tools) {
            self.crew.follow(&self.tools, &tools);
            self.seat.terms().reads_on.set(self.options.reads_large_results(&tools));
            self.tools = tools;
        }
    }

    /// The model's own code panicked. Asking it again would be asking for the same.
    pub(super) fn on_model_panic(&mut self, panic: Box<dyn Any + Send>) {
        let message = message_of(panic);
        if self.turn.as_ref().is_some_and(|turn| turn.summing.is_some()) {
            return self.on_summary_panic(message);
        }
        let message = format!("it panicked: {message}");
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
        if turn.summing.is_some() {
            return self.on_summary(event);
        }
        match event {
            Some(Ok(model::Event::Began)) => turn.first_token = Some(Instant::now()),
            Some(Ok(model::Event::Text(text))) => {
                turn.text_was_shown |= self.subscribers.hear_passing();
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
