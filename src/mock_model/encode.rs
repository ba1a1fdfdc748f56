//! A reply as Chat Completions sends it: one JSON object, or a stream of events.

use std::time::Duration;

use bytes::Bytes;
use serde_json::{Value, json};

use super::reply::{Call, Reply, Usage};

/// How many bytes of arguments make a token.
const ARGUMENT_PIECE: usize = 12;

/// What every part of one response repeats.
pub(super) struct Head {
    pub id: String,
    /// Seconds since 1970.
    pub created: u64,
    pub model: String,
}

/// The whole reply as one object.
pub(super) fn completion(head: &Head, reply: &Reply, usage: Usage) -> Vec<u8> {
    let mut message = json!({"role": "assistant", "content": reply.text});
    if !reply.calls.is_empty() {
        message["tool_calls"] = reply
            .calls
            .iter()
            .map(|call| {
                json!({"id": call.id, "type": "function",
                    "function": {"name": call.name, "arguments": call.arguments}})
            })
            .collect();
    }
    let choice = json!({"index": 0, "message": message, "logprobs": null,
        "finish_reason": reply.finish()});
    json!({"id": head.id, "object": "chat.completion", "created": head.created,
        "model": head.model, "choices": [choice], "usage": usage_json(usage)})
    .to_string()
    .into_bytes()
}

/// The reply as server-sent events, each with its time; what is due at one time is one piece.
///
/// `usage` is sent in an event of its own if it is given. A reply that is cut has only the events
/// up to its last token.
pub(super) fn stream(
    head: &Head,
    reply: &Reply,
    usage: Option<Usage>,
    pace: Duration,
) -> Vec<(Duration, Bytes)> {
    let mut events = Events { head, with_usage: usage.is_some(), pieces: Vec::new() };
    let mut at = reply.delay;
    events.delta(at, json!({"role": "assistant", "content": ""}), None);
    let tokens = tokens(reply);
    let sent = reply.cut_after.unwrap_or(tokens.len()).min(tokens.len());
    for token in tokens.into_iter().take(sent) {
        if token.takes_time {
            at += pace;
        }
        events.delta(at, token.delta, None);
    }
    if reply.cut_after.is_none() {
        events.delta(at, json!({}), Some(reply.finish()));
        if let Some(usage) = usage {
            let chunk = json!({"choices": [], "usage": usage_json(usage)});
            events.push(at, chunk);
        }
        events.raw(at, b"data: [DONE]\n\n");
    }
    events.pieces.into_iter().map(|(at, bytes)| (at, bytes.into())).collect()
}

/// How long the tokens of `reply` take together.
pub(super) fn writing_time(reply: &Reply, pace: Duration) -> Duration {
    let tokens = tokens(reply).iter().filter(|token| token.takes_time).count();
    pace.saturating_mul(u32::try_from(tokens).unwrap_or(u32::MAX))
}

struct Token {
    delta: Value,
    /// The delta that opens a call comes with the first piece of its arguments.
    takes_time: bool,
}

fn tokens(reply: &Reply) -> Vec<Token> {
    let mut tokens = Vec::new();
    for word in words(reply.text.as_deref().unwrap_or_default()) {
        tokens.push(Token { delta: json!({"content": word}), takes_time: true });
    }
    for (index, call) in reply.calls.iter().enumerate() {
        let Call { id, name, arguments } = call;
        let opened = json!({"tool_calls": [{"index": index, "id": id, "type": "function",
            "function": {"name": name, "arguments": ""}}]});
        tokens.push(Token { delta: opened, takes_time: false });
        for piece in pieces(arguments, ARGUMENT_PIECE) {
            let delta = json!({"tool_calls": [{"index": index, "function": {"arguments": piece}}]});
            tokens.push(Token { delta, takes_time: true });
        }
    }
    tokens
}

/// Cuts `text` before each space that follows a word.
fn words(text: &str) -> impl Iterator<Item = &str> {
    let mut rest = text;
    std::iter::from_fn(move || {
        let word_begins = rest.find(|c: char| !c.is_whitespace()).unwrap_or(rest.len());
        let word_ends =
            rest[word_begins..].find(char::is_whitespace).map_or(rest.len(), |n| n + word_begins);
        let (word, left) = rest.split_at(word_ends);
        rest = left;
        (!word.is_empty()).then_some(word)
    })
}

/// Cuts `text` every `size` bytes, or a little later where that would split a character.
fn pieces(text: &str, size: usize) -> impl Iterator<Item = &str> {
    let mut rest = text;
    std::iter::from_fn(move || {
        let end = (size..rest.len()).find(|&end| rest.is_char_boundary(end)).unwrap_or(rest.len());
        let (piece, left) = rest.split_at(end);
        rest = left;
        (!piece.is_empty()).then_some(piece)
    })
}

fn usage_json(usage: Usage) -> Value {
    let Usage { prompt_tokens, completion_tokens } = usage;
    let total = prompt_tokens.saturating_add(completion_tokens);
    json!({"prompt_tokens": prompt_tokens, "completion_tokens": completion_tokens,
        "total_tokens": total})
}

struct Events<'a> {
    head: &'a Head,
    /// A stream that ends with usage says `"usage": null` before.
    with_usage: bool,
    pieces: Vec<(Duration, Vec<u8>)>,
}

impl Events<'_> {
    fn delta(&mut self, at: Duration, delta: Value, finish: Option<&str>) {
        let mut chunk = json!({"choices": [{"index": 0, "delta": delta, "logprobs": null,
            "finish_reason": finish}]});
        if self.with_usage {
            chunk["usage"] = Value::Null;
        }
        self.push(at, chunk);
    }

    fn push(&mut self, at: Duration, mut chunk: Value) {
        chunk["id"] = json!(self.head.id);
        chunk["object"] = json!("chat.completion.chunk");
        chunk["created"] = json!(self.head.created);
        chunk["model"] = json!(self.head.model);
        self.raw(at, format!("data: {chunk}\n\n").as_bytes());
    }

    fn raw(&mut self, at: Duration, bytes: &[u8]) {
        match self.pieces.last_mut() {
            Some((time, piece)) if *time == at => piece.extend_from_slice(bytes),
            _ => self.pieces.push((at, bytes.to_vec())),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn words_keep_the_space_before_them_and_lose_nothing() {
        let text = " It is  71 °F\nin Tokyo. ";
        let cut: Vec<&str> = words(text).collect();
        assert_eq!(cut, [" It", " is", "  71", " °F", "\nin", " Tokyo.", " "]);
        assert_eq!(cut.concat(), text);
    }

    #[test]
    fn pieces_never_split_a_character() {
        let text = r#"{"city":"北京市朝阳区"}"#;
        assert_eq!(pieces(text, 12).collect::<String>(), text);
        assert!(pieces(text, 12).all(|piece| (3..=16).contains(&piece.len())));
    }

    #[test]
    fn every_token_has_its_time_and_the_end_comes_with_the_last() {
        let head = Head { id: "x".into(), created: 0, model: "m".into() };
        let reply = Reply { delay: Duration::from_millis(50), ..Reply::text("one two") };
        let pace = Duration::from_millis(10);
        let times: Vec<u128> =
            stream(&head, &reply, None, pace).iter().map(|(at, _)| at.as_millis()).collect();
        assert_eq!(times, [50, 60, 70]);
        assert_eq!(stream(&head, &reply, None, Duration::ZERO).len(), 1);
        assert_eq!(writing_time(&reply, pace), Duration::from_millis(20));
    }
}
