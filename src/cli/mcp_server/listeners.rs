//! Clients that are told when the tools change: those that began with a handshake. Others ask for it in
//! a request of their own.

use std::sync::{Mutex, MutexGuard, PoisonError};

use futures_util::future::join_all;
use rmcp::service::{Peer, RoleServer};

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
            let _ = client.notify_tool_list_changed().await; // It may have gone by now.
        });
        join_all(told).await;
    }

    fn clients(&self) -> MutexGuard<'_, Vec<Peer<RoleServer>>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
