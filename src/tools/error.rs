//! What a tool may say when it fails.

use std::fmt;

/// A tool's own failure. The model is told the message and may try something else; nothing is
/// restarted.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{message}")]
pub struct Error {
    message: String,
    bad_arguments: bool,
    permanent: bool,
}

impl Error {
    /// The model is told `message`.
    pub fn new(message: impl fmt::Display) -> Self {
        Self { message: message.to_string(), bad_arguments: false, permanent: false }
    }

    /// The model is told `message`, and the call is not tried again whatever
    /// [`super::ToolType::retries`] allows: it would end the same way.
    pub fn permanent(message: impl fmt::Display) -> Self {
        Self { permanent: true, ..Self::new(message) }
    }

    /// The arguments cannot be used, for the reason `message`, which the schema could not say.
    pub fn bad_arguments(message: impl fmt::Display) -> Self {
        Self { bad_arguments: true, permanent: true, ..Self::new(message) }
    }

    pub(super) fn is_bad_arguments(&self) -> bool {
        self.bad_arguments
    }

    /// Says whether another try would end the same way.
    pub(super) fn is_permanent(&self) -> bool {
        self.permanent
    }

    /// What the model is told.
    #[must_use]
    pub fn message(&self) -> &str {
        &self.message
    }
}
