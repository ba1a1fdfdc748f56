//! A supervised server: started, listed, watched, and started again when it ends.
//!
//! What becomes of a failure the [restart policy](crate::supervision::RestartPolicy) decides, as for
//! any worker. Meanwhile its calls wait within their own limits. Only its end is a failure: a call
//! that is slow, late or cancelled says nothing of the server.

use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use tokio::runtime::Handle;
use tokio::sync::{mpsc, watch};
use tokio::time::{Instant, sleep, timeout};
use tracing::{debug, info, warn};

use super::connection::{Connection, Ears};
use super::door::{Door, Line, State};
use super::listing::{Listed, list};
use super::memory::{LastStart, Memory};
use super::{Protocol, ServerSettings};
use crate::supervision::{Decision, Failure, RestartLimits, RestartPolicy};
use crate::tools::stable_hash;

/// How long nothing may come after news that the tools have changed: servers say it several times.
const QUIET: Duration = Duration::from_millis(20);

/// How long the end of a process may take to be known that takes no requests any more.
const GRACE: Duration = Duration::from_millis(500);

/// How a server is, at one moment.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Condition {
    /// It starts, for the first time or again.
    Starting,
    /// It takes calls.
    Ready,
    /// It failed, and will be started again soon.
    Resting,
    /// It failed too often, and will be started again later. Its calls are answered `unavailable`.
    Down,
    /// It was stopped.
    Stopped,
}

impl Condition {
    /// The name used in listings.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Starting => "starting",
            Self::Ready => "ready",
            Self::Resting => "resting",
            Self::Down => "down",
            Self::Stopped => "stopped",
        }
    }
}

/// Where a server is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Address {
    /// A process of ours, by its number.
    Process(u32),
    /// An endpoint: scheme, host and port of its URL. What stands behind may be secret.
    Endpoint(String),
}

/// What there is to say of a server.
#[derive(Clone, Debug)]
pub struct ServerStatus {
    /// Its name.
    pub name: Arc<str>,
    /// How it is.
    pub condition: Condition,
    /// The revision of the protocol that is spoken with it, once it was ready.
    pub revision: Option<String>,
    /// Where it is: the number of its process while it runs, or the scheme, host and port of its URL.
    pub address: Option<Address>,
    /// From the last start to its list of tools, once it was ready.
    pub startup: Option<Duration>,
    /// How often it was started again.
    pub restarts: u64,
    /// The last failure, in a line.
    pub last_failure: Option<String>,
    /// How its last start in another program went.
    pub last_start: LastStart,
}

/// What a server lists: its tools, or why they could not be used.
pub(super) type Listing = Vec<Result<Listed, (String, String)>>;

/// What a server tells of itself.
pub(super) enum News {
    /// Its tools.
    Tools(Listing),
    /// It failed.
    Failed,
    /// It is out of service for so long.
    Down(Arc<str>, Duration),
}

/// A server and what is known of it.
pub(super) struct Server {
    pub settings: ServerSettings,
    memory: Memory,
    limits: RestartLimits,
    name: Arc<str>,
    state: watch::Sender<State>,
    /// The last life whose connection was found broken by a call.
    broken: watch::Sender<u64>,
    status: Mutex<ServerStatus>,
    /// Done once it has listed its tools or failed for the first time.
    settled: watch::Sender<bool>,
}

impl Server {
    /// The server of `settings`, and what it listed the last time.
    pub fn new(settings: ServerSettings, limits: RestartLimits) -> (Self, Listing) {
        let memory = Memory::new(settings.memory.clone());
        let (last_start, listing) = memory.recall();
        let name: Arc<str> = settings.name.as_str().into();
        let status = ServerStatus {
            name: Arc::clone(&name),
            condition: Condition::Starting,
            revision: None,
            address: settings.reach.origin().map(Address::Endpoint),
            startup: None,
            restarts: 0,
            last_failure: None,
            last_start,
        };
        let server = Self {
            settings,
            memory,
            limits,
            name,
            state: watch::Sender::new(State::Starting),
            broken: watch::Sender::new(0),
            status: Mutex::new(status),
            settled: watch::Sender::new(false),
        };
        (server, listing)
    }

    pub fn door(&self) -> Door {
        let (server, broken) = (Arc::clone(&self.name), self.broken.clone());
        Door { server, state: self.state.subscribe(), broken }
    }

