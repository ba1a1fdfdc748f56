//! The record of a session, sorted by the tries of its replies.

use std::sync::Arc;

use callsheet::conversation::{AskedCall, Place, TurnEnd};
use callsheet::{Event, Outcome, Record};

use super::hostile::Sent;
use super::scenario::Scenario;

/// A session as its events tell it. Times in microseconds.
#[derive(Debug, Default)]
pub struct Ledger<'a> {
    pub asks: Vec<Ask<'a>>,
    pub calls: Vec<Call>,
    pub ends: Vec<TurnEnd>,
    /// Events that came where nothing like it was to come.
    pub strays: Vec<String>,
}

/// A try of a reply.
#[derive(Debug)]
pub struct Ask<'a> {
    pub turn: usize,
    pub round: u64,
    pub attempt: u32,
    pub at: u64,
    /// What the model streamed; absent where it was at the end of its script.
    pub sent: Option<&'a Sent>,
    pub reply: Option<Reply>,
    pub failed: bool,
}

#[derive(Debug)]
pub struct Reply {
    pub at: u64,
    pub calls: Arc<[AskedCall]>,
    pub finish: String,
}

/// A call that was started, or that ended before it could.
#[derive(Debug)]
pub struct Call {
    pub has_started: bool,
    pub round: u64,
    pub place: Place,
    pub tool: Arc<str>,
    pub at: u64,
    /// Of one that began before its reply had ended.
    pub arguments: Option<Arc<str>>,
    pub ends: Vec<(u64, Outcome)>,
}

impl<'a> Ledger<'a> {
    pub fn new(records: &[Arc<Record>], scenario: &'a Scenario) -> Self {
        let mut ledger = Self::default();
        let mut used = [0; 2]; // Of each model's script.
        for record in records {
            let turn = ledger.ends.len();
            if matches!(record.event, Event::TurnStarted { .. }) {
                used = [0; 2];
            }
            if let Event::ModelAsked { round, attempt, model, .. } = &record.event {
                let model = usize::from(model.is_some());
                let script = scenario.turns.get(turn).map_or(&[][..], |turn| &turn.scripts[model]);
                let sent = script.get(used[model]);
                used[model] += 1;
                let (round, attempt, at) = (*round, *attempt, record.at_us);
                let (reply, failed) = (None, false);
                ledger.asks.push(Ask { turn, round, attempt, at, sent, reply, failed });
            } else if !ledger.take_in(record.at_us, &record.event) {
                ledger.strays.push(format!("{:?} at {}", record.event, record.at_us));
            }
        }
        ledger
    }

    /// Says whether the event belongs where it came.
    fn take_in(&mut self, at: u64, event: &Event) -> bool {
        match event {
            Event::Replied { round, attempt, calls, finish, .. } => {
                let Some(ask) = self.open(*round, *attempt) else { return false };
                let (calls, finish) = (Arc::clone(calls), finish.to_string());
                ask.reply = Some(Reply { at, calls, finish });
            }
            Event::ModelFailed { round, attempt, .. } => {
                let Some(ask) = self.open(*round, *attempt) else { return false };
                ask.failed = true;
            }
            Event::CallStarted { round, reply_attempt, ordinal, tool, arguments, .. } => {
                let place = Place { reply_attempt: *reply_attempt, ordinal: *ordinal };
                let is_new = self.call(*round, place).is_none();
                let (round, tool, arguments) = (*round, Arc::clone(tool), arguments.clone());
                let (has_started, ends) = (true, Vec::new());
                self.calls.push(Call { has_started, round, place, tool, at, arguments, ends });
                return is_new;
            }
            Event::CallEnded { round, reply_attempt, ordinal, outcome, tool, .. } => {
                let place = Place { reply_attempt: *reply_attempt, ordinal: *ordinal };
                let outcome = outcome.clone();
                match self.call(*round, place) {
                    Some(call) => call.ends.push((at, outcome)),
                    None => {
                        let (round, tool, ends) = (*round, Arc::clone(tool), vec![(at, outcome)]);
                        let (has_started, arguments) = (false, None);
                        self.calls.push(Call {
                            has_started,
                            round,
                            place,
                            tool,
                            at,
                            arguments,
                            ends,
                        });
                        return self.has_asked(round, place);
                    }
                }
            }
            Event::TurnEnded { end, .. } => self.ends.push(end.clone()),
            _ => {}
        }
        true
    }

    /// The try that is under way, if it is this one.
    fn open(&mut self, round: u64, attempt: u32) -> Option<&mut Ask<'a>> {
        let last = self.asks.last_mut().filter(|ask| ask.reply.is_none() && !ask.failed)?;
        ((last.round, last.attempt) == (round, attempt)).then_some(last)
    }

    fn call(&mut self, round: u64, place: Place) -> Option<&mut Call> {
        self.calls.iter_mut().find(|call| call.round == round && call.place == place)
    }

    fn has_asked(&self, round: u64, place: Place) -> bool {
        let asked = self.ask(round, place.reply_attempt).and_then(|ask| ask.reply.as_ref());
        asked.is_some_and(|reply| reply.calls.len() > place.ordinal as usize)
    }

    /// The tries of the reply of `round`. A turn that began nothing leaves its number to the next.
    pub fn tries(&self, round: u64) -> impl Iterator<Item = &Ask<'a>> {
        let turn = self.asks.iter().rfind(|ask| ask.round == round).map(|ask| ask.turn);
        self.asks.iter().filter(move |ask| ask.round == round && Some(ask.turn) == turn)
    }

    /// One of them.
    pub fn ask(&self, round: u64, attempt: u32) -> Option<&Ask<'a>> {
        self.tries(round).find(|ask| ask.attempt == attempt)
    }

    /// The try whose reply counts in `round`.
    pub fn final_ask(&self, round: u64) -> Option<(&Ask<'a>, &Reply)> {
        self.tries(round).find_map(|ask| Some((ask, ask.reply.as_ref()?)))
    }

    /// The end of the call at `place`.
    pub fn end_of(&self, round: u64, place: Place) -> Option<&(u64, Outcome)> {
        self.calls.iter().find(|call| call.round == round && call.place == place)?.ends.first()
    }
}
