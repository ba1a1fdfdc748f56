//! Traces for OpenTelemetry: a span `invoke_agent` per turn, within it `chat` per request to the model and
//! `execute_tool` per call, with the names of the conventions for generative AI. They are made of the
//! events of the sessions, with those events' times, and are sent in batches over OTLP (HTTP, protobuf).
//!
//! What people, models and tools say is in no span unless
//! [`capture_content`](TraceSettings::capture_content) is set.

mod attributes;
mod export;
mod turn;

use std::collections::HashMap;
use std::fmt;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use opentelemetry_sdk::trace::SpanData;

use self::export::Export;
pub use self::export::StartError;
use self::turn::Turn;
use super::lock;
use crate::conversation::{CallKey, Event, Record, SessionId, TraceParent};
use crate::session::{Observer, Presence, TurnBegun};
use crate::supervision::RoundReport;

/// For what is left when the observer is dropped.
const LAST_TIME_LIMIT: Duration = Duration::from_secs(3);

/// Where traces go, and what is in them.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TraceSettings {
    /// The base URL of an OTLP receiver, to which `/v1/traces` is added where it does not end so. Without it
    /// the usual variables say where: `OTEL_EXPORTER_OTLP_TRACES_ENDPOINT`, `OTEL_EXPORTER_OTLP_ENDPOINT`.
    pub endpoint: Option<String>,
    /// The `service.name` of the resource.
    pub service_name: String,
    /// Prompts, replies, arguments and results are in the spans.
    pub capture_content: bool,
}

impl Default for TraceSettings {
    fn default() -> Self {
        Self { endpoint: None, service_name: "callsheet".to_owned(), capture_content: false }
    }
}

/// The observer that makes spans. A span is sent once it has ended; where the receiver does not keep up,
/// spans beyond a bounded queue (2,048, or `OTEL_BSP_MAX_QUEUE_SIZE`) are dropped, and no session waits.
/// Dropped without a [`shutdown`](Traces::shutdown), as with the runtime that it observes, it sends what
/// is left first, for three seconds at most.
pub struct Traces {
    captures: bool,
    turns: Mutex<HashMap<SessionId, Turn>>,
    export: Export,
}

impl Traces {
    /// Starts the thread that sends them.
    ///
    /// # Errors
    /// [`StartError`] if the endpoint is no URL, or the operating system gives no thread.
    pub fn start(settings: &TraceSettings) -> Result<Arc<Self>, StartError> {
        let export = Export::start(settings)?;
        let (captures, turns) = (settings.capture_content, Mutex::default());
        Ok(Arc::new(Self { captures, turns, export }))
    }

    /// Sends what has ended by now, and no more after it; waits for `limit` at most, on this thread. Says
    /// whether all was taken. Turns that are still under way are not sent: shut the runtime down before.
    pub fn shutdown(&self, limit: Duration) -> bool {
        self.export.shutdown(limit)
    }

    fn send(&self, spans: impl IntoIterator<Item = SpanData>) {
        spans.into_iter().for_each(|span| self.export.send(span));
    }
}

impl Drop for Traces {
    /// Sends what is left, for a few seconds at most.
    fn drop(&mut self) {
        self.export.shutdown(LAST_TIME_LIMIT);
    }
}

impl fmt::Debug for Traces {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Traces").finish_non_exhaustive()
    }
}

impl Observer for Traces {
    fn hears_passing(&self) -> bool {
        false
    }

    fn on_turn(&self, begun: &TurnBegun<'_>) {
        let mut turns = lock(&self.turns);
        // One that goes on elsewhere in this process is the same span.
        if turns.get(begun.session).is_none_or(|turn| turn.number != begun.turn) {
            turns.insert(begun.session.clone(), Turn::new(begun, self.captures));
        }
    }

    fn on_record(&self, record: &Record) {
        let mut turns = lock(&self.turns);
        let Some(turn) = turns.get_mut(&record.session) else { return };
        let (unanswered, span) = (turn.end_unanswered(record), turn.on(record));
        if matches!(record.event, Event::TurnEnded { turn: number, .. } if number == turn.number) {
            turns.remove(&record.session);
        }
        drop(turns);
        self.send(unanswered.into_iter().chain(span));
    }

    fn on_round(&self, session: &SessionId, report: &Arc<RoundReport>) {
        if let Some(turn) = lock(&self.turns).get_mut(session) {
            turn.on_round(report);
        }
    }

    fn on_presence(&self, session: &SessionId, _before: Presence, now: Presence) {
        if now != Presence::Awake {
            let lost = lock(&self.turns).remove(session);
            self.send(lost.and_then(Turn::lost));
        }
    }

    fn trace_parent(&self, call: &CallKey) -> Option<TraceParent> {
        lock(&self.turns).get(&call.session)?.trace_parent(call.place())
    }
}
