//! A server's messages, a line each, none longer than allowed: of one that is, only the id is kept,
//! and in its place the reader finds the error that says so. So its call fails at once, the
//! connection stays, and memory is bounded whatever a server writes.

use std::io;
use std::pin::Pin;
use std::task::{Context, Poll, ready};

use tokio::io::{AsyncBufRead, AsyncRead, ReadBuf};

/// The longest id that is looked for.
const MAX_ID: usize = 256;

/// The lines of `inner`, those that are too long replaced.
pub(super) struct BoundedLines<R> {
    inner: R,
    max: usize,
    /// The line so far, or what is to be read in its place.
    line: Vec<u8>,
    /// How much of it has been read; nothing of one that is not whole.
    read: usize,
    whole: bool,
    /// The line is too long, and is only looked through.
    search: Option<IdSearch>,
}

impl<R: AsyncBufRead + Unpin> BoundedLines<R> {
    /// The lines of `inner`, of `max` bytes at most.
    pub fn new(inner: R, max: usize) -> Self {
        Self { inner, max, line: Vec::new(), read: 0, whole: false, search: None }
    }

    /// Takes in what is there of the line. Ready when it is whole, or at the end.
    fn poll_line(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        loop {
            let there = ready!(Pin::new(&mut self.inner).poll_fill_buf(cx))?;
            if there.is_empty() {
                // Half a message is none, and half of one that is too long neither.
                self.line.clear();
                self.search = None;
                return Poll::Ready(Ok(()));
            }
            let end = memchr::memchr(b'\n', there);
            let taken = end.map_or(there.len(), |end| end + 1);
            let piece = &there[..taken];
            match &mut self.search {
                Some(search) => search.look_at(piece),
                None if self.line.len() + taken > self.max => {
                    let mut search = IdSearch::default();
                    search.look_at(&self.line);
                    search.look_at(piece);
                    self.line = Vec::new();
                    self.search = Some(search);
                }
                None => self.line.extend_from_slice(piece),
            }
            Pin::new(&mut self.inner).consume(taken);
            if end.is_some() {
                if let Some(search) = self.search.take() {
                    self.line = search.refusal(self.max).unwrap_or_default();
                }
                self.whole = true;
                return Poll::Ready(Ok(()));
            }
        }
    }
}

impl<R: AsyncBufRead + Unpin> AsyncRead for BoundedLines<R> {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        into: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let this = &mut *self;
        while !this.whole {
            ready!(this.poll_line(cx))?;
            if !this.whole {
                return Poll::Ready(Ok(())); // The end.
            }
            this.whole = !this.line.is_empty(); // One without an id is left out.
        }
        let rest = &this.line[this.read..];
        let count = rest.len().min(into.remaining());
        into.put_slice(&rest[..count]);
        this.read += count;
        if this.read == this.line.len() {
            this.line.clear();
            this.line.shrink_to(64 * 1024);
            (this.read, this.whole) = (0, false);
        }
        Poll::Ready(Ok(()))
    }
}

/// Looks for the id of a message without keeping it: the member `id` of the outermost object.
#[derive(Default)]
struct IdSearch {
    depth: u32,
    in_string: bool,
    escaped: bool,
    /// The string of this moment, if it may be the key.
    key: Vec<u8>,
    /// The last string in the outermost object was `id`.
    key_is_id: bool,
    /// A colon has followed it: what comes is the id.
    collects: bool,
    id: Vec<u8>,
    found: bool,
}

impl IdSearch {
    fn look_at(&mut self, piece: &[u8]) {
        for byte in piece {
            self.next(*byte);
        }
    }

    fn next(&mut self, byte: u8) {
        if self.in_string {
            return self.next_of_string(byte);
        }
        match byte {
            b'"' => {
                self.in_string = true;
                self.key.clear();
                self.collect(byte);
            }
            b'{' | b'[' => {
                self.end_id();
                self.collects = false; // No id is an object.
                self.depth = self.depth.saturating_add(1);
            }
            b'}' | b']' => {
                self.end_id();
                self.depth = self.depth.saturating_sub(1);
            }
            b',' => {
                self.end_id();
                self.key_is_id = false;
            }
            b':' if self.depth == 1 && self.key_is_id && !self.found => {
                self.collects = true;
                self.id.clear();
            }
            _ if byte.is_ascii_whitespace() => {}
            _ => self.collect(byte),
        }
    }

    fn next_of_string(&mut self, byte: u8) {
        self.collect(byte);
        match byte {
            _ if self.escaped => self.escaped = false,
            b'\\' => self.escaped = true,
            b'"' => {
                self.in_string = false;
                if self.depth == 1 && !self.collects {
                    self.key_is_id = self.key == b"id";
                }
                return;
            }
            _ => {}
        }
        if self.key.len() < MAX_ID {
            self.key.push(byte);
        }
    }

    fn collect(&mut self, byte: u8) {
        if self.collects && self.id.len() <= MAX_ID {
            self.id.push(byte);
        }
    }

