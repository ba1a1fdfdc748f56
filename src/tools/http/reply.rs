//! What a reply says: the result of the call, or why there is none.

use std::time::SystemTime;

use reqwest::header::{CONTENT_ENCODING, CONTENT_TYPE, HeaderMap};
use reqwest::{Method, Response, StatusCode};

use super::plan::Plan;
use crate::model::{self, retry_after};
use crate::tools::Error;

/// How much of the body of a refusal the model is told.
const MAX_REFUSAL_BYTES: usize = 2000;

/// What is text beside `text/…`, `…+json` and `…+xml`.
const TEXTS: [&str; 9] = [
    "application/ecmascript",
    "application/graphql",
    "application/javascript",
    "application/json",
    "application/sql",
    "application/x-ndjson",
    "application/x-www-form-urlencoded",
    "application/xml",
    "application/yaml",
];

/// What is not text, whatever its bytes are.
const BINARIES: [&str; 7] = [
    "application/octet-stream",
    "application/pdf",
    "application/zip",
    "audio/",
    "font/",
    "image/",
    "video/",
];

impl Plan {
    /// The result in a reply of success.
    pub(super) async fn result(&self, response: Response) -> Result<String, Error> {
        let (status, headers) = (response.status(), response.headers().clone());
        if let Some(encoding) = encoding(&headers) {
            let message = format!("the reply is encoded as {encoding}, which was not asked for");
            return Err(Error::permanent(message));
        }
        let body = self.body(response).await?;
        if let Some(pointer) = &self.pointer {
            let text = String::from_utf8_lossy(&body);
            let result =
                pointer.follow(&text).map_err(|problem| Error::permanent(self.shown(problem)))?;
            return Ok(self.shown(result));
        }
        if body.is_empty() {
            return Ok(format!("{status}, without a body"));
        }
        Ok(match text_in(&headers, body) {
            Ok(text) => self.shown(text),
            Err(description) => description,
        })
    }

    /// Why a reply is no success.
    pub(super) async fn refusal(&self, mut response: Response) -> Error {
        let (status, headers) = (response.status(), response.headers().clone());
        let mut body = Vec::new();
        while body.len() <= MAX_REFUSAL_BYTES
            && let Ok(Some(piece)) = response.chunk().await
        {
            body.extend_from_slice(&piece[..piece.len().min(MAX_REFUSAL_BYTES + 1)]);
        }
        let is_cut = body.len() > MAX_REFUSAL_BYTES;
        body.truncate(MAX_REFUSAL_BYTES);
        let said = match (body.is_empty(), encoding(&headers)) {
            (true, _) => String::new(),
            (false, Some(encoding)) => format!(": a body encoded as {encoding}"),
            (false, None) => match text_in(&headers, body) {
                Ok(text) => {
                    let line = text.split_whitespace().collect::<Vec<_>>().join(" ");
                    // Before the mark: a secret that is cut is known by standing at the end.
                    let line = self.shown(line);
                    format!(": {line}{}", if is_cut { " …" } else { "" })
                }
                Err(description) => {
                    format!(": {description}{}", if is_cut { " or more" } else { "" })
                }
            },
        };
        let message = self.shown(format!("the server answered {status}{said}"));
        if !is_worth_a_retry(status) {
            return Error::permanent(message);
        }
        let error = Error::new(message);
        match retry_after::hint(&headers, None, "", SystemTime::now()) {
            Some(rest) => error.retry_after(rest),
            None => error,
        }
    }

    /// The whole body, if it is not too large. No more of it than that is ever held.
    async fn body(&self, mut response: Response) -> Result<Vec<u8>, Error> {
        let most = self.max_response_bytes;
        let too_large = |has: &str| {
            Error::permanent(format!(
                "the reply has {has} than {most} bytes (`max_response_bytes`)"
            ))
        };
        let is_head = self.method == Method::HEAD; // Its length is that of a body that does not come.
        if let Some(length) = response.content_length().filter(|_| !is_head)
            && usize::try_from(length).unwrap_or(usize::MAX) > most
        {
            return Err(too_large(&format!("{length} bytes, more")));
        }
        let mut body = Vec::new();
        loop {
            match response.chunk().await {
                Ok(Some(piece)) if body.len() + piece.len() > most => {
                    return Err(too_large("more"));
                }
                Ok(Some(piece)) => body.extend_from_slice(&piece),
                Ok(None) => return Ok(body),
                Err(error) => {
                    let reason = model::cause_of(&error);
                    return Err(Error::lost(format!("the reply broke off: {reason}")));
                }
            }
        }
    }

    /// A text without what is secret.
    pub(super) fn shown(&self, text: String) -> String {
        model::without_secrets(&self.hidden, text)
    }
}

fn is_worth_a_retry(status: StatusCode) -> bool {
    matches!(status.as_u16(), 408 | 425 | 429) || status.is_server_error()
}

fn encoding(headers: &HeaderMap) -> Option<&str> {
    let encoding = headers.get(CONTENT_ENCODING)?.to_str().unwrap_or("something");
    Some(encoding).filter(|encoding| !matches!(*encoding, "" | "identity"))
}

/// The text in a body, or what is in it instead.
fn text_in(headers: &HeaderMap, body: Vec<u8>) -> Result<String, String> {
    let kind = headers.get(CONTENT_TYPE).and_then(|kind| kind.to_str().ok()).unwrap_or_default();
    let kind = kind.split(';').next().unwrap_or_default().trim().to_ascii_lowercase();
    let is_text = kind.starts_with("text/")
        || kind.ends_with("+json")
        || kind.ends_with("+xml")
        || TEXTS.contains(&&*kind);
    if is_text {
        return Ok(String::from_utf8_lossy(&body).into_owned());
    }
    let described = |bytes: usize| {
        let kind = if kind.is_empty() { "no content type" } else { &kind };
        format!("{kind}, {bytes} bytes")
    };
    if BINARIES.iter().any(|binary| kind.starts_with(binary)) {
        return Err(described(body.len()));
    }
    let is_plain =
        |text: &String| !text.contains(|c: char| c.is_control() && !"\t\r\n".contains(c));
    let bytes = body.len();
    String::from_utf8(body).ok().filter(is_plain).ok_or_else(|| described(bytes))
}

#[cfg(test)]
mod tests {
    use reqwest::header::HeaderValue;

    use super::*;

    #[test]
    fn a_body_is_text_by_its_type_or_else_by_its_bytes() {
        for (kind, body, expected) in [
            ("text/plain; charset=utf-8", &b"a\xffb"[..], Ok("a\u{fffd}b")),
            ("application/problem+json", b"{}", Ok("{}")),
            ("image/svg+xml", b"<svg/>", Ok("<svg/>")),
            ("Application/JSON", b"1", Ok("1")),
            ("image/png", b"text", Err("image/png, 4 bytes")),
            ("application/octet-stream", b"text", Err("application/octet-stream, 4 bytes")),
            ("application/x-unknown", b"te\nxt", Ok("te\nxt")),
            ("application/x-unknown", b"te\0xt", Err("application/x-unknown, 5 bytes")),
            ("", b"text", Ok("text")),
            ("", b"\xff\xfe", Err("no content type, 2 bytes")),
        ] {
            let headers = [(CONTENT_TYPE, HeaderValue::from_static(kind))].into_iter().collect();
            let found = text_in(&headers, body.to_vec());
            let expected = expected.map(str::to_owned).map_err(str::to_owned);
            assert_eq!(found, expected, "{kind}");
        }
    }
}
