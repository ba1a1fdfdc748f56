//! What every request passes: where it comes from, who sends it, and what its answer carries.

use std::fmt;
use std::panic::AssertUnwindSafe;

use actix_web::body::{self, BodySize, BoxBody, MessageBody, SizedStream};
use actix_web::dev::{ServiceRequest, ServiceResponse};
use actix_web::http::header::{
    AUTHORIZATION, CACHE_CONTROL, CONTENT_SECURITY_POLICY, HOST, HeaderMap, HeaderName,
    HeaderValue, ORIGIN, REFERRER_POLICY, X_CONTENT_TYPE_OPTIONS, X_FRAME_OPTIONS,
};
use actix_web::http::{Method, StatusCode};
use actix_web::middleware::Next;
use actix_web::web::{Bytes, Data};
use actix_web::{Error, HttpMessage, HttpResponse, ResponseError};
use futures_util::{FutureExt, stream};

use super::Server;
use super::access::Admission;
use super::problem::{Problem, Shape};

/// What an answer that is no page may do in a browser: nothing.
const NO_PAGE: &str = "default-src 'none'; frame-ancestors 'none'";

/// Of each answer.
const HEADERS: [(HeaderName, &str); 5] = [
    (X_CONTENT_TYPE_OPTIONS, "nosniff"),
    (X_FRAME_OPTIONS, "DENY"),
    (REFERRER_POLICY, "no-referrer"),
    (HeaderName::from_static("cross-origin-resource-policy"), "same-origin"),
    (HeaderName::from_static("cross-origin-opener-policy"), "same-origin"),
];

/// Lets those pass that show a token, where there are any.
pub(super) async fn closed(
    request: ServiceRequest,
    next: Next<impl MessageBody + 'static>,
) -> Result<ServiceResponse<BoxBody>, Error> {
    pass(request, next, true).await
}

/// Lets everybody pass who comes from where the server is meant to be reached from.
pub(super) async fn public(
    request: ServiceRequest,
    next: Next<impl MessageBody + 'static>,
) -> Result<ServiceResponse<BoxBody>, Error> {
    pass(request, next, false).await
}

async fn pass(
    request: ServiceRequest,
    next: Next<impl MessageBody + 'static>,
    needs_token: bool,
) -> Result<ServiceResponse<BoxBody>, Error> {
    let shape = shape_of(&request);
    let is_head = *request.method() == Method::HEAD;
    let refused = match request.app_data::<Data<Server>>().cloned() {
        Some(server) => admit(&server, &request, needs_token).err(),
        None => Some(Problem::internal()), // Mounted without it.
    };
    let mut response = match refused {
        Some(problem) => request.into_response(problem.shaped(shape).response()),
        None => match AssertUnwindSafe(next.call(request)).catch_unwind().await {
            Ok(Ok(response)) => match response.response().error().map(of) {
                Some(problem) => {
                    let (request, _) = response.into_parts();
                    ServiceResponse::new(request, problem.shaped(shape).response())
                }
                None => response.map_into_boxed_body(),
            },
            // The request is gone: a clone of it would be in the way of routing.
            Ok(Err(error)) => return Err(Undressed(of(&error).shaped(shape)).into()),
            Err(_) => {
                tracing::error!("a handler panicked");
                return Err(Undressed(Problem::internal().shaped(shape)).into());
            }
        },
    };
    dress(response.headers_mut());
    Ok(if is_head { response.map_body(|_, body| left_out(&body)) } else { response })
}

/// What stands for `body` where it was not asked for (RFC 9110, 9.3.2): its length, if it has one. A stream
/// ends with it.
fn left_out(body: &BoxBody) -> BoxBody {
    match body.size() {
        BodySize::Sized(length) => {
            BoxBody::new(SizedStream::new(length, stream::empty::<Result<Bytes, Error>>()))
        }
        BodySize::None | BodySize::Stream => BoxBody::new(body::None::new()),
    }
}

/// A problem whose answer is made where no request is at hand.
#[derive(Debug)]
struct Undressed(Problem);

impl fmt::Display for Undressed {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

impl ResponseError for Undressed {
    fn status_code(&self) -> StatusCode {
        self.0.status_code()
    }

