//! The server: a thread that listens, and the way from a request to a response.

use std::convert::Infallible;
use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::thread::JoinHandle;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use http_body_util::{BodyExt, Limited};
use hyper::body::Incoming;
use hyper::header::{CONTENT_TYPE, HeaderValue};
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper::{Method, Response, StatusCode};
use hyper_util::rt::TokioIo;
use serde_json::json;
use tokio::net::{TcpListener, TcpSocket, TcpStream};
use tokio::sync::{oneshot, watch};

use super::body::Body;
use super::encode::{self, Head};
use super::refusal::Refusal;
use super::reply::{Answer, Failure, Reply};
use super::request::Request;
use super::{Brain, Options, history, rules, script};

/// The largest request body that is read.
const MAX_BODY: usize = 64 << 20;

/// Connections that may wait to be accepted: a test opens a thousand at once.
const BACKLOG: u32 = 1024;

/// A running server. Dropping it closes its port and its connections.
pub struct Server {
    addr: SocketAddr,
    requests: Arc<AtomicU64>,
    /// Closed by the thread when it ends.
    running: watch::Receiver<()>,
    /// Ends the thread when it is dropped.
    stop: Option<oneshot::Sender<()>>,
    thread: Option<JoinHandle<()>>,
}

impl Server {
    /// Binds and serves on a thread of its own, so that the caller's runtime cannot starve it.
    ///
    /// Needs no tokio context. It listens when this returns.
    ///
    /// # Errors
    /// When the address cannot be bound or no thread can be started.
    pub fn start(options: Options) -> std::io::Result<Self> {
        let requests = Arc::new(AtomicU64::new(0));
        let state = Arc::new(State {
            mind: Mind::new(options.brain),
            pace: options.pace,
            requests: requests.clone(),
        });
        let (stop, stopped) = oneshot::channel();
        let (alive, running) = watch::channel(());
        let (bound, hear_bound) = std::sync::mpsc::channel();
        let thread = std::thread::Builder::new().name("mock-model".into()).spawn(move || {
            let _alive = alive;
            let runtime = match tokio::runtime::Builder::new_current_thread().enable_all().build() {
                Ok(runtime) => runtime,
                Err(error) => return drop(bound.send(Err(error))),
            };
            runtime.block_on(async move {
                let listener = match listen(options.bind) {
                    Ok((listener, addr)) => {
                        drop(bound.send(Ok(addr)));
                        listener
                    }
                    Err(error) => return drop(bound.send(Err(error))),
                };
                tokio::select! {
                    () = accept(listener, state) => {}
                    _ = stopped => {}
                }
            });
        })?;
        let addr = hear_bound
            .recv()
            .unwrap_or_else(|_| Err(std::io::Error::other("the server's thread ended")))?;
        Ok(Self { addr, requests, running, stop: Some(stop), thread: Some(thread) })
    }

    /// Where it listens.
    #[must_use]
    pub fn addr(&self) -> SocketAddr {
        self.addr
    }

    /// What a client takes as its base: `http://127.0.0.1:PORT/v1`.
    #[must_use]
    pub fn base_url(&self) -> String {
        format!("http://{}/v1", self.addr)
    }

    /// How many completions were asked for so far, refused ones included.
    #[must_use]
    pub fn requests(&self) -> u64 {
        self.requests.load(Ordering::Relaxed)
    }

    /// Waits until the server has ended by itself, which it does only if its thread fails.
    pub async fn stopped(&self) {
        // Nothing is ever sent: an error means that the thread has dropped its end.
        while self.running.clone().changed().await.is_ok() {}
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        drop(self.stop.take());
        if let Some(thread) = self.thread.take() {
            drop(thread.join());
        }
    }
}

/// A brain at work.
enum Mind {
    Rules,
    Script(script::Player),
}

impl Mind {
    fn new(brain: Brain) -> Self {
        match brain {
            Brain::Rules => Self::Rules,
            Brain::Script(script) => Self::Script(script::Player::new(script)),
        }
    }

    fn answer(&self, request: &Request) -> Answer {
        match self {
            Self::Rules => Answer::Reply(rules::reply(request)),
            Self::Script(player) => player.answer(request),
        }
    }
}

struct State {
    mind: Mind,
    pace: Duration,
    requests: Arc<AtomicU64>,
}

fn listen(bind: SocketAddr) -> std::io::Result<(TcpListener, SocketAddr)> {
    let socket = if bind.is_ipv4() { TcpSocket::new_v4() } else { TcpSocket::new_v6() }?;
    #[cfg(unix)] // On Windows the option would let two servers share the port.
    socket.set_reuseaddr(true)?;
    socket.bind(bind)?;
    let listener = socket.listen(BACKLOG)?;
    let addr = listener.local_addr()?;
    Ok((listener, addr))
}

