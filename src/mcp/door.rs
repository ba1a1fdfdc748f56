//! How the calls of a server's tools come to it: they wait while it is away, and not where it is down.

use std::sync::Arc;

use rmcp::service::{Peer, RoleClient};
use tokio::runtime::Handle;
use tokio::sync::watch;

use super::connection::Ears;
use crate::tools::{Absent, CallContext, Error};

/// What its calls have to know of it.
#[derive(Clone)]
pub(super) enum State {
    /// Calls wait for its first start.
    Starting,
    /// It failed; calls wait until it is back.
    Away,
    Open(Line),
    /// Calls need not wait.
    Down(Arc<str>),
}

/// How a call comes to its server. Cheap to clone.
#[derive(Clone)]
pub(super) struct Door {
    pub server: Arc<str>,
    pub state: watch::Receiver<State>,
    /// The last life whose connection was found broken by a call.
    pub broken: watch::Sender<u64>,
}

impl Door {
    /// Waits until the server takes calls. That is no running time of the call of `context`.
    pub async fn line(&self, context: &CallContext) -> Result<Line, Error> {
        let line = self.open_line(context).await;
        context.run_on();
        line
    }

    async fn open_line(&self, context: &CallContext) -> Result<Line, Error> {
        let mut state = self.state.clone();
        loop {
            let absent = match &*state.borrow_and_update() {
                // Who knows of its end before the server's keeper does waits for the next life.
                State::Open(line) if !line.peer.is_transport_closed() => return Ok(line.clone()),
                State::Open(_) | State::Away => Absent::Failed,
                State::Starting => Absent::NotStarted,
                State::Down(why) => return Err(self.away(why)),
            };
            context.wait_for(absent);
            if state.changed().await.is_err() {
                return Err(self.away("it was stopped"));
            }
        }
    }

    /// The connection of this `life` seemed open and is none.
    pub fn report_broken(&self, life: u64) {
        self.broken.send_if_modified(|last| std::mem::replace(last, life.max(*last)) < life);
    }

    fn away(&self, why: &str) -> Error {
        let message = format!("the server `{}` is not there: {why}; not run", self.server);
        Error::unreachable(message).code("server_unavailable")
    }
}

/// What a call needs of an open connection. Cheap to clone.
#[derive(Clone)]
pub(super) struct Line {
    pub peer: Peer<RoleClient>,
    pub ears: Ears,
    /// Where the connection lives.
    pub io: Handle,
    /// Counts the server's lives.
    pub life: u64,
    pub server: Arc<str>,
}
