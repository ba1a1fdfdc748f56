//! Whether a person has to approve a call, what they may say, and what the model is told of it.

use std::sync::Arc;

use serde::{Deserialize, Serialize};

use super::{Outcome, OutcomeKind};

/// How much of the arguments that a person wrote the model is told.
const MAX_TOLD: usize = 2_000;

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
    /// It does not run here at all: whoever is asked answers it in the tool's stead
    /// ([`Decision::Answered`]). No decision made beforehand speaks of it.
    Outside,
}

impl Approval {
    /// The name used in settings and listings.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Never => "never",
            Self::OncePerSession => "once_per_session",
            Self::Always => "always",
            Self::Outside => "outside",
        }
    }
}

/// What a person says of a call that waits for approval.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "decision", rename_all = "snake_case")]
pub enum Decision {
    /// It runs as the model asked for it.
    Approved,
    /// It runs with other arguments, and the model is told so. The history keeps what the model wrote.
    Edited {
        /// The text of a JSON object that fits the tool's schema.
        arguments: Arc<str>,
    },
    /// It does not run.
    Denied {
        /// What the model is told of why.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        reason: Option<Arc<str>>,
    },
    /// It ran somewhere else, and came to this.
    Answered {
        /// What the model is told, as it stands.
        content: Arc<str>,
    },
}

impl Decision {
    /// The name used in JSON and in the log.
    #[must_use]
    pub fn as_str(&self) -> &'static str {
        match self {
            Self::Approved => "approved",
            Self::Edited { .. } => "edited",
            Self::Denied { .. } => "denied",
            Self::Answered { .. } => "answered",
        }
    }
}

/// Why a decision cannot be taken.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum NotDecided {
    /// There is no such call, nobody has to approve it, it was not asked about yet, or it has ended.
    #[error("no such call waits for approval")]
    NotWaiting,
    /// Somebody was faster. The first decision counts.
    #[error("the call is decided already")]
    Already,
    /// A call that does not run here ([`Approval::Outside`]) is answered or denied, any other approved or
    /// denied. It still waits.
    #[error("a call that does not run here is answered, any other is approved")]
    WrongPlace,
    /// The arguments that were to take the place of the model's cannot: the call still waits.
    #[error("the arguments do not fit: {message}")]
    BadArguments {
        /// One line.
        message: String,
    },
}

/// The code of the problem of a call that was not approved.
pub const NOT_APPROVED: &str = "not_approved";

/// How a call ends that was not approved.
pub(super) fn denied(reason: Option<&str>) -> Outcome {
    let message = match reason {
        Some(reason) => {
            let words: Vec<_> = reason.split_whitespace().collect();
            format!("the call was not approved and was not run: {}", words.join(" "))
        }
        None => "the call was not approved and was not run".to_owned(),
    };
    let mut outcome = Outcome::failed(OutcomeKind::Denied, message);
    outcome.set_code(NOT_APPROVED);
    outcome
}

/// Tells the model that a person has changed the arguments of the call that ended with `outcome`.
pub(super) fn tell_of_edit(outcome: &mut Outcome, arguments: &str) {
    let told = &arguments[..arguments.floor_char_boundary(MAX_TOLD)];
    let rest = if told.len() < arguments.len() { "…" } else { "" };
    let Outcome { content, .. } = outcome;
    *content = format!(
        "{content}\n\n[a person changed the arguments of this call before it was run, to {told}{rest}]"
    )
    .into();
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_denial_says_in_one_line_why() {
        let outcome = denied(Some("too\n  much"));
        let problem = outcome.problem.expect("it did not end well");
        assert_eq!((outcome.kind, &*problem.code), (OutcomeKind::Denied, "not_approved"));
        assert!(problem.message.ends_with("not run: too much"), "{}", problem.message);
    }

    #[test]
    fn the_model_is_told_of_an_edit_and_not_all_of_a_long_one() {
        let told = |arguments: &str| {
            let mut outcome = Outcome::ok("done");
            tell_of_edit(&mut outcome, arguments);
            outcome.content.to_string()
        };
        let short = told(r#"{"a":1}"#);
        assert!(short.starts_with("done\n\n[a person changed") && short.ends_with(r#"{"a":1}]"#));
        assert!(told(&"ü".repeat(5_000)).len() < MAX_TOLD + 200);
    }
}
