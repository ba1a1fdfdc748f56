//! What an error of a provider means, from all that is known of it: the status, the code that its
//! body gives, and its words. One table, for a refused request and for an error in the middle of a
//! reply alike.

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
    Failed,
    /// The request went to somebody else's place.
    Redirected,
}

/// Codes and types of errors that say more than the status they come with, by the part of the word
/// that tells. The first one counts.
const WORDS: [(&str, Meaning); 26] = [
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
    ("invalid_request", Meaning::Refused),
    ("context_length", Meaning::Refused),
];

/// The meaning of `said`, that came with `status`, 200 if in the body of a good response or in the
/// middle of a reply; there the status of the body counts, if it names one.
pub(super) fn meaning(status: u16, said: Option<&ApiError>) -> Meaning {
    let in_body = said.and_then(|error| error.status);
    let status = if status < 300 { in_body.unwrap_or(0) } else { status };
    let by_word = said.and_then(|error| {
        let words = error.code.iter().chain(&error.kinds);
        words.filter_map(|word| by_word(word)).next()
    });
    match (status, by_word) {
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

fn by_word(code: &str) -> Option<Meaning> {
    let code = code.to_ascii_lowercase();
    WORDS.iter().find(|(word, _)| code.contains(word)).map(|(_, meaning)| *meaning)
}

#[cfg(test)]
mod tests {
    use super::*;

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
        check(400, "context_length_exceeded", None, Meaning::Refused);
        check(403, "rate_limited_by_upstream_rate_limit", None, Meaning::RateLimited);
        check(500, "rate_limit_error", None, Meaning::RateLimited);
        check(401, "rate_limit", None, Meaning::KeyRefused);
    }

    #[test]
    fn where_the_code_is_a_number_other_words_of_the_body_tell() {
        for (status, body, expected) in [
            (
                400,
                r#"[{"error":{"code":400,"message":"API key not valid.","status":"INVALID_ARGUMENT","details":[{"@type":"x","reason":"API_KEY_INVALID","domain":"d"},{"@type":"y","locale":"en"}]}}]"#,
                Meaning::KeyRefused,
            ),
            (
                400,
                r#"{"error":{"code":400,"message":"no","status":"INVALID_ARGUMENT"}}"#,
                Meaning::Refused,
            ),
            (
                429,
                r#"{"error":{"code":429,"message":"no","status":"RESOURCE_EXHAUSTED"}}"#,
                Meaning::RateLimited,
            ),
            (
                429,
                r#"{"error":{"code":"429","message":"no","type":"insufficient_quota"}}"#,
                Meaning::NoCredit,
            ),
            (
                429,
                r#"{"error":{"message":"no","type":"exceeded_current_quota_error"}}"#,
                Meaning::NoCredit,
            ),
            (200, r#"{"error":{"message":"no","status":"UNAVAILABLE"}}"#, Meaning::Failed),
            (200, r#"{"error":{"message":"no","status":"UNAUTHENTICATED"}}"#, Meaning::KeyRefused),
            (
                200,
                r#"{"error":{"message":"no","code":1,"metadata":{"error_type":"rate_limit_exceeded"}}}"#,
                Meaning::RateLimited,
            ),
            // The code is more exact than the type.
            (
                429,
                r#"{"error":{"message":"no","code":"rate_limit_exceeded","type":"billing"}}"#,
                Meaning::RateLimited,
            ),
        ] {
            let said = crate::wire::chat::error_in(body.as_bytes());
            assert_eq!(meaning(status, said.as_ref()), expected, "{status} {body}");
        }
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
}
