//! The settings of a tool that is an HTTP endpoint.

use std::collections::BTreeSet;
use std::fmt;

use serde_json::Value as Json;

use super::endpoint::masked;
use super::error::Error;
use super::header::{Piece, pieces, shown_beside};
use super::kind;
use super::reader::Section;
use super::secret::Variables;
use crate::model::ApiKey;
use crate::tools::http::{HttpBody, HttpTool};

/// What only a tool of the kind `http` has settings for. What they say is looked at when the tool is
/// made: one that cannot be made is left out, and the others are not.
#[derive(Clone, Debug, PartialEq)]
pub struct Http {
    /// The method of the request.
    pub method: String,
    /// Where it goes, with places for arguments.
    pub url: UrlText,
    /// What is added to the query.
    pub query: Pairs,
    /// Its headers.
    pub headers: Pairs,
    /// Its body; `None` = as the method has it.
    pub body: Option<Body>,
    /// The part of the reply that is the result; `None` = all.
    pub pointer: Option<String>,
    /// Networks that may be reached although they are not public.
    pub allow_private: Vec<String>,
    /// The most bytes of a reply.
    pub max_response_bytes: u64,
}

/// A URL with places in it. It shows itself without what may be secret.
#[derive(Clone, PartialEq, Eq)]
pub struct UrlText(pub(super) String);

/// Names and texts with places in them, in the order of the names. They show themselves without what
/// may be secret.
#[derive(Clone, Default, PartialEq, Eq)]
pub struct Pairs(pub(super) Vec<(String, String)>);

/// A body as it is set.
#[derive(Clone, Debug, PartialEq)]
pub struct Body(pub(super) HttpBody);

impl Http {
    pub(super) fn read(section: &mut Section<'_>) -> Result<Http, Error> {
        Ok(Http {
            method: section.optional("method", kind::filled)?.unwrap_or_else(|| "GET".to_owned()),
            url: section.required("url", kind::url_text)?,
            query: section.optional("query", kind::pairs)?.unwrap_or_default(),
            headers: section.optional("headers", kind::pairs)?.unwrap_or_default(),
            body: section.optional("body", kind::body)?,
            pointer: section.optional("pointer", kind::string)?,
            allow_private: section.optional("allow_private", kind::list)?.unwrap_or_default(),
            max_response_bytes: section
                .optional("max_response_bytes", kind::whole(1..=1 << 32))?
                .unwrap_or(1_000_000),
        })
    }

    /// The tool that they describe, with the variables that they refer to.
    ///
    /// # Errors
    /// [`Error::NoVariable`] for the first variable that is not set.
    pub fn tool(&self, variables: &Variables) -> Result<HttpTool, Error> {
        let Http { method, url, query, headers, pointer, allow_private, .. } = self;
        let mut secrets = Secrets { variables, names: BTreeSet::new(), found: Vec::new() };
        secrets.add("url", &url.0)?;
        for (name, value) in &query.0 {
            secrets.add(&format!("query.{name}"), value)?;
        }
        for (name, value) in &headers.0 {
            secrets.add(&format!("headers.{name}"), value)?;
        }
        if let Some(Body(HttpBody::Json(json))) = &self.body {
            secrets.add_of(json)?;
        }
        Ok(HttpTool {
            query: query.0.clone(),
            headers: headers.0.clone(),
            body: self.body.as_ref().map(|body| body.0.clone()),
            pointer: pointer.clone(),
            allow_private: allow_private.clone(),
            max_response_bytes: usize::try_from(self.max_response_bytes).unwrap_or(usize::MAX),
            secrets: secrets.found,
            ..HttpTool::new(&**method, &*url.0)
        })
    }
}

/// The variables that texts refer to.
struct Secrets<'a> {
    variables: &'a Variables,
    names: BTreeSet<String>,
    found: Vec<(String, ApiKey)>,
}

