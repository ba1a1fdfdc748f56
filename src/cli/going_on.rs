//! How a person goes on with a session later.

use super::screen::Screen;
use crate::conversation::SessionId;

/// Says on standard error which session it was, where that is not in what was printed.
pub(super) fn say(screen: &Screen, command: &str, session: &SessionId) {
    if screen.output == super::args::Output::Text {
        screen.note(&line(command, session));
    }
}

fn line(command: &str, session: &SessionId) -> String {
    format!(
        "session {session}; to go on: callsheet {command} --session {}",
        quoted(session.as_str())
    )
}

/// The id as a shell takes it.
fn quoted(id: &str) -> String {
    let is_plain = |letter: char| letter.is_ascii_alphanumeric() || "-_./:".contains(letter);
    if !id.starts_with('-') && id.chars().all(is_plain) {
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
    }
}
