//! Calls that a person has to approve: while one waits, the clocks of its turn and its round stand still;
//! what is decided is recorded, and carried out like anything else.

use actix::{Context, Handler, Message};
use tokio::sync::oneshot;
use tokio::time::Instant;

use super::clock::micros;
use super::coordinator::Coordinator;
use super::recording::Draft;
use super::{Cause, DecideError};
use crate::conversation::{
    CallKey, CallTimes, Catalogue, Decision, Due, Event, NotDecided, Place, Record,
};
use crate::store;

/// Somebody has decided about the call that waits under this key.
#[derive(Message)]
#[rtype(result = "()")]
pub(super) struct Decide {
    pub call: CallKey,
    pub decision: Decision,
    /// Told when the decision is on record, or why it counts for nothing.
    pub reply: oneshot::Sender<Result<(), DecideError>>,
}

/// The calls of a round that a person was asked about.
#[derive(Default)]
pub(super) struct Approvals {
    asked: Vec<AskedAbout>,
    /// Whoever made the decisions that are on their way into the journal.
    deciding: Vec<oneshot::Sender<Result<(), DecideError>>>,
}

struct AskedAbout {
    place: Place,
    since: Instant,
    /// Nothing is decided yet.
    waits: bool,
}

impl Approvals {
    fn ask(&mut self, place: Place, since: Instant) {
        self.asked.push(AskedAbout { place, since, waits: true });
    }

    fn end(&mut self, place: Place) {
        for asked in self.asked.iter_mut().filter(|asked| asked.place == place) {
            asked.waits = false;
        }
    }

    /// Since when the call at `place` has waited, or had.
    pub fn since(&self, place: Place) -> Option<Instant> {
        Some(self.asked.iter().find(|asked| asked.place == place)?.since)
    }

    /// Tells those whose decisions were on their way into the journal that it does not take them.
    pub fn lose(&mut self, error: &store::Error) {
        for reply in self.deciding.drain(..) {
            answer(reply, Err(error.clone().into()));
        }
    }

    fn has_waiting(&self) -> bool {
        self.asked.iter().any(|asked| asked.waits)
    }
}

impl Handler<Decide> for Coordinator {
    type Result = ();

    fn handle(&mut self, decide: Decide, _: &mut Context<Self>) {
        // `Drive` is polled after the mailbox and acts on it.
        match &mut self.turn {
            Some(turn) => turn.to_decide.push(decide),
            None => answer(decide.reply, Err(NotDecided::NotWaiting.into())),
        }
    }
}

impl Coordinator {
    /// What is recorded first of the calls that are to run: their beginnings, that somebody is asked,
    /// and what was decided beforehand.
    pub(super) fn push_beginnings(&self, calls: std::ops::Range<u32>, draft: &mut Draft) {
        for ordinal in calls {
            match self.state.due(ordinal) {
                None => {}
                Some(Due::Begin) => draft.extend(self.beginning(ordinal)),
                Some(Due::Ask) => {
                    let asked = self.state.approval_asked(ordinal);
                    let standing = asked.as_ref().and_then(|asked| self.standing_decision(asked));
                    draft.extend(asked);
                    draft.extend(
                        standing.and_then(|said| self.state.decided_beforehand(ordinal, &said)),
                    );
                }
                Some(Due::Answer(outcome)) => {
                    if let Some(place) = self.state.place_of(ordinal) {
                        let times = self.times_of_wait(place);
                        draft.push(self.call_ended(place, outcome, times));
                    }
                }
            }
        }
    }

    /// What whoever made the session has decided about all calls of the tool that is `asked` about.
    fn standing_decision(&self, asked: &Event) -> Option<Decision> {
        let Event::ApprovalAsked { tool, .. } = asked else { return None };
        match self.state.is_outside(asked) {
            true => None,
            false => self.options.standing_decision(tool),
        }
    }

