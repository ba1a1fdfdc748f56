//! A streamed reply: bytes in, events out as they become known, one [`Reply`] at the end.

use std::borrow::Cow;
use std::sync::Arc;

use super::assembler::Assembler;
use super::chat::chunk::{Choice, Chunk, Delta, REASONING};
use super::chat::{decode_reply, error_beside, error_in_text, usage_in};
use super::extra::Fields;
use super::gather::Gather;
use super::json::{Reader, Unread, explain};
use super::reply::Ending;
use super::{ApiError, CallView, Error, MAX_REPLY_BYTES, Reply, Usage, sse};

/// The fields of a delta that continue the text of the same field before.
const TEXTS: [&str; 4] = ["reasoning_content", "reasoning", "thinking", "refusal"];

/// Something that became known while a reply was streamed. Ordinals count the calls of the reply from 0.
#[derive(Clone, Debug, PartialEq)]
pub enum StreamEvent {
    /// More text.
    Text(String),
    /// More reasoning, for display.
    Reasoning(String),
    /// What the provider has counted so far: all of it, in place of what it said before.
    Counted(Usage),
    /// A call began. Its name and arguments may still be missing.
    CallOpened {
        /// The call.
        ordinal: usize,
    },
    /// The brace closed that opened the call's arguments. Likely all of them; never said of `{}`, which may be a placeholder.
    CallClosed {
        /// The call.
        ordinal: usize,
    },
    /// The arguments closed and the next call began, or the reply finished: as certain as it gets before the end.
    /// Not said of a call that may have lost its tail.
    /// The text may still be no JSON: ask [`Arguments::from_text`](super::Arguments::from_text).
    CallSealed {
        /// The call.
        ordinal: usize,
    },
    /// Against that, more text came for a call that was closed or sealed. Its arguments are not what they seemed.
    LateArguments {
        /// The call.
        ordinal: usize,
    },
}

/// How certain the arguments of a call are while its reply goes on.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Certainty {
    /// As [`StreamEvent::CallClosed`] says: likely all of them.
    Closed,
    /// As [`StreamEvent::CallSealed`] says: as certain as it gets before the end.
    Sealed,
}

/// Reads a streamed reply. A body that is plain JSON, from a server that does not stream, is read as well.
#[derive(Debug)]
pub struct StreamDecoder {
    max_event: usize,
    max_reply: usize,
    framing: Framing,
    draft: Draft,
}

/// How the bytes are framed, known from the first that is not blank.
#[derive(Debug)]
enum Framing {
    Unknown,
    Events(sse::Parser),
    /// JSON or HTML: nothing can be said before the end.
    Body(Vec<u8>),
    /// Such a body, at its end.
    Decoded(Result<Box<Reply>, Error>),
}

impl Default for StreamDecoder {
    fn default() -> Self {
        Self::new()
    }
}

impl StreamDecoder {
    /// A decoder that accepts events of up to [`sse::DEFAULT_MAX_EVENT`] bytes, and
    /// [`MAX_REPLY_BYTES`] of text, reasoning, calls and unknown fields in all of them.
    pub fn new() -> Self {
        Self::with_limits(sse::DEFAULT_MAX_EVENT, MAX_REPLY_BYTES)
    }

    /// A decoder that accepts events of up to `max_event` bytes, and `max_reply` bytes of text, reasoning,
    /// calls and unknown fields in all events, or of a body without events.
    pub fn with_limits(max_event: usize, max_reply: usize) -> Self {
        let (framing, draft) = (Framing::Unknown, Draft::default());
        StreamDecoder { max_event, max_reply, framing, draft }
    }

    /// Takes in the next bytes, cut anywhere, and appends what they made known to `events`.
    ///
    /// # Errors
    /// [`Error::Api`] if the provider failed, [`Error::Malformed`], [`Error::TooLarge`] and [`Error::ReplyTooLarge`]
    /// if it does not keep to the protocol or to the limits. Nothing is read after an error; [`finish`](Self::finish) then gives what had arrived.
    pub fn feed(&mut self, bytes: &[u8], events: &mut Vec<StreamEvent>) -> Result<(), Error> {
        if self.draft.failed {
            return Ok(());
        }
        let result = self.feed_framed(bytes, events);
        self.draft.failed = result.is_err();
        result
    }

    fn feed_framed(
        &mut self,
        mut bytes: &[u8],
        events: &mut Vec<StreamEvent>,
    ) -> Result<(), Error> {
        if let Framing::Unknown = self.framing {
            bytes = bytes.trim_ascii_start();
            self.framing = match bytes.first() {
                None => return Ok(()),
                Some(b'{' | b'[' | b'<' | b'"') => Framing::Body(Vec::new()),
                Some(_) => Framing::Events(sse::Parser::new(self.max_event)),
            };
        }
        match &mut self.framing {
            Framing::Events(parser) => {
                parser.feed(bytes, |event| self.draft.take_event(&event, self.max_reply, events))
            }
            Framing::Body(body) if body.len() + bytes.len() > self.max_reply => {
                Err(Error::ReplyTooLarge { limit: self.max_reply })
            }
            Framing::Body(body) => {
                body.extend_from_slice(bytes);
                Ok(())
            }
            Framing::Unknown | Framing::Decoded(_) => Ok(()),
        }
    }

