//! A server in an app, and a client of it without a network.

use std::pin::Pin;
use std::rc::Rc;
use std::sync::Arc;

use actix_web::body::{BoxBody, MessageBody};
use actix_web::dev::{Payload, Service, ServiceResponse};
use actix_web::error::PayloadError;
use actix_web::http::StatusCode;
use actix_web::http::header::{HOST, HeaderMap, HeaderValue};
use actix_web::test::{TestRequest, init_service};
use actix_web::web::Bytes;
use actix_web::{App, web};
use callsheet::observe::Overview;
use callsheet::server::{Server, ServerBuilder, configure};
use callsheet::store::{MemoryStore, Store};
use callsheet::testing::{Scripted, ScriptedModel};
use callsheet::{ModelRetries, Record, Runtime, SessionId, SessionOptions, ToolSet, ToolType};
use futures_util::future::{LocalBoxFuture, poll_fn};
use futures_util::{Stream, StreamExt};
use serde_json::Value;

use crate::support::{limits, seconds};

type Answering = LocalBoxFuture<'static, ServiceResponse<BoxBody>>;

/// What answers requests as the app `$app` does, whose requests have a type without a name here.
macro_rules! answering {
    ($app:expr) => {{
        let app = Rc::new(init_service($app).await);
        Rc::new(move |request: TestRequest, body: Option<Payload>| -> Answering {
            let app = Rc::clone(&app);
            Box::pin(async move {
                let request = request.to_request();
                let mut request = match body {
                    Some(body) => request.replace_payload(body).0,
                    None => request,
                };
                // As every client says, unless it speaks HTTP/2: then the URI has it.
                let is_named = request.uri().authority().is_some();
                if !is_named && !request.head().headers.contains_key(HOST) {
                    request.head_mut().headers.insert(HOST, HeaderValue::from_static("localhost"));
                }
                match app.call(request).await {
                    Ok(response) => response.map_into_boxed_body(),
                    Err(error) => panic!("no response: {error}"),
                }
            })
        })
    }};
}

/// A server in an app.
pub struct Site {
    pub server: Server,
    pub runtime: Runtime,
    pub store: Arc<dyn Store>,
    pub model: Arc<ScriptedModel>,
    app: Rc<dyn Fn(TestRequest, Option<Payload>) -> Answering>,
}

/// A server whose model follows `script`.
pub async fn site(
    script: impl IntoIterator<Item = Scripted>,
    tools: impl IntoIterator<Item = ToolType>,
) -> Site {
    site_on(Arc::new(MemoryStore::keeping()), script, tools, |server| server).await
}

/// The same on a `store`, and with what `with` says.
pub async fn site_on(
    store: Arc<dyn Store>,
    script: impl IntoIterator<Item = Scripted>,
    tools: impl IntoIterator<Item = ToolType>,
    with: impl FnOnce(ServerBuilder) -> ServerBuilder,
) -> Site {
    let served = Arc::clone(&store);
    site_through(store, served, script, tools, with).await
}

/// The same, where the server itself sees the store as `served`.
pub async fn site_through(
    store: Arc<dyn Store>,
    served: Arc<dyn Store>,
    script: impl IntoIterator<Item = Scripted>,
    tools: impl IntoIterator<Item = ToolType>,
    with: impl FnOnce(ServerBuilder) -> ServerBuilder,
) -> Site {
    let overview = Arc::new(Overview::new());
    let builder = Runtime::builder().journal(store.clone()).watchdog(None);
    let builder = builder.observe(overview.clone());
    let runtime = builder.in_current_system().expect("in a System");
    let model = ScriptedModel::new(script);
    let tools = Arc::new(ToolSet::new(tools).expect("well formed"));
    let options = SessionOptions::new(model.clone(), tools).limits(limits());
    let options = options.model_retries(ModelRetries::none());
    let server = Server::builder(runtime.clone(), served, options).overview(overview);
    let server = with(server);
    let server = server.build().expect("good tokens");
    let mounted = server.clone();
    let app = App::new().configure(move |config| configure(config, &mounted));
    let app = answering!(app);
    Site { server, runtime, store, model, app }
}

impl Site {
    /// The same server in a scope of an app.
    pub async fn under(self, prefix: &str) -> Self {
        let mounted = self.server.clone();
        let scope = web::scope(prefix).configure(move |config| configure(config, &mounted));
        let app = answering!(App::new().service(scope));
        Self { app, ..self }
    }

    pub async fn send(&self, request: TestRequest) -> Response {
        Response::of((self.app)(request, None).await)
    }

    /// The same with a body that comes in pieces.
    pub async fn send_in_pieces(
        &self,
        request: TestRequest,
        pieces: impl Stream<Item = &'static str> + 'static,
    ) -> Response {
        let whole =
            |piece: &'static str| Ok::<_, PayloadError>(Bytes::from_static(piece.as_bytes()));
        let body: Payload = Payload::Stream { payload: Box::pin(pieces.map(whole)) };
        Response::of((self.app)(request, Some(body)).await)
    }

