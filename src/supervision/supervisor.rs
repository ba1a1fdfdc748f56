//! One supervisor per session. It decides what becomes of a failed worker and tells how each round
//! went.

use std::cell::{Cell, OnceCell};
use std::collections::HashMap;
use std::rc::Rc;
use std::sync::Arc;
use std::time::Duration;

use actix::{Actor, Addr, Context, Handler, Message, MessageResult, WeakRecipient};
use tokio::time::Instant;
use tracing::{error, info, warn};

use super::policy::is_widespread;
use super::{Decision, RestartLimits, RestartPolicy, RoundReport, WorkerFailed};
use crate::conversation::SessionId;
use crate::tools::{Blame, Crash, Failure, Terms, ToolType, Trip, stable_hash};

/// News to the coordinator: what becomes of a worker that failed, or has recovered. A program hears
/// the same as [`Event::WorkerRestarted`], [`Event::CircuitOpened`] and [`Event::CircuitClosed`].
///
/// [`Event::WorkerRestarted`]: crate::Event::WorkerRestarted
/// [`Event::CircuitOpened`]: crate::Event::CircuitOpened
/// [`Event::CircuitClosed`]: crate::Event::CircuitClosed
#[derive(Clone, Debug, Message)]
#[rtype(result = "()")]
pub struct WorkerNews {
    /// The tool's name.
    pub tool: Arc<str>,
    /// What there is to tell.
    pub what: WorkerChange,
}

/// What becomes of a worker. After a failure it is told before it is done.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum WorkerChange {
    /// It failed, or somebody wants it made anew, and is rebuilt. Calls wait for it meanwhile.
    Restarting {
        /// The generation that will begin.
        generation: u32,
        /// What became of the last one.
        cause: String,
        /// How long the worker rests before.
        backoff: Duration,
    },
    /// It failed too often: the tool is out of service. After that one call finds out whether it
    /// works; if it does not, the tool is out of service for as long again, and the session whose
    /// own circuit it is hears this again.
    CircuitOpened {
        /// The last failure.
        cause: String,
        /// How long it is out of service.
        cool_down: Duration,
        /// In all sessions of the process, and not in this one alone.
        everywhere: bool,
    },
    /// It works again, as the call that was to find out has shown.
    CircuitClosed,
}

/// News to the supervisor: the circuit of a worker has closed again.
#[derive(Debug, Message)]
#[rtype(result = "()")]
pub(super) struct WorkerRecovered {
    pub tool: Arc<str>,
}

/// News to the supervisor: a worker is made anew because somebody wants it.
#[derive(Debug, Message)]
#[rtype(result = "()")]
pub(super) struct WorkerRenewed {
    pub tool: Arc<ToolType>,
    /// The generation that begins.
    pub generation: u32,
}

/// The workers are gone, and their successors have no past.
#[derive(Debug, Message)]
#[rtype(result = "()")]
struct ForgetWorkers;

/// News: a round is over; its account.
#[derive(Clone, Debug, Message)]
#[rtype(result = "()")]
pub struct RoundReported {
    /// The conversation.
    pub session: SessionId,
    /// The account.
    pub report: Arc<RoundReport>,
}

/// Asks for the account of every round from now on.
#[derive(Debug, Message)]
#[rtype(result = "()")]
pub struct Listen(pub WeakRecipient<RoundReported>);

/// The place of a session's supervisor. It is taken when there is something to decide or to tell:
/// most sessions never need one.
pub(crate) struct Seat {
    session: SessionId,
    limits: Arc<RestartLimits>,
    terms: Rc<Terms>,
    coordinator: WeakRecipient<WorkerNews>,
    taken: OnceCell<Addr<Supervisor>>,
    /// How long the coordinator waits before it opens the session: not zero after a panic.
    rest: Cell<Duration>,
}

impl Seat {
    pub fn new(
        session: SessionId,
        limits: Arc<RestartLimits>,
        terms: Terms,
        coordinator: WeakRecipient<WorkerNews>,
    ) -> Rc<Self> {
        let (terms, taken, rest) = (Rc::new(terms), OnceCell::new(), Cell::default());
        Rc::new(Self { session, limits, terms, coordinator, taken, rest })
    }

    /// The session's id.
    pub fn session(&self) -> &SessionId {
        &self.session
    }

    /// A restart policy for the coordinator itself.
    pub fn policy(&self) -> RestartPolicy {
        RestartPolicy::new(RestartLimits::clone(&self.limits), self.terms.session)
    }

    /// Has the coordinator wait for so long before it opens the session.
    pub fn set_rest(&self, rest: Duration) {
        self.rest.set(rest);
    }

    /// Says once how long the coordinator is to wait.
    pub fn take_rest(&self) -> Duration {
        self.rest.take()
    }

    /// On which terms the session's calls run.
    pub fn terms(&self) -> &Rc<Terms> {
        &self.terms
    }

    /// The supervisor, started on this thread if it was not.
    pub fn supervisor(&self) -> &Addr<Supervisor> {
        self.taken.get_or_init(|| {
            let (policies, listeners) = (HashMap::new(), Vec::new());
            Supervisor {
                session: self.session.clone(),
                number: self.terms.session,
                limits: Arc::clone(&self.limits),
                policies,
                coordinator: self.coordinator.clone(),
                listeners,
            }
            .start()
        })
    }

    /// The session begins anew, with workers that have no past.
    pub fn forget_workers(&self) {
        if let Some(supervisor) = self.taken.get() {
            supervisor.do_send(ForgetWorkers);
        }
    }