    fn error_response(&self) -> HttpResponse<BoxBody> {
        let mut response = self.0.response();
        dress(response.headers_mut());
        response
    }
}

/// What a handler says, or another library.
fn of(error: &Error) -> Problem {
    if let Some(problem) = error.as_error::<Problem>() {
        return problem.clone();
    }
    match error.as_response_error().status_code() {
        status if status.is_client_error() => {
            Problem::new(status, "bad_request", error.to_string())
        }
        _ => Problem::internal(),
    }
}

fn shape_of(request: &ServiceRequest) -> Shape {
    let path = request.path();
    let is_theirs = path.ends_with("/v1/chat/completions") || path.ends_with("/v1/models");
    match is_theirs || path.contains("/v1/models/") {
        true => Shape::OpenAi,
        false => Shape::Problem,
    }
}

fn admit(server: &Server, request: &ServiceRequest, needs_token: bool) -> Result<(), Problem> {
    let headers = request.headers();
    // The raw header: what a proxy says of itself, anybody can say.
    let host = match headers.get(HOST) {
        Some(host) => host.to_str().unwrap_or_default(),
        // HTTP/2 has no such header.
        None => request.uri().authority().map(|authority| authority.as_str()).unwrap_or_default(),
    };
    if !server.hosts().allow(host) {
        let detail = "the host of the request is not one of this server";
        return Err(Problem::new(StatusCode::MISDIRECTED_REQUEST, "wrong_host", detail));
    }
    // A browser sends it with what another page asks of us.
    if let Some(origin) = headers.get(ORIGIN) {
        let is_own = origin.to_str().is_ok_and(|origin| is_at(origin, host));
        if !is_own {
            let detail = "pages of other origins may not use this server";
            return Err(Problem::new(StatusCode::FORBIDDEN, "wrong_origin", detail));
        }
    }
    if !needs_token {
        return Ok(());
    }
    let shown = headers.get(AUTHORIZATION).map(HeaderValue::as_bytes);
    match server.tokens().admit(shown) {
        Admission::As(owner) => {
            request.extensions_mut().insert(owner);
            Ok(())
        }
        Admission::Refused => Err(Problem::unauthorized()),
        Admission::TooOften(seconds) => {
            Err(Problem::overloaded("too many requests with this token", seconds))
        }
    }
}

/// Says whether the page of `origin` is at `host`.
fn is_at(origin: &str, host: &str) -> bool {
    let rest = origin.strip_prefix("http://").or_else(|| origin.strip_prefix("https://"));
    rest.is_some_and(|rest| !host.is_empty() && rest.eq_ignore_ascii_case(host))
}

fn dress(headers: &mut HeaderMap) {
    for (name, value) in HEADERS {
        headers.insert(name, HeaderValue::from_static(value));
    }
    if !headers.contains_key(CONTENT_SECURITY_POLICY) {
        headers.insert(CONTENT_SECURITY_POLICY, HeaderValue::from_static(NO_PAGE));
    }
    if !headers.contains_key(CACHE_CONTROL) {
        headers.insert(CACHE_CONTROL, HeaderValue::from_static("no-store"));
    }
}

/// The names that the server is reached by.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Hosts {
    /// Any: whoever mounts it looks after that, or the clients need a token, which no page knows.
    Any,
    /// This machine's own names, and these.
    Local(Vec<String>),
}

impl Hosts {
    /// Says whether `host`, a name with or without a port, is one of them. A page whose name was made to
    /// lead here is at none of them.
    fn allow(&self, host: &str) -> bool {
        let Self::Local(others) = self else { return true };
        let name = match host.rsplit_once(':') {
            Some((name, port)) if port.bytes().all(|byte| byte.is_ascii_digit()) => name,
            _ => host,
        };
        let is = |known: &str| name.eq_ignore_ascii_case(known);
        is("localhost") || is("127.0.0.1") || is("[::1]") || others.iter().any(|other| is(other))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_page_that_was_led_here_is_not_at_home() {
        let hosts = Hosts::Local(vec!["box.lan".to_owned()]);
        for host in ["localhost", "LOCALHOST:8787", "127.0.0.1:1", "[::1]:80", "[::1]", "box.lan"] {
            assert!(hosts.allow(host), "{host}");
        }
        for host in ["", "evil.example", "localhost.evil.example", "127.0.0.1.nip.io:8787", "::1"] {
            assert!(!hosts.allow(host), "{host}");
        }
        assert!(Hosts::Any.allow("evil.example"));
    }

    #[test]
    fn an_origin_is_its_hosts_own_or_another() {
        assert!(is_at("http://localhost:8787", "localhost:8787"));
        assert!(is_at("https://Box.lan", "box.lan"));
        for origin in ["null", "", "http://localhost", "http://localhost:8788", "http://evil"] {
            assert!(!is_at(origin, "localhost:8787"), "{origin}");
        }
        assert!(!is_at("http://", ""));
    }
}
