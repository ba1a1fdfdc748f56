//! Why a store did not do what it was asked.

use super::Owner;
use crate::conversation::{Record, SessionId, VERSION};

/// Why a store did not do what it was asked.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// Somebody else wrote to the session: this owner knows less than the journal and must stop.
    #[error("session `{session}` is at event {found}, not {expected}: it has another owner")]
    Conflict {
        /// The session.
        session: SessionId,
        /// What the writer took for the last event.
        expected: u64,
        /// The last event there is.
        found: u64,
    },
    /// A later owner opened the session: this one begins nothing any more.
    #[error("session `{session}` was taken over by a later owner")]
    Fenced {
        /// The session.
        session: SessionId,
    },
    /// Somebody has the session open. Wait until it is closed, or take it over.
    #[error("session `{session}` is open in {owner}")]
    Busy {
        /// The session.
        session: SessionId,
        /// Who has it.
        owner: Owner,
    },
    /// There is no such session.
    #[error("no such session: `{session}`")]
    NotFound {
        /// The session.
        session: SessionId,
    },
    /// There is such a session already.
    #[error("there is a session `{session}` already")]
    Exists {
        /// The session.
        session: SessionId,
    },
    /// A later version of the program wrote it, and this one would misread it. It is left as it is.
    #[error("{what} is of version {found}, and this program knows {known}: use a later one")]
    Newer {
        /// What it is: the store, or a session.
        what: String,
        /// Its version.
        found: u32,
        /// The latest one that is known here.
        known: u32,
    },
    /// The URL of a store names none that can be opened.
    #[error("no store at this url: {reason}")]
    BadUrl {
        /// One line, without the URL.
        reason: String,
    },
    /// What is kept cannot be read.
    #[error("{what} cannot be read: {reason}")]
    Damaged {
        /// What it is.
        what: String,
        /// One line.
        reason: String,
    },
    /// The store does not answer, or cannot write.
    #[error("the store failed: {reason}")]
    Unavailable {
        /// One line.
        reason: String,
    },
}

impl Error {
    /// That one of the `records` of `session` was written by a later version, if one was: to go on
    /// would be to build on what was misread.
    pub(crate) fn newer(session: &SessionId, records: &[Record]) -> Option<Self> {
        let found = records.iter().map(|record| record.v).find(|version| *version > VERSION)?;
        Some(Self::Newer { what: format!("session `{session}`"), found, known: VERSION })
    }
}
