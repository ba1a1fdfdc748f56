//! How calls, rounds and turns end that do not end by themselves, and what is said of a turn that
//! is over.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use tokio::time::Instant;

use super::coordinator::Coordinator;
use super::flight::{Flight, InFlight};
use super::ticket::Reply;
use super::{Answer, Cause, Error, FailedTurn, TurnReport};
use crate::conversation::{
    Effects, Event, Expired, NotDecided, Outcome, OutcomeKind, Place, TurnEnd, timed_out,
};
use crate::store;
use crate::supervision::{RoundReport, RoundReported, RoundReports};
use crate::tools::later;
use crate::wire::Usage;

impl Coordinator {
    /// The timer rang: sees whose time has passed.
    pub(super) fn expire(&mut self) {
        let Some(turn) = &mut self.turn else { return };
        let now = Instant::now();
        // While a person is awaited, only calls have deadlines.
        let goes_on = !turn.stands_still();
        if turn.deadline <= now && goes_on {
            return self.break_off(Cause::TimedOut);
        }
        let is_late = |deadline: Instant| deadline <= now && goes_on;
        let round_is_over = turn.round_deadline.is_some_and(is_late);
        match round_is_over {
            true => turn.flight.stop(), // Some may have more time of their own.
            false => turn.flight.give_up_late(now),
        }
        let expired = if round_is_over { Expired::Round } else { Expired::Call };
        let (kind, message) = timed_out(expired);
        // Of a round that is over also those that were not handed to their workers.
        let is_late =
            |call: Option<&InFlight>| round_is_over || call.is_some_and(|call| !call.is_awaited());
        let events = self.ends_of_unanswered(kind, &message, &is_late);
        self.record(events);
        if let Some(turn) = &mut self.turn {
            let next_try = turn.next_try.as_ref().map(|next| next.at);
            let [turn_ends, round_ends] =
                [Some(turn.deadline), turn.round_deadline].map(|end| end.filter(|_| goes_on));
            let dues = [turn.flight.next_deadline(), turn_ends, round_ends, next_try];
            // What was due has been seen to, or is by the next step; what has become due since rings at once.
            let dues = dues.into_iter().flatten().filter(|due| *due > now);
            let next = dues.fold(later(now, self.heartbeat), Instant::min);
            turn.set_timer(next);
        }
    }

    /// The ends of the unanswered calls that `which` says of; it is shown what their workers have.
    fn ends_of_unanswered(
        &self,
        kind: OutcomeKind,
        message: &str,
        which: &dyn Fn(Option<&InFlight>) -> bool,
    ) -> Vec<Event> {
        let Some(turn) = &self.turn else {
            return Vec::new();
        };
        let in_flight: HashMap<Place, &InFlight> =
            turn.flight.all().map(|call| (call.place(), call)).collect();
        let end = |place: Place| {
            let call = in_flight.get(&place).copied();
            which(call).then(|| self.end_of_unanswered(place, call, kind, message))
        };
        self.state.unanswered().filter_map(end).collect()
    }

    /// The end of the call at `place`, that nobody waits for any more; `call` is what its worker has.
    pub(super) fn end_of_unanswered(
        &self,
        place: Place,
        call: Option<&InFlight>,
        kind: OutcomeKind,
        message: &str,
    ) -> Event {
        let Some(call) = call else {
            // Not handed to its worker yet.
            let outcome = Outcome::broken_off(kind, message, Effects::None, false);
            return self.call_ended(place, outcome, self.times_of_wait(place));
        };
        let began = call.context.began().is_some();
        let outcome = Outcome::broken_off(kind, message, call.effects, began);
        let times = self.times_until_now(call);
        self.call_ended(place, outcome, times)
    }

