//! A model behind a Chat Completions endpoint.

use std::collections::{HashMap, VecDeque};
use std::fmt;
use std::sync::{Mutex, PoisonError};
use std::thread::ThreadId;
use std::time::Duration;

use futures_util::{StreamExt, stream};
use reqwest::header::{AUTHORIZATION, CONTENT_TYPE, HeaderMap, HeaderValue, RETRY_AFTER};
use reqwest::{Client, Response, StatusCode, Url};
use rustls_platform_verifier::BuilderVerifierExt;
use tokio::time::{Instant, timeout, timeout_at};

use super::{ApiKey, Error, Event, Events, Model, Request, Stage};
use crate::wire::{self, StreamDecoder, StreamEvent, chat};

/// How long a rest of a reply may take to arrive once it is complete, before its connection is
/// given up.
const TAIL_TIME_LIMIT: Duration = Duration::from_secs(1);

/// How often other tasks have their turn before the end of a reply counts as late.
const TAIL_TURNS: usize = 2;

/// How much of an error's body is read.
const MAX_ERROR_BYTES: usize = 64 * 1024;

/// How much of a key's beginning is no secret, such as `sk-or-v1`.
const MIN_SECRET_BYTES: usize = 9;

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
}

impl Endpoint {
    /// An endpoint without a key, streaming, with the usual limits.
    pub fn new(base_url: impl Into<String>) -> Self {
        Self {
            base_url: base_url.into(),
            key: None,
            stream: true,
            parallel_tool_calls: Some(true),
            time_limits: TimeLimits::default(),
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
            .finish()
    }
}

/// A model behind a Chat Completions endpoint. Each thread that asks has its own connections, so
/// that one blocked arbiter does not stall the requests of another.
pub struct HttpModel {
    name: String,
    endpoint: Endpoint,
    url: Url,
    /// As it may be shown.
    shown: String,
    headers: HeaderMap,
    clients: Mutex<HashMap<ThreadId, Client>>,
}

impl HttpModel {
    /// The model `name` at `endpoint`. Nothing is sent yet.
    ///
    /// # Errors
    /// [`Error::Unreachable`] if the base URL is none; [`Error::KeyRefused`] if the key cannot be sent
    /// in a header.
    pub fn new(endpoint: Endpoint, name: impl Into<String>) -> Result<Self, Error> {
        let unreachable =
            |reason: String| Error::Unreachable { url: masked(&endpoint.base_url), reason };
        let url = Url::parse(&endpoint.base_url);
        let mut url = url.map_err(|error| unreachable(error.to_string()))?;
        if !matches!(url.scheme(), "http" | "https") {
            return Err(unreachable("the URL must begin with http:// or https://".into()));
        }
        url.set_path(&format!("{}/chat/completions", url.path().trim_end_matches('/')));
        let mut headers = HeaderMap::new();
        headers.insert(CONTENT_TYPE, HeaderValue::from_static("application/json"));
        if let Some(key) = &endpoint.key {
            let mut value =
                HeaderValue::try_from(format!("Bearer {}", key.expose())).map_err(|_| {
                    unreachable("the key has characters that no header may hold".into())
                })?;
            value.set_sensitive(true);
            headers.insert(AUTHORIZATION, value);
        }
        let shown = masked(url.as_str());
        let (name, clients) = (name.into(), Mutex::default());
        Ok(Self { name, endpoint, url, shown, headers, clients })
    }

    /// This thread's client.
    fn client(&self) -> Result<Client, Error> {
        let mut clients = self.clients.lock().unwrap_or_else(PoisonError::into_inner);
        let thread = std::thread::current().id();
        if let Some(client) = clients.get(&thread) {
            return Ok(client.clone());
        }
        let client = self.build_client()?;
        clients.insert(thread, client.clone());
        Ok(client)
    }

    fn build_client(&self) -> Result<Client, Error> {
        let unreachable = |reason: String| Error::Unreachable { url: self.shown.clone(), reason };
        let mut builder = Client::builder()
            .tls_backend_preconfigured(self.tls().map_err(|error| unreachable(error.to_string()))?)
            .default_headers(self.headers.clone())
            .redirect(reqwest::redirect::Policy::none()) // A key does not travel on.
            .connect_timeout(self.endpoint.time_limits.connect)
            .tcp_nodelay(true);
        if is_loopback(&self.url) {
            builder = builder.no_proxy();
        }
        builder.build().map_err(|error| unreachable(chain(&error)))
    }

