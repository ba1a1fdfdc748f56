//! One worker per tool type and session. It starts calls; what a failure means is the
//! supervisor's business.

use std::rc::Rc;
use std::sync::Arc;
use std::task::{Context as TaskContext, Poll, Waker};
use std::time::Duration;

use actix::{Actor, Context, Handler, Message, Supervised};
use tokio::time::Instant;
use tracing::Span;

use super::guard::Guard;
use super::running::Running;
use super::{Begun, CallContext, Completer, Health, Tool, ToolType};
use crate::conversation::{Expired, Outcome, timed_out};

/// How soon a call is done that is worth no room among those that wait.
const AT_ONCE: Duration = Duration::from_micros(20);

/// Runs one call. A tool that fails, hangs or panics is answered like any other.
///
/// Giving its context up stops the call, or has it skipped while it is queued. It comes back through
/// its round's queue because the future of `Addr::send` carries a channel, a timer and room for the
/// message itself, some 600 bytes a call.
#[derive(Message)]
#[rtype(result = "()")]
pub(crate) struct RunCall {
    pub order: Order,
    pub completer: Completer,
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
#[derive(Debug)]
pub(crate) struct CallProgressed {
    pub round: u64,
    pub ordinal: u32,
    pub message: String,
}

/// Begins the calls of one tool type for one session. Those that wait are the session's to poll.
pub(crate) struct ToolWorker {
    tool_type: Arc<ToolType>,
    tool: Option<Box<dyn Tool>>,
    health: Rc<Health>,
    begun: Begun,
    spawned: Instant,
    ready: Instant,
    /// The last call was done the first time it was looked at, and soon.
    answers_at_once: bool,
    /// Calls that came after a failure and before the rebuilding.
    held: Vec<RunCall>,
}

impl ToolWorker {
    /// A worker that makes its tool when it starts. `spawned` is when somebody first wanted it.
    pub(crate) fn new(
        tool_type: Arc<ToolType>,
        health: Rc<Health>,
        begun: Begun,
        spawned: Instant,
    ) -> Self {
        Self {
            tool_type,
            tool: None,
            health,
            begun,
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
        if call.order.context.is_over() {
            return; // Given up while it was queued.
        }
        if self.health.has_failed() {
            return self.held.push(call); // Not on the value that panicked.
        }
        let RunCall { order, completer, span } = call;
        let _entered = span.enter();
        let began = Instant::now();
        let start = (self.spawned, self.ready);
        let waits = waits(order.dispatched, start, self.health.down(), began);
        let generation = self.health.generation();
        if order.context.deadline() <= began {
            let (kind, message) = timed_out(order.expires);
            let outcome = Outcome::broken_off(kind, &message, self.tool_type.effects, false);
            let ran = Duration::ZERO;
            return completer.complete(Ended { outcome, waits, ran, attempts: 0, generation });
        }
        let guard = self.begin(order, began);
        let health = Rc::clone(&self.health);
        let completer = Some(completer);
        drop(_entered);
        let running = Running { guard, health, generation, waits, began, completer, span };
        if let Some(running) = self.try_at_once(running) {
            self.begun.push(running); // Not an actor future: a rebuilt worker spares its calls.
        }
    }

    fn begin(&self, order: Order, now: Instant) -> Guard {
        let Order { context, arguments, .. } = order;
        context.begin(now);
        let tool = self.tool.as_deref().expect("`started` made it before any message");
        Guard::new(tool, &arguments, context, self.tool_type.effects)
    }

    /// Looks whether the call is done already, where the last one was: a call that never waits
    /// needs no waker. Gives the call back if it is not.
    fn try_at_once(&mut self, mut running: Running) -> Option<Running> {
        if !self.answers_at_once {
            return Some(running);
        }
        // Whoever is polled again by another task forgets this one.
        let entered = running.span.enter();
        let polled = running.guard.poll_work(&mut TaskContext::from_waker(Waker::noop()));
        drop(entered);
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
