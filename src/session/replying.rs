//! What becomes of a finished reply: its calls are judged, those that have begun are recognized, and
//! all of it is recorded.

use std::sync::Arc;

use tokio::time::Instant;

use super::coordinator::Coordinator;
use crate::conversation::{Catalogue, Event, Place, plan, recognize, refuse_all};
use crate::model::{Dialect, IdRule};
use crate::wire::{Finish, Reply};

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
    pub(super) fn on_reply(&mut self, mut reply: Reply) {
        let Some(turn) = &mut self.turn else { return };
        let catalogue: &dyn Catalogue = &**self.options.with_reader(&self.tools, &self.state);
        write_names_for_the_wire(&mut reply, catalogue);
        let mut message = Vec::new();
        let model = &self.options.models[turn.model_index];
        let dialect = model.dialect();
        make_ids_fit(&mut reply, &dialect);
        reply.write_message_with(&mut message, dialect.empty_content.json());
        let origin = turn.origin(model.origin());
        let message = String::from_utf8(message).expect("JSON is written as UTF-8");
        let limits = &self.options.limits;
        let mut calls = plan(reply.calls, catalogue, limits, &self.state.room(limits));
        let mut gone = Vec::new();
        if let Some(early) = self.state.early() {
            let filter = reply.finish == Finish::ContentFilter;
            calls = recognize(calls, turn.attempt, early, catalogue, filter);
            let is_asked = |place: Place| calls.iter().any(|call| call.begun == Some(place));
            gone.extend(early.running().map(|call| call.place).filter(|place| !is_asked(*place)));
        }
        let usage = reply.usage.or(turn.counted.take());
        if let Some(used_up) = self.state.used_up_by_reply(usage) {
            calls = refuse_all(calls, &used_up);
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
        turn.usage += usage.unwrap_or_default();
        turn.counted = None;
        turn.text_was_shown = false;
        turn.model_name = Some(reply.model.clone().unwrap_or_else(|| model.name().into()));
        if calls.is_empty() {
            turn.answer = Some((Arc::clone(&text), finish.clone()));
        }
        let (attempt, first_token, mode) = (turn.attempt, turn.first_token, limits.mode);
        let orphans = self.orphans(Some((attempt, &calls)));
        let mut draft = self.draft(1 + gone.len() + calls.len().max(1)); // And what it leads to.
        // They end before the reply stands in the history: the model may be told of them first.
        let why = "the finished reply does not ask for it";
        draft.extend(gone.into_iter().map(|place| self.end_of_early(place, why)));
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
            usage,
            first_token_at_us: first_token.map(|at| self.clock.micros_at(at)),
            orphans,
        });
        self.record_draft(draft);
    }
}
