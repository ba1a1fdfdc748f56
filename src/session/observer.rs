//! Those who hear what happens in all sessions of a runtime: what a page, metrics and traces are
//! made of, so that they cannot disagree.

use std::cell::Cell;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use tracing::error;

use crate::conversation::{CallKey, Record, SessionId, TraceParent};
use crate::supervision::RoundReport;
use crate::tools::message_of;

/// Hears what happens in all sessions of a runtime
/// ([`RuntimeBuilder::observe`](super::RuntimeBuilder::observe)).
///
/// It is told on the sessions' own threads, between their steps: it must not block, and must not ask
/// or subscribe to a session. What it is told of one session comes in order, of several at the same time
/// from several threads. A panic is logged, and hurts nobody.
pub trait Observer: Send + Sync {
    /// A turn is about to begin, or to go on after it was cut: told before its events, and once more where
    /// it goes on elsewhere. It may still never be on record.
    fn on_turn(&self, begun: &TurnBegun<'_>) {
        let _ = begun;
    }

    /// The span of the call that is about to be handed to its worker, for the tool to pass on
    /// ([`CallContext::trace_parent`](crate::CallContext::trace_parent)). Asked after its beginning was
    /// told; the first observer that knows one counts, and without any the span of whoever asked.
    fn trace_parent(&self, call: &CallKey) -> Option<TraceParent> {
        let _ = call;
        None
    }

    /// Something happened: told when subscribers are told, and once, wherever the session goes on. What is
    /// [durable](crate::Event::is_durable) is in the journal by then, except the end of a turn that the
    /// store did not take, and news of workers between turns.
    fn on_record(&self, record: &Record) {
        let _ = record;
    }

    /// Says whether [`Observer::on_record`] is also to hear what is not kept: pieces of text as the model
    /// writes them, how far calls are. Asked once. They are many, and cost something to tell.
    fn hears_passing(&self) -> bool {
        true
    }

    /// A round has ended: told before the end of its turn, unless that came in the middle of it. Of a turn
    /// that ends here, this is the one that its [`TurnReport`](super::TurnReport) has.
    fn on_round(&self, session: &SessionId, report: &Arc<RoundReport>) {
        let _ = (session, report);
    }

    /// A session woke, fell asleep or ended. Each `before` was the `now` of the last time; of one that
    /// is woken just as it falls asleep the two may be told in either order.
    fn on_presence(&self, session: &SessionId, before: Presence, now: Presence) {
        let _ = (session, before, now);
    }

    /// The journal has answered to a batch of records, or was not waited for any longer.
    fn on_append(&self, session: &SessionId, appended: Appended) {
        let _ = (session, appended);
    }
}

/// A turn that is about to begin, or to go on.
#[derive(Clone, Copy, Debug)]
#[non_exhaustive]
pub struct TurnBegun<'a> {
    /// The conversation.
    pub session: &'a SessionId,
    /// Counts the session's turns from 1.
    pub turn: u64,
    /// The session's first model, by its configured name.
    pub model: &'a str,
    /// The [name](crate::model::Dialect::name) of the dialect that it speaks.
    pub dialect: &'static str,
    /// What the question is a part of ([`Question::trace_parent`](super::Question::trace_parent)).
    pub trace_parent: Option<&'a TraceParent>,
}

/// Where a session is.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Presence {
    /// Not in this runtime: in the store at most.
    #[default]
    Away,
    /// A coordinator runs it.
    Awake,
    /// It rests, and somebody has a handle of it.
    Asleep,
    /// It was given up, or its arbiter has ended.
    Ended,
}

/// What became of a batch of records on its way into the journal.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Appended {
    /// How many there are.
    pub records: usize,
    /// How long the journal took.
    pub took: Duration,
    /// It has not taken them, or has not said so in time.
    pub failed: bool,
}

/// All of a runtime's. Cheap to clone; nothing where there are none.
#[derive(Clone, Default)]
pub(super) struct Observers(Option<Arc<All>>);

struct All {
    /// And whether each hears what is not kept.
    all: Vec<(Arc<dyn Observer>, bool)>,
    panics: AtomicU64,
}

impl Observers {
    pub fn new(all: Vec<Arc<dyn Observer>>) -> Self {
        let is_none = all.is_empty();
        let asked = |observer: Arc<dyn Observer>| {
            let hears = catch_unwind(AssertUnwindSafe(|| observer.hears_passing()));
            (observer, hears.unwrap_or_default())
        };
        let all = All { all: all.into_iter().map(asked).collect(), panics: AtomicU64::new(0) };
        Self((!is_none).then(|| Arc::new(all)))
    }

    /// Says whether there are any.
    pub fn are_some(&self) -> bool {
        self.0.is_some()
    }

    /// Says whether any hears what is not kept.
    pub fn hear_passing(&self) -> bool {
        self.0.as_ref().is_some_and(|all| all.all.iter().any(|(_, hears)| *hears))
    }

    pub fn on_turn(&self, begun: &TurnBegun<'_>) {
        self.each(|observer| observer.on_turn(begun));
    }

    pub fn trace_parent(&self, call: &CallKey) -> Option<TraceParent> {
        let found = Cell::new(None);
        self.each(|observer| found.set(found.get().or_else(|| observer.trace_parent(call))));
        found.get()
    }

    pub fn on_record(&self, record: &Record) {
        let Some(all) = &self.0 else { return };
        let is_kept = record.event.is_durable();
        all.tell(|hears| is_kept || hears, |observer| observer.on_record(record));
    }

    pub fn on_round(&self, session: &SessionId, report: &Arc<RoundReport>) {
        self.each(|observer| observer.on_round(session, report));
    }

    pub fn on_presence(&self, session: &SessionId, before: Presence, now: Presence) {
        if before != now {
            self.each(|observer| observer.on_presence(session, before, now));
        }
    }

    pub fn on_append(&self, session: &SessionId, appended: Appended) {
        self.each(|observer| observer.on_append(session, appended));
    }

    fn each(&self, tell: impl Fn(&dyn Observer)) {
        if let Some(all) = &self.0 {
            all.tell(|_| true, tell);
        }
    }
}

impl All {
    fn tell(&self, hears: impl Fn(bool) -> bool, tell: impl Fn(&dyn Observer)) {
        for (observer, passing) in &self.all {
            if hears(*passing)
                && let Err(panic) = catch_unwind(AssertUnwindSafe(|| tell(&**observer)))
            {
                let (cause, panics) =
                    (message_of(panic), self.panics.fetch_add(1, Ordering::Relaxed) + 1);
                if panics.is_power_of_two() {
                    error!(%cause, panics, "an observer panicked"); // It may do so at each record.
                }
            }
        }
    }
}
