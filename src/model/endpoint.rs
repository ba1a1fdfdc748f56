//! Where a model is reached, and how it is spoken to.

use std::fmt;
use std::time::Duration;

use reqwest::Url;

use super::{ApiKey, Dialect, Header, Price, RequestSettings};

/// How long an endpoint may take.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct TimeLimits {
    /// To take a connection.
    pub connect: Duration,
    /// From the request to the first content; without streaming, to the whole reply.
    pub first_token: Duration,
    /// From one piece of a streamed reply to the next.
    pub silence: Duration,
}

impl Default for TimeLimits {
    fn default() -> Self {
        Self {
            connect: Duration::from_secs(10),
            first_token: Duration::from_secs(60),
            silence: Duration::from_secs(60),
        }
    }
}

/// Where a model is reached, and how it is spoken to.
#[derive(Clone)]
pub struct Endpoint {
    /// Up to and without `/chat/completions`, which goes before its query if it has one.
    pub base_url: String,
    /// Sent as a bearer token.
    pub key: Option<ApiKey>,
    /// Asks for streamed replies.
    pub stream: bool,
    /// Absent: the field is not sent.
    pub parallel_tool_calls: Option<bool>,
    /// How long it may take.
    pub time_limits: TimeLimits,
    /// What its provider does differently.
    pub dialect: Dialect,
    /// What is asked of its models beside the conversation.
    pub settings: RequestSettings,
    /// Further headers of every request.
    pub headers: Vec<Header>,
    /// What its model costs, where the provider does not say what a reply has cost.
    pub price: Option<Price>,
}

impl Endpoint {
    /// An endpoint without a key, streaming, with the usual limits, spoken to as its host wants.
    pub fn new(base_url: impl Into<String>) -> Self {
        let base_url = base_url.into();
        Self {
            dialect: Dialect::for_url(&base_url),
            base_url,
            key: None,
            stream: true,
            parallel_tool_calls: Some(true),
            time_limits: TimeLimits::default(),
            settings: RequestSettings::default(),
            headers: Vec::new(),
            price: None,
        }
    }
}

impl fmt::Debug for Endpoint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Endpoint")
            .field("base_url", &masked(&self.base_url)) // It may hold a password.
            .field("key", &self.key)
            .field("stream", &self.stream)
            .field("parallel_tool_calls", &self.parallel_tool_calls)
            .field("time_limits", &self.time_limits)
            .field("dialect", &self.dialect.name)
            .field("settings", &self.settings)
            .field("headers", &self.headers)
            .field("price", &self.price)
            .finish()
    }
}

/// The URL without what may be secret in it.
pub(super) fn masked(text: &str) -> String {
    const HIDDEN: &str = "the configured URL";
    let Ok(mut url) = Url::parse(text) else {
        return HIDDEN.to_owned(); // It may be a key in the wrong place.
    };
    if url.cannot_be_a_base() {
        // Such as `localhost:8080`; but `user:password@host` is a URL of the scheme `user`.
        return if text.contains(['@', '?']) { HIDDEN } else { text }.to_owned();
    }
    if url.set_password(None).and_then(|()| url.set_username("")).is_err() {
        return HIDDEN.to_owned(); // Such as `file:`, which has neither.
    }
    url.set_query(None);
    url.set_fragment(None);
    url.to_string()
}
