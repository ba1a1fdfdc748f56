//! What every record begins with. It is read before the event, whose kind it names; what comes behind
//! it is not looked at twice.

use std::borrow::Cow;
use std::fmt::{self, Formatter};

use serde::de::{Error as _, IgnoredAny, MapAccess, Visitor};
use serde::{Deserialize, Deserializer};

use crate::conversation::SessionId;

/// What every record has.
pub(super) struct Head<'de> {
    pub v: u32,
    pub seq: u64,
    pub at_us: u64,
    pub kind: Cow<'de, str>,
}

/// What was found of it so far.
#[derive(Default)]
struct Found<'de> {
    v: Option<u32>,
    seq: Option<u64>,
    at_us: Option<u64>,
    session: Option<SessionId>,
    kind: Option<Cow<'de, str>>,
    /// The session is looked for, too.
    with_session: bool,
}

#[derive(Deserialize)]
#[serde(field_identifier, rename_all = "snake_case")]
enum Field {
    V,
    Seq,
    AtUs,
    Session,
    Type,
    #[serde(other)]
    Other,
}

#[derive(Deserialize)]
struct Kind<'a>(#[serde(borrow)] Cow<'a, str>);

/// Reads the head of the record with which `text` begins, with its session if that is asked for and
/// there is one.
pub(super) fn read(
    text: &str,
    with_session: bool,
) -> Result<(Head<'_>, Option<SessionId>), serde_json::Error> {
    let mut found = Found { with_session, ..Found::default() };
    let end = serde_json::Deserializer::from_str(text).deserialize_map(&mut found);
    // The reader misses the end of an object that was left early.
    if let Err(error) = end
        && !found.is_whole()
    {
        return Err(error);
    }
    let missing = serde_json::Error::missing_field;
    let head = Head {
        v: found.v.ok_or_else(|| missing("v"))?,
        seq: found.seq.ok_or_else(|| missing("seq"))?,
        at_us: found.at_us.ok_or_else(|| missing("at_us"))?,
        kind: found.kind.ok_or_else(|| missing("type"))?,
    };
    Ok((head, found.session))
}

impl Found<'_> {
    fn is_whole(&self) -> bool {
        self.v.is_some()
            && self.seq.is_some()
            && self.at_us.is_some()
            && self.kind.is_some()
            && (self.session.is_some() || !self.with_session)
    }
}

impl<'de> Visitor<'de> for &mut Found<'de> {
    type Value = ();

    fn expecting(&self, formatter: &mut Formatter<'_>) -> fmt::Result {
        formatter.write_str("a record")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut fields: A) -> Result<(), A::Error> {
        while !self.is_whole() {
            match fields.next_key()? {
                None => break,
                Some(Field::V) => self.v = Some(fields.next_value()?),
                Some(Field::Seq) => self.seq = Some(fields.next_value()?),
                Some(Field::AtUs) => self.at_us = Some(fields.next_value()?),
                Some(Field::Session) if self.with_session => {
                    self.session = Some(fields.next_value()?);
                }
                Some(Field::Type) => self.kind = Some(fields.next_value::<Kind<'de>>()?.0),
                Some(Field::Session | Field::Other) => drop(fields.next_value::<IgnoredAny>()?),
            }
        }
        Ok(())
    }
}
