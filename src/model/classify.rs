//! What an error of a provider means, from all that is known of it: the status, and the words of its
//! body that say what kind it is. One table, for a refused request and for an error in the middle of
//! a reply alike.

use crate::wire::ApiError;

/// What an error means.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Meaning {
    KeyRefused,
    NoCredit,
    UnknownModel,
    RateLimited,
    /// The provider did not take what its own model wrote.
    BadCall,
    Refused,
    /// The conversation is longer than the model can read.
    TooLong,
    Failed,
    /// The request went to somebody else's place.
    Redirected,
}

/// Reasons, codes and types of errors that say more than the status they come with, by the part of
/// the word that tells. The first one counts. How a word is divided does not.
const WORDS: [(&str, Meaning); 31] = [
    ("tool_use_failed", Meaning::BadCall),
    ("invalid_api_key", Meaning::KeyRefused),
    ("api_key_invalid", Meaning::KeyRefused),
    ("authentication", Meaning::KeyRefused),
    ("unauthenticated", Meaning::KeyRefused),
    ("unauthorized", Meaning::KeyRefused),
    ("permission", Meaning::KeyRefused),
    ("insufficient_quota", Meaning::NoCredit),
    ("insufficient_balance", Meaning::NoCredit),
    ("insufficient_credits", Meaning::NoCredit),
    ("exceeded_current_quota", Meaning::NoCredit),
    ("billing", Meaning::NoCredit),
    ("payment", Meaning::NoCredit),
    ("model_not_found", Meaning::UnknownModel),
    ("invalid_model", Meaning::UnknownModel),
    ("unknown_model", Meaning::UnknownModel),
    ("rate_limit", Meaning::RateLimited),
    ("too_many_requests", Meaning::RateLimited),
    ("resource_exhausted", Meaning::RateLimited),
    ("overloaded", Meaning::Failed),
    ("unavailable", Meaning::Failed),
    ("server_error", Meaning::Failed),
    ("timeout", Meaning::Failed),
    ("deadline_exceeded", Meaning::Failed),
    ("context_length", Meaning::TooLong),
    ("context_size", Meaning::TooLong),
    ("context_window", Meaning::TooLong),
    ("invalid_request", Meaning::Refused),
    ("invalid_argument", Meaning::Refused),
    ("bad_request", Meaning::Refused),
    ("failed_precondition", Meaning::Refused),
];

/// How a message begins that refuses the key where no word of the body does, in lower case.
const KEY_REFUSALS: [&str; 3] = ["incorrect api key", "invalid api key", "api key not valid"];

/// What a message says, in lower case, that refuses a conversation for its length where no word of the
/// body does.
const TOO_LONG: [&str; 7] = [
    "maximum context length",
    "context window",
    "available context size",
    "prompt is too long",
    "input is too long",
    "input token count",
    "reduce the length of the messages",
];

/// The meaning of `said`, that came with `status`, 200 if in the body of a good response or in the
/// middle of a reply; there the status of the body counts, if it names one.
pub(super) fn meaning(status: u16, said: Option<&ApiError>) -> Meaning {
    let in_body = said.and_then(|error| error.status);
    let status = if status < 300 { in_body.unwrap_or(0) } else { status };
    match (status, said.and_then(told)) {
        (300..400, _) => Meaning::Redirected,
        // What has a status of its own is that, unless the word is more exact.
        (401, _) => Meaning::KeyRefused,
        (402, _) => Meaning::NoCredit,
        (403, Some(word @ (Meaning::RateLimited | Meaning::NoCredit))) => word,
        (403, _) => Meaning::KeyRefused,
        (404, Some(Meaning::KeyRefused)) => Meaning::KeyRefused,
        (404, _) => Meaning::UnknownModel,
        (429, Some(Meaning::NoCredit)) => Meaning::NoCredit,
        (429, _) => Meaning::RateLimited,
        (408 | 409, _) => Meaning::Failed,
        (400..500, Some(Meaning::Failed)) => Meaning::Refused,
        (400..500, Some(word)) => word,
        (400..500, None) => Meaning::Refused,
        (500.., Some(word @ (Meaning::RateLimited | Meaning::NoCredit))) => word,
        (500.., _) => Meaning::Failed,
        (_, Some(word)) => word,
        (_, None) => Meaning::Failed,
    }
}