    /// True once `[DONE]` was seen: nothing after it counts.
    pub fn done(&self) -> bool {
        self.draft.done
    }

    /// True once the reply said that a filter cut it or that it failed, also if that could not be read.
    pub fn fails(&self) -> bool {
        self.draft.failed || self.draft.ending.fails()
    }

    /// How many chunks so far brought a piece of the reply, also one that no event tells of, such as
    /// more arguments. What only keeps a connection alive does not count.
    pub fn pieces(&self) -> u64 {
        self.draft.pieces
    }

    /// The call with this ordinal as far as it came.
    pub fn call(&self, ordinal: usize) -> Option<CallView<'_>> {
        self.draft.assembler.view(ordinal)
    }

    /// Takes in the end of the input and appends what it made known: some servers leave out the last line feeds.
    /// Nothing may be fed after it.
    ///
    /// # Errors
    /// As [`feed`](Self::feed).
    pub fn end(&mut self, events: &mut Vec<StreamEvent>) -> Result<(), Error> {
        match &mut self.framing {
            Framing::Events(parser) if !self.draft.failed => {
                let rest = std::mem::take(parser);
                let result =
                    rest.finish(|event| self.draft.take_event(&event, self.max_reply, events));
                self.draft.failed = result.is_err();
                result
            }
            Framing::Body(body) if !self.draft.failed => {
                let reply = decode_reply(body).map(Box::new);
                // What a reply that came to nothing has cost.
                let counted = if reply.is_err() { usage_in(body) } else { None };
                events.extend(counted.map(StreamEvent::Counted));
                self.framing = Framing::Decoded(reply);
                Ok(())
            }
            Framing::Events(_) | Framing::Unknown | Framing::Body(_) | Framing::Decoded(_) => {
                Ok(())
            }
        }
    }

    /// Ends the input, silently unless [`end`](Self::end) did, and gives the reply.
    ///
    /// # Errors
    /// [`Error::Cut`] with what had arrived, if there was neither a finish reason nor `[DONE]`, or if
    /// [`feed`](Self::feed) or [`end`](Self::end) gave an error; the errors of [`end`](Self::end).
    pub fn finish(mut self) -> Result<Reply, Error> {
        self.end(&mut Vec::new())?;
        match self.framing {
            Framing::Decoded(reply) => reply.map(|reply| *reply),
            Framing::Events(_) | Framing::Unknown | Framing::Body(_) => self.draft.finish(),
        }
    }
}

/// The reply as far as it came.
#[derive(Debug, Default)]
struct Draft {
    text: String,
    reasoning: String,
    /// The field the reasoning comes in; the same words may come in a second one.
    reasoning_field: Option<Box<str>>,
    assembler: Assembler,
    ending: Ending,
    usage: Option<Usage>,
    model: Option<Arc<str>>,
    id: Option<String>,
    extra: Gather,
    pieces: u64,
    /// How much of the reply has come, in bytes.
    bytes: usize,
    /// A finish reason with nothing else, or a count of tokens, came behind the last piece of a call.
    calls_settled: bool,
    done: bool,
    failed: bool,
}

