//! How long a provider asks to wait, in every form that providers say it in.

use std::time::{Duration, SystemTime};

use reqwest::header::{DATE, HeaderMap};

use crate::wire::ApiError;

/// Longer than anybody waits; what says more says this.
const MOST: Duration = Duration::from_secs(24 * 3600);

/// Numbers from here on are no seconds to wait but seconds since 1970; a thousand times as much are
/// milliseconds since then.
const EPOCH: f64 = 1e9;

/// What stands before a time in a sentence, in lower case.
const LEADS: [&str; 9] = [
    "try again in ",
    "try again after ",
    "please wait ",
    "retry in ",
    "retry after ",
    "retry_after\":",
    "retrydelay\":",
    "retry_after\\\":",
    "retrydelay\\\":",
];

/// The longest wait that a response asks for: in `Retry-After-Ms`, in `Retry-After` as seconds or as
/// a date, in the reset of a limit that is used up, in what its body has `said` besides its words, or in
/// the words. `now` is the time of day; the response's own `Date` counts more. `None` if it asks for none.
pub(crate) fn hint(
    headers: &HeaderMap,
    said: Option<&ApiError>,
    words: &str,
    now: SystemTime,
) -> Option<Duration> {
    let text = |name: &str| headers.get(name)?.to_str().ok().map(str::trim);
    let date = text(DATE.as_str()).and_then(|date| httpdate::parse_http_date(date).ok());
    let now = date.unwrap_or(now);
    let in_ms = text("retry-after-ms").and_then(number).and_then(|ms| seconds(ms / 1e3));
    let after = text("retry-after").and_then(|after| {
        let until = || httpdate::parse_http_date(after).ok()?.duration_since(now).ok();
        number(after).and_then(seconds).or_else(until).or_else(|| span(after))
    });
    let in_body = said.and_then(|error| wait_until(error.retry_after.as_deref()?.trim(), now));
    let resets = headers.iter().filter_map(|(name, reset)| {
        let (family, limit) = name.as_str().split_once("ratelimit-reset")?;
        if !matches!(family, "" | "x-") {
            return None;
        }
        let left = text(&format!("{family}ratelimit-remaining{limit}")).and_then(number);
        // A limit that is not used up is not why.
        if left.is_some_and(|left| left > 0.0) {
            return None;
        }
        wait_until(reset.to_str().ok()?.trim(), now)
    });
    let hints = [in_ms, after, in_body, in_words(words)].into_iter().flatten().chain(resets);
    hints.max().map(|wait| wait.min(MOST))
}

/// A span or a point in time.
fn wait_until(reset: &str, now: SystemTime) -> Option<Duration> {
    let Some(number) = number(reset) else { return span(reset) };
    if number < EPOCH {
        return seconds(number);
    }
    let since_1970 = seconds(if number < EPOCH * 1e3 { number } else { number / 1e3 })?;
    SystemTime::UNIX_EPOCH.checked_add(since_1970)?.duration_since(now).ok()
}

/// `Please try again in 6m0s.` and its like, wherever it stands.
fn in_words(body: &str) -> Option<Duration> {
    let body = body.to_ascii_lowercase();
    let after = |lead: &str| {
        let (_, rest) = body.split_once(lead)?;
        let rest = rest.trim_start_matches([' ', '"', '\\']);
        let is_part = |c: char| c.is_ascii_alphanumeric() || c == '.';
        let word = &rest[..rest.find(|c| !is_part(c)).unwrap_or(rest.len())];
        let word = word.trim_end_matches('.');
        let unit = rest[word.len()..].trim_start();
        if rest[word.len()..].starts_with(['-', '/', ':']) {
            return None; // A date.
        }
        match number(word) {
            Some(count) if unit.starts_with("ms") || unit.starts_with("milli") => {
                seconds(count / 1e3)
            }
            Some(count) if unit.starts_with("min") || is_unit(unit, "m") => seconds(count * 60.0),
            Some(count) if unit.starts_with("hour") || is_unit(unit, "h") => {
                seconds(count * 3600.0)
            }
            Some(count) if unit.starts_with("day") => seconds(count * 86_400.0),
            Some(count) => seconds(count),
            None => span(word),
        }
    };
    LEADS.into_iter().filter_map(after).max()
}

