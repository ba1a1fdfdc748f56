//! A session as a fold over its events, and what each event asks to be done next.

mod approval;

use std::ops::Range;
use std::sync::Arc;

pub use self::approval::Due;
use super::budget::{Spending, Whose};
use super::compaction::{Scale, cut};
use super::round::Round;
use super::wrapper::combined;
use super::{
    Approved, AskedCall, Budgets, ContextBudget, Cut, EarlyCall, EarlyCalls, Event, Limits, Mode,
    Orphan, Outcome, OutcomeKind, Place, Problem, Repetition, Room, TooLong, Transcript, TurnEnd,
};
use crate::sabotage::{self, Sabotage};
use crate::wire::Usage;

/// Something to do. The coordinator carries it out; nothing else has effects.
#[derive(Clone, Debug, PartialEq, Eq)]
#[must_use = "an action that is not carried out stalls the session"]
pub enum Action {
    /// Ask the model to go on; record [`Event::ModelAsked`] with these numbers first.
    AskModel {
        /// The round that begins if the reply asks for tools.
        round: u64,
        /// Which try of the reply.
        attempt: u32,
    },
    /// Run the calls with these ordinals that are not answered yet, at the same time. What is to be
    /// recorded for each of them first, [`SessionState::due`] says: [`Event::CallStarted`], or that a
    /// person is asked, or that it does not run.
    RunCalls(Range<u32>),
    /// Record [`Event::TurnEnded`] with this end.
    EndTurn(TurnEnd),
    /// Nothing, until the next event.
    Wait,
}

/// Whose time has passed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Expired {
    /// One call's.
    Call,
    /// The round's.
    Round,
    /// The turn's.
    Turn,
}

impl Expired {
    fn as_str(self) -> &'static str {
        match self {
            Self::Call => "call",
            Self::Round => "round",
            Self::Turn => "turn",
        }
    }
}

/// What a session knows. Feeding it the journal's events in order rebuilds it.
#[derive(Clone, Debug, Default)]
pub struct SessionState {
    transcript: Transcript,
    turns: u64,
    rounds: u64,
    max_rounds: u32,
    max_identical_calls: u32,
    budgets: Budgets,
    spent: Spending,
    /// The store has results that were too large for the model.
    stored_results: bool,
    /// The size of the history when the model was asked last.
    asked_bytes: usize,
    /// Such a size, and the tokens of the request as its provider counted them; the last there is.
    counted: Option<(usize, u64)>,
    /// By a person, for the rest of the session.
    approved: Approved,
    turn: Option<Turn>,
}

/// The turn that is under way.
#[derive(Clone, Debug, Default)]
struct Turn {
    rounds: u32,
    /// Calls of its replies that were not refused.
    calls: u32,
    spent: Spending,
    /// Which try of the reply that is awaited was asked for last; 0 if none was.
    attempt: u32,
    /// The history was compacted for the next request.
    compacted: bool,
    /// The model has answered.
    answered: bool,
    /// Calls of the reply that is still being written.
    early: EarlyCalls,
    round: Option<Round>,
    /// What its rounds so far had in common.
    repetition: Repetition,
}

impl SessionState {
    /// A session without a past. A turn may have `max_rounds` rounds, and go on as it likes else.
    #[must_use]
    pub fn new(max_rounds: u32) -> Self {
        Self { max_rounds, ..Self::default() }
    }

    /// A session without a past, with these limits and budgets.
    #[must_use]
    pub fn within(limits: &Limits, budgets: &Budgets) -> Self {
        let max_identical_calls = limits.max_identical_calls;
        Self { budgets: *budgets, max_identical_calls, ..Self::new(limits.max_rounds) }
    }

    /// The conversation. Between the events of a round it holds no answer of that round yet; all of
    /// them enter at once, in the order of the calls.
    #[must_use]
    pub fn transcript(&self) -> &Transcript {
        &self.transcript
    }

    /// How many turns have begun.
    #[must_use]
    pub fn turns(&self) -> u64 {
        self.turns
    }

    /// The number of the last round that began.
    #[must_use]
    pub fn rounds(&self) -> u64 {
        self.rounds
    }

    /// The number of the round that calls belong to now: of the one under way, or of the one that
    /// begins if the next reply asks for calls.
    #[must_use]
    pub fn round_number(&self) -> u64 {
        if self.round().is_some() { self.rounds } else { self.rounds + 1 }
    }

    /// The tokens of all replies, also of those that came to nothing, as far as they were counted.
    #[must_use]
    pub fn usage(&self) -> Usage {
        self.spent.usage()
    }

