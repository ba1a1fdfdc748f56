//! Why a reply ended, in the words of all providers.

use std::borrow::Cow;

/// Why the model stopped. It never says whether there are calls: look at [`Reply::calls`](super::Reply::calls).
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Finish {
    /// The model was done. Some providers say so with calls, too.
    Stop,
    /// The model waits for its calls.
    ToolCalls,
    /// The limit of output tokens was reached.
    Length,
    /// The provider's filter cut the reply off.
    ContentFilter,
    /// The provider failed in the middle of the reply.
    Error,
    /// A reason we do not know, in the provider's word.
    Other(String),
}

impl Finish {
    /// Reads the provider's word, in capitals or not; `None` for the ways of saying nothing yet: empty, and a written `null`.
    pub(super) fn parse(word: &str) -> Option<Self> {
        Some(match &*word.to_ascii_lowercase() {
            "" | "null" => return None,
            "stop" | "end_turn" | "end" | "eos" | "stop_sequence" | "completed" => Finish::Stop,
            "tool_calls" | "tool_call" | "tool_use" | "function_call" => Finish::ToolCalls,
            "length" | "max_tokens" | "max_output_tokens" | "model_length" | "incomplete" => {
                Finish::Length
            }
            "content_filter" | "refusal" | "safety" | "recitation" | "prohibited_content" => {
                Finish::ContentFilter
            }
            "error" => Finish::Error,
            lower => unknown(lower).unwrap_or_else(|| Finish::Other(word.to_owned())),
        })
    }

    /// The word of Chat Completions for it.
    pub fn as_str(&self) -> &str {
        match self {
            Finish::Other(word) => word,
            known => known.known_word().unwrap_or_default(),
        }
    }

    /// As [`Finish::as_str`], to keep.
    pub fn into_word(self) -> Cow<'static, str> {
        match self {
            Finish::Other(word) => Cow::Owned(word),
            known => Cow::Borrowed(known.known_word().unwrap_or_default()),
        }
    }

    fn known_word(&self) -> Option<&'static str> {
        Some(match self {
            Finish::Stop => "stop",
            Finish::ToolCalls => "tool_calls",
            Finish::Length => "length",
            Finish::ContentFilter => "content_filter",
            Finish::Error => "error",
            Finish::Other(_) => return None,
        })
    }
}

/// What parts of words tell of reasons in providers' own words, in small letters, such as `network_error`,
/// `insufficient_system_resource`, `sensitive`, or `function_call_filter: MALFORMED_FUNCTION_CALL`. The
/// first one counts.
const PARTS: [(&str, Finish); 22] = [
    ("error", Finish::Error),
    ("malformed", Finish::Error),
    ("unexpected", Finish::Error),
    ("fail", Finish::Error),
    ("abort", Finish::Error),
    ("cancel", Finish::Error),
    ("interrupt", Finish::Error),
    ("insufficient", Finish::Error),
    ("unavailable", Finish::Error),
    ("timeout", Finish::Error),
    ("filter", Finish::ContentFilter),
    ("safety", Finish::ContentFilter),
    ("sensitive", Finish::ContentFilter),
    ("blocklist", Finish::ContentFilter),
    ("blocked", Finish::ContentFilter),
    ("prohibited", Finish::ContentFilter),
    ("spii", Finish::ContentFilter),
    ("guardrail", Finish::ContentFilter),
    ("moderation", Finish::ContentFilter),
    ("length", Finish::Length),
    ("max_tokens", Finish::Length),
    ("context_window", Finish::Length),
];

fn unknown(word: &str) -> Option<Finish> {
    PARTS.iter().find(|(part, _)| word.contains(part)).map(|(_, finish)| finish.clone())
}