impl Draft {
    /// Takes in one event: a chunk, several glued together, or `[DONE]`.
    fn take_event(
        &mut self,
        event: &sse::Event<'_>,
        max_reply: usize,
        events: &mut Vec<StreamEvent>,
    ) -> Result<(), Error> {
        let mut rest = event.data.trim_ascii();
        while !rest.is_empty() && !self.done {
            if rest.starts_with("[DONE]") {
                self.done = true;
                self.assembler.seal_all(self.ending.cuts_arguments(), events);
                return Ok(());
            }
            let mut reader = Reader::new(rest);
            let chunk: Chunk<'_> = match reader.value() {
                Ok(chunk) => chunk,
                Err(Unread) if event.name == "error" => {
                    return Err(Error::Api(unread_error(rest).into()));
                }
                Err(Unread) => {
                    let why = explain(rest);
                    return Err(Error::malformed(format_args!("expected a chunk, {why}"), rest));
                }
            };
            let (text, behind) = rest.split_at(reader.offset());
            self.take_usage(chunk.usage, events); // Also what an error cost.
            if let Some(error) = error_of(&chunk, text, event.name) {
                return Err(Error::Api(error.into()));
            }
            self.bytes = self.bytes.saturating_add(chunk.size());
            if self.bytes > max_reply {
                return Err(Error::ReplyTooLarge { limit: max_reply });
            }
            self.take_chunk(chunk, events)?;
            rest = behind.trim_ascii_start();
        }
        Ok(())
    }

    fn take_usage(&mut self, usage: Option<Usage>, events: &mut Vec<StreamEvent>) {
        if let Some(usage) = usage
            && self.usage != Some(usage)
        {
            self.usage = Some(usage);
            events.push(StreamEvent::Counted(usage));
        }
    }

    fn take_chunk(&mut self, chunk: Chunk<'_>, events: &mut Vec<StreamEvent>) -> Result<(), Error> {
        set_once(&mut self.id, chunk.id);
        set_once(&mut self.model, chunk.model);
        let is_counted = chunk.usage.is_some_and(|usage| usage.output_tokens > 0);
        let Some(Choice { delta, message, finish_reason, native_finish_reason, .. }) = chunk.choice
        else {
            // Tokens are counted at the end, where there are no choices any more.
            self.calls_settled |= is_counted && self.ending.finish.is_some();
            return Ok(());
        };
        let Delta { content, tool_calls, function_call, extra } =
            *delta.or(message).unwrap_or_default();
        let is_piece = !content.text.is_empty()
            || !content.thinking.is_empty()
            || !tool_calls.is_empty()
            || function_call.is_some()
            || extra.iter().any(|(_, raw)| !matches!(raw.get(), "\"\"" | "[]" | "{}"));
        self.pieces += u64::from(is_piece);
        self.take_extra(extra, events);
        self.take_reasoning(&content.thinking, events);
        if !content.text.is_empty() {
            self.text.push_str(&content.text);
            events.push(StreamEvent::Text(content.text.into_owned()));
        }
        let has_calls = !tool_calls.is_empty() || function_call.is_some();
        self.assembler.push(tool_calls, events)?;
        if let Some(piece) = function_call {
            self.assembler.push_legacy(*piece);
        }
        let is_said = self.ending.note(finish_reason.as_deref(), native_finish_reason.as_deref());
        self.calls_settled = !has_calls && (self.calls_settled || (is_said && !is_piece));
        if is_said && !self.ending.cuts_arguments() {
            self.assembler.seal_last(events);
        }
        Ok(())
    }

    fn take_extra(&mut self, extra: Fields<'_>, events: &mut Vec<StreamEvent>) {
        for (field, raw) in extra {
            match serde_json::from_str::<String>(raw.get()) {
                Ok(piece) if TEXTS.contains(&&*field) => {
                    self.extra.add_text(&field, &piece);
                    let shown = REASONING.contains(&&*field) && !piece.is_empty();
                    if shown
                        && **self.reasoning_field.get_or_insert_with(|| (*field).into()) == *field
                    {
                        self.take_reasoning(&piece, events);
                    }
                }
                _ => self.extra.add(&field, raw),
            }
        }
    }

    fn take_reasoning(&mut self, piece: &str, events: &mut Vec<StreamEvent>) {
        if !piece.is_empty() {
            self.reasoning.push_str(piece);
            events.push(StreamEvent::Reasoning(piece.to_owned()));
        }
    }

    fn finish(mut self) -> Result<Reply, Error> {
        self.ending.broken = self.failed || (self.ending.finish.is_none() && !self.done);
        let has_calls = self.assembler.has_calls();
        // Some servers give a finish reason with every chunk: it says nothing of a call that came with it.
        let cut = self.ending.cuts_arguments() || !(self.done || self.calls_settled);
        let reply = Reply {
            text: self.text,
            reasoning: self.reasoning,
            calls: self.assembler.finish(cut),
            finish: self.ending.finish(has_calls),
            truncated: self.ending.truncated(),
            usage: self.usage,
            model: self.model,
            id: self.id,
            extra: self.extra.finish(),
        };
        if self.ending.broken { Err(Error::Cut { partial: Box::new(reply) }) } else { Ok(reply) }
    }
}

/// The error a chunk is, whether it says so itself or its event does.
fn error_of(chunk: &Chunk<'_>, text: &str, event: &str) -> Option<ApiError> {
    match chunk.error {
        Some(error) => Some(error_beside(error, text)),
        None if event == "error" => Some(error_in_text(text).unwrap_or_else(|| unread_error(text))),
        None if chunk.is_error || !chunk.has_choices => error_in_text(text),
        None => None,
    }
}

fn unread_error(text: &str) -> ApiError {
    ApiError { message: text.to_owned(), ..ApiError::default() }
}

fn set_once<'a, T: From<Cow<'a, str>>>(place: &mut Option<T>, text: Option<Cow<'a, str>>) {
    if place.is_none() {
        *place = text.filter(|text| !text.is_empty()).map(Into::into);
    }
}

#[cfg(test)]
mod tests;