/// Says whether a text begins with this word.
fn is_unit(text: &str, word: &str) -> bool {
    let rest = text.strip_prefix(word);
    rest.is_some_and(|rest| !rest.starts_with(|letter: char| letter.is_ascii_alphanumeric()))
}

/// A span as Go writes it, such as `1h2m3.5s` or `500ms`.
fn span(text: &str) -> Option<Duration> {
    let (mut rest, mut total) = (text, 0.0);
    while !rest.is_empty() {
        let unit_at = rest.find(|c: char| c.is_ascii_alphabetic())?;
        let (count, behind) = rest.split_at(unit_at);
        let unit_end = behind.find(|c: char| !c.is_ascii_alphabetic()).unwrap_or(behind.len());
        let (unit, next) = behind.split_at(unit_end);
        let scale = match unit {
            "d" => 86_400.0,
            "h" => 3600.0,
            "m" => 60.0,
            "s" => 1.0,
            "ms" => 1e-3,
            "us" | "ns" => 0.0, // As good as nothing.
            _ => return None,
        };
        total += number(count)? * scale;
        rest = next;
    }
    if text.is_empty() { None } else { seconds(total) }
}

fn number(text: &str) -> Option<f64> {
    let is_plain = text.bytes().all(|byte| byte.is_ascii_digit() || byte == b'.');
    text.parse().ok().filter(|number: &f64| is_plain && number.is_finite())
}

fn seconds(seconds: f64) -> Option<Duration> {
    Duration::try_from_secs_f64(seconds).ok()
}

#[cfg(test)]
mod tests {
    use reqwest::header::{HeaderName, HeaderValue};

    use super::*;

    /// 2026-01-01 00:00:00 UTC.
    const NOW: u64 = 1_767_225_600;

    fn wait(headers: &[(&str, &str)], body: &str) -> Option<u128> {
        let header = |(name, value): &(&str, &str)| {
            (HeaderName::try_from(*name).unwrap(), HeaderValue::from_str(value).unwrap())
        };
        let headers = headers.iter().map(header).collect();
        let now = SystemTime::UNIX_EPOCH + Duration::from_secs(NOW);
        let said = crate::wire::chat::error_in(body.as_bytes());
        hint(&headers, said.as_ref(), body, now).map(|wait| wait.as_millis())
    }

