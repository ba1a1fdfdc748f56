//! How much of a journal is read at a time.

use std::io;

use crate::conversation::Record;

/// How much of a journal is read at a time: whichever of the two is reached first. One record is always
/// read, if there is one.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct ReadLimit {
    /// So many records at most.
    pub records: usize,
    /// No further record once they have so many bytes as JSON: it is passed by one record at most.
    pub bytes: usize,
}

impl ReadLimit {
    /// The first of `records`, as far as the limit goes.
    pub(super) fn cut(self, mut records: Vec<Record>) -> Vec<Record> {
        let (mut bytes, mut taken) = (0, 0);
        while taken < records.len() && taken < self.records.max(1) {
            bytes += size(&records[taken]);
            taken += 1;
            if bytes >= self.bytes {
                break;
            }
        }
        records.truncate(taken);
        records
    }
}

/// The length of `record` as JSON; 0 for what cannot be written.
fn size(record: &Record) -> usize {
    let mut size = Size(0);
    serde_json::to_writer(&mut size, record).map_or(0, |()| size.0)
}

/// Counts what is written, and keeps nothing.
struct Size(usize);

impl io::Write for Size {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.0 += bytes.len();
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::conversation::{Event, SessionId};

    fn record(seq: u64, text: &str) -> Record {
        let event = Event::SessionOpened { system: Some(text.into()), history: None };
        Record { v: 1, seq, at_us: 1, session: SessionId::new("s"), event }
    }

    #[test]
    fn a_limit_is_passed_by_less_than_a_record_and_never_cuts_the_first() {
        let records: Vec<Record> = (1..=4).map(|seq| record(seq, "x")).collect();
        let one = serde_json::to_string(&records[0]).unwrap().len();
        assert_eq!(size(&records[0]), one);
        for (most, bytes, taken) in [
            (9, usize::MAX, 4),
            (4, usize::MAX, 4),
            (3, usize::MAX, 3),
            (0, usize::MAX, 1),
            (9, 0, 1),
            (9, one, 1),
            (9, one + 1, 2),
            (9, 2 * one, 2),
            (1, 2 * one, 1),
        ] {
            let cut = ReadLimit { records: most, bytes }.cut(records.clone());
            assert_eq!(cut, records[..taken], "{most} records, {bytes} bytes");
        }
        assert_eq!(ReadLimit { records: 1, bytes: 1 }.cut(Vec::new()), []);
    }
}
