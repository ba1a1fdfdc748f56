//! The record of a session, sorted by turn, round and call.

use std::sync::Arc;

use callsheet::conversation::{AskedCall, CallTimes, Place, TurnEnd};
use callsheet::{Event, Mode, Outcome, OutcomeKind, Record};

use super::behaviour::Behaviour;
use super::world::SESSION;

/// What is said of a try that was broken off by a limit of its own.
pub const BROKEN_OFF_BY_A_TRY: [&str; 2] =
    ["no result within the time limit of one try", "no sign of life"];

/// A session as its events tell it. Times in microseconds.
#[derive(Debug, Default)]
pub struct Ledger {
    pub turns: Vec<Turn>,
    /// In order.
    pub losses: Vec<Loss>,
    pub closings: Vec<Closing>,
    /// Events that came where nothing like it was to come.
    pub strays: Vec<String>,
}

#[derive(Debug)]
pub struct Turn {
    pub began_at: u64,
    pub ended: Option<(u64, TurnEnd)>,
    /// The tries of its replies.
    pub asks: Vec<Ask>,
    pub rounds: Vec<Round>,
}

/// A model was asked for a reply.
#[derive(Debug)]
pub struct Ask {
    pub round: u64,
    pub attempt: u32,
    pub at: u64,
    /// Its configured name, where it is not the first.
    pub model: Option<Arc<str>>,
    /// Absent if its turn ended before.
    pub ended_at: Option<u64>,
    /// If it came to nothing, the code of the failure and the rest after it.
    pub failed: Option<(String, u64)>,
}

/// A reply with calls, or one before whose end calls began, and what became of them.
#[derive(Debug)]
pub struct Round {
    pub number: u64,
    pub mode: Mode,
    pub asked_at: u64,
    /// Absent if no try of the reply came to its end.
    pub replied_at: Option<u64>,
    pub ended_at: Option<u64>,
    /// Those that the reply asks for.
    pub calls: Vec<Call>,
    /// Those that began before, and that it does not ask for.
    pub discarded: Vec<Call>,
}