    /// Takes the first decision that somebody has made.
    pub(super) fn take_decision(&mut self) {
        let Some(turn) = self.turn.as_mut().filter(|turn| !turn.to_decide.is_empty()) else {
            return;
        };
        let Decide { call, decision, reply } = turn.to_decide.remove(0);
        let catalogue: &dyn Catalogue = &**self.options.with_reader(&self.tools, &self.state);
        let decided = match call.session == self.id {
            true => self.state.decided(call.round, call.place(), decision, catalogue),
            false => Err(NotDecided::NotWaiting),
        };
        match decided {
            Ok(events) => {
                turn.approvals.get_or_insert_default().deciding.push(reply);
                self.record(events);
            }
            Err(why) => answer(reply, Err(why.into())),
        }
    }

    /// Takes in of `records`, which the journal has, who waits for a person now, and tells those who
    /// have decided.
    pub(super) fn follow_approvals(&mut self, records: &[Record]) {
        let Some(turn) = &mut self.turn else { return };
        let is_asked = |record: &Record| matches!(record.event, Event::ApprovalAsked { .. });
        if turn.approvals.is_none() && !records.iter().any(is_asked) {
            return;
        }
        let (now, approvals) = (Instant::now(), turn.approvals.get_or_insert_default());
        for Record { event, .. } in records {
            match event {
                Event::ApprovalAsked { reply_attempt, ordinal, .. } => {
                    let (reply_attempt, ordinal) = (*reply_attempt, *ordinal);
                    approvals.ask(Place { reply_attempt, ordinal }, now);
                }
                Event::ApprovalDecided { reply_attempt, ordinal, .. }
                | Event::CallEnded { reply_attempt, ordinal, .. } => {
                    let (reply_attempt, ordinal) = (*reply_attempt, *ordinal);
                    approvals.end(Place { reply_attempt, ordinal });
                }
                _ => {}
            }
        }
        for reply in approvals.deciding.drain(..) {
            answer(reply, Ok(()));
        }
        match approvals.has_waiting() {
            true => turn.stand_still(now),
            false => turn.go_on(now),
        }
    }

    /// The times of a call that waited for a person, and did no more.
    pub(super) fn times_of_wait(&self, place: Place) -> CallTimes {
        let since = self.turn.as_ref().and_then(|turn| turn.approvals.as_ref()?.since(place));
        let Some(since) = since else { return CallTimes::default() };
        CallTimes {
            dispatched_at_us: self.clock.micros_at(since),
            waited_us: micros(since.elapsed()),
            ..CallTimes::default()
        }
    }

    /// Says whether the turn does nothing but wait for a person, and can go on in another process.
    fn only_waits(&self) -> bool {
        let Some(turn) = &self.turn else { return false };
        let waits = turn.approvals.as_ref().is_some_and(|approvals| approvals.has_waiting());
        let has_begun = self.state.unanswered().any(|place| self.state.has_started(place));
        waits && !has_begun && self.journal.outlives_close()
    }

    /// Says whether the runtime ends, and the turn is at a point that is on record, for another process to
    /// go on from: none of its calls runs.
    pub(super) fn may_leave(&self) -> bool {
        let runs = self.turn.as_ref().is_some_and(|turn| turn.flight.has_awaited());
        self.leaves_turns() && !runs
    }

    fn leaves_turns(&self) -> bool {
        self.closing.leaves_turns() && self.journal.outlives_close()
    }

    /// Ends the turn that somebody has cancelled, or that the shutdown cuts.
    pub(super) fn cut_off(&mut self, shut_down: bool) {
        match shut_down {
            true if self.only_waits() || self.leaves_turns() => self.leave_open(),
            true => self.break_off(Cause::ShutDown),
            false => self.break_off(Cause::Cancelled),
        }
    }

    /// Lets go of the turn as it is, as if the process had ended: whoever opens the session next may go
    /// on with it. Those who listen hear of the end all the same.
    pub(super) fn leave_open(&mut self) {
        let call = |place| self.state.call_at(place).map(|(id, tool)| (id.clone(), tool.clone()));
        let calls = self.state.unanswered().filter_map(call).collect();
        self.end_unkept(Cause::ShutDown);
        if let Some(turn) = &mut self.turn {
            turn.cut = Some(calls);
        }
    }
}

/// Whoever made the decision may have gone.
fn answer(reply: oneshot::Sender<Result<(), DecideError>>, with: Result<(), DecideError>) {
    let _ = reply.send(with);
}