    pub async fn get(&self, path: &str) -> Response {
        self.send(TestRequest::get().uri(path)).await
    }

    pub async fn post(&self, path: &str, body: Value) -> Response {
        self.send(TestRequest::post().uri(path).set_json(body)).await
    }

    /// Makes a session, and asks a question in it that is waited for.
    pub async fn ask(&self, id: &str, text: &str) -> Response {
        self.send(self.question(id, text).insert_header(("prefer", "wait"))).await
    }

    pub fn question(&self, id: &str, text: &str) -> TestRequest {
        let uri = format!("/v1/sessions/{id}/messages");
        TestRequest::post().uri(&uri).set_json(serde_json::json!({"content": text}))
    }

    pub async fn make(&self, id: &str) {
        let made = self.post("/v1/sessions", serde_json::json!({"id": id})).await;
        assert_eq!(made.status, StatusCode::CREATED);
    }

    pub async fn records(&self, id: &str) -> Vec<Record> {
        self.store.read(&SessionId::new(id), 0).await.expect("memory does not fail")
    }
}

/// A response whose body may still be on its way.
pub struct Response {
    pub status: StatusCode,
    pub headers: HeaderMap,
    body: BoxBody,
    read: String,
}

/// A server-sent event, or a comment.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Sent {
    pub id: Option<u64>,
    pub name: String,
    pub data: Value,
    pub is_comment: bool,
}

impl Response {
    fn of(response: ServiceResponse<BoxBody>) -> Self {
        let (status, headers) = (response.status(), response.headers().clone());
        Self { status, headers, body: response.into_body(), read: String::new() }
    }

    pub fn header(&self, name: &str) -> &str {
        self.headers.get(name).and_then(|value| value.to_str().ok()).unwrap_or_default()
    }

    pub async fn more(&mut self) -> bool {
        let piece = poll_fn(|cx| Pin::new(&mut self.body).poll_next(cx)).await;
        let Some(piece) = piece else { return false };
        let piece = piece.expect("the body is whole");
        self.read.push_str(std::str::from_utf8(&piece).expect("events are whole texts"));
        true
    }

    /// What has come so far.
    pub fn read(&self) -> &str {
        &self.read
    }

    pub async fn text(mut self) -> String {
        while self.more().await {}
        self.read
    }

    pub async fn json(self) -> Value {
        let text = self.text().await;
        serde_json::from_str(&text).unwrap_or_else(|error| panic!("{error}: {text}"))
    }

    /// What a refusal says: its status and its code.
    pub async fn refusal(self) -> (u16, String) {
        assert_eq!(self.header("content-type"), "application/problem+json");
        let status = self.status.as_u16();
        let problem = self.json().await;
        assert_eq!(problem["status"], status);
        (status, problem["code"].as_str().expect("a code").to_owned())
    }

    /// The next event; `None` at the end of the stream.
    pub async fn next(&mut self) -> Option<Sent> {
        loop {
            if let Some((block, rest)) = self.read.split_once("\n\n") {
                let (block, rest) = (block.to_owned(), rest.to_owned());
                self.read = rest;
                if block.starts_with("retry:") {
                    continue;
                }
                return Some(Sent::read(&block));
            }
            if !self.more().await {
                assert_eq!(self.read, "", "half an event");
                return None;
            }
        }
    }

    /// The next event, which comes within a second.
    pub async fn soon(&mut self) -> Sent {
        let next = tokio::time::timeout(seconds(1), self.next()).await;
        next.expect("it comes soon").expect("the stream goes on")
    }

    /// Everything up to the event `name`.
    pub async fn until(&mut self, name: &str) -> Vec<Sent> {
        let mut all = Vec::new();
        while all.last().is_none_or(|last: &Sent| last.name != name) {
            all.push(self.next().await.unwrap_or_else(|| panic!("no {name} after {all:?}")));
        }
        all
    }
}

impl Sent {
    fn read(block: &str) -> Self {
        let mut sent = Self::default();
        for line in block.lines() {
            match line.split_once(": ") {
                Some(("id", id)) => sent.id = Some(id.parse().expect("a number")),
                Some(("event", name)) => name.clone_into(&mut sent.name),
                Some(("data", data)) => sent.data = serde_json::from_str(data).expect("JSON"),
                _ if line.starts_with(':') => sent.is_comment = true,
                _ => panic!("what is {line:?}?"),
            }
        }
        sent
    }

    /// The record in it.
    pub fn record(&self) -> Record {
        serde_json::from_value(self.data.clone()).expect("a record")
    }
}

/// The numbers of the events that are kept.
pub fn numbers(sent: &[Sent]) -> Vec<u64> {
    sent.iter().filter_map(|sent| sent.id).collect()
}