#[derive(Debug)]
pub struct Call {
    pub round: u64,
    /// What its key says besides.
    pub place: Place,
    pub asked: AskedCall,
    pub behaviour: Behaviour,
    pub started_at: Vec<u64>,
    pub retries: Vec<Retry>,
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

/// A try that failed, and is to be followed by another.
#[derive(Debug)]
pub struct Retry {
    pub number: u32,
    pub at: u64,
    pub cause: String,
    pub rest: u64,
}

/// A generation of a worker was lost: it was down from its failure until the next was there.
#[derive(Debug)]
pub struct Loss {
    /// Among those of all tools, from 0.
    pub place: usize,
    pub tool: Arc<str>,
    pub failed_at: u64,
    pub back_at: u64,
    pub what: Becomes,
}

/// What becomes of a worker that was lost.
#[derive(Debug, PartialEq)]
pub enum Becomes {
    Rebuilt {
        generation: u32,
    },
    /// The tool is out of service, and the worker there to say so.
    Withdrawn {
        until: u64,
    },
}

/// A tool is in service again.
#[derive(Debug)]
pub struct Closing {
    pub tool: Arc<str>,
    pub at: u64,
    /// It came after so many losses of any tool.
    pub losses_before: usize,
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
                let (asks, rounds) = Default::default();
                self.turns.push(Turn { began_at: at, ended: None, asks, rounds });
                return is_free.then_some(());
            }
            Event::ModelAsked { round, attempt, model } => {
                if *attempt == 1 {
                    self.end_round(at)?;
                    *asked_at = at;
                }
                let (round, attempt, model) = (*round, *attempt, model.clone());
                let ask = Ask { round, attempt, at, model, ended_at: None, failed: None };
                self.open_turn()?.asks.push(ask);
            }
            Event::ContextCompacted { .. } => {} // The model's business.
            Event::ModelFailed { error, retry_in_us, .. } => {
                let ask = self.end_ask(at)?;
                ask.failed = Some((error.code.to_string(), *retry_in_us));
            }
            Event::Replied { round, attempt, calls, mode, .. } => {
                self.end_ask(at)?;
                let begun = self.open_round().filter(|open| open.number == *round);
                if begun.is_none() && !calls.is_empty() {
                    self.begin_round(*round, *asked_at)?;
                }
                let Some(open) = self.open_round() else { return Some(()) };
                (open.replied_at, open.mode) = (Some(at), *mode);
                for (call, ordinal) in calls.iter().zip(0..) {
                    let own = Place { reply_attempt: *attempt, ordinal };
                    let asked_for = match call.begun {
                        Some(place) => {
                            let begun = open.discarded.iter().position(|it| it.place == place)?;
                            Call { asked: call.clone(), ..open.discarded.remove(begun) }
                        }
                        None => Call::new(*round, own, call.clone()),
                    };
                    open.calls.push(asked_for);
                }
            }
            Event::CallStarted { round, reply_attempt, ordinal, id, tool, arguments, .. } => {
                let place = Place { reply_attempt: *reply_attempt, ordinal: *ordinal };
                if let Some(arguments) = arguments {
                    let begun = self.open_round().filter(|open| open.number == *round);
                    if begun.is_none() {
                        self.begin_round(*round, *asked_at)?;
                    }
                    let asked = AskedCall {
                        id: Arc::clone(id),
                        tool: Arc::clone(tool),
                        arguments: Arc::clone(arguments),
                        refused: None,
                        begun: Some(place),
                        approval: callsheet::Approval::Never,
                        part_of: None,
                    };
                    let open = self.open_round().filter(|open| open.replied_at.is_none())?;
                    open.discarded.push(Call::new(*round, place, asked)); // Until the reply says else.
                }
                let call = self.call(*round, place)?;
                call.started_at.push(at);
                return call.ends.is_empty().then_some(());
            }
            Event::CallProgressed { round, reply_attempt, ordinal, message, .. } => {
                let place = Place { reply_attempt: *reply_attempt, ordinal: *ordinal };
                let call = self.call(*round, place)?;
                call.progress.push(message.clone());
                return (call.ends.is_empty() && !call.started_at.is_empty()).then_some(());
            }
            Event::CallEnded { round, reply_attempt, ordinal, outcome, times, id, .. } => {
                let place = Place { reply_attempt: *reply_attempt, ordinal: *ordinal };
                let call = self.call(*round, place)?;
                call.ends.push(End { at, outcome: outcome.clone(), times: *times });
                return (call.asked.id == *id).then_some(());
            }
            Event::WorkerRestarted { tool, generation, backoff_us, .. } => {
                let (tool, back_at) = (Arc::clone(tool), at + backoff_us);
                let what = Becomes::Rebuilt { generation: *generation };
                let place = self.losses.len();
                self.losses.push(Loss { place, tool, failed_at: at, back_at, what });
            }
            Event::CallQueued { round, reply_attempt, ordinal, .. } => {
                let place = Place { reply_attempt: *reply_attempt, ordinal: *ordinal };
                let call = self.call(*round, place)?;
                return call.ends.is_empty().then_some(());
            }
            Event::CallRetried {
                round,
                reply_attempt,
                ordinal,
                attempt,
                cause,
                backoff_us,
                ..
            } => {
                let place = Place { reply_attempt: *reply_attempt, ordinal: *ordinal };
                let call = self.call(*round, place)?;
                let (number, cause, rest) = (*attempt, cause.clone(), *backoff_us);
                call.retries.push(Retry { number, at, cause, rest });
                return call.ends.is_empty().then_some(());
            }
            Event::CircuitOpened { tool, cool_down_us, everywhere, .. } => {
                let what = Becomes::Withdrawn { until: at + cool_down_us };
                let tool = Arc::clone(tool);
                let place = self.losses.len();
                self.losses.push(Loss { place, tool, failed_at: at, back_at: at, what });
                return (!everywhere).then_some(()); // There is no other session.
            }
            Event::CircuitClosed { tool } => {
                let (tool, losses_before) = (Arc::clone(tool), self.losses.len());
                self.closings.push(Closing { tool, at, losses_before });
            }
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

