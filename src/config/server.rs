//! `[server]`: where `serve` listens, who may come, and what clients may take.

use std::net::SocketAddr;
use std::time::Duration;

use super::error::Error;
use super::kind;
use super::reader::Section;

/// Where a server listens, and for whom.
#[derive(Clone, Debug, PartialEq)]
pub struct Server {
    /// The address; port 0 takes a free one.
    pub bind: SocketAddr,
    /// Names besides those of this machine that it is reached by; with tokens and none of these, any.
    pub hosts: Vec<String>,
    /// Threads that serve; 0 = one per core.
    pub workers: u32,
    /// Connections of each of them.
    pub max_connections: u32,
    /// Streams of events that are open at a time.
    pub max_streams: u32,
    /// Those of one token; `None` = an equal part.
    pub max_streams_per_token: Option<u32>,
    /// Sessions that are held at a time, of each token an equal part.
    pub max_sessions: u32,
    /// Bytes of one request's body.
    pub max_body_bytes: u64,
    /// Requests with one token in a second, in the long run; `None` = as many as there come.
    pub rate: Option<u32>,
    /// And at once.
    pub burst: u32,
    /// How long a client may take to bring the results of calls that were returned to it.
    pub pending: Duration,
    /// How long rounds may take to end when the server does.
    pub drain: Duration,
    /// Who is admitted; everybody if there are none.
    pub tokens: Vec<ServerToken>,
}

/// A token that admits a client, as it is set.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ServerToken {
    /// Whose sessions those are that are made with it.
    pub name: String,
    /// The variable that holds it.
    pub env: String,
}

impl Server {
    pub(super) fn read(section: &mut Section<'_>) -> Result<Self, Error> {
        Ok(Self {
            bind: section.required("bind", kind::address)?,
            hosts: section.required("hosts", kind::list)?,
            workers: section.required("workers", kind::count(0..=1024))?,
            max_connections: section.required("max_connections", kind::count(1..=1_000_000))?,
            max_streams: section.required("max_streams", kind::count(1..=1_000_000))?,
            max_streams_per_token: section
                .optional("max_streams_per_token", kind::count(1..=1_000_000))?,
            max_sessions: section.required("max_sessions", kind::count(1..=10_000_000))?,
            max_body_bytes: section.required("max_body_bytes", kind::whole(1..=1_000_000_000))?,
            rate: section.optional("requests_per_second", kind::count(1..=1_000_000))?,
            burst: section.required("requests_at_once", kind::count(1..=1_000_000))?,
            pending: section.required("pending_ms", kind::time_limit)?,
            drain: section.required("drain_ms", kind::millis)?,
            tokens: section.tables("tokens", ServerToken::read)?,
        })
    }
}

impl ServerToken {
    fn read(section: &mut Section<'_>) -> Result<Self, Error> {
        Ok(Self {
            name: section.required("name", kind::filled)?,
            env: section.required("env", kind::variable_name)?,
        })
    }
}
