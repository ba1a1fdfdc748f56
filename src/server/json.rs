//! Documents that clients send: read within a limit of bytes and of time.

use std::time::Duration;

use actix_web::dev::Payload;
use actix_web::http::StatusCode;
use actix_web::http::header::CONTENT_TYPE;
use actix_web::web::{Bytes, BytesMut, Data};
use actix_web::{FromRequest, HttpRequest};
use futures_util::StreamExt;
use futures_util::future::LocalBoxFuture;
use serde::de::{DeserializeOwned, Error as _};
use serde::{Deserialize, Deserializer};
use serde_json::value::RawValue;
use tokio::time::timeout;

use super::Server;
use super::problem::Problem;

/// How long a client may take to send a document.
const PATIENCE: Duration = Duration::from_secs(30);

/// The body of a request, as JSON. No body is `{}`.
pub(super) struct Json<T>(pub T);

impl<T: DeserializeOwned + 'static> FromRequest for Json<T> {
    type Error = Problem;
    type Future = LocalBoxFuture<'static, Result<Self, Problem>>;

    fn from_request(request: &HttpRequest, payload: &mut Payload) -> Self::Future {
        let most = request.app_data::<Data<Server>>().map_or(0, |server| server.max_body_bytes());
        let kind = request.headers().get(CONTENT_TYPE).map(|kind| kind.as_bytes().to_vec());
        let payload = payload.take();
        Box::pin(async move {
            if kind.is_some_and(|kind| !is_json(&kind)) {
                let status = StatusCode::UNSUPPORTED_MEDIA_TYPE;
                return Err(Problem::new(status, "not_json", "send application/json"));
            }
            let read = timeout(PATIENCE, read(payload, most)).await;
            let late = || {
                let detail = "the body did not arrive in time";
                Problem::new(StatusCode::REQUEST_TIMEOUT, "timed_out", detail)
            };
            let body = read.unwrap_or_else(|_| Err(late()))?;
            let body: &[u8] = if body.is_empty() { b"{}" } else { &body };
            // A list would be taken for the fields in their order.
            if body.trim_ascii_start().first() != Some(&b'{') {
                return Err(Problem::bad_request("bad_json", "send an object"));
            }
            let value = serde_json::from_slice(body);
            value.map(Self).map_err(|error| Problem::bad_request("bad_json", error.to_string()))
        })
    }
}

/// The text of a JSON object within a document, as it was sent: a number in it may have more digits than
/// one in memory.
#[derive(Debug)]
pub(super) struct ObjectText(Box<RawValue>);

impl ObjectText {
    pub fn get(&self) -> &str {
        self.0.get()
    }
}

impl Default for ObjectText {
    fn default() -> Self {
        Self(RawValue::from_string("{}".to_owned()).unwrap_or_else(|_| RawValue::NULL.to_owned()))
    }
}

impl<'de> Deserialize<'de> for ObjectText {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = Box::<RawValue>::deserialize(deserializer)?;
        match text.get().starts_with('{') {
            true => Ok(Self(text)),
            false => Err(D::Error::custom("the arguments are an object")),
        }
    }
}

async fn read(mut payload: Payload, most: usize) -> Result<Bytes, Problem> {
    let mut body = BytesMut::new();
    while let Some(part) = payload.next().await {
        let cut = |_| Problem::bad_request("bad_body", "the body broke off");
        let part = part.map_err(cut)?;
        if body.len() + part.len() > most {
            let detail = format!("the body has more than {most} bytes");
            return Err(Problem::new(StatusCode::PAYLOAD_TOO_LARGE, "too_large", detail));
        }
        body.extend_from_slice(&part);
    }
    Ok(body.freeze())
}

fn is_json(kind: &[u8]) -> bool {
    let kind = kind.split(|byte| *byte == b';').next().unwrap_or_default().trim_ascii();
    kind.eq_ignore_ascii_case(b"application/json") || kind.to_ascii_lowercase().ends_with(b"+json")
}
