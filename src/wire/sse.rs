//! Server-sent events: bytes in, the data of whole events out.
//!
//! The framing of <https://html.spec.whatwg.org/multipage/server-sent-events.html>, on bytes: a
//! piece of the network may end within a line, a CR LF or a character. Two liberties that
//! providers take are understood: an event that ends with one line end, and no event end at all
//! before the end of the stream.

use super::{Error, chat};

/// The largest event that is taken.
const MAX_EVENT_BYTES: usize = 16 << 20;

/// Splits a stream into events. Each byte is looked at once.
#[derive(Debug, Default)]
pub(super) struct EventReader {
    /// What has not been read yet: the beginning of a line.
    line: Vec<u8>,
    /// The data of the event that has begun.
    data: Option<Vec<u8>>,
    /// The last byte was a CR: an LF that follows belongs to it.
    after_cr: bool,
}

impl EventReader {
    /// Takes in `bytes` and hands the data of each event that they complete to `each`.
    pub fn feed(
        &mut self,
        mut bytes: &[u8],
        each: &mut dyn FnMut(&[u8]) -> Result<(), Error>,
    ) -> Result<(), Error> {
        while !bytes.is_empty() {
            if std::mem::take(&mut self.after_cr) && bytes[0] == b'\n' {
                bytes = &bytes[1..];
                continue;
            }
            let Some(end) = memchr::memchr2(b'\n', b'\r', bytes) else {
                self.line.extend_from_slice(bytes);
                self.check_size()?;
                return Ok(());
            };
            let (line, rest) = (&bytes[..end], &bytes[end + 1..]);
            self.after_cr = bytes[end] == b'\r';
            if self.line.is_empty() {
                self.on_line(line, each)?;
            } else {
                self.line.extend_from_slice(line);
                let line = std::mem::take(&mut self.line);
                self.on_line(&line, each)?;
                self.line = line;
                self.line.clear();
            }
            bytes = rest;
        }
        Ok(())
    }

    /// No more bytes will come: hands out what is left.
    pub fn finish(
        &mut self,
        each: &mut dyn FnMut(&[u8]) -> Result<(), Error>,
    ) -> Result<(), Error> {
        let line = std::mem::take(&mut self.line);
        if !line.is_empty() {
            self.on_line(&line, each)?;
        }
        self.end_event(each)
    }

    fn on_line(
        &mut self,
        line: &[u8],
        each: &mut dyn FnMut(&[u8]) -> Result<(), Error>,
    ) -> Result<(), Error> {
        if line.is_empty() {
            return self.end_event(each);
        }
        let Some(value) = line.strip_prefix(b"data") else {
            return Ok(());
        };
        let value = match value {
            [] => value,
            [b':', b' ', value @ ..] | [b':', value @ ..] => value,
            _ => return Ok(()), // Another field.
        };
        // Some end an event with one line end: what is whole already is an event of its own.
        if self.data.as_ref().is_some_and(|data| is_whole(data)) {
            self.end_event(each)?;
        }
        match &mut self.data {
            Some(data) => {
                data.push(b'\n');
                data.extend_from_slice(value);
            }
            None => self.data = Some(value.to_vec()),
        }
        self.check_size()
    }

    fn end_event(&mut self, each: &mut dyn FnMut(&[u8]) -> Result<(), Error>) -> Result<(), Error> {
        match self.data.take() {
            Some(data) if !data.is_empty() => each(&data),
            _ => Ok(()),
        }
    }

    fn check_size(&self) -> Result<(), Error> {
        let size = self.line.len() + self.data.as_ref().map_or(0, Vec::len);
        if size > MAX_EVENT_BYTES {
            return Err(Error::TooLarge { limit: MAX_EVENT_BYTES });
        }
        Ok(())
    }
}

fn is_whole(data: &[u8]) -> bool {
    data == b"[DONE]" || chat::is_json(data)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn events(stream: &[u8], piece: usize) -> Vec<String> {
        let mut reader = EventReader::default();
        let mut events = Vec::new();
        let mut each = |data: &[u8]| {
            events.push(String::from_utf8_lossy(data).into_owned());
            Ok(())
        };
        for piece in stream.chunks(piece) {
            reader.feed(piece, &mut each).unwrap();
        }
        reader.finish(&mut each).unwrap();
        events
    }

    fn check(stream: &str, expected: &[&str]) {
        for piece in [1, 2, 3, 7, usize::MAX] {
            assert_eq!(events(stream.as_bytes(), piece), expected, "{stream:?} by {piece}");
        }
    }

    #[test]
    fn every_framing_that_is_seen_is_read() {
        check("data: {\"a\":1}\n\ndata: [DONE]\n\n", &["{\"a\":1}", "[DONE]"]);
        check("data: 1\r\n\r\ndata: 2\r\n\r\n", &["1", "2"]);
        check("data: 1\r\rdata: 2\r\r", &["1", "2"]);
        check(": OPENROUTER PROCESSING\n\ndata:1\n\n", &["1"]);
        check("event: error\nid: 3\nretry: 10\ndata: 1\n\n", &["1"]);
        check("data:\n\ndata: 1\n\n", &["1"]);
        check("data: {\ndata: }\n\n", &["{\n}"]);
        check(
            "data: {\"a\":1}\ndata: {\"b\":2}\ndata: [DONE]\n",
            &["{\"a\":1}", "{\"b\":2}", "[DONE]"],
        );
        check("data: {\"text\":\"東京\"}\n\n", &["{\"text\":\"東京\"}"]);
        check("data: 1", &["1"]);
        check("database: 1\n\n", &[]);
    }

    #[test]
    fn an_event_without_end_is_refused() {
        let mut reader = EventReader::default();
        let piece = vec![b'x'; 1 << 20];
        let fed = (0..20).try_for_each(|_| reader.feed(&piece, &mut |_| Ok(())));
        assert!(matches!(fed, Err(Error::TooLarge { .. })));
    }
}
