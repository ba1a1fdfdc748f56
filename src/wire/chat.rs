//! Requests, messages and replies of Chat Completions.

use std::borrow::Cow;

use serde::de::IgnoredAny;
use serde_json::value::RawValue;

use super::envelope::{Choice, Envelope, FunctionPart, content_of, text_of};
use super::extra::REASONING;
use super::reply::{RawCall, settle};
use super::{Call, Error, Extra, Finish, Reply};

pub use super::error::error_in;

/// A request, put together from parts that are JSON already.
#[derive(Clone, Copy, Debug)]
pub struct Request<'a> {
    /// The model's name.
    pub model: &'a str,
    /// Asks for a streamed reply, with its usage at the end.
    pub stream: bool,
    /// The JSON array of the tools; empty for none.
    pub tools: &'a [u8],
    /// The messages, separated by commas.
    pub messages: &'a [u8],
    /// Sent together with tools only. Absent: not sent.
    pub parallel_tool_calls: Option<bool>,
    /// Sent together with tools only. Absent: not sent.
    pub tool_choice: Option<&'a str>,
}

impl Request<'_> {
    /// The body. The parts are copied once, into memory of the right size.
    #[must_use]
    pub fn write(&self) -> Vec<u8> {
        let mut out =
            Vec::with_capacity(192 + self.model.len() + self.tools.len() + self.messages.len());
        out.extend_from_slice(b"{\"model\":");
        write_string(&mut out, self.model);
        if self.stream {
            out.extend_from_slice(b",\"stream\":true,\"stream_options\":{\"include_usage\":true}");
        }
        if !self.tools.is_empty() {
            out.extend_from_slice(b",\"tools\":");
            out.extend_from_slice(self.tools);
            if let Some(parallel) = self.parallel_tool_calls {
                out.extend_from_slice(b",\"parallel_tool_calls\":");
                out.extend_from_slice(if parallel { b"true" } else { b"false" });
            }
            if let Some(choice) = self.tool_choice {
                out.extend_from_slice(b",\"tool_choice\":");
                write_string(&mut out, choice);
            }
        }
        out.extend_from_slice(b",\"messages\":[");
        out.extend_from_slice(self.messages);
        out.extend_from_slice(b"]}");
        out
    }
}

/// What a request says of one tool.
#[derive(Clone, Copy, Debug)]
pub struct ToolSpec<'a> {
    /// The name.
    pub name: &'a str,
    /// What it is good for.
    pub description: &'a str,
    /// The JSON Schema of its arguments.
    pub parameters: &'a RawValue,
}

/// Appends the JSON array of `tools`.
pub fn write_tools<'a>(out: &mut Vec<u8>, tools: impl IntoIterator<Item = ToolSpec<'a>>) {
    out.push(b'[');
    for (n, tool) in tools.into_iter().enumerate() {
        if n > 0 {
            out.push(b',');
        }
        out.extend_from_slice(b"{\"type\":\"function\",\"function\":{\"name\":");
        write_string(out, tool.name);
        out.extend_from_slice(b",\"description\":");
        write_string(out, tool.description);
        out.extend_from_slice(b",\"parameters\":");
        out.extend_from_slice(tool.parameters.get().as_bytes());
        out.extend_from_slice(b"}}");
    }
    out.push(b']');
}

/// Appends a system message.
pub fn write_system(out: &mut Vec<u8>, text: &str) {
    write_plain(out, b"{\"role\":\"system\",\"content\":", text);
}

/// Appends a user message.
pub fn write_user(out: &mut Vec<u8>, text: &str) {
    write_plain(out, b"{\"role\":\"user\",\"content\":", text);
}

/// Appends the answer to the call `id`.
pub fn write_tool_result(out: &mut Vec<u8>, id: &str, content: &str) {
    out.extend_from_slice(b"{\"role\":\"tool\",\"tool_call_id\":");
    write_string(out, id);
    write_plain(out, b",\"content\":", content);
}

fn write_plain(out: &mut Vec<u8>, head: &[u8], text: &str) {
    out.extend_from_slice(head);
    write_string(out, text);
    out.push(b'}');
}

/// Appends `text` as a JSON string.
pub(super) fn write_string(out: &mut Vec<u8>, text: &str) {
    serde_json::to_writer(out, text).expect("writing a string into memory does not fail");
}