    /// The try of the reply that is under way ends.
    fn end_ask(&mut self, at: u64) -> Option<&mut Ask> {
        let ask = self.open_turn()?.asks.last_mut().filter(|ask| ask.ended_at.is_none())?;
        ask.ended_at = Some(at);
        Some(ask)
    }

    fn open_round(&mut self) -> Option<&mut Round> {
        self.open_turn()?.rounds.last_mut().filter(|open| open.ended_at.is_none())
    }

    fn begin_round(&mut self, number: u64, asked_at: u64) -> Option<()> {
        let (mode, calls, discarded) = Default::default();
        let (replied_at, ended_at) = (None, None);
        let round = Round { number, mode, asked_at, replied_at, ended_at, calls, discarded };
        self.open_turn()?.rounds.push(round);
        Some(())
    }

    /// A call of the round that is under way.
    fn call(&mut self, round: u64, place: Place) -> Option<&mut Call> {
        let open = self.open_round().filter(|open| open.number == round)?;
        open.calls.iter_mut().chain(&mut open.discarded).find(|call| call.place == place)
    }

    /// All rounds, with their turns.
    pub fn rounds(&self) -> impl Iterator<Item = (&Turn, &Round)> {
        self.turns.iter().flat_map(|turn| turn.rounds.iter().map(move |round| (turn, round)))
    }

    /// All calls.
    pub fn calls(&self) -> impl Iterator<Item = &Call> {
        self.rounds().flat_map(|(_, round)| round.begun())
    }

    /// The losses of the worker of `tool`, in order.
    pub fn losses_of<'a>(
        &'a self,
        tool: &'a str,
    ) -> impl DoubleEndedIterator<Item = &'a Loss> + Clone {
        self.losses.iter().filter(move |loss| *loss.tool == *tool)
    }
}

impl Round {
    /// Its calls, and those that the reply does not ask for.
    pub fn begun(&self) -> impl Iterator<Item = &Call> {
        self.calls.iter().chain(&self.discarded)
    }
}

impl Call {
    fn new(round: u64, place: Place, asked: AskedCall) -> Self {
        let behaviour = Behaviour::read(&asked.tool, &asked.arguments);
        let (started_at, retries, ends, progress) = Default::default();
        Self { round, place, asked, behaviour, started_at, retries, ends, progress }
    }

    /// As its tool saw it.
    pub fn key(&self) -> String {
        let Self { round, place: Place { reply_attempt, ordinal }, .. } = self;
        format!("{SESSION}/{round}/{reply_attempt}/{ordinal}")
    }

    /// It began before its reply had ended.
    pub fn is_early(&self) -> bool {
        self.asked.begun.is_some()
    }

    /// How it ended, once that is sure to have happened once.
    pub fn end(&self) -> Option<&End> {
        self.ends.first()
    }

    /// The name of the call in a finding.
    pub fn name(&self) -> String {
        let Self { behaviour, asked, .. } = self;
        format!("call {} of `{}` ({behaviour:?})", self.key(), asked.tool)
    }
}

impl End {
    /// When it was handed to its worker, if it was.
    pub fn dispatched_at(&self) -> Option<u64> {
        Some(self.times.dispatched_at_us).filter(|at| *at > 0)
    }
}

impl Loss {
    /// Says whether the tool was taken out of service.
    pub fn is_withdrawal(&self) -> bool {
        matches!(self.what, Becomes::Withdrawn { .. })
    }
}

impl Retry {
    /// How the try ended, by what is said of it.
    pub fn kind(&self) -> OutcomeKind {
        let said = |texts: &[&str]| texts.iter().any(|text| self.cause.starts_with(text));
        if said(&["tool panicked"]) {
            OutcomeKind::Panicked
        } else if said(&BROKEN_OFF_BY_A_TRY) {
            OutcomeKind::TimedOut
        } else {
            OutcomeKind::ToolError
        }
    }
}
