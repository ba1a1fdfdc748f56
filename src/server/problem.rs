//! What goes wrong, as clients are told it: RFC 9457, or OpenAI's shape where that is spoken.

use std::fmt;

use actix_web::body::BoxBody;
use actix_web::http::StatusCode;
use actix_web::http::header::{ContentType, HeaderValue, RETRY_AFTER, WWW_AUTHENTICATE};
use actix_web::{HttpResponse, ResponseError};
use serde::Serialize;
use serde_json::json;
use utoipa::ToSchema;

use crate::session::{Cause, DecideError, Error};
use crate::{conversation::NotDecided, store};

/// Why a request came to nothing.
#[derive(Clone, Debug, Serialize, ToSchema)]
pub struct Problem {
    /// Always `about:blank`: `code` says which it is.
    #[serde(rename = "type")]
    kind: &'static str,
    /// The words of the status.
    title: &'static str,
    /// That of the response.
    status: u16,
    /// Which it is, for programs.
    code: &'static str,
    /// One line for people.
    detail: String,
    /// After so many seconds it may go better.
    #[serde(skip)]
    retry_after: Option<u64>,
    /// The part of the request that it is about, where the words have a place for it.
    #[serde(skip)]
    param: Option<String>,
    /// Asking again would do again what was done.
    #[serde(skip)]
    is_final: bool,
    /// In the words of another API.
    #[serde(skip)]
    shape: Shape,
}

/// In which words clients expect to be told of it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) enum Shape {
    /// RFC 9457.
    #[default]
    Problem,
    /// Those of OpenAI's API.
    OpenAi,
}

impl Problem {
    pub(super) fn new(status: StatusCode, code: &'static str, detail: impl Into<String>) -> Self {
        let title = status.canonical_reason().unwrap_or("Error");
        let (status, detail) = (status.as_u16(), detail.into());
        let (kind, retry_after, shape) = ("about:blank", None, Shape::Problem);
        let (param, is_final) = (None, false);
        Self { kind, title, status, code, detail, retry_after, param, is_final, shape }
    }

    pub(super) fn bad_request(code: &'static str, detail: impl Into<String>) -> Self {
        Self::new(StatusCode::BAD_REQUEST, code, detail)
    }

    pub(super) fn not_found(what: &str) -> Self {
        Self::new(StatusCode::NOT_FOUND, "not_found", format!("no such {what}"))
    }

    pub(super) fn conflict(code: &'static str, detail: impl Into<String>) -> Self {
        Self::new(StatusCode::CONFLICT, code, detail)
    }

    pub(super) fn unauthorized() -> Self {
        Self::new(StatusCode::UNAUTHORIZED, "unauthorized", "a bearer token is needed")
    }

    pub(super) fn overloaded(detail: impl Into<String>, retry_after: u64) -> Self {
        let problem = Self::new(StatusCode::TOO_MANY_REQUESTS, "overloaded", detail);
        Self { retry_after: Some(retry_after), ..problem }
    }

    pub(super) fn shutting_down() -> Self {
        let detail = "the server is shutting down";
        let problem = Self::new(StatusCode::SERVICE_UNAVAILABLE, "shutting_down", detail);
        Self { retry_after: Some(5), ..problem }
    }

    pub(super) fn internal() -> Self {
        let detail = "the server failed; its log says more";
        Self::new(StatusCode::INTERNAL_SERVER_ERROR, "internal", detail)
    }

    /// The same of this part of the request.
    pub(super) fn about(self, param: impl Into<String>) -> Self {
        Self { param: Some(param.into()), ..self }
    }

    /// The same where the client must not ask again by itself.
    pub(super) fn not_again(self) -> Self {
        Self { retry_after: None, is_final: true, ..self }
    }

    /// The same in other words.
    pub(super) fn shaped(self, shape: Shape) -> Self {
        Self { shape, ..self }
    }

    /// As OpenAI's API has it.
    pub(super) fn open_ai(&self) -> serde_json::Value {
        let kind = match self.status {
            401 => "authentication_error",
            403 => "permission_error",
            404 => "not_found_error",
            429 => "rate_limit_error",
            500.. => "server_error",
            _ => "invalid_request_error",
        };
        let error =
            json!({"message": self.detail, "type": kind, "param": self.param, "code": self.code});
        json!({"error": error})
    }