    /// The host's own certificates for `https`; none, which costs nothing, for `http`.
    fn tls(&self) -> Result<rustls::ClientConfig, rustls::Error> {
        let provider = std::sync::Arc::new(rustls::crypto::ring::default_provider());
        let builder = rustls::ClientConfig::builder_with_provider(provider)
            .with_safe_default_protocol_versions()?;
        let builder = if self.url.scheme() == "https" {
            builder.with_platform_verifier()?
        } else {
            builder.with_root_certificates(rustls::RootCertStore::empty())
        };
        Ok(builder.with_no_client_auth())
    }

    fn exchange(&self) -> Exchange {
        Exchange {
            shown: self.shown.clone(),
            model: self.name.clone(),
            key: self.endpoint.key.clone(),
            time_limits: self.endpoint.time_limits,
        }
    }
}

impl fmt::Debug for HttpModel {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("HttpModel")
            .field("name", &self.name)
            .field("endpoint", &self.endpoint)
            .finish_non_exhaustive()
    }
}

impl Model for HttpModel {
    fn name(&self) -> &str {
        &self.name
    }

    fn ask(&self, request: Request<'_>) -> Events {
        let body = chat::Request {
            model: &self.name,
            stream: self.endpoint.stream,
            tools: request.tools,
            messages: request.messages,
            parallel_tool_calls: self.endpoint.parallel_tool_calls,
            tool_choice: None,
        };
        let exchange = self.exchange();
        let client = match self.client() {
            Ok(client) => client,
            Err(error) => return stream::once(std::future::ready(Err(error))).boxed_local(),
        };
        let sending = client.post(self.url.clone()).body(body.write());
        if self.endpoint.stream {
            streamed(exchange, sending)
        } else {
            stream::once(whole(exchange, sending)).boxed_local()
        }
    }
}

/// What one exchange knows of its endpoint.
struct Exchange {
    shown: String,
    model: String,
    key: Option<ApiKey>,
    time_limits: TimeLimits,
}

/// A reply without streaming. One timer serves the whole exchange.
async fn whole(exchange: Exchange, sending: reqwest::RequestBuilder) -> Result<Event, Error> {
    let work = async {
        let response = exchange.head(sending).await?;
        response.bytes().await.map_err(|error| exchange.cut(&error))
    };
    let body = timeout(exchange.time_limits.first_token, work).await;
    let body = body.map_err(|_| exchange.late(Stage::FirstToken))??;
    let reply = chat::decode_reply(&body).map_err(|error| exchange.wire_error(error))?;
    Ok(Event::Reply(Box::new(reply)))
}

/// A streamed reply. A server that does not stream although it was asked to is read all the same.
fn streamed(exchange: Exchange, sending: reqwest::RequestBuilder) -> Events {
    let begin = async move {
        let deadline = Instant::now() + exchange.time_limits.first_token;
        let response = exchange.send(sending, deadline).await?;
        if is_json(&response) {
            let late = |_| exchange.late(Stage::FirstToken);
            let body = timeout_at(deadline, response.bytes()).await.map_err(late)?;
            let body = body.map_err(|error| exchange.cut(&error))?;
            let reply = chat::decode_reply(&body).map_err(|error| exchange.wire_error(error))?;
            return Ok(stream::iter([Ok(Event::Reply(Box::new(reply)))]).left_stream());
        }
        let reading = Reading {
            exchange,
            response: Some(response),
            decoder: Some(StreamDecoder::new()),
            decoded: Vec::new(),
            ready: VecDeque::new(),
            deadline,
            pieces: 0,
        };
        Ok(stream::unfold(reading, Reading::next).right_stream())
    };
    stream::once(begin)
        .flat_map(|begun| match begun {
            Ok(events) => events.left_stream(),
            Err(error) => stream::iter([Err(error)]).right_stream(),
        })
        .boxed_local()
}

