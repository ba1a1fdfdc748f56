//! Names that never change hands: a session's id and a call's key.

use std::fmt;
use std::sync::Arc;

use serde::{Deserialize, Serialize};

/// The id of one conversation. It outlives the process.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(transparent)]
pub struct SessionId(Arc<str>);

impl SessionId {
    /// Takes `id` as it is.
    pub fn new(id: impl Into<Arc<str>>) -> Self {
        Self(id.into())
    }

    /// A fresh id, sortable by the time it was made (UUID version 7).
    #[must_use]
    pub fn random() -> Self {
        let mut text = uuid::Uuid::encode_buffer();
        Self((&*uuid::Uuid::now_v7().hyphenated().encode_lower(&mut text)).into())
    }

    /// The id's text.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for SessionId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// The runtime's own name of a call, the same through retries, restarts and resumes.
///
/// The id on the wire will not do: providers leave it out, repeat it within one reply, and count
/// from zero again in the next. Written as `session/round/attempt/ordinal`, the key is the
/// idempotency key that a tool may hand on.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct CallKey {
    /// The conversation.
    pub session: SessionId,
    /// Counts through the session's life, from 1, and is never used again.
    pub round: u64,
    /// Which try of the model's reply asked for the call, from 1.
    pub attempt: u32,
    /// The call's place in the reply, from 0.
    pub ordinal: u32,
}

impl CallKey {
    /// The call's place in its round.
    #[must_use]
    pub fn place(&self) -> Place {
        Place { reply_attempt: self.attempt, ordinal: self.ordinal }
    }
}

/// Where a call stands in its round: what its key says besides session and round.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
pub struct Place {
    /// Which try of the model's reply asked for it, from 1.
    pub reply_attempt: u32,
    /// Its place in the reply, from 0.
    pub ordinal: u32,
}

impl fmt::Display for CallKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { session, round, attempt, ordinal } = self;
        write!(f, "{session}/{round}/{attempt}/{ordinal}")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_key_reads_as_a_path() {
        let key = CallKey { session: SessionId::new("s1"), round: 3, attempt: 1, ordinal: 0 };
        assert_eq!(key.to_string(), "s1/3/1/0");
    }
}