    /// Why the model is not asked any more: the budget of the turn under way, or that of the session,
    /// is used up. `None` as long as it may be asked.
    #[must_use]
    pub fn used_up(&self) -> Option<Problem> {
        self.used_up_with(|_| {})
    }

    /// The same once a reply has come that was counted so.
    #[must_use]
    pub fn used_up_by_reply(&self, usage: Option<Usage>) -> Option<Problem> {
        self.used_up_with(|spent| spent.add_reply(usage))
    }

    /// The same once a reply has come to nothing that was counted so.
    #[must_use]
    pub fn used_up_by_failure(&self, usage: Option<Usage>) -> Option<Problem> {
        self.used_up_with(|spent| spent.add_failure(usage))
    }

    /// Why no turn may begin: the budget of the session is used up.
    #[must_use]
    pub fn session_used_up(&self) -> Option<Problem> {
        self.spent.uses_up(&self.budgets.session, Whose::Session)
    }

    fn used_up_with(&self, more: impl Fn(&mut Spending)) -> Option<Problem> {
        let with_more = |spent: &Spending| {
            let mut spent = *spent;
            more(&mut spent);
            spent
        };
        let Budgets { turn, session } = &self.budgets;
        let of_turn = self.turn.as_ref();
        let of_turn = of_turn.and_then(|own| with_more(&own.spent).uses_up(turn, Whose::Turn));
        of_turn.or_else(|| with_more(&self.spent).uses_up(session, Whose::Session))
    }

    fn spend(&mut self, add: impl Fn(&mut Spending)) {
        add(&mut self.spent);
        if let Some(turn) = &mut self.turn {
            add(&mut turn.spent);
        }
    }

    /// Says whether the store has results that were too large for the model.
    #[must_use]
    pub fn has_stored_results(&self) -> bool {
        self.stored_results
    }

    /// What is to leave the history before the model is asked next, with `tools_bytes` of tools beside
    /// it: `why` says how it is known that it is too long. `None` if it may stay as it is, if nothing
    /// can leave it, and if something just has.
    #[must_use]
    pub fn compaction(
        &self,
        budget: &ContextBudget,
        tools_bytes: usize,
        why: TooLong,
    ) -> Option<Cut> {
        if self.turn.as_ref().is_none_or(|turn| turn.compacted || turn.round.is_some()) {
            return None;
        }
        let counted = self.counted.map(|(bytes, tokens)| (bytes + tools_bytes, tokens));
        cut(&self.transcript, tools_bytes, budget, Scale::of(counted), why)
    }

    /// The messages that the summary of what `cut` drops is made from, as they travel.
    #[must_use]
    pub fn to_summarise(&self, cut: &Cut) -> String {
        self.transcript.first(cut.summarised())
    }

    /// Says whether a turn is under way.
    #[must_use]
    pub fn is_busy(&self) -> bool {
        self.turn.is_some()
    }

    /// How many rounds the turn may still begin.
    #[must_use]
    pub fn rounds_left(&self) -> u32 {
        self.max_rounds.saturating_sub(self.turn.as_ref().map_or(0, |turn| turn.rounds))
    }

