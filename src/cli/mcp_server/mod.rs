//! Our tools for clients of the Model Context Protocol: over standard input and output, or HTTP.
//!
//! A call is a round of one call in a session of its own. So calls of one client run side by side, and
//! each has a worker, the guard, the limits and the report of any other; what tools share in the whole
//! process, such as places in a line and circuits, they share here too. Nobody is there to approve a
//! call: one that needs it is denied, unless its tool was approved beforehand.

mod bearer;
mod call;
mod http;
mod listeners;
mod listing;
mod service;
mod stdio;

use std::sync::Arc;
use std::time::Duration;

use tokio::task::JoinHandle;

pub(super) use bearer::Bearer;
pub(super) use http::Listener;
pub(super) use stdio::serve as serve_stdio;

use self::listeners::Listeners;
use crate::session::{Runtime, SessionOptions};
use crate::tools::{ToolSet, ToolSource};

/// How long answers may take to leave at the end.
const LEAVING: Duration = Duration::from_secs(1);

/// The tools as they are served. Cheap to clone.
#[derive(Clone)]
pub(super) struct Served(Arc<Shared>);

struct Shared {
    tools: Arc<ToolSet>,
    /// Where they change, if they can.
    source: Option<ToolSource>,
    runtime: Arc<Runtime>,
    /// What the session of a call is made of, but for its model.
    options: SessionOptions,
    listeners: Listeners,
}

impl Served {
    /// Serves `tools`, or those of `source` as they are, in sessions that are made of `options`.
    pub fn new(
        (tools, source): (Arc<ToolSet>, Option<ToolSource>),
        runtime: Arc<Runtime>,
        options: SessionOptions,
    ) -> Self {
        let options = options.cut_large_results();
        let listeners = Listeners::default();
        Self(Arc::new(Shared { tools, source, runtime, options, listeners }))
    }

    /// Those of this moment.
    fn tools(&self) -> Arc<ToolSet> {
        self.0.source.as_ref().map_or_else(|| Arc::clone(&self.0.tools), ToolSource::current)
    }

    /// The longest time that a call may take, of the tools of this moment.
    fn longest_call(&self) -> Duration {
        let limits = self.tools();
        let limits = limits.iter().filter_map(|tool| tool.declared_time_limit());
        limits.max().unwrap_or_default().max(self.0.options.call_time_limit())
    }

    /// Tells the clients of handshakes when the tools change, for as long as the executor runs.
    fn tell_changes(&self) -> Option<JoinHandle<()>> {
        let mut source = self.0.source.clone()?;
        let served = self.clone();
        Some(tokio::spawn(async move {
            while source.changed().await {
                served.0.listeners.tell().await;
            }
        }))
    }
}
