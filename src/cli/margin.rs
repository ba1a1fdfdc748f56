//! The terminal that lines of calls in flight are drawn on, a little narrower than it is.
//!
//! indicatif 0.18 fills each line with blanks to the last column, lets the next one wrap, and leaves
//! the cursor at the end of the last. The `^C` that a terminal echoes there would wrap as well, and
//! whatever is drawn or cleared next would miss its place by a line. In the margin it has room.

use std::io;
use std::sync::atomic::{AtomicBool, Ordering};

use console::Term;
use indicatif::TermLike;

/// The columns of `^C`, and one for a cursor after it that has not wrapped.
const MARGIN: u16 = 3;

/// Standard error with a margin on its right.
#[derive(Debug)]
pub(super) struct Margin {
    term: Term,
    /// A line was filled, and the next one cannot wrap: it has to be begun.
    filled: AtomicBool,
}

impl Margin {
    pub fn new() -> Self {
        Self { term: Term::buffered_stderr(), filled: AtomicBool::new(false) }
    }
}

impl TermLike for Margin {
    fn width(&self) -> u16 {
        self.term.size().1.saturating_sub(MARGIN).max(1)
    }

    fn height(&self) -> u16 {
        self.term.size().0
    }

    fn move_cursor_up(&self, n: usize) -> io::Result<()> {
        self.term.move_cursor_up(n)
    }

    fn move_cursor_down(&self, n: usize) -> io::Result<()> {
        self.term.move_cursor_down(n)
    }

    fn move_cursor_right(&self, n: usize) -> io::Result<()> {
        self.term.move_cursor_right(n)
    }

    fn move_cursor_left(&self, n: usize) -> io::Result<()> {
        self.term.move_cursor_left(n)
    }

    fn write_line(&self, line: &str) -> io::Result<()> {
        self.term.write_line(line)
    }

    /// Gets a line, then the blanks that fill it; then the next line.
    fn write_str(&self, text: &str) -> io::Result<()> {
        let fills = text.bytes().all(|byte| byte == b' ');
        if self.filled.swap(fills, Ordering::Relaxed) && !fills {
            self.term.write_str("\n")?;
        }
        self.term.write_str(text)
    }

    fn clear_line(&self) -> io::Result<()> {
        self.term.clear_line()
    }

    fn flush(&self) -> io::Result<()> {
        self.filled.store(false, Ordering::Relaxed);
        self.term.flush()
    }
}
