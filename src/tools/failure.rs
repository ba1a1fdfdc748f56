//! What can be wrong with a worker.

pub(super) use crate::conversation::fingerprint;

/// Why a worker is to be rebuilt, or its tool to be withdrawn. That a tool answers with an error is
/// no failure of its worker.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Failure {
    /// It, or a call of it, panicked.
    Crash {
        /// What it panicked with.
        cause: String,
        /// A number that stands for the call's arguments, if it was a call.
        arguments: Option<u64>,
    },
    /// So many calls in a row had no result in time that it is taken for dead
    /// ([`max_time_outs`](crate::supervision::RestartLimits::max_time_outs)).
    TimedOut {
        /// A line that says how many.
        cause: String,
    },
    /// Too large a share of its calls panics or times out
    /// ([`max_failure_rate`](crate::supervision::RestartLimits::max_failure_rate)), or the call that
    /// was to find out whether it works again had no result in time. The tool is withdrawn.
    TooMany {
        /// A line that says how many, or what else it was.
        cause: String,
    },
}

impl Failure {
    /// What it was, as logs, events and the model tell it: a line of ours, or what the tool panicked
    /// with.
    #[must_use]
    pub fn cause(&self) -> &str {
        match self {
            Self::Crash { cause, .. } | Self::TimedOut { cause } | Self::TooMany { cause } => cause,
        }
    }
}
