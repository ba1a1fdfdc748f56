//! An event with its place in a session's life, as the journal keeps it.

mod head;

use std::sync::Arc;

use serde::de::Error as _;
use serde::{Deserialize, Deserializer, Serialize, Serializer};
use serde_json::value::RawValue;

use self::head::Head;
use super::{Event, SessionId};

/// The version written into every [`Record`]. Raised when a reader of the last version would
/// misread an event; new events and new optional fields do not raise it.
pub const VERSION: u32 = 1;

/// An event with its place in the session's life.
///
/// Read from JSON, an event of a kind that is not known here, or of a later [`VERSION`], is an
/// [`Event::Unknown`], and is written as it was.
#[derive(Clone, Debug, PartialEq)]
pub struct Record {
    /// [`VERSION`] at the time of writing.
    pub v: u32,
    /// Counts the session's durable events from 1. An event that is not kept carries the number of
    /// the last one that is.
    pub seq: u64,
    /// When it happened: microseconds since 1970, never running backwards within a process.
    pub at_us: u64,
    /// The conversation.
    pub session: SessionId,
    /// What happened.
    pub event: Event,
}

/// The kinds of events that are known here, as in their `type`.
const KINDS: [&str; 21] = [
    "session_opened",
    "turn_started",
    "summary_asked",
    "context_compacted",
    "model_asked",
    "model_failed",
    "text_streamed",
    "reasoning_streamed",
    "replied",
    "approval_asked",
    "approval_decided",
    "call_started",
    "call_progressed",
    "call_queued",
    "call_retried",
    "call_ended",
    "worker_restarted",
    "circuit_opened",
    "circuit_closed",
    "turn_resumed",
    "turn_ended",
];

/// The records of one step: kept all of them or none. Shared by the journal, the session and its
/// reports.
pub type Batch = Arc<Vec<Record>>;

/// An event of a kind that is not known here: its fields, `type` among them.
#[derive(Clone, Debug, PartialEq)]
pub struct Unknown(serde_json::Map<String, serde_json::Value>);

/// A record as it is written.
#[derive(Serialize)]
struct Written<'a, E> {
    v: u32,
    seq: u64,
    at_us: u64,
    #[serde(skip_serializing_if = "Option::is_none")]
    session: Option<&'a SessionId>,
    #[serde(flatten)]
    event: &'a E,
}

impl Serialize for Record {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        self.write(Some(&self.session), serializer)
    }
}

impl Record {
    fn write<S: Serializer>(
        &self,
        session: Option<&SessionId>,
        serializer: S,
    ) -> Result<S::Ok, S::Error> {
        let Self { v, seq, at_us, ref event, .. } = *self;
        match event {
            Event::Unknown(Unknown(event)) => {
                Written { v, seq, at_us, session, event }.serialize(serializer)
            }
            event => Written { v, seq, at_us, session, event }.serialize(serializer),
        }
    }

    /// Writes it as JSON to the end of `text`, without the session, which all its records share.
    #[cfg(feature = "sql")]
    pub(crate) fn write_kept(&self, text: &mut Vec<u8>) -> Result<(), serde_json::Error> {
        self.write(None, &mut serde_json::Serializer::new(text))
    }

    /// Reads the record of `session` with which `text` begins, as [`Record::write_kept`] wrote it,
    /// and says how long it is.
    #[cfg(feature = "sql")]
    pub(crate) fn read_kept(
        session: &SessionId,
        text: &str,
    ) -> Result<(Self, usize), serde_json::Error> {
        Self::read(Some(session), text)
    }

    fn read(session: Option<&SessionId>, text: &str) -> Result<(Self, usize), serde_json::Error> {
        let (Head { v, seq, at_us, kind }, written) = head::read(text, session.is_none())?;
        let session = session.cloned().or(written);
        let session = session.ok_or_else(|| serde_json::Error::missing_field("session"))?;
        let (event, length) = match v > VERSION || !KINDS.contains(&&*kind) {
            true => {
                let (json, length) = first::<&RawValue>(text)?;
                (Event::Unknown(Unknown::read(json.get())?), length)
            }
            false => first(text)?,
        };
        Ok((Self { v, seq, at_us, session, event }, length))
    }
}

/// The value with which `text` begins, and where it ends.
fn first<'de, T: Deserialize<'de>>(text: &'de str) -> Result<(T, usize), serde_json::Error> {
    let mut values = serde_json::Deserializer::from_str(text).into_iter();
    let value = values.next().unwrap_or_else(|| Err(serde_json::Error::custom("nothing")))?;
    Ok((value, values.byte_offset()))
}

impl<'de> Deserialize<'de> for Record {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let json = Box::<RawValue>::deserialize(deserializer)?;
        Self::read(None, json.get()).map(|(record, _)| record).map_err(D::Error::custom)
    }
}

impl Unknown {
    fn read(json: &str) -> Result<Self, serde_json::Error> {
        let mut fields: serde_json::Map<_, _> = serde_json::from_str(json)?;
        fields.retain(|name, _| !matches!(&**name, "v" | "seq" | "at_us" | "session"));
        Ok(Self(fields))
    }

    /// Its kind: what its `type` says.
    #[must_use]
    pub fn kind(&self) -> &str {
        self.0.get("type").and_then(|kind| kind.as_str()).unwrap_or_default()
    }
}

#[cfg(test)]
mod tests;
