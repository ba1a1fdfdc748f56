//! A tool as it was checked, and the request that a call makes of it.

use std::collections::HashSet;

use reqwest::header::{
    ACCEPT_ENCODING, CONTENT_TYPE, HeaderMap, HeaderName, HeaderValue, USER_AGENT,
};
use reqwest::{Method, Url};
use serde_json::Value;

use super::arguments::Arguments;
use super::body::BodyTemplate;
use super::client::Clients;
use super::header::{Header, written};
use super::networks::Reach;
use super::pointer::Pointer;
use super::resolver::{Lookup, Resolver};
use super::url::{UrlTemplate, encoded};
use super::{HttpBody, HttpTool};
use crate::conversation::{CallKey, TraceParent};
use crate::model::{ApiKey, secrets_in};
use crate::tools::Error;

/// What a tool may do.
const METHODS: [Method; 7] = [
    Method::GET,
    Method::HEAD,
    Method::POST,
    Method::PUT,
    Method::PATCH,
    Method::DELETE,
    Method::OPTIONS,
];

/// What is shorter is no secret: hiding it would garble every result.
const MIN_HIDDEN_BYTES: usize = 4;

/// The same of what is taken for a secret only for its name: `sort_key=name` is none.
const MIN_WRITTEN_BYTES: usize = 6;

/// The header that carries a call's key.
const IDEMPOTENCY_KEY: HeaderName = HeaderName::from_static("idempotency-key");

/// The header that carries a call's span.
const TRACE_PARENT: HeaderName = HeaderName::from_static("traceparent");

/// A tool as it was checked.
pub(super) struct Plan {
    pub method: Method,
    url: UrlTemplate,
    headers: Vec<Header>,
    body: BodyTemplate,
    pub pointer: Option<Pointer>,
    pub max_response_bytes: usize,
    /// What no result and no error repeats.
    pub hidden: Vec<ApiKey>,
    pub resolver: Resolver,
    pub clients: Clients,
}

/// A request as it is sent, and sent again where a redirect leads.
pub(super) struct Request {
    pub url: Url,
    pub headers: HeaderMap,
    pub body: Option<String>,
}

impl Request {
    /// Says what trace it is a part of, unless the tool has a header of its own for that.
    pub fn part_of(mut self, trace_parent: Option<TraceParent>) -> Self {
        let value = trace_parent.and_then(|parent| parent.to_string().try_into().ok());
        if let Some(value) = value {
            self.headers.entry(TRACE_PARENT).or_insert(value);
        }
        self
    }
}

impl Plan {
    /// Checks `tool` against the schema of its arguments; the error is one line.
    pub fn new(tool: &HttpTool, parameters: &Value, lookup: Lookup) -> Result<Self, String> {
        let method =
            METHODS.into_iter().find(|known| known.as_str().eq_ignore_ascii_case(&tool.method));
        let method = method.ok_or_else(|| {
            let known: Vec<_> = METHODS.iter().map(Method::as_str).collect();
            format!("method: expected one of {}, found {:?}", known.join(", "), tool.method)
        })?;
        let (url, resolver) = url_and_resolver(tool, lookup)?;
        let headers = tool.headers.iter();
        let headers = headers.map(|(name, value)| Header::read(name, value, &tool.secrets));
        let headers = headers.collect::<Result<Vec<_>, _>>()?;
        let mut names = HashSet::new();
        if let Some(twice) = headers.iter().find(|header| !names.insert(&header.name)) {
            return Err(format!("headers: `{}` is there twice", twice.name));
        }
        let in_headers = headers.iter().flat_map(|header| header.value.arguments());
        let mut used: Vec<_> = url.arguments().collect();
        used.extend(in_headers.map(|name| (name, "a header")));
        let elsewhere = used.iter().map(|(name, _)| (*name).to_owned()).collect();
        let usual = match method {
            Method::POST | Method::PUT | Method::PATCH => HttpBody::Arguments,
            _ => HttpBody::None,
        };
        let body = tool.body.as_ref().unwrap_or(&usual);
        let body = BodyTemplate::read(body, elsewhere, &tool.secrets)?;
        used.extend(body.arguments().into_iter().map(|name| (name, "the body")));
        check_names(&used, parameters)?;
        let pointer = tool.pointer.as_deref().map(Pointer::read).transpose()?;
        let hidden = hidden(tool, &url, &headers);
        let (max_response_bytes, clients) = (tool.max_response_bytes, Clients::default());
        Ok(Self {
            method,
            url,
            headers,
            body,
            pointer,
            max_response_bytes,
            hidden,
            resolver,
            clients,
        })
    }

