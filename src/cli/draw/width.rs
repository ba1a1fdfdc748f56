//! How many columns text takes on a terminal, and how to make it fit.

use super::clean::clean;

/// Characters that take two columns: East Asian scripts and emoji, in order.
const WIDE: &[(u32, u32)] = &[
    (0x1100, 0x115f),
    (0x231a, 0x231b),
    (0x23e9, 0x23ec),
    (0x2614, 0x2615),
    (0x2648, 0x2653),
    (0x26a1, 0x26a1),
    (0x2705, 0x2705),
    (0x270a, 0x270b),
    (0x2728, 0x2728),
    (0x274c, 0x274e),
    (0x2753, 0x2757),
    (0x2795, 0x2797),
    (0x2b50, 0x2b55),
    (0x2e80, 0x303e),
    (0x3041, 0xa4cf),
    (0xa960, 0xa97c),
    (0xac00, 0xd7a3),
    (0xf900, 0xfaff),
    (0xfe30, 0xfe6f),
    (0xff00, 0xff60),
    (0xffe0, 0xffe6),
    (0x1f1e6, 0x1f1ff),
    (0x1f300, 0x1f64f),
    (0x1f680, 0x1f6ff),
    (0x1f7e0, 0x1f7eb),
    (0x1f900, 0x1faff),
    (0x20000, 0x3fffd),
];

/// Characters that take none: they join the one before them, or only steer it.
const JOINING: &[(u32, u32)] = &[
    (0x300, 0x36f),
    (0x483, 0x489),
    (0x591, 0x5bd),
    (0x64b, 0x65f),
    (0x1ab0, 0x1aff),
    (0x200b, 0x200f),
    (0x202a, 0x202e),
    (0x2060, 0x2069),
    (0x20d0, 0x20ff),
    (0xfe00, 0xfe0f),
    (0xfe20, 0xfe2f),
    (0xfeff, 0xfeff),
    (0xe0000, 0xe01ef),
];

/// Returns the columns of one line of text.
pub fn width(text: &str) -> usize {
    text.chars().map(char_width).sum()
}

/// Cuts `text` to at most `columns`; `mark` stands for what is cut.
pub fn fit(text: &str, columns: usize, mark: &str) -> String {
    if width(text) <= columns {
        return text.to_owned();
    }
    let mut room = columns.saturating_sub(width(mark));
    let fits = |letter: &char| {
        let left = room.checked_sub(char_width(*letter));
        room = left.unwrap_or(0);
        left.is_some()
    };
    let kept: String = text.chars().take_while(fits).collect();
    if columns < width(mark) { kept } else { kept + mark }
}

/// Cuts `text` to at most `columns` from its beginning on; `mark` stands for what is cut.
pub fn fit_end(text: &str, columns: usize, mark: &str) -> String {
    let turned = |text: &str| text.chars().rev().collect::<String>();
    turned(&fit(&turned(text), columns, mark))
}

/// Fills `text` with blanks on its right.
pub(super) fn left(text: &str, columns: usize) -> String {
    format!("{text}{}", " ".repeat(columns.saturating_sub(width(text))))
}

/// Fills `text` with blanks on its left.
pub(super) fn right(text: &str, columns: usize) -> String {
    format!("{}{text}", " ".repeat(columns.saturating_sub(width(text))))
}

/// Puts foreign text on one line: cleaned, blanks folded.
pub fn one_line(text: &str) -> String {
    let text = clean(text);
    let words: Vec<&str> = text.split_whitespace().collect();
    words.join(" ")
}

fn char_width(letter: char) -> usize {
    let is_in = |ranges: &[(u32, u32)]| {
        let code = u32::from(letter);
        let after = ranges.partition_point(|(first, _)| *first <= code);
        after > 0 && code <= ranges[after - 1].1
    };
    if is_in(JOINING) {
        0
    } else if is_in(WIDE) {
        2
    } else {
        1
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn columns_are_those_of_a_terminal() {
        for (text, columns) in
            [("", 0), ("Tokyo", 5), ("東京", 4), ("e\u{301}", 1), ("🌦", 2), ("…█✓", 3)]
        {
            assert_eq!(width(text), columns, "{text:?}");
        }
    }

    #[test]
    fn the_ranges_are_in_order() {
        for ranges in [WIDE, JOINING] {
            assert!(ranges.windows(2).all(|pair| pair[0].1 < pair[1].0));
            assert!(ranges.iter().all(|(first, last)| first <= last));
        }
    }

    #[test]
    fn text_is_cut_between_characters() {
        assert_eq!(fit("Tokyo", 5, "…"), "Tokyo");
        assert_eq!(fit("Tokyo", 4, "…"), "Tok…");
        assert_eq!(fit("東京都", 4, "…"), "東…");
        assert_eq!(fit("Tokyo", 0, "…"), "");
        assert_eq!(fit_end("Tokyo", 5, "…"), "Tokyo");
        assert_eq!(fit_end("東京都", 4, "…"), "…都");
        assert_eq!(left("東", 4) + "|" + &right("a", 3), "東  |  a");
    }

    #[test]
    fn foreign_text_stays_on_its_line() {
        assert_eq!(one_line(" a\n\t b\u{1b}[2J \u{202e}c\u{7}"), "a b c");
    }
}
