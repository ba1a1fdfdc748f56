//! One worker per tool type and session. It starts calls; what a failure means is the
//! supervisor's business.

use std::rc::Rc;
use std::sync::Arc;
use std::task::{Context as TaskContext, Poll, Waker};
use std::time::Duration;

use actix::{Actor, Context, Handler, Message, Supervised};
use tokio::sync::oneshot;
use tokio::time::Instant;
use tracing::{Instrument, Span};

use super::guard::{Guard, Limit};
use super::{CallContext, Health, Tool, ToolType};
use crate::conversation::{CallKey, Expired, Outcome, OutcomeKind, timed_out};

/// How soon a call is done that is worth no task of its own.
const AT_ONCE: Duration = Duration::from_micros(20);

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
    pub context: CallContext,
    pub arguments: Arc<str>,
    pub expires: Expired,
    pub dispatched: Instant,
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
    tool: Option<Box<dyn Tool>>,
    health: Rc<Health>,
    spawned: Instant,
    ready: Instant,
    /// The last call was done the first time it was looked at, and soon.
    answers_at_once: bool,
    /// Calls that came after a failure and before the rebuilding.
    held: Vec<RunCall>,
}

impl ToolWorker {
    /// A worker that makes its tool when it starts. `spawned` is when somebody first wanted it.
    pub(crate) fn new(tool_type: Arc<ToolType>, health: Rc<Health>, spawned: Instant) -> Self {
        Self {
            tool_type,
            tool: None,
            health,
            spawned,
            ready: spawned,
            answers_at_once: true,
            held: Vec::new(),
        }
    }
}

impl Actor for ToolWorker {
    type Context = Context<Self>;

    fn started(&mut self, _: &mut Context<Self>) {
        self.tool = Some((self.tool_type.make)());
        if self.health.generation() == 0 {
            self.ready = Instant::now();
        }
        for call in std::mem::take(&mut self.held) {
            self.run(call);
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

    fn handle(&mut self, call: RunCall, _: &mut Context<Self>) {
        self.run(call);
    }
}

impl ToolWorker {
    fn run(&mut self, call: RunCall) {
        if call.reply.is_closed() {
            return; // Given up while it was queued.
        }
        if self.health.has_failed() {
            return self.held.push(call); // Not on the value that panicked.
        }
        let RunCall { order, reply, span } = call;
        let _entered = span.enter();
        let began = Instant::now();
        let start = (self.spawned, self.ready);
        let waits = waits(order.dispatched, start, self.health.down(), began);
        let generation = self.health.generation();
        if order.context.deadline() <= began {
            let (kind, message) = timed_out(order.expires);
            let outcome = Outcome::broken_off(kind, &message, self.tool_type.effects, false);
            let ran = Duration::ZERO;
            drop(reply.send(Ended { outcome, waits, ran, attempts: 0, generation }));
            return;
        }
        let running = Running {
            guard: self.begin(order, began),
            health: Rc::clone(&self.health),
            generation,
            waits,
            began,
            reply,
        };
        let Some(running) = self.try_at_once(running) else { return };
        // A task, not an actor future: a worker that is rebuilt spares its running calls.
        if span.is_disabled() {
            actix_rt::spawn(running.answer());
        } else {
            actix_rt::spawn(running.answer().instrument(span.clone()));
        }
    }

    fn begin(&self, order: Order, now: Instant) -> Guard {
        let Order { context, arguments, expires, .. } = order;
        context.begin(now);
        let deadline = context.deadline();
        let tool = self.tool.as_deref().expect("`started` made it before any message");
        let limit = Limit { deadline, expires };
        Guard::new(tool, &arguments, context, self.tool_type.effects, limit)
    }

    /// Looks whether the call is done already, where the last one was: a tool that never waits
    /// needs no task. Gives the call back if it is not.
    fn try_at_once(&mut self, mut running: Running) -> Option<Running> {
        if !self.answers_at_once {
            return Some(running);
        }
        // Whoever is polled again by another task forgets this one.
        let polled = running.guard.poll_work(&mut TaskContext::from_waker(Waker::noop()));
        self.answers_at_once = polled.is_ready() && running.began.elapsed() < AT_ONCE;
        match polled {
            Poll::Ready(outcome) => {
                running.end(outcome);
                None
            }
            Poll::Pending => Some(running),
        }
    }
}

/// A call that runs.
struct Running {
    guard: Guard,
    health: Rc<Health>,
    generation: u32,
    waits: Waits,
    began: Instant,
    reply: oneshot::Sender<Ended>,
}

impl Running {
    /// Runs the call to its end. The work is dropped as soon as nobody waits for the answer.
    async fn answer(mut self) {
        tokio::select! {
            biased;
            outcome = &mut self.guard => self.end(outcome),
            () = self.reply.closed() => {}
        }
    }

    fn end(self, outcome: Outcome) {
        let Self { health, generation, waits, began, reply, guard } = self;
        if let (OutcomeKind::Panicked, Some(problem)) = (outcome.kind, &outcome.problem) {
            health.report_failure(generation, &problem.message);
        } else if let Some(cause) = guard.panicked_on_drop() {
            health.report_failure(generation, cause);
        }
        drop(guard);
        let ran = began.elapsed();
        drop(reply.send(Ended { outcome, waits, ran, attempts: 1, generation }));
    }
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
