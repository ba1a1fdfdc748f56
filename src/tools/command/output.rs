//! What a program writes: of its standard output all, up to a limit, of its standard error the end.

use std::io;

use tokio::io::{AsyncRead, AsyncReadExt};

/// How much of standard error a failed call tells.
const TAIL_BYTES: usize = 4_000;

/// More was written than may be.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct TooMuch;

/// Reads `from` to its end into `bytes`, or until that has more than `max_bytes`. A pipe that cannot be
/// read is one that has ended.
pub(super) async fn read_all(
    from: &mut (impl AsyncRead + Unpin),
    bytes: &mut Vec<u8>,
    max_bytes: usize,
) -> Result<(), TooMuch> {
    let most = u64::try_from(max_bytes).unwrap_or(u64::MAX).saturating_add(1);
    let _: io::Result<usize> = from.take(most).read_to_end(bytes).await;
    if bytes.len() > max_bytes { Err(TooMuch) } else { Ok(()) }
}

/// The end of what was written.
#[derive(Debug, Default)]
pub(super) struct Tail {
    bytes: Vec<u8>,
    /// Something was written before.
    is_cut: bool,
}

impl Tail {
    /// Reads `from` to its end.
    pub async fn read(&mut self, from: &mut (impl AsyncRead + Unpin)) {
        let mut buffer = vec![0; 8192];
        while let Ok(read @ 1..) = from.read(&mut buffer).await {
            self.push(&buffer[..read]);
        }
    }

    pub fn push(&mut self, bytes: &[u8]) {
        self.bytes.extend_from_slice(bytes);
        if let Some(over) = self.bytes.len().checked_sub(TAIL_BYTES + 1) {
            self.bytes.drain(..=over);
            self.is_cut = true;
        }
    }

    /// It as text, from the first whole line on if it is cut and has more than one.
    pub fn text(&self) -> String {
        let text = String::from_utf8_lossy(&self.bytes);
        let text = text.trim_end();
        match text.split_once('\n') {
            Some((_, whole)) if self.is_cut => format!("[…]\n{whole}"),
            None if self.is_cut => format!("[…]{text}"),
            _ => text.to_owned(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn tail(pieces: &[&str]) -> String {
        let mut tail = Tail::default();
        pieces.iter().for_each(|piece| tail.push(piece.as_bytes()));
        tail.text()
    }

    #[test]
    fn the_end_of_much_is_kept_from_a_whole_line_on() {
        assert_eq!(tail(&["one\n", "two\n"]), "one\ntwo");
        assert_eq!(tail(&[&"x".repeat(TAIL_BYTES)]), "x".repeat(TAIL_BYTES));
        let line = "x".repeat(TAIL_BYTES - 10);
        assert_eq!(tail(&["cut away and more\n", &line, "\nend\n"]), format!("[…]\n{line}\nend"));
        let told = tail(&vec!["y"; 10 * TAIL_BYTES]);
        assert_eq!(told, format!("[…]{}", "y".repeat(TAIL_BYTES)));
    }

    #[tokio::test]
    async fn what_may_be_written_is_read_and_one_byte_more_is_too_much() {
        let read = async |text: &str, max_bytes| {
            let mut bytes = Vec::new();
            let read = read_all(&mut text.as_bytes(), &mut bytes, max_bytes).await;
            (read, bytes.len())
        };
        assert_eq!(read("four", 4).await, (Ok(()), 4));
        assert_eq!(read("fives", 4).await, (Err(TooMuch), 5));
        assert_eq!(read(&"x".repeat(1_000_000), 4).await, (Err(TooMuch), 5));
    }
}
