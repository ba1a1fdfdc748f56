//! Clients that are told when the tools change: those that began with a handshake. Others ask for it in
//! a request of their own.

use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use futures_util::future::join_all;
use rmcp::service::{Peer, RoleServer};
use tokio::time::timeout;

/// How long it may take to tell one of them.
const PATIENCE: Duration = Duration::from_secs(1);

/// The clients of this moment.
#[derive(Default)]
pub(super) struct Listeners(Mutex<Vec<Peer<RoleServer>>>);

impl Listeners {
    /// Tells `client` from now on, as long as its connection lives.
    pub fn add(&self, client: Peer<RoleServer>) {
        let mut clients = self.clients();
        clients.retain(|client| !client.is_transport_closed());
        clients.push(client);
    }

    /// Says that the tools have changed.
    pub async fn tell(&self) {
        let clients: Vec<_> = self.clients().clone();
        let told = clients.iter().map(|client| async move {
            // It may have gone by now, or read no more; the others are told.
            let _ = timeout(PATIENCE, client.notify_tool_list_changed()).await;
        });
        join_all(told).await;
    }

    fn clients(&self) -> MutexGuard<'_, Vec<Peer<RoleServer>>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
