//! What a provider does differently: a row of a table, chosen by the host of its URL or by name.
//!
//! No code asks who the provider is; it asks for a flag. So a new provider is a new row, and whoever
//! knows better than the table sets the flag.

mod id_rule;
mod rows;

use reqwest::Url;

pub use id_rule::IdRule;
use rows::{GENERIC, ROWS};

use super::http::is_loopback;

/// What an assistant message has as its `content` when it asks for calls and says nothing.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum EmptyContent {
    /// The field is left out. Most take that, and those that hand the message on to Bedrock take
    /// nothing else.
    Absent,
    /// `null`. Some want the field to be there.
    Null,
    /// `""`. Some want it to be a string.
    Empty,
}

impl EmptyContent {
    /// Every one of them.
    pub const ALL: &'static [Self] = &[Self::Absent, Self::Null, Self::Empty];

    /// The word that stands for it in the settings.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Absent => "absent",
            Self::Null => "null",
            Self::Empty => "empty",
        }
    }

    /// What stands in the message, as JSON; `None` if the field does not.
    pub(crate) fn json(self) -> Option<&'static str> {
        match self {
            Self::Absent => None,
            Self::Null => Some("null"),
            Self::Empty => Some("\"\""),
        }
    }
}

/// The name of the field that limits the tokens of a reply.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum TokenLimitField {
    /// `max_tokens`, the old name, which most know.
    MaxTokens,
    /// `max_completion_tokens`, the only one that reasoning models of OpenAI take.
    MaxCompletionTokens,
}

impl TokenLimitField {
    /// Every one of them.
    pub const ALL: &'static [Self] = &[Self::MaxTokens, Self::MaxCompletionTokens];

    /// The name itself.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::MaxTokens => "max_tokens",
            Self::MaxCompletionTokens => "max_completion_tokens",
        }
    }
}

/// What a provider does differently. Every flag may be set by whoever knows better.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Dialect {
    /// The name of the row, such as `openai`; `generic` for everybody who has none.
    pub name: &'static str,
    /// Where it is chosen: at these hosts and those below them; `localhost:11434` is that port of
    /// this machine, whatever it is called.
    pub hosts: &'static [&'static str],
    /// The environment variable that its users keep their key in, if they agree on one.
    pub key_variable: Option<&'static str>,
    /// Whether a call's arguments are whole as soon as their outermost brace closes. Some servers
    /// guess at the end of JSON that is being written, close it too early, and go on.
    pub brace_close_trusted: bool,
    /// Whether the finish reason `stop` means that the calls of the reply were none. Some servers
    /// find calls in a model's reasoning; but many say `stop` after calls that are meant.
    pub stop_means_no_tools: bool,
    /// What stands for the text of a message that has none.
    pub empty_content: EmptyContent,
    /// Whether the field `parallel_tool_calls` is taken. Where it is not, it is not sent.
    pub parallel_tool_calls: bool,
    /// Whether a stream may be asked for its usage (`stream_options.include_usage`). Those that
    /// refuse the field send the usage all the same.
    pub stream_usage: bool,
    /// What the ids of calls must look like in a history.
    pub id_rule: IdRule,
    /// Whether the message with a call's result must name the tool.
    pub name_on_results: bool,
    /// Whether a message of the assistant must stand between results and the next question. Results
    /// without one are what a turn leaves that was cut.
    pub assistant_after_results: bool,
    /// Whether the first call of a message must carry a signature of its thoughts. A call of another
    /// model is given the word that says there is none.
    pub signed_calls: bool,
    /// Whether each message of the assistant must have its reasoning. One of another model is given a
    /// blank.
    pub reasoning_on_replies: bool,
    /// How many tools one request may list; `None` = nobody knows of a limit.
    pub max_tools: Option<u32>,
    /// What the limit of a reply's tokens is called.
    pub token_limit_field: TokenLimitField,
    /// Whether a reply says what it has cost, beside its tokens.
    pub reports_cost: bool,
}

impl Dialect {
    /// The dialect of everybody who has no row: what the standard says and the most cautious flags.
    #[must_use]
    pub fn generic() -> Self {
        GENERIC
    }

