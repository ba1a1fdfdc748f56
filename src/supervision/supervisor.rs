//! One supervisor per session. It decides what becomes of a failed worker and tells how each round
//! went.

use std::cell::OnceCell;
use std::collections::HashMap;
use std::rc::Rc;
use std::sync::Arc;
use std::time::Duration;

use actix::{Actor, Addr, Context, Handler, Message, MessageResult, WeakRecipient};
use tokio::time::Instant;
use tracing::{info, warn};

use super::{Backoff, Decision, RestartPolicy, RoundReport, WorkerFailed};
use crate::conversation::SessionId;

/// News to the coordinator: a worker failed and will be rebuilt.
#[derive(Clone, Debug, Message)]
#[rtype(result = "()")]
pub struct WorkerRestarting {
    /// The tool's name.
    pub tool: Arc<str>,
    /// The generation that will begin.
    pub generation: u32,
    /// What became of the last one.
    pub cause: String,
    /// How long the worker rests before.
    pub backoff: Duration,
}

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
    backoff: Backoff,
    coordinator: WeakRecipient<WorkerRestarting>,
    taken: OnceCell<Addr<Supervisor>>,
}

impl Seat {
    pub fn new(
        session: SessionId,
        backoff: Backoff,
        coordinator: WeakRecipient<WorkerRestarting>,
    ) -> Rc<Self> {
        Rc::new(Self { session, backoff, coordinator, taken: OnceCell::new() })
    }

    /// The supervisor, started on this thread if it was not.
    pub fn supervisor(&self) -> &Addr<Supervisor> {
        self.taken.get_or_init(|| {
            Supervisor::new(self.session.clone(), self.backoff, self.coordinator.clone()).start()
        })
    }

    /// Says whether anybody would hear of a round.
    pub fn has_audience(&self) -> bool {
        self.taken.get().is_some() || tracing::enabled!(tracing::Level::INFO)
    }
}

/// Decides when the workers of one session are rebuilt, and reports its rounds.
pub struct Supervisor {
    session: SessionId,
    backoff: Backoff,
    policies: HashMap<Arc<str>, RestartPolicy>,
    coordinator: WeakRecipient<WorkerRestarting>,
    listeners: Vec<WeakRecipient<RoundReported>>,
}

impl Supervisor {
    pub(crate) fn new(
        session: SessionId,
        backoff: Backoff,
        coordinator: WeakRecipient<WorkerRestarting>,
    ) -> Self {
        let (policies, listeners) = (HashMap::new(), Vec::new());
        Self { session, backoff, policies, coordinator, listeners }
    }
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
        let WorkerFailed { tool, generation, cause } = failed;
        let backoff = self.backoff;
        let policy =
            self.policies.entry(Arc::clone(&tool)).or_insert_with(|| RestartPolicy::new(backoff));
        let decision = policy.on_failure(Instant::now());
        let Decision::RebuildAfter(rest) = decision;
        warn!(session = %self.session, %tool, generation, %cause, ?rest, "worker failed, rebuilding");
        if let Some(coordinator) = self.coordinator.upgrade() {
            let generation = generation + 1;
            coordinator.do_send(WorkerRestarting { tool, generation, cause, backoff: rest });
        }
        MessageResult(decision)
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
