//! A call that has left its worker's mailbox. It belongs to its session, not to the worker that
//! began it: a worker that is rebuilt spares its calls.

use std::cell::RefCell;
use std::pin::Pin;
use std::rc::Rc;
use std::sync::Arc;
use std::task::{Context, Poll, ready};

use futures_util::future::LocalBoxFuture;
use tokio::time::Instant;
use tracing::Span;

use super::care::Care;
use super::circuit::Probed;
use super::failure::fingerprint;
use super::guard::Guard;
use super::health::CallEnd;
use super::probe::Probe;
use super::spec::Work;
use super::tries::Spent;
use super::worker::Assignment;
use super::{Completer, Ended, Waits};
use crate::conversation::{Expired, Outcome, OutcomeKind};

/// The calls of one session that have begun and are not polled by anybody yet. Cheap to clone.
#[derive(Clone, Default)]
pub(crate) struct Begun(Rc<RefCell<Vec<Running>>>);

impl Begun {
    pub(super) fn push(&self, call: Running) {
        self.0.borrow_mut().push(call);
    }

    /// Hands every call to `take`, who polls it from now on.
    pub fn drain_into(&self, take: impl FnMut(Running)) {
        self.0.borrow_mut().drain(..).for_each(take);
    }
}

/// A call that runs, or waits to run. Dropping it stops the work.
pub(crate) struct Running {
    pub(super) guard: Guard,
    pub(super) post: Rc<Assignment>,
    pub(super) arguments: Arc<str>,
    pub(super) generation: u32,
    /// Whose time limit is the call's deadline.
    pub(super) expires: Expired,
    pub(super) waits: Waits,
    pub(super) began: Instant,
    /// It finds out whether the tool works again.
    pub(super) probe: Option<Box<Probe>>,
    /// `None` once it is answered.
    pub(super) completer: Option<Completer>,
    /// Its result is too large for the model, and is being kept.
    pub(super) keeping: Option<Box<Keeping>>,
    pub(super) span: Span,
    /// `None` for a call that runs at once and only once.
    pub(super) care: Option<Box<Care>>,
}

/// A call that is done but for the keeping of its result.
pub(super) struct Keeping {
    told: LocalBoxFuture<'static, Outcome>,
    /// The keeping is not the tool's time.
    spent: Spent,
}

impl Running {
    /// What the tool says; pending while it works.
    pub(super) fn poll_work(&mut self, cx: &mut Context<'_>) -> Poll<Outcome> {
        let Self { guard, post, .. } = self;
        post.inside(|| guard.poll_work(cx, post.terms.result_limit()))
    }

    /// Tells those who wait for the call, and the worker what it has shown.
    pub(super) fn end(&mut self, outcome: Outcome) {
        self.settle(&outcome);
        self.complete(outcome);
    }

    /// Tells those who wait for the call, unless its result is too large for the model: then they are
    /// told as soon as it is kept.
    pub(super) fn complete(&mut self, outcome: Outcome) {
        let now = Instant::now();
        let spent = self.care.as_ref().and_then(|care| care.context.account(|it| it.spent(now)));
        let spent = spent.unwrap_or_else(|| Spent {
            waits: self.waits,
            ran: now.saturating_duration_since(self.began),
            attempts: 1,
            generation: self.generation,
        });
        let Assignment { tool_type, terms, .. } = &*self.post;
        let keeping = match tool_type.work {
            Work::ReadResults => None, // It is a part of one that is kept.
            Work::Async(_) | Work::Blocking(_) => {
                terms.keep(&outcome, self.guard.context().deadline())
            }
        };
        match keeping {
            None => self.answer(Ended { outcome, spent }),
            Some(told) => self.keeping = Some(Box::new(Keeping { told, spent })),
        }
    }

    /// Says whether the call is done but for the keeping of its result.
    pub(super) fn is_keeping(&self) -> bool {
        self.keeping.is_some()
    }

    /// Ready when nothing is to be kept any more. Whoever gave the call up has no use for it, but what
    /// a store was asked for is not taken back.
    fn poll_keeping(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        if let Some(keeping) = &mut self.keeping {
            let outcome = ready!(keeping.told.as_mut().poll(cx));
            let spent = keeping.spent;
            self.keeping = None;
            self.answer(Ended { outcome, spent });
        }
        Poll::Ready(())
    }

    /// Says to those who wait for the call what became of it.
    pub(super) fn answer(&mut self, ended: Ended) {
        if let Some(completer) = self.completer.take() {
            completer.complete(ended);
        }
    }

