//! Headers of every request, whose values may stand in environment variables.

use std::fmt;

use super::error::Error;
use super::http::without_places;
use super::secret::{MASK, Variables};
use crate::model::{ApiKey, Header, secrets_in};

/// What begins a reference to a variable, and what ends it.
const REFERENCE: (&str, &str) = ("${env:", "}");

/// Headers that say how a request travels, and cannot be set.
const OURS: [&str; 5] =
    ["connection", "content-length", "content-type", "host", "transfer-encoding"];

/// Words in the name of a header whose value is a secret.
const SECRET_WORDS: [&str; 9] =
    ["auth", "cookie", "credential", "key", "pass", "secret", "session", "signature", "token"];

/// Words in the name of a header that says who asks, as a key does.
const CREDENTIAL_WORDS: [&str; 5] = ["auth", "credential", "key", "secret", "token"];

/// Words before a secret that are none.
const SCHEMES: [&str; 5] = ["apikey", "basic", "bearer", "key", "token"];

/// A header as it is set. It shows itself with its references in place of what they stand for.
#[derive(Clone, PartialEq, Eq)]
pub struct ExtraHeader {
    name: String,
    value: Vec<Piece>,
}

/// A part of a text that may hold references.
#[derive(Clone, PartialEq, Eq)]
pub(super) enum Piece {
    Text(String),
    Variable(String),
}

impl ExtraHeader {
    /// Takes a name and a value that headers may have; the error says what is expected.
    pub(super) fn new(name: &str, value: &str) -> Result<ExtraHeader, String> {
        let is_token =
            |byte: u8| byte.is_ascii_alphanumeric() || b"!#$%&'*+-.^_`|~".contains(&byte);
        if name.is_empty() || !name.bytes().all(is_token) {
            return Err(format!("names that headers may have, not {name:?}"));
        }
        if OURS.iter().any(|ours| name.eq_ignore_ascii_case(ours)) {
            return Err(format!("headers without `{name}`, which is ours to set"));
        }
        let pieces = pieces(value).filter(|pieces| pieces.iter().all(Piece::is_fit));
        let value = pieces.ok_or_else(|| {
            format!("a value of `{name}` that headers may have, with references as ${{env:NAME}}")
        })?;
        Ok(ExtraHeader { name: name.to_owned(), value })
    }

    /// Its name.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// Its value as it is written, but for a secret that stands in it.
    pub fn shown(&self) -> String {
        let is_secret = looks_secret(&self.name);
        shown(&self.value, |text| is_secret && !is_harmless(text))
    }

    /// Whether it is a key of its own: named like one, and nothing of it is missing.
    pub(super) fn is_credential(&self, variables: &Variables) -> bool {
        let is_filled = |text: &str| !text.trim().is_empty();
        let is_set = |name: &str| variables.get(name).is_some_and(is_filled);
        let is_there = self.value.iter().all(|piece| match piece {
            Piece::Text(_) => true,
            Piece::Variable(name) => is_set(name),
        });
        let says_something = self.value.iter().any(|piece| match piece {
            Piece::Text(text) => is_filled(text),
            Piece::Variable(_) => true,
        });
        is_there && says_something && is_named_with(&self.name, &CREDENTIAL_WORDS)
    }

    /// Fills in the variables.
    pub(super) fn resolve(&self, variables: &Variables) -> Result<Header, Error> {
        let (mut value, mut secrets) = (String::new(), Vec::new());
        for piece in &self.value {
            match piece {
                Piece::Text(text) => value.push_str(text),
                Piece::Variable(variable) => {
                    let missing = || Error::NoVariable {
                        key: format!("model.extra_headers.{}", self.name),
                        variable: variable.clone(),
                    };
                    let text = variables.get(variable).map(str::trim);
                    let text = text.filter(|text| !text.is_empty()).ok_or_else(missing)?;
                    if !is_fit(text) {
                        return Err(Error::BadKey { place: variable.clone() });
                    }
                    value.push_str(text);
                    secrets.extend(secrets_in(text));
                }
            }
        }
        if looks_secret(&self.name) {
            secrets.extend(secrets_in(&value));
        }
        Ok(Header { name: self.name.clone(), value: ApiKey::new(value), secrets })
    }
}

impl Piece {
    pub(super) fn is_fit(&self) -> bool {
        match self {
            Self::Text(text) => is_fit(text),
            Self::Variable(name) => {
                !name.is_empty()
                    && name.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'_')
            }
        }
    }
}

impl fmt::Display for Piece {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (begin, end) = REFERENCE;
        match self {
            Self::Text(text) => out.write_str(text),
            Self::Variable(name) => write!(out, "{begin}{name}{end}"),
        }
    }
}

impl fmt::Debug for ExtraHeader {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(out, "{}: {:?}", self.name, self.shown())
    }
}

/// Says whether what is called `name` is a secret.
pub(crate) fn looks_secret(name: &str) -> bool {
    is_named_with(name, &SECRET_WORDS)
}

fn is_named_with(name: &str, words: &[&str]) -> bool {
    let name = name.to_ascii_lowercase();
    words.iter().any(|word| name.contains(word))
}

/// A value under a name as it is written, but for a secret that stands in it.
pub(super) fn shown_under(name: &str, value: &[Piece]) -> String {
    let is_secret = looks_secret(name);
    shown(value, |text| is_secret && !is_harmless(text))
}

