//! The model's part of a turn: it is asked, its events are passed on, its reply is recorded.

use std::any::Any;
use std::borrow::Cow;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;

use tokio::time::Instant;

use super::Cause;
use super::coordinator::Coordinator;
use crate::conversation::{
    Catalogue, Event, OutcomeKind, Place, Readiness, plan, readiness, recognize,
};
use crate::model::{self, Dialect, History, IdRule, Request, is_plain};
use crate::supervision::Crew;
use crate::tools::{ToolSet, ToolType, message_of};
use crate::wire::{Call, Certainty, Finish, Reply};

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

/// Ids that the provider left out or repeated were made up here: they must be such as it takes.
fn make_ids_fit(reply: &mut Reply, dialect: &Dialect) {
    if dialect.id_rule != IdRule::Mistral {
        return; // Others take what they wrote themselves, and most of what they did not.
    }
    for (ordinal, call) in reply.calls.iter_mut().enumerate() {
        if !dialect.id_rule.fits(&call.id, &call.name) {
            call.id = dialect.id_rule.rewrite(&call.id, &call.name, ordinal).into();
        }
    }
}

/// Has the reply's calls name their tools as the history must: a name that no provider takes would
/// have every later request refused.
fn write_names_for_the_wire(reply: &mut Reply, catalogue: &dyn Catalogue) {
    for call in &mut reply.calls {
        let name = catalogue.wire_name(&call.name);
        if *name != *call.name {
            call.name = name.into_owned();
        }
    }
}

impl Coordinator {
    pub(super) fn ask_model(&mut self) {
        let Some(turn) = &mut self.turn else { return };
        turn.first_token = None;
        let offer = offer(&self.options.tools, &self.crew, self.state.rounds() > 0);
        let model = &self.options.models[turn.model_index];
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
        let request = Request { messages, tools: &offer.tools, may_call: offer.may_call, first };
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
            Some(Ok(model::Event::Reply(reply))) if reply.finish == Finish::Error => {
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

    /// A call is as good as complete while its reply goes on.
    fn on_call_ready(&mut self, ordinal: u32, certainty: Certainty, call: &Call) {
        let Some(turn) = &mut self.turn else { return };
        let Some(early) = self.state.early().filter(|_| !turn.rest_waits) else { return };
        let place = Place { reply_attempt: turn.attempt, ordinal };
        let catalogue: &dyn Catalogue = &*self.options.tools;
        let terms = (catalogue, &self.options.limits, self.state.rounds_left());
        match readiness(call, place, certainty, terms, (early, &turn.claims)) {
            Readiness::Begins { tool, arguments } => {
                let (round, id) = (self.state.round_number(), Arc::clone(&call.id));
                let Place { reply_attempt, ordinal } = place;
                let arguments = Some(arguments);
                let start =
                    Event::CallStarted { round, reply_attempt, ordinal, id, tool, arguments };
                self.record(vec![start]);
            }
            Readiness::HasBegun(claim) => turn.claims.push(claim),
            Readiness::Waits => {}
            Readiness::WaitsWithTheRest => turn.rest_waits = true,
        }
    }

    /// A call is not what it seemed when it was ready. If it has begun, it stops.
    fn on_call_changed(&mut self, ordinal: u32) {
        let Some(turn) = &mut self.turn else { return };
        let place = Place { reply_attempt: turn.attempt, ordinal };
        if self.state.early().is_some() && self.state.is_unanswered(place) {
            turn.flight.give_up(place);
            let message = "its arguments changed while the model wrote on";
            let end = self.end_of_early(place, message);
            self.record(vec![end]);
        }
    }

    /// The end of a call that has begun and that no finished reply will ask for.
    fn end_of_early(&self, place: Place, message: &str) -> Event {
        let call = self.turn.as_ref().and_then(|turn| turn.flight.at(place));
        self.end_of_unanswered(place, call, OutcomeKind::Cancelled, message)
    }

    fn on_reply(&mut self, mut reply: Reply) {
        let Some(turn) = &mut self.turn else { return };
        let catalogue: &dyn Catalogue = &*self.options.tools;
        write_names_for_the_wire(&mut reply, catalogue);
        let mut message = Vec::new();
        let model = &self.options.models[turn.model_index];
        let dialect = model.dialect();
        make_ids_fit(&mut reply, &dialect);
        reply.write_message_with(&mut message, dialect.empty_content.json());
        let origin = turn.origin(model.origin());
        let message = String::from_utf8(message).expect("JSON is written as UTF-8");
        let limits = &self.options.limits;
        let mut calls = plan(reply.calls, catalogue, limits, self.state.rounds_left());
        let mut gone = Vec::new();
        if let Some(early) = self.state.early() {
            let filter = reply.finish == Finish::ContentFilter;
            calls = recognize(calls, turn.attempt, early, catalogue, filter);
            let is_asked = |place: Place| calls.iter().any(|call| call.begun == Some(place));
            gone.extend(early.running().map(|call| call.place).filter(|place| !is_asked(*place)));
        }
        for place in &gone {
            turn.flight.give_up(*place);
        }
        if calls.iter().any(|call| call.begun.is_some()) {
            let (end, _) = turn.round_end(Instant::now(), limits.round_time_limit);
            turn.ring_at(end);
        }
        let text =
            if reply.text.is_empty() { Arc::default() } else { Arc::<str>::from(reply.text) };
        let finish = reply.finish.into_word();
        turn.usage += reply.usage.unwrap_or_default();
        turn.text_was_shown = false;
        if let Some(model) = &reply.model {
            turn.model_name = Some(Arc::clone(model));
        }
        if calls.is_empty() {
            turn.answer = Some((Arc::clone(&text), finish.clone()));
        }
        let (attempt, first_token, mode) = (turn.attempt, turn.first_token, limits.mode);
        let mut draft = self.draft(1 + gone.len() + calls.len().max(1)); // And what it leads to.
        draft.push(Event::Replied {
            round: self.state.rounds() + 1,
            attempt,
            message: message.into(),
            text,
            calls,
            mode,
            finish,
            model: reply.model,
            origin: Some(origin),
            usage: reply.usage,
            first_token_at_us: first_token.map(|at| self.clock.micros_at(at)),
        });
        let message = "the finished reply does not ask for it";
        draft.extend(gone.into_iter().map(|place| self.end_of_early(place, message)));
        self.record_draft(draft);
    }
}
