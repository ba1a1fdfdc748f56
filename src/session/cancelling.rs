//! Cancelling one call of a round: it stops now, and is answered as soon as that can be recorded.

use super::coordinator::{CancelCall, Coordinator};
use crate::conversation::{OutcomeKind, Place};

impl Coordinator {
    /// Stops the calls that somebody asked to cancel, those included that no worker has yet, and
    /// says which were still to be had. Whatever has come back was taken in just before, and counts.
    pub(super) fn stop_cancelled_calls(&mut self) {
        let Some(turn) = &mut self.turn else { return };
        for CancelCall { id, reply } in std::mem::take(&mut turn.to_cancel) {
            let is_it =
                |place: &Place| self.state.call_at(*place).is_some_and(|call| *call.0 == id);
            // Of two with one id the one that the last try of the reply asks for.
            let place =
                self.state.unanswered().filter(is_it).max_by_key(|place| place.reply_attempt);
            let stopped = place.filter(|place| {
                let on_its_way = turn.cancelled || turn.cancelled_calls.contains(place);
                turn.flight.give_up(*place).unwrap_or(!on_its_way)
            });
            turn.cancelled_calls.extend(stopped);
            let _ = reply.send(stopped.is_some()); // Whoever asked may have gone.
        }
    }

    /// Answers the calls that were cancelled.
    pub(super) fn end_cancelled_calls(&mut self) {
        let Some(turn) = &mut self.turn else { return };
        let places = std::mem::take(&mut turn.cancelled_calls);
        let Some(turn) = &self.turn else { return };
        let (kind, message) = (OutcomeKind::Cancelled, "the call was cancelled");
        let end = |place| self.end_of_unanswered(place, turn.flight.at(place), kind, message);
        let events = places.into_iter().map(end).collect();
        self.record(events);
    }
}
