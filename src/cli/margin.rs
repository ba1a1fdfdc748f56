//! The terminal that lines of calls in flight are drawn on, a little narrower than it is.
//!
//! indicatif 0.18 fills each line with blanks to the last column, lets the next one wrap, and leaves
//! the cursor at the end of the last. The `^C` that a terminal echoes there would wrap as well, and
//! whatever is drawn or cleared next would miss its place by a line. In the margin it has room.
//!
//! As it is built here indicatif takes every character for one column wide, so the lines are cut and
//! filled anew.

use std::io;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};

use console::Term;
use indicatif::TermLike;

use super::draw::width::{fit, width};

/// The columns of `^C`, and one for a cursor after it that has not wrapped.
const MARGIN: u16 = 3;

/// Standard error with a margin on its right.
#[derive(Debug)]
pub(super) struct Margin {
    term: Term,
    /// A line was filled, and the next one cannot wrap: it has to be begun.
    filled: AtomicBool,
    /// The columns of the line that was written last.
    columns: AtomicUsize,
}

impl Margin {
    pub fn new() -> Self {
        Self {
            term: Term::buffered_stderr(),
            filled: AtomicBool::new(false),
            columns: AtomicUsize::new(0),
        }
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
        let room = usize::from(self.width());
        let fills = text.bytes().all(|byte| byte == b' ');
        let begins = self.filled.swap(fills, Ordering::Relaxed) && !fills;
        if fills {
            let blanks = room.saturating_sub(self.columns.load(Ordering::Relaxed));
            return self.term.write_str(&" ".repeat(blanks));
        }
        if begins {
            self.term.write_str("\n")?;
        }
        let line = fit(text, room, "…");
        self.columns.store(width(&line), Ordering::Relaxed);
        self.term.write_str(&line)
    }

    fn clear_line(&self) -> io::Result<()> {
        self.term.clear_line()
    }

    fn flush(&self) -> io::Result<()> {
        self.filled.store(false, Ordering::Relaxed);
        self.term.flush()
    }
}

#[cfg(all(test, unix))]
mod tests {
    use std::io::Read;
    use std::os::unix::net::UnixStream;

    use super::*;

    /// What lines of text become, each with the blanks that indicatif takes for right.
    fn drawn(lines: &[&str]) -> Vec<String> {
        let (near, mut far) = UnixStream::pair().expect("a pair of sockets");
        let output = near.try_clone().expect("it can be shared");
        let mut margin = Margin::new();
        margin.term = Term::read_write_pair(near, output);
        for line in lines {
            let blanks = usize::from(margin.width()).saturating_sub(line.chars().count());
            margin
                .write_str(line)
                .and_then(|()| margin.write_str(&" ".repeat(blanks)))
                .expect("it is written");
        }
        drop(margin);
        let mut text = String::new();
        far.read_to_string(&mut text).expect("UTF-8");
        text.split('\n').map(str::to_owned).collect()
    }

    #[test]
    fn every_line_fills_the_columns_it_has() {
        let wide = "東京".repeat(30);
        let lines = drawn(&["get_weather  0s", "京都", &wide, "e\u{301}"]);
        let [plain, short, long, joined] = &lines[..] else { panic!("{lines:?}") };
        for line in [plain, short, long, joined] {
            assert_eq!(width(line), width(plain), "{line:?}");
        }
        assert!(short.starts_with("京都  ") && long.trim_end().ends_with("…"), "{lines:?}");
    }
}
