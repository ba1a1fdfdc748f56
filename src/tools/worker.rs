//! One worker per tool type and session. It starts calls; what a failure means is the
//! supervisor's business.

use std::cell::RefCell;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::rc::Rc;
use std::sync::Arc;
use std::task::{Context as TaskContext, Poll, Waker};
use std::time::Duration;

use actix::{Actor, Context, Handler, Message, Supervised};
use tokio::sync::Semaphore;
use tokio::time::Instant;
use tracing::Span;

use super::care::Care;
use super::guard::{Guard, message_of};
use super::probe::{Probe, admit};
use super::read_result::ReadResult;
use super::running::Running;
use super::spec::Work;
use super::terms::{Terms, turn};
use super::tries::Spent;
use super::{Begun, CallContext, Completer, Failure, Health, Mark, Tool, ToolType};
use crate::conversation::{Expired, Outcome, OutcomeKind, timed_out};

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
#[derive(Clone, Debug)]
pub(crate) struct Ended {
    pub outcome: Outcome,
    pub spent: Spent,
}

impl Ended {
    /// The end of a call that was dispatched at `dispatched` and has the result of this one `now`: all it
    /// did was wait.
    pub fn for_another(&self, dispatched: Instant, now: Instant) -> Self {
        let queued = now.saturating_duration_since(dispatched);
        let generation = self.spent.generation;
        Self { spent: Spent::waiting(queued, generation), ..self.clone() }
    }

    /// The end of a call that has `outcome` at once.
    pub fn at_once(outcome: Outcome) -> Self {
        Self { outcome, spent: Spent::waiting(Duration::ZERO, 0) }
    }
}

/// What a call waited for before it ran.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Waits {
    pub queued: Duration,
    pub startup: Duration,
    pub backoff: Duration,
}

/// Begins the calls of one tool type for one session. Those that wait are the session's to poll.
#[derive(Default)]
pub(crate) struct ToolWorker {
    post: Rc<Post>,
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
    pub terms: Rc<Terms>,
    /// The turn of a tool whose calls run one at a time in each session.
    pub own_turn: Option<Arc<Semaphore>>,
    /// Made when the worker starts, and anew after each failure.
    tool: RefCell<Option<Rc<dyn Tool>>>,
    /// Left while the tool's code runs.
    mark: Mark,
}

impl Assignment {
    /// Work on the calls of `tool_type`, which somebody wants now.
    pub fn new(tool_type: Arc<ToolType>, begun: Begun, terms: Rc<Terms>) -> Self {
        let own_turn = tool_type.limits.exclusive.then(turn);
        let (health, wanted, tool) = (Rc::default(), Instant::now(), RefCell::default());
        let mark = Mark::new(&terms.breadcrumb, tool_type.name());
        Self { tool_type, health, begun, wanted, terms, own_turn, tool, mark }
    }

    /// Runs the tool's own code, which is guarded and does not panic.
    pub(super) fn inside<T>(&self, code: impl FnOnce() -> T) -> T {
        self.mark.enter();
        let done = code();
        self.mark.leave();
        done
    }

    /// The tool, made now if there is none. If that panics the worker has failed, whatever the call
    /// that wanted it; that call is answered with what comes back.
    pub(super) fn tool(&self) -> Result<Rc<dyn Tool>, Outcome> {
        if let Some(tool) = &*self.tool.borrow() {
            return Ok(Rc::clone(tool));
        }
        let made = match &self.tool_type.work {
            Work::Async(make) => self.inside(|| catch_unwind(AssertUnwindSafe(|| make()))),
            Work::ReadResults => Ok(Rc::new(ReadResult(Rc::clone(&self.terms))) as Rc<dyn Tool>),
            Work::Blocking(_) => {
                return Err(Outcome::failed(OutcomeKind::ToolError, "it runs on threads"));
            }
        };
        match made {
            Ok(tool) => Ok(Rc::clone(self.tool.borrow_mut().insert(tool))),
            Err(panic) => {
                let cause = format!("the tool could not be made: {}", message_of(panic));
                let cause = self.terms.rules.secrets.redacted(cause);
                let outcome = Outcome::failed(OutcomeKind::Panicked, &*cause);
                let failure = Failure::Crash { cause, arguments: None };
                self.health.report_failure(self.health.generation(), failure);
                Err(outcome)
            }
        }
    }

    /// Throws the tool away. Running calls keep what they began with. A panic of its own code ends
    /// here.
    fn forget_tool(&self) {
        let tool = self.tool.take();
        self.inside(|| {
            if let Err(panic) = catch_unwind(AssertUnwindSafe(move || drop(tool))) {
                message_of(panic);
            }
        });
    }
}

