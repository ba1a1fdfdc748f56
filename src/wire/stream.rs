//! A streamed reply: bytes in, events out, the whole reply at the end.

use super::assembler::Assembler;
use super::chat::ending;
use super::envelope::{Choice, Envelope, content_of, text_of};
use super::extra::REASONING;
use super::reply::settle;
use super::sse::EventReader;
use super::{Error, Extra, Finish, Reply, Usage};

/// What a piece of a stream brings.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum StreamEvent {
    /// A piece of the text.
    Text(String),
    /// A piece of the reasoning.
    Reasoning(String),
    /// The call `ordinal` has begun.
    CallOpened {
        /// From 0.
        ordinal: usize,
    },
    /// The arguments of the call `ordinal` are a closed object: nothing that may still come makes
    /// it another object.
    CallClosed {
        /// From 0.
        ordinal: usize,
    },
    /// The call `ordinal` is complete: another one has begun, or the reply has ended.
    CallSealed {
        /// From 0.
        ordinal: usize,
    },
}

/// Reads a streamed reply.
#[derive(Debug, Default)]
pub struct StreamDecoder {
    events: EventReader,
    state: State,
}

#[derive(Debug, Default)]
struct State {
    assembler: Assembler,
    text: String,
    reasoning: String,
    extra: Extra,
    finish: Option<Finish>,
    truncated: bool,
    usage: Option<Usage>,
    model: Option<String>,
    id: Option<String>,
    done: bool,
    /// Anything that is a piece of a reply has come.
    begun: bool,
    /// The start of the stream, to show if it is none.
    start: Vec<u8>,
}

impl StreamDecoder {
    /// A decoder that has read nothing.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// Takes in `bytes`, cut anywhere, and appends what they bring to `events`.
    ///
    /// # Errors
    /// [`Error::Api`] when the provider says in the middle of a stream that it failed;
    /// [`Error::Malformed`] and [`Error::TooLarge`] for what is no such stream. The decoder is of
    /// no use after an error.
    pub fn feed(&mut self, bytes: &[u8], events: &mut Vec<StreamEvent>) -> Result<(), Error> {
        let Self { events: reader, state } = self;
        if !state.begun && state.start.len() < 400 {
            state.start.extend_from_slice(&bytes[..bytes.len().min(400)]);
        }
        reader.feed(bytes, &mut |data| state.on_event(data, events))
    }

    /// The provider has said that the stream is complete.
    #[must_use]
    pub fn done(&self) -> bool {
        self.state.done
    }

    /// The id, name and arguments of the call `ordinal` as far as they have come.
    #[must_use]
    pub fn call(&self, ordinal: usize) -> Option<(&str, &str, &str)> {
        self.state.assembler.call(ordinal)
    }

    /// No more bytes will come.
    ///
    /// # Errors
    /// [`Error::Cut`], with what there is, if the stream ended before the reply did;
    /// [`Error::Malformed`] if no reply had begun.
    pub fn finish(mut self) -> Result<Reply, Error> {
        let mut events = Vec::new();
        let state = &mut self.state;
        self.events.finish(&mut |data| state.on_event(data, &mut events))?;
        let clean = state.done || state.finish.is_some();
        if !state.begun && !clean {
            let start = std::mem::take(&mut state.start);
            if let Some(error) = super::error::error_in(&start) {
                return Err(Error::Api(error));
            }
            return Err(Error::malformed("a stream of server-sent events", &start));
        }
        let reply = self.state.into_reply(clean, &mut events);
        if clean { Ok(reply) } else { Err(Error::Cut { partial: Box::new(reply) }) }
    }
}

impl State {
    fn on_event(&mut self, data: &[u8], events: &mut Vec<StreamEvent>) -> Result<(), Error> {
        if data.trim_ascii() == b"[DONE]" {
            self.done = true;
            return Ok(());
        }
        // Several objects may stand in one line, glued together.
        let mut objects = serde_json::Deserializer::from_slice(data).into_iter::<Envelope<'_>>();
        for envelope in &mut objects {
            let malformed = |_| Error::malformed("a Chat Completions event", data);
            self.on_envelope(envelope.map_err(malformed)?, data, events)?;
        }
        Ok(())
    }

    fn on_envelope(
        &mut self,
        envelope: Envelope<'_>,
        data: &[u8],
        events: &mut Vec<StreamEvent>,
    ) -> Result<(), Error> {
        let error = envelope.error.and_then(super::error::from_value);
        let error = error.or_else(|| {
            let in_the_open = envelope.object.as_deref() == Some("error");
            in_the_open.then(|| super::error::error_in(data)).flatten()
        });
        if let Some(error) = error {
            return Err(Error::Api(error));
        }
        self.usage = envelope.usage.or(self.usage);
        if let Some(model) = envelope.model {
            self.model = Some(model.into());
        }
        if let Some(id) = envelope.id.filter(|_| self.id.is_none()) {
            self.id = Some(id.into());
        }
        self.begun |= envelope.choices.is_some();
        for choice in envelope.choices.into_iter().flatten() {
            if choice.index == 0 {
                self.on_choice(choice, events)?;
            }
        }
        Ok(())
    }

    fn on_choice(
        &mut self,
        mut choice: Choice<'_>,
        events: &mut Vec<StreamEvent>,
    ) -> Result<(), Error> {
        if let Some(error) = choice.error.and_then(super::error::from_value) {
            return Err(Error::Api(error));
        }
        self.usage = choice.usage.or(self.usage);
        let message = choice.message.take().unwrap_or_default();
        let (text, thinking) = message.content.map(content_of).unwrap_or_default();
        for (name, value) in &message.extra {
            if REASONING.contains(&&**name)
                && let Some(piece) = text_of(value)
            {
                self.on_reasoning(&piece, events);
            }
        }
        self.on_reasoning(&thinking, events);
        if !text.is_empty() {
            self.text.push_str(&text);
            events.push(StreamEvent::Text(text.into()));
        }
        self.extra.merge(&message.extra);
        let has_calls = message.calls.as_ref().is_some_and(|calls| !calls.is_empty());
        for call in message.calls.into_iter().flatten() {
            self.assembler.push(call, events);
        }
        if let Some(call) = message.function_call.filter(|_| !has_calls) {
            self.assembler.push_function_call(call, events);
        }
        // The pieces of a chunk come before its end.
        let (finish, truncated) = ending(&choice, false);
        if choice.finish.is_some() {
            self.finish = Some(finish);
        }
        self.truncated |= truncated;
        Ok(())
    }

    fn on_reasoning(&mut self, piece: &str, events: &mut Vec<StreamEvent>) {
        if !piece.is_empty() {
            self.reasoning.push_str(piece);
            events.push(StreamEvent::Reasoning(piece.to_owned()));
        }
    }

    fn into_reply(mut self, clean: bool, events: &mut Vec<StreamEvent>) -> Reply {
        let has_calls = !self.assembler.is_empty();
        let inferred = if has_calls { Finish::ToolCalls } else { Finish::Stop };
        let truncated = self.truncated || !clean;
        Reply {
            text: self.text,
            reasoning: self.reasoning,
            calls: settle(self.assembler.finish(events), truncated),
            finish: self.finish.unwrap_or(inferred),
            truncated,
            usage: self.usage,
            model: self.model,
            id: self.id,
            extra: self.extra,
        }
    }
}
