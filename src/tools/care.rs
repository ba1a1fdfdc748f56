//! What a call needs beyond being run: its turn among others, limits for one try, another try.
//! Calls of tools that ask for none of it go without.

use std::pin::{Pin, pin};
use std::rc::Rc;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::task::{Context, Poll, ready};
use std::time::Duration;

use futures_util::future::LocalBoxFuture;
use tokio::task::coop::unconstrained;
use tokio::time::{Instant, Sleep, sleep_until};

use super::admission::Admitted;
use super::error::Again;
use super::probe::{Probe, admit};
use super::running::Running;
use super::shared::Shared;
use super::spec::Work;
use super::threads::Ticket;
use super::worker::{Assignment, waits};
use super::{CallContext, News, later};
use crate::conversation::{Effects, Outcome, OutcomeKind, Place};
use crate::tools::failure::fingerprint;

/// The state of a call that needs care.
pub(super) struct Care {
    /// The call's own; each try has another.
    pub context: CallContext,
    dispatched: Instant,
    wanted_and_ready: (Instant, Instant),
    stage: Stage,
    /// It is woken by what becomes of its worker.
    waits: bool,
    /// What it may run with. Given back while it rests.
    permits: Option<Admitted>,
    /// The thread of the last try, where the tool blocks.
    thread: Option<Arc<Ticket>>,
    attempts: u32,
    /// How the last try ended.
    failed: Option<Outcome>,
    /// The end of this try, if it has one of its own.
    timer: Option<Pin<Box<Sleep>>>,
}

enum Stage {
    /// It would begin if it were let.
    Entering(Option<Entering>),
    Attempting,
    Resting(Pin<Box<Sleep>>),
}

/// It stands in line.
struct Entering {
    turn: LocalBoxFuture<'static, Admitted>,
    place: Option<InLine>,
}

/// A place among those that wait for their turn.
struct InLine(Arc<Shared>);

impl Drop for InLine {
    fn drop(&mut self) {
        self.0.waiting.fetch_sub(1, Ordering::AcqRel);
    }
}

impl Care {
    /// Care for a call of `post` that was dispatched at `dispatched`, if it needs any.
    pub fn of(
        post: &Assignment,
        context: &CallContext,
        dispatched: Instant,
        wanted_and_ready: (Instant, Instant),
    ) -> Option<Box<Self>> {
        let Assignment { tool_type, terms, .. } = post;
        let needed = tool_type.limits.has_gate()
            || tool_type.limits.has_tries()
            || tool_type.needs_server()
            || matches!(tool_type.work, Work::Blocking(_))
            || terms.bound.is_some()
            || terms.capacity.bound.is_some();
        needed.then(|| {
            context.keep_account(dispatched);
            Box::new(Self {
                context: context.clone(),
                dispatched,
                wanted_and_ready,
                stage: Stage::Entering(None),
                waits: false,
                permits: None,
                thread: None,
                attempts: 0,
                failed: None,
                timer: None,
            })
        })
    }

    /// Its round, and its place there.
    fn number(&self) -> (u64, Place) {
        let key = self.context.key();
        (key.round, key.place())
    }

    fn wait_for_change(&mut self, post: &Assignment, cx: &Context<'_>) {
        self.waits = true;
        post.health.wait_for_change(self.number(), cx.waker());
    }

    pub fn is_attempting(&self) -> bool {
        matches!(self.stage, Stage::Attempting)
    }

    /// A try has begun, and waits for what the tool needs.
    pub fn is_held_up(&self) -> bool {
        self.is_attempting() && self.context.account(|tries| !tries.is_running()) == Some(true)
    }

