//! Tools that change while sessions use them: a server comes, goes, or offers others.

use std::fmt;
use std::sync::Arc;

use tokio::sync::watch;

use super::ToolSet;

/// The tools of this moment, as a [`ToolPublisher`] last said. Cheap to clone.
///
/// A session with it ([`crate::SessionOptions::tool_source`]) looks each time it asks its model: a
/// change takes effect in the next request. Calls that have begun are not touched by it.
#[derive(Clone)]
pub struct ToolSource(watch::Receiver<Arc<ToolSet>>);

/// Says what the tools are. A source without its publisher keeps the last ones.
#[derive(Debug)]
pub struct ToolPublisher(watch::Sender<Arc<ToolSet>>);

impl ToolPublisher {
    /// Begins with `tools`.
    #[must_use]
    pub fn new(tools: Arc<ToolSet>) -> Self {
        Self(watch::Sender::new(tools))
    }

    /// What sessions take.
    #[must_use]
    pub fn source(&self) -> ToolSource {
        ToolSource(self.0.subscribe())
    }

    /// From now on the tools are these. A clone of a tool that was offered before is that tool: its
    /// limits, its health and its workers stay.
    pub fn publish(&self, tools: Arc<ToolSet>) {
        self.0.send_replace(tools);
    }
}

impl ToolSource {
    /// The tools of this moment.
    #[must_use]
    pub fn current(&self) -> Arc<ToolSet> {
        Arc::clone(&self.0.borrow())
    }

    /// Waits until they are others than when this value last waited, or was made or cloned from another.
    /// False if they will not change any more.
    pub async fn changed(&mut self) -> bool {
        self.0.changed().await.is_ok()
    }
}

impl fmt::Debug for ToolSource {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("ToolSource").field(&self.0.borrow().len()).finish()
    }
}
