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

use super::{Decision, Seat, Supervisor};
use crate::tools::{Assignment, Begun, Health, Post, ToolType, ToolWorker, message_of};

/// News to the supervisor: this generation of a worker is lost. The answer says what becomes of it.
#[derive(Debug, Message)]
#[rtype(result = "Decision")]
pub struct WorkerFailed {
    /// The tool's name.
    pub tool: Arc<str>,
    /// The generation that is lost.
    pub generation: u32,
    /// What became of it.
    pub cause: String,
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
    tool: Arc<str>,
    seat: Option<Rc<Seat>>,
    state: State,
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
            match &mut this.state {
                State::Running => {
                    let cause = ready!(this.poll_watched(cx));
                    ready!(this.ask(cause));
                }
                State::Asking(answer) => match ready!(answer.as_mut().poll(cx)) {
                    Ok(Decision::RebuildAfter(rest)) => this.state = resting(rest),
                    Err(_closed) => return this.end(), // The thread's runtime ends.
                },
                State::Resting(rest) => {
                    ready!(rest.as_mut().poll(cx));
                    this.state = State::Running;
                    if let Err(panic) = this.restart() {
                        ready!(this.ask(message_of(panic)));
                    }
                }
            }
        }
    }
}

fn resting(rest: Duration) -> State {
    let now = Instant::now();
    State::Resting(Box::pin(sleep_until(now.checked_add(rest).unwrap_or(now))))
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
            tool: Arc::default(),
            seat: None,
            state: State::Running,
            down_since: None,
        }
    }

    /// Has the worker run the calls of `tool_type`, the session's tool at `place`, under the
    /// supervisor of `seat`. It must be new, or have retired. The answer is its only address.
    pub fn take_up(
        &mut self,
        place: usize,
        tool_type: &Arc<ToolType>,
        begun: Begun,
        seat: &Rc<Seat>,
    ) -> Option<Addr<ToolWorker>> {
        self.place = place;
        self.health = Rc::default();
        self.tool = Arc::clone(tool_type.name());
        self.seat = Some(Rc::clone(seat));
        let (tool_type, health) = (Arc::clone(tool_type), Rc::clone(&self.health));
        let wanted = Instant::now();
        self.post.set(Some(Assignment { tool_type, health, begun, wanted }));
        self.address.take()
    }

    /// The place of its tool among those of the session.
    pub fn place(&self) -> usize {
        self.place
    }

    /// Takes the worker, whose address this is, out of its session, and says whether it can take up
    /// work in another. A panic of what it lets go of ends here.
    pub fn retire(&mut self, address: Option<Addr<ToolWorker>>) -> bool {
        self.address = address;
        self.post.set(None);
        (self.seat, self.down_since) = (None, None);
        let sound = matches!(self.state, State::Running);
        sound
            && self.restart_watched().unwrap_or_else(|panic| {
                message_of(panic);
                false
            })
    }

    /// Ready with the cause when the generation is lost.
    fn poll_watched(&mut self, cx: &mut TaskContext<'_>) -> Poll<String> {
        if let Some(cause) = self.health.take_failure(cx.waker()) {
            return Poll::Ready(cause);
        }
        let Some(watched) = &mut self.watched else {
            return Poll::Pending;
        };
        match catch_unwind(AssertUnwindSafe(|| Pin::new(&mut *watched).poll(cx))) {
            Ok(Poll::Pending) => {
                self.down_since = None;
                Poll::Pending
            }
            Ok(Poll::Ready(())) => Poll::Ready("the worker stopped".into()),
            Err(panic) => Poll::Ready(message_of(panic)),
        }
    }

    /// Ends if there is nobody to ask.
    fn ask(&mut self, cause: String) -> Poll<()> {
        let (tool, generation) = (Arc::clone(&self.tool), self.health.generation());
        self.down_since.get_or_insert_with(Instant::now);
        let Some(seat) = &self.seat else { return Poll::Pending };
        let answer = seat.supervisor().send(WorkerFailed { tool, generation, cause });
        self.state = State::Asking(Box::pin(answer));
        Poll::Ready(())
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