/// A text under a name as it is written, places for arguments too, but for a secret that stands in it.
pub(super) fn shown_beside(name: &str, text: &str) -> String {
    let is_secret = looks_secret(name);
    match pieces(text) {
        Some(pieces) => shown(&pieces, |text| is_secret && !is_harmless(&without_places(text))),
        None if is_secret => MASK.to_owned(),
        None => text.to_owned(),
    }
}

fn shown(pieces: &[Piece], is_secret: impl Fn(&str) -> bool) -> String {
    let shown = |piece: &Piece| match piece {
        // Somebody wrote it into a file all the same.
        Piece::Text(text) if is_secret(text) => MASK.to_owned(),
        piece => piece.to_string(),
    };
    pieces.iter().map(shown).collect()
}

/// Whether a text beside a secret may be shown: a scheme, or what has neither letters nor digits.
fn is_harmless(text: &str) -> bool {
    let word = text.trim();
    SCHEMES.iter().any(|scheme| word.eq_ignore_ascii_case(scheme))
        || !word.contains(|letter: char| letter.is_ascii_alphanumeric())
}

fn is_fit(text: &str) -> bool {
    text.bytes().all(|byte| byte == b' ' || byte.is_ascii_graphic())
}

/// Takes `text` apart; `None` if a reference does not end.
pub(super) fn pieces(text: &str) -> Option<Vec<Piece>> {
    let (begin, end) = REFERENCE;
    let mut parts = text.split(begin);
    let mut pieces = vec![Piece::Text(parts.next()?.to_owned())];
    for part in parts {
        let (name, rest) = part.split_once(end)?;
        pieces.push(Piece::Variable(name.to_owned()));
        pieces.push(Piece::Text(rest.to_owned()));
    }
    Some(pieces)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn variables() -> Variables {
        [("KEY", " sk-1 "), ("EMPTY", " "), ("BAD", "a\nb"), ("SCHEME", "Bearer sk-abc")]
            .into_iter()
            .collect()
    }

    fn resolved(name: &str, value: &str) -> Result<Header, Error> {
        ExtraHeader::new(name, value).unwrap().resolve(&variables())
    }

    #[test]
    fn a_value_is_put_together_of_text_and_variables() {
        for (value, expected) in [
            ("plain", "plain"),
            ("Bearer ${env:KEY}", "Bearer sk-1"),
            ("${env:KEY}/${env:KEY}!", "sk-1/sk-1!"),
            ("$ {env:KEY}", "$ {env:KEY}"),
        ] {
            assert_eq!(resolved("x", value).unwrap().value.expose(), expected);
        }
        let secrets = resolved("x", "Bearer ${env:KEY}").unwrap().secrets;
        assert_eq!(secrets.iter().map(ApiKey::expose).collect::<Vec<_>>(), ["sk-1"]);
        assert!(resolved("x", "plain").unwrap().secrets.is_empty());
        assert_eq!(resolved("api-key", "sk-2").unwrap().secrets[0].expose(), "sk-2");
    }

    #[test]
    fn what_may_be_a_secret_of_its_own_is_one() {
        let check = |name: &str, value: &str, secret: &str| {
            let secrets = resolved(name, value).unwrap().secrets;
            assert!(secrets.iter().any(|known| known.expose() == secret), "{name}: {value:?}");
        };
        check("x", "${env:SCHEME}", "Bearer sk-abc");
        check("x", "${env:SCHEME}", "sk-abc");
        check("cookie", "session=SECRET-1; theme=x", "SECRET-1");
        check("cookie", "session=SECRET-1; t=${env:KEY}", "SECRET-1");
        check("api-key", "pre-${env:KEY}", "pre-sk-1");
    }

    #[test]
    fn a_variable_that_is_of_no_use_is_named() {
        let error = |value: &str| resolved("x", value).unwrap_err().to_string();
        let missing =
            "`model.extra_headers.x` needs the environment variable `NONE`, which is not set";
        assert_eq!(error("${env:NONE}"), missing);
        assert!(error("${env:EMPTY}").contains("`EMPTY`"));
        assert!(error("${env:BAD}").starts_with("the key in BAD is empty or has characters"));
    }

    #[test]
    fn a_secret_is_not_shown_and_its_reference_is() {
        let check = |name: &str, value: &str, shown: &str| {
            let header = ExtraHeader::new(name, value).unwrap();
            assert_eq!(header.shown(), shown);
            assert_eq!(format!("{header:?}"), format!("{name}: {shown:?}"));
        };
        check("x-title", "Night shift", "Night shift");
        check("Authorization", "Bearer sk-1", "[secret]");
        check("api-key", "sk-1", "[secret]");
        check("api-key", "${env:KEY}", "${env:KEY}");
        check("Authorization", "Bearer ${env:KEY}", "Bearer ${env:KEY}");
        check("cookie", "session=sk-1; t=${env:KEY};", "[secret]${env:KEY};");
        check("x-title", "of ${env:KEY}", "of ${env:KEY}");
        for word in ["PassPhrase", "x-credential", "x-session", "Signature", "cookie"] {
            check(word, "sk-1", "[secret]");
        }
        assert!(
            !format!("{:?}", resolved("x-title", "plain ${env:KEY}").unwrap()).contains("sk-1")
        );
    }

    #[test]
    fn what_no_header_may_hold_is_refused() {
        for (name, value) in [
            ("", "a"),
            ("a b", "a"),
            ("Content-Length", "3"),
            ("x", "a\nb"),
            ("x", "é"),
            ("x", "${env:KEY"),
            ("x", "${env:}"),
            ("x", "${env:A B}"),
        ] {
            assert!(ExtraHeader::new(name, value).is_err(), "{name:?}: {value:?}");
        }
    }
}
