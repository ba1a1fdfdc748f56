//! Which calls of the round a person is asked about, and what comes of what they say.

use std::sync::Arc;

use super::SessionState;
use crate::conversation::approval::{denied, tell_of_edit};
use crate::conversation::canonical::are_same;
use crate::conversation::consent::Consent;
use crate::conversation::round::Round;
use crate::conversation::{
    Action, Approval, Approved, AskedCall, Catalogue, Decision, Event, NotDecided, Outcome, Place,
    Refusal,
};
use crate::sabotage::{self, Sabotage};
use crate::wire::Arguments;

/// What is to be recorded of a call that is to run.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Due {
    /// [`Event::CallStarted`]: it begins.
    Begin,
    /// [`Event::ApprovalAsked`]: a person has to approve it.
    Ask,
    /// [`Event::CallEnded`] with this: a person did not, or it ran somewhere else.
    Answer(Outcome),
}

impl SessionState {
    /// What is to be recorded of the call `ordinal` of the round under way, which is to run; `None` of
    /// one that has begun or ended, and of one that somebody was asked about and has not decided.
    #[must_use]
    pub fn due(&self, ordinal: u32) -> Option<Due> {
        let (round, ordinal) = (self.round()?, ordinal as usize);
        if !round.is_to_begin(ordinal) {
            return None;
        }
        match round.consent_to(ordinal) {
            Consent::Needless | Consent::Given(_) => Some(Due::Begin),
            Consent::Refused(reason) => Some(Due::Answer(denied(reason.as_deref()))),
            Consent::Answered(content) => Some(Due::Answer(Outcome::ok(Arc::clone(content)))),
            Consent::Needed | Consent::Asked if self.is_approved(&round.calls()[ordinal]) => {
                Some(Due::Begin)
            }
            Consent::Needed => Some(Due::Ask),
            Consent::Asked => None,
        }
    }

    /// The tools that a person has approved for the session.
    #[must_use]
    pub fn approved(&self) -> &Approved {
        &self.approved
    }

