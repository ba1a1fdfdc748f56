//! How a person goes on with a session later.

use super::screen::Screen;
use crate::conversation::SessionId;

/// Says on standard error which session it was, where that is not in what was printed.
pub(super) fn say(screen: &Screen, command: &str, session: &SessionId) {
    if screen.output == super::args::Output::Text {
        screen.foreign_note(&line(command, session));
    }
}

fn line(command: &str, session: &SessionId) -> String {
    let id = session.as_str();
    // What begins with a dash would be taken for another option.
    let gap = if id.starts_with('-') { '=' } else { ' ' };
    format!("session {session}; to go on: callsheet {command} --session{gap}{}", quoted(id))
}

/// The id, or another word, as a shell takes it.
pub(super) fn quoted(id: &str) -> String {
    let is_plain = |letter: char| letter.is_ascii_alphanumeric() || "-_./:".contains(letter);
    if !id.is_empty() && id.chars().all(is_plain) {
        return id.to_owned();
    }
    format!("'{}'", id.replace('\'', r"'\''"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_line_can_be_typed_as_it_is() {
        let check = |id: &str, typed: &str| {
            let said = line("ask", &SessionId::new(id));
            assert_eq!(said, format!("session {id}; to go on: callsheet ask --session {typed}"));
        };
        check("0192-af", "0192-af");
        check("my trip", "'my trip'");
        check("it's", r"'it'\''s'");
        let said = line("ask", &SessionId::new("-a b"));
        assert!(said.ends_with(" --session='-a b'"), "{said}");
    }
}