    pub fn status(&self) -> ServerStatus {
        self.status.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// What it told first has been taken in.
    pub fn settle(&self) {
        self.settled.send_replace(true);
    }

    /// Waits until it has listed its tools or failed for the first time.
    pub async fn settled(&self) {
        let _ = self.settled.subscribe().wait_for(|settled| *settled).await;
    }

    /// It was waited for in vain.
    pub fn is_late(&self) {
        if self.status().last_start == LastStart::Unknown {
            self.memory.keep_failure();
        }
    }

    fn note<T>(&self, change: impl FnOnce(&mut ServerStatus) -> T) -> T {
        change(&mut self.status.lock().unwrap_or_else(PoisonError::into_inner))
    }

    /// Keeps it running until `stop` says so, and tells `news` of it.
    pub async fn run(&self, news: mpsc::UnboundedSender<News>, mut stop: watch::Receiver<bool>) {
        let seed = stable_hash(&self.name);
        let mut policy = RestartPolicy::new(self.limits.clone(), seed);
        let mut protocol = self.settings.protocol;
        for life in 1.. {
            let died_of = self.live((life, protocol), &news, &mut policy, stop.clone()).await;
            let Some(Death { cause, was_ready }) = died_of else { break };
            // Some older servers end when they are asked what they do not know.
            protocol = match (was_ready, self.settings.protocol, protocol) {
                (true, _, spoken) => spoken,
                (false, Protocol::Auto, Protocol::Auto) => Protocol::Handshake,
                (false, set, _) => set,
            };
            let failure = Failure::Crash { cause: cause.clone(), arguments: None };
            let decision = policy.on_failure(Instant::now(), &failure);
            let rest = match decision {
                Decision::RebuildAfter(rest) => {
                    match was_ready {
                        true => {
                            warn!(server = &*self.name, cause, ?rest, "server failed, starts again")
                        }
                        false => info!(server = &*self.name, cause, ?rest, "server starts again"),
                    }
                    self.note(|status| status.condition = Condition::Resting);
                    self.state.send_replace(State::Away);
                    rest
                }
                Decision::OpenCircuit(rest) => {
                    match was_ready {
                        true => {
                            warn!(server = &*self.name, cause, ?rest, "server failed too often")
                        }
                        false => info!(server = &*self.name, cause, ?rest, "server does not start"),
                    }
                    let why: Arc<str> = cause.as_str().into();
                    self.note(|status| status.condition = Condition::Down);
                    self.state.send_replace(State::Down(Arc::clone(&why)));
                    let _ = news.send(News::Down(why, rest));
                    rest
                }
            };
            self.note(|status| status.last_failure = Some(cause));
            if !*self.settled.borrow() {
                self.memory.keep_failure();
            }
            let _ = news.send(News::Failed);
            tokio::select! {
                biased;
                _ = stop.wait_for(|stop| *stop) => break,
                () = sleep(rest) => {}
            }
            self.note(|status| {
                status.condition = Condition::Starting;
                status.restarts += 1;
            });
            if matches!(decision, Decision::OpenCircuit(_)) {
                self.state.send_replace(State::Away); // The call that finds out waits for it.
            }
        }
        self.note(|status| status.condition = Condition::Stopped);
        self.state.send_replace(State::Down("it was stopped".into()));
    }

    /// One life of it: what it died of, or nothing if it was stopped.
    async fn live(
        &self,
        (life, protocol): (u64, Protocol),
        news: &mpsc::UnboundedSender<News>,
        policy: &mut RestartPolicy,
        mut stop: watch::Receiver<bool>,
    ) -> Option<Death> {
        let (ears, began) = (Ears::default(), Instant::now());
        let limit = self.settings.startup_time_limit;
        let start = async {
            let connection = Connection::open(&self.settings, ears.clone(), protocol).await?;
            match list(&connection.peer()).await {
                Ok(tools) => Ok((connection, tools)),
                Err(why) => {
                    connection.close().await;
                    Err(why)
                }
            }
        };
        let started = tokio::select! {
            biased;
            _ = stop.wait_for(|stop| *stop) => return None,
            started = timeout(limit, start) => started,
        };
        let (mut connection, tools) = match started {
            Ok(Ok(started)) => started,
            Ok(Err(why)) => return Some(Death::at_start(format!("it did not start: {why}"))),
            Err(_) => {
                let cause = format!("it did not start within {} ms", limit.as_millis());
                return Some(Death::at_start(cause));
            }
        };
        let startup = began.elapsed();
        info!(server = &*self.name, ?startup, tools = tools.len(), "server is ready");
        self.memory.keep(&tools);
        let _ = news.send(News::Tools(tools));
        let line = Line {
            peer: connection.peer(),
            ears: ears.clone(),
            io: Handle::current(),
            life,
            server: Arc::clone(&self.name),
        };
        self.note(|status| {
            status.condition = Condition::Ready;
            status.revision = Some(connection.revision.clone());
            status.startup = Some(startup);
            if let Some(pid) = connection.pid() {
                status.address = Some(Address::Process(pid));
            }
        });
        if policy.is_open() {
            policy.on_recovery();
        }
        self.state.send_replace(State::Open(line));
        connection.listen_for_changes(Arc::clone(&ears.changed));
        let mut broken = self.broken.subscribe();
        let died_of = loop {
            let mut stopping = stop.clone();
            tokio::select! {
                biased;
                _ = stopping.wait_for(|stop| *stop) => break None,
                why = connection.ended() => break Some(why),
                _ = broken.wait_for(|last| *last >= life) => {
                    // If it has ended its end says more.
                    let ended = timeout(GRACE, connection.ended()).await;
                    break Some(ended.unwrap_or_else(|_| "it takes no requests any more".to_owned()));
                }
                () = ears.changed.notified() => {
                    let peer = connection.peer();
                    let listing = async {
                        sleep(QUIET).await;
                        timeout(limit, list(&peer)).await
                    };
                    let listed = tokio::select! {
                        biased;
                        _ = stop.wait_for(|stop| *stop) => break None,
                        why = connection.ended() => break Some(why),
                        listed = listing => listed,
                    };
                    match listed {
                        Ok(Ok(tools)) => {
                            self.memory.keep(&tools);
                            let _ = news.send(News::Tools(tools));
                        }
                        Ok(Err(why)) => debug!(server = &*self.name, why, "its tools stay"),
                        Err(_) => debug!(server = &*self.name, "it does not list them, they stay"),
                    }
                }
            }
        };
        self.state.send_replace(State::Away);
        self.note(|status| {
            status.address.take_if(|address| matches!(address, Address::Process(_)))
        });
        connection.close().await;
        died_of.map(|cause| Death { cause, was_ready: true })
    }
}

/// What a life ended with.
struct Death {
    cause: String,
    /// It had taken calls.
    was_ready: bool,
}

impl Death {
    fn at_start(cause: String) -> Self {
        Self { cause, was_ready: false }
    }
}
