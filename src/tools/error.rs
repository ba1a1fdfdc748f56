//! What a tool may say when it fails.

use std::fmt;

/// A tool's own failure. The model is told the message and may try something else; nothing is
/// restarted.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{message}")]
pub struct Error {
    message: String,
    bad_arguments: bool,
}

impl Error {
    /// The model is told `message`.
    pub fn new(message: impl fmt::Display) -> Self {
        Self { message: message.to_string(), bad_arguments: false }
    }

    /// The arguments cannot be used, for the reason `message`, which the schema could not say.
    pub fn bad_arguments(message: impl fmt::Display) -> Self {
        Self { message: message.to_string(), bad_arguments: true }
    }

    pub(super) fn is_bad_arguments(&self) -> bool {
        self.bad_arguments
    }

    /// What the model is told.
    #[must_use]
    pub fn message(&self) -> &str {
        &self.message
    }
}
