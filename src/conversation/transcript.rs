//! The conversation as the model sees it.

use crate::wire::chat;

/// Room for a question, the calls it leads to and their results, so that they do not move.
const FIRST_ROUND: usize = 960;

/// The messages of a conversation, kept as the JSON they travel as.
///
/// A request of round N copies these bytes; only what is new is ever serialized. Nothing is taken
/// back or rewritten, so a provider's prompt cache holds.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Transcript {
    bytes: Vec<u8>,
    messages: usize,
}

impl Transcript {
    /// The message objects, separated by commas.
    #[must_use]
    pub fn as_bytes(&self) -> &[u8] {
        &self.bytes
    }

    /// How many messages there are.
    #[must_use]
    pub fn len(&self) -> usize {
        self.messages
    }

    /// Says whether nothing was said yet.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.messages == 0
    }

    /// Appends a system message.
    pub fn push_system(&mut self, text: &str) {
        chat::write_system(self.next(), text);
    }

    /// Appends a user message.
    pub fn push_user(&mut self, text: &str) {
        chat::write_user(self.next(), text);
    }

    /// Appends an assistant message that is JSON already.
    pub fn push_assistant(&mut self, message: &str) {
        self.next().extend_from_slice(message.as_bytes());
    }

    /// Appends the answer to the call with the wire id `id`.
    pub fn push_tool_result(&mut self, id: &str, content: &str) {
        chat::write_tool_result(self.next(), id, content);
    }

    fn next(&mut self) -> &mut Vec<u8> {
        if self.messages > 0 {
            self.bytes.push(b',');
        } else {
            self.bytes.reserve(FIRST_ROUND);
        }
        self.messages += 1;
        &mut self.bytes
    }
}
