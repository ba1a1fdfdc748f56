//! One request and its reply, and what each way to fail means.

use std::time::{Duration, SystemTime};

use reqwest::header::HeaderMap;
use reqwest::{Response, StatusCode};
use tokio::time::{Instant, timeout_at};

use super::classify::{Meaning, meaning};
use super::hidden::without_secrets;
pub(super) use super::sending::Sending;
use super::{ApiKey, Dialect, Endpoint, Error, Stage, TimeLimits, retry_after};
use crate::wire::{self, ApiError, chat};

/// How much of an error's body is read.
const MAX_ERROR_BYTES: usize = 64 * 1024;

/// What is shorter in a header is no secret: hiding it would garble every message.
const MIN_HIDDEN_BYTES: usize = 4;

/// What one exchange knows of its endpoint.
#[derive(Clone)]
pub(super) struct Exchange {
    /// The URL as it may be shown.
    pub shown: String,
    pub model: String,
    /// Where, and which model: who understands what the replies hold.
    pub origin: String,
    /// What no error may repeat: the key, and what is secret in the headers.
    pub secrets: Vec<ApiKey>,
    pub time_limits: TimeLimits,
    pub dialect: Dialect,
}

impl Exchange {
    /// Sends the request and waits until `deadline` for the head of a good reply.
    pub async fn send(&self, sending: Sending, deadline: Instant) -> Result<Response, Error> {
        let head = timeout_at(deadline, self.head(sending)).await;
        head.map_err(|_| self.late(Stage::FirstToken))?
    }

    pub async fn head(&self, mut sending: Sending) -> Result<Response, Error> {
        loop {
            let response = sending.send().await.map_err(|error| self.unreachable(&error))?;
            if response.status().is_success() {
                sending.accepted(&self.model);
                return Ok(response);
            }
            let status = response.status();
            let headers = response.headers().clone();
            let body = Box::pin(error_body(response)).await; // Rare, and large.
            let error = chat::error_in(&body);
            let text = String::from_utf8_lossy(&body);
            if !sending.give_up(status.as_u16(), error.as_ref(), &text) {
                return Err(self.refused(status, &headers, error, &text));
            }
        }
    }

    fn refused(
        &self,
        status: StatusCode,
        headers: &HeaderMap,
        said: Option<ApiError>,
        body: &str,
    ) -> Error {
        let meaning = meaning(status.as_u16(), said.as_ref());
        let retry_after = retry_after::hint(headers, said.as_ref(), body, SystemTime::now());
        let message = match said {
            Some(error) => error.message,
            None if body.is_empty() => status.to_string(),
            None => excerpt(&self.without_secrets(body.to_owned())),
        };
        self.classified(meaning, status.as_u16(), retry_after, message)
    }

    fn classified(
        &self,
        meaning: Meaning,
        status: u16,
        retry_after: Option<Duration>,
        message: String,
    ) -> Error {
        let (url, message) = (self.shown.clone(), self.without_secrets(message));
        match meaning {
            Meaning::KeyRefused => Error::KeyRefused { url, message },
            Meaning::NoCredit => Error::NoCredit { url, message },
            Meaning::UnknownModel => {
                Error::UnknownModel { url, model: self.model.clone(), message }
            }
            Meaning::RateLimited => Error::RateLimited { url, message, retry_after },
            Meaning::BadCall => Error::BadCall { url, message },
            Meaning::Refused => Error::Refused { url, status, message },
            Meaning::TooLong => Error::TooLong { url, status, message },
            Meaning::Failed => Error::Failed { url, status, message, retry_after },
            Meaning::Redirected => Error::Redirected { url, status },
        }
    }

    pub fn wire_error(&self, error: wire::Error) -> Error {
        let url = self.shown.clone();
        match error {
            wire::Error::Api(error) => {
                let (meaning, status) = (meaning(200, Some(&error)), error.status.unwrap_or(200));
                let (headers, now) = (HeaderMap::new(), SystemTime::now());
                let hint = retry_after::hint(&headers, Some(&error), &error.message, now);
                self.classified(meaning, status, hint, error.message)
            }
            wire::Error::Cut { .. } => {
                Error::Cut { url, reason: "it ended before the model had finished".into() }
            }
            error @ (wire::Error::TooLarge { .. } | wire::Error::ReplyTooLarge { .. }) => {
                Error::TooLarge { url, reason: error.to_string() }
            }
            error @ wire::Error::Malformed { .. } => {
                Error::Malformed { url, reason: self.without_secrets(error.to_string()) }
            }
        }
    }

