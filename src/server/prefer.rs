//! What a client would rather have (RFC 7240), how it calls what it asks, and what that is a part of.

use std::sync::Arc;
use std::time::Duration;

use actix_web::http::header::{HeaderMap, HeaderName};

use super::problem::Problem;

const PREFER: HeaderName = HeaderName::from_static("prefer");
const IDEMPOTENCY_KEY: HeaderName = HeaderName::from_static("idempotency-key");

/// The longest wait that is granted.
const LONGEST: Duration = Duration::from_secs(3600);

/// How long a client waits for the whole answer, if it wants no stream: as it says, or as long as it
/// takes. Words that are not understood are passed over.
pub(super) fn wait(headers: &HeaderMap) -> Option<Duration> {
    let values = headers.get_all(PREFER).filter_map(|value| value.to_str().ok());
    values.flat_map(|value| value.split(',')).find_map(|preference| {
        let preference = preference.split(';').next().unwrap_or_default().trim();
        let (name, value) = preference.split_once('=').unwrap_or((preference, ""));
        if !name.trim().eq_ignore_ascii_case("wait") {
            return None;
        }
        let value = value.trim().trim_matches('"');
        match value.parse() {
            Ok(seconds) => Some(Duration::from_secs(seconds).min(LONGEST)),
            Err(_) if value.is_empty() => Some(LONGEST),
            Err(_) => None,
        }
    })
}

/// How the client calls its question, so that it is not asked twice. In quotes or bare is the same.
///
/// # Errors
/// For a key that is none.
pub(super) fn idempotency_key(headers: &HeaderMap) -> Result<Option<Arc<str>>, Problem> {
    let mut values = headers.get_all(IDEMPOTENCY_KEY);
    let Some(value) = values.next() else { return Ok(None) };
    let bad = || {
        let detail = "an Idempotency-Key has 1 to 255 visible characters, and there is one of it";
        Problem::bad_request("bad_idempotency_key", detail)
    };
    let text = value.to_str().map_err(|_| bad())?.trim();
    let bare = text.strip_prefix('"').and_then(|text| text.strip_suffix('"')).unwrap_or(text);
    let is_key =
        (1..=255).contains(&bare.len()) && bare.bytes().all(|byte| byte.is_ascii_graphic());
    match is_key && values.next().is_none() {
        true => Ok(Some(bare.into())),
        false => Err(bad()),
    }
}

/// The distributed trace that the request is a part of (W3C Trace Context).
pub(super) fn trace_parent(headers: &HeaderMap) -> Option<&str> {
    headers.get("traceparent").and_then(|value| value.to_str().ok())
}

#[cfg(test)]
mod tests {
    use actix_web::http::header::HeaderValue;

    use super::*;

    fn headers(name: HeaderName, values: &[&'static str]) -> HeaderMap {
        let mut headers = HeaderMap::new();
        for value in values {
            headers.append(name.clone(), HeaderValue::from_static(value));
        }
        headers
    }

    #[test]
    fn a_wait_is_understood_among_other_wishes() {
        let seconds =
            |values: &[&'static str]| wait(&headers(PREFER, values)).map(|wait| wait.as_secs());
        assert_eq!(seconds(&[]), None);
        assert_eq!(seconds(&["respond-async"]), None);
        assert_eq!(seconds(&["wait"]), Some(3600));
        assert_eq!(seconds(&["return=minimal, Wait=5; foo=bar"]), Some(5));
        assert_eq!(seconds(&["handling=lenient", "wait=\"7\""]), Some(7));
        assert_eq!(seconds(&["wait=99999999999"]), Some(3600));
        assert_eq!(seconds(&["wait=soon", "waiting=3"]), None);
    }

    #[test]
    fn a_key_is_the_same_in_quotes_and_bare() {
        let key = |values: &[&'static str]| {
            idempotency_key(&headers(IDEMPOTENCY_KEY, values))
                .map_err(|problem| problem.to_string())
        };
        assert_eq!(key(&[]), Ok(None));
        assert_eq!(key(&["abc-1"]), Ok(Some("abc-1".into())));
        assert_eq!(key(&["\"abc-1\""]), Ok(Some("abc-1".into())));
        for bad in [&[""][..], &["\"\""], &["a b"], &["a", "b"]] {
            assert!(key(bad).is_err(), "{bad:?}");
        }
    }
}