    /// Says whether anybody would hear of a round.
    pub fn has_audience(&self) -> bool {
        self.taken.get().is_some() || tracing::enabled!(tracing::Level::INFO)
    }
}

/// Decides when the workers of one session are rebuilt, and reports its rounds.
pub struct Supervisor {
    session: SessionId,
    /// Stands for the session, and seeds its rests.
    number: u64,
    limits: Arc<RestartLimits>,
    policies: HashMap<Arc<str>, RestartPolicy>,
    coordinator: WeakRecipient<WorkerNews>,
    listeners: Vec<WeakRecipient<RoundReported>>,
}

impl Actor for Supervisor {
    type Context = Context<Self>;

    fn started(&mut self, ctx: &mut Context<Self>) {
        ctx.set_mailbox_capacity(0);
    }
}

impl Handler<WorkerFailed> for Supervisor {
    type Result = MessageResult<WorkerFailed>;

    fn handle(&mut self, failed: WorkerFailed, _: &mut Context<Self>) -> Self::Result {
        let WorkerFailed { tool, generation, failure, is_poison } = failed;
        let (now, cause, name) = (Instant::now(), failure.cause().to_owned(), tool.name());
        let (limits, number) = (&self.limits, self.number);
        let policy = self.policies.entry(Arc::clone(name));
        let policy = policy.or_insert_with(|| {
            // Workers of one session that fail together do not come back together.
            let seed = number ^ stable_hash(&**name);
            RestartPolicy::new(RestartLimits::clone(limits), seed)
        });
        let decision = policy.on_failure(now, &failure);
        let session = &self.session;
        match decision {
            Decision::RebuildAfter(rest) => {
                warn!(%session, tool = %name, generation, %cause, ?rest, "worker failed, rebuilding");
                let (generation, backoff) = (generation + 1, rest);
                self.tell(
                    name,
                    WorkerChange::Restarting { generation, cause: cause.clone(), backoff },
                );
            }
            Decision::OpenCircuit(cool_down) => {
                error!(%session, tool = %name, %cause, ?cool_down, "worker failed too often, tool withdrawn");
                let (cause, everywhere) = (cause.clone(), false);
                self.tell(name, WorkerChange::CircuitOpened { cause, cool_down, everywhere });
            }
        }
        let withdrawn = matches!(decision, Decision::OpenCircuit(_));
        tool.shared().on_failure(&cause, withdrawn);
        let arguments = match failure {
            Failure::Crash { arguments, .. } => arguments,
            Failure::TimedOut { .. } | Failure::TooMany { .. } => None,
        };
        if let Some(arguments) = arguments.filter(|_| is_poison) {
            tool.shared().forget_poison(self.number, arguments);
        } else {
            let cool_down = self.limits.cool_down;
            let ends = tool.shared().ends();
            let crash = Crash { at: now, session: self.number, arguments, withdrawn, ends };
            let blame = Blame::Tool;
            let trip = Trip { cause: cause.as_str().into(), cool_down, blame };
            let is_widespread = |crashes: &_| is_widespread(crashes, ends, &self.limits);
            if tool.shared().on_crash(crash, trip, self.limits.within, is_widespread) {
                error!(tool = %name, %cause, ?cool_down, "tool fails in many sessions, withdrawn");
                let everywhere = true;
                self.tell(name, WorkerChange::CircuitOpened { cause, cool_down, everywhere });
            }
        }
        MessageResult(decision)
    }
}

impl Handler<ForgetWorkers> for Supervisor {
    type Result = ();

    fn handle(&mut self, _: ForgetWorkers, _: &mut Context<Self>) {
        self.policies.clear();
    }
}

impl Supervisor {
    fn tell(&self, tool: &Arc<str>, what: WorkerChange) {
        if let Some(coordinator) = self.coordinator.upgrade() {
            coordinator.do_send(WorkerNews { tool: Arc::clone(tool), what });
        }
    }
}

impl Handler<WorkerRecovered> for Supervisor {
    type Result = ();

    fn handle(&mut self, WorkerRecovered { tool }: WorkerRecovered, _: &mut Context<Self>) {
        if let Some(policy) = self.policies.get_mut(&tool) {
            policy.on_recovery();
        }
        info!(session = %self.session, %tool, "tool works again");
        self.tell(&tool, WorkerChange::CircuitClosed);
    }
}

impl Handler<WorkerRenewed> for Supervisor {
    type Result = ();

    fn handle(&mut self, renewed: WorkerRenewed, _: &mut Context<Self>) {
        let WorkerRenewed { tool, generation } = renewed;
        let name = tool.name();
        info!(session = %self.session, tool = %name, generation, "worker restarted by hand");
        self.policies.remove(name); // What is rebuilt is not what failed.
        tool.shared().on_restart();
        let (cause, backoff) = ("restarted by hand".to_owned(), Duration::ZERO);
        self.tell(name, WorkerChange::Restarting { generation, cause, backoff });
    }
}

impl Handler<RoundReported> for Supervisor {
    type Result = ();

    fn handle(&mut self, news: RoundReported, _: &mut Context<Self>) {
        let RoundReport { round, wall, sum, speedup, restarts, calls, .. } = &*news.report;
        let calls = calls.len();
        info!(session = %news.session, round, calls, ?wall, ?sum, speedup, restarts, "round ended");
        self.listeners.retain(|listener| {
            let listener = listener.upgrade();
            listener.is_some_and(|listener| {
                listener.do_send(news.clone());
                true
            })
        });
    }
}

impl Handler<Listen> for Supervisor {
    type Result = ();

    fn handle(&mut self, Listen(listener): Listen, _: &mut Context<Self>) {
        self.listeners.push(listener);
    }
}
