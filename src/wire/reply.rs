//! A model's reply, whole.

use std::borrow::Cow;
use std::collections::HashSet;
use std::ops::AddAssign;
use std::sync::Arc;

use serde::{Deserialize, Serialize};

use super::chat::write_string;
use super::{Arguments, Extra};

/// A reply: text, calls, or both.
#[derive(Clone, Debug)]
pub struct Reply {
    /// The text of the message.
    pub text: String,
    /// The model's reasoning, where the provider shows it. The field it came in is in `extra`.
    pub reasoning: String,
    /// The calls, in order.
    pub calls: Vec<Call>,
    /// Why the model stopped.
    pub finish: Finish,
    /// The reply did not arrive, or was not written, to its end.
    pub truncated: bool,
    /// Tokens, where the provider counts them.
    pub usage: Option<Usage>,
    /// The model as the provider names it.
    pub model: Option<String>,
    /// The reply's id.
    pub id: Option<String>,
    /// Unknown fields of the message, to be given back unchanged.
    pub extra: Extra,
}

/// A tool call as the model asked for it.
#[derive(Clone, Debug)]
pub struct Call {
    /// Unique within the reply: made up where it is missing, marked where it is repeated.
    pub id: Arc<str>,
    /// The tool's name.
    pub name: Arc<str>,
    /// The arguments.
    pub arguments: Arguments,
    /// Unknown fields of the call, to be given back unchanged.
    pub extra: Extra,
    /// Unknown fields of its `function`.
    pub function_extra: Extra,
}

/// Why a model stopped. Whether there are calls is for the calls to say.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Finish {
    /// It had finished.
    Stop,
    /// It waits for results.
    ToolCalls,
    /// It ran out of tokens.
    Length,
    /// The provider took offence.
    ContentFilter,
    /// Something broke.
    Error,
    /// A word of this provider's own.
    Other(String),
}

/// Tokens of one reply or of several.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Usage {
    /// Read.
    pub input_tokens: u64,
    /// Written.
    pub output_tokens: u64,
    /// Read from the provider's cache; part of `input_tokens`.
    #[serde(default)]
    pub cached_tokens: u64,
    /// Spent on reasoning; part of `output_tokens`.
    #[serde(default)]
    pub reasoning_tokens: u64,
}

impl AddAssign for Usage {
    fn add_assign(&mut self, other: Self) {
        self.input_tokens += other.input_tokens;
        self.output_tokens += other.output_tokens;
        self.cached_tokens += other.cached_tokens;
        self.reasoning_tokens += other.reasoning_tokens;
    }
}

impl Finish {
    pub(super) fn parse(word: &str) -> Self {
        match word {
            "stop" | "end_turn" | "end" => Self::Stop,
            "tool_calls" | "function_call" | "tool_use" => Self::ToolCalls,
            "length" | "max_tokens" | "model_length" | "max_output_tokens" | "MAX_TOKENS" => {
                Self::Length
            }
            "content_filter" => Self::ContentFilter,
            "error" => Self::Error,
            other => Self::Other(other.to_owned()),
        }
    }

    /// The word that OpenAI uses for it, else the provider's own.
    #[must_use]
    pub fn as_str(&self) -> &str {
        match self {
            Self::Stop => "stop",
            Self::ToolCalls => "tool_calls",
            Self::Length => "length",
            Self::ContentFilter => "content_filter",
            Self::Error => "error",
            Self::Other(word) => word,
        }
    }
}

impl Reply {
    /// Appends the assistant message as it goes back into the history: one JSON object.
    ///
    /// Arguments that are no object are given back as `{}`: providers refuse the whole history
    /// over them for ever after.
    pub fn write_message(&self, out: &mut Vec<u8>) {
        out.reserve(64 + self.text.len() + self.calls.len() * 160);
        out.extend_from_slice(b"{\"role\":\"assistant\"");
        if !self.text.is_empty() || self.calls.is_empty() {
            out.extend_from_slice(b",\"content\":");
            write_string(out, &self.text);
        }
        for (ordinal, call) in self.calls.iter().enumerate() {
            out.extend_from_slice(if ordinal == 0 { b",\"tool_calls\":[" } else { b"," });
            call.write(out);
        }
        if !self.calls.is_empty() {
            out.push(b']');
        }
        self.extra.write(out);
        out.push(b'}');
    }
}

impl Call {
    fn write(&self, out: &mut Vec<u8>) {
        out.extend_from_slice(b"{\"id\":");
        write_string(out, &self.id);
        out.extend_from_slice(b",\"type\":\"function\",\"function\":{\"name\":");
        write_string(out, &self.name);
        out.extend_from_slice(b",\"arguments\":");
        let arguments = match &self.arguments {
            Arguments::Object(text) => text,
            Arguments::NotAnObject { .. }
            | Arguments::Malformed { .. }
            | Arguments::Truncated { .. } => "{}",
        };
        write_string(out, arguments);
        self.function_extra.write(out);
        out.push(b'}');
        self.extra.write(out);
        out.push(b'}');
    }
}

/// A call of which nothing more will come, before it is judged.
#[derive(Debug, Default)]
pub(super) struct RawCall<'a> {
    pub id: Cow<'a, str>,
    pub name: Cow<'a, str>,
    pub arguments: Cow<'a, str>,
    /// Where the last piece of the arguments began.
    pub last_piece: usize,
    pub extra: Extra,
    pub function_extra: Extra,
}

/// Judges the calls of a reply. In a truncated one the last call is the one that may have been cut.
pub(super) fn settle(calls: Vec<RawCall<'_>>, truncated: bool) -> Vec<Call> {
    let ids = unique_ids(&calls);
    let last = calls.len();
    let judge = |(ordinal, (call, id)): (usize, (RawCall<'_>, Arc<str>))| Call {
        id,
        name: call.name.into(),
        arguments: Arguments::settle(
            &call.arguments,
            call.last_piece,
            truncated && ordinal + 1 == last,
        ),
        extra: call.extra,
        function_extra: call.function_extra,
    };
    calls.into_iter().zip(ids).enumerate().map(judge).collect()
}

/// The ids of `calls`: `call_` and its place where one is missing, a number behind where one is
/// repeated.
fn unique_ids(calls: &[RawCall<'_>]) -> Vec<Arc<str>> {
    let mut taken: HashSet<Arc<str>> = HashSet::with_capacity(calls.len());
    let mut ids = Vec::with_capacity(calls.len());
    for (ordinal, call) in calls.iter().enumerate() {
        let mut id: Arc<str> = match &*call.id {
            "" => format!("call_{ordinal}").into(),
            id => id.into(),
        };
        let mut repeated = 1;
        while taken.contains(&id) {
            repeated += 1;
            id =
                format!("{}_{repeated}", if call.id.is_empty() { "call" } else { &call.id }).into();
        }
        taken.insert(Arc::clone(&id));
        ids.push(id);
    }
    ids
}
