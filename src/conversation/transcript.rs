//! The conversation as the model sees it.

use std::collections::HashSet;
use std::sync::Arc;

use serde_json::value::RawValue;

use super::compaction::is_dropped;
use super::{EarlyCall, Orphan, Span};
use crate::wire::chat::{self, Role};
use crate::wire::{Arguments, Call, Extra};

/// Room for a question, the calls it leads to and their results, so that they do not move.
const FIRST_ROUND: usize = 960;

/// The author of the assistant's messages that no model wrote as they stand: they are sent to every
/// model as if another one had written them.
const NO_MODEL: &str = "";

/// The messages of a conversation, kept as the JSON they travel as.
///
/// A request of round N copies these bytes; only what is new is ever serialized. Nothing is rewritten,
/// and nothing taken back but what a [compaction](super::Compaction) drops, so a provider's prompt
/// cache holds.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Transcript {
    bytes: Vec<u8>,
    messages: usize,
    /// Who wrote the assistant's messages, in order: so many of them each.
    authors: Vec<(Option<Arc<str>>, usize)>,
    /// Behind the system prompt there is a summary of what was dropped.
    has_summary: bool,
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

    /// Appends an assistant message that is JSON already, and that `origin` wrote.
    pub fn push_assistant(&mut self, message: &str, origin: Option<&Arc<str>>) {
        self.next().extend_from_slice(message.as_bytes());
        match self.authors.last_mut() {
            Some((author, messages)) if author.as_ref() == origin => *messages += 1,
            _ => self.authors.push((origin.cloned(), 1)),
        }
    }

    /// Appends messages that somebody else has written, as they stand. Those of the assistant are sent to
    /// every model as if another one had written them.
    pub fn push_given(&mut self, history: &str) {
        let nobody: Arc<str> = NO_MODEL.into();
        let raws: Vec<&RawValue> = serde_json::from_str(history).unwrap_or_default();
        for raw in raws {
            match chat::read_given(raw.get()) {
                Ok(given) if given.role == Role::Assistant => {
                    self.push_assistant(given.json, Some(&nobody));
                }
                Ok(given) => self.next().extend_from_slice(given.json.as_bytes()),
                Err(_) => {} // It was refused before it could get here.
            }
        }
    }

    /// Says whether the first message behind the system prompt is a summary of what was dropped.
    #[must_use]
    pub fn has_summary(&self) -> bool {
        self.has_summary
    }

    /// The messages one by one, and who says each; none if they cannot be read.
    pub(super) fn said(&self) -> Vec<(Role, String)> {
        let list = format!("[{}]", String::from_utf8_lossy(&self.bytes));
        let raws: Vec<&RawValue> = serde_json::from_str(&list).unwrap_or_default();
        let said = raws.into_iter().map(|raw| {
            let message = chat::decode_messages(raw.get().as_bytes()).ok()?.pop()?;
            Some((message.role, raw.get().to_owned()))
        });
        said.collect::<Option<_>>().unwrap_or_default()
    }

    /// The first `messages` of them, as [`Transcript::as_bytes`].
    pub(super) fn first(&self, messages: usize) -> String {
        let said: Vec<String> = self.said().into_iter().map(|(_, json)| json).collect();
        said[..messages.min(said.len())].join(",")
    }

    /// Takes the `dropped` messages out; behind the system prompt comes the `summary` of them, in a
    /// message of the user's.
    pub fn compact(&mut self, dropped: &[Span], summary: Option<&str>) {
        let said = self.said();
        let system = said.iter().take_while(|(role, _)| *role == Role::System).count();
        let old = std::mem::take(self);
        let mut authors =
            old.authors.into_iter().flat_map(|(author, count)| std::iter::repeat_n(author, count));
        self.has_summary = summary.is_some() || (old.has_summary && !is_dropped(dropped, system));
        for (number, (role, json)) in said.into_iter().enumerate() {
            if let Some(summary) = summary.filter(|_| number == system) {
                self.push_user(summary);
            }
            let author = if role == Role::Assistant { authors.next().flatten() } else { None };
            match role {
                _ if is_dropped(dropped, number) => {}
                Role::Assistant => self.push_assistant(&json, author.as_ref()),
                Role::System | Role::User | Role::Tool => {
                    self.next().extend_from_slice(json.as_bytes());
                }
            }
        }
        self.bytes.shrink_to_fit();
    }

    /// Appends calls that no reply asks for, in a message that no model wrote as it stands, and behind
    /// it what became of each. Nothing if there are none.
    pub fn push_orphans(&mut self, orphans: &[(&Orphan, &EarlyCall)]) {
        if orphans.is_empty() {
            return;
        }
        let call = |(orphan, begun): &(&Orphan, &EarlyCall)| Call {
            id: Arc::clone(&orphan.id),
            name: orphan.name.to_string(),
            arguments: Arguments::Object(begun.arguments.to_string()),
            extra: Extra::default(),
            function_extra: Extra::default(),
        };
        let calls: Vec<Call> = orphans.iter().map(call).collect();
        let mut message = Vec::new();
        chat::write_assistant(&mut message, "", None, &calls, &Extra::default());
        self.push_assistant(&String::from_utf8_lossy(&message), Some(&NO_MODEL.into()));
        for (orphan, begun) in orphans {
            let content = begun.outcome.as_ref().map_or("", |outcome| &outcome.content);
            self.push_tool_result(&orphan.id, content);
        }
    }

    /// The wire ids of its calls.
    #[must_use]
    pub fn ids(&self) -> HashSet<Arc<str>> {
        let messages = chat::decode_messages(&self.bytes).unwrap_or_default();
        messages.into_iter().flat_map(|message| message.calls).map(|call| call.id).collect()
    }

    /// Who wrote the assistant's message of this number, from 0, if that is known; empty if no model
    /// did.
    #[must_use]
    pub fn author(&self, mut number: usize) -> Option<&str> {
        for (author, messages) in &self.authors {
            if number < *messages {
                return author.as_deref();
            }
            number -= messages;
        }
        None
    }

    /// Says whether `origin` wrote all of the assistant's messages, for all that is known.
    #[must_use]
    pub fn is_all_of(&self, origin: &str) -> bool {
        let mut known = self.authors.iter().filter_map(|(author, _)| author.as_deref());
        known.all(|author| author == origin)
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_ids_of_calls_are_found_also_such_as_need_escapes() {
        let mut transcript = Transcript::default();
        assert!(transcript.ids().is_empty());
        let calls = r#"{"role":"assistant","tool_calls":[{"id":"a\\"},{"id":"b\"c"}]}"#;
        transcript.push_assistant(calls, None);
        transcript.push_tool_result("d", "e");
        assert_eq!(transcript.ids(), HashSet::from([r"a\".into(), r#"b"c"#.into()]));
    }
}
