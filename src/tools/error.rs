//! What a tool may say when it fails.

use std::fmt;
use std::time::Duration;

use crate::conversation::{Effects, Outcome, OutcomeKind};

/// A tool's own failure. The model is told the message and may try something else; nothing is
/// restarted.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{message}")]
pub struct Error {
    message: String,
    cause: Cause,
    permanent: bool,
    code: Option<&'static str>,
    retry_after: Option<Duration>,
}

/// Whose failure it is, and what may have happened.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Cause {
    Tool,
    Arguments,
    /// It is not allowed.
    Refused,
    /// Nothing has happened.
    NotReached,
    /// Something may have happened.
    Lost,
}

impl Error {
    /// The model is told `message`.
    pub fn new(message: impl fmt::Display) -> Self {
        Self::of(Cause::Tool, message)
    }

    /// The model is told `message`, and the call is not tried again whatever
    /// [`super::ToolType::retries`] allows: it would end the same way.
    pub fn permanent(message: impl fmt::Display) -> Self {
        Self { permanent: true, ..Self::new(message) }
    }

    /// The arguments cannot be used, for the reason `message`, which the schema could not say.
    pub fn bad_arguments(message: impl fmt::Display) -> Self {
        Self { permanent: true, ..Self::of(Cause::Arguments, message) }
    }

    /// The call is not allowed, for the reason `message`: it is answered `denied`, and not tried again.
    pub fn denied(message: impl fmt::Display) -> Self {
        Self { permanent: true, ..Self::of(Cause::Refused, message) }
    }

    /// What would do the work could not be reached, so nothing has happened: the call is answered
    /// `unavailable`, and may be tried again whatever its effects.
    pub fn unreachable(message: impl fmt::Display) -> Self {
        Self::of(Cause::NotReached, message)
    }

    /// What does the work was lost in the middle of it. A call with effects
    /// [`Effects::Once`] is answered `unknown_outcome`, any other `unavailable`.
    pub fn lost(message: impl fmt::Display) -> Self {
        Self::of(Cause::Lost, message)
    }

    fn of(cause: Cause, message: impl fmt::Display) -> Self {
        let message = message.to_string();
        Self { message, cause, permanent: false, code: None, retry_after: None }
    }

    /// Says in a word of its own, in `snake_case`, what is wrong, in place of the outcome's.
    #[must_use]
    pub fn code(mut self, code: &'static str) -> Self {
        self.code = Some(code);
        self
    }

    /// Has the next try wait for so long at least, if there is one.
    #[must_use]
    pub fn retry_after(mut self, rest: Duration) -> Self {
        self.retry_after = Some(rest);
        self
    }

    /// What is known of another try.
    pub(super) fn again(&self) -> Again {
        let Self { permanent, retry_after: after, .. } = *self;
        Again { permanent, after, nothing_happened: self.cause == Cause::NotReached }
    }

    /// What the model is told.
    #[must_use]
    pub fn message(&self) -> &str {
        &self.message
    }

    /// The outcome of a call with these `effects` that says `message`, which may be shorter.
    pub(super) fn outcome(&self, message: String, effects: Effects) -> Outcome {
        let mut outcome = match (self.cause, effects) {
            (Cause::Tool, _) => Outcome::failed(OutcomeKind::ToolError, message),
            (Cause::Arguments, _) => Outcome::failed(OutcomeKind::BadArguments, message),
            (Cause::Refused, _) => Outcome::failed(OutcomeKind::Denied, message),
            (Cause::Lost, Effects::Once) => {
                Outcome::broken_off(OutcomeKind::UnknownOutcome, &message, effects, true)
            }
            (Cause::NotReached | Cause::Lost, _) => {
                Outcome::failed(OutcomeKind::Unavailable, message)
            }
        };
        if let Some(code) = self.code {
            outcome.set_code(code);
        }
        outcome
    }
}

/// What a failure says of another try.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Again {
    /// It would end the same way.
    pub permanent: bool,
    /// Not before so long.
    pub after: Option<Duration>,
    /// It would be the first.
    pub nothing_happened: bool,
}

#[cfg(test)]
mod tests {
    use super::*;

    fn told(error: &Error, effects: Effects) -> (OutcomeKind, String, String) {
        let outcome = error.outcome(error.message().to_owned(), effects);
        let code = outcome.problem.expect("it failed").code.into_owned();
        (outcome.kind, code, outcome.content.to_string())
    }

    #[test]
    fn a_call_that_was_lost_may_have_happened_only_if_it_must_not_happen_twice() {
        let error = Error::lost("the server ended").code("server_lost");
        let (kind, code, content) = told(&error, Effects::Once);
        assert_eq!((kind, &*code), (OutcomeKind::UnknownOutcome, "server_lost"));
        assert!(content.contains("may have taken effect"), "{content}");
        let (kind, code, content) = told(&error, Effects::Idempotent);
        assert_eq!((kind, &*code), (OutcomeKind::Unavailable, "server_lost"));
        assert_eq!(content, "error: the server ended");
    }

    #[test]
    fn what_was_not_reached_has_not_happened() {
        let error = Error::unreachable("no connection");
        let (kind, code, content) = told(&error, Effects::Once);
        assert_eq!((kind, &*code), (OutcomeKind::Unavailable, "unavailable"));
        assert_eq!(content, "error: no connection");
        assert!(error.again().nothing_happened && !error.again().permanent);
    }

    #[test]
    fn what_is_not_allowed_is_denied_for_good() {
        let error = Error::denied("10.0.0.1 is a private address").code("private_address");
        let (kind, code, _) = told(&error, Effects::None);
        assert_eq!((kind, &*code), (OutcomeKind::Denied, "private_address"));
        assert!(error.again().permanent);
    }
}