impl Secrets<'_> {
    fn add(&mut self, key: &str, text: &str) -> Result<(), Error> {
        for piece in pieces(text).into_iter().flatten() {
            let Piece::Variable(variable) = piece else { continue };
            if !self.names.insert(variable.clone()) {
                continue;
            }
            let value = self.variables.get(&variable).map(str::trim);
            let Some(value) = value.filter(|value| !value.is_empty()) else {
                return Err(Error::NoVariable { key: key.to_owned(), variable });
            };
            self.found.push((variable, ApiKey::new(value)));
        }
        Ok(())
    }

    fn add_of(&mut self, json: &Json) -> Result<(), Error> {
        match json {
            Json::String(text) => self.add("body", text),
            Json::Array(items) => items.iter().try_for_each(|item| self.add_of(item)),
            Json::Object(fields) => fields.values().try_for_each(|value| self.add_of(value)),
            Json::Null | Json::Bool(_) | Json::Number(_) => Ok(()),
        }
    }
}

impl UrlText {
    /// The URL, without a password, and without what is named like a secret in its query.
    pub fn shown(&self) -> String {
        let (place, query) = match self.0.split_once('?') {
            Some((place, query)) => (place, Some(query)),
            None => (&*self.0, None),
        };
        let behind = place.split_once("://").map_or(place, |(_, behind)| behind);
        let authority = behind.split('/').next().unwrap_or_default();
        let port = authority.rsplit([':', ']']).next().unwrap_or_default();
        // A password may have a slash in it.
        let is_odd = authority.contains(':') && !port.bytes().all(|byte| byte.is_ascii_digit());
        if authority.contains('@') || is_odd && self.0.contains('@') {
            return masked(&self.0);
        }
        let pair = |pair: &str| match pair.split_once('=') {
            Some((name, value)) => format!("{name}={}", shown_beside(name, value)),
            None => pair.to_owned(),
        };
        let pairs = |query: &str| query.split('&').map(pair).collect::<Vec<_>>().join("&");
        query.map_or_else(|| place.to_owned(), |query| format!("{place}?{}", pairs(query)))
    }
}

impl Pairs {
    /// Each name, and its text without what may be secret.
    pub fn shown(&self) -> impl Iterator<Item = (&str, String)> {
        self.0.iter().map(|(name, text)| (&**name, shown_beside(name, text)))
    }
}

impl fmt::Debug for UrlText {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(out, "{:?}", self.shown())
    }
}

impl fmt::Debug for Pairs {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.debug_map().entries(self.shown()).finish()
    }
}

/// A text without its places for arguments.
pub(super) fn without_places(text: &str) -> String {
    let (mut fixed, mut rest) = (String::new(), text);
    while let Some((before, place)) = rest.split_once('{') {
        let Some((_, behind)) = place.split_once('}') else { break };
        fixed.push_str(before);
        rest = behind;
    }
    fixed + rest
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_may_be_secret_is_not_shown() {
        for (url, shown) in [
            ("https://a.b/v1/@{user}?q={q}", "https://a.b/v1/@{user}?q={q}"),
            ("https://a.b:8080/x", "https://a.b:8080/x"),
            ("https://me:pa55@a.b/x", "https://[secret]@a.b/x"),
            ("https://me:pa/55@a.b/x", "https://[secret]@a.b/x"),
            ("https://a.b/x?appkey=sk-1&q=1&f", "https://a.b/x?appkey=[secret]&q=1&f"),
            ("https://a.b/x?key=${env:K}&token={t}", "https://a.b/x?key=${env:K}&token={t}"),
        ] {
            let text = UrlText(url.to_owned());
            assert_eq!(
                (text.shown(), format!("{text:?}")),
                (shown.to_owned(), format!("{shown:?}"))
            );
        }
        let pairs = [("authorization", "Bearer sk-1"), ("x-token", "Key {token}"), ("q", "sk-1")];
        let pairs = Pairs(pairs.map(|(name, text)| (name.to_owned(), text.to_owned())).to_vec());
        let shown = r#"{"authorization": "[secret]", "x-token": "Key {token}", "q": "sk-1"}"#;
        assert_eq!(format!("{pairs:?}"), shown);
    }
}