    pub fn unreachable(&self, error: &reqwest::Error) -> Error {
        let url = self.shown.clone();
        if error.is_connect() && error.is_timeout() {
            let limit = self.time_limits.connect;
            return Error::TimedOut { url, stage: Stage::Connect, limit };
        }
        if error.is_connect() {
            return Error::Unreachable { url, reason: chain(error) };
        }
        Error::Cut { url, reason: chain(error) }
    }

    pub fn cut(&self, error: &reqwest::Error) -> Error {
        Error::Cut { url: self.shown.clone(), reason: chain(error) }
    }

    pub fn late(&self, stage: Stage) -> Error {
        let limit = match stage {
            Stage::Connect => self.time_limits.connect,
            Stage::FirstToken => self.time_limits.first_token,
            Stage::Silence => self.time_limits.silence,
        };
        Error::TimedOut { url: self.shown.clone(), stage, limit }
    }

    fn without_secrets(&self, message: String) -> String {
        without_secrets(&self.secrets, message)
    }
}

/// The key of an endpoint, and what is secret in its headers: what no error may repeat.
pub(super) fn secrets(endpoint: &Endpoint) -> Vec<ApiKey> {
    let in_headers = endpoint.headers.iter().flat_map(|header| &header.secrets);
    let in_headers = in_headers.filter(|secret| secret.expose().len() >= MIN_HIDDEN_BYTES);
    endpoint.key.iter().chain(in_headers).cloned().collect()
}

async fn error_body(mut response: Response) -> Vec<u8> {
    let mut body = Vec::new();
    while let Ok(Some(piece)) = response.chunk().await {
        body.extend_from_slice(&piece);
        if body.len() > MAX_ERROR_BYTES {
            body.truncate(MAX_ERROR_BYTES);
            break;
        }
    }
    body
}

/// The innermost cause says most, and none of them the URL, which may hold a secret.
pub(crate) fn chain(error: &reqwest::Error) -> String {
    let mut cause: &dyn std::error::Error = error;
    while let Some(source) = cause.source() {
        cause = source;
    }
    if std::ptr::addr_eq(cause, std::ptr::from_ref(error)) {
        return "the exchange failed".into();
    }
    cause.to_string()
}

fn excerpt(text: &str) -> String {
    let line = text.split_whitespace().collect::<Vec<_>>().join(" ");
    line.chars().take(200).collect()
}

#[cfg(test)]
mod tests {
    use super::super::Header;
    use super::*;

    fn shown(key: Option<&str>, headers: &[&str], message: &str) -> String {
        let header = |value: &&str| Header {
            name: "x".into(),
            value: ApiKey::new(*value),
            secrets: vec![ApiKey::new(*value)],
        };
        let endpoint = Endpoint {
            key: key.map(ApiKey::new),
            headers: headers.iter().map(header).collect(),
            ..Endpoint::new("http://localhost/v1")
        };
        let exchange = Exchange {
            shown: String::new(),
            model: String::new(),
            origin: String::new(),
            secrets: secrets(&endpoint),
            time_limits: endpoint.time_limits,
            dialect: endpoint.dialect,
        };
        exchange.without_secrets(message.to_owned())
    }

    #[test]
    fn a_secret_within_another_does_not_give_the_rest_away() {
        let headers = ["acme", "sk-acme-8f3c21", "8f3c21-tail"];
        for (message, expected) in [
            ("key sk-acme-8f3c21 of acme", "key [secret] of [secret]"),
            ("key sk-acme-8f3c21-tail.", "key [secret]."),
            ("acmeacme", "[secret][secret]"),
            ("cut in sk-acme-8f3", "cut in [secret]"),
            ("none", "none"),
        ] {
            assert_eq!(shown(None, &headers, message), expected);
            let reversed = [headers[2], headers[1], headers[0]];
            assert_eq!(shown(None, &reversed, message), expected);
        }
    }

    #[test]
    fn a_word_too_short_for_a_secret_is_hidden_only_if_it_is_the_key() {
        assert_eq!(shown(None, &["a", "on", ""], "a call is on"), "a call is on");
        assert_eq!(shown(Some("on"), &[], "a call is on"), "a call is [secret]");
    }
}
