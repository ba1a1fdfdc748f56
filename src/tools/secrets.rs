//! Values that no result may tell: what a tool says is searched for them before anybody hears it.

use std::collections::BTreeSet;
use std::fmt;
use std::fmt::Write as _;
use std::sync::Arc;

use aho_corasick::{AhoCorasick, MatchKind};

/// What stands in the place of a secret.
const MASK: &str = "[secret]";

/// Shorter values are left alone: they are too common to be told from what is none.
const MIN_BYTES: usize = 6;

/// The letters of Base64, but for the last two, which differ.
const LETTERS: &[u8; 62] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789";

/// Values that no result of a tool may tell: each is replaced by `[secret]`, as it is, in Base64, percent
/// encoded, and as JSON writes it. Cheap to clone. `Debug` tells only whether there are any.
///
/// Values of less than 6 bytes are left alone. What a tool has cut, turned round or encoded otherwise is
/// not found: this is a net under those who write tools, and no wall.
#[derive(Clone, Default)]
pub struct Secrets(Option<Arc<AhoCorasick>>);

impl Secrets {
    /// The secrets among `values`.
    pub fn new<S: AsRef<str>>(values: impl IntoIterator<Item = S>) -> Self {
        let mut forms = BTreeSet::new();
        for value in values {
            let value = value.as_ref().trim();
            if value.len() >= MIN_BYTES {
                forms.extend(forms_of(value));
            }
        }
        if forms.is_empty() {
            return Self::default();
        }
        // The longest of those that begin at one place.
        let kind = MatchKind::LeftmostLongest;
        Self(AhoCorasick::builder().match_kind(kind).build(&forms).ok().map(Arc::new))
    }

    /// `text` without what is secret in it.
    #[must_use]
    pub fn redacted(&self, text: String) -> String {
        let Some(known) = &self.0 else { return text };
        let mut found = known.find_iter(&text).peekable();
        if found.peek().is_none() {
            drop(found);
            return text;
        }
        let (mut told, mut end) = (String::with_capacity(text.len()), 0);
        for secret in found {
            told.push_str(&text[end..secret.start()]);
            told.push_str(MASK);
            end = secret.end();
        }
        told.push_str(&text[end..]);
        told
    }
}

impl fmt::Debug for Secrets {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(if self.0.is_some() { "Secrets(some)" } else { "Secrets(none)" })
    }
}

/// How `value` may be written.
fn forms_of(value: &str) -> Vec<String> {
    let json = serde_json::Value::from(value).to_string();
    let json = json[1..json.len() - 1].to_owned();
    let mut forms = vec![value.to_owned(), json, percent(value, true), percent(value, false)];
    for before in 0..3 {
        for last in [b"+/", b"-_"] {
            forms.push(base64(value.as_bytes(), before, last));
        }
    }
    forms.retain(|form| form.len() >= MIN_BYTES);
    forms
}

/// `value` as it stands in a URL.
fn percent(value: &str, in_capitals: bool) -> String {
    let mut text = String::new();
    for byte in value.bytes() {
        if byte.is_ascii_alphanumeric() || b"-._~".contains(&byte) {
            text.push(char::from(byte));
        } else {
            // Writing to a string does not fail.
            let _ = match in_capitals {
                true => write!(text, "%{byte:02X}"),
                false => write!(text, "%{byte:02x}"),
            };
        }
    }
    text
}

/// The letters of Base64 that `bytes` alone decide, where so many bytes stand `before` them.
fn base64(bytes: &[u8], before: usize, last: &[u8; 2]) -> String {
    let all = before + bytes.len();
    let bit = |at: usize| {
        let byte = at.checked_sub(8 * before).and_then(|at| bytes.get(at / 8)).copied();
        usize::from(byte.unwrap_or_default() >> (7 - at % 8) & 1)
    };
    let letter = |index: usize| {
        let number = (6 * index..6 * index + 6).fold(0, |number, at| 2 * number + bit(at));
        char::from(LETTERS.get(number).copied().unwrap_or_else(|| last[number & 1]))
    };
    ((8 * before).div_ceil(6)..8 * all / 6).map(letter).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn told(secrets: &[&str], text: &str) -> String {
        Secrets::new(secrets).redacted(text.to_owned())
    }

    #[test]
    fn a_secret_is_found_in_every_form() {
        let check = |text: &str, expected: &str| {
            assert_eq!(told(&["sk-se/cret+1", "a \"b\"\n&c"], text), expected);
        };
        check("key=sk-se/cret+1.", "key=[secret].");
        check("sk-se/cret+1sk-se/cret+1", "[secret][secret]");
        check("?k=sk-se%2Fcret%2B1&x", "?k=[secret]&x");
        check("?k=sk-se%2fcret%2b1&x", "?k=[secret]&x");
        check(r#"{"k":"a \"b\"\n&c"}"#, r#"{"k":"[secret]"}"#);
        check("sk-se/cret", "sk-se/cret");
        // `printf 'sk-se/cret+1' | base64`, and with `x` and `xy` before it; then `user:…` and more behind.
        check("c2stc2UvY3JldCsx", "[secret]");
        check("eHNrLXNlL2NyZXQrMQ==", "eH[secret]Q==");
        check("eHlzay1zZS9jcmV0KzE=", "eHl[secret]E=");
        check("Basic dXNlcjpzay1zZS9jcmV0KzE6eHk=", "Basic dXNlcjp[secret]E6eHk=");
    }

    #[test]
    fn base64_is_that_of_the_standard() {
        for (bytes, text) in
            [(&b"foobar"[..], "Zm9vYmFy"), (b"\xfb\xff\xbf", "+/+/"), (b"fo", "Zm")]
        {
            assert_eq!(base64(bytes, 0, b"+/"), text);
        }
        assert_eq!(base64(b"\xfb\xff\xbf", 0, b"-_"), "-_-_");
    }

    #[test]
    fn the_longest_counts_and_what_is_short_is_left_alone() {
        assert_eq!(told(&["sk-acme", "sk-acme-8f3c"], "sk-acme-8f3c sk-acme"), "[secret] [secret]");
        assert_eq!(told(&["abcde", " ", ""], "abcde"), "abcde");
        assert_eq!(told(&["  abcdef\n"], "<abcdef>"), "<[secret]>");
        assert_eq!(told(&["пароль"], "мой пароль"), "мой [secret]");
    }

    #[test]
    fn a_text_without_a_secret_is_not_copied() {
        let text = "x".repeat(1000);
        let place = text.as_ptr();
        let told = Secrets::new(["secret"]).redacted(text);
        assert_eq!(told.as_ptr(), place);
        let debug = format!("{:?} {:?}", Secrets::new(["secret"]), Secrets::default());
        assert_eq!(debug, "Secrets(some) Secrets(none)");
    }
}
