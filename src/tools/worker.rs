//! One worker per tool type and session. It starts calls; what a failure means is the
//! supervisor's business.

use std::cell::RefCell;
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
#[derive(Default)]
pub(crate) struct ToolWorker {
    post: Rc<Post>,
    /// Made when the worker starts, and anew after each failure.
    tool: Option<Box<dyn Tool>>,
    ready: Option<Instant>,
    /// The last call was done the first time it was looked at, and soon.
    answers_at_once: bool,
    /// Calls that came after a failure and before the rebuilding.
    held: Vec<RunCall>,
}

/// Where a worker works, set by whoever watches it.
#[derive(Default)]
pub(crate) struct Post(RefCell<Option<Rc<Assignment>>>);

/// What a worker works on: `None` between sessions.
pub(crate) struct Assignment {
    pub tool_type: Arc<ToolType>,
    pub health: Rc<Health>,
    pub begun: Begun,
    /// When somebody first wanted the worker.
    pub wanted: Instant,
}

impl Post {
    /// Sets what the worker works on once it is (re)started.
    pub fn set(&self, assignment: Option<Assignment>) {
        *self.0.borrow_mut() = assignment.map(Rc::new);
    }

    fn get(&self) -> Option<Rc<Assignment>> {
        self.0.borrow().clone()
    }
}

impl ToolWorker {
    /// A worker that works where `post` says.
    pub(crate) fn new(post: Rc<Post>) -> Self {
        Self { post, ..Self::default() }
    }
}

impl Actor for ToolWorker {
    type Context = Context<Self>;

    fn started(&mut self, _: &mut Context<Self>) {
        let Some(assignment) = self.post.get() else { return };
        self.tool = Some((assignment.tool_type.make)());
        if self.ready.is_none() {
            let first = assignment.health.generation() == 0;
            self.ready = Some(if first { Instant::now() } else { assignment.wanted });
            self.answers_at_once = true;
        }
        for call in std::mem::take(&mut self.held) {
            self.run(call, &assignment);
        }
    }
}

impl Supervised for ToolWorker {
    fn restarting(&mut self, _: &mut Context<Self>) {
        self.tool = None; // Made anew by `started`; running calls keep what they began with.
        if self.post.get().is_none() {
            *self = Self::new(Rc::clone(&self.post)); // The session is over.
        }
    }
}

impl Handler<RunCall> for ToolWorker {
    type Result = ();

    fn handle(&mut self, call: RunCall, _: &mut Context<Self>) {
        if let Some(assignment) = self.post.get() {
            self.run(call, &assignment);
        }
    }
}

impl ToolWorker {
    fn run(&mut self, call: RunCall, assignment: &Assignment) {
        if call.order.context.is_over() {
            return; // Given up while it was queued.
        }
        let Assignment { tool_type, health, begun: others, wanted } = assignment;
        if health.has_failed() {
            return self.held.push(call); // Not on the value that panicked.
        }
        let RunCall { order, completer, span } = call;
        let _entered = span.enter();
        let began = Instant::now();
        let start = (*wanted, self.ready.unwrap_or(*wanted));
        let waits = waits(order.dispatched, start, health.down(), began);
        let generation = health.generation();
        if order.context.deadline() <= began {
            let (kind, message) = timed_out(order.expires);
            let outcome = Outcome::broken_off(kind, &message, tool_type.effects, false);
            let ran = Duration::ZERO;
            return completer.complete(Ended { outcome, waits, ran, attempts: 0, generation });
        }
        let guard = self.begin(order, tool_type, began);
        let health = Rc::clone(health);
        let completer = Some(completer);
        drop(_entered);
        let running = Running { guard, health, generation, waits, began, completer, span };
        if let Some(running) = self.try_at_once(running) {
            others.push(running); // Not an actor future: a rebuilt worker spares its calls.
        }
    }

    fn begin(&self, order: Order, tool_type: &ToolType, now: Instant) -> Guard {
        let Order { context, arguments, .. } = order;
        context.begin(now);
        let tool = self.tool.as_deref().expect("`started` made it before any message");
        Guard::new(tool, &arguments, context, tool_type.effects)
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
