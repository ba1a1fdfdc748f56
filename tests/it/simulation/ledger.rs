//! The record of a session, sorted by turn, round and call.

use std::sync::Arc;

use callsheet::conversation::{AskedCall, CallTimes, TurnEnd};
use callsheet::{Event, Mode, Outcome, Record};

use super::behaviour::Behaviour;

/// A session as its events tell it. Times in microseconds.
#[derive(Debug, Default)]
pub struct Ledger {
    pub turns: Vec<Turn>,
    pub rebuilds: Vec<Rebuild>,
    pub withdrawals: Vec<Withdrawal>,
    /// Events that came where nothing like it was to come.
    pub strays: Vec<String>,
}

#[derive(Debug)]
pub struct Turn {
    pub began_at: u64,
    pub ended: Option<(u64, TurnEnd)>,
    pub rounds: Vec<Round>,
}

/// A reply with calls and what became of them.
#[derive(Debug)]
pub struct Round {
    pub number: u64,
    pub mode: Mode,
    pub asked_at: u64,
    pub replied_at: u64,
    pub ended_at: Option<u64>,
    pub calls: Vec<Call>,
}

#[derive(Debug)]
pub struct Call {
    pub round: u64,
    pub ordinal: u32,
    pub asked: AskedCall,
    pub behaviour: Behaviour,
    pub started_at: Vec<u64>,
    pub ends: Vec<End>,
    /// What the tool said on the way.
    pub progress: Vec<String>,
}

#[derive(Debug)]
pub struct End {
    pub at: u64,
    pub outcome: Outcome,
    pub times: CallTimes,
}

/// A worker was down from its failure until it was back.
#[derive(Debug)]
pub struct Rebuild {
    pub tool: Arc<str>,
    pub generation: u32,
    pub failed_at: u64,
    pub back_at: u64,
}

/// A tool was taken out of service.
#[derive(Debug)]
#[expect(dead_code, reason = "it is only shown")]
pub struct Withdrawal {
    pub tool: Arc<str>,
    pub at: u64,
    pub until: u64,
}

impl Ledger {
    pub fn new(records: &[Arc<Record>]) -> Self {
        let mut ledger = Self::default();
        let mut asked_at = 0;
        for Record { at_us, event, .. } in records.iter().map(|record| &**record) {
            if ledger.take_in(*at_us, event, &mut asked_at).is_none() {
                ledger.strays.push(format!("{event:?} at {at_us}"));
            }
        }
        ledger
    }