    /// The calls of the round under way that wait for a person who was asked, in order.
    pub fn awaiting_approval(&self) -> impl Iterator<Item = Place> + '_ {
        let rounds = self.round().into_iter();
        let ordinals = rounds.flat_map(|round| (0u32..).take(round.calls().len()));
        let waits = |ordinal: &u32| {
            let asked = self.round().map(|round| round.consent_to(*ordinal as usize));
            asked == Some(&Consent::Asked) && self.needs_approval(*ordinal)
        };
        ordinals.filter(waits).filter_map(|ordinal| self.place_of(ordinal))
    }

    /// Says whether the call `ordinal` of the round under way does not begin before a person has
    /// approved it, whether they were asked or not.
    #[must_use]
    pub fn needs_approval(&self, ordinal: u32) -> bool {
        let ordinal = ordinal as usize;
        self.round().is_some_and(|round| {
            let is_open = matches!(round.consent_to(ordinal), Consent::Needed | Consent::Asked);
            is_open && round.is_to_begin(ordinal) && !self.is_approved(&round.calls()[ordinal])
        })
    }

    /// The arguments that a person wrote for the call at `place` in place of the model's.
    #[must_use]
    pub fn edited(&self, place: Place) -> Option<&Arc<str>> {
        let round = self.round()?;
        match round.consent_to(round.ordinal_of(place)?) {
            Consent::Given(arguments) => arguments.as_ref(),
            _ => None,
        }
    }

    /// `outcome` as the model is told of it: where a person has changed the arguments of the call at
    /// `place`, that is said.
    #[must_use]
    pub fn with_edit(&self, place: Place, mut outcome: Outcome) -> Outcome {
        if let Some(arguments) = self.edited(place) {
            tell_of_edit(&mut outcome, arguments);
        }
        outcome
    }

    /// What is to be recorded where somebody has decided about the call at `place` of the round
    /// `number`: that, and that it stands for others that wait. Arguments that they wrote are checked
    /// as the model's were; some that are the same as the model's are no others.
    ///
    /// # Errors
    /// [`NotDecided`] says why the decision counts for nothing.
    pub fn decided(
        &self,
        number: u64,
        place: Place,
        decision: Decision,
        catalogue: &dyn Catalogue,
    ) -> Result<Vec<Event>, NotDecided> {
        let round = self.round().filter(|_| number == self.rounds);
        let round = round.ok_or(NotDecided::NotWaiting)?;
        let ordinal = round.ordinal_of(place).ok_or(NotDecided::NotWaiting)?;
        match round.consent_to(ordinal) {
            Consent::Given(_) | Consent::Refused(_) | Consent::Answered(_) => {
                return Err(NotDecided::Already);
            }
            Consent::Asked if round.is_to_begin(ordinal) => {}
            Consent::Needless | Consent::Needed | Consent::Asked => {
                return Err(NotDecided::NotWaiting);
            }
        }
        let call = &round.calls()[ordinal];
        if self.is_approved(call) {
            return Err(NotDecided::Already); // With another of its tool.
        }
        let is_outside = call.approval == Approval::Outside;
        let decision = match decision {
            Decision::Denied { .. } => decision,
            Decision::Answered { .. } if is_outside => decision,
            Decision::Edited { arguments } if !is_outside => edit(call, arguments, catalogue)?,
            Decision::Approved if !is_outside => decision,
            Decision::Answered { .. } | Decision::Edited { .. } | Decision::Approved => {
                return Err(NotDecided::WrongPlace);
            }
        };
        let decided = self.decision(round, place, &decision);
        let mut events: Vec<_> = decided.into_iter().collect();
        if matches!(&events[..], [Event::ApprovalDecided { for_session: true, .. }]) {
            let is_same = |other: &Place| {
                *other != place && round.call_at(*other).is_some_and(|it| it.tool == call.tool)
            };
            let others = self.awaiting_approval().filter(is_same);
            events.extend(others.filter_map(|place| self.decision(round, place, &decision)));
        }
        Ok(events)
    }

    /// That the call `ordinal` of the round under way is asked about.
    #[must_use]
    pub fn approval_asked(&self, ordinal: u32) -> Option<Event> {
        let (place, round) = (self.place_of(ordinal)?, self.rounds);
        let (id, tool) = self.call_at(place)?;
        let Place { reply_attempt, ordinal } = place;
        let (id, tool) = (Arc::clone(id), Arc::clone(tool));
        Some(Event::ApprovalAsked { round, reply_attempt, ordinal, id, tool })
    }

    /// Says whether the call that `asked` tells of does not run here.
    #[must_use]
    pub fn is_outside(&self, asked: &Event) -> bool {
        let Event::ApprovalAsked { reply_attempt, ordinal, .. } = *asked else { return false };
        let call = self.round().and_then(|round| round.call_at(Place { reply_attempt, ordinal }));
        call.is_some_and(|call| call.approval == Approval::Outside)
    }

    /// That the call `ordinal` of the round under way, which is about to be asked about, is decided
    /// without a word: by whoever made the session.
    #[must_use]
    pub fn decided_beforehand(&self, ordinal: u32, decision: &Decision) -> Option<Event> {
        self.decision(self.round()?, self.place_of(ordinal)?, decision)
    }

    fn decision(&self, round: &Round, place: Place, decision: &Decision) -> Option<Event> {
        let call = round.call_at(place)?;
        // Whoever changed a call has not approved of others like it.
        let for_session =
            *decision == Decision::Approved && call.approval == Approval::OncePerSession;
        let (id, tool) = (Arc::clone(&call.id), Arc::clone(&call.tool));
        let (round, Place { reply_attempt, ordinal }) = (self.rounds, place);
        let decision = decision.clone();
        Some(Event::ApprovalDecided {
            round,
            reply_attempt,
            ordinal,
            id,
            tool,
            decision,
            for_session,
        })
    }

    /// Says whether a person has approved the tool of `call` for the session, and need not be asked.
    fn is_approved(&self, call: &AskedCall) -> bool {
        let for_session =
            call.approval == Approval::OncePerSession && self.approved.has(&call.tool);
        for_session || sabotage::is(Sabotage::Unapproved)
    }

    pub(super) fn on_approval_asked(&mut self, number: u64, place: Place) {
        if let Some(round) = self.round_numbered(number) {
            round.ask(place);
        }
    }

    pub(super) fn on_approval_decided(
        &mut self,
        number: u64,
        place: Place,
        decision: &Decision,
    ) -> Action {
        let Some(round) = self.round_numbered(number) else { return Action::Wait };
        let decides = round.decide(place, decision);
        if decides { round.next() } else { Action::Wait } // The call may have begun or ended.
    }

    fn round_numbered(&mut self, number: u64) -> Option<&mut Round> {
        let is_it = number == self.rounds;
        self.turn.as_mut()?.round.as_mut().filter(|_| is_it)
    }
}

/// What a person has made of the arguments of `call`.
fn edit(
    call: &AskedCall,
    arguments: Arc<str>,
    catalogue: &dyn Catalogue,
) -> Result<Decision, NotDecided> {
    if are_same(&arguments, &call.arguments) {
        return Ok(Decision::Approved);
    }
    let bad = |message: String| NotDecided::BadArguments { message };
    let text = match Arguments::from_text(arguments.to_string()) {
        Arguments::Object(text) => text,
        Arguments::NotAnObject { .. } => return Err(bad("they are not a JSON object".into())),
        Arguments::Malformed { .. } | Arguments::Truncated { .. } => {
            return Err(bad("they are not valid JSON".into()));
        }
    };
    match catalogue.check(&call.tool, &text) {
        Err(Refusal::BadArguments { message }) => Err(bad(message)),
        // Where the tool is gone, the call is told so when it is to run.
        Ok(_) | Err(Refusal::UnknownTool { .. }) => Ok(Decision::Edited { arguments: text.into() }),
    }
}

#[cfg(test)]
mod tests;
