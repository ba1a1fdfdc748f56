//! Server-sent events: bytes in, events out, however the network cut them.
//!
//! Works on bytes, so a cut inside a character or between CR and LF changes nothing; text is decoded per event.

use std::borrow::Cow;

use memchr::memchr2;

use super::Error;
use super::closing::Closing;
use super::shape::text_of;

/// The largest event accepted unless told otherwise: 16 MiB.
pub const DEFAULT_MAX_EVENT: usize = 16 << 20;

/// One event of a stream.
#[derive(Debug, PartialEq, Eq)]
pub struct Event<'a> {
    /// The `event` field; empty if there was none.
    pub name: &'a str,
    /// The `data` lines, joined by line feeds. Bytes that are not UTF-8 are replaced.
    pub data: Cow<'a, str>,
}

/// Cuts a stream of bytes into events, in constant time per byte.
///
/// Lines end with LF, CR or CRLF. Comments and unknown fields are skipped. Where a server leaves out the blank line
/// between events, a new line begins a new event once the data so far is a complete JSON value or `[DONE]`.
#[derive(Debug)]
pub struct Parser {
    max_event: usize,
    /// The beginning of a line whose end has not arrived.
    line: Vec<u8>,
    name: String,
    data: Vec<u8>,
    has_data: bool,
    first_line: bool,
    skip_line_feed: bool,
    /// How far `closing` has looked into `data`, and whether it saw the end of a value there.
    scanned: usize,
    closing: Closing,
    closed: bool,
}

impl Default for Parser {
    fn default() -> Self {
        Parser::new(DEFAULT_MAX_EVENT)
    }
}

impl Parser {
    /// A parser that accepts events of up to `max_event` bytes.
    pub fn new(max_event: usize) -> Self {
        Parser {
            max_event,
            line: Vec::new(),
            name: String::new(),
            data: Vec::new(),
            has_data: false,
            first_line: true,
            skip_line_feed: false,
            scanned: 0,
            closing: Closing::default(),
            closed: false,
        }
    }