    /// The dialect spoken at `base_url`; the generic one at a host that no row lists.
    #[must_use]
    pub fn for_url(base_url: &str) -> Self {
        let url = Url::parse(base_url).ok();
        let row = url.and_then(|url| ROWS.iter().find(|row| row.is_at(&url)));
        row.copied().unwrap_or(GENERIC)
    }

    /// The dialect called `name`, also `generic`.
    #[must_use]
    pub fn named(name: &str) -> Option<Self> {
        ROWS.iter().chain([&GENERIC]).find(|row| row.name == name).copied()
    }

    /// The names of all rows, `generic` last.
    pub fn names() -> impl Iterator<Item = &'static str> {
        ROWS.iter().chain([&GENERIC]).map(|row| row.name)
    }

    fn is_at(&self, url: &Url) -> bool {
        let Some(host) = url.host_str() else { return false };
        self.hosts.iter().any(|at| match at.strip_prefix("localhost:") {
            Some(port) => is_loopback(url) && url.port().is_some_and(|own| own.to_string() == port),
            None => {
                host.strip_suffix(at).is_some_and(|rest| rest.is_empty() || rest.ends_with('.'))
            }
        })
    }
}

/// Flags that somebody knows better than the table. What is `None` stays as the table has it.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Quirks {
    /// [`Dialect::brace_close_trusted`].
    pub brace_close_trusted: Option<bool>,
    /// [`Dialect::stop_means_no_tools`].
    pub stop_means_no_tools: Option<bool>,
    /// [`Dialect::empty_content`].
    pub empty_content: Option<EmptyContent>,
    /// [`Dialect::parallel_tool_calls`].
    pub parallel_tool_calls: Option<bool>,
    /// [`Dialect::stream_usage`].
    pub stream_usage: Option<bool>,
    /// [`Dialect::id_rule`].
    pub id_rule: Option<IdRule>,
    /// [`Dialect::name_on_results`].
    pub name_on_results: Option<bool>,
    /// [`Dialect::assistant_after_results`].
    pub assistant_after_results: Option<bool>,
    /// [`Dialect::signed_calls`].
    pub signed_calls: Option<bool>,
    /// [`Dialect::reasoning_on_replies`].
    pub reasoning_on_replies: Option<bool>,
    /// [`Dialect::max_tools`]; 0 = no limit.
    pub max_tools: Option<u32>,
    /// [`Dialect::token_limit_field`].
    pub token_limit_field: Option<TokenLimitField>,
    /// [`Dialect::reports_cost`].
    pub reports_cost: Option<bool>,
}

