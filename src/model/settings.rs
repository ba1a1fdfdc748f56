//! What is asked of a model beside the conversation. Whatever is not set is not said.

use serde_json::{Map, Value};

use super::{ApiKey, Dialect, TokenLimitField};
use crate::wire::chat::Fields;

/// The fields that a request is about, and no setting may be.
pub(crate) const OURS: &[&str] = &["model", "messages", "stream", "tools"];

/// How long a part of a header's value is that may be a secret of its own.
const MIN_PART_BYTES: usize = 8;

/// What is asked of a model beside the conversation. The default says nothing.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct RequestSettings {
    /// How much chance there is in the reply; 0 for as little as possible.
    pub temperature: Option<f64>,
    /// The most tokens of a reply. A call that is cut by it is never run.
    pub max_tokens: Option<u32>,
    /// Whether tools are called. Not said in a request without tools.
    pub tool_choice: Option<ToolChoice>,
    /// The value of `response_format`, such as `{"type": "json_object"}`.
    pub response_format: Option<Map<String, Value>>,
    /// How long a model thinks, in the provider's words, such as `low`.
    pub reasoning_effort: Option<String>,
    /// Further fields of the body. One that is also set otherwise counts here, and a limit of tokens
    /// under either name goes before [`RequestSettings::max_tokens`]; `model`, `messages`, `stream` and
    /// `tools` are left out.
    pub extra_body: Map<String, Value>,
}

/// Whether tools are called.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum ToolChoice {
    /// As the model likes.
    Auto,
    /// No tool is.
    None,
    /// At least one is. Said in the first request of a turn only: the model would call for ever.
    Required,
    /// The one of this name is, its own or the one on the wire. Said in the first request of a turn
    /// only, and not if that does not list it, such as while it is out of service.
    Tool(String),
}

impl ToolChoice {
    pub(super) fn json(&self) -> Value {
        match self {
            Self::Auto => "auto".into(),
            Self::None => "none".into(),
            Self::Required => "required".into(),
            Self::Tool(name) => {
                serde_json::json!({"type": "function", "function": {"name": name}})
            }
        }
    }
}

impl RequestSettings {
    /// These, but for what `other` sets.
    pub(super) fn with(&self, other: &Self) -> Self {
        let mut extra_body = self.extra_body.clone();
        let sets_limit = other.max_tokens.is_some();
        extra_body.retain(|name, _| match name.as_str() {
            "temperature" => other.temperature.is_none(),
            "max_tokens" | "max_completion_tokens" => !sets_limit,
            "tool_choice" => other.tool_choice.is_none(),
            "response_format" => other.response_format.is_none(),
            "reasoning_effort" => other.reasoning_effort.is_none(),
            _ => true,
        });
        extra_body.extend(other.extra_body.clone());
        let own = self.clone();
        Self {
            temperature: other.temperature.or(own.temperature),
            max_tokens: other.max_tokens.or(own.max_tokens),
            tool_choice: other.tool_choice.clone().or(own.tool_choice),
            response_format: other.response_format.clone().or(own.response_format),
            reasoning_effort: other.reasoning_effort.clone().or(own.reasoning_effort),
            extra_body,
        }
    }

    /// The fields of a body, those about tools included. Where a field has several names it gets
    /// that of `dialect`.
    pub(super) fn fields(&self, dialect: &Dialect) -> Fields {
        let mut fields = Fields::default();
        let mut set = |name: &str, value: Option<Value>| {
            if let Some(value) = value {
                fields.set(name, value.to_string());
            }
        };
        set("temperature", self.temperature.map(Value::from));
        let names_limit = |name: &TokenLimitField| self.extra_body.contains_key(name.as_str());
        let limit = self.max_tokens.filter(|_| !TokenLimitField::ALL.iter().any(names_limit));
        set(dialect.token_limit_field.as_str(), limit.map(Value::from));
        set("response_format", self.response_format.clone().map(Value::Object));
        set("reasoning_effort", self.reasoning_effort.clone().map(Value::String));
        set("tool_choice", self.tool_choice.as_ref().map(ToolChoice::json));
        for (name, value) in &self.extra_body {
            set(name, Some(value.clone()).filter(|_| !OURS.contains(&&**name)));
        }
        fields
    }
}

/// A header of every request. Its value does not show itself.
#[derive(Clone, Debug)]
pub struct Header {
    /// Its name. That of a header we send replaces ours, such as `authorization`.
    pub name: String,
    /// Its value.
    pub value: ApiKey,
    /// The parts of its value that no error may repeat.
    pub secrets: Vec<ApiKey>,
}

impl Header {
    /// A header whose value is a secret, as a whole and in each of its longer parts: the scheme of
    /// `Bearer sk-abc` is none.
    pub fn new(name: impl Into<String>, value: impl Into<String>) -> Self {
        let value = value.into();
        let secrets = secrets_in(&value);
        Self { name: name.into(), value: ApiKey::new(value), secrets }
    }
}

/// What is secret in a value that holds a secret: all of it, its last word, and every part that is
/// long enough to be one, such as `SECRET-1` in `session=SECRET-1; theme=x`.
pub(crate) fn secrets_in(value: &str) -> Vec<ApiKey> {
    let mut words = value.split([' ', ';', ',', '"']).filter(|word| !word.is_empty());
    let values = words.clone().filter_map(|word| word.split_once('=')).map(|(_, value)| value);
    let parts = words.clone().chain(values).filter(|part| part.len() >= MIN_PART_BYTES);
    let mut secrets = vec![value.trim()];
    for secret in parts.chain(words.next_back()) {
        if !secrets.contains(&secret) {
            secrets.push(secret);
        }
    }
    secrets.into_iter().map(ApiKey::new).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_value_is_secret_as_a_whole_and_in_its_parts() {
        for (value, expected) in [
            ("sk-1", &["sk-1"][..]),
            ("Bearer sk-abc", &["Bearer sk-abc", "sk-abc"]),
            ("Bearer sk-abc ", &["Bearer sk-abc", "sk-abc"]),
            ("Basic dXNlcjpwYXNzdw==", &["Basic dXNlcjpwYXNzdw==", "dXNlcjpwYXNzdw=="]),
            (
                "session=SECRET-1; theme=x",
                &["session=SECRET-1; theme=x", "session=SECRET-1", "SECRET-1", "theme=x"],
            ),
            ("Token t=\"abcdefgh\"", &["Token t=\"abcdefgh\"", "abcdefgh"]),
        ] {
            let secrets = Header::new("x", value).secrets;
            let secrets: Vec<_> = secrets.iter().map(ApiKey::expose).collect();
            assert_eq!(secrets, expected, "{value:?}");
        }
    }
}
