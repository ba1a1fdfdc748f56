//! A place for sessions to live.

use std::cell::Cell;
use std::fmt;
use std::sync::Arc;
use std::sync::mpsc::Sender;
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use actix_rt::{Arbiter, ArbiterHandle, System};
use tokio::task::coop::unconstrained;

use super::home::Home;
use super::host::Host;
use super::observer::{Observer, Observers};
use super::pulse::Pulse;
use super::shutdown::{self, Alarm, Closing};
use super::watchdog::Watchdog;
use super::{Clock, Session, SessionOptions, ShutdownReport, StuckArbiter};
use crate::conversation::SessionId;
use crate::store::{Journal, MemoryStore};
use crate::tools::Capacity;
use crate::tools::later;

/// How many threads there may be for tools that block, where nothing else is said.
const BLOCKING_THREADS: usize = 64;

/// How long an arbiter may not answer, unless the builder is told otherwise.
const WATCHDOG_LIMIT: Duration = Duration::from_secs(1);

/// How long a session is kept awake to which nothing is sent, unless the builder is told otherwise.
const SLEEP_AFTER: Duration = Duration::from_secs(300);

thread_local! {
    /// Dropped with the thread of an arbiter, after all that ran there.
    static ALIVE: Cell<Option<Sender<()>>> = const { Cell::new(None) };
}

/// Why a runtime did not start.
#[derive(Debug, thiserror::Error)]
pub enum StartError {
    /// The operating system gave no thread.
    #[error("cannot start a thread for the runtime")]
    Thread(#[source] std::io::Error),
    /// [`RuntimeBuilder::in_current_system`] was called outside of one.
    #[error("no actix System runs on this thread")]
    NoSystem,
}

/// A place for sessions to live: a thread of its own with an actix System and its arbiters, or the
/// caller's running System. Cheap to clone.
///
/// When the last clone is dropped, a System of its own stops, and with it every session: turns that
/// are under way end with [`super::Error::Closed`], unless [`Runtime::shutdown`] has let them end in
/// good order. Dropping it waits until its threads have dropped what they ran, for a second at most
/// for one that a tool blocks, and not at all on one of them.
#[derive(Clone)]
pub struct Runtime {
    inner: Arc<Inner>,
}

struct Inner {
    home: Arc<Home>,
    closing: Closing,
    own: Option<OwnSystem>,
    /// Held, and so running.
    watchdog: Option<Watchdog>,
}

/// A System on a thread of the runtime's own.
struct OwnSystem {
    system: System,
    thread: Option<JoinHandle<()>>,
}

/// How a [`Runtime`] is made.
pub struct RuntimeBuilder {
    arbiters: usize,
    max_concurrency: usize,
    blocking_threads: usize,
    journal: Option<Arc<dyn Journal>>,
    clock: Option<Clock>,
    watchdog: Option<Duration>,
    sleep_after: Option<Duration>,
    observers: Vec<Arc<dyn Observer>>,
}

impl Runtime {
    /// A builder with the usual settings: one arbiter per core, records kept in memory, arbiters
    /// watched.
    #[must_use]
    pub fn builder() -> RuntimeBuilder {
        let (arbiters, max_concurrency, blocking_threads) = (0, 0, BLOCKING_THREADS);
        let (journal, clock, observers) = (None, None, Vec::new());
        let (watchdog, sleep_after) = (Some(WATCHDOG_LIMIT), Some(SLEEP_AFTER));
        RuntimeBuilder {
            arbiters,
            max_concurrency,
            blocking_threads,
            journal,
            clock,
            watchdog,
            sleep_after,
            observers,
        }
    }

    /// A handle of the session with the id of `options`, or of a new one. Returns at once.
    ///
    /// Where somebody in this runtime has a handle of it already, it is the same session, whose
    /// options stay. Otherwise it begins with what is first asked of it, on the next arbiter in turn
    /// that is not stuck, or goes on where the store has left it.
    #[must_use]
    pub fn session(&self, options: SessionOptions) -> Session {
        let home = &self.inner.home;
        let id = options.id.clone().unwrap_or_else(SessionId::random);
        Session::of(home.directory.enter(id, options, home))
    }

    /// How many sessions are awake, or somebody has a handle of.
    #[must_use]
    pub fn sessions(&self) -> usize {
        self.inner.home.directory.len()
    }

