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
use crate::tools::{Begun, Health, ToolType, ToolWorker, message_of};

/// How often a worker that rests looks whether its session is still there.
const LOOK_EVERY: Duration = Duration::from_millis(100);

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

/// A worker and what becomes of it. Ends when nobody can reach the worker any more.
pub(super) struct Rebuild {
    watched: Option<ContextFut<ToolWorker, Context<ToolWorker>>>,
    health: Rc<Health>,
    tool: Arc<str>,
    seat: Rc<Seat>,
    state: State,
    /// Since when the worker has been down.
    down_since: Option<Instant>,
}

enum State {
    Running,
    Asking(Pin<Box<Request<Supervisor, WorkerFailed>>>),
    /// Until when, and when to look again whether anybody waits for it.
    Resting(Instant, Pin<Box<Sleep>>),
}

impl Future for Rebuild {
    type Output = ();

    fn poll(mut self: Pin<&mut Self>, cx: &mut TaskContext<'_>) -> Poll<()> {
        let this = &mut *self;
        loop {
            match &mut this.state {
                State::Running => match this.poll_watched(cx) {
                    Poll::Pending => return Poll::Pending,
                    Poll::Ready(None) => return this.end(),
                    Poll::Ready(Some(cause)) => this.ask(cause),
                },
                State::Asking(answer) => match ready!(answer.as_mut().poll(cx)) {
                    Ok(Decision::RebuildAfter(rest)) => this.state = resting(rest),
                    Err(_closed) => return this.end(), // The session is over.
                },
                State::Resting(until, look) => {
                    ready!(look.as_mut().poll(cx));
                    let now = Instant::now();
                    if now < *until {
                        look.as_mut().reset((now + LOOK_EVERY).min(*until));
                        if this.is_wanted() {
                            continue;
                        }
                        return this.end(); // The session is over.
                    }
                    match this.restart() {
                        Ok(true) => this.state = State::Running,
                        Ok(false) => return this.end(), // Nobody can reach it now.
                        Err(panic) => this.ask(message_of(&*panic)),
                    }
                }
            }
        }
    }
}

fn resting(rest: Duration) -> State {
    let now = Instant::now();
    let until = now.checked_add(rest).unwrap_or(now);
    State::Resting(until, Box::pin(sleep_until((now + LOOK_EVERY).min(until))))
}

impl Rebuild {
    /// A worker for `tool_type`, under the supervisor of `seat`, and its address. It lives as long
    /// as it is polled.
    pub fn new(
        tool_type: &Arc<ToolType>,
        begun: Begun,
        seat: &Rc<Seat>,
    ) -> (Self, Addr<ToolWorker>) {
        let health = Rc::new(Health::default());
        // Unbounded: a bound would break the order, and bounds nothing.
        let (sender, receiver) = channel(0);
        let worker =
            ToolWorker::new(Arc::clone(tool_type), Rc::clone(&health), begun, Instant::now());
        let rebuild = Self {
            watched: Some(Context::with_receiver(receiver).into_future(worker)),
            health,
            tool: Arc::clone(tool_type.name()),
            seat: Rc::clone(seat),
            state: State::Running,
            down_since: None,
        };
        (rebuild, Addr::new(sender))
    }

    /// Ready with the cause when the generation is lost, with `None` when the worker has ended.
    fn poll_watched(&mut self, cx: &mut TaskContext<'_>) -> Poll<Option<String>> {
        if let Some(cause) = self.health.take_failure(cx.waker()) {
            return Poll::Ready(Some(cause));
        }
        let Some(watched) = &mut self.watched else {
            return Poll::Ready(None);
        };
        match catch_unwind(AssertUnwindSafe(|| Pin::new(&mut *watched).poll(cx))) {
            Ok(Poll::Pending) => {
                self.down_since = None;
                Poll::Pending
            }
            Ok(Poll::Ready(())) if !watched.ctx().connected() => Poll::Ready(None),
            Ok(Poll::Ready(())) => Poll::Ready(Some("the worker stopped".into())),
            Err(panic) => Poll::Ready(Some(message_of(&*panic))),
        }
    }

    fn ask(&mut self, cause: String) {
        let (tool, generation) = (Arc::clone(&self.tool), self.health.generation());
        self.down_since.get_or_insert_with(Instant::now);
        let supervisor = self.seat.supervisor();
        let answer = supervisor.send(WorkerFailed { tool, generation, cause });
        self.state = State::Asking(Box::pin(answer));
    }

    fn restart(&mut self) -> Result<bool, Box<dyn Any + Send>> {
        self.health.rebuilt(self.down_since.unwrap_or_else(Instant::now));
        let Some(watched) = &mut self.watched else {
            return Ok(false);
        };
        catch_unwind(AssertUnwindSafe(|| watched.restart()))
    }

    /// Says whether anybody can still reach the worker.
    fn is_wanted(&mut self) -> bool {
        self.watched.as_mut().is_some_and(|watched| watched.ctx().connected())
    }

    fn end(&mut self) -> Poll<()> {
        self.bury();
        Poll::Ready(())
    }

    /// Drops the worker. A panic in its `stopped` or in the drop of its state ends here.
    fn bury(&mut self) {
        let watched = self.watched.take();
        drop(catch_unwind(AssertUnwindSafe(move || drop(watched))));
    }
}

impl Drop for Rebuild {
    fn drop(&mut self) {
        self.bury(); // The thread's runtime may drop the task while the worker still lives.
    }
}
