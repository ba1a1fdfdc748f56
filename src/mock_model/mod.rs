//! A small HTTP server that speaks OpenAI Chat Completions on loopback.
//!
//! It has two uses: the stand-in for a model on a machine without a key, and a peer with known
//! answers for people who test their own agents.
//!
//! ```text
//! request ─► history (is it a history a strict provider takes?) ─► brain ─► encode ─► body
//! ```
//!
//! What to answer is a pure function of the request: [`Brain::Rules`] matches words with tools,
//! [`Brain::Script`] reads its replies from a file. `encode` turns an answer into bytes with a time
//! for each piece, `body` sends them at those times; nothing else knows a clock.
//!
//! The server takes `POST /v1/chat/completions` (streamed or not), `GET /v1/models` and
//! `GET /health`, all of them also without `/v1`. It needs no key and keeps no conversation: like
//! a provider's, its answers depend on the history they are sent, and nothing is stored.

mod body;
mod encode;
mod history;
mod json;
mod refusal;
mod reply;
mod request;
mod rules;
mod script;
mod server;
#[cfg(test)]
mod tests;

pub use script::{Script, ScriptError};
pub use server::Server;

use std::net::{Ipv4Addr, SocketAddr};
use std::time::Duration;

/// What a [`Server`] is started with.
#[derive(Clone, Debug)]
pub struct Options {
    /// Where to listen; port 0 takes a free one.
    pub bind: SocketAddr,
    /// Who decides the answers.
    pub brain: Brain,
    /// The time each token takes. A reply that is not streamed takes as long as its tokens together.
    pub pace: Duration,
}

impl Default for Options {
    /// Rules, as fast as it goes, on a free port of the loopback address.
    fn default() -> Self {
        Self {
            bind: SocketAddr::from((Ipv4Addr::LOCALHOST, 0)),
            brain: Brain::Rules,
            pace: Duration::ZERO,
        }
    }
}

/// Who decides what the server answers.
#[derive(Clone, Debug)]
pub enum Brain {
    /// Calls the tools whose words the question shares, then reads their results out.
    Rules,
    /// Gives the replies of a file, in their order.
    Script(Script),
}
