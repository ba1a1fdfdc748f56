//! The restart future: a worker's context, watched. A panic of the worker, or a call's panic it
//! reports, ends this generation; the address and the queue stay.
//!
//! actix's own `Supervisor` does neither restart on a panic nor wait before it restarts. What this
//! leans on (`ContextFut::restart` keeps the mailbox, a panicked message is off the queue) is held
//! by tests in `tests/it/actix_facts.rs`.

use std::any::Any;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::pin::Pin;
use std::rc::Rc;
use std::sync::Arc;
use std::task::{Context as TaskContext, Poll, ready};
use std::time::Duration;

use actix::dev::channel::channel;
use actix::dev::{ContextFut, Request};
use actix::{Addr, Context, Message};
use tokio::time::{Instant, Sleep, sleep_until};

use super::supervisor::{WorkerRecovered, WorkerRenewed};
use super::{Decision, Seat, Supervisor};
use crate::sabotage::{self, Sabotage};
use crate::tools::{
    Assignment, Begun, Blame, Failure, Health, Post, ToolType, ToolWorker, Trip, later, message_of,
};

/// News to the supervisor: this generation of a worker is lost. The answer says what becomes of it.
#[derive(Debug, Message)]
#[rtype(result = "Decision")]
pub struct WorkerFailed {
    /// The tool.
    pub tool: Arc<ToolType>,
    /// The generation that is lost.
    pub generation: u32,
    /// What became of it.
    pub failure: Failure,
    /// The same arguments crashed before: they are to blame.
    pub is_poison: bool,
}

/// A worker and what becomes of it. Lives as long as its session; when that is over it can take up
/// work in another.
pub(super) struct Rebuild {
    watched: Option<ContextFut<ToolWorker, Context<ToolWorker>>>,
    /// `None` while somebody else keeps it: see [`Rebuild::take_up`].
    address: Option<Addr<ToolWorker>>,
    /// The place of its tool among those of the session.
    place: usize,
    post: Rc<Post>,
    health: Rc<Health>,
    tool: Option<Arc<ToolType>>,
    seat: Option<Rc<Seat>>,
    state: State,
    cause: Arc<str>,
    /// Since when the worker has been down.
    down_since: Option<Instant>,
}

enum State {
    Running,
    Asking(Pin<Box<Request<Supervisor, WorkerFailed>>>),
    Resting(Pin<Box<Sleep>>),
}

impl Future for Rebuild {
    type Output = ();

    fn poll(mut self: Pin<&mut Self>, cx: &mut TaskContext<'_>) -> Poll<()> {
        let this = &mut *self;
        loop {
            // What becomes of one that has failed is to be known first.
            let is_decided = !matches!(this.state, State::Asking(_));
            if is_decided && this.health.take_restart(cx.waker()) {
                ready!(this.restart_by_hand());
            }
            match &mut this.state {
                State::Running => {
                    let failure = ready!(this.poll_watched(cx));
                    if sabotage::is(Sabotage::StockSupervisor) {
                        return this.end();
                    }
                    ready!(this.ask(failure));
                }
                State::Asking(answer) => {
                    let answer = ready!(answer.as_mut().poll(cx));
                    this.health.decided();
                    match answer {
                        Ok(Decision::RebuildAfter(rest)) => this.state = resting(rest),
                        Ok(Decision::OpenCircuit(cool_down)) => {
                            let (cause, blame) = (Arc::clone(&this.cause), Blame::Tool);
                            let trip = Trip { cause, cool_down, blame };
                            this.health.open_circuit(Instant::now(), trip);
                            ready!(this.go_on()); // To refuse calls, without a tool.
                        }
                        Err(_closed) => return this.end(), // The thread's runtime ends.
                    }
                }
                State::Resting(rest) => {
                    ready!(rest.as_mut().poll(cx));
                    ready!(this.go_on());
                }
            }
        }
    }
}

fn resting(rest: Duration) -> State {
    State::Resting(Box::pin(sleep_until(later(Instant::now(), rest))))
}

impl Rebuild {
    /// A worker without work. Nothing happens before it is polled.
    pub fn new() -> Self {
        let post = Rc::default();
        // Unbounded: a bound would break the order, and bounds nothing.
        let (sender, receiver) = channel(0);
        let worker = ToolWorker::new(Rc::clone(&post));
        Self {
            watched: Some(Context::with_receiver(receiver).into_future(worker)),
            address: Some(Addr::new(sender)),
            place: 0,
            post,
            health: Rc::default(),
            tool: None,
            seat: None,
            state: State::Running,
            cause: Arc::default(),
            down_since: None,
        }
    }

