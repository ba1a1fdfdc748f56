//! Takes out of text what would make a terminal do something: models and tools write it, people see it.

use std::borrow::Cow;

/// Removes ANSI escape sequences, control characters and what turns the direction of writing; newlines
/// and tabs stay.
pub fn clean(text: &str) -> Cow<'_, str> {
    if text.chars().any(is_dangerous) {
        Cow::Owned(Cleaner::default().push(text))
    } else {
        Cow::Borrowed(text)
    }
}

/// Cleans text that comes in pieces. A sequence may be cut anywhere; what is left of it never shows.
#[derive(Clone, Debug, Default)]
pub struct Cleaner {
    state: State,
}

/// How far into a sequence the text is (ECMA-48).
#[derive(Clone, Copy, Debug, Default)]
enum State {
    /// In none.
    #[default]
    Text,
    /// After ESC, and after any of its intermediate characters.
    Escape,
    /// After ESC `[`: parameters, until a letter.
    Control,
    /// After ESC `]` and the like: a string, until BEL or ESC `\`.
    Command,
    /// After an ESC that may end such a string.
    CommandEscape,
}

impl Cleaner {
    /// Returns what may be shown of the next piece.
    pub fn push(&mut self, piece: &str) -> String {
        piece.chars().filter(|letter| self.shows(*letter)).collect()
    }

    /// Takes the next character in, and says whether it may be shown.
    fn shows(&mut self, letter: char) -> bool {
        let (state, shows) = next(self.state, letter);
        self.state = state;
        shows
    }
}

/// A sequence also ends where it cannot go on, and a string at the end of its line: else one stray
/// character of a model would swallow the rest of its answer.
fn next(state: State, letter: char) -> (State, bool) {
    match (state, letter) {
        (_, '\n' | '\t') => (State::Text, true),
        (_, '\u{18}' | '\u{1a}') => (State::Text, false), // CAN and SUB break any sequence off.
        (State::Command, '\u{7}' | '\u{9c}') => (State::Text, false),
        (State::Command, '\u{1b}') => (State::CommandEscape, false),
        (State::Command, _) => (State::Command, false),
        (State::CommandEscape, '\\') => (State::Text, false),
        (State::CommandEscape, letter) => next(State::Escape, letter),
        (State::Escape, '[') | (_, '\u{9b}') => (State::Control, false),
        (State::Escape, ']' | 'P' | 'X' | '^' | '_')
        | (_, '\u{90}' | '\u{98}' | '\u{9d}' | '\u{9e}' | '\u{9f}') => (State::Command, false),
        (_, '\u{1b}') => (State::Escape, false),
        (State::Escape, ' '..='/') => (State::Escape, false),
        (State::Escape, '0'..='~') => (State::Text, false),
        (State::Control, ' '..='?') => (State::Control, false),
        (State::Control, '@'..='~') => (State::Text, false),
        (state, letter) if letter.is_control() => (state, false),
        (_, letter) if turns_direction(letter) => (State::Text, false),
        (_, _) => (State::Text, true),
    }
}

/// Writes what is dangerous in `json`, which is within its texts, as JSON can, so that it stays the same
/// document.
pub fn clean_json(json: &str) -> Cow<'_, str> {
    if !json.chars().any(is_dangerous) {
        return Cow::Borrowed(json);
    }
    let mut text = String::with_capacity(json.len());
    for letter in json.chars() {
        match is_dangerous(letter) {
            true => text.push_str(&format!("\\u{:04x}", u32::from(letter))),
            false => text.push(letter),
        }
    }
    Cow::Owned(text)
}

/// Removes what turns the direction of writing, and nothing else.
pub fn without_turns(text: &str) -> Cow<'_, str> {
    match text.contains(turns_direction) {
        true => Cow::Owned(text.replace(turns_direction, "")),
        false => Cow::Borrowed(text),
    }
}

fn is_dangerous(letter: char) -> bool {
    letter.is_control() && !matches!(letter, '\n' | '\t') || turns_direction(letter)
}

/// Overrides and isolates, that let a text look like another.
fn turns_direction(letter: char) -> bool {
    matches!(letter, '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}')
}

#[cfg(test)]
mod tests {
    use super::*;

    const CASES: &[(&str, &str)] = &[
        ("plain\n\ttext, 東京 🌦️", "plain\n\ttext, 東京 🌦️"),
        ("\u{1b}[1;31mred\u{1b}[0m", "red"),
        ("a\r\nb\u{8}c\u{7f}\u{0}", "a\nbc"),
        ("\u{1b}]0;title\u{7}x\u{1b}]8;;http://e\u{1b}\\link", "xlink"),
        ("\u{1b}Pq#0\u{1b}\\x\u{1b}(By\u{1b}cz", "xyz"),
        ("\u{9b}31mred \u{9d}52;c;YQ==\u{9c}x", "red x"),
        ("\u{1b}]0;never ended\nnext line", "\nnext line"),
        ("\u{1b}[31\u{18}x\u{1b}\u{1b}[2Jy", "xy"),
        ("\u{1b}[3東", "東"),
        ("\u{1b}]0;a\u{1b}[31mb", "b"),
        ("\u{85}\u{9f}x\u{9c}y\u{98}z\n", "y\n"),
        ("rm \u{202e}txt.\u{202c}sh \u{2066}a\u{2069}", "rm txt.sh a"),
        ("\u{1b}]8;;\u{202e}a\u{7}b", "b"),
    ];

    #[test]
    fn sequences_and_control_characters_go_and_text_stays() {
        for (text, expected) in CASES {
            assert_eq!(clean(text), *expected, "{text:?}");
        }
        assert!(matches!(clean("a\n\tb"), Cow::Borrowed(_)));
    }

    #[test]
    fn json_stays_the_same_document() {
        let document = serde_json::json!({"a": "\u{9b}31m\u{7f}\u{202e}\u{1b}[2J ä\n"});
        let text = document.to_string();
        let cleaned = clean_json(&text);
        assert!(!cleaned.chars().any(is_dangerous), "{cleaned:?}");
        assert_eq!(serde_json::from_str::<serde_json::Value>(&cleaned).unwrap(), document);
        assert!(matches!(clean_json("{\"a\": \"ä\"}\n"), Cow::Borrowed(_)));
    }

    #[test]
    fn a_sequence_may_be_cut_anywhere() {
        for (text, expected) in CASES {
            for (cut, _) in text.char_indices() {
                let mut cleaner = Cleaner::default();
                let shown = cleaner.push(&text[..cut]) + &cleaner.push(&text[cut..]);
                assert_eq!(shown, *expected, "{text:?} cut at {cut}");
            }
        }
    }
}
