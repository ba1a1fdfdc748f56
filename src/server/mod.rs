//! Sessions over HTTP: for backends that are not in Rust, for operators, and for the eyes.
//!
//! [`configure`] mounts it in an actix-web app, with that app's middleware and on its workers; no second
//! System is started. [`listen`] is such an app for those who have none.
//!
//! A session belongs to the token that it was made with. On the API of its own a client that goes away
//! cancels nothing: a turn goes on, and its events are found again by their numbers. What is streamed
//! live and what the journal keeps are the same events; a reader that is too slow gets the latter.
//!
//! Absent: decisions. What a question does is the session's business.

mod access;
mod approvals;
mod chat;
#[expect(unused_qualifications, reason = "of the macro that describes it")]
mod events;
#[expect(unused_qualifications, reason = "of the macro that describes it")]
mod export;
mod follow;
mod guard;
mod health;
mod json;
mod listen;
mod messages;
mod metrics;
mod openapi;
mod overview;
mod page;
mod prefer;
mod problem;
mod registry;
mod resuming;
mod routes;
#[expect(unused_qualifications, reason = "of the macro that describes it")]
mod sessions;
mod streams;
mod tools;

use std::sync::Arc;
use std::time::Duration;

use tokio::sync::watch;

pub use access::{Rate, Token, TokenError};
pub use guard::Hosts;
pub use listen::{ListenError, Listener, Listening, listen};
pub use problem::Problem;
pub use routes::configure;

use self::access::{Owner, Tokens};
use self::chat::Chat;
use self::health::Readiness;
use self::overview::Overviews;
use self::registry::{InUse, Registry};
use self::streams::Streams;
use crate::conversation::{Record, SessionId};
use crate::observe::Overview;
use crate::session::{Clock, Runtime, SessionOptions};
use crate::store::{Store, Summary};

/// What a server is made of. Cheap to clone.
#[derive(Clone)]
pub struct Server(Arc<Shared>);

struct Shared {
    runtime: Runtime,
    store: Arc<dyn Store>,
    options: SessionOptions,
    tokens: Tokens,
    hosts: Hosts,
    limits: ServerLimits,
    registry: Registry,
    clock: Clock,
    overviews: Overviews,
    overview: Arc<Overview>,
    chat: Chat,
    streams: Streams,
    readiness: Readiness,
    /// True once it ends: streams end, and nothing begins any more.
    closing: watch::Sender<bool>,
}

/// What clients may take of a server.
#[derive(Clone, Debug, PartialEq)]
pub struct ServerLimits {
    /// Bytes of one request's body.
    pub max_body_bytes: usize,
    /// Sessions that are held at a time, of each token an equal part; of its own that are not in use the
    /// oldest is let go.
    pub max_sessions: usize,
    /// Streams of events that are open at a time, completions that are under way among them.
    pub max_streams: usize,
    /// Those of one token; `None` = an equal part: whatever the others do, each can have as many.
    pub max_streams_per_token: Option<usize>,
    /// Requests with one token; `None` = as many as there come.
    pub rate: Option<Rate>,
    /// How long a client that holds calls of a half-done round may take to bring their results.
    pub pending: Duration,
}

impl Default for ServerLimits {
    fn default() -> Self {
        Self {
            max_body_bytes: 4_000_000,
            max_sessions: 10_000,
            max_streams: 4_000,
            max_streams_per_token: None,
            rate: None,
            pending: Duration::from_secs(300),
        }
    }
}

/// How a [`Server`] is made.
pub struct ServerBuilder {
    runtime: Runtime,
    store: Arc<dyn Store>,
    options: SessionOptions,
    tokens: Vec<Token>,
    hosts: Option<Hosts>,
    limits: ServerLimits,
    overview: Arc<Overview>,
}

impl Server {
    /// A server for sessions of `runtime`, whose journal is `store`, and that are made of `options`.
    #[must_use]
    pub fn builder(
        runtime: Runtime,
        store: Arc<dyn Store>,
        options: SessionOptions,
    ) -> ServerBuilder {
        let (tokens, hosts, limits) = (Vec::new(), None, ServerLimits::default());
        let overview = Arc::default();
        ServerBuilder { runtime, store, options, tokens, hosts, limits, overview }
    }

    /// From now on the server says that it is not ready, begins nothing, and ends its streams with a
    /// reason. Turns go on until the runtime is shut down.
    pub fn close(&self) {
        self.0.closing.send_replace(true);
        self.0.chat.pending.clear();
    }