    /// Ends the turn now: stops what runs, answers every call, and records the end.
    pub(super) fn break_off(&mut self, cause: Cause) {
        let (kind, message) = match &cause {
            Cause::TimedOut => timed_out(Expired::Turn),
            Cause::ShutDown => (OutcomeKind::Cancelled, "the runtime was shut down".to_owned()),
            Cause::Model(_) => {
                (OutcomeKind::Cancelled, "the model did not finish its reply".to_owned())
            }
            Cause::Budget(problem) | Cause::Loop(problem) => {
                (OutcomeKind::Cancelled, problem.message.clone())
            }
            Cause::Cancelled | Cause::MaxRounds { .. } | Cause::Store(_) | Cause::Crashed => {
                (OutcomeKind::Cancelled, "the turn was cancelled".to_owned())
            }
        };
        let mut events = self.ends_of_unanswered(kind, &message, &|_| true);
        let end = match &cause {
            Cause::Cancelled => TurnEnd::Cancelled,
            Cause::TimedOut => TurnEnd::TimedOut,
            Cause::Model(_)
            | Cause::MaxRounds { .. }
            | Cause::Budget(_)
            | Cause::Loop(_)
            | Cause::Store(_)
            | Cause::Crashed
            | Cause::ShutDown => TurnEnd::Failed { problem: cause.problem() },
        };
        let cut = matches!(cause, Cause::ShutDown).then(|| ended_calls(&events));
        let (turn, usage, orphans) = (self.state.turns(), self.count_reply(), self.orphans(None));
        events.push(Event::TurnEnded { turn, end, usage, orphans });
        if let Some(turn) = &mut self.turn {
            turn.cut = cut;
            (turn.model, turn.asks, turn.next_try) = (None, false, None);
            turn.summing = None;
            turn.flight = Flight::default(); // That gives the calls up, and stops the work.
            turn.cause = Some(cause);
        }
        self.record(events);
    }

    /// What is recorded for a turn to end as the state asks: its end, and those of calls that had begun
    /// early where the reply is not asked for any more.
    pub(super) fn ends_of_turn(&mut self, end: TurnEnd) -> Vec<Event> {
        let end = match end {
            TurnEnd::Failed { problem } => {
                let max_rounds = self.options.limits.max_rounds;
                let cause = Cause::of(&problem).unwrap_or(Cause::MaxRounds { max_rounds });
                let problem = cause.problem();
                if let Some(turn) = &mut self.turn {
                    turn.cause = Some(cause);
                }
                TurnEnd::Failed { problem }
            }
            TurnEnd::Answered | TurnEnd::Cancelled | TurnEnd::TimedOut => end,
        };
        let mut events = Vec::new();
        if self.state.unanswered().next().is_some() {
            let message = "the turn ended before its reply came";
            events = self.ends_of_unanswered(OutcomeKind::Cancelled, message, &|_| true);
        }
        let (turn, usage, orphans) = (self.state.turns(), None, self.orphans(None));
        events.push(Event::TurnEnded { turn, end, usage, orphans });
        events
    }

    /// Lets whoever asks know that no turn begins: the session's budget is used up.
    pub(super) fn refuse_turn(&self, reply: Reply) {
        let Some(problem) = self.state.session_used_up() else { return };
        let report = TurnReport {
            session: self.id.clone(),
            model: self.options.models[0].name().into(),
            elapsed: Duration::ZERO,
            usage: Usage::default(),
            rounds: RoundReports::new(Vec::new(), None),
        };
        let failed = FailedTurn { cause: Cause::Budget(problem), report };
        reply.send(Err(Error::Budget(Box::new(failed))));
    }

    /// Counts the reply under way, which comes to nothing, in the turn: what its provider has counted.
    pub(super) fn count_reply(&mut self) -> Option<Usage> {
        let turn = self.turn.as_mut()?;
        let usage = turn.counted.take();
        turn.usage += usage.unwrap_or_default();
        usage
    }

    /// The store refused: nothing more can be recorded, so nothing more may happen here. Those who
    /// listen hear of the end all the same.
    pub(super) fn lose(&mut self, error: store::Error) {
        if self.is_displaced() {
            return; // Whoever has taken its place tells them.
        }
        let approvals = self.turn.as_mut().and_then(|turn| turn.approvals.as_mut());
        if let Some(approvals) = approvals {
            approvals.lose(&error);
        }
        self.set_lost(error.clone());
        self.end_unkept(Cause::Store(error));
    }

