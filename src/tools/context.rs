//! What a call knows of itself and of who asked for it.

use std::any::Any;
use std::fmt;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, OnceLock, PoisonError};
use std::task::{Context, Poll};
use std::time::Duration;

use futures_util::task::AtomicWaker;
use tokio::sync::{Notify, mpsc};
use tokio::time::Instant;

use super::Waits;
#[cfg(feature = "mcp")]
use super::tries::Absent;
use super::tries::{Spent, Tries};
use crate::conversation::{CallKey, Place, TraceParent};

/// A value of the embedding program that travels with every call of a session or a question: a
/// tenant, a request, a user.
pub type TypedContext = Arc<dyn Any + Send + Sync>;

/// The call's own facts. Cheap to clone, and `Send`: it may go along to a thread that does the
/// work.
#[derive(Clone)]
pub struct CallContext(Arc<Inner>);

struct Inner {
    facts: Facts,
    begun: OnceLock<Beginning>,
    over: AtomicBool,
    changed: Notify,
    /// Whoever runs the call.
    runner: AtomicWaker,
    /// Of a call that may wait for others or be tried again.
    care: OnceLock<Box<Cared>>,
}

/// How a call began. Short, for there are many: what is longer than an hour is said to be that.
struct Beginning {
    at: Instant,
    generation: u32,
    startup_us: u32,
    backoff_us: u32,
}

struct Cared {
    /// The same for all tries of a call.
    tries: Arc<Mutex<Tries>>,
    /// The last sign of life: microseconds since it began.
    sign: AtomicU64,
}

/// News of a call that is under way.
#[derive(Debug)]
pub(crate) struct CallNews {
    pub round: u64,
    pub place: Place,
    pub what: News,
}

/// What there is to tell of it.
#[derive(Debug)]
pub(crate) enum News {
    /// The tool says how far it is.
    Progressed { message: String },
    /// It waits for its turn; so many calls of its tool were there before.
    Queued { ahead: u64 },
    /// A try failed; after a rest there will be another.
    Retrying { attempt: u32, cause: String, rest: Duration },
}

/// What a call is told when it begins.
#[derive(Clone)]
pub(crate) struct Facts {
    pub key: CallKey,
    pub attempt: u32,
    pub deadline: Instant,
    pub typed: Option<TypedContext>,
    pub trace_parent: Option<Arc<TraceParent>>,
    pub watcher: Option<mpsc::Sender<CallNews>>,
}

impl CallContext {
    pub(crate) fn new(facts: Facts) -> Self {
        let (over, changed) = (AtomicBool::new(false), Notify::new());
        let (begun, runner, care) = (OnceLock::new(), AtomicWaker::new(), OnceLock::new());
        Self(Arc::new(Inner { facts, begun, over, changed, runner, care }))
    }

    /// The same call, at the try `attempt`: what ends is the try, and not the call.
    pub(super) fn at_attempt(&self, attempt: u32, now: Instant) -> Self {
        let context = Self::new(Facts { attempt, ..self.0.facts.clone() });
        if let Some(care) = self.0.care.get() {
            context.go_on_with(Arc::clone(&care.tries));
        }
        context.begin(now, 0, &Waits::default());
        context
    }

    /// The call's name for ever; hand it on as an idempotency key.
    #[must_use]
    pub fn key(&self) -> &CallKey {
        &self.0.facts.key
    }

    /// Which try this is, from 1.
    #[must_use]
    pub fn attempt(&self) -> u32 {
        self.0.facts.attempt
    }

    /// When the call is dropped if it has not ended.
    #[must_use]
    pub fn deadline(&self) -> Instant {
        self.0.facts.deadline
    }

    /// The caller's own value, if it is a `T`: what was given with the question, else with the
    /// session.
    #[must_use]
    pub fn get<T: Any + Send + Sync>(&self) -> Option<&T> {
        self.0.facts.typed.as_ref()?.downcast_ref()
    }

    /// The call's own span in a distributed trace, to pass on to whoever does its work: as the text of
    /// a header `traceparent`. The same on each try. Where nobody makes spans it is that of whoever asked
    /// ([`Question::trace_parent`](crate::Question::trace_parent)), and `None` if that is not known either.
    #[must_use]
    pub fn trace_parent(&self) -> Option<TraceParent> {
        self.0.facts.trace_parent.as_deref().copied()
    }

    /// Tells those who watch how far the call is (of more than they can follow some is left out), and that it is alive: it begins the tool's
    /// silence limit anew ([`super::ToolType::silence_limit`]).
    pub fn report_progress(&self, message: impl Into<String>) {
        if let (Some(began), Some(care)) = (self.began(), self.0.care.get()) {
            let since = u64::try_from(began.elapsed().as_micros()).unwrap_or(u64::MAX);
            care.sign.fetch_max(since, Ordering::AcqRel);
        }
        if self.0.facts.watcher.is_some() && !self.is_over() {
            self.tell(News::Progressed { message: message.into() });
        }
    }

