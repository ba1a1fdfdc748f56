//! A model's reply: text, calls, and why it ended.

use std::ops::AddAssign;
use std::sync::Arc;

use serde::{Deserialize, Serialize};

use super::{Arguments, Extra, Finish};

/// One tool call as the model asked for it.
#[derive(Clone, Debug)]
pub struct Call {
    /// The wire id, minted if the provider gave none; unique within the reply, not within the conversation.
    pub id: Arc<str>,
    /// The tool's name as the model wrote it; empty if it wrote none.
    pub name: String,
    /// The arguments, already judged.
    pub arguments: Arguments,
    /// Unknown fields of the call, such as a thought signature. They go back on the same call.
    pub extra: Extra,
    /// Unknown fields of the call's `function` object.
    pub function_extra: Extra,
}

/// What the provider counted for one reply, or for several added up.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Usage {
    /// Tokens of the request, the cached ones included.
    pub input_tokens: u64,
    /// Tokens of the reply, its reasoning included.
    pub output_tokens: u64,
    /// The part of the input read from the provider's cache.
    #[serde(default)]
    pub cached_tokens: u64,
    /// The part of the output spent on reasoning.
    #[serde(default)]
    pub reasoning_tokens: u64,
    /// What the provider charged, in US dollars, if it says so. A sum leaves out the replies whose cost is unknown.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub cost: Option<f64>,
}

impl AddAssign for Usage {
    fn add_assign(&mut self, other: Self) {
        self.input_tokens = self.input_tokens.saturating_add(other.input_tokens);
        self.output_tokens = self.output_tokens.saturating_add(other.output_tokens);
        self.cached_tokens = self.cached_tokens.saturating_add(other.cached_tokens);
        self.reasoning_tokens = self.reasoning_tokens.saturating_add(other.reasoning_tokens);
        if let Some(cost) = other.cost {
            *self.cost.get_or_insert_default() += cost;
        }
    }
}

/// One assistant message, whole or as far as it came.
#[derive(Clone, Debug)]
pub struct Reply {
    /// The text; empty if there was none.
    pub text: String,
    /// The reasoning, for display. The field it came in also stays in `extra`, under its own name.
    pub reasoning: String,
    /// The calls in the order they were opened.
    pub calls: Vec<Call>,
    /// Why the model stopped; [`Finish::Error`] where the connection was lost before it said.
    pub finish: Finish,
    /// True when the reply did not come to its end: token limit, lost connection, provider's failure.
    pub truncated: bool,
    /// The provider's last count of tokens.
    pub usage: Option<Usage>,
    /// The model that answered, in the provider's word.
    pub model: Option<Arc<str>>,
    /// The provider's id of the reply.
    pub id: Option<String>,
    /// Unknown fields of the assistant message. They go back with it, unchanged.
    pub extra: Extra,
}

/// How a reply ended, from all that a provider says about it in any place.
#[derive(Clone, Debug, Default)]
pub(super) struct Ending {
    /// The last finish reason that said something.
    pub finish: Option<Finish>,
    /// The provider behind a gateway reports a length limit, whatever the finish reason became on the way.
    pub native_length: bool,
    /// As that, of a filter or a failure.
    pub native_failure: Option<Finish>,
    /// The connection was lost, or an error came in the middle.
    pub broken: bool,
}

impl Ending {
    /// Takes in a finish reason and a gateway's native one, as they come along. Says whether there was one.
    pub fn note(&mut self, finish: Option<&str>, native: Option<&str>) -> bool {
        match native.and_then(Finish::parse) {
            Some(Finish::Length) => self.native_length = true,
            Some(failure @ (Finish::ContentFilter | Finish::Error)) => {
                self.native_failure = Some(failure);
            }
            Some(Finish::Stop | Finish::ToolCalls | Finish::Other(_)) | None => {}
        }
        let finish = finish.and_then(Finish::parse);
        let is_said = finish.is_some();
        self.finish = finish.or(self.finish.take());
        is_said
    }

    /// True when the reply did not come to its end.
    pub fn truncated(&self) -> bool {
        self.native_length || matches!(self.said(), Some(Finish::Length | Finish::Error))
    }

    /// True when a filter cut the reply, or when it failed.
    pub fn fails(&self) -> bool {
        matches!(self.said(), Some(Finish::ContentFilter | Finish::Error))
    }

    /// True when the last call may have lost its tail. A filter cuts like a limit does, and a reason
    /// nobody knows may be one of both.
    pub fn cuts_arguments(&self) -> bool {
        self.truncated() || matches!(self.said(), Some(Finish::ContentFilter | Finish::Other(_)))
    }

    /// The finish reason, inferred where none was given.
    pub fn finish(&self, has_calls: bool) -> Finish {
        match self.said() {
            Some(finish) => finish.clone(),
            None if has_calls => Finish::ToolCalls,
            None => Finish::Stop,
        }
    }

