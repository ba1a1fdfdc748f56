//! Whether a person has to approve a call.

use serde::{Deserialize, Serialize};

/// Whether a person has to approve the calls of a tool before they begin.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Approval {
    /// Nobody is asked.
    #[default]
    Never,
    /// The first call that is approved stands for all of the session.
    OncePerSession,
    /// Each call.
    Always,
}

impl Approval {
    /// The name used in settings and listings.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Never => "never",
            Self::OncePerSession => "once_per_session",
            Self::Always => "always",
        }
    }
}