/// What the words of an error tell. A provider may say of any error that the request was invalid: that
/// counts if nothing else is said.
fn told(error: &ApiError) -> Option<Meaning> {
    let words = error.code.iter().chain(&error.kinds);
    let meanings: Vec<_> = words.filter_map(|word| by_word(word)).collect();
    match meanings.iter().find(|meaning| **meaning != Meaning::Refused) {
        Some(telling) => Some(*telling),
        None if refuses_key(&error.message) => Some(Meaning::KeyRefused),
        None if is_too_long(&error.message) => Some(Meaning::TooLong),
        None => meanings.first().copied(),
    }
}

fn by_word(said: &str) -> Option<Meaning> {
    let said = undivided(said);
    WORDS.iter().find(|(word, _)| said.contains(&undivided(word))).map(|(_, meaning)| *meaning)
}

/// `RateLimitError`, `rate_limit_error` and `Rate limit error` are the same.
fn undivided(word: &str) -> String {
    let letters = word.chars().filter(char::is_ascii_alphanumeric);
    letters.map(|letter| letter.to_ascii_lowercase()).collect()
}

fn refuses_key(message: &str) -> bool {
    let message = message.to_ascii_lowercase();
    KEY_REFUSALS.iter().any(|beginning| message.starts_with(beginning))
}

