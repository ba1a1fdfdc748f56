//! A turn that was cut when its process ended: it goes on where it was, by a plan that is recorded
//! before anything runs; or it is ended, and nothing of it runs.

use std::sync::Arc;
use std::time::Duration;

use tokio::time::Instant;

use super::coordinator::Coordinator;
use super::past_turn::PastTurn;
use super::recovery::Asker;
use super::ticket::{Given, Reply};
use super::{Answer, Cause, Error, FailedTurn, TurnReport};
use crate::conversation::{
    Action, CallTimes, Effects, Event, Outcome, OutcomeKind, Place, Record, ResumePlan, SessionId,
    TurnEnd,
};
use crate::supervision::RoundReports;
use crate::tools::{Blame, Trip};

/// What is on record of a turn that was cut.
pub(super) struct CutOpen {
    /// From the turn's beginning on.
    records: Vec<Record>,
    /// What the record asks for.
    pub wish: Action,
}

impl CutOpen {
    /// The last turn of `records`, whose state asks for `wish`.
    pub fn new(records: &[Record], wish: Action) -> Self {
        Self { records: last_turn(records).to_vec(), wish }
    }
}

/// The records from the beginning of the last turn on.
fn last_turn(records: &[Record]) -> &[Record] {
    let is_start = |record: &Record| matches!(record.event, Event::TurnStarted { .. });
    let start = records.iter().rposition(is_start).unwrap_or_default();
    &records[start..]
}

impl Coordinator {
    /// Goes on with the turn that was cut.
    pub(super) fn resume(&mut self, cut: CutOpen, given: Given, reply: Reply) {
        self.take_up_tools(); // They may have come since the session was opened.
        let effects = |tool: &str| {
            Some(self.options.with_reader(&self.tools, &self.state).get(tool)?.declared_effects())
        };
        let blocker = self.blocker.take();
        if let Some(tool) = blocker.as_deref().and_then(|tool| self.tools.get(tool)) {
            // It would hold the next thread, too.
            let cool_down = self.options.supervision.cool_down;
            let (cause, blame) = ("it blocked its thread".into(), Blame::Tool);
            let trip = Trip { cause, cool_down, blame };
            tool.shared().on_block(Instant::now(), trip);
        }
        let Some(plan) = ResumePlan::without(blocker.as_deref(), &self.state, &effects) else {
            return self.tell_last_answer(reply);
        };
        reply.mark_begun(plan.turn);
        let PastTurn { usage, model, reply: answer, time_used, .. } = PastTurn::of(&cut.records);
        let now = Instant::now();
        let limits = &self.options.limits;
        let mut turn =
            self.new_turn(plan.turn, given, left(limits.turn_time_limit, time_used.turn));
        turn.began = now.checked_sub(time_used.elapsed).unwrap_or(now);
        if let Some(used) = time_used.round {
            turn.round_end(now, left(limits.round_time_limit, used));
        }
        (turn.usage, turn.model_name) = (usage, model);
        turn.answer = answer.filter(|_| plan.next == Action::EndTurn(TurnEnd::Answered));
        turn.model_index = self.model_of(&cut.records);
        let asker = Asker {
            reply,
            turn: plan.turn,
            after: cut.records.first().map_or(self.seq, |first| first.seq - 1),
            began: turn.began,
            end_awaited: Vec::new(),
        };
        turn.records.push(Arc::new(cut.records));
        (self.turn, self.asker) = (Some(Box::new(turn)), Some(asker));
        drop(self.new_reports()); // Of rounds that ended before.
        self.record(plan.events());
    }

    /// Which of the session's models was asked last.
    fn model_of(&self, records: &[Record]) -> usize {
        let asked = records.iter().rev().find_map(|record| match &record.event {
            Event::ModelAsked { model, .. } => Some(model.as_deref()),
            _ => None,
        });
        let Some(Some(name)) = asked else { return 0 };
        self.options.models.iter().position(|model| model.name() == name).unwrap_or_default()
    }

