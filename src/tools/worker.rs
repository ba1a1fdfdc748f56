//! One worker per tool type and session. It starts calls; what a failure means is the
//! supervisor's business.

use std::rc::Rc;
use std::sync::Arc;
use std::time::Duration;

use actix::{Actor, Context, Handler, Message, Recipient, Supervised};
use tokio::sync::oneshot;
use tokio::time::Instant;
use tracing::{Instrument, Span};

use super::context::{Cancellation, Progress, TypedContext};
use super::guard::{self, guarded};
use super::{CallContext, Health, Tool, ToolType};
use crate::conversation::{CallKey, Effects, Expired, Outcome, timed_out};

/// Runs one call. A tool that fails, hangs or panics is answered like any other.
///
/// Dropping the receiver of the reply stops the call, or has it skipped while it is queued. The
/// channel is the message's own because the future of `Addr::send` carries a timer and room for
/// the message itself, some 400 bytes a call.
#[derive(Message)]
#[rtype(result = "()")]
pub(crate) struct RunCall {
    pub order: Order,
    pub reply: oneshot::Sender<Ended>,
    pub span: Span,
}

/// What there is to know of a call that is to run.
pub(crate) struct Order {
    pub key: CallKey,
    pub arguments: Arc<str>,
    pub deadline: Instant,
    pub expires: Expired,
    pub dispatched: Instant,
    pub typed: Option<TypedContext>,
    pub watcher: Option<Recipient<CallProgressed>>,
}

/// How a call ended and where its time went.
#[derive(Debug)]
pub(crate) struct Ended {
    pub outcome: Outcome,
    pub waits: Waits,
    pub ran: Duration,
    pub attempts: u32,
    pub generation: u32,
}

/// What a call waited for before it ran.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Waits {
    pub queued: Duration,
    pub startup: Duration,
    pub backoff: Duration,
}

/// News from a tool that says how far it is.
#[derive(Debug, Message)]
#[rtype(result = "()")]
pub(crate) struct CallProgressed {
    pub key: CallKey,
    pub message: String,
}

/// Runs the calls of one tool type for one session, each in a task of its own.
pub(crate) struct ToolWorker {
    tool_type: Arc<ToolType>,
    tool: Option<Rc<dyn Tool>>,
    health: Rc<Health>,
    spawned: Instant,
    ready: Instant,
}

impl ToolWorker {
    /// A worker that makes its tool when it starts. `spawned` is when somebody first wanted it.
    pub(crate) fn new(tool_type: Arc<ToolType>, health: Rc<Health>, spawned: Instant) -> Self {
        Self { tool_type, tool: None, health, spawned, ready: spawned }
    }
}

impl Actor for ToolWorker {
    type Context = Context<Self>;

    fn started(&mut self, _: &mut Context<Self>) {
        self.tool = Some(Rc::from((self.tool_type.make)()));
        if self.health.generation() == 0 {
            self.ready = Instant::now();
        }
    }
}

impl Supervised for ToolWorker {
    fn restarting(&mut self, _: &mut Context<Self>) {
        self.tool = None; // Made anew by `started`; running calls keep what they began with.
    }
}

impl Handler<RunCall> for ToolWorker {
    type Result = ();

    fn handle(&mut self, RunCall { order, reply, span }: RunCall, _: &mut Context<Self>) {
        if reply.is_closed() {
            return; // Given up while it was queued.
        }
        let now = Instant::now();
        let call = Call {
            tool: Rc::clone(self.tool.as_ref().expect("`started` made it before any message")),
            effects: self.tool_type.effects,
            health: Rc::clone(&self.health),
            waits: waits(order.dispatched, (self.spawned, self.ready), self.health.down(), now),
            began: now,
            order,
        };
        // A task, not an actor future: a worker that is rebuilt spares its running calls.
        if span.is_disabled() {
            actix_rt::spawn(answer(call, reply));
        } else {
            actix_rt::spawn(answer(call, reply).instrument(span));
        }
    }
}

/// A call that has left the queue.
struct Call {
    tool: Rc<dyn Tool>,
    effects: Effects,
    health: Rc<Health>,
    waits: Waits,
    began: Instant,
    order: Order,
}

/// Runs `call` and answers it. The work is dropped as soon as nobody waits for the answer.
async fn answer(call: Call, mut reply: oneshot::Sender<Ended>) {
    tokio::select! {
        biased;
        ended = run(call) => drop(reply.send(ended)),
        () = reply.closed() => {}
    }
}

async fn run(call: Call) -> Ended {
    let Call { tool, effects, health, waits, began, order } = call;
    let generation = health.generation();
    let Order { key, arguments, deadline, expires, typed, watcher, .. } = order;
    if deadline <= began {
        let (kind, message) = timed_out(expires);
        let outcome = Outcome::broken_off(kind, &message, effects, false);
        return Ended { outcome, waits, ran: Duration::ZERO, attempts: 0, generation };
    }
    let progress = Progress(watcher.map(|watcher| tell(watcher, key.clone())));
    let context = CallContext {
        key,
        attempt: 1,
        deadline,
        cancellation: Cancellation::default(),
        progress,
        typed,
    };
    let limits = guard::Limits { effects, deadline, expires };
    let on_panic = |cause: &str| health.report_failure(generation, cause);
    let outcome = guarded(tool, &arguments, context, limits, on_panic).await;
    Ended { outcome, waits, ran: began.elapsed(), attempts: 1, generation }
}

fn tell(watcher: Recipient<CallProgressed>, key: CallKey) -> Rc<dyn Fn(String)> {
    Rc::new(move |message| watcher.do_send(CallProgressed { key: key.clone(), message }))
}

/// Splits the time from dispatch to `now` by what the worker was doing meanwhile.
fn waits(
    dispatched: Instant,
    start: (Instant, Instant),
    down: Option<(Instant, Instant)>,
    now: Instant,
) -> Waits {
    let during = |(from, to): (Instant, Instant)| {
        to.min(now).saturating_duration_since(from.max(dispatched))
    };
    let startup = during(start);
    let backoff = down.map_or(Duration::ZERO, during);
    let waited = now.saturating_duration_since(dispatched);
    Waits { queued: waited.saturating_sub(startup + backoff), startup, backoff }
}
