//! How the process ends.

use std::process::ExitCode;

use crate::config;
use crate::model;
use crate::session::{Cause, Error};
use crate::store;

/// The exit codes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Status {
    Done,
    /// The turn, or whatever was to be done, failed.
    Failed,
    /// What was typed or set makes no sense.
    Usage,
    KeyRefused,
    Deadline,
    Interrupted,
}

/// What was typed makes no sense, for reasons that clap cannot know.
#[derive(Debug, thiserror::Error)]
#[error("{0}")]
pub(super) struct UsageError(pub String);

/// Standard output has no reader any more.
#[derive(Debug, thiserror::Error)]
#[error("standard output was closed")]
pub(super) struct Closed;

impl Status {
    /// The status that `error` asks for.
    pub fn of(error: &anyhow::Error) -> Self {
        if error.is::<config::Error>() || error.is::<UsageError>() {
            return Self::Usage;
        }
        if error.is::<crate::tools::SetError>() {
            return Self::Usage;
        }
        if error.is::<Closed>() {
            return Self::Failed;
        }
        if let Some(error) = store_error(error) {
            return Self::of_store(error);
        }
        match error.downcast_ref::<Error>() {
            Some(Error::EmptyPrompt) => Self::Usage,
            Some(Error::Turn(failed) | Error::Budget(failed)) => Self::of_cause(&failed.cause),
            Some(
                Error::Busy
                | Error::Closed
                | Error::ShuttingDown
                | Error::NoAnswer
                | Error::Store(_),
            )
            | None => Self::Failed,
        }
    }

    /// What was typed names a session that is not there, or one that is; else the store failed.
    fn of_store(error: &store::Error) -> Self {
        match error {
            store::Error::NotFound { .. }
            | store::Error::Exists { .. }
            | store::Error::BadUrl { .. } => Self::Usage,
            store::Error::Conflict { .. }
            | store::Error::Fenced { .. }
            | store::Error::Busy { .. }
            | store::Error::Newer { .. }
            | store::Error::Damaged { .. }
            | store::Error::Unavailable { .. } => Self::Failed,
        }
    }

    pub fn of_cause(cause: &Cause) -> Self {
        match cause {
            Cause::Model(model::Error::KeyRefused { .. }) => Self::KeyRefused,
            Cause::Cancelled | Cause::ShutDown => Self::Interrupted,
            Cause::TimedOut => Self::Deadline,
            Cause::Model(_)
            | Cause::MaxRounds { .. }
            | Cause::Budget(_)
            | Cause::Loop(_)
            | Cause::Store(_)
            | Cause::Crashed => Self::Failed,
        }
    }

    /// The exit code.
    pub fn code(self) -> u8 {
        match self {
            Self::Done => 0,
            Self::Failed => 1,
            Self::Usage => 2,
            Self::KeyRefused => 4,
            Self::Deadline => 124,
            Self::Interrupted => 130,
        }
    }
}

/// What the store had to say, if it is why.
pub(super) fn store_error(error: &anyhow::Error) -> Option<&store::Error> {
    match error.downcast_ref::<Error>() {
        Some(Error::Store(error)) => Some(error),
        Some(Error::Turn(failed)) => match &failed.cause {
            Cause::Store(error) => Some(error),
            _ => None,
        },
        _ => error.downcast_ref(),
    }
}

impl From<Status> for ExitCode {
    fn from(status: Status) -> Self {
        Self::from(status.code())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::conversation::SessionId;
    use crate::store::Owner;

    #[test]
    fn a_turn_that_a_shutdown_cut_was_interrupted_and_a_question_during_it_failed() {
        assert_eq!(Status::of_cause(&Cause::ShutDown), Status::Interrupted);
        assert_eq!(Status::of(&Error::ShuttingDown.into()), Status::Failed);
    }

    #[test]
    fn a_session_that_is_not_there_was_typed_wrong_and_one_that_is_busy_is_not_to_be_had() {
        let session = || SessionId::new("s");
        let owner = Owner { host: "h".into(), pid: 1, is_here: false };
        let missing = store::Error::NotFound { session: session() };
        assert_eq!(Status::of(&missing.clone().into()), Status::Usage);
        assert_eq!(Status::of(&Error::Store(missing).into()), Status::Usage);
        let busy = store::Error::Busy { session: session(), owner };
        assert_eq!(Status::of(&Error::Store(busy).into()), Status::Failed);
    }
}