fn is_too_long(message: &str) -> bool {
    let message = message.to_ascii_lowercase();
    TOO_LONG.iter().any(|said| message.contains(said))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::wire::chat::error_in;

    fn check(status: u16, code: &str, in_body: Option<u16>, expected: Meaning) {
        let code = Some(code.to_owned()).filter(|code| !code.is_empty());
        let said = ApiError { code: code.clone(), status: in_body, ..ApiError::default() };
        assert_eq!(meaning(status, Some(&said)), expected, "{status} {code:?} {in_body:?}");
    }

    #[test]
    fn a_status_says_what_it_means() {
        for (status, expected) in [
            (307, Meaning::Redirected),
            (400, Meaning::Refused),
            (401, Meaning::KeyRefused),
            (402, Meaning::NoCredit),
            (403, Meaning::KeyRefused),
            (404, Meaning::UnknownModel),
            (408, Meaning::Failed),
            (409, Meaning::Failed),
            (413, Meaning::Refused),
            (422, Meaning::Refused),
            (429, Meaning::RateLimited),
            (500, Meaning::Failed),
            (529, Meaning::Failed),
        ] {
            check(status, "", None, expected);
            assert_eq!(meaning(status, None), expected);
        }
    }

    #[test]
    fn a_word_may_be_more_exact_than_its_status() {
        check(429, "insufficient_quota", None, Meaning::NoCredit);
        check(429, "rate_limit_exceeded", None, Meaning::RateLimited);
        check(400, "tool_use_failed", None, Meaning::BadCall);
        check(400, "API_KEY_INVALID", None, Meaning::KeyRefused);
        check(400, "model_not_found", None, Meaning::UnknownModel);
        check(400, "context_length_exceeded", None, Meaning::TooLong);
        check(400, "exceed_context_size_error", None, Meaning::TooLong);
        check(403, "rate_limited_by_upstream_rate_limit", None, Meaning::RateLimited);
        check(500, "rate_limit_error", None, Meaning::RateLimited);
        check(401, "rate_limit", None, Meaning::KeyRefused);
    }

    #[test]
    fn within_a_reply_the_bodys_own_status_counts_then_its_word_then_it_is_a_failure() {
        check(200, "", Some(429), Meaning::RateLimited);
        check(200, "429", Some(429), Meaning::RateLimited);
        check(200, "", Some(401), Meaning::KeyRefused);
        check(200, "overloaded_error", None, Meaning::Failed);
        check(200, "rate_limit_error", None, Meaning::RateLimited);
        check(200, "invalid_request_error", None, Meaning::Refused);
        check(200, "tool_use_failed", Some(400), Meaning::BadCall);
        check(200, "what is this", None, Meaning::Failed);
        check(200, "", None, Meaning::Failed);
    }

    #[track_caller]
    fn check_body(status: u16, body: &str, expected: Meaning) {
        let said = error_in(body.as_bytes());
        assert_eq!(meaning(status, said.as_ref()), expected, "{status} {body}");
    }

    #[test]
    fn a_code_that_is_a_number_does_not_hide_the_words_beside_it() {
        let google = |status: &str, reason: &str| {
            format!(
                r#"[{{"error":{{"code":400,"message":"no","status":"{status}","details":[{{"@type":"type.googleapis.com/google.rpc.Help"}},{{"@type":"type.googleapis.com/google.rpc.ErrorInfo","reason":"{reason}"}}]}}}}]"#
            )
        };
        check_body(400, &google("INVALID_ARGUMENT", "API_KEY_INVALID"), Meaning::KeyRefused);
        check_body(400, &google("INVALID_ARGUMENT", "OTHER"), Meaning::Refused);
        check_body(400, &google("UNAUTHENTICATED", "OTHER"), Meaning::KeyRefused);
        check_body(400, &google("RESOURCE_EXHAUSTED", "OTHER"), Meaning::RateLimited);
        check_body(403, &google("PERMISSION_DENIED", "BILLING_DISABLED"), Meaning::NoCredit);
        check_body(200, &google("INVALID_ARGUMENT", "API_KEY_INVALID"), Meaning::KeyRefused);
        let plain = |kind: &str| format!(r#"{{"error":{{"code":7,"message":"no","{kind}"}}}}"#);
        check_body(400, &plain(r#"type":"authentication_error"#), Meaning::KeyRefused);
        check_body(500, &plain(r#"type":"RateLimitError"#), Meaning::RateLimited);
        check_body(200, &plain(r#"status":"INVALID_ARGUMENT"#), Meaning::Refused);
        check_body(200, &plain(r#"status":"UNAVAILABLE"#), Meaning::Failed);
    }

    #[test]
    fn every_word_of_a_body_counts_and_the_most_exact_most() {
        let both = |code: &str, kind: &str| {
            format!(r#"{{"error":{{"message":"no","code":"{code}","type":"{kind}"}}}}"#)
        };
        let check_both = |code, kind, expected| check_body(400, &both(code, kind), expected);
        check_both("invalid_api_key", "invalid_request_error", Meaning::KeyRefused);
        check_both("invalid_request_error", "authentication_error", Meaning::KeyRefused);
        check_both("rate_limit_exceeded", "insufficient_quota", Meaning::RateLimited);
        check_both("what_is_this", "model_not_found", Meaning::UnknownModel);
        check_body(200, &both("what_is_this", "invalid_request_error"), Meaning::Refused);
        check_body(
            400,
            r#"{"error":{"message":"no"},"type":"permission_error"}"#,
            Meaning::KeyRefused,
        );
        check_body(
            429,
            r#"{"error":{"message":"no","type":"exceeded_current_quota_error"}}"#,
            Meaning::NoCredit,
        );
        check_body(
            200,
            r#"{"error":{"message":"no","metadata":{"error_type":"rate_limit_exceeded"}}}"#,
            Meaning::RateLimited,
        );
        check_body(
            400,
            r#"{"error":{"message":"no","errors":[{"reason":"rateLimitExceeded"}]}}"#,
            Meaning::RateLimited,
        );
    }

    #[test]
    fn a_message_may_say_that_the_conversation_is_too_long_where_no_word_does() {
        for message in [
            "prompt is too long: 208310 tokens > 200000 maximum",
            "This endpoint's maximum context length is 32768 tokens. However, you requested 40000.",
            "The input token count (1200000) exceeds the maximum number of tokens allowed (1048576).",
            "Please reduce the length of the messages or completion.",
            "the request exceeds the available context size, try increasing it",
        ] {
            let body = |kind: &str| {
                let error = serde_json::json!({"message": message, "type": kind});
                serde_json::json!({ "error": error }).to_string()
            };
            check_body(400, &body("invalid_request_error"), Meaning::TooLong);
            check_body(400, &body("what is this"), Meaning::TooLong);
            check_body(200, &body("invalid_request_error"), Meaning::TooLong);
            check_body(429, &body("rate_limit_error"), Meaning::RateLimited);
            check_body(500, &body("server_error"), Meaning::Failed);
        }
        let other = r#"{"error":{"message":"max_tokens must be at least 1","type":"invalid_request_error"}}"#;
        check_body(400, other, Meaning::Refused);
    }

    #[test]
    fn a_message_may_refuse_the_key_where_no_word_does() {
        let said = |message: &str| {
            format!(r#"{{"code":"Client specified an invalid argument","error":"{message}"}}"#)
        };
        check_body(400, &said("Incorrect API key provided: sk***."), Meaning::KeyRefused);
        check_body(400, &said("no model knows an invalid api key"), Meaning::Refused);
        check_body(500, &said("Incorrect API key provided: sk***."), Meaning::Failed);
    }
}
