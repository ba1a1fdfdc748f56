//! Where sessions are kept, and never with its password.

use std::fmt;

use super::endpoint;
use super::error::Error;
use super::header::{Piece, pieces};
use super::secret::{MASK, Variables};

/// The kinds of stores, as their URLs begin.
const KINDS: [&str; 4] = ["memory:", "sqlite:", "postgres://", "postgresql://"];

/// The URL of a store as it is set. It shows itself with references in place of what they stand for,
/// and without a password.
#[derive(Clone, PartialEq, Eq)]
pub struct StoreUrl(Vec<Piece>);

impl StoreUrl {
    /// Takes the URL of a known kind of store, or one that begins with a reference.
    pub(super) fn new(text: &str) -> Option<Self> {
        let is_known = KINDS.iter().any(|kind| text.starts_with(kind)) && text != "sqlite:";
        let is_whole = text == "memory:" || !text.starts_with("memory:");
        let pieces = pieces(text)?;
        let begins_anywhere =
            matches!(&pieces[..], [Piece::Text(first), Piece::Variable(_), ..] if first.is_empty());
        let are_fit = pieces.iter().all(|piece| match piece {
            Piece::Variable(_) => piece.is_fit(),
            Piece::Text(text) => !text.contains(char::is_control),
        });
        ((is_known || begins_anywhere) && is_whole && are_fit).then_some(Self(pieces))
    }

    /// The URL as it is written, but for a password.
    pub fn shown(&self) -> String {
        masked(&self.0.iter().map(Piece::to_string).collect::<String>())
    }

    /// The variables that it refers to.
    pub(super) fn references(&self) -> impl Iterator<Item = &str> {
        self.0.iter().filter_map(|piece| match piece {
            Piece::Text(_) => None,
            Piece::Variable(name) => Some(&**name),
        })
    }

    /// Fills in the variables. What stands for a user or a password is written such that it can be
    /// one, unless the whole URL stands in one variable.
    pub(super) fn resolve(&self, variables: &Variables) -> Result<String, Error> {
        let mut url = String::new();
        for (index, piece) in self.0.iter().enumerate() {
            let variable = match piece {
                Piece::Text(text) => {
                    url.push_str(text);
                    continue;
                }
                Piece::Variable(variable) => variable,
            };
            let missing =
                || Error::NoVariable { key: "store.url".to_owned(), variable: variable.clone() };
            let value = variables.get(variable).map(str::trim);
            let value = value.filter(|value| !value.is_empty()).ok_or_else(missing)?;
            let rest = &self.0[index + 1..];
            let is_login = url.contains("://")
                && rest
                    .iter()
                    .any(|piece| matches!(piece, Piece::Text(text) if text.contains('@')));
            match is_login {
                true => url.push_str(&encoded(value)),
                false => url.push_str(value),
            }
        }
        Ok(url)
    }
}

impl fmt::Debug for StoreUrl {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(out, "{:?}", self.shown())
    }
}

/// Masks who logs in, and a password among the parameters.
pub(super) fn masked(url: &str) -> String {
    let mut shown = endpoint::masked(url);
    let name = "password=";
    let mut from = 0;
    while let Some(begin) = shown[from..].find(name).map(|begin| from + begin + name.len()) {
        let end = shown[begin..].find('&').map_or(shown.len(), |end| begin + end);
        shown.replace_range(begin..end, MASK);
        from = begin;
    }
    shown
}

/// `text` as it may stand in any place of a URL.
fn encoded(text: &str) -> String {
    let mut encoded = String::new();
    for byte in text.bytes() {
        match byte {
            b'-' | b'.' | b'_' | b'~' => encoded.push(char::from(byte)),
            byte if byte.is_ascii_alphanumeric() => encoded.push(char::from(byte)),
            byte => encoded.push_str(&format!("%{byte:02X}")),
        }
    }
    encoded
}

#[cfg(test)]
mod tests {
    use super::*;

    fn resolved(url: &str) -> Result<String, Error> {
        let variables = [("PW", " p@ss/1 "), ("URL", "postgres://u:s3@h/d?a=b"), ("NONE", "")];
        StoreUrl::new(url).unwrap().resolve(&variables.into_iter().collect())
    }

    #[test]
    fn a_url_is_put_together_of_text_and_variables() {
        for (url, expected) in [
            ("memory:", "memory:"),
            ("sqlite:a b/${env:PW}.db", "sqlite:a b/p@ss/1.db"),
            ("postgres://u:${env:PW}@h/d", "postgres://u:p%40ss%2F1@h/d"),
            ("${env:URL}", "postgres://u:s3@h/d?a=b"),
        ] {
            assert_eq!(resolved(url).unwrap(), expected);
        }
        for url in ["postgres://u:${env:NONE}@h/d", "sqlite:${env:MISSING}"] {
            let error = resolved(url).unwrap_err().to_string();
            assert!(error.starts_with("`store.url` needs the environment variable"), "{error}");
        }
    }

    #[test]
    fn what_is_no_store_is_refused() {
        for url in [
            "",
            "memory",
            "memory:x",
            "sqlite:",
            "mysql://h/d",
            "x${env:URL}",
            "${env:URL",
            "sqlite:a\nb",
        ] {
            assert_eq!(StoreUrl::new(url), None, "{url}");
        }
    }

    #[test]
    fn a_password_is_never_shown() {
        for (url, shown) in [
            ("sqlite:callsheet.db", "sqlite:callsheet.db"),
            ("postgres://u:s3cret@h/d", "postgres://[secret]@h/d"),
            ("postgres://u:${env:PW}@h/d", "postgres://[secret]@h/d"),
            ("postgres://h/d?password=s3cret&x=1", "postgres://h/d?password=[secret]&x=1"),
            ("postgres://h/d?x=1&password=", "postgres://h/d?x=1&password=[secret]"),
            ("${env:URL}", "${env:URL}"),
        ] {
            let url = StoreUrl::new(url).unwrap();
            assert_eq!((url.shown(), format!("{url:?}")), (shown.to_owned(), format!("{shown:?}")));
        }
    }
}
