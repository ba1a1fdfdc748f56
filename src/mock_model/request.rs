//! The part of a Chat Completions request that an answer depends on; all else is ignored.

use std::hash::{DefaultHasher, Hash, Hasher};

use serde::{Deserialize, Deserializer};

use super::json::Json;

/// A request for the next message of a conversation.
#[derive(Debug, Deserialize)]
pub(super) struct Request {
    #[serde(default, deserialize_with = "null_is_default")]
    pub model: String,
    #[serde(default, deserialize_with = "null_is_default")]
    pub messages: Vec<Message>,
    #[serde(default, deserialize_with = "null_is_default")]
    pub tools: Vec<Tool>,
    #[serde(default, deserialize_with = "null_is_default")]
    pub tool_choice: ToolChoice,
    pub parallel_tool_calls: Option<bool>,
    #[serde(default, deserialize_with = "null_is_default")]
    pub stream: bool,
    #[serde(default, deserialize_with = "null_is_default")]
    pub stream_options: StreamOptions,
}

/// What a stream carries beside the reply.
#[derive(Debug, Default, Deserialize)]
pub(super) struct StreamOptions {
    #[serde(default, deserialize_with = "null_is_default")]
    pub include_usage: bool,
}

/// Who said a message.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Deserialize)]
#[serde(rename_all = "lowercase")]
pub(super) enum Role {
    System,
    Developer,
    User,
    Assistant,
    Tool,
}

/// One message of the history.
#[derive(Debug, Hash, Deserialize)]
pub(super) struct Message {
    pub role: Role,
    /// The text, also when it came in parts; `None` for null or absent.
    #[serde(default, deserialize_with = "joined_text")]
    pub content: Option<String>,
    #[serde(default, deserialize_with = "null_is_default")]
    pub tool_calls: Vec<ToolCall>,
    pub tool_call_id: Option<String>,
}

/// A call that an assistant message asked for.
#[derive(Debug, Hash, Deserialize)]
pub(super) struct ToolCall {
    pub id: String,
    pub function: CalledFunction,
}

/// What a call names: the tool, and its arguments as the model wrote them.
#[derive(Debug, Hash, Deserialize)]
pub(super) struct CalledFunction {
    pub name: String,
    pub arguments: String,
}

/// A tool on offer.
#[derive(Debug, Deserialize)]
pub(super) struct Tool {
    pub function: Function,
}

/// The description of a tool.
#[derive(Clone, Debug, Deserialize)]
pub(super) struct Function {
    pub name: String,
    #[serde(default, deserialize_with = "null_is_default")]
    pub description: String,
    /// A JSON Schema; absent for a tool without parameters.
    pub parameters: Option<Json>,
}

/// Whether the reply may, must or must not call tools.
#[derive(Debug, Default, Deserialize)]
#[serde(untagged)]
pub(super) enum ToolChoice {
    Named {
        function: Named,
    },
    /// `none`, `auto` or `required`.
    Mode(String),
    #[default]
    Unset,
}

/// The tool that must be called.
#[derive(Debug, Deserialize)]
pub(super) struct Named {
    pub name: String,
}

impl Request {
    /// How many messages of the history are the assistant's.
    pub fn assistant_messages(&self) -> usize {
        self.messages.iter().filter(|message| message.role == Role::Assistant).count()
    }

    /// How many calls the history holds.
    pub fn calls_so_far(&self) -> usize {
        self.messages.iter().map(|message| message.tool_calls.len()).sum()
    }

    /// The same for a repeated request, and practically never for two different histories.
    pub fn fingerprint(&self) -> u64 {
        let mut hasher = DefaultHasher::new();
        self.messages.hash(&mut hasher);
        hasher.finish()
    }

    /// A guess at the history's size, four characters a token.
    pub fn tokens(&self) -> usize {
        let calls = |message: &Message| {
            message.tool_calls.iter().map(|call| call.function.arguments.len()).sum::<usize>()
        };
        let text = |message: &Message| message.content.as_ref().map_or(0, String::len);
        self.messages.iter().map(|message| (text(message) + calls(message)) / 4 + 4).sum()
    }
}

fn null_is_default<'de, D, T>(deserializer: D) -> Result<T, D::Error>
where
    D: Deserializer<'de>,
    T: Deserialize<'de> + Default,
{
    Ok(Option::deserialize(deserializer)?.unwrap_or_default())
}

fn joined_text<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Option<String>, D::Error> {
    #[derive(Deserialize)]
    #[serde(untagged)]
    enum Content {
        Text(String),
        Parts(Vec<Part>),
    }
    #[derive(Deserialize)]
    struct Part {
        text: Option<String>,
    }
    Ok(Option::deserialize(deserializer)?.map(|content| match content {
        Content::Text(text) => text,
        Content::Parts(parts) => parts.into_iter().filter_map(|part| part.text).collect(),
    }))
}