    pub(super) fn response(&self) -> HttpResponse<BoxBody> {
        let status = StatusCode::from_u16(self.status).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
        let mut response = HttpResponse::build(status);
        if let Some(seconds) = self.retry_after {
            response.insert_header((RETRY_AFTER, seconds));
        }
        if status == StatusCode::UNAUTHORIZED {
            response.insert_header((WWW_AUTHENTICATE, HeaderValue::from_static("Bearer")));
        }
        let body = match self.shape {
            Shape::Problem => {
                response.insert_header(("content-type", "application/problem+json"));
                serde_json::to_string(self).unwrap_or_default()
            }
            Shape::OpenAi => {
                response.insert_header(ContentType::json());
                // A repeat would run tools again, or be refused again.
                let repeats = matches!(self.status, 429 | 503) && !self.is_final;
                response.insert_header(("x-should-retry", if repeats { "true" } else { "false" }));
                self.open_ai().to_string()
            }
        };
        response.body(body)
    }
}

impl fmt::Display for Problem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} {}: {}", self.status, self.code, self.detail)
    }
}

impl ResponseError for Problem {
    fn status_code(&self) -> StatusCode {
        StatusCode::from_u16(self.status).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR)
    }

    fn error_response(&self) -> HttpResponse<BoxBody> {
        self.response()
    }
}

impl From<store::Error> for Problem {
    fn from(error: store::Error) -> Self {
        let detail = error.to_string();
        match error {
            store::Error::NotFound { .. } => Self::not_found("session"),
            store::Error::Exists { .. } => Self::conflict("exists", detail),
            store::Error::Busy { .. }
            | store::Error::Fenced { .. }
            | store::Error::Conflict { .. } => Self::conflict("owned_elsewhere", detail),
            _ => {
                tracing::error!(error = detail, "the store failed");
                let detail = "the store failed; the server's log says more";
                let problem = Self::new(StatusCode::SERVICE_UNAVAILABLE, "store_failed", detail);
                Self { retry_after: Some(1), ..problem }
            }
        }
    }
}

/// A question that did not begin. What began has a document.
impl From<Error> for Problem {
    fn from(error: Error) -> Self {
        let detail = error.to_string();
        match error {
            Error::Busy => Self::conflict(
                "busy",
                "another turn of the session is under way; cancel it or wait",
            ),
            Error::EmptyPrompt => Self::new(StatusCode::UNPROCESSABLE_ENTITY, "empty", detail),
            Error::ShuttingDown => Self::shutting_down(),
            Error::NoAnswer => Self::conflict("nothing_to_resume", detail),
            Error::Store(error) => error.into(),
            Error::Budget(_) => Self::conflict("budget", detail),
            Error::Closed => Self::new(StatusCode::SERVICE_UNAVAILABLE, "closed", detail),
            Error::Turn(failed) => match failed.cause {
                Cause::ShutDown => Self::shutting_down(),
                Cause::Store(error) => error.into(),
                _ => Self::new(StatusCode::BAD_GATEWAY, failed.cause.code(), detail),
            },
        }
    }
}

impl From<DecideError> for Problem {
    fn from(error: DecideError) -> Self {
        let detail = error.to_string();
        match error {
            DecideError::NotDecided(NotDecided::NotWaiting) => {
                Self::new(StatusCode::NOT_FOUND, "not_waiting", detail)
            }
            DecideError::NotDecided(NotDecided::Already) => {
                Self::conflict("already_decided", detail)
            }
            DecideError::NotDecided(NotDecided::BadArguments { .. }) => {
                Self::new(StatusCode::UNPROCESSABLE_ENTITY, "bad_arguments", detail)
            }
            DecideError::NotDecided(NotDecided::WrongPlace) => {
                Self::conflict("wrong_place", detail)
            }
            DecideError::Store(error) => error.into(),
            DecideError::Closed => Self::new(StatusCode::SERVICE_UNAVAILABLE, "closed", detail),
        }
    }
}
