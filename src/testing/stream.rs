//! A reply that a scripted model streams, byte for byte as a provider would.

use std::collections::VecDeque;
use std::time::Duration;

use futures_util::{StreamExt, stream};
use serde_json::{Value, json};

use crate::model::{Decoding, Dialect, Error, Event, Events};
use crate::wire;

/// A streamed reply: server-sent events, in pieces that come one after another.
#[derive(Clone, Debug)]
pub(super) struct Stream {
    pub pieces: VecDeque<(Duration, Vec<u8>)>,
    pub brace_close_trusted: bool,
    /// What comes in place of the end, if the reply has not ended by then.
    pub lost: Option<Error>,
}

impl Stream {
    /// What is said, as it comes.
    pub fn events(self) -> Events {
        let playing = Playing {
            pieces: self.pieces,
            lost: self.lost,
            decoding: Some(Decoding::new(Dialect {
                brace_close_trusted: self.brace_close_trusted,
                ..Dialect::generic()
            })),
            said: VecDeque::new(),
        };
        stream::unfold(playing, Playing::next).boxed_local()
    }
}

struct Playing {
    pieces: VecDeque<(Duration, Vec<u8>)>,
    lost: Option<Error>,
    decoding: Option<Decoding>,
    said: VecDeque<Result<Event, Error>>,
}

impl Playing {
    async fn next(mut self) -> Option<(Result<Event, Error>, Self)> {
        loop {
            if let Some(event) = self.said.pop_front() {
                return Some((event, self));
            }
            let decoding = self.decoding.as_mut()?;
            let Some((pause, bytes)) = self.pieces.pop_front().filter(|_| !decoding.done()) else {
                let decoding = self.decoding.take()?;
                let reply = match self.lost.take().filter(|_| !decoding.done()) {
                    Some(lost) => Err(lost),
                    None => {
                        let mut events = Vec::new();
                        let reply = decoding.finish(&mut events);
                        self.said.extend(events.into_iter().map(Ok));
                        reply.map_err(|error| in_short(&error))
                    }
                };
                self.said.push_back(reply.map(|reply| Event::Reply(Box::new(reply))));
                continue;
            };
            if !pause.is_zero() {
                tokio::time::sleep(pause).await;
            }
            let mut events = Vec::new();
            let fed = decoding.feed(&bytes, &mut events);
            self.said.extend(events.into_iter().map(Ok));
            if let Err(error) = fed {
                self.said.push_back(Err(in_short(&error)));
                self.decoding = None;
            }
        }
    }
}

fn in_short(error: &wire::Error) -> Error {
    let url = "the script".to_owned();
    match error {
        wire::Error::Cut { .. } => Error::Cut { url, reason: error.to_string() },
        wire::Error::Api(_) => {
            Error::Failed { url, status: 502, message: error.to_string(), retry_after: None }
        }
        wire::Error::Malformed { .. }
        | wire::Error::TooLarge { .. }
        | wire::Error::ReplyTooLarge { .. } => Error::Malformed { url, reason: error.to_string() },
    }
}

/// The chunks of a reply: one for each text, two for each call (the second one closes its
/// arguments), and one that says why it ended.
pub(super) fn chunks(
    text: &[String],
    calls: &[(String, String, String)],
    finish: Option<&str>,
    usage: Option<Value>,
) -> Vec<Vec<u8>> {
    let mut chunks: Vec<_> =
        text.iter().map(|text| chunk(json!({"content": text}), None)).collect();
    for (index, (id, name, arguments)) in calls.iter().enumerate() {
        let half = (0..=arguments.len() / 2).rev().find(|at| arguments.is_char_boundary(*at));
        let (head, tail) = arguments.split_at(half.unwrap_or_default());
        let opened = json!({"index": index, "id": id, "type": "function",
            "function": {"name": name, "arguments": head}});
        let closed = json!({"index": index, "function": {"arguments": tail}});
        chunks.push(chunk(json!({"tool_calls": [opened]}), None));
        chunks.push(chunk(json!({"tool_calls": [closed]}), None));
    }
    let usual = if calls.is_empty() { "stop" } else { "tool_calls" };
    let mut last = chunk(json!({}), Some(finish.unwrap_or(usual)));
    if let Some(usage) = usage {
        let counted = json!({"model": "scripted", "choices": [], "usage": usage});
        last.extend_from_slice(format!("data: {counted}\n\n").as_bytes());
    }
    last.extend_from_slice(b"data: [DONE]\n\n");
    chunks.push(last);
    chunks
}

fn chunk(delta: Value, finish: Option<&str>) -> Vec<u8> {
    let chunk = json!({"model": "scripted",
        "choices": [{"index": 0, "delta": delta, "finish_reason": finish}]});
    format!("data: {chunk}\n\n").into_bytes()
}
