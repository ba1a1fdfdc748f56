//! What a panic of the coordinator leaves of a session, and what becomes of the turn that it cut:
//! it is ended on record like one that an earlier process left, and its asker is told what is there.

use std::rc::Rc;
use std::sync::Arc;

use actix::{Context, Supervised};
use tokio::sync::oneshot;
use tokio::time::Instant;

use super::coordinator::Coordinator;
use super::draining::TurnOver;
use super::keeper::let_go;
use super::past_turn::PastTurn;
use super::ticket::Reply;
use super::turn::Turn;
use super::{Answer, Cause, Error, FailedTurn, TurnReport};
use crate::conversation::{Event, Record, TurnEnd};
use crate::supervision::{Crew, RoundReports};

/// Whoever waits for the end of the turn that is under way. Kept apart from the turn, which does
/// not outlive a panic.
pub(super) struct Asker {
    pub reply: Reply,
    /// The number of the turn.
    pub turn: u64,
    /// The last event before the turn's own.
    pub after: u64,
    pub began: Instant,
    /// Those who wait for the end of the turn, and not for its answer.
    pub end_awaited: Vec<oneshot::Sender<TurnOver>>,
}

impl Supervised for Coordinator {
    /// After a panic: what is on record is read back by `started`, and what was under way is let
    /// go of. Those who wait, listen or stand in line stay.
    fn restarting(&mut self, _: &mut Context<Self>) {
        let (access, reclaims) = self.slot.terms();
        let fresh = Self {
            slot: Arc::clone(&self.slot),
            generation: self.generation,
            closed: false,
            id: self.id.clone(),
            span: self.span.clone(),
            options: Arc::clone(&self.options),
            tools: self.options.first_tools(),
            journal: Arc::clone(&self.journal),
            clock: self.clock,
            access,
            reclaims,
            blocker: self.blocker.take(),
            epoch: self.epoch, // Until the journal has raised it.
            seq: 0,
            told: self.told,
            reported: self.reported,
            opened: false,
            was_open: self.was_open,
            rest_asked: self.rest_asked,
            waiting: std::mem::take(&mut self.waiting),
            patience: None,
            state: self.options.state(),
            seat: Rc::clone(&self.seat),
            subscribers: self.subscribers.clone(),
            asker: self.asker.take(),
            cut: None, // It is found again.
            turn: None,
            unrecorded: Vec::new(),
            heartbeat: self.heartbeat,
            lost: self.lost.take(), // Whoever was refused does not come back as the owner.
            closing: self.closing.clone(),
            idle: self.idle.clone(),
            crew: Crew::new(self.idle.clone()),
        };
        self.seat.forget_workers();
        let mut old = std::mem::replace(self, fresh);
        if let Some(turn) = old.turn.take() {
            // One by one: of two that panic in one go the second would end the process.
            let Turn { model, append, flight, typed, .. } = *turn;
            let_go(model);
            let_go(append);
            let_go(flight);
            let_go(typed);
        }
        let_go(old);
    }
}

impl Coordinator {
    /// Says whether the last turn on record is one whose asker still waits: a panic cut it.
    pub(super) fn is_cut_by_panic(&self) -> bool {
        self.asker.as_ref().is_some_and(|asker| asker.turn == self.state.turns())
    }

    /// Those of `records` that a session which was open before a panic has not made known: all of
    /// the turn that was cut, or what nobody has heard.
    pub(super) fn not_made_known(&self, mut records: Vec<Record>) -> Vec<Record> {
        let known = self.asker.as_ref().map_or(self.told, |asker| asker.after);
        records.retain(|record| self.was_open && record.seq > known);
        records
    }

    /// Answers the one whose turn was cut by a panic, with what is on record of it now.
    pub(super) fn answer_cut_turn(&mut self, records: Vec<Record>) {
        let Some(asker) = self.asker.take() else { return };
        let PastTurn { usage, model, reply, end, .. } = PastTurn::of(&records);
        // On record in one step with the model's last words.
        let reply = reply.filter(|_| self.lost.is_none() && end == Some(TurnEnd::Answered));
        let cause = match (&self.lost, end) {
            (Some(error), _) => Cause::Store(error.clone()),
            (None, Some(TurnEnd::Cancelled)) => Cause::Cancelled,
            (None, Some(TurnEnd::TimedOut)) => Cause::TimedOut,
            (None, Some(TurnEnd::Failed { problem })) => {
                Cause::of(&problem).unwrap_or(Cause::Crashed)
            }
            (None, Some(TurnEnd::Answered) | None) => Cause::Crashed,
        };
        let unkept = self.lost.is_some().then(|| {
            let end = TurnEnd::Failed { problem: cause.problem() };
            (
                self.clock.micros_at(Instant::now()),
                Event::TurnEnded { turn: asker.turn, end, usage: None, orphans: Arc::default() },
            )
        });
        if let Some((_, ended)) = &unkept {
            self.tell(ended.clone());
        }
        let report = TurnReport {
            session: self.id.clone(),
            model: model.unwrap_or_else(|| self.options.models[0].name().into()),
            elapsed: asker.began.elapsed(),
            usage,
            rounds: RoundReports::new(vec![Arc::new(records)], unkept),
        };
        if self.seat.has_audience() || self.is_observed() {
            let rounds = report.rounds.iter().filter(|report| report.round > self.reported);
            rounds.for_each(|report| self.tell_round(Arc::clone(report)));
        }
        asker.reply.send(match reply {
            Some((text, finish)) => Ok(Answer { text, finish, report }),
            None => Err(Error::Turn(Box::new(FailedTurn { cause, report }))),
        });
        for awaited in asker.end_awaited {
            drop(awaited.send(TurnOver::ByItself));
        }
    }
}
