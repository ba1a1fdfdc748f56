//! Who answers: a model behind a stream of events.
//!
//! A reply without streaming is a stream of one event. Absent: what a reply means for the
//! conversation, and anything an arbiter would not want to share (each has its own connections).

mod body;
mod classify;
mod decoding;
mod dialect;
mod endpoint;
mod error;
mod exchange;
#[cfg(any(feature = "cli", feature = "server"))]
mod fixed;
mod hidden;
mod history;
mod http;
mod key;
mod price;
mod reach;
mod refusal;
pub(crate) mod retry_after;
mod sending;
mod settings;
mod streamed;
mod tls;
mod whole;

use std::sync::Arc;

use futures_util::stream::LocalBoxStream;

#[cfg(feature = "testing")]
pub(crate) use decoding::Decoding;

pub use dialect::{Dialect, EmptyContent, IdRule, Quirks, TokenLimitField};
pub use endpoint::{Endpoint, TimeLimits};
pub use error::{Error, Stage};
pub(crate) use exchange::chain as cause_of;
#[cfg(any(feature = "cli", feature = "server"))]
pub(crate) use fixed::FixedModel;
pub(crate) use hidden::without_secrets;
pub(crate) use history::{History, is_plain};
pub use http::HttpModel;
pub use key::ApiKey;
pub use price::Price;
#[cfg(feature = "cli")]
pub(crate) use settings::OURS;
pub(crate) use settings::secrets_in;
pub use settings::{Header, RequestSettings, ToolChoice};
pub(crate) use tls::tls;

use crate::wire::{Call, Certainty, Reply, Usage};

/// What the model is asked: the conversation so far and the tools it may call.
#[derive(Clone, Copy, Debug)]
pub struct Request<'a> {
    /// The messages, as the JSON objects they travel as, separated by commas.
    /// [`crate::wire::chat::decode_messages`] reads them.
    pub messages: &'a [u8],
    /// The JSON array of the tools; empty when there are none.
    pub tools: &'a [u8],
    /// The names of these tools. A choice that names another is not sent.
    pub names: &'a [ToolName],
    /// Whether the model may call them. False: they are listed because the history holds calls, and
    /// some endpoints refuse such a history without tools.
    pub may_call: bool,
    /// Whether it is the first request of a turn: what forces a call is for this one alone.
    pub first: bool,
}

/// What a tool is called. No two tools of a request share a name of either kind.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ToolName {
    /// Its own name, which may be any.
    pub own: Arc<str>,
    /// The one that requests and replies have in its place.
    pub on_the_wire: Arc<str>,
}

/// What comes of a reply, in order. [`Event::Reply`] is the last. There will be more kinds.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub enum Event {
    /// A piece of the answer's text.
    Text(String),
    /// A piece of the model's reasoning.
    Reasoning(String),
    /// The first content of the reply has arrived.
    Began,
    /// A call of the reply is as good as complete, and may begin if its tool allows it: while the
    /// reply goes on, nothing is final. Said of a call once for each certainty, [`Certainty::Closed`]
    /// only where this model's closing brace can be trusted; need not be said at all.
    CallReady {
        /// Its place in the reply, from 0.
        ordinal: u32,
        /// How sure it is that nothing follows.
        certainty: Certainty,
        /// The call as far as it is known. Its id may be missing still, or change.
        call: Box<Call>,
    },
    /// Against that, more came for a call that was ready: it is not what it seemed.
    CallChanged {
        /// Its place in the reply.
        ordinal: u32,
    },
    /// What the provider has counted of the reply so far: all of it, in place of what it said before.
    /// That of a reply that comes to nothing must be said before its error, or nobody counts it; of one
    /// that is finished, [`Reply::usage`] says it again.
    Counted(Usage),
    /// The whole reply. Its calls stand at the places they were ready at.
    Reply(Box<Reply>),
}

impl Event {
    /// It speaks of a call of a reply that goes on.
    pub(crate) fn is_of_call(&self) -> bool {
        matches!(self, Self::CallReady { .. } | Self::CallChanged { .. })
    }
}

/// The events of one reply. Dropping it gives the reply up.
pub type Events = LocalBoxStream<'static, Result<Event, Error>>;

/// A model that can be asked to go on with a conversation.
///
/// One value serves all sessions that use it, on every arbiter; each stream stays on the thread
/// that asked.
pub trait Model: Send + Sync + 'static {
    /// The name that a report gives the model where its reply does not.
    fn name(&self) -> &str;

    /// Who understands the unknown fields of its replies, such as signatures: they go back to models of
    /// the same origin and to no others. The name if it is not said.
    fn origin(&self) -> &str {
        self.name()
    }

    /// How a history must look for it. What the standard says if it is not said.
    fn dialect(&self) -> Dialect {
        Dialect::generic()
    }

    /// The same model, asked with `settings` where they are set, in place of its own. `None` if it takes
    /// none, as is assumed if it is not said.
    fn with_settings(&self, _settings: &RequestSettings) -> Option<Arc<dyn Model>> {
        None
    }

    /// Asks for the next reply. What is needed of `request` is copied before this returns; nothing
    /// is sent before the stream is polled.
    ///
    /// The stream ends after [`Event::Reply`] or after the first error.
    fn ask(&self, request: Request<'_>) -> Events;
}