impl Quirks {
    /// The dialect with these flags in place of its own.
    #[must_use]
    pub fn on(&self, row: Dialect) -> Dialect {
        Dialect {
            name: row.name,
            hosts: row.hosts,
            key_variable: row.key_variable,
            brace_close_trusted: self.brace_close_trusted.unwrap_or(row.brace_close_trusted),
            stop_means_no_tools: self.stop_means_no_tools.unwrap_or(row.stop_means_no_tools),
            empty_content: self.empty_content.unwrap_or(row.empty_content),
            parallel_tool_calls: self.parallel_tool_calls.unwrap_or(row.parallel_tool_calls),
            stream_usage: self.stream_usage.unwrap_or(row.stream_usage),
            id_rule: self.id_rule.unwrap_or(row.id_rule),
            name_on_results: self.name_on_results.unwrap_or(row.name_on_results),
            assistant_after_results: self
                .assistant_after_results
                .unwrap_or(row.assistant_after_results),
            signed_calls: self.signed_calls.unwrap_or(row.signed_calls),
            reasoning_on_replies: self.reasoning_on_replies.unwrap_or(row.reasoning_on_replies),
            max_tools: match self.max_tools {
                Some(0) => None,
                Some(most) => Some(most),
                None => row.max_tools,
            },
            token_limit_field: self.token_limit_field.unwrap_or(row.token_limit_field),
            reports_cost: self.reports_cost.unwrap_or(row.reports_cost),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_row_is_chosen_by_the_host() {
        let check = |url: &str, name: &str| assert_eq!(Dialect::for_url(url).name, name, "{url}");
        check("https://api.openai.com/v1", "openai");
        check("https://eu.api.openai.com/v1", "openai");
        check("https://API.OpenAI.com/v1/", "openai");
        check("https://mine.openai.azure.com/openai/v1", "azure");
        check("https://openrouter.ai/api/v1", "openrouter");
        check("https://dbc-1.cloud.databricks.com/serving-endpoints", "databricks");
        check("https://u:p@api.mistral.ai:443/v1?x=1", "mistral");
        for (url, why) in [
            ("https://notopenrouter.ai/api/v1", "only a name's end is alike"),
            ("https://openrouter.ai.example.com/v1", "only a name's beginning is alike"),
            ("https://example.com/openrouter.ai", "that is no host"),
            ("http://127.0.0.1:8080/v1", "anybody may be there"),
            ("openrouter.ai", "that is no URL"),
        ] {
            assert_eq!(Dialect::for_url(url), Dialect::generic(), "{why}: {url}");
        }
    }

    #[test]
    fn a_local_server_is_known_by_its_port() {
        let check = |url: &str, name: &str| assert_eq!(Dialect::for_url(url).name, name, "{url}");
        for host in ["localhost", "127.0.0.1", "[::1]"] {
            check(&format!("http://{host}:11434/v1"), "ollama");
            check(&format!("http://{host}:1234/v1"), "lm-studio");
            check(&format!("http://{host}:11435/v1"), "generic");
        }
        check("http://example.com:11434/v1", "generic");
        check("https://ollama.com/v1", "ollama");
    }

    #[test]
    fn a_row_is_chosen_by_name() {
        for name in Dialect::names() {
            assert_eq!(Dialect::named(name).unwrap().name, name);
        }
        assert_eq!(Dialect::named("generic"), Some(Dialect::generic()));
        assert_eq!(Dialect::named("OpenAI"), None);
    }

    #[test]
    fn no_name_and_no_host_stands_in_two_rows() {
        let mut all: Vec<_> = ROWS.iter().flat_map(|row| row.hosts).chain(&["generic"]).collect();
        all.extend(ROWS.iter().map(|row| &row.name));
        let count = all.len();
        all.sort_unstable();
        all.dedup();
        assert_eq!(all.len(), count);
    }

    #[test]
    fn nobody_unknown_is_trusted() {
        for name in ["generic", "ollama", "llama.cpp", "vllm", "lm-studio"] {
            assert!(!Dialect::named(name).unwrap().brace_close_trusted, "{name}");
        }
        assert!(ROWS.iter().all(|row| !row.stop_means_no_tools));
    }

    #[test]
    fn every_flag_can_be_overridden() {
        let quirks = Quirks {
            brace_close_trusted: Some(true),
            stop_means_no_tools: Some(true),
            empty_content: Some(EmptyContent::Null),
            parallel_tool_calls: Some(false),
            stream_usage: Some(false),
            id_rule: Some(IdRule::Kimi),
            name_on_results: Some(true),
            assistant_after_results: Some(true),
            signed_calls: Some(true),
            reasoning_on_replies: Some(true),
            max_tools: Some(7),
            token_limit_field: Some(TokenLimitField::MaxCompletionTokens),
            reports_cost: Some(true),
        };
        let expected = Dialect {
            brace_close_trusted: true,
            stop_means_no_tools: true,
            empty_content: EmptyContent::Null,
            parallel_tool_calls: false,
            stream_usage: false,
            id_rule: IdRule::Kimi,
            name_on_results: true,
            assistant_after_results: true,
            signed_calls: true,
            reasoning_on_replies: true,
            max_tools: Some(7),
            token_limit_field: TokenLimitField::MaxCompletionTokens,
            reports_cost: true,
            ..Dialect::generic()
        };
        assert_eq!(quirks.on(Dialect::generic()), expected);
        let openai = Dialect::named("openai").unwrap();
        assert_eq!(Quirks::default().on(openai), openai);
        assert_eq!(Quirks { max_tools: Some(0), ..Quirks::default() }.on(openai).max_tools, None);
    }
}