/// A streamed reply that is being read.
struct Reading {
    exchange: Exchange,
    response: Option<Response>,
    decoder: Option<StreamDecoder>,
    decoded: Vec<StreamEvent>,
    ready: VecDeque<Result<Event, Error>>,
    deadline: Instant,
    /// How many pieces of the reply had come when the deadline was last moved.
    pieces: u64,
}

impl Reading {
    async fn next(mut self) -> Option<(Result<Event, Error>, Self)> {
        loop {
            if let Some(event) = self.ready.pop_front() {
                return Some((event, self));
            }
            self.decoder.as_ref()?;
            if let Err(error) = self.read().await {
                self.decoder = None;
                self.response = None;
                self.ready.push_back(Err(error));
            }
        }
    }

    /// Reads one piece, and the end if there is one.
    async fn read(&mut self) -> Result<(), Error> {
        let exchange = &self.exchange;
        let (Some(response), Some(decoder)) = (&mut self.response, &mut self.decoder) else {
            return Ok(());
        };
        let stage = if self.pieces > 0 { Stage::Silence } else { Stage::FirstToken };
        let (piece, broken) = match timeout_at(self.deadline, response.chunk()).await {
            Ok(Ok(piece)) => (piece, None),
            Ok(Err(error)) => (None, Some(exchange.cut(&error))),
            Err(_) => (None, Some(exchange.late(stage))),
        };
        let ended = piece.is_none();
        if let Some(piece) = piece {
            decoder.feed(&piece, &mut self.decoded).map_err(|error| exchange.wire_error(error))?;
        }
        if decoder.pieces() > self.pieces {
            // Comments that keep a connection alive are no progress.
            self.deadline = Instant::now() + exchange.time_limits.silence;
            if self.pieces == 0 {
                self.ready.push_back(Ok(Event::Began));
            }
            self.pieces = decoder.pieces();
        }
        for event in self.decoded.drain(..) {
            match event {
                StreamEvent::Text(text) => self.ready.push_back(Ok(Event::Text(text))),
                StreamEvent::Reasoning(text) => self.ready.push_back(Ok(Event::Reasoning(text))),
                StreamEvent::CallOpened { .. }
                | StreamEvent::CallClosed { .. }
                | StreamEvent::CallSealed { .. }
                | StreamEvent::LateArguments { .. } => {}
            }
        }
        if ended || decoder.done() {
            if let Some(response) = self.response.take().filter(|_| !ended) {
                keep_alive(response).await;
            }
            if let Some(decoder) = self.decoder.take() {
                let reply = match (decoder.finish(), broken) {
                    // Some servers give a finish reason with every chunk: a call may lack its tail.
                    (Ok(reply), Some(broken)) if !reply.calls.is_empty() => return Err(broken),
                    // A text that gave its finish reason stands, however its connection ended.
                    (Ok(reply), _) => reply,
                    (Err(_), Some(broken)) => return Err(broken),
                    (Err(error), None) => return Err(self.exchange.wire_error(error)),
                };
                self.ready.push_back(Ok(Event::Reply(Box::new(reply))));
            }
        }
        Ok(())
    }
}

/// Reads what is left of a complete reply (mostly nothing but its end), so that its connection can
/// be used again. The end has mostly arrived, but the connection's task must have its turn to see
/// it: without that a request that follows at once would open a connection of its own. The reply
/// does not wait for more.
async fn keep_alive(mut response: Response) {
    use futures_util::FutureExt;
    for _ in 0..TAIL_TURNS {
        let ended = matches!(response.chunk().now_or_never(), Some(Ok(None) | Err(_)));
        tokio::task::yield_now().await;
        if ended {
            return;
        }
    }
    tokio::task::spawn(async move {
        let rest = async { while let Ok(Some(_)) = response.chunk().await {} };
        drop(timeout(TAIL_TIME_LIMIT, rest).await);
    });
}

impl Exchange {
    /// Sends the request and waits until `deadline` for the head of a good reply.
    async fn send(
        &self,
        sending: reqwest::RequestBuilder,
        deadline: Instant,
    ) -> Result<Response, Error> {
        let head = timeout_at(deadline, self.head(sending)).await;
        head.map_err(|_| self.late(Stage::FirstToken))?
    }

