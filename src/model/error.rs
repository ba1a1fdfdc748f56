//! Why there is no reply, and what to do next.

use std::time::Duration;

/// What the endpoint was slow at.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Stage {
    /// Taking the connection.
    Connect,
    /// Sending the first content.
    FirstToken,
    /// Going on after it had begun.
    Silence,
}

impl Stage {
    fn as_str(self) -> &'static str {
        match self {
            Self::Connect => "no connection",
            Self::FirstToken => "no first token",
            Self::Silence => "silence in the middle of the reply",
        }
    }
}

/// Why the model gave no reply. The text names the URL and never the key; [`Error::advice`] says
/// what a person can do.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Error {
    /// Nobody answers there. Asking again later is safe.
    #[error("cannot reach {url}: {reason}")]
    Unreachable {
        /// Where.
        url: String,
        /// In the words of the network.
        reason: String,
    },
    /// The key is missing, wrong, or not allowed to do this (401, 403). Asking again is useless.
    #[error("{url} refused the key: {message}")]
    KeyRefused {
        /// Where.
        url: String,
        /// In the provider's words.
        message: String,
    },
    /// The endpoint or the model does not exist there (404). Asking again is useless.
    #[error("{url} does not know the model `{model}`: {message}")]
    UnknownModel {
        /// Where.
        url: String,
        /// The model's name.
        model: String,
        /// In the provider's words.
        message: String,
    },
    /// There is no credit left (402, `insufficient_quota`). Asking again is useless until there is.
    #[error("{url} has no credit for the request: {message}")]
    NoCredit {
        /// Where.
        url: String,
        /// In the provider's words.
        message: String,
    },
    /// The provider did not take a call that its own model wrote (`tool_use_failed`). Asking again is
    /// safe, and the model may do better.
    #[error("{url} refused what its model wrote: {message}")]
    BadCall {
        /// Where.
        url: String,
        /// In the provider's words.
        message: String,
    },
    /// Too many requests (429). Asking again later is safe.
    #[error("{url} limits the rate: {message}")]
    RateLimited {
        /// Where.
        url: String,
        /// In the provider's words.
        message: String,
        /// How long the provider asks to wait.
        retry_after: Option<Duration>,
    },
    /// The provider does not take this request (other 4xx). Asking the same again is useless.
    #[error("{url} refused the request{}: {message}", place(*status))]
    Refused {
        /// Where.
        url: String,
        /// The HTTP status, or the one the body speaks of; 200 if the error came in a reply and names none.
        status: u16,
        /// In the provider's words.
        message: String,
    },
    /// The conversation is longer than the model can read (`context_length_exceeded`). A shorter one may
    /// be asked about.
    #[error("{url} finds the conversation too long{}: {message}", place(*status))]
    TooLong {
        /// Where.
        url: String,
        /// As of [`Error::Refused`].
        status: u16,
        /// In the provider's words.
        message: String,
    },
    /// The provider failed (5xx, or an error within the reply). Asking again later is safe.
    #[error("{url} failed{}: {message}", place(*status))]
    Failed {
        /// Where.
        url: String,
        /// As of [`Error::Refused`].
        status: u16,
        /// In the provider's words.
        message: String,
        /// How long the provider asks to wait.
        retry_after: Option<Duration>,
    },
    /// The endpoint is somewhere else (3xx). A key does not travel on, so it is not followed.
    #[error("{url} redirects ({status})")]
    Redirected {
        /// Where.
        url: String,
        /// The HTTP status.
        status: u16,
    },
    /// The reply is larger than a reply may be. Asking the same again is useless.
    #[error("the reply of {url} is too large: {reason}")]
    TooLarge {
        /// Where.
        url: String,
        /// Which limit it passed.
        reason: String,
    },
    /// What arrived is no Chat Completions reply: the page of a proxy that is in trouble, a damaged
    /// stream. Asking again is safe, and in vain if the endpoint is none of Chat Completions.
    #[error("the reply of {url} is malformed: {reason}")]
    Malformed {
        /// Where.
        url: String,
        /// What was expected, and what came.
        reason: String,
    },
    /// The reply broke off. Asking again is safe.
    #[error("the reply of {url} was cut: {reason}")]
    Cut {
        /// Where.
        url: String,
        /// How it broke off.
        reason: String,
    },
    /// The endpoint took too long. Asking again is safe.
    #[error("{} from {url} within {} ms", stage.as_str(), limit.as_millis())]
    TimedOut {
        /// Where.
        url: String,
        /// At what.
        stage: Stage,
        /// The limit that passed.
        limit: Duration,
    },
}

