//! Cancelling one call of a round: it stops now, and is answered as soon as that can be recorded.

use super::coordinator::{CancelCall, Coordinator};
use crate::conversation::OutcomeKind;

impl Coordinator {
    /// Stops the calls that somebody asked to cancel, those included that no worker has yet, and
    /// says which were still to be had. Whatever has come back was taken in just before, and counts.
    pub(super) fn stop_cancelled_calls(&mut self) {
        let Some(turn) = &mut self.turn else { return };
        for CancelCall { id, reply } in std::mem::take(&mut turn.to_cancel) {
            let mut asked = (0u32..).zip(self.state.calls().into_iter().flat_map(|calls| &**calls));
            let ordinal = asked.find(|(_, call)| call.id == id).map(|(ordinal, _)| ordinal);
            let ordinal = ordinal.filter(|ordinal| self.state.is_unanswered(*ordinal));
            let stopped = ordinal.filter(|ordinal| {
                let on_its_way = turn.cancelled || turn.cancelled_calls.contains(ordinal);
                turn.flight.give_up(*ordinal).unwrap_or(!on_its_way)
            });
            turn.cancelled_calls.extend(stopped);
            let _ = reply.send(stopped.is_some()); // Whoever asked may have gone.
        }
    }

    /// Answers the calls that were cancelled.
    pub(super) fn end_cancelled_calls(&mut self) {
        let Some(turn) = &mut self.turn else { return };
        let ordinals = std::mem::take(&mut turn.cancelled_calls);
        let Some(turn) = &self.turn else { return };
        let (kind, message) = (OutcomeKind::Cancelled, "the call was cancelled");
        let end = |ordinal: u32| {
            let call = turn.flight.all().find(|call| call.ordinal == ordinal);
            self.end_of_unanswered(ordinal, call, kind, message)
        };
        let events = ordinals.into_iter().map(end).collect();
        self.record(events);
    }
}