    /// Tells those who watch.
    pub(super) fn tell(&self, what: News) {
        if let Some(watcher) = &self.0.facts.watcher {
            let (round, place) = (self.key().round, self.key().place());
            // The turn may be over, or so much be said that some of it is lost.
            drop(watcher.try_send(CallNews { round, place, what }));
        }
    }

    /// When the call last showed that it is alive; `None` before it began.
    pub(super) fn last_sign(&self) -> Option<Instant> {
        let sign = self.0.care.get()?.sign.load(Ordering::Acquire);
        Some(self.began()? + Duration::from_micros(sign))
    }

    /// Begins the account of a call that may wait for others or be tried again.
    pub(super) fn keep_account(&self, dispatched: Instant) {
        self.go_on_with(Arc::new(Mutex::new(Tries::new(dispatched))));
    }

    fn go_on_with(&self, tries: Arc<Mutex<Tries>>) {
        let _ = self.0.care.set(Box::new(Cared { tries, sign: AtomicU64::new(0) }));
    }

    /// Goes on with that account; nothing without one.
    pub(super) fn account<T>(&self, go_on: impl FnOnce(&mut Tries) -> T) -> Option<T> {
        let care = self.0.care.get()?;
        Some(go_on(&mut care.tries.lock().unwrap_or_else(PoisonError::into_inner)))
    }

    /// What the tool needs is away: from now on the call waits for it, until [`Self::run_on`]. Only of
    /// a call whose account is kept.
    #[cfg(feature = "mcp")]
    pub(crate) fn wait_for(&self, absent: Absent) {
        self.account(|tries| tries.wait_for(absent, Instant::now()));
    }

    /// What the tool needs is there, and the call runs.
    #[cfg(feature = "mcp")]
    pub(crate) fn run_on(&self) {
        self.account(|tries| tries.run_on(Instant::now()));
    }

    /// Where the time of the call, which was dispatched at `dispatched`, went until `now`. Before it
    /// began it was queued, for all that is known here, if no account is kept.
    pub(crate) fn spent(&self, dispatched: Instant, now: Instant) -> Spent {
        if let Some(spent) = self.account(|tries| tries.spent(now)) {
            return spent;
        }
        let begun = self.0.begun.get();
        let left_queue = begun.map_or(now, |begun| begun.at);
        let startup = begun.map_or(0, |begun| begun.startup_us);
        let backoff = begun.map_or(0, |begun| begun.backoff_us);
        let (startup, backoff) =
            (Duration::from_micros(startup.into()), Duration::from_micros(backoff.into()));
        let waited = left_queue.saturating_duration_since(dispatched);
        Spent {
            waits: Waits { queued: waited.saturating_sub(startup + backoff), startup, backoff },
            ran: now.saturating_duration_since(left_queue),
            attempts: u32::from(begun.is_some()),
            generation: begun.map_or(0, |begun| begun.generation),
        }
    }

    /// Says whether the call is over: answered, cancelled or out of time. The call's future is
    /// dropped then, so only work that was moved elsewhere (a thread, another task) needs to ask.
    #[must_use]
    pub fn is_over(&self) -> bool {
        self.0.over.load(Ordering::Acquire)
    }

    /// Waits until the call is over. Dropping the future is harmless.
    pub async fn over(&self) {
        let changed = self.0.changed.notified();
        if !self.is_over() {
            changed.await;
        }
    }

    /// The call leaves the queue and begins.
    pub(super) fn begin(&self, at: Instant, generation: u32, waits: &Waits) {
        let micros = |time: Duration| u32::try_from(time.as_micros()).unwrap_or(u32::MAX);
        let (startup_us, backoff_us) = (micros(waits.startup), micros(waits.backoff));
        let _ = self.0.begun.set(Beginning { at, generation, startup_us, backoff_us });
    }

    /// When the call began, if it has.
    pub(crate) fn began(&self) -> Option<Instant> {
        Some(self.0.begun.get()?.at)
    }

    /// Nobody waits for the call any more: whoever runs it stops it.
    pub(crate) fn give_up(&self) {
        self.end();
        self.0.runner.wake();
    }

    pub(super) fn end(&self) {
        if !self.0.over.swap(true, Ordering::AcqRel) {
            self.0.changed.notify_waiters();
        }
    }

    /// Ready once the call is over.
    pub(super) fn poll_over(&self, cx: &Context<'_>) -> Poll<()> {
        if !self.is_over() {
            self.0.runner.register(cx.waker());
        }
        if self.is_over() { Poll::Ready(()) } else { Poll::Pending }
    }
}

impl fmt::Debug for CallContext {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("CallContext")
            .field("key", self.key())
            .field("attempt", &self.attempt())
            .field("deadline", &self.deadline())
            .finish_non_exhaustive()
    }
}