    /// The request of the call `key`.
    pub fn request(&self, arguments: &str, key: &CallKey) -> Result<Request, Error> {
        let arguments = Arguments::read(arguments)?;
        let url = self.url.fill(&arguments)?;
        let mut headers = HeaderMap::new();
        let agent = concat!("callsheet/", env!("CARGO_PKG_VERSION"));
        headers.insert(USER_AGENT, HeaderValue::from_static(agent));
        let body = self.body.fill(&arguments)?;
        if body.is_some() {
            headers.insert(CONTENT_TYPE, HeaderValue::from_static("application/json"));
        }
        for header in &self.headers {
            header.fill(&arguments, &mut headers)?;
        }
        headers.insert(ACCEPT_ENCODING, HeaderValue::from_static("identity"));
        headers.insert(IDEMPOTENCY_KEY, key_value(key));
        Ok(Request { url, headers, body })
    }

    /// Scheme, host and port, as they may be shown.
    pub fn origin(&self) -> &Url {
        self.url.origin()
    }
}

/// Where the requests of `tool` go, and what resolves the name of its host.
pub(super) fn origin(tool: &HttpTool, lookup: Lookup) -> Result<(Url, Resolver), String> {
    let (url, resolver) = url_and_resolver(tool, lookup)?;
    Ok((url.origin().clone(), resolver))
}

fn url_and_resolver(tool: &HttpTool, lookup: Lookup) -> Result<(UrlTemplate, Resolver), String> {
    let url = UrlTemplate::read(&tool.url, &tool.query, &tool.secrets)?;
    let reach = Reach::new(&tool.allow_private);
    let reach = reach
        .map_err(|text| format!("allow_private: {text:?} is no network, such as 10.0.0.0/8"))?;
    let resolver = Resolver::new(reach, lookup);
    let literal = resolver.check_literal(url.origin());
    literal.map_err(|private| format!("url: {private}, and `allow_private` does not name it"))?;
    Ok((url, resolver))
}

/// Refuses places for what is no parameter.
fn check_names(used: &[(&str, &str)], parameters: &Value) -> Result<(), String> {
    let properties = parameters.get("properties").and_then(Value::as_object);
    let is_known = |name: &str| properties.is_some_and(|known| known.contains_key(name));
    let Some((name, place)) = used.iter().find(|(name, _)| !is_known(name)) else { return Ok(()) };
    let known: Vec<_> = properties.into_iter().flat_map(|known| known.keys().cloned()).collect();
    let known = if known.is_empty() { "nothing".to_owned() } else { known.join(", ") };
    Err(format!("`{{{name}}}` in {place} is no parameter: `parameters.properties` has {known}"))
}

/// The secrets of `tool` that are known; none of one that is not well formed.
#[cfg(feature = "cli")]
pub(super) fn secrets_of(tool: &HttpTool) -> Vec<ApiKey> {
    let Ok(url) = UrlTemplate::read(&tool.url, &tool.query, &tool.secrets) else {
        return Vec::new();
    };
    let headers = tool.headers.iter();
    let headers = headers.filter_map(|(name, value)| Header::read(name, value, &tool.secrets).ok());
    hidden(tool, &url, &headers.collect::<Vec<_>>())
}

/// The secrets that are given, also as a URL has them, and those that stand in headers and in the query as
/// they are.
fn hidden(tool: &HttpTool, url: &UrlTemplate, headers: &[Header]) -> Vec<ApiKey> {
    let given = tool.secrets.iter().flat_map(|(_, secret)| {
        let in_url = ApiKey::new(encoded(secret.expose()));
        secrets_in(secret.expose()).into_iter().chain([in_url])
    });
    let in_headers = headers.iter().flat_map(|header| written(header.name.as_str(), &header.value));
    let in_headers = in_headers.flat_map(secrets_in);
    let in_query = url.written_secrets().flat_map(|text| secrets_in(&text));
    let written = in_headers.chain(in_query);
    let written = written.filter(|secret| secret.expose().len() >= MIN_WRITTEN_BYTES);
    let all = given.chain(written);
    all.filter(|secret| secret.expose().len() >= MIN_HIDDEN_BYTES).collect()
}

/// A key as a header may hold it: a session may have any name.
fn key_value(key: &CallKey) -> HeaderValue {
    let mut text = String::new();
    for byte in key.to_string().bytes() {
        match byte {
            b'%' => text.push_str("%25"),
            byte if byte.is_ascii_graphic() => text.push(byte.into()),
            byte => text.push_str(&format!("%{byte:02X}")),
        }
    }
    HeaderValue::try_from(text).unwrap_or(HeaderValue::from_static(""))
}