    /// Says whether a question is under way in the session `id`, or in line for it, whoever has asked it
    /// here. Does not wake the session, and waits for nothing.
    #[must_use]
    pub fn is_busy(&self, id: &SessionId) -> bool {
        self.inner.home.directory.find(id).is_some_and(|slot| slot.is_busy())
    }

    /// Says whether the session `id` is awake here: the store says then that this process has it.
    #[must_use]
    pub fn is_awake(&self, id: &SessionId) -> bool {
        self.inner.home.directory.find(id).is_some_and(|slot| slot.is_awake())
    }

    /// Lets the session `id` go, unless it [is busy](Runtime::is_busy): then it says false. Those who
    /// follow its events hear that they have ended. Where its journal
    /// [outlives that](Journal::outlives_close) it falls asleep, within milliseconds if its thread is not
    /// blocked, and gives the store back its lease; it wakes with whatever is sent to it next.
    pub fn release(&self, id: &SessionId) -> bool {
        self.inner.home.directory.find(id).is_none_or(|slot| slot.release())
    }

    /// The arbiters that do not answer, by what the watchdog found: something blocks their threads.
    /// A tool that does so cannot be ended; its sessions go on when it comes back. Empty without a
    /// watchdog.
    #[must_use]
    pub fn stuck_arbiters(&self) -> Vec<StuckArbiter> {
        let pulses = self.inner.home.pulses.iter().enumerate();
        let stuck = pulses.filter(|(_, pulse)| pulse.is_stuck());
        stuck.map(|(arbiter, pulse)| pulse.stuck(arbiter, pulse.heard().elapsed())).collect()
    }

    /// Ends the runtime in good order: no turn begins any more, those under way may end by
    /// themselves until `drain` has passed, and the rest is cut. Each call of a turn that is cut is
    /// answered `cancelled`, its end is in the store, and the one who asked gets
    /// [`super::Cause::ShutDown`]. Says what became of the turns.
    ///
    /// Returns as soon as no turn is under way; at the latest a second after `drain`, when it waits
    /// no longer for stores and arbiters that do not answer. Usable from any runtime, and again
    /// while another shutdown goes on: the shorter drain counts. Dropping the future does not stop a
    /// shutdown that has begun, which is when it is first polled. Sessions stay to be looked at
    /// until the runtime is dropped; a question to one, or to a new one, is answered
    /// [`super::Error::ShuttingDown`].
    pub async fn shutdown(&self, drain: Duration) -> ShutdownReport {
        self.inner.closing.begin();
        self.end(drain).await
    }

    /// Ends the runtime as [`Runtime::shutdown`] does, but for another to go on: a turn is left open as
    /// soon as none of its calls runs, and what runs has until `drain` has passed. Those who asked get
    /// [`super::Cause::ShutDown`], and the store has no end of the turn: [`Session::resume`] goes on with
    /// it, in this process or in another, and runs nothing again that had ended. What still ran after
    /// `drain` is dropped, as if the process had ended there.
    ///
    /// A turn that the store would forget with the process
    /// ([`Journal::outlives_close`]) is cut at last, as in a shutdown. The report counts the turns that
    /// were left among those that were cut, not recorded.
    pub async fn suspend(&self, drain: Duration) -> ShutdownReport {
        self.inner.closing.begin_to_leave();
        self.end(drain).await
    }

    async fn end(&self, drain: Duration) -> ShutdownReport {
        let inner = &self.inner;
        let (asked, until) = (Instant::now(), later(tokio::time::Instant::now(), drain));
        let mut alarm = Alarm::after(drain.saturating_add(shutdown::PATIENCE));
        let answers: Vec<_> =
            inner.home.hosts.iter().map(|host| Host::shut_down(host, until)).collect();
        let mut report = ShutdownReport::default();
        for (arbiter, answer) in answers.into_iter().enumerate() {
            tokio::select! {
                biased;
                // An arbiter that has ended has no turns.
                answer = unconstrained(answer) => report.add(answer.unwrap_or_default()),
                () = &mut alarm => {
                    let pulse = &inner.home.pulses[arbiter];
                    let watched = inner.watchdog.is_some();
                    let since = if watched { pulse.heard() } else { asked };
                    report.stuck.push(pulse.stuck(arbiter, since.elapsed()));
                }
            }
        }
        report
    }

