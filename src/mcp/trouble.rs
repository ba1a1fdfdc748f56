//! What the protocol library's errors come to: a line for people, and what may have happened.

use std::error::Error as StdError;
use std::time::Duration;

use rmcp::model::ErrorCode;
use rmcp::service::{ClientInitializeError, ServiceError};
use rmcp::transport::DynamicTransportError;
use rmcp::transport::streamable_http_client::StreamableHttpError;

use super::lines::TOO_LARGE;
use crate::tools::Error;

/// Over HTTP.
type HttpError = StreamableHttpError<reqwest::Error>;

/// A call that came to no answer of its tool.
pub(super) enum Failed {
    /// The connection is of no use any more.
    Line(Error),
    /// It is none the worse.
    Call(Error),
}

impl Failed {
    pub fn into_error(self) -> Error {
        match self {
            Self::Line(error) | Self::Call(error) => error,
        }
    }
}

/// The server `name` was gone before the request.
pub(super) fn unreached(name: &str) -> Error {
    let message = format!("the server `{name}` has just ended; nothing was run");
    Error::unreachable(message).code("server_unavailable")
}

/// The server `name` has gone with the request.
pub(super) fn lost(name: &str) -> Error {
    let message = format!("the server `{name}` ended in the middle of the call");
    Error::lost(message).code("server_lost")
}

/// What a call of the server `name` that failed with `error` is to be answered.
pub(super) fn failed(name: &str, error: ServiceError) -> Failed {
    let error = match error {
        ServiceError::McpError(error) if error.code == ErrorCode::INVALID_PARAMS => {
            Error::bad_arguments(error.message)
        }
        ServiceError::McpError(error) if error.code.0 == TOO_LARGE => {
            Error::permanent(error.message).code("too_large")
        }
        ServiceError::McpError(error) if error.code == ErrorCode::METHOD_NOT_FOUND => {
            Error::permanent(error.message).code("protocol_error")
        }
        ServiceError::McpError(error) => Error::new(error.message),
        ServiceError::TransportClosed => lost(name),
        ServiceError::Cancelled { .. } => {
            let message = format!("the server `{name}` cancelled the call");
            Error::new(message).code("server_cancelled")
        }
        ServiceError::TransportSend(error) => return not_sent(name, &error),
        error => Error::new(chain(&error)).code("protocol_error"),
    };
    Failed::Call(error)
}

/// A request that the transport could not bring to its answer.
fn not_sent(name: &str, error: &DynamicTransportError) -> Failed {
    let why = transport(error);
    let lost = |why: &str| {
        let message = format!("the connection to the server `{name}` broke: {why}");
        Error::lost(message).code("server_lost")
    };
    let Some(http) = error.error.downcast_ref::<HttpError>() else {
        return Failed::Line(lost(&why)); // It does not read any more.
    };
    let says = format!("the server `{name}` {why}");
    match http {
        HttpError::Client(error) if error.is_connect() => {
            Failed::Line(Error::unreachable(says).code("server_unavailable"))
        }
        HttpError::HttpStatus(status) => {
            let seconds = status.retry_after.as_ref().and_then(|after| after.parse().ok());
            let error = Error::new(says).code("server_busy");
            Failed::Call(match seconds.map(Duration::from_secs) {
                Some(rest) => error.retry_after(rest),
                None => error,
            })
        }
        HttpError::ResponseBodyTooLarge { .. } => {
            Failed::Call(Error::permanent(says).code("too_large"))
        }
        HttpError::AuthRequired(_) | HttpError::InsufficientScope(_) => {
            Failed::Call(Error::permanent(says).code("key_refused"))
        }
        HttpError::UnexpectedServerResponse(_) | HttpError::UnexpectedContentType(_) => {
            Failed::Call(Error::new(says).code("protocol_error"))
        }
        // One request has broken, and says nothing of the others.
        _ => Failed::Call(lost(&why)),
    }
}

/// Why a connection could not be opened, in a line.
pub(super) fn not_opened(error: &ClientInitializeError) -> String {
    match error {
        ClientInitializeError::TransportError { error, .. } => format!("it {}", transport(error)),
        ClientInitializeError::LegacyFallbackFailed { fallback, .. } => not_opened(fallback),
        ClientInitializeError::ConnectionClosed(_) => "it closed the connection".to_owned(),
        ClientInitializeError::JsonRpcError(error) => {
            format!("it refuses the connection: {}", error.message)
        }
        ClientInitializeError::NoCompatibleProtocolVersion { .. } => {
            "it speaks no revision of the protocol that is known here".to_owned()
        }
        error => {
            let said = chain(error);
            let end = said.char_indices().nth(300).map_or(said.len(), |(end, _)| end);
            format!("it does not speak the protocol: {}", &said[..end])
        }
    }
}

/// What happened to a request, as the end of a sentence about its server.
fn transport(error: &DynamicTransportError) -> String {
    let Some(http) = error.error.downcast_ref::<HttpError>() else {
        return format!("cannot be written to: {}", chain(&*error.error));
    };
    match http {
        HttpError::Client(error) if error.is_connect() => {
            format!("cannot be reached: {}", deepest(error))
        }
        HttpError::Client(error) => format!("broke the connection: {}", deepest(error)),
        HttpError::HttpStatus(status) => format!("answers HTTP {}", status.status),
        HttpError::AuthRequired(_) => "asks for another key".to_owned(),
        HttpError::InsufficientScope(_) => "does not let this key do that".to_owned(),
        HttpError::ResponseBodyTooLarge { max_size } => {
            format!("answers more than {max_size} bytes")
        }
        other => format!("answers what cannot be understood: {}", chain(other)),
    }
}

/// An error and its causes in a line, none said twice.
pub(super) fn chain(error: &(dyn StdError + 'static)) -> String {
    let mut said = error.to_string();
    let mut next = error.source();
    while let Some(cause) = next {
        let cause_said = cause.to_string();
        if !said.contains(&cause_said) {
            said = format!("{said}: {cause_said}");
        }
        next = cause.source();
    }
    said
}

/// The first cause, which says most: those above it repeat the URL, which may hold a secret.
fn deepest(error: &(dyn StdError + 'static)) -> String {
    let mut last = error;
    while let Some(cause) = last.source() {
        last = cause;
    }
    last.to_string()
}