    fn is_closing(&self) -> bool {
        *self.0.closing.borrow()
    }

    /// Lets what would begin something pass, unless the server ends.
    fn begins(&self) -> Result<(), Problem> {
        if self.is_closing() { Err(Problem::shutting_down()) } else { Ok(()) }
    }

    fn tokens(&self) -> &Tokens {
        &self.0.tokens
    }

    fn hosts(&self) -> &Hosts {
        &self.0.hosts
    }

    fn max_body_bytes(&self) -> usize {
        self.0.limits.max_body_bytes
    }

    /// The id that a client of `owner` means by `id` in a path.
    fn own(&self, owner: &Owner, id: &str) -> Result<SessionId, Problem> {
        // What no store takes is nobody's.
        let is_one = id.len() <= 512 && !id.chars().any(char::is_control);
        match is_one && owner.owns(id) {
            true => Ok(SessionId::new(id)),
            false => Err(Problem::not_found("session")),
        }
    }

    /// What is known of a session of `owner`.
    async fn find(&self, owner: &Owner, id: &str) -> Result<Summary, Problem> {
        let found = self.0.store.find(&self.own(owner, id)?).await?;
        found.ok_or_else(|| Problem::not_found("session"))
    }

    /// A handle of a session that is known.
    fn enter(&self, id: &SessionId) -> Result<InUse, Problem> {
        let owner = self.tokens().owner_of(id.as_str());
        self.0.registry.enter(&owner, id, &self.0.runtime, || self.0.options.clone())
    }

    /// The handle of a session of `owner`.
    async fn session(&self, owner: &Owner, id: &str) -> Result<InUse, Problem> {
        self.enter(&self.find(owner, id).await?.session)
    }

    /// The records of a session after `after`.
    async fn records(&self, id: &SessionId, after: u64) -> Result<Vec<Record>, Problem> {
        Ok(self.0.store.read(id, after).await?)
    }
}

impl ServerBuilder {
    /// Who is admitted. Everybody, if it is not said.
    #[must_use]
    pub fn tokens(mut self, tokens: Vec<Token>) -> Self {
        self.tokens = tokens;
        self
    }

    /// The names that it is reached by; a request under any other is answered 421. If it is not said:
    /// any where clients need a token, and else this machine's own alone, for a page in a browser of this
    /// machine could have its name lead here.
    #[must_use]
    pub fn hosts(mut self, hosts: Hosts) -> Self {
        self.hosts = Some(hosts);
        self
    }

    /// What clients may take, in place of [`ServerLimits::default`].
    #[must_use]
    pub fn limits(mut self, limits: ServerLimits) -> Self {
        self.limits = limits;
        self
    }

    /// What [observes](crate::session::RuntimeBuilder::observe) the runtime: `/metrics` and the numbers of
    /// tools are read from it. If it is not said they tell of nothing.
    #[must_use]
    pub fn overview(mut self, overview: Arc<Overview>) -> Self {
        self.overview = overview;
        self
    }

    /// The server.
    ///
    /// # Errors
    /// [`TokenError`] for tokens that will not do.
    pub fn build(self) -> Result<Server, TokenError> {
        let Self { runtime, store, options, tokens, hosts, limits, overview } = self;
        let tokens = Tokens::new(&tokens, limits.rate)?;
        let tools = options.clone();
        overview
            .tools()
            .read_health(move || tools.first_tools().iter().map(|tool| tool.health()).collect());
        let hosts = hosts.unwrap_or_else(|| match tokens.are_some() {
            true => Hosts::Any,
            false => Hosts::Local(Vec::new()),
        });
        let registry = Registry::new(tokens.part_of(limits.max_sessions));
        let closing = watch::Sender::new(false);
        let most_of_one = limits.max_streams_per_token;
        let most_of_one = most_of_one.unwrap_or_else(|| tokens.part_of(limits.max_streams));
        let streams = Streams::new(limits.max_streams, most_of_one);
        let chat = Chat::new(&options, &runtime, limits.pending);
        Ok(Server(Arc::new(Shared {
            chat,
            runtime,
            store,
            options,
            tokens,
            hosts,
            limits,
            registry,
            clock: Clock::system(),
            overviews: Overviews::default(),
            overview,
            streams,
            readiness: Readiness::default(),
            closing,
        })))
    }
}

impl std::fmt::Debug for Server {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Server").field("limits", &self.0.limits).finish_non_exhaustive()
    }
}