    /// Has the workers of `tool` made anew, in all sessions that are awake, and says how many there
    /// were. Each begins its next generation behind its address, and its session's events tell so
    /// (`worker_restarted`, cause `restarted by hand`); what was held against the tool is forgotten,
    /// and its circuits close. Calls that run go on with what they began with, those that wait begin
    /// on the new worker.
    ///
    /// The workers of an arbiter that does not answer within a second are not counted, and are made
    /// anew when it comes back. A circuit for the whole process closes if a session that is awake has
    /// the tool.
    pub async fn restart_tool(&self, tool: &str) -> usize {
        let tool = Arc::from(tool);
        let hosts = self.inner.home.hosts.iter();
        let answers: Vec<_> = hosts.map(|host| Host::restart(host, &tool)).collect();
        let (mut alarm, mut workers) = (Alarm::after(shutdown::PATIENCE), 0);
        for answer in answers {
            tokio::select! {
                biased;
                // An arbiter that has ended has no workers.
                answer = unconstrained(answer) => workers += answer.unwrap_or_default(),
                () = &mut alarm => {}
            }
        }
        workers
    }

    /// Has an arbiter do `work`, which ends with the runtime at the latest.
    #[cfg(feature = "server")]
    pub(crate) fn spawn(&self, work: impl Future<Output = ()> + Send + 'static) {
        let home = &self.inner.home;
        home.host(home.next_place()).do_send(super::host::Work(Box::pin(work)));
    }

    /// How many arbiters share the sessions.
    #[must_use]
    pub fn arbiters(&self) -> usize {
        self.inner.home.hosts.len()
    }
}

impl fmt::Debug for Runtime {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Runtime").field("arbiters", &self.arbiters()).finish_non_exhaustive()
    }
}

impl Default for RuntimeBuilder {
    fn default() -> Self {
        Runtime::builder()
    }
}

impl RuntimeBuilder {
    /// How many arbiters, each a thread, share the sessions. 0, the default: one per core.
    #[must_use]
    pub fn arbiters(mut self, arbiters: usize) -> Self {
        self.arbiters = arbiters;
        self
    }

    /// Lets so many calls run at a time, of all sessions together; the others wait, first come, first
    /// served, within their time limits. 0, the default: any number.
    #[must_use]
    pub fn max_concurrency(mut self, calls: usize) -> Self {
        self.max_concurrency = calls;
        self
    }

    /// How many threads there may be for tools that block ([`crate::ToolType::blocking`]): 64 if it
    /// is not said, at least 1. They are started as they are needed, and end 10 s after their last
    /// call. A thread cannot be stopped: one whose call was given up counts until the tool returns,
    /// and when all are such, calls of blocking tools are answered `overloaded`.
    #[must_use]
    pub fn blocking_threads(mut self, threads: usize) -> Self {
        self.blocking_threads = threads.max(1);
        self
    }

    /// Where records are kept: in memory, until the runtime is dropped, if it is not said.
    #[must_use]
    pub fn journal(mut self, journal: Arc<dyn Journal>) -> Self {
        self.journal = Some(journal);
        self
    }

    /// The clock that events are stamped with: the system's if it is not said. No deadline depends on
    /// it.
    #[must_use]
    pub fn clock(mut self, clock: Clock) -> Self {
        self.clock = Some(clock);
        self
    }

    /// How long an arbiter may not answer before it is stuck: it is logged with the tool that it is
    /// in, and new sessions are placed elsewhere ([`Runtime::stuck_arbiters`]). A second unless
    /// set; `None` watches nothing. The time is the machine's, also where tokio's clock is paused.
    #[must_use]
    pub fn watchdog(mut self, limit: Option<Duration>) -> Self {
        self.watchdog = limit;
        self
    }

    /// How long a session is kept awake to which nothing is sent: it then sleeps until something is.
    /// 5 minutes if it is not said; `None` keeps it awake as long as it has a handle. While a turn is
    /// under way, or while somebody hears its events, it does not sleep; nor where the journal
    /// keeps nothing of a session that was closed ([`Journal::outlives_close`]).
    #[must_use]
    pub fn sleep_after(mut self, quiet: Option<Duration>) -> Self {
        self.sleep_after = quiet;
        self
    }