    /// Ready with the reason if the try has taken too long, or was silent for too long.
    fn poll_late(
        &mut self,
        post: &Assignment,
        try_: &CallContext,
        cx: &mut Context<'_>,
    ) -> Poll<String> {
        loop {
            let Some(timer) = &mut self.timer else { return Poll::Pending };
            ready!(timer.as_mut().poll(cx));
            let now = Instant::now();
            let limits = &post.tool_type.limits;
            let began = try_.began().unwrap_or(now);
            if limits.attempt_time_limit.is_some_and(|limit| later(began, limit) <= now) {
                return Poll::Ready("no result within the time limit of one try".to_owned());
            }
            let sign = try_.last_sign().unwrap_or(began);
            if let Some(limit) = limits.silence_limit.filter(|limit| later(sign, *limit) <= now) {
                return Poll::Ready(format!("no sign of life for {} ms", limit.as_millis()));
            }
            self.set_timer(post, began, sign);
        }
    }

    fn set_timer(&mut self, post: &Assignment, began: Instant, sign: Instant) {
        let limits = &post.tool_type.limits;
        let attempt = limits.attempt_time_limit.map(|limit| later(began, limit));
        let silence = limits.silence_limit.map(|limit| later(sign, limit));
        let ends = [attempt, silence].into_iter().flatten().min();
        self.timer = ends.map(|end| Box::pin(sleep_until(end)));
    }
}

impl Running {
    /// As [`Running::poll`], for a call with care.
    pub(super) fn poll_with_care(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        loop {
            if self.care.as_ref().is_some_and(|care| care.context.is_over()) {
                return Poll::Ready(()); // What the tool would say now is no answer.
            }
            let is_attempting = self.care.as_ref().is_some_and(|care| care.is_attempting());
            if is_attempting && let Poll::Ready(outcome) = self.poll_work(cx) {
                if self.on_attempt_ended(outcome) {
                    continue;
                }
                return Poll::Ready(());
            }
            let Some(care) = &mut self.care else { return Poll::Pending };
            if care.context.poll_over(cx).is_ready() {
                return Poll::Ready(()); // Given up.
            }
            match &mut care.stage {
                Stage::Attempting => {
                    let late = care.poll_late(&self.post, self.guard.context(), cx);
                    let message = ready!(late);
                    let Self { guard, post, .. } = self;
                    post.inside(|| guard.stop());
                    let effects = self.post.tool_type.declared_effects();
                    let kind = OutcomeKind::TimedOut;
                    let outcome = Outcome::broken_off(kind, &message, effects, true);
                    if !self.on_attempt_ended(outcome) {
                        return Poll::Ready(());
                    }
                }
                Stage::Resting(rest) => {
                    ready!(rest.as_mut().poll(cx));
                    care.stage = Stage::Entering(None);
                }
                Stage::Entering(_) => {
                    let entered = ready!(self.poll_enter(cx));
                    self.stop_waiting();
                    if let Err(refused) = entered {
                        // What came of the last try says more than why there is no other.
                        let failed = self.care.as_mut().and_then(|care| care.failed.take());
                        self.complete(failed.unwrap_or(refused));
                        return Poll::Ready(());
                    }
                }
            }
        }
    }

    /// It is not to be woken any more by what becomes of its worker.
    pub(super) fn stop_waiting(&mut self) {
        if let Some(care) = &mut self.care
            && std::mem::take(&mut care.waits)
        {
            self.post.health.stop_waiting(care.number());
        }
    }

    /// Ready when the next try has begun, or will not.
    fn poll_enter(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), Outcome>> {
        let Some(care) = &mut self.care else { return Poll::Pending };
        let post = &self.post;
        loop {
            let now = Instant::now();
            if let Err(refused) = admit(post, &self.arguments, now) {
                return Poll::Ready(Err(refused));
            }
            let is_late = care.context.deadline() <= now; // Whoever waits for it is about to see.
            if is_late || post.health.is_down() {
                care.permits = None; // Others need not wait for this call.
                care.stage = Stage::Entering(None);
                care.context.account(|tries| tries.rest(now));
                care.wait_for_change(post, cx);
                return Poll::Pending;
            }
            if let Some(thread) = &care.thread {
                if thread.poll_ended(cx).is_pending() {
                    care.wait_for_change(post, cx);
                    return Poll::Pending; // One thread for one call.
                }
                care.thread = None;
            }
            if care.permits.is_some() {
                break; // And all else holds at this moment.
            }
            care.context.account(|tries| tries.queue(now));
            match care.poll_turn(post, &self.arguments, cx) {
                Poll::Ready(Ok(permits)) => care.permits = Some(permits),
                Poll::Ready(Err(refused)) => return Poll::Ready(Err(refused)),
                Poll::Pending => {
                    care.wait_for_change(post, cx);
                    return Poll::Pending;
                }
            }
        }
        Poll::Ready(self.begin_attempt())
    }

