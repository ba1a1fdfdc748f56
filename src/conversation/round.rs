//! The round whose calls are being answered: which have begun, how they ended, and which is next.

use std::sync::Arc;

use super::consent::{Consent, Consents};
use super::{Action, AskedCall, Decision, EarlyCalls, Mode, Outcome, Place};

/// The round whose calls are being answered.
#[derive(Clone, Debug)]
pub(super) struct Round {
    mode: Mode,
    /// Which try of the reply asked for its calls.
    reply_attempt: u32,
    calls: Arc<[AskedCall]>,
    outcomes: Vec<Option<Outcome>>,
    /// Those that have begun in this process.
    started: Vec<bool>,
    /// How often each has begun.
    starts: Vec<u32>,
    /// Those that are never run again, whatever is said of their tools later.
    once: Vec<bool>,
    /// What a person has said of those that they have to approve.
    consents: Consents,
    unanswered: usize,
}

impl Round {
    /// The round of a finished reply. Those of its calls that have begun are among `early`.
    pub fn new(
        mode: Mode,
        reply_attempt: u32,
        calls: &Arc<[AskedCall]>,
        early: &EarlyCalls,
    ) -> Self {
        let outcome = |call: &AskedCall| match call.begun {
            Some(place) => early.get(place).and_then(|begun| begun.outcome.clone()),
            None => call.refused.clone(),
        };
        let begun = |call: &AskedCall| call.begun.and_then(|place| early.get(place));
        let starts = |call: &AskedCall| begun(call).map_or(0, |begun| begun.starts);
        let once = |call: &AskedCall| begun(call).is_some_and(|begun| begun.once);
        let outcomes: Vec<_> = calls.iter().map(outcome).collect();
        Self {
            mode,
            reply_attempt,
            unanswered: outcomes.iter().filter(|outcome| outcome.is_none()).count(),
            outcomes,
            started: calls.iter().map(|call| call.begun.is_some()).collect(),
            starts: calls.iter().map(starts).collect(),
            once: calls.iter().map(once).collect(),
            consents: Consents::new(calls),
            calls: Arc::clone(calls),
        }
    }

    /// Its calls, in order.
    pub fn calls(&self) -> &Arc<[AskedCall]> {
        &self.calls
    }

    /// Where the call `ordinal` stands: what its key says of it.
    pub fn place_of(&self, ordinal: u32) -> Option<Place> {
        let call = self.calls.get(ordinal as usize)?;
        let own = Place { reply_attempt: self.reply_attempt, ordinal };
        Some(call.begun.unwrap_or(own))
    }

    /// Which of its calls began, or is to begin, at `place`.
    pub fn ordinal_of(&self, place: Place) -> Option<usize> {
        let own = place.ordinal as usize;
        let is_own = |call: &AskedCall| call.begun.is_none_or(|begun| begun == place);
        if place.reply_attempt == self.reply_attempt && self.calls.get(own).is_some_and(is_own) {
            return Some(own);
        }
        self.calls.iter().position(|call| call.begun == Some(place))
    }

    /// The call at `place`.
    pub fn call_at(&self, place: Place) -> Option<&AskedCall> {
        self.calls.get(self.ordinal_of(place)?)
    }

    /// Says whether the call at `place` waits for its answer.
    pub fn is_unanswered(&self, place: Place) -> bool {
        self.ordinal_of(place).is_some_and(|ordinal| self.outcomes[ordinal].is_none())
    }

    /// The calls that wait for their answers, in order.
    pub fn unanswered(&self) -> impl Iterator<Item = Place> {
        let ordinals = (0u32..).zip(&self.outcomes).filter(|(_, outcome)| outcome.is_none());
        ordinals.filter_map(|(ordinal, _)| self.place_of(ordinal))
    }

    /// Says whether every call is answered.
    pub fn is_over(&self) -> bool {
        self.unanswered == 0
    }

    /// How the call `ordinal` ended.
    pub fn outcome_of(&self, ordinal: u32) -> Option<&Outcome> {
        self.outcomes.get(ordinal as usize)?.as_ref()
    }