    async fn head(&self, sending: reqwest::RequestBuilder) -> Result<Response, Error> {
        let response = sending.send().await.map_err(|error| self.unreachable(&error))?;
        if response.status().is_success() {
            return Ok(response);
        }
        let status = response.status();
        let retry_after = retry_after(response.headers());
        let body = error_body(response).await;
        Err(self.refused(status, retry_after, &body))
    }

    fn refused(&self, status: StatusCode, retry_after: Option<Duration>, body: &[u8]) -> Error {
        let said = chat::error_in(body);
        let message = match &said {
            Some(error) => error.message.clone(),
            None if body.is_empty() => status.to_string(),
            None => excerpt(&self.without_key(String::from_utf8_lossy(body).into_owned())),
        };
        self.classify(status.as_u16(), retry_after, message)
    }

    fn classify(&self, status: u16, retry_after: Option<Duration>, message: String) -> Error {
        let (url, message) = (self.shown.clone(), self.without_key(message));
        match status {
            401 | 403 => Error::KeyRefused { url, message },
            404 => Error::UnknownModel { url, model: self.model.clone(), message },
            402 | 429 => Error::RateLimited { url, message, retry_after },
            300..400 => Error::Malformed { url, reason: format!("it redirects ({status})") },
            400..500 => Error::Refused { url, status, message },
            _ => Error::Failed { url, status, message },
        }
    }

    fn wire_error(&self, error: wire::Error) -> Error {
        let url = self.shown.clone();
        match error {
            wire::Error::Api(error) => {
                self.classify(error.status.unwrap_or(500), None, error.message)
            }
            wire::Error::Cut { .. } => {
                Error::Cut { url, reason: "it ended before the model had finished".into() }
            }
            error @ (wire::Error::Malformed { .. } | wire::Error::TooLarge { .. }) => {
                Error::Malformed { url, reason: self.without_key(error.to_string()) }
            }
        }
    }

    fn unreachable(&self, error: &reqwest::Error) -> Error {
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

    fn cut(&self, error: &reqwest::Error) -> Error {
        Error::Cut { url: self.shown.clone(), reason: chain(error) }
    }

    fn late(&self, stage: Stage) -> Error {
        let limit = match stage {
            Stage::Connect => self.time_limits.connect,
            Stage::FirstToken => self.time_limits.first_token,
            Stage::Silence => self.time_limits.silence,
        };
        Error::TimedOut { url: self.shown.clone(), stage, limit }
    }

    /// Providers like to repeat the key they refuse, and an excerpt may end in the middle of it.
    fn without_key(&self, message: String) -> String {
        let Some(key) = self.key.as_ref().map(ApiKey::expose).filter(|key| !key.is_empty()) else {
            return message;
        };
        let mut message = message.replace(key, "[secret]");
        let parts = (MIN_SECRET_BYTES..key.len()).rev().filter_map(|end| key.get(..end));
        if let Some(part) = parts.into_iter().find(|part| message.ends_with(part)) {
            message.truncate(message.len() - part.len());
            message.push_str("[secret]");
        }
        message
    }
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

fn is_json(response: &Response) -> bool {
    let kind = response.headers().get(CONTENT_TYPE).map(HeaderValue::as_bytes);
    kind.is_some_and(|kind| kind.starts_with(b"application/json"))
}

/// `Retry-After` in seconds, the form that providers of models use most.
fn retry_after(headers: &HeaderMap) -> Option<Duration> {
    let seconds: u64 = headers.get(RETRY_AFTER)?.to_str().ok()?.trim().parse().ok()?;
    Some(Duration::from_secs(seconds))
}

fn is_loopback(url: &Url) -> bool {
    match url.host_str() {
        Some("localhost") => true,
        Some(host) => host
            .trim_matches(['[', ']'])
            .parse::<std::net::IpAddr>()
            .is_ok_and(|address| address.is_loopback()),
        None => false,
    }
}

/// The URL without what may be secret in it.
fn masked(text: &str) -> String {
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

/// The innermost cause says most, and none of them the URL, which may hold a secret.
fn chain(error: &reqwest::Error) -> String {
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
