//! A server of its own, for those who have none to mount it in.

use std::any::Any;
use std::io;
use std::net::SocketAddr;
use std::time::Duration;

use actix_web::dev::{Extensions, ServerHandle};
use actix_web::rt::net::TcpStream;
use actix_web::{App, HttpServer};
use socket2::SockRef;

use super::Server;
use super::routes::configure_alone;
use crate::session::ShutdownReport;

/// How long a connection may take to send the head of a request.
const HEAD_PATIENCE: Duration = Duration::from_secs(10);

/// How long a client that has vanished is sent to.
const GONE_AFTER: Duration = Duration::from_secs(30);

/// How much of a stream waits in the system for a client that is slow.
const SEND_BUFFER: usize = 64 * 1024;

/// How long answers that are under way at the end may take.
const LAST_WORDS: Duration = Duration::from_secs(2);

/// Where and how a server listens.
#[derive(Clone, Debug)]
pub struct Listener {
    /// The address; with port 0 any that is free.
    pub bind: SocketAddr,
    /// Threads that serve; 0 = one per core.
    pub workers: usize,
    /// Connections at a time, of each of them.
    pub max_connections: usize,
}

/// Why a server does not listen.
#[derive(Debug, thiserror::Error)]
#[error("cannot listen on {addr}: {error}")]
pub struct ListenError {
    addr: SocketAddr,
    error: io::Error,
}

/// A server that listens.
pub struct Listening {
    server: Server,
    addr: SocketAddr,
    running: actix_web::dev::Server,
}

/// Listens for clients of `server`. It serves once it is [awaited](Listening::serve), within an actix
/// System or a tokio runtime.
///
/// # Errors
/// If the address cannot be had.
pub fn listen(server: &Server, listener: &Listener) -> Result<Listening, ListenError> {
    let Listener { bind, workers, max_connections } = *listener;
    let refused = |error| ListenError { addr: bind, error };
    let mounted = server.clone();
    let app = move || App::new().configure(|config| configure_alone(config, &mounted));
    let http = HttpServer::new(app)
        .disable_signals()
        .shutdown_timeout(LAST_WORDS.as_secs())
        .client_request_timeout(HEAD_PATIENCE)
        .max_connections(max_connections)
        .tcp_nodelay(true)
        .h1_allow_half_closed(false)
        .on_connect(tune);
    let http = if workers == 0 { http } else { http.workers(workers) };
    let http = http.bind(bind).map_err(refused)?;
    let addr = http.addrs().first().copied().unwrap_or(bind);
    Ok(Listening { server: server.clone(), addr, running: http.run() })
}

/// Has the system give up clients that vanish, and keep little for those that are slow.
fn tune(connection: &dyn Any, _: &mut Extensions) {
    if let Some(stream) = connection.downcast_ref::<TcpStream>() {
        let socket = SockRef::from(stream);
        // It works without.
        #[cfg(target_os = "linux")]
        let _ = socket.set_tcp_user_timeout(Some(GONE_AFTER));
        let _ = socket.set_send_buffer_size(SEND_BUFFER);
    }
}

impl Listening {
    /// Where it listens.
    #[must_use]
    pub fn addr(&self) -> SocketAddr {
        self.addr
    }

    /// Serves until `stop`, then ends in good order: it is not ready any more, its streams end with a
    /// reason, rounds may end within `drain`, and every turn that is under way then stays open at a point
    /// that is on record, for the next process to go on with. Says what became of the turns.
    ///
    /// # Errors
    /// If serving fails.
    pub async fn serve(
        self,
        stop: impl Future<Output = ()>,
        drain: Duration,
    ) -> io::Result<ShutdownReport> {
        let Self { server, running, .. } = self;
        let handle: ServerHandle = running.handle();
        let ending = async {
            stop.await;
            server.close();
            let report = server.0.runtime.suspend(drain).await;
            handle.stop(true).await;
            report
        };
        let (served, report) = futures_util::future::join(running, ending).await;
        served.map(|()| report)
    }
}

impl std::fmt::Debug for Listening {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Listening").field("addr", &self.addr).finish_non_exhaustive()
    }
}
