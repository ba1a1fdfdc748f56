//! A history that a session is made with, as another program has kept it.

use std::collections::HashSet;
use std::sync::Arc;

use crate::wire::chat::{Role, read_given};

/// The messages that stand before a session's first turn, in the JSON of Chat Completions.
///
/// They reach the model as they stand, but for those of the assistant: what they say and call is written
/// as a model takes it that another one has said it. Every call has one result, so that no provider refuses
/// them.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct GivenHistory {
    json: Arc<str>,
    has_system: bool,
}

/// Why messages are no history that a model could be sent.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("messages[{index}]: {reason}")]
pub struct HistoryError {
    /// The message that is wrong, or the first that was not to come yet, from 0. One more than there are
    /// where something is missing at the end.
    pub index: usize,
    /// One line.
    pub reason: String,
}

/// The calls of the last message of the assistant.
#[derive(Default)]
struct Round {
    awaited: Vec<String>,
    answered: HashSet<String>,
}

impl GivenHistory {
    /// Checks `messages`, each the JSON of an object. Between calls and their results nothing else may
    /// stand; no call may be without a result, and no result without a call.
    ///
    /// # Errors
    /// [`HistoryError`] names the first message that is wrong.
    pub fn new<'a>(messages: impl IntoIterator<Item = &'a str>) -> Result<Self, HistoryError> {
        let (mut json, mut round, mut has_system) = (String::from("["), Round::default(), false);
        let mut count = 0;
        for (index, message) in messages.into_iter().enumerate() {
            let wrong = |reason: String| HistoryError { index, reason };
            let given = read_given(message).map_err(wrong)?;
            match given.role {
                Role::Tool => round.answer(given.answers.unwrap_or_default()),
                Role::System | Role::User | Role::Assistant => round.end(),
            }
            .map_err(wrong)?;
            if !given.calls.is_empty() {
                round = Round::new(given.calls).map_err(wrong)?;
            }
            has_system |= given.role == Role::System;
            if count > 0 {
                json.push(',');
            }
            json.push_str(message);
            count += 1;
        }
        round.end().map_err(|reason| HistoryError { index: count, reason })?;
        json.push(']');
        Ok(Self { json: json.into(), has_system })
    }

    /// The text of the JSON array of the messages.
    #[must_use]
    pub fn json(&self) -> &Arc<str> {
        &self.json
    }

    /// Says whether there is no message.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        &*self.json == "[]"
    }

    /// Says whether one of them is the operator's: a system prompt.
    #[must_use]
    pub fn has_system(&self) -> bool {
        self.has_system
    }
}

impl Round {
    fn new(awaited: Vec<String>) -> Result<Self, String> {
        let mut seen = HashSet::new();
        match awaited.iter().find(|id| !seen.insert(id.as_str())) {
            Some(twice) => Err(format!("two of its calls have the id `{twice}`")),
            None => Ok(Self { awaited, answered: HashSet::new() }),
        }
    }

    fn answer(&mut self, id: String) -> Result<(), String> {
        match self.awaited.iter().position(|awaited| *awaited == id) {
            Some(at) => {
                self.awaited.swap_remove(at);
                self.answered.insert(id);
                Ok(())
            }
            None if self.answered.contains(&id) => Err(format!("a second result of `{id}`")),
            None => Err(format!("no call before it has the id `{id}`")),
        }
    }

    fn end(&mut self) -> Result<(), String> {
        self.answered.clear();
        match self.awaited.first() {
            Some(id) => Err(format!("the call `{id}` before it has no result")),
            None => Ok(()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::conversation::Transcript;

    const USER: &str = r#"{"role": "user", "content": [{"type":"image_url"}] }"#;
    const CALLS: &str =
        r#"{"role":"assistant","tool_calls":[{"id":"a","x":1},{"id":"b"}],"content":null}"#;
    const A: &str = r#"{"role":"tool","tool_call_id":"a","content":"1"}"#;
    const B: &str = r#"{"role":"tool","tool_call_id":"b","content":"2"}"#;
    const SYSTEM: &str = r#"{"role":"developer","content":"be brief"}"#;

    #[test]
    fn a_history_stands_in_the_conversation_byte_for_byte() {
        let given = [SYSTEM, USER, CALLS, B, A, USER];
        let history = GivenHistory::new(given).unwrap();
        assert!(history.has_system() && !history.is_empty());
        let mut transcript = Transcript::default();
        transcript.push_given(history.json());
        assert_eq!(std::str::from_utf8(transcript.as_bytes()).unwrap(), given.join(","));
        assert_eq!((transcript.len(), transcript.author(0)), (6, Some("")));
    }

    #[test]
    fn an_id_may_come_again_in_another_round() {
        assert!(GivenHistory::new([USER, CALLS, A, B, CALLS, B, A]).is_ok());
        let none = GivenHistory::new([]).unwrap();
        assert!(none.is_empty() && !none.has_system());
    }

    #[test]
    fn a_broken_history_is_refused_and_the_message_named() {
        let twice = r#"{"role":"assistant","tool_calls":[{"id":"a"},{"id":"a"}]}"#;
        for (messages, why) in [
            (&[USER, CALLS, A, USER][..], "messages[3]: the call `b` before it has no result"),
            (&[CALLS, A], "messages[2]: the call `b` before it has no result"),
            (&[CALLS], "messages[1]: the call `a` before it has no result"),
            (&[CALLS, CALLS], "messages[1]: the call `a` before it has no result"),
            (&[USER, A], "messages[1]: no call before it has the id `a`"),
            (&[CALLS, A, B, USER, A], "messages[4]: no call before it has the id `a`"),
            (&[CALLS, A, A], "messages[2]: a second result of `a`"),
            (&[USER, twice], "messages[1]: two of its calls have the id `a`"),
            (&[USER, "{}"], "messages[1]: it has no `role`"),
        ] {
            let refused = GivenHistory::new(messages.iter().copied()).unwrap_err();
            assert_eq!(refused.to_string(), why);
        }
    }
}
