//! Why bytes are no reply, and the errors that providers send in a reply's place.

use serde_json::value::RawValue;

use super::Reply;
use super::envelope::{Fields, text_of};

/// Why there is no reply in the bytes.
#[derive(Clone, Debug, thiserror::Error)]
pub enum Error {
    /// They are not what Chat Completions sends.
    #[error("{what}: {excerpt}")]
    Malformed {
        /// What was expected, and what came.
        what: String,
        /// The beginning of what came.
        excerpt: String,
    },
    /// The provider says that it failed.
    #[error("{}", .0.message)]
    Api(ApiError),
    /// The stream ended before the reply did.
    #[error("the stream ended before the reply did")]
    Cut {
        /// What had arrived; its calls are judged as truncated.
        partial: Box<Reply>,
    },
    /// One event of the stream is larger than anything sensible.
    #[error("an event of the stream is larger than {limit} bytes")]
    TooLarge {
        /// The limit that was passed.
        limit: usize,
    },
}

/// An error in a provider's words.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ApiError {
    /// What it says.
    pub message: String,
    /// Its name for the error.
    pub code: Option<String>,
    /// The HTTP status the body speaks of, which under HTTP 200 is the only one there is.
    pub status: Option<u16>,
}

impl Error {
    /// `bytes` are not `expected`.
    pub(super) fn malformed(expected: &str, bytes: &[u8]) -> Self {
        let start = &bytes[..bytes.len().min(400)];
        let text = String::from_utf8_lossy(start);
        let line = text.split_whitespace().collect::<Vec<_>>().join(" ");
        let excerpt: String = line.chars().take(200).collect();
        let came = if excerpt.is_empty() {
            "nothing"
        } else if excerpt.starts_with('<') {
            "HTML"
        } else {
            "something else"
        };
        Self::Malformed { what: format!("expected {expected}, got {came}"), excerpt }
    }
}

/// Finds the error in the body of a failed request, in any of the shapes that providers use:
/// `{"error": {…}}`, `{"error": "…"}`, a list of either, `{"object": "error", "message": …}`,
/// `{"message": …}`, `{"detail": …}`.
#[must_use]
pub fn error_in(body: &[u8]) -> Option<ApiError> {
    if let Ok(list) = serde_json::from_slice::<Vec<&RawValue>>(body) {
        return list.first().and_then(|first| error_in(first.get().as_bytes()));
    }
    let fields: Fields<'_> = serde_json::from_slice(body).ok()?;
    if let Some(error) = fields.get("error") {
        return from_value(error);
    }
    let message = fields.get("message").or_else(|| fields.get("detail"))?;
    let mut error = of_fields(&fields);
    error.message = text_of(message).map_or_else(|| message.get().to_owned(), Into::into);
    Some(error)
}

/// Reads the value of an `error` field; `null` and `false` say that there is none.
pub(super) fn from_value(value: &RawValue) -> Option<ApiError> {
    if matches!(value.get(), "null" | "false" | "{}" | "\"\"") {
        return None;
    }
    if let Some(message) = text_of(value) {
        return Some(ApiError { message: message.into(), code: None, status: None });
    }
    let Ok(fields) = serde_json::from_str::<Fields<'_>>(value.get()) else {
        return Some(ApiError { message: value.get().to_owned(), code: None, status: None });
    };
    let mut error = of_fields(&fields);
    if error.message.is_empty() {
        value.get().clone_into(&mut error.message);
    }
    Some(error)
}

fn of_fields(fields: &Fields<'_>) -> ApiError {
    let text = |name| fields.get(name).and_then(text_of).map(String::from);
    let number = |name: &str| fields.get(name)?.get().trim_matches('"').parse::<u16>().ok();
    let status = ["code", "status", "status_code"].into_iter().find_map(number);
    ApiError {
        message: text("message").unwrap_or_default(),
        code: text("code").or_else(|| text("type")),
        status: status.filter(|status| (300..600).contains(status)),
    }
}