    /// Tells the worker, and the circuits if it was their probe, how a try of the call ended.
    pub(super) fn settle(&mut self, outcome: &Outcome) {
        let dropped = self.guard.take_drop_panic();
        let cause = outcome.problem.as_ref().map_or("", |problem| &problem.message);
        match (outcome.kind, dropped) {
            (OutcomeKind::Panicked, _) => self.tell_of_crash(cause),
            // That says nothing of the tool, but that it does not work yet.
            (OutcomeKind::TimedOut, None) if self.is_held_up() => {
                self.tell(CallEnd::Answered, Probed::Badly);
            }
            (OutcomeKind::TimedOut, None) => self.tell(CallEnd::TimedOut, Probed::Badly),
            (_, Some(cause)) => self.tell_of_crash(&cause),
            // That shows nothing of the tool.
            (OutcomeKind::BadArguments | OutcomeKind::Denied, None) => {
                self.tell(CallEnd::Answered, Probed::Nothing);
            }
            // What the tool needs is away, and the tool itself is none the worse for it.
            (OutcomeKind::Unavailable | OutcomeKind::UnknownOutcome, None) => {
                self.tell(CallEnd::Answered, Probed::Badly);
            }
            (_, None) => self.tell(CallEnd::Answered, Probed::Well),
        }
    }

    /// What the tool needs is away, and the call waits for it.
    fn is_held_up(&self) -> bool {
        self.care.as_ref().is_some_and(|care| care.is_held_up())
    }

    /// The tool that was to be found out about could not even be made.
    pub(super) fn fail_probe(&mut self) {
        if let Some(probe) = self.probe.take() {
            probe.end(Probed::Badly);
        }
    }

    fn tell_of_crash(&mut self, cause: &str) {
        let arguments = fingerprint(&self.arguments);
        let cause = &self.post.terms.result_limit().panic(cause.to_owned());
        self.tell(CallEnd::Crashed { cause, arguments }, Probed::Badly);
    }

    fn tell(&mut self, end: CallEnd<'_>, probed: Probed) {
        let Assignment { tool_type, health, terms, .. } = &*self.post;
        let was_answered = end == CallEnd::Answered;
        tool_type.shared.on_end(was_answered);
        if was_answered && health.has_crashed() {
            health.forgive(fingerprint(&self.arguments));
        }
        health.on_end(self.generation, end, &terms.rules.tolerance);
        if let Some(probe) = self.probe.take() {
            probe.end(probed);
        }
    }

    /// Nobody waits any more: the time is over, or somebody cancelled it. The work is dropped, and the
    /// worker told once. That the round or the turn had no time for it says nothing of the tool.
    fn on_given_up(&mut self) {
        let _entered = self.span.clone().entered(); // The work may log when it is dropped.
        let runs = self.care.as_ref().is_none_or(|care| care.is_attempting());
        let own_limit = self.expires == Expired::Call;
        let is_late = runs && own_limit && self.guard.context().deadline() <= Instant::now();
        let held_up = self.is_held_up();
        let Self { guard, post, .. } = self;
        post.inside(|| guard.stop());
        match self.guard.take_drop_panic() {
            Some(cause) => self.tell_of_crash(&cause),
            None if is_late && held_up => self.tell(CallEnd::Answered, Probed::Badly),
            None if is_late => self.tell(CallEnd::TimedOut, Probed::Badly),
            None => {}
        }
    }
}

impl Future for Running {
    type Output = ();

    /// Runs the call to its end. The work is dropped as soon as nobody waits for the answer.
    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<()> {
        let this = &mut *self;
        let entered = this.span.clone().entered();
        if this.is_keeping() {
            return this.poll_keeping(cx);
        }
        if this.care.is_some() {
            ready!(this.poll_with_care(cx));
            if this.completer.is_some() && !this.is_keeping() {
                this.on_given_up();
            }
            return this.poll_keeping(cx);
        }
        if this.guard.context().is_over() {
            this.on_given_up(); // What it would say now is no answer.
            return Poll::Ready(());
        }
        let polled = this.poll_work(cx);
        drop(entered);
        match polled {
            Poll::Ready(outcome) => {
                this.end(outcome);
                this.poll_keeping(cx)
            }
            Poll::Pending => {
                ready!(this.guard.poll_given_up(cx));
                this.on_given_up();
                Poll::Ready(())
            }
        }
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        let _entered = self.span.clone().entered();
        self.stop_waiting();
        let Self { guard, post, .. } = self;
        post.inside(|| guard.stop());
        if let Some(cause) = self.guard.take_drop_panic() {
            self.tell_of_crash(&cause); // Given up, and bad at it.
        }
    }
}