/// Where an error came that has this status.
fn place(status: u16) -> String {
    match status {
        200 => " in its reply".to_owned(),
        status => format!(" ({status})"),
    }
}

impl Error {
    /// A stable name for programs.
    #[must_use]
    pub fn code(&self) -> &'static str {
        match self {
            Self::Unreachable { .. } => "endpoint_unreachable",
            Self::KeyRefused { .. } => "key_refused",
            Self::UnknownModel { .. } => "unknown_model",
            Self::NoCredit { .. } => "no_credit",
            Self::BadCall { .. } => "bad_call",
            Self::RateLimited { .. } => "rate_limited",
            Self::Refused { .. } => "request_refused",
            Self::TooLong { .. } => "context_length",
            Self::Failed { .. } => "model_failed",
            Self::Redirected { .. } => "redirected",
            Self::TooLarge { .. } => "reply_too_large",
            Self::Malformed { .. } => "malformed_reply",
            Self::Cut { .. } => "stream_cut",
            Self::TimedOut { .. } => "model_timed_out",
        }
    }

    /// How long the provider asks to wait before it is asked again.
    #[must_use]
    pub fn retry_after(&self) -> Option<Duration> {
        match self {
            Self::RateLimited { retry_after, .. } | Self::Failed { retry_after, .. } => {
                *retry_after
            }
            Self::Unreachable { .. }
            | Self::KeyRefused { .. }
            | Self::NoCredit { .. }
            | Self::BadCall { .. }
            | Self::UnknownModel { .. }
            | Self::Refused { .. }
            | Self::TooLong { .. }
            | Self::Redirected { .. }
            | Self::TooLarge { .. }
            | Self::Malformed { .. }
            | Self::Cut { .. }
            | Self::TimedOut { .. } => None,
        }
    }

    /// Says whether the same request may succeed later.
    #[must_use]
    pub fn is_transient(&self) -> bool {
        match self {
            Self::Unreachable { .. }
            | Self::BadCall { .. }
            | Self::RateLimited { .. }
            | Self::Failed { .. }
            | Self::Malformed { .. }
            | Self::Cut { .. }
            | Self::TimedOut { .. } => true,
            Self::KeyRefused { .. }
            | Self::NoCredit { .. }
            | Self::UnknownModel { .. }
            | Self::Refused { .. }
            | Self::TooLong { .. }
            | Self::Redirected { .. }
            | Self::TooLarge { .. } => false,
        }
    }

    /// What a person can do about it.
    #[must_use]
    pub fn advice(&self) -> &'static str {
        match self {
            Self::Unreachable { .. } => "check model.base_url and that the server runs",
            Self::KeyRefused { .. } => "check the variable that model.api_key_env names",
            Self::UnknownModel { .. } => "check model.name and model.base_url",
            Self::NoCredit { .. } => "add credit, or use another key or model",
            Self::BadCall { .. } => "ask again, or use another model",
            Self::RateLimited { .. } => "wait, or use another key or model",
            Self::Refused { .. } => "the message says what the provider does not take",
            Self::TooLong { .. } => "set session.context_tokens, or begin another session",
            Self::Failed { .. } | Self::Cut { .. } => "ask again; nothing was lost",
            Self::TooLarge { .. } => "limit the reply with model.max_tokens",
            Self::Redirected { .. } => "set model.base_url to where the endpoint is now",
            Self::Malformed { .. } => {
                "check that model.base_url is a Chat Completions endpoint (it often ends in /v1)"
            }
            Self::TimedOut { .. } => "ask again, or raise the model's time limits",
        }
    }
}