async fn accept(listener: TcpListener, state: Arc<State>) {
    loop {
        match listener.accept().await {
            Ok((connection, _)) => drop(tokio::spawn(serve(connection, state.clone()))),
            // Out of file descriptors, or a client that left early: the next may go well.
            Err(_) => tokio::time::sleep(Duration::from_millis(10)).await,
        }
    }
}

async fn serve(connection: TcpStream, state: Arc<State>) {
    // Only a matter of speed, and every system knows the option.
    drop(connection.set_nodelay(true));
    let service = service_fn(move |request| {
        let state = state.clone();
        async move { Ok::<_, Infallible>(respond(&state, request).await) }
    });
    // A client that breaks off is its own business.
    drop(http1::Builder::new().serve_connection(TokioIo::new(connection), service).await);
}

async fn respond(state: &State, request: hyper::Request<Incoming>) -> Response<Body> {
    let path = request.uri().path();
    let path = path.strip_prefix("/v1").unwrap_or(path);
    match (request.method(), path) {
        (&Method::POST, "/chat/completions") => {
            let number = state.requests.fetch_add(1, Ordering::Relaxed) + 1;
            let answer = complete(state, request.into_body(), number).await;
            answer.unwrap_or_else(|refusal| refused(&refusal))
        }
        (&Method::GET, "/models") => json_response(
            StatusCode::OK,
            json!({"object": "list", "data": [
                {"id": "offline", "object": "model", "created": 0, "owned_by": "callsheet"}
            ]})
            .to_string(),
        ),
        (&Method::GET, "/health") => json_response(StatusCode::OK, r#"{"status":"ok"}"#),
        (method, _) => {
            let message = format!("Unknown request URL: {method} {}.", request.uri().path());
            refused(&Refusal::new(StatusCode::NOT_FOUND, message).code("unknown_url"))
        }
    }
}

async fn complete(state: &State, body: Incoming, number: u64) -> Result<Response<Body>, Refusal> {
    let body = Limited::new(body, MAX_BODY).collect().await.map_err(|error| {
        Refusal::new(StatusCode::PAYLOAD_TOO_LARGE, format!("The body could not be read: {error}"))
    })?;
    let request: Request = serde_json::from_slice(&body.to_bytes()).map_err(|error| {
        Refusal::invalid(format!("We could not parse the JSON body of your request: {error}"))
    })?;
    history::check(&request)?;
    let reply = match state.mind.answer(&request) {
        Answer::Reply(reply) => numbered(reply, request.calls_so_far()),
        Answer::Failure(failure) => return Ok(failed(failure).await),
    };
    let model = if request.model.is_empty() { "offline" } else { &request.model };
    let created = SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |time| time.as_secs());
    let head = Head { id: format!("chatcmpl-{number}"), created, model: model.to_owned() };
    Ok(sent(&request, &head, &reply, reply.token_delay.unwrap_or(state.pace)).await)
}

/// Gives the calls without an id the numbers after those of the history.
fn numbered(mut reply: Reply, calls_so_far: usize) -> Reply {
    for (ordinal, call) in reply.calls.iter_mut().enumerate() {
        call.id.get_or_insert_with(|| format!("call_{}", calls_so_far + ordinal + 1));
    }
    reply
}

async fn sent(request: &Request, head: &Head, reply: &Reply, pace: Duration) -> Response<Body> {
    let usage = reply.usage(request);
    if request.stream {
        let usage = request.stream_options.include_usage.then_some(usage);
        let body = Body::stream(encode::stream(head, reply, usage, pace));
        let body = if reply.cut_after.is_some() { body.then_cut() } else { body };
        return response(StatusCode::OK, "text/event-stream", body);
    }
    pause(reply.delay + encode::writing_time(reply, pace)).await;
    let body = Body::whole(encode::completion(head, reply, usage));
    let body = if reply.cut_after.is_some() { body.cut_in_half() } else { body };
    response(StatusCode::OK, "application/json", body)
}

async fn failed(failure: Failure) -> Response<Body> {
    pause(failure.delay).await;
    let mut response = json_response(failure.status, failure.body);
    response.headers_mut().extend(failure.headers);
    response
}

/// Sleeping for no time at all would still take a millisecond.
async fn pause(time: Duration) {
    if !time.is_zero() {
        tokio::time::sleep(time).await;
    }
}

fn refused(refusal: &Refusal) -> Response<Body> {
    json_response(refusal.status, refusal.body().to_string())
}

fn json_response(status: StatusCode, body: impl Into<bytes::Bytes>) -> Response<Body> {
    response(status, "application/json", Body::whole(body))
}

fn response(status: StatusCode, content_type: &'static str, body: Body) -> Response<Body> {
    let mut response = Response::new(body);
    *response.status_mut() = status;
    response.headers_mut().insert(CONTENT_TYPE, HeaderValue::from_static(content_type));
    response
}