/// Reads a reply that was not streamed.
///
/// # Errors
/// [`Error::Api`] where the provider says, in whatever shape and under whatever status, that it
/// failed; [`Error::Malformed`] for anything that is no reply.
pub fn decode_reply(body: &[u8]) -> Result<Reply, Error> {
    let malformed = || Error::malformed("a Chat Completions reply", body);
    let envelope: Envelope<'_> = match serde_json::from_slice(body) {
        Ok(envelope) => envelope,
        Err(_) => return Err(error_in(body).map_or_else(malformed, Error::Api)),
    };
    if let Some(error) = envelope.error.and_then(super::error::from_value) {
        return Err(Error::Api(error));
    }
    let choice = envelope.choices.into_iter().flatten().find(|choice| choice.index == 0);
    let Some(mut choice) = choice else {
        return Err(error_in(body).map_or_else(malformed, Error::Api));
    };
    if let Some(error) = choice.error.and_then(super::error::from_value) {
        return Err(Error::Api(error));
    }
    let Some(message) = choice.message.take() else {
        return Err(malformed());
    };
    let (text, mut reasoning) = message.content.map(content_of).unwrap_or_default();
    let calls: Vec<RawCall<'_>> = match (message.calls, message.function_call) {
        (Some(calls), _) if !calls.is_empty() => calls
            .into_iter()
            .map(|call| {
                let id = call.id.unwrap_or_default();
                RawCall { id, extra: call.extra.into(), ..raw_call(call.function) }
            })
            .collect(),
        (_, Some(call)) => vec![raw_call(call)],
        _ => Vec::new(),
    };
    for (name, value) in &message.extra {
        if reasoning.is_empty() && REASONING.contains(&&**name) {
            reasoning = text_of(value).unwrap_or_default();
        }
    }
    let (finish, truncated) = ending(&choice, !calls.is_empty());
    Ok(Reply {
        text: text.into(),
        reasoning: reasoning.into(),
        calls: settle(calls, truncated),
        finish,
        truncated,
        usage: envelope.usage.or(choice.usage),
        model: envelope.model.map(Into::into),
        id: envelope.id.map(Into::into),
        extra: message.extra.into(),
    })
}

fn raw_call(function: FunctionPart<'_>) -> RawCall<'_> {
    let arguments = function.arguments.map(|value| {
        // Some send the object itself in place of its text.
        text_of(value).unwrap_or(Cow::Borrowed(value.get()))
    });
    RawCall {
        name: function.name.unwrap_or_default(),
        arguments: arguments.unwrap_or_default(),
        function_extra: function.extra.into(),
        ..RawCall::default()
    }
}

/// Why the model stopped, and whether it was made to. Routers rewrite `length`, so the word of the
/// provider behind them counts too.
pub(super) fn ending(choice: &Choice<'_>, has_calls: bool) -> (Finish, bool) {
    let finish = choice.finish.as_deref().map(Finish::parse);
    let native = choice.native_finish.as_deref().map(Finish::parse);
    let cut = |finish: &Option<Finish>| matches!(finish, Some(Finish::Length | Finish::Error));
    let truncated = cut(&finish) || cut(&native);
    let inferred = if has_calls { Finish::ToolCalls } else { Finish::Stop };
    (finish.unwrap_or(inferred), truncated)
}

/// Who speaks.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Role {
    /// The one who set the conversation up.
    System,
    /// The one who asks.
    User,
    /// The model.
    Assistant,
    /// A tool that answers a call.
    Tool,
}

/// A message of a history, read back.
#[derive(Clone, Debug)]
pub struct Message {
    /// Who speaks.
    pub role: Role,
    /// The text.
    pub text: String,
    /// The calls of an assistant message.
    pub calls: Vec<Call>,
    /// The call that a tool message answers.
    pub tool_call_id: Option<String>,
    /// Unknown fields.
    pub extra: Extra,
}

/// Reads messages that are separated by commas, as [`Request::messages`] holds them.
///
/// # Errors
/// [`Error::Malformed`] if they are not.
pub fn decode_messages(bytes: &[u8]) -> Result<Vec<Message>, Error> {
    let malformed = || Error::malformed("messages", bytes);
    let mut list = Vec::with_capacity(bytes.len() + 2);
    list.push(b'[');
    list.extend_from_slice(bytes);
    list.push(b']');
    let messages: Vec<super::envelope::Message<'_>> =
        serde_json::from_slice(&list).map_err(|_| malformed())?;
    let read = |message: super::envelope::Message<'_>| {
        let role = match message.role.as_deref() {
            Some("system" | "developer") => Role::System,
            Some("user") => Role::User,
            Some("assistant") => Role::Assistant,
            Some("tool" | "function") => Role::Tool,
            _ => return Err(malformed()),
        };
        let calls = message.calls.into_iter().flatten().map(|call| {
            let id = call.id.unwrap_or_default();
            RawCall { id, extra: call.extra.into(), ..raw_call(call.function) }
        });
        Ok(Message {
            role,
            text: message.content.map(|content| content_of(content).0.into()).unwrap_or_default(),
            calls: settle(calls.collect(), false),
            tool_call_id: message.tool_call_id.map(Into::into),
            extra: message.extra.into(),
        })
    };
    messages.into_iter().map(read).collect()
}

/// Says whether `text` is JSON.
pub(super) fn is_json(text: &[u8]) -> bool {
    serde_json::from_slice::<IgnoredAny>(text).is_ok()
}