    #[test]
    fn a_response_may_ask_for_nothing() {
        assert_eq!(wait(&[], "try again later"), None);
        assert_eq!(wait(&[], "retry after 2026-01-02 10:00"), None);
        assert_eq!(wait(&[("retry-after", "soon")], ""), None);
        let never = "10000000000000000000000";
        assert_eq!(wait(&[("x-ratelimit-reset", never)], ""), None);
        let body = format!(r#"{{"error":{{"message":"slow down","retry_after":{never}}}}}"#);
        let said = crate::wire::chat::error_in(body.as_bytes());
        assert_eq!(hint(&HeaderMap::new(), said.as_ref(), "", SystemTime::now()), None);
        assert_eq!(wait(&[("retry-after", "-5")], ""), None);
        let day = 24 * 3_600_000;
        assert_eq!(wait(&[("retry-after", "999999")], ""), Some(day), "no longer than a day");
    }

    #[test]
    fn retry_after_is_seconds_or_a_date() {
        assert_eq!(wait(&[("retry-after", "7")], ""), Some(7_000));
        assert_eq!(wait(&[("retry-after", " 1.5 ")], ""), Some(1_500));
        assert_eq!(wait(&[("retry-after", "7s")], ""), Some(7_000));
        let date = "Thu, 01 Jan 2026 00:00:42 GMT";
        assert_eq!(wait(&[("retry-after", date)], ""), Some(42_000));
        let past = "Wed, 31 Dec 2025 23:00:00 GMT";
        assert_eq!(wait(&[("retry-after", past)], ""), None);
    }

    #[test]
    fn a_date_is_meant_by_the_clock_of_the_one_who_wrote_it() {
        let headers = [
            ("date", "Thu, 01 Jan 2026 01:00:00 GMT"),
            ("retry-after", "Thu, 01 Jan 2026 01:00:05 GMT"),
        ];
        assert_eq!(wait(&headers, ""), Some(5_000));
    }

    #[test]
    fn of_several_hints_the_longest_counts() {
        assert_eq!(wait(&[("retry-after", "1"), ("retry-after-ms", "0")], ""), Some(1_000));
        assert_eq!(wait(&[("retry-after", "1"), ("retry-after-ms", "2500")], ""), Some(2_500));
    }

    #[test]
    fn the_reset_of_a_limit_counts_if_the_limit_is_used_up() {
        let reset = |left: &'static str, reset: &'static str| {
            wait(&[("x-ratelimit-remaining-tokens", left), ("x-ratelimit-reset-tokens", reset)], "")
        };
        assert_eq!(reset("0", "6m0s"), Some(360_000));
        assert_eq!(reset("0", "500ms"), Some(500));
        assert_eq!(reset("0", "1h2m3.5s"), Some(3_723_500));
        assert_eq!(reset("12", "6m0s"), None);
        assert_eq!(wait(&[("x-ratelimit-reset-requests", "12")], ""), Some(12_000));
        let minute = [
            ("x-ratelimit-remaining-tokens-minute", "0"),
            ("x-ratelimit-reset-tokens-minute", "21.5"),
        ];
        assert_eq!(wait(&minute, ""), Some(21_500));
        assert_eq!(
            wait(&[("ratelimit-remaining", "0"), ("ratelimit-reset", "50")], ""),
            Some(50_000)
        );
        assert_eq!(wait(&[("ratelimit-remaining", "1"), ("ratelimit-reset", "50")], ""), None);
        assert_eq!(wait(&[("x-ratelimit-reset", "1767225630")], ""), Some(30_000));
        assert_eq!(wait(&[("x-ratelimit-reset", "1767225630500")], ""), Some(30_500));
    }

    #[test]
    fn a_body_may_say_it_in_words() {
        for (body, ms) in [
            ("Rate limit reached. Please try again in 6m0s. Visit", 360_000),
            ("Please try again in 20s.", 20_000),
            ("max RPM: 3, please try again after 1 seconds", 1_000),
            ("Please wait 25 seconds before retrying", 25_000),
            ("please try again in 1.898s", 1_898),
            ("Try again in 35 seconds.", 35_000),
            ("Please retry after 2 minutes", 120_000),
            ("try again in 120ms", 120),
            ("try again in 1 m", 60_000),
            ("retry after 2 days", 24 * 3_600_000),
            (r#"{"error":{"details":[{"retryDelay":"34.5s"}]}}"#, 34_500),
            (r#"{"detail":"slow down","retry_after": 9}"#, 9_000),
            (r#"{"raw":"{\"retryDelay\": \"7s\"}"}"#, 7_000),
        ] {
            assert_eq!(wait(&[], body), Some(ms), "{body}");
        }
    }

    #[test]
    fn a_body_may_say_it_beside_its_words() {
        for (body, ms) in [
            (r#"{"error":{"message":"slow down","code":429,"retry_after":5}}"#, 5_000),
            (r#"{"error":{"message":"slow down"},"retry_after":"2.5"}"#, 2_500),
            (
                r#"{"error":{"message":"slow down","metadata":{"headers":{"X-RateLimit-Remaining":"0","X-RateLimit-Reset":"1767225630500"}}}}"#,
                30_500,
            ),
            (r#"{"error":{"message":"x","metadata":{"headers":{"Retry-After":"3"}}}}"#, 3_000),
            (
                r#"{"error":{"message":"x","details":[{"reason":"r"},{"retryDelay":"34.5s"}]}}"#,
                34_500,
            ),
        ] {
            // Also in the middle of a stream, where there is nothing but the error.
            let said = crate::wire::chat::error_in(body.as_bytes());
            let now = SystemTime::UNIX_EPOCH + Duration::from_secs(NOW);
            let alone = hint(&HeaderMap::new(), said.as_ref(), "", now);
            assert_eq!(alone.map(|wait| wait.as_millis()), Some(ms), "{body}");
            assert_eq!(wait(&[], body), Some(ms), "{body}");
        }
    }
}
