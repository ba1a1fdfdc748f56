//! A batch of records as it is kept: a JSON array of the records, without the session's id.

use std::sync::Arc;

use crate::conversation::{Record, SessionId};
use crate::store::Error;

/// The text of `records`.
pub(in crate::store) fn written(records: &[Record]) -> Result<Arc<str>, Error> {
    let mut text = Vec::with_capacity(256 * records.len());
    for record in records {
        text.push(if text.is_empty() { b'[' } else { b',' });
        record.write_kept(&mut text).map_err(|error| damaged(&record.session, &error))?;
    }
    text.push(b']');
    let text = String::from_utf8(text).map_err(|error| Error::Damaged {
        what: "an event".to_owned(),
        reason: error.to_string(),
    })?;
    Ok(text.into())
}

/// Adds to `records` those of `session` in `text` that come after event `after`.
///
/// # Errors
/// [`Error::Damaged`], also if there is one missing before them.
pub(in crate::store) fn read(
    session: &SessionId,
    text: &str,
    after: u64,
    records: &mut Vec<Record>,
) -> Result<(), Error> {
    let mut kept = Kept { session, text, at: 0 };
    while let Some((record, _)) = kept.next()? {
        if record.seq <= after {
            continue;
        }
        let due = records.last().map_or(after, |last| last.seq) + 1;
        if record.seq != due {
            let reason = format!("event {} stands where event {due} should be", record.seq);
            return Err(Error::Damaged { what: journal_of(session), reason });
        }
        records.push(record);
    }
    Ok(())
}

/// `text` without the records behind event `last`, byte for byte as they are.
pub(in crate::store) fn cut(session: &SessionId, text: &str, last: u64) -> Result<String, Error> {
    let (mut kept, mut cut) = (Kept { session, text, at: 0 }, String::new());
    while let Some((record, written)) = kept.next()? {
        if record.seq <= last {
            cut.push(if cut.is_empty() { '[' } else { ',' });
            cut.push_str(written);
        }
    }
    cut.push(']');
    Ok(cut)
}

/// The records of a batch, one after another.
struct Kept<'a> {
    session: &'a SessionId,
    text: &'a str,
    /// So much of it was read.
    at: usize,
}

impl<'a> Kept<'a> {
    /// The next one, and as it is written; `None` at the end of the batch.
    fn next(&mut self) -> Result<Option<(Record, &'a str)>, Error> {
        let mark = self.text.as_bytes().get(self.at).copied();
        match mark {
            Some(b'[') if self.at == 0 => {}
            Some(b',') if self.at > 0 => {}
            Some(b']') if self.at > 0 && self.at + 1 == self.text.len() => return Ok(None),
            _ => {
                let reason = format!("a batch is not whole at byte {}", self.at);
                return Err(Error::Damaged { what: journal_of(self.session), reason });
            }
        }
        let rest = &self.text[self.at + 1..];
        let (record, length) =
            Record::read_kept(self.session, rest).map_err(|error| damaged(self.session, &error))?;
        self.at += 1 + length;
        Ok(Some((record, &rest[..length])))
    }
}

fn damaged(session: &SessionId, error: &serde_json::Error) -> Error {
    Error::Damaged { what: journal_of(session), reason: error.to_string() }
}

fn journal_of(session: &SessionId) -> String {
    format!("the journal of session `{session}`")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::conversation::Event;

    fn record(line: &str) -> Record {
        serde_json::from_str(line).unwrap()
    }

    #[test]
    fn records_are_kept_without_their_session_and_read_again() {
        let lines = [
            r#"{"v":1,"seq":7,"at_us":1,"session":"s","type":"turn_started","turn":1,"prompt":"a\u0000\"ö"}"#,
            r#"{"v":2,"seq":8,"at_us":2,"session":"s","type":"moon_rose","session_of":[1,2.5,null]}"#,
            r#"{"v":1,"seq":9,"at_us":3,"session":"s","type":"session_opened","system":null}"#,
        ];
        let records = lines.map(record);
        let session = SessionId::new("s");
        let text = written(&records).unwrap();
        assert!(!text.contains(r#""session":"#) && !text.contains('\0'), "{text}");
        let mut again = Vec::new();
        read(&session, &text, 7, &mut again).unwrap();
        assert_eq!(again, records[1..]);
        assert!(matches!(again[0].event, Event::Unknown(_)));

        let cut = cut(&session, &text, 8).unwrap();
        assert!(text.starts_with(&cut[..cut.len() - 1]), "{cut}");
        let mut first = Vec::new();
        read(&session, &cut, 6, &mut first).unwrap();
        assert_eq!(first, records[..2]);
    }

    #[test]
    fn a_journal_with_a_hole_is_not_taken_for_a_whole_one() {
        let session = SessionId::new("s");
        let event = |seq| format!(r#"[{{"v":1,"seq":{seq},"at_us":1,"type":"moon_rose"}}]"#);
        let mut records = Vec::new();
        read(&session, &event(1), 0, &mut records).unwrap();
        let error = read(&session, &event(3), 0, &mut records).unwrap_err();
        let reason = "event 3 stands where event 2 should be";
        let what = "the journal of session `s` cannot be read";
        assert_eq!(error.to_string(), format!("{what}: {reason}"));
        assert!(read(&session, &event(2), 0, &mut Vec::new()).is_err(), "the first is missing");
        assert!(read(&session, &event(1), 0, &mut records).is_err(), "it is there already");
    }

    #[test]
    fn a_batch_that_is_not_whole_is_not_taken_for_one() {
        let session = SessionId::new("s");
        let one = |seq: u64| format!(r#"{{"v":1,"seq":{seq},"at_us":1,"type":"moon_rose"}}"#);
        let whole = format!("[{},{}]", one(1), one(2));
        read(&session, &whole, 0, &mut Vec::new()).unwrap();
        for end in 0..whole.len() {
            let text = &whole[..end];
            assert!(read(&session, text, 0, &mut Vec::new()).is_err(), "{text}");
        }
        for text in [
            format!("{whole}]"),
            format!("[{}{}]", one(1), one(2)),
            format!("[{},]", one(1)),
            format!("[,{}]", one(1)),
            one(1),
        ] {
            assert!(read(&session, &text, 0, &mut Vec::new()).is_err(), "{text}");
        }
    }

    #[test]
    fn what_cannot_be_read_names_the_session() {
        let error = read(&SessionId::new("s"), "[{]", 0, &mut Vec::new()).unwrap_err();
        assert!(error.to_string().starts_with("the journal of session `s` cannot be read: "));
    }
}