    /// What the turn has left when the calls of its next reply are judged.
    #[must_use]
    pub fn room(&self, limits: &Limits) -> Room<'_> {
        let (rounds, turn) = (self.rounds_left(), self.turn.as_ref());
        let calls = limits.max_calls.saturating_sub(turn.map_or(0, |turn| turn.calls));
        Room { rounds, calls, repetition: turn.map(|turn| &turn.repetition) }
    }

    /// The calls of the round under way; none between rounds.
    #[must_use]
    pub fn calls(&self) -> Option<&Arc<[AskedCall]>> {
        Some(self.round()?.calls())
    }

    /// The calls of the reply that is still being written and have begun.
    #[must_use]
    pub fn early(&self) -> Option<&EarlyCalls> {
        let turn = self.turn.as_ref()?;
        turn.round.is_none().then_some(&turn.early)
    }

    /// Where the call `ordinal` of the round under way stands: what its key says of it.
    #[must_use]
    pub fn place_of(&self, ordinal: u32) -> Option<Place> {
        self.round()?.place_of(ordinal)
    }

    /// The place in the reply of the call that began, or is to begin, at `place` in the round under way.
    #[must_use]
    pub fn ordinal_at(&self, place: Place) -> Option<u32> {
        u32::try_from(self.round()?.ordinal_of(place)?).ok()
    }

    /// Says whether the call at `place`, of the round under way or of the reply that is still being
    /// written, waits for its answer.
    #[must_use]
    pub fn is_unanswered(&self, place: Place) -> bool {
        match self.round() {
            Some(round) => round.is_unanswered(place),
            None => self.early().and_then(|early| early.get(place)).is_some_and(is_running),
        }
    }

    /// Says whether the call at `place` is on record as started.
    #[must_use]
    pub fn has_started(&self, place: Place) -> bool {
        match self.round() {
            Some(round) => round.has_started(place),
            None => self.early().is_some_and(|early| early.get(place).is_some()),
        }
    }

    /// How often the call at `place` has begun, by the record: more than once if the process ended while
    /// it ran.
    #[must_use]
    pub fn starts(&self, place: Place) -> u32 {
        match self.round() {
            Some(round) => round.starts(place),
            None => self.early().and_then(|early| early.get(place)).map_or(0, |call| call.starts),
        }
    }

    /// Says whether the call at `place` of the round under way has begun as one that is never run again.
    #[must_use]
    pub fn began_once(&self, place: Place) -> bool {
        match self.round() {
            Some(round) => round.began_once(place),
            None => self.early().and_then(|early| early.get(place)).is_some_and(|call| call.once),
        }
    }

    /// How the call `ordinal` of the round under way ended.
    #[must_use]
    pub fn outcome_of(&self, ordinal: u32) -> Option<&Outcome> {
        self.round()?.outcome_of(ordinal)
    }

    /// The calls that wait for their answers, in order: those of the round under way, or those that
    /// have begun of the reply that is still being written.
    pub fn unanswered(&self) -> impl Iterator<Item = Place> + '_ {
        let in_round = self.round().into_iter().flat_map(Round::unanswered);
        let early = self.early().into_iter().flat_map(EarlyCalls::running);
        in_round.chain(early.map(|call| call.place))
    }

    /// The id on the wire and the tool of the call at `place`.
    #[must_use]
    pub fn call_at(&self, place: Place) -> Option<(&Arc<str>, &Arc<str>)> {
        match self.round() {
            Some(round) => round.call_at(place).map(|call| (&call.id, &call.tool)),
            None => self.early()?.get(place).map(|call| (&call.id, &call.tool)),
        }
    }

    /// The `outcome` that the call at `place` is about to end with, as the model is told it: with a note
    /// if the call has repeated itself as often as it may.
    #[must_use]
    pub fn noted(&self, place: Place, outcome: Outcome) -> Outcome {
        let Some(turn) = &self.turn else { return outcome };
        let call = match &turn.round {
            Some(round) => round.call_at(place).map(|call| (&call.tool, &call.arguments)),
            None => turn.early.get(place).map(|call| (&call.tool, &call.arguments)),
        };
        let Some((tool, arguments)) = call else { return outcome };
        turn.repetition.noted(tool, arguments, outcome, self.max_identical_calls)
    }

    /// Takes in `event` and says what to do now. A late or repeated answer asks for nothing.
    pub fn on(&mut self, event: &Event) -> Action {
        match event {
            Event::SessionOpened { system, history } => {
                if let Some(system) = system {
                    self.transcript.push_system(system);
                }
                if let Some(history) = history {
                    self.transcript.push_given(history);
                }
                Action::Wait
            }
            Event::TurnStarted { turn, prompt, goes_on, .. } => {
                self.turns = *turn;
                self.turn = Some(Turn::default());
                if !goes_on {
                    self.transcript.push_user(prompt);
                }
                self.next_step()
            }
            Event::Replied {
                round, attempt, message, origin, calls, mode, orphans, usage, ..
            } => {
                let message = (&**message, origin.as_ref());
                self.on_reply((*round, *attempt), message, orphans, calls, *mode, *usage)
            }
            Event::CallEnded { round, reply_attempt, ordinal, outcome, .. } => {
                self.stored_results |= outcome.stored.is_some();
                let (reply_attempt, ordinal) = (*reply_attempt, *ordinal);
                self.on_call_ended(*round, Place { reply_attempt, ordinal }, outcome)
            }
            Event::ModelFailed { usage, .. } => {
                self.spend(|spent| spent.add_failure(*usage));
                Action::Wait
            }
            Event::TurnEnded { usage, orphans, .. } => {
                self.spend(|spent| spent.add_failure(*usage));
                self.push_orphans(orphans);
                self.spend_round();
                self.turn = None;
                Action::Wait
            }
            Event::CallStarted { round, reply_attempt, ordinal, id, tool, arguments, once } => {
                let (reply_attempt, ordinal) = (*reply_attempt, *ordinal);
                let place = Place { reply_attempt, ordinal };
                if *round != self.round_number() {
                    return Action::Wait; // Of a round that is over.
                }
                match arguments {
                    Some(arguments) => self.begin_early(EarlyCall {
                        place,
                        id: Arc::clone(id),
                        tool: Arc::clone(tool),
                        arguments: Arc::clone(arguments),
                        starts: 1,
                        once: *once,
                        outcome: None,
                    }),
                    None => self.on_call_started(place, *once),
                }
                Action::Wait
            }
            Event::ApprovalAsked { round, reply_attempt, ordinal, .. } => {
                let (reply_attempt, ordinal) = (*reply_attempt, *ordinal);
                self.on_approval_asked(*round, Place { reply_attempt, ordinal });
                Action::Wait
            }
            Event::ApprovalDecided {
                round,
                reply_attempt,
                ordinal,
                tool,
                decision,
                for_session,
                ..
            } => {
                if *for_session {
                    self.approved.add(tool);
                }
                let (reply_attempt, ordinal) = (*reply_attempt, *ordinal);
                self.on_approval_decided(*round, Place { reply_attempt, ordinal }, decision)
            }
            Event::ContextCompacted { dropped, summary, usage, .. } => {
                match summary {
                    Some(_) => self.spend(|spent| spent.add_reply(*usage)),
                    None => self.spend(|spent| spent.add_failure(*usage)),
                }
                self.transcript.compact(dropped, summary.as_deref());
                let Some(turn) = self.turn.as_mut().filter(|turn| turn.round.is_none()) else {
                    return Action::Wait;
                };
                turn.compacted = true;
                self.next_step()
            }
            Event::ModelAsked { attempt, .. } => {
                self.asked_bytes = self.transcript.as_bytes().len();
                if let Some(turn) = self.turn.as_mut().filter(|turn| turn.round.is_none()) {
                    (turn.attempt, turn.compacted) = (*attempt, false);
                }
                Action::Wait
            }
            Event::TurnResumed { .. } => self.on_resumed(),
            Event::SummaryAsked { .. }
            | Event::TextStreamed { .. }
            | Event::ReasoningStreamed { .. }
            | Event::CallProgressed { .. }
            | Event::CallQueued { .. }
            | Event::CallRetried { .. }
            | Event::WorkerRestarted { .. }
            | Event::CircuitOpened { .. }
            | Event::CircuitClosed { .. }
            | Event::Unknown(_) => Action::Wait,
        }
    }

    fn on_reply(
        &mut self,
        (number, reply_attempt): (u64, u32),
        (message, origin): (&str, Option<&Arc<str>>),
        orphans: &[Orphan],
        calls: &Arc<[AskedCall]>,
        mode: Mode,
        usage: Option<Usage>,
    ) -> Action {
        let is_awaited = self.turn.as_ref().is_some_and(|turn| turn.round.is_none());
        if !is_awaited || number != self.rounds + 1 {
            return Action::Wait; // A second reply to the same question.
        }
        self.push_orphans(orphans);
        self.transcript.push_assistant(message, origin);
        if let Some(usage) = usage.filter(|usage| usage.input_tokens > 0) {
            self.counted = Some((self.asked_bytes, usage.input_tokens));
        }
        self.spend(|spent| spent.add_reply(usage));
        if calls.is_empty() {
            self.spend_round();
        }
        let Some(turn) = &mut self.turn else {
            return Action::Wait;
        };
        turn.attempt = 0;
        if calls.is_empty() {
            turn.answered = true;
            return self.next_step();
        }
        self.rounds = number;
        turn.rounds += 1;
        let allowed = calls.iter().filter(|call| call.refused.is_none()).count();
        turn.calls = turn.calls.saturating_add(u32::try_from(allowed).unwrap_or(u32::MAX));
        let early = std::mem::take(&mut turn.early);
        let round = turn.round.insert(Round::new(mode, reply_attempt, calls, &early));
        if round.is_over() { self.end_round() } else { round.next() }
    }

    fn begin_early(&mut self, call: EarlyCall) {
        if let Some(turn) = self.turn.as_mut().filter(|turn| turn.round.is_none()) {
            turn.early.begin(call);
        }
    }

    /// Calls that began early have used the round's number, also if no reply ever asked for them. There
    /// is nothing more to say of them.
    fn spend_round(&mut self) {
        let Some(turn) = self.turn.as_mut().filter(|turn| turn.round.is_none()) else { return };
        if !std::mem::take(&mut turn.early).is_empty() {
            self.rounds += 1;
        }
    }

    /// Tells the model of calls that no reply asks for, and what became of them.
    fn push_orphans(&mut self, orphans: &[Orphan]) {
        let Some(early) = self.turn.as_ref().map(|turn| &turn.early) else { return };
        let begun = orphans.iter().map(|orphan| Some((orphan, early.get(orphan.place)?)));
        let begun: Vec<_> = begun.flatten().collect();
        self.transcript.push_orphans(&begun);
    }

    fn on_call_started(&mut self, place: Place, once: bool) {
        if let Some(round) = self.turn.as_mut().and_then(|turn| turn.round.as_mut()) {
            round.start(place, once);
        }
    }

    /// Whatever was under way is not any more: what has not been answered is to begin anew.
    fn on_resumed(&mut self) -> Action {
        if let Some(round) = self.turn.as_mut().and_then(|turn| turn.round.as_mut()) {
            round.stand_still();
        }
        self.next_step()
    }

    /// What is to be done where nothing is under way.
    fn next_step(&self) -> Action {
        let Some(turn) = &self.turn else { return Action::Wait };
        if let Some(round) = &turn.round {
            return round.next();
        }
        if turn.answered {
            return Action::EndTurn(TurnEnd::Answered);
        }
        if turn.rounds > self.max_rounds {
            let problem = Problem {
                code: "max_rounds".into(),
                message: format!("no answer after {} rounds", self.max_rounds),
            };
            return Action::EndTurn(TurnEnd::Failed { problem });
        }
        let is_loop = || turn.repetition.problem(self.max_identical_calls);
        if let Some(problem) = self.used_up().or_else(is_loop) {
            return Action::EndTurn(TurnEnd::Failed { problem });
        }
        Action::AskModel { round: self.rounds + 1, attempt: turn.attempt + 1 }
    }

    fn on_call_ended(&mut self, number: u64, place: Place, outcome: &Outcome) -> Action {
        if number != self.round_number() {
            return Action::Wait; // News of a round that is over.
        }
        let Some(turn) = &mut self.turn else { return Action::Wait };
        let Some(round) = &mut turn.round else {
            turn.early.end(place, outcome);
            return Action::Wait; // Whether anybody asks for it, the rest of the reply will tell.
        };
        let Some(call) = round.end(place, outcome) else {
            return Action::Wait; // The reply does not ask for it, or it is answered already.
        };
        if sabotage::is(Sabotage::CompletionOrder) {
            self.transcript.push_tool_result(&call.id, &outcome.content);
        }
        if round.is_over() { self.end_round() } else { round.after_an_end() }
    }

    /// Puts every answer into the transcript, in the order of the calls, however they finished.
    fn end_round(&mut self) -> Action {
        let Some(turn) = &mut self.turn else {
            return Action::Wait;
        };
        let Some(round) = turn.round.take() else {
            return Action::Wait;
        };
        let answers = round.answers().filter(|(call, outcome)| !is_left_out(call, *outcome));
        let answers: Vec<(&AskedCall, Option<&Outcome>)> = answers.collect();
        for parts in answers.chunk_by(|(one, _), (next, _)| are_of_one_wrapper(one, next)) {
            let (call, outcome) = parts[0];
            match &call.part_of {
                Some(wrapper) => self.transcript.push_tool_result(wrapper, &combined(parts)),
                None => {
                    let content = outcome.map_or("", |outcome| &outcome.content);
                    self.transcript.push_tool_result(&call.id, content);
                }
            }
        }
        turn.repetition.on_round(round, self.max_identical_calls);
        self.next_step()
    }

    fn round(&self) -> Option<&Round> {
        self.turn.as_ref()?.round.as_ref()
    }
}

fn is_running(call: &EarlyCall) -> bool {
    call.outcome.is_none()
}

/// The outcome of a call whose time has passed.
#[must_use]
pub fn timed_out(whose: Expired) -> (OutcomeKind, String) {
    let message = format!("no result within the {}'s time limit", whose.as_str());
    (OutcomeKind::TimedOut, message)
}

/// Says whether sabotage keeps the answer out of the history, or has put it there already.
fn is_left_out(call: &AskedCall, outcome: Option<&Outcome>) -> bool {
    let is_ok = outcome.is_some_and(Outcome::is_ok);
    (sabotage::is(Sabotage::AnswerMissing) && !is_ok)
        || (sabotage::is(Sabotage::CompletionOrder) && call.refused.is_none())
}

fn are_of_one_wrapper(one: &AskedCall, other: &AskedCall) -> bool {
    one.part_of.is_some() && one.part_of == other.part_of
}

#[cfg(test)]
mod tests;
