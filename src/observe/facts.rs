//! What the records mean that are more than one record: which calls are in flight, and how long the
//! model took.

use std::collections::{HashMap, HashSet};
use std::sync::Arc;
use std::time::Duration;

use crate::conversation::{
    Approval, AskedCall, CallTimes, Event, Outcome, Place, Record, SessionId, TurnEnd,
};
use crate::wire::Usage;

/// Something to be counted.
#[cfg_attr(not(feature = "server"), allow(dead_code, reason = "some is for the metrics alone"))]
pub(super) enum Fact<'a> {
    TurnEnded {
        end: &'a TurnEnd,
    },
    /// The model has replied: how long after it was first asked for the reply, and when it had begun to.
    Replied {
        took: Duration,
        first_token: Option<Duration>,
    },
    /// A try of a reply came to nothing, and there will be another.
    ModelFailed {
        code: &'a str,
    },
    Counted {
        usage: &'a Usage,
    },
    CallBegan {
        tool: &'a Arc<str>,
    },
    /// A call has its answer. One that was refused at once has no times.
    CallEnded {
        tool: &'a Arc<str>,
        outcome: &'a Outcome,
        times: Option<&'a CallTimes>,
        was_in_flight: bool,
    },
    /// A call that began is not in flight any more, and its end was not heard of.
    CallLost {
        tool: &'a Arc<str>,
    },
    WorkerRestarted {
        tool: &'a Arc<str>,
        cause: &'a str,
    },
    /// In one session, or everywhere.
    CircuitOpened {
        session: Option<&'a SessionId>,
        tool: &'a Arc<str>,
        cause: &'a str,
        cool_down: Duration,
    },
    /// In this session, and everywhere.
    CircuitClosed {
        session: &'a SessionId,
        tool: &'a Arc<str>,
    },
}

type Tell<'a> = &'a mut dyn FnMut(Fact<'_>);

/// What is remembered of turns that are under way. No turn, no entry.
pub(super) struct Facts {
    turns: HashMap<SessionId, Turn>,
    client: Arc<str>,
}

/// What stands for all tools that a client brings and runs itself: it may call them as it likes.
const CLIENT: &str = "client";

impl Default for Facts {
    fn default() -> Self {
        Self { turns: HashMap::new(), client: CLIENT.into() }
    }
}

#[derive(Default)]
struct Turn {
    /// The reply that is awaited: its round, and when it was first asked for.
    asked: Option<(u64, u64)>,
    in_flight: HashMap<Place, Arc<str>>,
    /// Calls of the last reply that somebody else runs, of whose tools we know nothing.
    outside: HashSet<Place>,
}

impl Facts {
    /// Tells what `record` comes to.
    pub fn on(&mut self, record: &Record, tell: Tell<'_>) {
        let Record { at_us, session, event, .. } = record;
        match event {
            Event::SummaryAsked { round, .. } | Event::ModelAsked { round, .. } => {
                let turn = self.turn(session);
                if turn.asked.is_none_or(|(asked, _)| asked != *round) {
                    turn.asked = Some((*round, *at_us));
                }
            }
            Event::ContextCompacted { usage, .. } => counted(usage.as_ref(), tell),
            Event::ModelFailed { error, usage, .. } => {
                tell(Fact::ModelFailed { code: &error.code });
                counted(usage.as_ref(), tell);
            }
            Event::Replied { attempt, calls, usage, first_token_at_us, .. } => {
                if let Some((_, asked)) = self.turn(session).asked {
                    let since = |at_us: u64| Duration::from_micros(at_us.saturating_sub(asked));
                    let (took, first_token) = (since(*at_us), first_token_at_us.map(since));
                    tell(Fact::Replied { took, first_token });
                }
                counted(usage.as_ref(), tell);
                let is_outside = |call: &AskedCall| call.approval == Approval::Outside;
                let places = (0..).zip(calls.iter()).filter(|(_, call)| is_outside(call));
                let place = |ordinal| Place { reply_attempt: *attempt, ordinal };
                let outside: HashSet<_> = places.map(|(ordinal, _)| place(ordinal)).collect();
                if !outside.is_empty() || self.turns.contains_key(session) {
                    self.turn(session).outside = outside;
                }
                for call in calls.iter() {
                    let tool = if is_outside(call) { &self.client } else { &call.tool };
                    let (times, was_in_flight) = (None, false);
                    if let Some(outcome) = &call.refused {
                        tell(Fact::CallEnded { tool, outcome, times, was_in_flight });
                    }
                }
            }
            Event::CallStarted { reply_attempt, ordinal, tool, .. } => {
                let place = Place { reply_attempt: *reply_attempt, ordinal: *ordinal };
                // One that begins anew, because its process or its place was lost, is in flight already.
                if self.turn(session).in_flight.insert(place, Arc::clone(tool)).is_none() {
                    tell(Fact::CallBegan { tool });
                }
            }
            Event::CallEnded { reply_attempt, ordinal, tool, outcome, times, .. } => {
                let place = Place { reply_attempt: *reply_attempt, ordinal: *ordinal };
                let turn = self.turns.get_mut(session);
                let is_outside = turn.as_ref().is_some_and(|turn| turn.outside.contains(&place));
                let tool = if is_outside { &self.client } else { tool };
                let began = turn.and_then(|turn| turn.in_flight.remove(&place));
                let (times, was_in_flight) = (Some(times), began.is_some());
                tell(Fact::CallEnded { tool, outcome, times, was_in_flight });
            }
            Event::WorkerRestarted { tool, cause, .. } => {
                tell(Fact::WorkerRestarted { tool, cause });
            }
            Event::CircuitOpened { tool, cause, cool_down_us, everywhere } => {
                let session = (!everywhere).then_some(session);
                let cool_down = Duration::from_micros(*cool_down_us);
                tell(Fact::CircuitOpened { session, tool, cause, cool_down });
            }
            Event::CircuitClosed { tool } => tell(Fact::CircuitClosed { session, tool }),
            // How long the process was down is not the model's time.
            Event::TurnResumed { .. } => self.turn(session).asked = None,
            Event::TurnEnded { end, usage, .. } => {
                self.forget(session, tell);
                tell(Fact::TurnEnded { end });
                counted(usage.as_ref(), tell);
            }
            Event::SessionOpened { .. }
            | Event::TurnStarted { .. }
            | Event::TextStreamed { .. }
            | Event::ReasoningStreamed { .. }
            | Event::ApprovalAsked { .. }
            | Event::ApprovalDecided { .. }
            | Event::CallProgressed { .. }
            | Event::CallQueued { .. }
            | Event::CallRetried { .. }
            | Event::Unknown(_) => {}
        }
    }

    /// Nothing of `session` is under way any more.
    pub fn forget(&mut self, session: &SessionId, tell: Tell<'_>) {
        let turn = self.turns.remove(session).unwrap_or_default();
        turn.in_flight.values().for_each(|tool| tell(Fact::CallLost { tool }));
    }

    fn turn(&mut self, session: &SessionId) -> &mut Turn {
        if !self.turns.contains_key(session) {
            self.turns.insert(session.clone(), Turn::default());
        }
        self.turns.get_mut(session).expect("it was put there")
    }
}

fn counted(usage: Option<&Usage>, tell: Tell<'_>) {
    if let Some(usage) = usage {
        tell(Fact::Counted { usage });
    }
}