    /// Has the worker run the calls of `tool_type`, the session's tool at `place`, under the
    /// supervisor of `seat`. It must be new, or have retired. The answer is its only address, and
    /// what its calls tell of it.
    pub fn take_up(
        &mut self,
        place: usize,
        tool_type: &Arc<ToolType>,
        begun: Begun,
        seat: &Rc<Seat>,
    ) -> Option<(Addr<ToolWorker>, Rc<Health>)> {
        let assignment = Assignment::new(Arc::clone(tool_type), begun, Rc::clone(seat.terms()));
        self.place = place;
        self.health = Rc::clone(&assignment.health);
        self.tool = Some(Arc::clone(tool_type));
        self.seat = Some(Rc::clone(seat));
        self.post.set(Some(assignment));
        Some((self.address.take()?, Rc::clone(&self.health)))
    }

    /// The place of its tool among those of the session.
    pub fn place(&self) -> usize {
        self.place
    }

    /// Says whether no call runs, rests, or waits for the worker.
    pub fn is_idle(&self) -> bool {
        matches!(self.state, State::Running)
            && self.health.is_awaited_by_none()
            && self.post.is_idle()
    }

    /// Takes the worker, whose address this is, out of its session, and says whether it can take up
    /// work in another. A panic of what it lets go of ends here.
    pub fn retire(&mut self, address: Option<Addr<ToolWorker>>) -> bool {
        self.address = address;
        self.post.set(None);
        (self.seat, self.tool, self.down_since) = (None, None, None);
        let sound = matches!(self.state, State::Running);
        sound
            && self.restart_watched().unwrap_or_else(|panic| {
                message_of(panic);
                false
            })
    }

    /// Ready when the generation is lost. Passes on that its circuit has closed again.
    fn poll_watched(&mut self, cx: &mut TaskContext<'_>) -> Poll<Failure> {
        // In this order: what failed after it had recovered failed anew.
        if self.health.take_recovery()
            && let (Some(seat), Some(tool)) = (&self.seat, &self.tool)
        {
            seat.supervisor().do_send(WorkerRecovered { tool: Arc::clone(tool.name()) });
        }
        match self.health.take_failure(cx.waker()) {
            Some(_) if sabotage::is(Sabotage::StockSupervisor) => {}
            Some(failure) => return Poll::Ready(failure),
            None => {}
        }
        let Some(watched) = &mut self.watched else {
            return Poll::Pending;
        };
        let cause = match catch_unwind(AssertUnwindSafe(|| Pin::new(&mut *watched).poll(cx))) {
            Ok(Poll::Pending) => {
                if !self.health.is_down() {
                    self.down_since = None;
                }
                return Poll::Pending;
            }
            Ok(Poll::Ready(())) => "the worker stopped".into(),
            Err(panic) => message_of(panic),
        };
        self.health.lost();
        Poll::Ready(Failure::Crash { cause, arguments: None })
    }

    /// Ends if there is nobody to ask.
    fn ask(&mut self, failure: Failure) -> Poll<()> {
        self.down_since.get_or_insert_with(Instant::now);
        self.cause = failure.cause().into();
        let (Some(seat), Some(tool)) = (&self.seat, &self.tool) else { return Poll::Pending };
        let is_poison = match failure {
            Failure::Crash { arguments: Some(arguments), .. } => self.health.is_poison(arguments),
            _ => false,
        };
        let (tool, generation) = (Arc::clone(tool), self.health.generation());
        let failed = WorkerFailed { tool, generation, failure, is_poison };
        self.state = State::Asking(Box::pin(seat.supervisor().send(failed)));
        Poll::Ready(())
    }

    /// Begins the next generation because somebody wants it.
    fn restart_by_hand(&mut self) -> Poll<()> {
        if let (Some(seat), Some(tool)) = (&self.seat, &self.tool) {
            let generation = self.health.generation() + 1;
            seat.supervisor().do_send(WorkerRenewed { tool: Arc::clone(tool), generation });
        }
        self.go_on()
    }

    /// Begins the next generation.
    fn go_on(&mut self) -> Poll<()> {
        self.state = State::Running;
        match self.restart() {
            Ok(_) => Poll::Ready(()),
            Err(panic) => {
                self.health.lost();
                self.ask(Failure::Crash { cause: message_of(panic), arguments: None })
            }
        }
    }

    fn restart(&mut self) -> Result<bool, Box<dyn Any + Send>> {
        self.health.rebuilt(self.down_since.unwrap_or_else(Instant::now));
        self.restart_watched()
    }

    fn restart_watched(&mut self) -> Result<bool, Box<dyn Any + Send>> {
        let Some(watched) = &mut self.watched else {
            return Ok(false);
        };
        catch_unwind(AssertUnwindSafe(|| watched.restart()))
    }

    fn end(&mut self) -> Poll<()> {
        self.bury();
        Poll::Ready(())
    }

    /// Drops the worker. A panic in its `stopped` or in the drop of its state ends here.
    fn bury(&mut self) {
        let watched = self.watched.take();
        if let Err(panic) = catch_unwind(AssertUnwindSafe(move || drop(watched))) {
            message_of(panic);
        }
    }
}

impl Drop for Rebuild {
    fn drop(&mut self) {
        self.bury(); // The thread's runtime may drop the task while the worker still lives.
    }
}