    fn end_id(&mut self) {
        if self.collects && !self.id.is_empty() && self.depth == 1 {
            self.found = true;
        }
        self.collects = false;
    }

    /// The message in place of the one looked through, if that answers something.
    fn refusal(self, max: usize) -> Option<Vec<u8>> {
        let id: serde_json::Value = serde_json::from_slice(&self.id).ok()?;
        let has_id = self.found && (id.is_number() || id.is_string());
        has_id.then(|| format!("{}\n", too_large(&id, max)).into_bytes())
    }
}

/// The answer in place of one that is too large, to the request `id`.
pub(super) fn too_large(id: &serde_json::Value, max: usize) -> serde_json::Value {
    let message = format!("its answer is larger than {max} bytes");
    serde_json::json!({"jsonrpc": "2.0", "id": id, "error": {"code": TOO_LARGE, "message": message}})
}

/// The code of the error in place of a message that is too large: one of those left to us.
pub(super) const TOO_LARGE: i32 = -32_050;

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use serde_json::{Value, json};
    use tokio::io::{AsyncReadExt, BufReader};

    use super::*;

    async fn read(said: &[u8], max: usize, buffer: usize) -> String {
        let mut lines = BoundedLines::new(BufReader::with_capacity(buffer, said), max);
        let mut read = String::new();
        lines.read_to_string(&mut read).await.expect("memory can be read");
        read
    }

    #[tokio::test]
    async fn lines_that_fit_pass_as_they_are() {
        let said = b"{\"id\":1}\n\n{\"id\":2}\nhalf";
        for buffer in [1, 3, 100] {
            assert_eq!(read(said, 20, buffer).await, "{\"id\":1}\n\n{\"id\":2}\n");
        }
    }

    #[tokio::test]
    async fn of_a_line_that_is_too_long_the_id_is_kept_wherever_it_stands() {
        let much = "x\\\"id\\\":9".repeat(100);
        let first = format!(r#"{{"jsonrpc":"2.0","id":7,"result":{{"id":8,"text":"{much}"}}}}"#);
        let last = format!(r#"{{"result":{{"id":8,"t":["{much}"]}}, "id" : "a\"b" }}"#);
        for (line, id) in [(first, json!(7)), (last, json!("a\"b"))] {
            for buffer in [1, 7, 10_000] {
                let said = format!("{line}\n{{\"id\":2}}\n");
                let read = read(said.as_bytes(), 100, buffer).await;
                let (refusal, next) = read.split_once('\n').expect("there are two lines");
                let refusal: Value = serde_json::from_str(refusal).expect("it is JSON");
                assert_eq!((&refusal["id"], &refusal["error"]["code"]), (&id, &json!(TOO_LARGE)));
                assert_eq!(next, "{\"id\":2}\n");
            }
        }
    }

    #[tokio::test]
    async fn a_long_line_that_answers_nothing_is_left_out() {
        let notice =
            format!("{{\"method\":\"x\",\"params\":{{\"id\":1,\"t\":\"{}\"}}}}", "x".repeat(200));
        for long in [notice, "x".repeat(200), "[".repeat(200)] {
            let said = format!("{long}\n{{\"id\":2}}\n");
            assert_eq!(read(said.as_bytes(), 100, 16).await, "{\"id\":2}\n");
        }
        assert_eq!(read("x".repeat(200).as_bytes(), 100, 16).await, "");
    }

    #[tokio::test]
    async fn a_hundred_megabytes_are_not_kept() {
        let line = format!("{{\"id\":3,\"result\":\"{}\"}}\n", "y".repeat(100_000_000));
        let mut lines = BoundedLines::new(BufReader::new(line.as_bytes()), 1_000_000);
        let (mut read, mut most) = (Vec::new(), 0);
        while lines.read_buf(&mut read).await.expect("memory can be read") > 0 {
            most = most.max(lines.line.capacity());
        }
        assert!(most <= 64 * 1024 && read.len() < 200, "{most}");
        assert!(String::from_utf8_lossy(&read).contains("larger than 1000000 bytes"));
    }

    proptest! {
        #[test]
        fn the_id_is_found_in_any_message(
            before in proptest::collection::vec(("[a-z\"{}:,\\\\]{0,8}", "[a-z\"{}:,\\\\]{0,30}"), 0..4),
            id in 0_u32..1000,
            after in "[a-z\"{}:,\\\\]{0,30}",
            buffer in 1_usize..40,
        ) {
            let mut message = serde_json::Map::new();
            for (key, value) in before {
                message.insert(format!("_{key}"), json!([value, {"id": value}]));
            }
            message.insert("id".to_owned(), json!(id));
            message.insert("z".to_owned(), json!({"id": after}));
            let said = format!("{}\n", Value::Object(message));
            let runtime = tokio::runtime::Builder::new_current_thread().build().expect("it starts");
            let read = runtime.block_on(read(said.as_bytes(), 1, buffer));
            let refusal: Value = serde_json::from_str(&read).expect("it is JSON");
            prop_assert_eq!(&refusal["id"], &json!(id));
        }
    }
}
