//! The connections of a tool: those of each thread are its own, as a model's are.

use std::sync::{Mutex, PoisonError};
use std::thread::ThreadId;
use std::time::Duration;

use reqwest::Client;
use reqwest::redirect::Policy;

use super::resolver::Resolver;
use crate::model;

/// How long a connection may take to come about.
const CONNECT_TIME_LIMIT: Duration = Duration::from_secs(10);

/// The clients of one tool: few, one for each arbiter.
#[derive(Default)]
pub(super) struct Clients(Mutex<Vec<(ThreadId, Client)>>);

impl Clients {
    /// This thread's client, for URLs of this scheme. Names are resolved by `resolver`.
    pub fn get(&self, scheme: &str, resolver: &Resolver) -> Result<Client, String> {
        let mut clients = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let thread = std::thread::current().id();
        if let Some((_, client)) = clients.iter().find(|(owner, _)| *owner == thread) {
            return Ok(client.clone());
        }
        let client = build(scheme, resolver)?;
        clients.push((thread, client.clone()));
        Ok(client)
    }
}

fn build(scheme: &str, resolver: &Resolver) -> Result<Client, String> {
    let tls = model::tls(scheme == "https").map_err(|error| error.to_string())?;
    let builder = Client::builder()
        .tls_backend_preconfigured(tls)
        .dns_resolver(resolver.clone())
        .no_proxy() // It would resolve names for us.
        .redirect(Policy::none()) // Followed by `exchange`.
        .referer(false)
        .retry(reqwest::retry::never().max_retries_per_request(0)) // The effects decide.
        .connect_timeout(CONNECT_TIME_LIMIT)
        .tcp_nodelay(true);
    builder.build().map_err(|error| model::cause_of(&error))
}