    /// Ends the turn here, and not on record.
    pub(super) fn end_unkept(&mut self, cause: Cause) {
        let end = TurnEnd::Failed { problem: cause.problem() };
        self.report();
        let usage = self.count_reply();
        // Not kept, so that it tells the model nothing.
        let (number, orphans) = (self.state.turns(), Arc::default());
        let ended = Event::TurnEnded { turn: number, end: end.clone(), usage, orphans };
        let now = self.clock.micros_at(Instant::now());
        if let Some(turn) = &mut self.turn {
            (turn.model, turn.asks, turn.next_try) = (None, false, None);
            turn.summing = None;
            turn.flight = Flight::default();
            turn.append = None;
            turn.unkept = Some((now, ended.clone()));
            turn.end = Some(end);
            turn.cause = Some(cause);
        }
        self.tell(ended);
    }

    /// Tells those who follow the account of the rounds of those that ended.
    pub(super) fn report(&mut self) {
        if self.seat.has_audience() || self.is_observed() {
            self.new_reports().into_iter().for_each(|report| self.tell_round(report));
        }
    }

    /// Tells those who follow the account of the rounds of one.
    pub(super) fn tell_round(&self, report: Arc<RoundReport>) {
        self.subscribers.observers().on_round(&self.id, &report);
        if self.seat.has_audience() {
            let session = self.id.clone();
            self.seat.supervisor().do_send(RoundReported { session, report });
        }
    }

    /// Says whether somebody observes all sessions.
    pub(super) fn is_observed(&self) -> bool {
        self.subscribers.observers().are_some()
    }

    /// The accounts of the rounds that ended since they were last asked for.
    pub(super) fn new_reports(&mut self) -> Vec<Arc<RoundReport>> {
        let Some(turn) = &mut self.turn else { return Vec::new() };
        let unkept = turn.unkept.iter().map(|(at_us, event)| (*at_us, event));
        let kept = turn.records[turn.reported..].iter().flat_map(|records| records.iter());
        let kept = kept.map(|record| (record.at_us, &record.event));
        turn.reported = turn.records.len();
        let reports: Vec<_> =
            kept.chain(unkept).filter_map(|(at_us, event)| turn.rounds.on(at_us, event)).collect();
        self.reported = reports.last().map_or(self.reported, |report| report.round);
        reports
    }

    /// Answers the one who asked.
    pub(super) fn finish(&mut self) {
        self.report();
        let Some(mut turn) = self.turn.take() else {
            return;
        };
        for news in std::mem::take(&mut turn.news) {
            self.tell(news); // There is no turn left to record it in.
        }
        for decide in std::mem::take(&mut turn.to_decide) {
            let _ = decide.reply.send(Err(NotDecided::NotWaiting.into())); // Too late.
        }
        let over = self.turn_over(&mut turn);
        let report = TurnReport {
            session: self.id.clone(),
            model: turn
                .model_name
                .unwrap_or_else(|| self.options.models[turn.model_index].name().into()),
            elapsed: turn.began.elapsed(),
            usage: turn.usage,
            rounds: match self.is_observed() {
                true => turn.rounds.into(), // Those that were told.
                false => RoundReports::new(turn.records, turn.unkept),
            },
        };
        let answer = match (turn.cause, turn.answer) {
            (None, Some((text, finish))) => Ok(Answer { text, finish, report }),
            (cause, _) => {
                let cause = cause.unwrap_or(Cause::Cancelled);
                Err(Error::Turn(Box::new(FailedTurn { cause, report })))
            }
        };
        self.hand_back();
        if let Some(asker) = self.asker.take() {
            asker.reply.send(answer);
            for awaited in asker.end_awaited {
                drop(awaited.send(over.clone()));
            }
        }
    }
}

/// The ids and tools of the calls whose ends are among `events`.
fn ended_calls(events: &[Event]) -> Vec<(Arc<str>, Arc<str>)> {
    let call = |event: &Event| match event {
        Event::CallEnded { id, tool, .. } => Some((Arc::clone(id), Arc::clone(tool))),
        _ => None,
    };
    events.iter().filter_map(call).collect()
}