impl Drop for Assignment {
    fn drop(&mut self) {
        self.forget_tool();
    }
}

impl Post {
    /// Sets what the worker works on once it is (re)started.
    pub fn set(&self, assignment: Option<Assignment>) {
        *self.0.borrow_mut() = assignment.map(Rc::new);
    }

    /// Says whether no call is at work here.
    pub fn is_idle(&self) -> bool {
        self.0.borrow().as_ref().is_none_or(|assignment| Rc::strong_count(assignment) == 1)
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
        let Assignment { tool_type, health, .. } = &*assignment;
        // A tool that is out of service is made for the call that finds out.
        let in_service = health.is_closed() && !tool_type.shared.is_troubled();
        if in_service && !tool_type.is_blocking() {
            drop(assignment.tool()); // Of a failure its health knows.
        }
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
        match self.post.get() {
            Some(assignment) => assignment.forget_tool(), // Made anew by `started`.
            None => *self = Self::new(Rc::clone(&self.post)), // The session is over.
        }
    }
}

impl Handler<RunCall> for ToolWorker {
    type Result = ();

    fn handle(&mut self, call: RunCall, _: &mut Context<Self>) {
        if let Some(assignment) = self.post.get() {
            assignment.health.on_come();
            self.run(call, &assignment);
        }
    }
}

impl ToolWorker {
    fn run(&mut self, call: RunCall, assignment: &Rc<Assignment>) {
        if call.order.context.is_over() {
            return; // Given up while it was queued.
        }
        let Assignment { tool_type, health, begun: others, wanted, .. } = &**assignment;
        if health.is_down() {
            return self.held.push(call); // Not on the value that panicked.
        }
        let RunCall { order, completer, span } = call;
        let entered = span.clone().entered();
        let (began, effects) = (Instant::now(), tool_type.declared_effects());
        let start = (*wanted, self.ready.unwrap_or(*wanted));
        let waits = waits(order.dispatched, start, health.down(), began);
        let generation = health.generation();
        let Order { context, arguments, expires, dispatched } = order;
        let refused = match admit(assignment, &arguments, began) {
            Ok(()) if context.deadline() <= began => {
                let (kind, message) = timed_out(expires);
                Some(Outcome::broken_off(kind, &message, effects, false))
            }
            admitted => admitted.err(),
        };
        let never_began = |outcome| {
            let ran = Duration::ZERO;
            Ended { outcome, spent: Spent { waits, ran, attempts: 0, generation } }
        };
        if let Some(outcome) = refused {
            return completer.complete(never_began(outcome));
        }
        let care = Care::of(assignment, &context, dispatched, start);
        let mut running = Running {
            guard: Guard::idle(context.clone(), effects),
            post: Rc::clone(assignment),
            arguments,
            generation,
            expires,
            waits,
            began,
            probe: None,
            completer: Some(completer),
            keeping: None,
            span,
            care,
        };
        if running.care.is_some() {
            // It takes its place in line now; who polls it later is woken.
            let polled = running.poll_with_care(&mut TaskContext::from_waker(Waker::noop()));
            drop(entered);
            if polled.is_pending() || running.is_keeping() {
                others.push(running);
            }
            return;
        }
        running.probe = Probe::begin(assignment, began, context.deadline());
        let tool = match assignment.tool() {
            Ok(tool) => tool,
            Err(outcome) => {
                running.fail_probe();
                return running.answer(never_began(outcome));
            }
        };
        context.begin(began, generation, &waits);
        let arguments = Arc::clone(&running.arguments);
        let call = |context| tool.call(&arguments, context);
        assignment.inside(|| running.guard.begin(&context, call));
        drop(entered);
        if !self.try_at_once(&mut running) {
            others.push(running); // Not an actor future: a rebuilt worker spares its calls.
        }
    }

    /// Looks whether the call is done already, where the last one was: a call that never waits
    /// needs no waker. Says whether nothing is left to do.
    fn try_at_once(&mut self, running: &mut Running) -> bool {
        if !self.answers_at_once {
            return false;
        }
        // Whoever is polled again by another task forgets this one.
        let entered = running.span.clone().entered();
        let polled = running.poll_work(&mut TaskContext::from_waker(Waker::noop()));
        drop(entered);
        self.answers_at_once = polled.is_ready() && running.began.elapsed() < AT_ONCE;
        match polled {
            Poll::Ready(outcome) => {
                running.end(outcome);
                !running.is_keeping()
            }
            Poll::Pending => false,
        }
    }
}

/// Splits the time from dispatch to `now` by what the worker was doing meanwhile.
pub(super) fn waits(
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