    /// What is recorded to end a turn that was cut: each of its calls is answered, and none runs.
    pub(super) fn ends_of_cut(&self, wish: Action) -> Vec<Event> {
        let cut = match self.is_cut_by_panic() {
            true => TurnEnd::Failed { problem: Cause::Crashed.problem() },
            false => TurnEnd::Cancelled,
        };
        let mut events: Vec<Event> =
            self.state.unanswered().map(|place| self.lost_call(place)).collect();
        let end = match wish {
            Action::EndTurn(end) => end, // Only its last step was missing.
            Action::AskModel { .. } | Action::RunCalls(_) | Action::Wait => cut,
        };
        let (turn, usage, orphans) = (self.state.turns(), None, self.orphans(None));
        events.push(Event::TurnEnded { turn, end, usage, orphans });
        events
    }

    /// The end of a call that the last process, or a panic in this one, left open.
    fn lost_call(&self, place: Place) -> Event {
        let call = self.state.call_at(place);
        let tool =
            call.and_then(|(_, tool)| self.options.with_reader(&self.tools, &self.state).get(tool));
        let effects = match tool {
            Some(tool) if !self.state.began_once(place) => tool.declared_effects(),
            _ => Effects::Once,
        };
        let started = self.state.starts(place) > 0;
        let what = match self.is_cut_by_panic() {
            true => "the session's coordinator panicked",
            false => "the process ended",
        };
        let (kind, when) = match started {
            true => (OutcomeKind::UnknownOutcome, "while the call ran"),
            false => (OutcomeKind::Cancelled, "before the call began"),
        };
        let outcome = Outcome::broken_off(kind, &format!("{what} {when}"), effects, started);
        self.call_ended(place, outcome, CallTimes::default())
    }

    /// Answers with what the last turn that was answered came to.
    pub(super) fn tell_last_answer(&self, reply: Reply) {
        let is_answer = |record: &Record| {
            matches!(record.event, Event::TurnEnded { end: TurnEnd::Answered, .. })
        };
        self.tell_from_record(reply, is_answer);
    }

    /// Answers with what the turn `number`, which is over, came to.
    pub(super) fn tell_answer_of(&self, number: u64, reply: Reply) {
        let is_its_end = move |record: &Record| matches!(record.event, Event::TurnEnded { turn, .. } if turn == number);
        self.tell_from_record(reply, is_its_end);
    }

    /// Answers with what the last turn came to whose end is what `is_end` says.
    fn tell_from_record(&self, reply: Reply, is_end: impl Fn(&Record) -> bool + 'static) {
        let (id, reading) = (self.id.clone(), self.journal.read(&self.id, 0));
        let model = self.options.models[0].name().into();
        actix_rt::spawn(async move {
            let read = reading.await.map_err(Error::Store);
            reply.send(read.and_then(|records| {
                let end = records.iter().rposition(is_end).ok_or(Error::NoAnswer)?;
                came_to(id, model, last_turn(&records[..=end]))
            }));
        });
    }
}

/// So much is left of `limit`.
fn left(limit: Duration, used: Duration) -> Duration {
    limit.saturating_sub(used)
}

/// What the turn that `records` are of came to.
fn came_to(session: SessionId, model: Arc<str>, records: &[Record]) -> Result<Answer, Error> {
    let past = PastTurn::of(records);
    let report = TurnReport {
        session,
        model: past.model.unwrap_or(model),
        elapsed: past.time_used.elapsed,
        usage: past.usage,
        rounds: RoundReports::new(vec![Arc::new(records.to_vec())], None),
    };
    let cause = match past.end {
        Some(TurnEnd::Answered) => {
            let (text, finish) = past.reply.ok_or(Error::NoAnswer)?;
            return Ok(Answer { text, finish, report });
        }
        Some(TurnEnd::Cancelled) => Cause::Cancelled,
        Some(TurnEnd::TimedOut) => Cause::TimedOut,
        Some(TurnEnd::Failed { problem }) => Cause::of(&problem).unwrap_or(Cause::Crashed),
        None => Cause::Crashed,
    };
    Err(Error::Turn(Box::new(FailedTurn { cause, report })))
}
