//! What can go wrong between bytes and a reply.

use std::fmt;

use super::{MAX_CALLS, Reply};

/// The longest excerpt of foreign bytes an error carries, in characters.
const EXCERPT_CHARS: usize = 200;

/// Why bytes did not become a reply.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The bytes are not what the protocol allows.
    #[error("{what}: {excerpt}")]
    Malformed {
        /// What was wrong, in words.
        what: String,
        /// The beginning of the offending text, at most 200 characters.
        excerpt: String,
    },
    /// The provider said no, before the reply or in the middle of it.
    #[error("{0}")]
    Api(Box<ApiError>),
    /// The stream ended with neither a finish reason nor `[DONE]`: the connection was lost.
    #[error("the stream ended before the reply did")]
    Cut {
        /// What had arrived. Its whole calls are usable, its last call may be [truncated](super::Arguments::Truncated).
        partial: Box<Reply>,
    },
    /// The reply holds more than [`MAX_REPLY_BYTES`](super::MAX_REPLY_BYTES), or than a decoder was told to take.
    #[error("the reply is larger than {limit} bytes")]
    ReplyTooLarge {
        /// The limit that was passed, in bytes.
        limit: usize,
    },
    /// One event of the stream is larger than the limit.
    #[error("an event of the stream is larger than {limit} bytes")]
    TooLarge {
        /// The limit that was passed, in bytes.
        limit: usize,
    },
}

impl Error {
    /// Too many calls for one reply.
    pub(super) fn too_many_calls() -> Self {
        let what = format!("expected a reply, got more than {MAX_CALLS} calls");
        Error::Malformed { what, excerpt: String::new() }
    }

    /// Words, neither a stream nor a body.
    pub(crate) fn no_reply(head: &[u8]) -> Self {
        Self::malformed("expected a reply", &String::from_utf8_lossy(head))
    }

    /// An [`Error::Malformed`] that quotes the beginning of `text`, and says so when that is a web page.
    pub(super) fn malformed(what: impl fmt::Display, text: &str) -> Self {
        let text = text.trim_start();
        let what = if text.starts_with('<') {
            "expected JSON, got HTML".to_owned()
        } else {
            what.to_string()
        };
        let excerpt = text.chars().take(EXCERPT_CHARS).collect();
        Error::Malformed { what, excerpt }
    }
}

/// An error as the provider words it.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct ApiError {
    /// The sentence for people.
    pub message: String,
    /// The provider's code, or its error type where it gives no code.
    pub code: Option<String>,
    /// What kind of error it is, in further words of the provider: its reasons, its textual status, its
    /// type; the most exact first.
    pub kinds: Vec<String>,
    /// When to ask again, where the body says so beside its sentence: seconds, a span such as `34.5s`, or
    /// the time of a reset.
    pub retry_after: Option<String>,
    /// The HTTP status the body itself names; it counts more than that of a response of 200.
    pub status: Option<u16>,
    /// The field of the request it is about, such as one the model does not support.
    pub param: Option<String>,
    /// What the model wrote, where the provider refused it: a call that could not be read.
    pub failed_generation: Option<String>,
}

impl fmt::Display for ApiError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.message)?;
        match (&self.code, self.status) {
            (Some(code), _) => write!(f, " ({code})"),
            (None, Some(status)) => write!(f, " ({status})"),
            (None, None) => Ok(()),
        }
    }
}
