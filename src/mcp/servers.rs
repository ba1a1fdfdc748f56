//! All servers of a program, and the thread that their connections live on.

use std::collections::HashSet;
use std::io;
use std::sync::{Arc, Mutex, PoisonError, mpsc as std_mpsc};
use std::thread;
use std::time::Duration;

use futures_util::future::join_all;
use tokio::sync::{mpsc, watch};
use tokio::time::timeout;
use tracing::warn;

use super::merge::{Merge, Refused};
use super::server::{News, Server, ServerStatus};
use super::{LastStart, ServerSettings};
use crate::supervision::RestartLimits;
use crate::tools::{ToolPublisher, ToolSource, ToolType};

/// How long all servers together may take to end.
const END: Duration = Duration::from_secs(4);

/// So many lines at most are kept of what is not offered: a server may list other nonsense each time.
const MAX_NOTES: usize = 1_000;

/// And so many characters of each part of them.
const MAX_WORDS: usize = 300;

/// Something that a server lists and that is not offered.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Left {
    /// The tool's full name.
    pub tool: String,
    /// Why it is not offered.
    pub why: String,
}

/// Which of all tools are offered.
#[derive(Clone, Debug, Default)]
pub struct Choice {
    /// By their full names; `None` = all of them.
    pub only: Option<HashSet<String>>,
    /// How many in all, the fixed ones included; `None` = any number.
    pub most: Option<usize>,
}

/// The servers of a program. They run until this is dropped, which waits for their orderly end, some
/// seconds at most.
pub struct Servers {
    servers: Vec<Arc<Server>>,
    source: ToolSource,
    left: Arc<Mutex<Vec<Left>>>,
    stop: watch::Sender<bool>,
    /// Tells when their thread has ended.
    ended: std_mpsc::Receiver<()>,
}

impl Servers {
    /// Starts the servers of `settings`, all at once. Those of their tools that `choice` takes are
    /// offered behind `fixed` as soon as they are known, from the last time or from the server; servers that are started again have the
    /// rests of `limits`.
    ///
    /// # Errors
    /// If the operating system gives no thread. That a server does not start is no error: see
    /// [`Servers::status`].
    pub fn start(
        settings: Vec<ServerSettings>,
        fixed: Vec<ToolType>,
        choice: Choice,
        limits: &RestartLimits,
    ) -> io::Result<Self> {
        let server = |settings| {
            let (server, listing) = Server::new(settings, limits.clone());
            (Arc::new(server), listing)
        };
        let (servers, listings): (Vec<Arc<Server>>, Vec<_>) =
            settings.into_iter().map(server).unzip();
        let mut merge = Merge::new(fixed, &servers, choice);
        for (place, listing) in listings.into_iter().enumerate() {
            merge.take_in(place, News::Tools(listing)); // What is wrong with it is said by the next.
        }
        let publisher = ToolPublisher::new(merge.all().0);
        let (source, left) = (publisher.source(), Arc::<Mutex<Vec<Left>>>::default());
        let (stop, stopped) = watch::channel(false);
        let (ending, ended) = std_mpsc::channel();
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
        let (kept, noted) = (servers.clone(), Arc::clone(&left));
        thread::Builder::new().name("callsheet-mcp".to_owned()).spawn(move || {
            runtime.block_on(keep(kept, (merge, publisher), noted, stopped));
            runtime.shutdown_background();
            drop(ending);
        })?;
        Ok(Self { servers, source, left, stop, ended })
    }

    /// The tools of this moment, the fixed ones included.
    #[must_use]
    pub fn source(&self) -> ToolSource {
        self.source.clone()
    }

    /// Waits until each server has listed its tools or failed to start, for each not longer than
    /// `patience` says, which hears how its last start went.
    pub async fn settled(&self, patience: impl Fn(&ServerSettings, LastStart) -> Duration) {
        let settled = |server: &Arc<Server>| {
            let last_start = server.status().last_start;
            let (limit, server) = (patience(&server.settings, last_start), Arc::clone(server));
            async move {
                if timeout(limit, server.settled()).await.is_err() {
                    server.is_late();
                }
            }
        };
        join_all(self.servers.iter().map(settled)).await;
    }

    /// How each server is, in the order of the settings.
    #[must_use]
    pub fn status(&self) -> Vec<ServerStatus> {
        self.servers.iter().map(|server| server.status()).collect()
    }

    /// What was listed so far and is not offered, each told once.
    #[must_use]
    pub fn left_out(&self) -> Vec<Left> {
        self.left.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }
}

impl Drop for Servers {
    fn drop(&mut self) {
        self.stop.send_replace(true);
        let _ = self.ended.recv_timeout(END);
    }
}

/// Runs all servers, and says what the tools are whenever they change.
async fn keep(
    servers: Vec<Arc<Server>>,
    (mut merge, publisher): (Merge, ToolPublisher),
    left: Arc<Mutex<Vec<Left>>>,
    stop: watch::Receiver<bool>,
) {
    let (tell, mut told) = mpsc::unbounded_channel();
    let run = servers.iter().enumerate().map(|(place, server)| {
        let (news, mut heard) = mpsc::unbounded_channel::<News>();
        let (tell, stop) = (tell.clone(), stop.clone());
        async move {
            let pass_on = async {
                while let Some(news) = heard.recv().await {
                    let _ = tell.send((place, news));
                }
            };
            tokio::join!(server.run(news, stop), pass_on);
        }
    });
    let run = join_all(run);
    drop(tell);
    let mut said = HashSet::new();
    let listen = async {
        while let Some((place, news)) = told.recv().await {
            if let Some(refused) = merge.take_in(place, news) {
                let (tools, besides) = merge.all();
                for refused in refused.into_iter().chain(besides) {
                    note(&mut said, &left, refused);
                }
                publisher.publish(tools);
            }
            servers[place].settle();
        }
    };
    tokio::join!(run, listen);
}

fn note(said: &mut HashSet<Refused>, left: &Mutex<Vec<Left>>, (tool, why): Refused) {
    let shorter = |text: String| match text.char_indices().nth(MAX_WORDS) {
        Some((end, _)) => format!("{}…", &text[..end]),
        None => text,
    };
    let (tool, why) = (shorter(tool), shorter(why));
    if said.len() < MAX_NOTES && said.insert((tool.clone(), why.clone())) {
        warn!(tool, why, "a tool of a server is left out");
        left.lock().unwrap_or_else(PoisonError::into_inner).push(Left { tool, why });
    }
}
