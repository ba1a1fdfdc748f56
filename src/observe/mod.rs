//! What an operator watches: one observer of a runtime, and what it makes of what it hears. The page,
//! the metrics and the traces are fed by the events and the reports that the caller of a session gets,
//! and by nothing else, so that they cannot disagree.
//!
//! ```
//! # fn main() -> Result<(), Box<dyn std::error::Error>> {
//! use callsheet::Runtime;
//! use callsheet::observe::Overview;
//! use std::sync::Arc;
//!
//! let overview = Arc::new(Overview::new());
//! let runtime = Runtime::builder().observe(overview.clone()).start()?;
//! for tool in overview.tools().snapshot() {
//!     println!("{}: {} calls, {} failed, {} in flight", tool.name, tool.calls, tool.failed, tool.in_flight);
//! }
//! # drop(runtime);
//! # Ok(()) }
//! ```
//!
//! - [`Overview::tools`]: a [`ToolSnapshot`] per tool type, for `GET /v1/tools`. Tools that have not been
//!   called are not in it. Whether a tool is withdrawn in the whole process, also where the watchdog did
//!   it, says [`ToolType::health`](crate::ToolType::health); the snapshot's [`CircuitView`] has the
//!   sessions that have withdrawn it for themselves, too.
//! - `Overview::metrics` (feature `server`): `Metrics::encode` answers `GET /metrics`, given the request's
//!   `Accept` header.
//! - `Traces` (feature `otel`): an observer of its own, beside the overview.

mod facts;
#[cfg(feature = "server")]
mod metrics;
#[cfg(feature = "otel")]
mod otel;
mod tool_stats;
mod window;

use std::fmt;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use self::facts::Facts;
#[cfg(feature = "server")]
pub use self::metrics::Metrics;
#[cfg(feature = "otel")]
pub use self::otel::{StartError, TraceSettings, Traces};
pub use self::tool_stats::{CircuitView, LastError, LastRestart, OTHER, ToolSnapshot, ToolStats};
pub use self::window::Percentiles;
use crate::conversation::{Record, SessionId};
use crate::session::{Appended, Observer, Presence};
use crate::supervision::RoundReport;

/// The observer that page and metrics are fed by. For one runtime; what it keeps is bounded.
pub struct Overview {
    facts: Mutex<Facts>,
    tools: Arc<ToolStats>,
    #[cfg(feature = "server")]
    metrics: Metrics,
}

impl Overview {
    /// Nothing has been heard yet.
    #[must_use]
    pub fn new() -> Self {
        let tools = Arc::new(ToolStats::default());
        Self {
            facts: Mutex::default(),
            #[cfg(feature = "server")]
            metrics: Metrics::new(&tools),
            tools,
        }
    }

    /// How each tool is.
    #[must_use]
    pub fn tools(&self) -> &ToolStats {
        &self.tools
    }

    /// The numbers for Prometheus.
    #[cfg(feature = "server")]
    #[must_use]
    pub fn metrics(&self) -> &Metrics {
        &self.metrics
    }
}

impl Default for Overview {
    fn default() -> Self {
        Self::new()
    }
}

impl fmt::Debug for Overview {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Overview").finish_non_exhaustive()
    }
}

impl Observer for Overview {
    fn hears_passing(&self) -> bool {
        false
    }

    fn on_record(&self, record: &Record) {
        lock(&self.facts).on(record, &mut |fact| {
            self.tools.on(record.at_us, &fact);
            #[cfg(feature = "server")]
            self.metrics.on(&fact);
        });
    }

    fn on_round(&self, _session: &SessionId, report: &Arc<RoundReport>) {
        #[cfg(feature = "server")]
        self.metrics.on_round(report);
        #[cfg(not(feature = "server"))]
        let _ = report;
    }

    fn on_presence(&self, session: &SessionId, before: Presence, now: Presence) {
        if now != Presence::Awake {
            lock(&self.facts).forget(session, &mut |fact| self.tools.on(0, &fact));
            self.tools.forget_circuits_of(session);
        }
        #[cfg(feature = "server")]
        self.metrics.on_presence(before, now);
        #[cfg(not(feature = "server"))]
        let _ = before;
    }

    fn on_append(&self, _session: &SessionId, appended: Appended) {
        #[cfg(feature = "server")]
        self.metrics.on_append(appended);
        #[cfg(not(feature = "server"))]
        let _ = appended;
    }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
