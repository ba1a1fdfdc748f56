//! Any number of clients, over streamable HTTP.

use std::convert::Infallible;
use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use http_body_util::combinators::BoxBody;
use http_body_util::{BodyExt, Full};
use hyper::body::Incoming;
use hyper::header::{AUTHORIZATION, WWW_AUTHENTICATE};
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper::{Request, Response, StatusCode};
use hyper_util::rt::{TokioIo, TokioTimer};
use rmcp::transport::streamable_http_server::session::local::LocalSessionManager;
use rmcp::transport::streamable_http_server::{StreamableHttpServerConfig, StreamableHttpService};
use tokio::net::{TcpListener, TcpStream};
use tokio::task::JoinSet;
use tokio::time::timeout;

use super::{Bearer, LEAVING, Served};
use crate::cli::signals::Signals;

/// Where the protocol is spoken.
const PATH: &str = "/mcp";

/// How much longer than a call may take a session without a request is kept.
const IDLE: Duration = Duration::from_secs(300);

/// What answers a request.
type Endpoint = StreamableHttpService<Served, LocalSessionManager>;

/// An address that is listened on, and the token that its clients need.
pub(in crate::cli) struct Listener {
    socket: TcpListener,
    addr: SocketAddr,
    bearer: Option<Bearer>,
}

impl Listener {
    /// Listens on `addr`.
    ///
    /// # Errors
    /// If it cannot be had.
    pub async fn bind(addr: SocketAddr, bearer: Option<Bearer>) -> io::Result<Self> {
        let socket = TcpListener::bind(addr).await?;
        let addr = socket.local_addr()?;
        Ok(Self { socket, addr, bearer })
    }

    /// What a client is told.
    pub fn url(&self) -> String {
        format!("http://{}{PATH}", self.addr)
    }

    /// Serves until a signal comes; that cancels the calls that are under way.
    pub async fn serve(self, served: Served, signals: &Signals) {
        served.tell_changes();
        let door = Arc::new(Door { endpoint: self.endpoint(&served), bearer: self.bearer });
        let mut connections = JoinSet::new();
        loop {
            let accepted = tokio::select! {
                accepted = self.socket.accept() => accepted,
                Some(_) = connections.join_next() => continue,
                () = signals.interrupted() => break,
            };
            match accepted {
                Ok((connection, _)) => drop(connections.spawn(door.clone().attend(connection))),
                // Out of file descriptors, or a client that left early: the next may go well.
                Err(_) => tokio::time::sleep(Duration::from_millis(10)).await,
            }
        }
        served.0.runtime.shutdown(Duration::ZERO).await; // Every call is answered.
        door.endpoint.config.cancellation_token.cancel();
        let _ = timeout(LEAVING, connections.join_all()).await;
    }

    /// A page of another origin is no client, also if its name leads here: with it a browser sends an
    /// `Origin`, and the name as the `Host`. Whoever has the token is no such page.
    fn endpoint(&self, served: &Served) -> Endpoint {
        let config = StreamableHttpServerConfig::default().enforce_origin_validation();
        let config = match self.addr.ip() {
            ip if ip.is_loopback() => {
                let mut hosts = config.allowed_hosts.clone();
                hosts.push(ip.to_string());
                config.with_allowed_hosts(hosts)
            }
            _ => config.disable_allowed_hosts(),
        };
        let mut sessions = LocalSessionManager::default();
        // One that is silent for longer than any call may be is of a client that has gone.
        sessions.session_config.keep_alive = Some(served.longest_call() + IDLE);
        let served = served.clone();
        StreamableHttpService::new(move || Ok(served.clone()), Arc::new(sessions), config)
    }
}

/// What stands between a connection and the endpoint.
struct Door {
    endpoint: Endpoint,
    bearer: Option<Bearer>,
}

impl Door {
    async fn attend(self: Arc<Self>, connection: TcpStream) {
        // Only a matter of speed, and every system knows the option.
        drop(connection.set_nodelay(true));
        let closing = self.endpoint.config.cancellation_token.clone();
        let service = service_fn(move |request| {
            let door = self.clone();
            async move { Ok::<_, Infallible>(door.respond(request).await) }
        });
        let mut builder = http1::Builder::new();
        let connection =
            builder.timer(TokioTimer::new()).serve_connection(TokioIo::new(connection), service);
        let mut connection = std::pin::pin!(connection);
        // A client that breaks off is its own business.
        tokio::select! {
            _ = connection.as_mut() => {}
            () = closing.cancelled() => {
                connection.as_mut().graceful_shutdown();
                let _ = connection.await;
            }
        }
    }

    async fn respond(&self, request: Request<Incoming>) -> Response<BoxBody<Bytes, Infallible>> {
        if !self.admits(&request) {
            let mut refusal = refused(StatusCode::UNAUTHORIZED, "a bearer token is needed\n");
            let scheme = hyper::header::HeaderValue::from_static("Bearer");
            refusal.headers_mut().insert(WWW_AUTHENTICATE, scheme);
            return refusal;
        }
        match request.uri().path() {
            PATH => self.endpoint.handle(request).await,
            _ => refused(StatusCode::NOT_FOUND, "the endpoint is /mcp\n"),
        }
    }

    fn admits(&self, request: &Request<Incoming>) -> bool {
        let Some(bearer) = &self.bearer else { return true };
        let shown = request.headers().get(AUTHORIZATION);
        shown.is_some_and(|shown| bearer.admits(shown.as_bytes()))
    }
}

fn refused(status: StatusCode, why: &'static str) -> Response<BoxBody<Bytes, Infallible>> {
    let mut response = Response::new(Full::from(why).boxed());
    *response.status_mut() = status;
    response
}
