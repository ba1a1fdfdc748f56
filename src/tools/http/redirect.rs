//! Where a redirect may lead: to the same origin, and only where the request stays what it was.

use reqwest::header::{HeaderMap, LOCATION};
use reqwest::{Method, StatusCode, Url};

use super::resolver::Resolver;
use crate::tools::Error;

/// How many redirects one call follows.
pub(super) const MAX_REDIRECTS: usize = 5;

/// Where the reply with this head to a request to `from` sends it; `None` if it is no redirect.
///
/// # Errors
/// The call is denied: the redirect leads elsewhere, or would make another request of it.
pub(super) fn target(
    method: &Method,
    from: &Url,
    (status, headers): (StatusCode, &HeaderMap),
    resolver: &Resolver,
) -> Result<Option<Url>, Error> {
    let keeps_method = match status.as_u16() {
        307 | 308 => true,
        301..=303 => matches!(*method, Method::GET | Method::HEAD),
        _ => return Ok(None),
    };
    let Some(location) = headers.get(LOCATION) else { return Ok(None) };
    let location = location.to_str().ok().and_then(|location| from.join(location).ok());
    let Some(mut target) = location else {
        return Err(refused(status, "to what is no URL"));
    };
    if let Err(private) = resolver.check_literal(&target) {
        return Err(private.denied());
    }
    if target.origin() != from.origin() {
        let elsewhere = target.origin().ascii_serialization();
        return Err(refused(status, &format!("to another origin, {elsewhere}")));
    }
    if !target.username().is_empty() || target.password().is_some() {
        return Err(refused(status, "with a user or a password in the URL"));
    }
    if !keeps_method {
        let message =
            format!("a {method} with another request; what was asked for may have happened");
        return Err(refused(status, &message));
    }
    target.set_fragment(None);
    Ok(Some(target))
}

/// There were too many.
pub(super) fn too_many(status: StatusCode) -> Error {
    refused(status, &format!("more than {MAX_REDIRECTS} times"))
}

fn refused(status: StatusCode, how: &str) -> Error {
    let message = format!("the server redirects ({}) {how}; not followed", status.as_u16());
    Error::denied(message).code("redirect_refused")
}
