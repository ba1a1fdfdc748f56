//! The text of a reply as it comes, on a terminal where lines of calls in flight are drawn as well.
//!
//! Those lines are drawn below the text and taken away again, and an unfinished line of text would be
//! taken away with them. So it is held back while any of them is there.

use super::draw::clean::Cleaner;

/// The text of the reply under way.
#[derive(Debug, Default)]
pub(super) struct RunningText {
    cleaner: Cleaner,
    /// The beginning of a line that may not be printed yet.
    held: String,
    has_come: bool,
}

impl RunningText {
    /// Takes in the next piece. Returns what may be printed now: under lines of calls, whole lines.
    pub fn push(&mut self, piece: &str, has_lines: bool) -> String {
        let piece = self.cleaner.push(piece);
        self.has_come |= !piece.is_empty();
        self.held += &piece;
        let end = self.held.rfind('\n').map_or(0, |last| last + 1);
        let end = if has_lines { end } else { self.held.len() };
        self.held.drain(..end).collect()
    }

    /// Returns what is held back.
    pub fn held(&self) -> &str {
        &self.held
    }

    /// Hands out what was held back, to be printed.
    pub fn take_held(&mut self) -> String {
        std::mem::take(&mut self.held)
    }

    /// Says whether any text has come, and forgets it: what comes next belongs to another reply.
    pub fn take_has_come(&mut self) -> bool {
        std::mem::take(&mut self.has_come)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn text_is_printed_as_it_comes() {
        let mut text = RunningText::default();
        assert!(!text.take_has_come());
        assert_eq!(text.push("It ", false), "It ");
        assert_eq!(text.push("\u{1b}[2Jis\nwarm", false), "is\nwarm");
        assert_eq!(text.held(), "");
        assert!(text.take_has_come() && !text.take_has_come());
    }

    #[test]
    fn under_lines_of_calls_only_whole_lines_are_printed() {
        let mut text = RunningText::default();
        let printed =
            ["It ", "is", " warm.\nAnd", " dry.\n\nSo ", "go"].map(|p| text.push(p, true));
        assert_eq!(printed, ["", "", "It is warm.\n", "And dry.\n\n", ""]);
        assert_eq!(text.held(), "So go");
        assert_eq!(text.push(" out", false), "So go out", "the lines are gone");
        assert_eq!(text.take_held(), "");
        text.push("now", true);
        assert_eq!(text.take_held(), "now");
        assert_eq!(text.held(), "");
    }
}
