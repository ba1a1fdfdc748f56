//! How a call ended, and what the model is told of it.

use std::borrow::Cow;
use std::sync::Arc;

use serde::{Deserialize, Serialize};

use super::ResultId;

/// What running a tool twice would do.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Effects {
    /// It only reads: running it twice, or for nothing, harms nobody.
    None,
    /// Running it twice with the same key is as good as once.
    Idempotent,
    /// It must never run twice. What a tool that does not say is taken for.
    #[default]
    Once,
}

impl Effects {
    /// The name used in settings and listings.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::None => "none",
            Self::Idempotent => "idempotent",
            Self::Once => "once",
        }
    }
}

/// The ways a call can end.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum OutcomeKind {
    /// The tool answered.
    Ok,
    /// The tool said that it failed.
    ToolError,
    /// The tool panicked.
    Panicked,
    /// No answer within the call's, the round's or the turn's time limit.
    TimedOut,
    /// Somebody cancelled the call or its turn.
    Cancelled,
    /// The model named a tool that does not exist.
    UnknownTool,
    /// The arguments are no JSON object, or break the tool's schema.
    BadArguments,
    /// The arguments did not arrive whole; the call was not run.
    Truncated,
    /// The tool is withdrawn for now.
    Unavailable,
    /// Too much work is queued already.
    Overloaded,
    /// A limit or a person refused the call.
    Denied,
    /// The process was lost while the call ran: it may have happened.
    UnknownOutcome,
}

impl OutcomeKind {
    /// The name used in JSON and on screen.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Ok => "ok",
            Self::ToolError => "tool_error",
            Self::Panicked => "panicked",
            Self::TimedOut => "timed_out",
            Self::Cancelled => "cancelled",
            Self::UnknownTool => "unknown_tool",
            Self::BadArguments => "bad_arguments",
            Self::Truncated => "truncated",
            Self::Unavailable => "unavailable",
            Self::Overloaded => "overloaded",
            Self::Denied => "denied",
            Self::UnknownOutcome => "unknown_outcome",
        }
    }
}

/// Why a call did not end well, for programs and for people.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Problem {
    /// Stable, in `snake_case`.
    pub code: Cow<'static, str>,
    /// One line, lower case.
    pub message: String,
}

/// How a call ended and the text that answers it in the conversation.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Outcome {
    /// Which of the ways.
    pub kind: OutcomeKind,
    /// The content of the tool message: the result, or a plain sentence that says what went wrong.
    pub content: Arc<str>,
    /// Absent when the call ended well. Boxed: most calls do.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub problem: Option<Box<Problem>>,
    /// Where the whole result is, if `content` is only its beginning.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub stored: Option<Box<StoredResult>>,
}

/// A result that is too large for the model, and that the store has.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct StoredResult {
    /// Its name in the session.
    pub id: ResultId,
    /// Its size.
    pub bytes: u64,
}

impl Outcome {
    /// The tool answered `content`.
    pub fn ok(content: impl Into<Arc<str>>) -> Self {
        Self { kind: OutcomeKind::Ok, content: content.into(), problem: None, stored: None }
    }

    /// The tool answered what the store keeps as `stored`; the model is told `content`.
    pub fn stored(content: impl Into<Arc<str>>, stored: StoredResult) -> Self {
        Self { stored: Some(Box::new(stored)), ..Self::ok(content) }
    }

    /// The call ended as `kind` says, because of `message`; `kind`'s name is the problem's code.
    pub fn failed(kind: OutcomeKind, message: impl Into<String>) -> Self {
        let message = message.into();
        Self {
            kind,
            content: format!("error: {message}").into(),
            problem: Some(Box::new(Problem { code: kind.as_str().into(), message })),
            stored: None,
        }
    }

    /// Gives the problem, if there is one, a `code` of its own.
    pub fn set_code(&mut self, code: &'static str) {
        if let Some(problem) = &mut self.problem {
            problem.code = code.into();
        }
    }

    /// A call that had begun was broken off as `kind` says, because of `message`. The model is told
    /// in plain words when the call may have taken effect, so that it does not simply ask again.
    pub fn broken_off(kind: OutcomeKind, message: &str, effects: Effects, began: bool) -> Self {
        let mut outcome = Self::failed(kind, message);
        if began && effects == Effects::Once {
            outcome.content = format!(
                "error: {message}; it had begun and may have taken effect: do not repeat it \
                 without checking"
            )
            .into();
        }
        outcome
    }

    /// Says whether the tool answered.
    #[must_use]
    pub fn is_ok(&self) -> bool {
        self.kind == OutcomeKind::Ok
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_a_once_call_that_had_begun_is_said_to_have_perhaps_happened() {
        let told = |effects, began| {
            Outcome::broken_off(OutcomeKind::TimedOut, "no result", effects, began)
                .content
                .contains("may have taken effect")
        };
        assert!(told(Effects::Once, true));
        assert!(!told(Effects::Once, false));
        assert!(!told(Effects::Idempotent, true));
        assert!(!told(Effects::None, true));
    }
}