    /// Has `observer` hear what happens in all sessions. There may be several.
    #[must_use]
    pub fn observe(mut self, observer: Arc<dyn Observer>) -> Self {
        self.observers.push(observer);
        self
    }

    /// Starts a System on a thread of its own. Works with any runtime round it, or none.
    ///
    /// # Errors
    /// [`StartError::Thread`] if the operating system gives no thread.
    pub fn start(self) -> Result<Runtime, StartError> {
        let arbiters = match self.arbiters {
            0 => std::thread::available_parallelism().map_or(1, usize::from),
            arbiters => arbiters,
        };
        let (ready, started) = std::sync::mpsc::channel();
        let thread = std::thread::Builder::new().name("callsheet".into()).spawn(move || {
            let runner = System::new();
            let (alive, gone) = std::sync::mpsc::channel();
            let arbiter = |_| {
                let (arbiter, alive) = (Arbiter::new(), alive.clone());
                arbiter.spawn_fn(move || ALIVE.set(Some(alive)));
                arbiter.handle()
            };
            let handles = (0..arbiters).map(arbiter).collect::<Vec<_>>();
            drop(alive);
            let started = ready.send((System::current(), handles)).is_ok();
            if started {
                drop(runner.run());
                let _: Result<(), _> = gone.recv_timeout(shutdown::PATIENCE); // Nothing is sent.
            }
        });
        let thread = thread.map_err(StartError::Thread)?;
        let (system, arbiters) = started.recv().map_err(|_| {
            StartError::Thread(std::io::Error::other("the thread ended while it started"))
        })?;
        self.build(&arbiters, Some(OwnSystem { system, thread: Some(thread) }))
    }

    /// Uses the actix System of this thread: sessions live on the current arbiter.
    ///
    /// # Errors
    /// [`StartError::NoSystem`] outside of a System; [`StartError::Thread`] if the operating system
    /// gives no thread for the watchdog.
    pub fn in_current_system(self) -> Result<Runtime, StartError> {
        let arbiter = Arbiter::try_current().ok_or(StartError::NoSystem)?;
        self.build(&[arbiter], None)
    }

    fn build(
        self,
        arbiters: &[ArbiterHandle],
        own: Option<OwnSystem>,
    ) -> Result<Runtime, StartError> {
        let journal = self.journal.unwrap_or_else(|| Arc::new(MemoryStore::new()));
        let clock = self.clock.unwrap_or_else(Clock::system);
        let capacity = Capacity::new(self.max_concurrency, self.blocking_threads);
        let (mut hosts, mut pulses, mut watched) = (Vec::new(), Vec::new(), Vec::new());
        let closing = Closing::default();
        for arbiter in arbiters {
            let pulse = Arc::new(Pulse::new(Instant::now()));
            let shared = (Arc::clone(&capacity), Arc::clone(&pulse), closing.clone());
            let host = Host::start(arbiter, Arc::clone(&journal), clock, shared, self.sleep_after);
            watched.push((host.downgrade(), Arc::clone(&pulse)));
            hosts.push(host);
            pulses.push(pulse);
        }
        // Before the watchdog, so that the System stops if it does not start.
        let home = Home::new(hosts, pulses, Observers::new(self.observers));
        let mut inner = Inner { home, closing, own, watchdog: None };
        if let Some(limit) = self.watchdog {
            let home = Arc::downgrade(&inner.home);
            let on_stuck = move |arbiter| {
                if let Some(home) = home.upgrade() {
                    home.directory.all().iter().for_each(|slot| slot.move_from(arbiter));
                }
            };
            let watchdog = Watchdog::start(watched, limit, on_stuck).map_err(StartError::Thread)?;
            inner.watchdog = Some(watchdog);
        }
        Ok(Runtime { inner: Arc::new(inner) })
    }
}

impl Drop for Inner {
    fn drop(&mut self) {
        let Some(own) = &mut self.own else { return };
        own.system.stop();
        // On a thread of the System itself, waiting would be waiting for oneself.
        let inside = System::try_current().is_some_and(|system| system.id() == own.system.id());
        if let Some(thread) = own.thread.take().filter(|_| !inside) {
            drop(thread.join());
        }
    }
}
