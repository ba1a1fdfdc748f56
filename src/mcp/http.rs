//! Requests over HTTP. An answer that says whose it is not would leave its call waiting for ever:
//! here it is known.

use std::collections::HashMap;
use std::sync::Arc;

use futures_util::StreamExt;
use futures_util::stream::BoxStream;
use reqwest::header::{HeaderName, HeaderValue};
use rmcp::model::{ClientJsonRpcMessage, JsonRpcMessage, RequestId, ServerJsonRpcMessage};
use rmcp::transport::streamable_http_client::{
    StreamableHttpClient, StreamableHttpError, StreamableHttpPostResponse,
    StreamableHttpResponseLimits,
};
use sse_stream::{Error as SseError, Sse};

use super::lines::too_large;

type Error = StreamableHttpError<reqwest::Error>;
type Headers = HashMap<HeaderName, HeaderValue>;

/// The library's own client, and what it does not heed.
#[derive(Clone)]
pub(super) struct Posting(pub reqwest::Client);

impl StreamableHttpClient for Posting {
    type Error = reqwest::Error;

    async fn post_message(
        &self,
        uri: Arc<str>,
        message: ClientJsonRpcMessage,
        session: Option<Arc<str>>,
        key: Option<String>,
        headers: Headers,
    ) -> Result<StreamableHttpPostResponse, Error> {
        let limits = StreamableHttpResponseLimits::default();
        self.post_message_with_response_limits(uri, message, session, key, headers, limits).await
    }

    async fn post_message_with_response_limits(
        &self,
        uri: Arc<str>,
        message: ClientJsonRpcMessage,
        session: Option<Arc<str>>,
        key: Option<String>,
        headers: Headers,
        limits: StreamableHttpResponseLimits,
    ) -> Result<StreamableHttpPostResponse, Error> {
        let asked = match &message {
            JsonRpcMessage::Request(request) => Some(request.id.clone()),
            _ => None,
        };
        let has_session = session.is_some();
        let answer = self
            .0
            .post_message_with_response_limits(uri, message, session, key, headers, limits)
            .await
            .map_err(placeless)?;
        match (asked, answer) {
            (Some(id), StreamableHttpPostResponse::Json(answer, its_session)) => Ok(
                StreamableHttpPostResponse::Json(answering(id, has_session, answer)?, its_session),
            ),
            (Some(id), StreamableHttpPostResponse::Sse(events, its_session)) => {
                let max = limits.max_sse_event_size;
                let events =
                    events.map(move |event| event.or_else(|error| refused(&id, max, error)));
                Ok(StreamableHttpPostResponse::Sse(events.boxed(), its_session))
            }
            (_, answer) => Ok(answer),
        }
    }

    async fn delete_session(
        &self,
        uri: Arc<str>,
        session: Arc<str>,
        key: Option<String>,
        headers: Headers,
    ) -> Result<(), Error> {
        self.0.delete_session(uri, session, key, headers).await.map_err(placeless)
    }

    async fn get_stream(
        &self,
        uri: Arc<str>,
        session: Option<Arc<str>>,
        last_event: Option<String>,
        key: Option<String>,
        headers: Headers,
    ) -> Result<BoxStream<'static, Result<Sse, SseError>>, Error> {
        self.0.get_stream(uri, session, last_event, key, headers).await.map_err(placeless)
    }

    async fn get_stream_with_max_sse_event_size(
        &self,
        uri: Arc<str>,
        session: Option<Arc<str>>,
        last_event: Option<String>,
        key: Option<String>,
        headers: Headers,
        max: usize,
    ) -> Result<BoxStream<'static, Result<Sse, SseError>>, Error> {
        let stream =
            self.0.get_stream_with_max_sse_event_size(uri, session, last_event, key, headers, max);
        stream.await.map_err(placeless)
    }
}

/// The error without its URL, which may hold a secret.
fn placeless(error: Error) -> Error {
    match error {
        StreamableHttpError::Client(error) => StreamableHttpError::Client(error.without_url()),
        error => error,
    }
}

/// In place of an event that is too large, which ends the stream that was to answer the request `id`: an
/// answer that says so. As it is the request would be taken for lost with its connection.
fn refused(id: &RequestId, max: usize, error: SseError) -> Result<Sse, SseError> {
    match &error {
        SseError::Body(cause) if cause.to_string().contains("exceeded the maximum size") => {
            Ok(Sse::default().data(too_large(&serde_json::json!(id), max).to_string()))
        }
        _ => Err(error),
    }
}

/// The answer to the request `id`, which had a session or not. An error without an id is one all the
/// same; to a request with a session it is how servers say, that should say 404, that they know of no
/// such session: they have been started anew.
fn answering(
    id: RequestId,
    has_session: bool,
    answer: ServerJsonRpcMessage,
) -> Result<ServerJsonRpcMessage, Error> {
    match answer {
        JsonRpcMessage::Error(error) if error.id.is_none() && has_session => {
            Err(StreamableHttpError::SessionExpired)
        }
        JsonRpcMessage::Error(mut error) if error.id.is_none() => {
            error.id = Some(id);
            Ok(JsonRpcMessage::Error(error))
        }
        answer => Ok(answer),
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn answer(has_session: bool, answer: serde_json::Value) -> Option<serde_json::Value> {
        let answer = serde_json::from_value(answer).expect("it is a message");
        let answer = answering(RequestId::Number(7), has_session, answer).ok()?;
        Some(serde_json::to_value(answer).expect("it is JSON"))
    }

    #[test]
    fn an_error_without_an_id_is_the_answer_to_the_request_or_the_end_of_its_session() {
        let error = |id: serde_json::Value| {
            json!({"jsonrpc": "2.0", "id": id,
            "error": {"code": -32000, "message": "no valid session"}})
        };
        let without = error(serde_json::Value::Null);
        assert_eq!(answer(true, without.clone()), None);
        assert_eq!(answer(false, without), Some(error(json!(7))));
        assert_eq!(answer(true, error(json!(8))), Some(error(json!(8))));
    }
}
