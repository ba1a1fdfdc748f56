//! Servers of the Model Context Protocol, whatever they do, and their tools in a session.

mod faults;
mod lists;
mod plain;
mod real;
#[cfg(feature = "cli")]
mod settings;

use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use callsheet::mcp::{Choice, ServerSettings, Servers};
use callsheet::supervision::{Backoff, RestartLimits};
use callsheet::testing::{Scripted, ScriptedModel};
use callsheet::{Answer, CallReport, Limits, Runtime, Session, SessionOptions};

use crate::support::mcp_peer::Peer;

/// A directory that is gone at the end.
struct Directory(PathBuf);

impl Directory {
    fn new() -> Self {
        let name = format!("callsheet-mcp-{}", uuid());
        let directory = std::env::temp_dir().join(name);
        std::fs::create_dir_all(&directory).expect("there is room for it");
        Self(directory)
    }

    fn peer(&self, tools: &[&str]) -> Peer {
        Peer::new(tools, &self.0)
    }
}

fn uuid() -> String {
    use std::sync::atomic::{AtomicU32, Ordering};
    static NEXT: AtomicU32 = AtomicU32::new(0);
    format!("{}-{}", std::process::id(), NEXT.fetch_add(1, Ordering::Relaxed))
}

impl Drop for Directory {
    fn drop(&mut self) {
        let _ = std::fs::remove_dir_all(&self.0);
    }
}

/// Servers, and a session that has their tools. All of it in real time: servers are processes.
struct World {
    servers: Servers,
    runtime: Runtime,
}

/// Rests that cost a test little.
fn limits() -> RestartLimits {
    RestartLimits {
        backoff: Backoff { min: Duration::from_millis(5), max: Duration::from_millis(20) },
        cool_down: Duration::from_millis(1500),
        ..RestartLimits::default()
    }
}

impl World {
    /// Waits until each server has started or failed.
    async fn new(settings: impl IntoIterator<Item = ServerSettings>) -> Self {
        let world = Self::starting(settings);
        world.servers.settled(|_, _| Duration::MAX).await;
        world
    }

    fn starting(settings: impl IntoIterator<Item = ServerSettings>) -> Self {
        let settings = settings.into_iter().collect();
        let servers = Servers::start(settings, Vec::new(), Choice::default(), &limits());
        let runtime = Runtime::builder().arbiters(1).start().expect("it starts");
        Self { servers: servers.expect("there is a thread"), runtime }
    }

    fn session(&self, model: &Arc<ScriptedModel>) -> Session {
        let options = SessionOptions::new(model.clone(), Arc::default());
        let limits = Limits { call_time_limit: Duration::from_secs(20), ..Limits::default() };
        let options = options.tool_source(self.servers.source()).limits(limits);
        self.runtime.session(options)
    }

    async fn ask(&self, script: impl IntoIterator<Item = Scripted>) -> Answer {
        let model = ScriptedModel::new(script);
        let answer = self.session(&model).ask("go").await.expect("the turn ends well");
        assert_eq!(model.violations(), Vec::<String>::new());
        answer
    }

    /// The names of the tools of this moment.
    fn tools(&self) -> Vec<String> {
        self.servers.source().current().iter().map(|tool| tool.name().to_string()).collect()
    }

    /// What was left out, a line each.
    fn left_out(&self) -> Vec<String> {
        let left = self.servers.left_out();
        left.into_iter().map(|left| format!("{}: {}", left.tool, left.why)).collect()
    }
}

/// Its outcome, its code, and what the model is told.
fn told(call: &CallReport) -> (&'static str, Option<String>, String) {
    let outcome = call.outcome.map_or("open", |kind| kind.as_str());
    let code = call.error.as_ref().map(|problem| problem.code.to_string());
    (outcome, code, call.result.as_deref().unwrap_or_default().to_owned())
}

fn run<T>(test: impl Future<Output = T>) -> T {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
    runtime.expect("the operating system gives a runtime").block_on(test)
}