    /// The finish reason as far as one is known: what is worse counts more.
    fn said(&self) -> Option<&Finish> {
        if self.broken {
            return Some(&Finish::Error);
        }
        self.native_failure.as_ref().or(self.finish.as_ref())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// How a reply ended that gave this reason and this native one.
    fn ending(finish: &str, native: Option<&str>) -> Ending {
        let mut ending = Ending::default();
        ending.note(Some(finish), native);
        ending
    }

    #[test]
    fn a_sum_has_all_tokens_and_the_costs_that_are_known() {
        let usage = |input_tokens, cost| Usage { input_tokens, cost, ..Usage::default() };
        let sum = |parts: &[Usage]| {
            parts.iter().fold(Usage::default(), |mut sum, part| {
                sum += *part;
                sum
            })
        };
        let (known, free, unknown) = (usage(1, Some(0.5)), usage(2, Some(0.0)), usage(4, None));
        assert_eq!(sum(&[]), usage(0, None));
        assert_eq!(sum(&[unknown, unknown]), usage(8, None), "nobody said");
        assert_eq!(sum(&[unknown, free]), usage(6, Some(0.0)), "it is said that it was free");
        assert_eq!(sum(&[known, unknown, free, known]), usage(8, Some(1.0)));
    }

    #[test]
    fn saying_nothing_is_no_finish_reason_and_the_last_word_wins() {
        let mut ending = Ending::default();
        for word in [Some("stop"), Some(""), Some("null"), None] {
            ending.note(word, None);
        }
        assert_eq!(ending.finish(true), Finish::Stop);
        ending.note(Some("tool_calls"), None);
        assert_eq!(ending.finish(true), Finish::ToolCalls);
        assert!(!ending.truncated());
    }

    #[test]
    fn every_word_for_being_done_is_read() {
        for word in ["stop", "STOP", "end_turn", "end", "eos", "stop_sequence", "completed"] {
            let ending = ending(word, None);
            assert_eq!(ending.finish(true), Finish::Stop, "{word}");
            assert!(!ending.cuts_arguments(), "{word}");
        }
        for word in ["tool_calls", "tool_call", "tool_use", "function_call"] {
            let ending = ending(word, None);
            assert_eq!(ending.finish(true), Finish::ToolCalls, "{word}");
            assert!(!ending.cuts_arguments(), "{word}");
        }
    }

    #[test]
    fn every_way_of_saying_too_long_truncates() {
        let lengths = [
            "length",
            "max_tokens",
            "MAX_TOKENS",
            "max_output_tokens",
            "model_length",
            "model_context_window_exceeded",
        ];
        for word in lengths {
            let ending = ending(word, None);
            assert!(ending.truncated(), "{word}");
            assert_eq!(ending.finish(true), Finish::Length, "{word}");
        }
        for native in lengths {
            let ending = ending("tool_calls", Some(native));
            assert!(ending.truncated(), "{native}");
            assert_eq!(ending.finish(true), Finish::ToolCalls);
        }
    }

    #[test]
    fn a_filter_cuts_and_is_no_length_limit() {
        for word in [
            "content_filter",
            "SAFETY",
            "refusal",
            "RECITATION",
            "sensitive",
            "BLOCKLIST",
            "guardrail_intervened",
        ] {
            for ending in [ending(word, None), ending("tool_calls", Some(word))] {
                assert_eq!(ending.finish(true), Finish::ContentFilter, "{word}");
                assert!(ending.cuts_arguments() && !ending.truncated(), "{word}");
            }
        }
    }

    #[test]
    fn a_failure_cuts_also_behind_a_gateway() {
        for word in [
            "error",
            "network_error",
            "insufficient_system_resource",
            "abort",
            "function_call_filter: MALFORMED_FUNCTION_CALL",
        ] {
            for ending in [ending(word, None), ending("tool_calls", Some(word))] {
                assert_eq!(ending.finish(true), Finish::Error, "{word}");
                assert!(ending.truncated() && ending.fails());
            }
        }
    }

    #[test]
    fn a_reason_nobody_knows_may_have_cut_the_arguments() {
        let unknown = ending("Whatever", None);
        assert_eq!(unknown.finish(true), Finish::Other("Whatever".to_owned()));
        assert!(unknown.cuts_arguments() && !unknown.truncated());
        assert!(!ending("tool_calls", Some("whatever")).cuts_arguments());
    }

    #[test]
    fn without_a_word_the_calls_say_how_it_ended() {
        assert_eq!(Ending::default().finish(true), Finish::ToolCalls);
        assert_eq!(Ending::default().finish(false), Finish::Stop);
    }

    #[test]
    fn a_sum_of_usages_adds_the_costs_that_are_known() {
        let cost = |cost| Usage { input_tokens: 1, cost, ..Usage::default() };
        let mut sum = Usage::default();
        for (added, expected) in
            [(None, None), (Some(0.25), Some(0.25)), (None, Some(0.25)), (Some(0.5), Some(0.75))]
        {
            sum += cost(added);
            assert_eq!(sum.cost, expected);
        }
        assert_eq!(sum.input_tokens, 4);
    }

    #[test]
    fn a_cost_is_written_only_where_there_is_one() {
        let usage = Usage { input_tokens: 1, ..Usage::default() };
        let written =
            r#"{"input_tokens":1,"output_tokens":0,"cached_tokens":0,"reasoning_tokens":0}"#;
        assert_eq!(serde_json::to_string(&usage).unwrap(), written);
        assert_eq!(serde_json::from_str::<Usage>(written).unwrap(), usage);
        let priced = Usage { cost: Some(0.5), ..usage };
        let written = serde_json::to_string(&priced).unwrap();
        assert!(written.ends_with(r#","cost":0.5}"#), "{written}");
        assert_eq!(serde_json::from_str::<Usage>(&written).unwrap(), priced);
    }

    #[test]
    fn words_survive_the_round_trip() {
        for word in ["stop", "tool_calls", "length", "content_filter", "error", "Whatever"] {
            assert_eq!(Finish::parse(word).unwrap().as_str(), word);
        }
    }
}