    fn begin_attempt(&mut self) -> Result<(), Outcome> {
        let (post, now) = (Rc::clone(&self.post), Instant::now());
        self.generation = post.health.generation();
        self.probe = Probe::begin(&post, now, self.guard.context().deadline());
        let tool = match &post.tool_type.work {
            Work::Async(_) | Work::ReadResults => match post.tool() {
                Ok(tool) => Some(tool),
                Err(outcome) => {
                    self.fail_probe();
                    return Err(outcome);
                }
            },
            Work::Blocking(_) => None,
        };
        let Some(care) = &mut self.care else { return Ok(()) };
        let context = care.context.at_attempt(care.attempts + 1, now);
        let arguments = &self.arguments;
        match (&post.tool_type.work, tool) {
            (Work::Blocking(function), _) => {
                let (threads, shared) = (&post.terms.capacity.threads, &post.tool_type.shared);
                let permits = care.permits.as_ref().map(|permits| Arc::clone(&permits.own));
                let call = threads.begin(function, arguments, context.clone(), permits, shared);
                let call = call.map_err(|error| {
                    let message = format!("no thread for the tool: {error}");
                    Outcome::failed(OutcomeKind::Overloaded, message)
                })?;
                care.thread = Some(call.ticket());
                care.begin(&post, now);
                self.guard.begin(&context, |_| Box::pin(call));
            }
            (Work::Async(_) | Work::ReadResults, Some(tool)) => {
                care.begin(&post, now);
                let call = |context| tool.call(arguments, context);
                post.inside(|| self.guard.begin(&context, call));
            }
            (Work::Async(_) | Work::ReadResults, None) => {}
        }
        Ok(())
    }

    /// Says whether the call goes on.
    fn on_attempt_ended(&mut self, outcome: Outcome) -> bool {
        let again = self.guard.again();
        self.settle(&outcome);
        let now = Instant::now();
        let Some(care) = &mut self.care else { return false };
        care.permits = None;
        care.timer = None;
        care.context.account(|tries| tries.rest(now));
        let rest =
            rest_before_another(&self.post, care, &self.arguments, (outcome.kind, again), now);
        let Some(rest) = rest else {
            self.complete(outcome);
            return false;
        };
        let (attempt, problem) = (care.attempts, &outcome.problem);
        let cause = problem.as_ref().map_or_else(String::new, |problem| problem.message.clone());
        care.context.tell(News::Retrying { attempt, cause, rest });
        care.failed = Some(outcome);
        care.stage = Stage::Resting(Box::pin(sleep_until(now + rest)));
        true
    }
}

impl Care {
    /// The next try begins.
    fn begin(&mut self, post: &Assignment, now: Instant) {
        self.attempts += 1;
        self.stage = Stage::Attempting;
        let waits = waits(self.dispatched, self.wanted_and_ready, post.health.down(), now);
        let generation = post.health.generation();
        self.context.account(|tries| tries.begin(now, generation, waits));
        self.context.begin(now, generation, &waits);
        self.set_timer(post, now, now);
    }

