//! What damaged streams hold, read without the decoder: every piece of arguments in them, in order.

use serde_json::value::RawValue;
use serde_json::{Deserializer, Value};

use super::{Case, are_same};

/// What stands before arguments.
const FIELD: &str = "\"arguments\":";

/// The texts in all fields `arguments` of `sent`, in order.
fn fragments(sent: &[u8]) -> Vec<String> {
    let sent = String::from_utf8_lossy(sent);
    let mut fragments = Vec::new();
    for (at, _) in sent.match_indices(FIELD) {
        let behind = Deserializer::from_str(&sent[at + FIELD.len()..]);
        if let Some(Ok(value)) = behind.into_iter::<&RawValue>().next() {
            let text = serde_json::from_str(value.get());
            fragments.push(text.unwrap_or_else(|_| value.get().to_owned()));
        }
    }
    fragments
}

/// Says whether `text` can be put together from `fragments`, whole ones in their order but for the
/// beginning of the first and the end of the last.
fn is_made_of(text: &str, fragments: &[String]) -> bool {
    let mut reached = vec![false; text.len() + 1];
    for fragment in fragments {
        if fragment.contains(text) {
            return true;
        }
        for from in (1..text.len()).rev() {
            if reached[from] && text.is_char_boundary(from) {
                let rest = &text[from..];
                if fragment.starts_with(rest) {
                    return true;
                }
                if rest.starts_with(fragment.as_str()) {
                    reached[from + fragment.len()] = true;
                }
            }
        }
        for (from, _) in fragment.char_indices() {
            if text.starts_with(&fragment[from..]) {
                reached[fragment.len() - from] = true;
            }
        }
    }
    false
}

/// `text` with an escape for each character that is not ASCII.
fn escaped(text: &str) -> String {
    let mut escaped = String::new();
    for character in text.chars() {
        match character.is_ascii() {
            true => escaped.push(character),
            false => {
                let units = character.encode_utf16(&mut [0; 2]).to_vec();
                escaped.extend(units.iter().map(|unit| format!("\\u{unit:04x}")));
            }
        }
    }
    escaped
}

/// What a tool was given is a JSON object that was sent as it is, also where nobody knows what the
/// stream meant. Nothing at all may have meant an empty one.
pub fn arguments_stand_in_the_bytes_that_were_sent(case: &Case<'_>) -> Vec<String> {
    let mut found = Vec::new();
    for execution in &case.run.executions {
        let is_object =
            serde_json::from_str(&execution.arguments).is_ok_and(|value: Value| value.is_object());
        if !is_object {
            found.push(format!("{execution:?} has no object"));
        }
        let ask = case.ledger.ask(execution.key.round, execution.key.attempt);
        let Some(sent) = ask.and_then(|ask| ask.sent).filter(|sent| sent.truth.is_none()) else {
            continue;
        };
        let is_there = || {
            let fragments = fragments(&sent.bytes());
            let within_a_text = Value::from(&*execution.arguments).to_string();
            let within_a_text = within_a_text.trim_matches('"');
            // Where a piece is lost, an escape of the inner text may be one of the outer.
            let with_escapes = escaped(within_a_text);
            // One that is no text is written anew.
            fragments.iter().any(|fragment| are_same(fragment, &execution.arguments))
                || is_made_of(&execution.arguments, &fragments)
                || is_made_of(within_a_text, &fragments)
                || is_made_of(&with_escapes, &fragments)
        };
        if execution.arguments != "{}" && !is_there() {
            let sent = String::from_utf8_lossy(&sent.bytes()).into_owned();
            found.push(format!("{execution:?} does not stand in {sent}"));
        }
    }
    found
}
