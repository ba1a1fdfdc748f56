//! What a brain answers, before it becomes bytes.

use std::time::Duration;

use super::request::Request;

/// An assistant message, or a failure in its place.
#[derive(Clone, Debug, PartialEq)]
pub(super) enum Answer {
    Reply(Reply),
    Failure(Failure),
}

/// An assistant message and the manner in which it is given.
#[derive(Clone, Debug, Default, PartialEq)]
pub(super) struct Reply {
    pub text: Option<String>,
    pub calls: Vec<Call>,
    /// In place of `tool_calls` or `stop`.
    pub finish: Option<String>,
    /// In place of an estimate.
    pub usage: Option<Usage>,
    /// Before the first token.
    pub delay: Duration,
    /// For each token, in place of the server's pace.
    pub token_delay: Option<Duration>,
    /// The connection breaks after so many tokens.
    pub cut_after: Option<usize>,
}

/// A tool call.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Call {
    /// `None`: the server numbers it.
    pub id: Option<String>,
    pub name: String,
    /// As it is sent; need not be JSON.
    pub arguments: String,
}

/// What a reply cost.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Usage {
    pub prompt_tokens: u64,
    pub completion_tokens: u64,
}

/// An HTTP error.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Failure {
    pub status: hyper::StatusCode,
    pub headers: hyper::HeaderMap,
    pub body: String,
    pub delay: Duration,
}

impl Reply {
    /// A reply of words alone.
    pub fn text(text: impl Into<String>) -> Self {
        Self { text: Some(text.into()), ..Self::default() }
    }

    /// The reason the reply ended, as it is told.
    pub fn finish(&self) -> &str {
        let natural = if self.calls.is_empty() { "stop" } else { "tool_calls" };
        self.finish.as_deref().unwrap_or(natural)
    }

    /// What the reply cost as the answer to `request`: as told, or four characters a token.
    pub fn usage(&self, request: &Request) -> Usage {
        self.usage.unwrap_or_else(|| {
            let calls: usize =
                self.calls.iter().map(|call| call.name.len() + call.arguments.len()).sum();
            let written = self.text.as_ref().map_or(0, String::len) + calls;
            Usage {
                prompt_tokens: request.tokens() as u64,
                completion_tokens: written.div_ceil(4) as u64,
            }
        })
    }
}