    /// The calls and how they ended, in order.
    pub fn answers(&self) -> impl Iterator<Item = (&AskedCall, Option<&Outcome>)> {
        self.calls.iter().zip(self.outcomes.iter().map(Option::as_ref))
    }

    /// Says whether the call at `place` has begun in this process.
    pub fn has_started(&self, place: Place) -> bool {
        self.ordinal_of(place).is_some_and(|ordinal| self.started[ordinal])
    }

    /// How often the call at `place` has begun.
    pub fn starts(&self, place: Place) -> u32 {
        self.ordinal_of(place).map_or(0, |ordinal| self.starts[ordinal])
    }

    /// Says whether the call at `place` has begun as one that is never run again.
    pub fn began_once(&self, place: Place) -> bool {
        self.ordinal_of(place).is_some_and(|ordinal| self.once[ordinal])
    }

    /// The call at `place` begins, as one that is never run again if it is to run `once`.
    pub fn start(&mut self, place: Place, once: bool) {
        if let Some(ordinal) = self.ordinal_of(place) {
            self.started[ordinal] = true;
            self.starts[ordinal] += 1;
            self.once[ordinal] |= once;
        }
    }

    /// Says whether the call `ordinal` has neither begun in this process nor ended.
    pub fn is_to_begin(&self, ordinal: usize) -> bool {
        let has_ended = self.outcomes.get(ordinal).is_none_or(Option::is_some);
        !has_ended && !self.started[ordinal]
    }

    /// What a person has said of the call `ordinal`.
    pub fn consent_to(&self, ordinal: usize) -> &Consent {
        self.consents.of(ordinal)
    }

    /// A person is asked about the call at `place`.
    pub fn ask(&mut self, place: Place) {
        if let Some(ordinal) = self.ordinal_of(place) {
            self.consents.ask(ordinal);
        }
    }

    /// A person has decided about the call at `place`. Says whether that makes a difference.
    pub fn decide(&mut self, place: Place, decision: &Decision) -> bool {
        let Some(ordinal) = self.ordinal_of(place).filter(|it| self.is_to_begin(*it)) else {
            return false;
        };
        self.consents.decide(ordinal, decision);
        true
    }

    /// Nothing runs any more, and nobody who was asked is there: what has not been answered is to begin
    /// anew.
    pub fn stand_still(&mut self) {
        self.consents.ask_anew();
        for (started, outcome) in self.started.iter_mut().zip(&self.outcomes) {
            *started &= outcome.is_some();
        }
    }

    /// The call at `place` ended with `outcome`. The first end counts; of it, this is the call.
    pub fn end(&mut self, place: Place, outcome: &Outcome) -> Option<&AskedCall> {
        let ordinal = self.ordinal_of(place)?;
        let slot @ None = self.outcomes.get_mut(ordinal)? else { return None };
        *slot = Some(outcome.clone());
        self.unanswered -= 1;
        self.calls.get(ordinal)
    }

    /// What is to run now: in parallel mode all calls, in sequential mode the first unanswered one.
    pub fn next(&self) -> Action {
        let calls = match self.mode {
            Mode::Parallel => Some(0..u32::try_from(self.calls.len()).unwrap_or(u32::MAX)),
            Mode::Sequential => {
                let first = (0u32..).zip(&self.outcomes).find(|(_, outcome)| outcome.is_none());
                first.map(|(ordinal, _)| ordinal..ordinal + 1)
            }
        };
        calls.map_or(Action::Wait, Action::RunCalls)
    }

    /// What is to run after the end of a call that was not the last one.
    pub fn after_an_end(&self) -> Action {
        match self.mode {
            Mode::Parallel => Action::Wait,
            // A call was answered before its turn came: another one still runs.
            Mode::Sequential if self.is_running() => Action::Wait,
            Mode::Sequential => self.next(),
        }
    }

    /// Says whether a call has started and waits for its answer.
    fn is_running(&self) -> bool {
        let mut calls = self.started.iter().zip(&self.outcomes);
        calls.any(|(started, outcome)| *started && outcome.is_none())
    }
}
