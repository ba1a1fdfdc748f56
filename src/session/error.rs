//! Why a question has no answer.

use crate::conversation::{BUDGET, LOOP, NotDecided, Problem};
use crate::session::TurnReport;
use crate::{model, store};

/// Why [`super::Session::ask`] has no answer.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// Another turn is under way, or the line is full. Ask again when it has ended, cancel it, or
    /// [wait in line](super::Question::wait_in_line).
    #[error("the session is busy with another question")]
    Busy,
    /// The question has no text.
    #[error("the question is empty")]
    EmptyPrompt,
    /// The session, or its runtime, has ended.
    #[error("the session has ended")]
    Closed,
    /// The runtime shuts down: no turn begins any more. The question has left no trace.
    #[error("the runtime is shutting down")]
    ShuttingDown,
    /// There is nothing to resume, and no turn has been answered yet.
    #[error("no turn was cut, and none has been answered")]
    NoAnswer,
    /// The store does not let this session go on.
    #[error(transparent)]
    Store(#[from] store::Error),
    /// The session's budget is used up: no turn begins. The question has left no trace; the report is
    /// that of no turn.
    #[error("{}", .0.cause)]
    Budget(Box<FailedTurn>),
    /// The turn began and did not end with an answer. The conversation is whole and can go on.
    #[error("{}", .0.cause)]
    Turn(Box<FailedTurn>),
}

/// Why [`super::Session::decide`] was of no use.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum DecideError {
    /// The decision counts for nothing.
    #[error(transparent)]
    NotDecided(#[from] NotDecided),
    /// The store does not take it: nobody knows whether it is on record. The turn ends.
    #[error(transparent)]
    Store(#[from] store::Error),
    /// The session, or its runtime, has ended.
    #[error("the session has ended")]
    Closed,
}

/// A turn that ended without an answer.
#[derive(Debug)]
pub struct FailedTurn {
    /// Why.
    pub cause: Cause,
    /// What it took.
    pub report: TurnReport,
}

/// Why a turn ended without an answer.
#[derive(Clone, Debug, thiserror::Error)]
pub enum Cause {
    /// The model gave no reply.
    #[error(transparent)]
    Model(#[from] model::Error),
    /// Somebody cancelled it.
    #[error("the turn was cancelled")]
    Cancelled,
    /// The runtime was shut down, and the turn did not end in the time that was left to it.
    #[error("the runtime was shut down")]
    ShutDown,
    /// The turn's time limit passed.
    #[error("no answer within the turn's time limit")]
    TimedOut,
    /// The model went on asking for tools.
    #[error("no answer after {max_rounds} rounds of tools")]
    MaxRounds {
        /// The limit.
        max_rounds: u32,
    },
    /// A budget is used up, or cannot be kept because nobody said what a reply took. With a larger one
    /// the session goes on.
    #[error("{}", .0.message)]
    Budget(Problem),
    /// The model made the same calls over and over
    /// ([`max_identical_calls`](crate::Limits::max_identical_calls)).
    #[error("{}", .0.message)]
    Loop(Problem),
    /// The store failed.
    #[error(transparent)]
    Store(#[from] store::Error),
    /// The session's own code panicked in the middle of the turn. Every call is answered on record;
    /// one that was running may have taken effect.
    #[error("the session's coordinator panicked and was rebuilt from its record")]
    Crashed,
}

impl Cause {
    /// A stable name for programs.
    #[must_use]
    pub fn code(&self) -> &'static str {
        match self {
            Self::Model(error) => error.code(),
            Self::Cancelled => "cancelled",
            Self::ShutDown => "shut_down",
            Self::TimedOut => "turn_timed_out",
            Self::MaxRounds { .. } => "max_rounds",
            Self::Budget(_) => BUDGET,
            Self::Loop(_) => LOOP,
            Self::Store(_) => "store_failed",
            Self::Crashed => "coordinator_crashed",
        }
    }

    /// The cause that a turn on record has failed of, if it is one that is known by its problem.
    pub(super) fn of(problem: &Problem) -> Option<Self> {
        match &*problem.code {
            BUDGET => Some(Self::Budget(problem.clone())),
            LOOP => Some(Self::Loop(problem.clone())),
            _ => None,
        }
    }

    pub(super) fn problem(&self) -> Problem {
        Problem { code: self.code().into(), message: self.to_string() }
    }
}