    /// `None` if the event does not belong where it came.
    fn take_in(&mut self, at: u64, event: &Event, asked_at: &mut u64) -> Option<()> {
        match event {
            Event::SessionOpened { .. } | Event::TextStreamed { .. } => {}
            Event::ReasoningStreamed { .. } => {}
            Event::TurnStarted { .. } => {
                let is_free = self.turns.last().is_none_or(|turn| turn.ended.is_some());
                self.turns.push(Turn { began_at: at, ended: None, rounds: Vec::new() });
                return is_free.then_some(());
            }
            Event::ModelAsked { .. } => {
                self.end_round(at)?;
                *asked_at = at;
            }
            Event::Replied { round, calls, mode, .. } if !calls.is_empty() => {
                let calls = calls.iter().zip(0..).map(|(call, ordinal)| Call {
                    round: *round,
                    ordinal,
                    asked: call.clone(),
                    behaviour: Behaviour::read(&call.tool, &call.arguments),
                    started_at: Vec::new(),
                    ends: Vec::new(),
                    progress: Vec::new(),
                });
                let (number, mode, calls) = (*round, *mode, calls.collect());
                let (asked_at, replied_at) = (*asked_at, at);
                let round = Round { number, mode, asked_at, replied_at, ended_at: None, calls };
                self.open_turn()?.rounds.push(round);
            }
            Event::Replied { .. } => {}
            Event::CallStarted { round, ordinal, .. } => {
                let call = self.call(*round, *ordinal)?;
                call.started_at.push(at);
                return call.ends.is_empty().then_some(());
            }
            Event::CallProgressed { round, ordinal, message } => {
                let call = self.call(*round, *ordinal)?;
                call.progress.push(message.clone());
                return (call.ends.is_empty() && !call.started_at.is_empty()).then_some(());
            }
            Event::CallEnded { round, ordinal, outcome, times, id, .. } => {
                let call = self.call(*round, *ordinal)?;
                call.ends.push(End { at, outcome: outcome.clone(), times: *times });
                return (call.asked.id == *id).then_some(());
            }
            Event::WorkerRestarted { tool, generation, backoff_us, .. } => {
                let (tool, generation) = (Arc::clone(tool), *generation);
                let back_at = at + backoff_us;
                self.rebuilds.push(Rebuild { tool, generation, failed_at: at, back_at });
            }
            Event::CallRetried { round, ordinal, .. } => {
                let call = self.call(*round, *ordinal)?;
                return call.ends.is_empty().then_some(());
            }
            Event::CircuitOpened { tool, cool_down_us, .. } => {
                let (tool, until) = (Arc::clone(tool), at + cool_down_us);
                self.withdrawals.push(Withdrawal { tool, at, until });
            }
            Event::CircuitClosed { .. } => {}
            Event::TurnEnded { end, .. } => {
                self.end_round(at)?;
                self.open_turn()?.ended = Some((at, end.clone()));
            }
            _ => return None,
        }
        Some(())
    }

    fn open_turn(&mut self) -> Option<&mut Turn> {
        self.turns.last_mut().filter(|turn| turn.ended.is_none())
    }

    fn end_round(&mut self, at: u64) -> Option<()> {
        let open = self.open_turn()?.rounds.last_mut().filter(|round| round.ended_at.is_none());
        if let Some(round) = open {
            round.ended_at = Some(at);
        }
        Some(())
    }

    /// A call of the round that is under way.
    fn call(&mut self, round: u64, ordinal: u32) -> Option<&mut Call> {
        let open = self.open_turn()?.rounds.last_mut().filter(|open| open.ended_at.is_none());
        open.filter(|open| open.number == round)?.calls.get_mut(ordinal as usize)
    }

    /// All rounds, with their turns.
    pub fn rounds(&self) -> impl Iterator<Item = (&Turn, &Round)> {
        self.turns.iter().flat_map(|turn| turn.rounds.iter().map(move |round| (turn, round)))
    }

    /// All calls.
    pub fn calls(&self) -> impl Iterator<Item = &Call> {
        self.rounds().flat_map(|(_, round)| &round.calls)
    }

    /// The rebuilds of the worker of `tool`, in order.
    pub fn rebuilds_of<'a>(&'a self, tool: &'a str) -> impl Iterator<Item = &'a Rebuild> {
        self.rebuilds.iter().filter(move |rebuild| *rebuild.tool == *tool)
    }
}

impl Call {
    /// How it ended, once that is sure to have happened once.
    pub fn end(&self) -> Option<&End> {
        self.ends.first()
    }

    /// The name of the call in a finding.
    pub fn name(&self) -> String {
        let Self { round, ordinal, behaviour, asked, .. } = self;
        format!("call {round}/{ordinal} of `{}` ({behaviour:?})", asked.tool)
    }
}

impl End {
    /// When it was handed to its worker, if it was.
    pub fn dispatched_at(&self) -> Option<u64> {
        Some(self.times.dispatched_at_us).filter(|at| *at > 0)
    }

    /// When it began, if it did.
    pub fn began_at(&self) -> Option<u64> {
        let waited = self.times.queued_us + self.times.startup_us + self.times.backoff_us;
        self.dispatched_at().filter(|_| self.times.attempts > 0).map(|at| at + waited)
    }
}