    /// Ready when it is the call's turn, or there is no room in the line.
    fn poll_turn(
        &mut self,
        post: &Assignment,
        arguments: &str,
        cx: &mut Context<'_>,
    ) -> Poll<Result<Admitted, Outcome>> {
        let tool_type = &post.tool_type;
        let Stage::Entering(entering) = &mut self.stage else { return Poll::Pending };
        let entering = match entering {
            Some(entering) => entering,
            None => {
                if let Some(refused) = no_thread_is_left(post) {
                    return Poll::Ready(Err(refused));
                }
                let gate = tool_type.shared.gate(&tool_type.limits);
                let capacity = &post.terms.capacity;
                let blocks = matches!(tool_type.work, Work::Blocking(_));
                let threads = blocks.then(|| Arc::clone(&capacity.threads.bound));
                let shared = post.terms.bound.iter().chain(&capacity.bound).cloned();
                let queue = gate.queue(arguments, post.own_turn.clone(), threads, shared);
                entering.insert(Entering { turn: Box::pin(queue.enter()), place: None })
            }
        };
        // What a task may do at a time has no say in whether there is room.
        if let Poll::Ready(permits) = pin!(unconstrained(&mut entering.turn)).poll(cx) {
            self.stage = Stage::Entering(None);
            return Poll::Ready(Ok(permits));
        }
        if entering.place.is_none() {
            let (shared, max) = (&tool_type.shared, tool_type.limits.max_queue);
            let waiting = shared.waiting.fetch_add(1, Ordering::AcqRel);
            entering.place = Some(InLine(Arc::clone(shared)));
            if waiting >= max {
                self.stage = Stage::Entering(None);
                let message = format!(
                    "{max} calls of the tool `{}` wait already; not run, ask again later",
                    tool_type.name()
                );
                return Poll::Ready(Err(Outcome::failed(OutcomeKind::Overloaded, message)));
            }
            let ahead = u64::try_from(waiting).unwrap_or(u64::MAX);
            self.context.tell(News::Queued { ahead });
        }
        Poll::Pending
    }
}

/// To wait for a thread would be to wait for those that nobody waits for any more.
fn no_thread_is_left(post: &Assignment) -> Option<Outcome> {
    let threads = &post.terms.capacity.threads;
    let blocks = matches!(post.tool_type.work, Work::Blocking(_));
    (blocks && threads.are_exhausted()).then(|| {
        let message = format!(
            "all {} threads for blocking tools are held by calls that were given up and do not end; \
             not run",
            threads.abandoned()
        );
        Outcome::failed(OutcomeKind::Overloaded, message)
    })
}

/// How long to rest before the call is tried again; `None` if it is not.
fn rest_before_another(
    post: &Assignment,
    care: &Care,
    arguments: &str,
    (kind, again): (OutcomeKind, Again),
    now: Instant,
) -> Option<Duration> {
    let Assignment { tool_type, health, terms, .. } = post;
    let worth_it = match kind {
        OutcomeKind::ToolError
        | OutcomeKind::Panicked
        | OutcomeKind::TimedOut
        | OutcomeKind::Unavailable => !again.permanent,
        OutcomeKind::Ok
        | OutcomeKind::Cancelled
        | OutcomeKind::UnknownTool
        | OutcomeKind::BadArguments
        | OutcomeKind::Truncated
        | OutcomeKind::Overloaded
        | OutcomeKind::Denied
        | OutcomeKind::UnknownOutcome => false,
    };
    let harmless = match tool_type.declared_effects() {
        Effects::None | Effects::Idempotent => true,
        Effects::Once => again.nothing_happened,
    };
    let poison = kind == OutcomeKind::Panicked && health.is_poison(fingerprint(arguments));
    if !worth_it || !harmless || poison || care.attempts > tool_type.limits.retries {
        return None;
    }
    let key = care.context.key();
    let seed = terms.session ^ key.round.rotate_left(24) ^ u64::from(key.ordinal).rotate_left(48);
    let rest = terms.rules.backoff.rest(care.attempts, seed).max(again.after.unwrap_or_default());
    // A try that would begin at the call's deadline is none.
    now.checked_add(rest).filter(|again| *again < care.context.deadline()).map(|_| rest)
}
