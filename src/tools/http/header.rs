//! Headers of a request, with places for arguments.

use reqwest::header::{HeaderMap, HeaderName, HeaderValue};

use super::arguments::Arguments;
use super::template::{Filled, Piece, Secrets, Template};
use super::url::missing;
use crate::tools::Error;

/// Headers that say how a request travels, or which call it is of, and cannot be set.
const OURS: [&str; 12] = [
    "accept-encoding",
    "connection",
    "content-length",
    "expect",
    "host",
    "idempotency-key",
    "keep-alive",
    "proxy-authorization",
    "te",
    "trailer",
    "transfer-encoding",
    "upgrade",
];

/// Words in the name of a header, or of a value of the query, whose value is a secret, also where it stands there as it is.
const SECRET_WORDS: [&str; 9] =
    ["auth", "cookie", "credential", "key", "pass", "secret", "session", "signature", "token"];

/// Words before a secret that are none.
const SCHEMES: [&str; 5] = ["apikey", "basic", "bearer", "key", "token"];

/// A header of every request, with places for arguments.
pub(super) struct Header {
    pub name: HeaderName,
    pub value: Template,
    is_secret: bool,
}

impl Header {
    /// Checks a header as it is set.
    pub fn read(name: &str, value: &str, secrets: &Secrets) -> Result<Self, String> {
        let unfit = |_| format!("headers: {name:?} is not the name of a header");
        let name = HeaderName::try_from(name).map_err(unfit)?;
        if OURS.contains(&name.as_str()) {
            return Err(format!("headers: `{name}` is not for settings to set"));
        }
        let value = Template::read(value, secrets);
        let value = value.map_err(|problem| format!("header `{name}`: {problem}"))?;
        let is_fit = value.0.iter().all(|piece| match piece {
            Piece::Text(text) | Piece::Secret(_, text) => fits(text),
            Piece::Argument(_) => true,
        });
        if !is_fit {
            return Err(format!("header `{name}`: its value has characters that none may have"));
        }
        let is_secret = looks_secret(name.as_str()) || value.has_secret();
        Ok(Self { name, value, is_secret })
    }

    /// Puts the header of a call into `headers`, or leaves it out with its argument.
    pub fn fill(&self, arguments: &Arguments<'_>, headers: &mut HeaderMap) -> Result<(), Error> {
        let value = match self.value.fill(arguments, str::to_owned) {
            Filled::Text(value) => value,
            Filled::LeftOut => return Ok(()),
            Filled::Lacks(name) => {
                return Err(missing(&name, &format!("the header `{}`", self.name)));
            }
        };
        let value = Some(value).filter(|value| fits(value));
        let value = value.and_then(|value| HeaderValue::from_bytes(value.as_bytes()).ok());
        let mut value = value.ok_or_else(|| {
            let message = format!("the header `{}` would have a control character", self.name);
            Error::bad_arguments(message)
        })?;
        value.set_sensitive(self.is_secret);
        headers.insert(self.name.clone(), value);
        Ok(())
    }
}

fn fits(value: &str) -> bool {
    !value.contains(char::is_control)
}

/// What is written as it is into `value`, which is of this `name`, if that belongs to a secret.
pub(super) fn written<'a>(name: &str, value: &'a Template) -> impl Iterator<Item = &'a str> {
    let is_secret = looks_secret(name);
    value.0.iter().filter_map(move |piece| match piece {
        Piece::Text(text) if is_secret && !is_harmless(text) => Some(text.trim()),
        Piece::Text(_) | Piece::Secret(..) | Piece::Argument(_) => None,
    })
}

/// Whether a text beside a secret is none itself: a scheme, or what has neither letters nor digits.
fn is_harmless(text: &str) -> bool {
    let word = text.trim();
    SCHEMES.iter().any(|scheme| word.eq_ignore_ascii_case(scheme))
        || !word.contains(|letter: char| letter.is_ascii_alphanumeric())
}

/// Says whether a value of this name is a secret.
fn looks_secret(name: &str) -> bool {
    SECRET_WORDS.iter().any(|word| name.to_ascii_lowercase().contains(word))
}