    /// Takes in the next bytes and shows every event they complete.
    ///
    /// # Errors
    /// [`Error::TooLarge`] if an event passes the limit, and whatever `on_event` gives. The rest of `bytes` is lost then.
    pub fn feed(
        &mut self,
        mut bytes: &[u8],
        mut on_event: impl FnMut(Event<'_>) -> Result<(), Error>,
    ) -> Result<(), Error> {
        loop {
            if self.skip_line_feed && !bytes.is_empty() {
                self.skip_line_feed = false;
                bytes = bytes.strip_prefix(b"\n").unwrap_or(bytes);
            }
            let Some(end) = memchr2(b'\r', b'\n', bytes) else {
                self.check_size(bytes.len())?;
                self.line.extend_from_slice(bytes);
                return Ok(());
            };
            self.check_size(end)?;
            self.skip_line_feed = bytes[end] == b'\r';
            if self.line.is_empty() {
                self.take_line(&bytes[..end], &mut on_event)?;
            } else {
                let mut line = std::mem::take(&mut self.line);
                line.extend_from_slice(&bytes[..end]);
                self.take_line(&line, &mut on_event)?;
                line.clear();
                self.line = line; // Keeps its capacity for the next cut line.
            }
            bytes = &bytes[end + 1..];
        }
    }

    /// Ends the stream: shows the event that was not followed by a blank line, if its data is complete.
    ///
    /// # Errors
    /// As [`feed`](Self::feed).
    pub fn finish(
        mut self,
        mut on_event: impl FnMut(Event<'_>) -> Result<(), Error>,
    ) -> Result<(), Error> {
        let line = std::mem::take(&mut self.line);
        self.take_line(&line, &mut on_event)?;
        if self.is_complete() { self.dispatch(&mut on_event) } else { Ok(()) }
    }

    fn check_size(&self, more: usize) -> Result<(), Error> {
        match self.data.len() + self.line.len() + more > self.max_event {
            true => Err(Error::TooLarge { limit: self.max_event }),
            false => Ok(()),
        }
    }

    /// Takes in one line without its end.
    fn take_line(
        &mut self,
        mut line: &[u8],
        on_event: &mut impl FnMut(Event<'_>) -> Result<(), Error>,
    ) -> Result<(), Error> {
        if std::mem::take(&mut self.first_line) {
            line = line.strip_prefix(b"\xef\xbb\xbf").unwrap_or(line);
        }
        if line.is_empty() {
            return self.dispatch(on_event);
        }
        let (field, value) = match memchr::memchr(b':', line) {
            Some(colon) => (&line[..colon], &line[colon + 1..]),
            None => (line, &line[line.len()..]),
        };
        let value = value.strip_prefix(b" ").unwrap_or(value);
        match field {
            b"data" => {
                if self.is_complete() {
                    self.dispatch(on_event)?;
                }
                if self.has_data {
                    self.data.push(b'\n');
                }
                self.has_data = true;
                self.data.extend_from_slice(value);
            }
            b"event" => {
                if self.is_complete() {
                    self.dispatch(on_event)?;
                }
                self.name = text_of(value).into_owned();
            }
            _ => {} // A comment, an id, a retry time, or a field of tomorrow.
        }
        Ok(())
    }

    /// True when the data so far is `[DONE]` or holds a whole JSON value. Looks at every byte once.
    fn is_complete(&mut self) -> bool {
        if self.data.trim_ascii() == b"[DONE]" {
            return true;
        }
        if !self.closed {
            self.closed = self.closing.feed(&self.data[self.scanned..]).is_some();
            self.scanned = self.data.len();
        }
        self.closed
    }

    fn dispatch(
        &mut self,
        on_event: &mut impl FnMut(Event<'_>) -> Result<(), Error>,
    ) -> Result<(), Error> {
        let result = match self.has_data {
            true => on_event(Event { name: &self.name, data: text_of(&self.data) }),
            false => Ok(()),
        };
        self.name.clear();
        self.data.clear();
        self.has_data = false;
        self.scanned = 0;
        self.closing = Closing::default();
        self.closed = false;
        result
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn events<'a>(pieces: impl IntoIterator<Item = &'a [u8]>) -> Vec<(String, String)> {
        let mut seen = Vec::new();
        let mut note = |event: Event<'_>| {
            seen.push((event.name.to_owned(), event.data.into_owned()));
            Ok(())
        };
        let mut parser = Parser::default();
        for piece in pieces {
            parser.feed(piece, &mut note).unwrap();
        }
        parser.finish(&mut note).unwrap();
        seen
    }

    fn check(stream: &str, expected: &[&str]) {
        let whole: Vec<String> =
            events([stream.as_bytes()]).into_iter().map(|(_, data)| data).collect();
        assert_eq!(whole, expected, "{stream:?}");
        let bytes: Vec<String> =
            events(stream.as_bytes().chunks(1)).into_iter().map(|(_, data)| data).collect();
        assert_eq!(bytes, expected, "{stream:?}, byte by byte");
    }

    #[test]
    fn f1_comments_are_skipped() {
        check(": OPENROUTER PROCESSING\n\n:\n\ndata: {}\n\n", &["{}"]);
        check("data: {\n: in between\ndata: }\n\n", &["{\n}"]);
    }

    #[test]
    fn f2_every_line_ending_and_an_absent_space_are_accepted() {
        for end in ["\n", "\r", "\r\n"] {
            check(&format!("data:[1]{end}{end}data: [2]{end}{end}"), &["[1]", "[2]"]);
        }
        check("id: 7\nretry: 10\ndata:  x\n\n", &[" x"]);
        check("data\n\ndata:\n\n", &["", ""]);
    }

    #[test]
    fn f2_the_event_field_names_one_event_only() {
        let seen = events([&b"event: error\ndata: {}\n\ndata: []\n\n"[..]]);
        assert_eq!(seen, [("error".into(), "{}".into()), (String::new(), "[]".into())]);
    }

    #[test]
    fn f2_a_carriage_return_with_its_line_feed_is_one_line_ending() {
        check("data: a\r\ndata: b\r\n\r\ndata: c\r\n\r\n", &["a\nb", "c"]);
        let seen = events(b"event: error\r\ndata: {}\r\n\r\n".chunks(1));
        assert_eq!(seen, [("error".into(), "{}".into())]);
    }

    #[test]
    fn f3_a_character_cut_in_two_stays_whole() {
        check("data: \"日本 é 😀\"\n\n", &["\"日本 é 😀\""]);
    }

    #[test]
    fn f4_one_line_feed_between_events_is_enough() {
        check(
            "data: {\"a\":1}\ndata: {\"b\":\"}\"}\ndata: [DONE]\n",
            &["{\"a\":1}", "{\"b\":\"}\"}", "[DONE]"],
        );
        let seen = events([&b"data: {}\nevent: error\ndata: {\"error\":1}\n"[..]]);
        assert_eq!(seen, [(String::new(), "{}".into()), ("error".into(), "{\"error\":1}".into())]);
    }

    #[test]
    fn an_object_over_several_lines_is_one_event() {
        check("data: {\"a\":\ndata: 1}\n\n", &["{\"a\":\n1}"]);
    }

    #[test]
    fn an_unfinished_event_at_the_end_is_dropped() {
        check("data: {\"a\":1}", &["{\"a\":1}"]);
        check("data: [DONE]", &["[DONE]"]);
        check("data: {\"a\":", &[]);
    }

    #[test]
    fn a_byte_order_mark_is_skipped_once() {
        check("\u{feff}data: {}\n\n", &["{}"]);
    }

    #[test]
    fn an_event_over_the_limit_is_an_error_with_or_without_its_end() {
        for stream in ["data: 0123456789", "data: 0123456789\n\n", "data: 01234\ndata: 56789\n\n"] {
            let mut parser = Parser::new(12);
            let result = parser.feed(stream.as_bytes(), |_| Ok(()));
            assert!(matches!(result, Err(Error::TooLarge { limit: 12 })), "{stream:?}");
        }
        assert!(Parser::new(12).feed(b"data: 0123\n\ndata: 0123\n\n", |_| Ok(())).is_ok());
    }

    proptest! {
        #[test]
        fn any_cutting_gives_the_same_events(
            lines in prop::collection::vec(
                prop::sample::select(vec!["data: {\"a\":\"é\"}", "data: {\"b", "data:\":1}", "", "", ": c", "event: e", "data: [DONE]"]), 0..12),
            ends in prop::collection::vec(prop::sample::select(vec!["\n", "\r", "\r\n"]), 12),
            cuts in prop::collection::vec(0usize..200, 0..8),
        ) {
            let stream: String = lines.iter().zip(&ends).flat_map(|(line, end)| [*line, *end]).collect();
            let mut cuts: Vec<usize> = cuts.into_iter().map(|cut| cut.min(stream.len())).collect();
            cuts.extend([0, stream.len()]);
            cuts.sort_unstable();
            let pieces = cuts.windows(2).map(|pair| &stream.as_bytes()[pair[0]..pair[1]]);
            prop_assert_eq!(events(pieces), events([stream.as_bytes()]));
        }
    }
}
