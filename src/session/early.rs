//! Calls that begin while the model still writes: they are recorded and handed to their workers like
//! any other, and stopped where the rest of the reply contradicts them.

use std::cell::LazyCell;
use std::sync::Arc;

use super::coordinator::Coordinator;
use crate::conversation::{
    CHANGED, Catalogue, Effects, Event, Finished, Orphan, OutcomeKind, Place, Readiness, orphans,
    readiness,
};
use crate::wire::{Call, Certainty};

impl Coordinator {
    /// A call is as good as complete while its reply goes on.
    pub(super) fn on_call_ready(&mut self, ordinal: u32, certainty: Certainty, call: &Call) {
        let Some(turn) = &mut self.turn else { return };
        let Some(early) = self.state.early().filter(|_| !turn.rest_waits) else { return };
        let place = Place { reply_attempt: turn.attempt, ordinal };
        let catalogue: &dyn Catalogue = &**self.options.with_reader(&self.tools, &self.state);
        let limits = &self.options.limits;
        let terms = (catalogue, limits, &self.state.room(limits));
        let known = (early, &turn.claims[..], self.state.approved());
        match readiness(call, place, certainty, terms, known) {
            Readiness::Begins { tool, arguments } => {
                let (round, id) = (self.state.round_number(), Arc::clone(&call.id));
                let Place { reply_attempt, ordinal } = place;
                let arguments = Some(arguments);
                let once = catalogue.effects(&tool) == Effects::Once;
                let start =
                    Event::CallStarted { round, reply_attempt, ordinal, id, tool, arguments, once };
                self.record(vec![start]);
            }
            Readiness::HasBegun(claim) => turn.claims.push(claim),
            Readiness::Waits => {}
            Readiness::WaitsWithTheRest => turn.rest_waits = true,
        }
    }

    /// A call is not what it seemed when it was ready. If it has begun, it stops.
    pub(super) fn on_call_changed(&mut self, ordinal: u32) {
        let Some(turn) = &mut self.turn else { return };
        let place = Place { reply_attempt: turn.attempt, ordinal };
        turn.claims.retain(|claim| claim.by != place); // It is not that call after all.
        if self.state.early().is_some() && self.state.is_unanswered(place) {
            turn.flight.give_up(place);
            let message = "its arguments changed while the model wrote on";
            let mut end = self.end_of_early(place, message);
            if let Event::CallEnded { outcome, .. } = &mut end {
                outcome.set_code(CHANGED);
            }
            self.record(vec![end]);
        }
    }

    /// The calls that began early and that the model is told of because the finished `reply` does not
    /// ask for them, or because the turn ends without one.
    pub(super) fn orphans(&self, reply: Option<Finished<'_>>) -> Arc<[Orphan]> {
        let Some(early) = self.state.early().filter(|early| !early.is_empty()) else {
            return Arc::default();
        };
        let index = self.turn.as_ref().map_or(0, |turn| turn.model_index);
        let rule = self.options.models[index].dialect().id_rule;
        let ids = LazyCell::new(|| self.state.transcript().ids());
        orphans(
            early,
            reply,
            &**self.options.with_reader(&self.tools, &self.state),
            (|id| ids.contains(id), rule),
        )
    }

    /// The end of a call that has begun and that no finished reply will ask for.
    pub(super) fn end_of_early(&self, place: Place, message: &str) -> Event {
        let call = self.turn.as_ref().and_then(|turn| turn.flight.at(place));
        self.end_of_unanswered(place, call, OutcomeKind::Cancelled, message)
    }
}
