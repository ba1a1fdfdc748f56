//! How a runtime ends in good order: nothing new begins, turns under way have some time to end, and
//! what is left is cut, on record.

use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::{self, RecvTimeoutError};
use std::task::{Context, Poll};
use std::time::Duration;

use actix::WeakAddr;
use tokio::sync::oneshot;
use tokio::task::coop::unconstrained;
use tokio::time::{Instant, timeout_at};

use super::StuckArbiter;
use super::coordinator::Coordinator;
use super::draining::{CutOff, Drain, TurnOver};
use crate::conversation::SessionId;

/// How long after the drain an arbiter may take to answer before it is stuck.
pub(super) const PATIENCE: Duration = Duration::from_secs(1);

/// How long after the drain a store may take to keep the ends of turns that were cut. Shorter:
/// an arbiter that waits for its store still answers.
const STORE_PATIENCE: Duration = Duration::from_millis(750);

/// What became of the turns that were under way when a runtime was shut down.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ShutdownReport {
    /// How many turns ended by themselves: answered, failed, or cancelled by somebody else.
    pub finished: usize,
    /// The turns that were cut.
    pub cut: Vec<CutTurn>,
    /// The arbiters that did not answer; what became of their turns is not known. They hear of the
    /// shutdown when they come back.
    pub stuck: Vec<StuckArbiter>,
}

/// A turn that a shutdown cut.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CutTurn {
    /// The conversation.
    pub session: SessionId,
    /// Which of its turns, counted from 1.
    pub turn: u64,
    /// The calls that were not answered yet, as (id on the wire, tool), in the order of the reply.
    /// They are answered `cancelled`.
    pub calls: Vec<(Arc<str>, Arc<str>)>,
    /// The store has the end of the turn. It has not if it failed or did not answer in time: the
    /// turn then looks as if the process had ended.
    pub recorded: bool,
}

impl ShutdownReport {
    /// Takes in what an arbiter says of its own sessions.
    pub(super) fn add(&mut self, other: Self) {
        self.finished += other.finished;
        self.cut.extend(other.cut);
        self.stuck.extend(other.stuck);
    }

    fn count(&mut self, over: TurnOver) {
        match over {
            TurnOver::ByItself => self.finished += 1,
            TurnOver::Cut(turn) => self.cut.push(turn),
        }
    }
}

/// Says whether a runtime is shutting down, and how. Shared by all that begin something in it.
#[derive(Clone, Debug, Default)]
pub(super) struct Closing(Arc<Ending>);

#[derive(Debug, Default)]
struct Ending {
    has_begun: AtomicBool,
    leaves_turns: AtomicBool,
}

impl Closing {
    /// From now on nothing begins.
    pub fn begin(&self) {
        self.0.has_begun.store(true, Ordering::Relaxed);
    }

    /// The same, and turns are left as they are at the next point that is on record.
    pub fn begin_to_leave(&self) {
        self.0.leaves_turns.store(true, Ordering::Relaxed);
        self.begin();
    }

    pub fn has_begun(&self) -> bool {
        self.0.has_begun.load(Ordering::Relaxed)
    }

    pub fn leaves_turns(&self) -> bool {
        self.0.leaves_turns.load(Ordering::Relaxed)
    }
}

/// Waits until `until` for the turns of `sessions`, all of them on this thread, then cuts those that
/// are left.
pub(super) async fn drain(sessions: Vec<WeakAddr<Coordinator>>, until: Instant) -> ShutdownReport {
    let ask = |session: WeakAddr<Coordinator>| {
        let (reply, over) = oneshot::channel();
        session.upgrade()?.do_send(Drain(reply));
        Some((session, over))
    };
    let asked: Vec<_> = sessions.into_iter().filter_map(ask).collect();
    let (mut report, mut late) = (ShutdownReport::default(), Vec::new());
    for (session, mut over) in asked {
        match timeout_at(until, unconstrained(&mut over)).await {
            Ok(Ok(over)) => report.count(over),
            Ok(Err(_no_turn)) => {}
            Err(_elapsed) => late.push((session, over)),
        }
    }
    let cut =
        |(session, over): (WeakAddr<Coordinator>, _)| Some((session.upgrade()?.send(CutOff), over));
    let cut: Vec<_> = late.into_iter().filter_map(cut).collect();
    let last = Instant::now() + STORE_PATIENCE;
    for (turn, over) in cut {
        // A session whose thread is blocked does not answer now.
        let turn = timeout_at(last, turn).await.ok().and_then(Result::ok).flatten();
        match timeout_at(last, unconstrained(over)).await {
            Ok(Ok(over)) => report.count(over),
            Ok(Err(_no_turn)) => {}
            Err(_elapsed) => report.cut.extend(turn),
        }
    }
    report
}

/// Rings once, by the machine's time, on any executor or none. For what blocks a thread blocks its
/// timers, too.
pub(super) struct Alarm {
    rings: oneshot::Receiver<()>,
    has_rung: bool,
    /// Ends the thread.
    _stop: mpsc::Sender<()>,
}

impl Alarm {
    /// One that rings after `time`. It never does if the operating system gives no thread.
    pub fn after(time: Duration) -> Self {
        let (stop, stopped) = mpsc::channel::<()>();
        let (ring, rings) = oneshot::channel();
        let wait = move || {
            if stopped.recv_timeout(time) == Err(RecvTimeoutError::Timeout) {
                let _ = ring.send(()); // Nobody may care any more.
            }
        };
        let thread = std::thread::Builder::new().name("callsheet-alarm".into()).spawn(wait);
        if let Err(error) = thread {
            tracing::warn!(%error, "no thread for an alarm: waiting without a limit");
        }
        Self { rings, has_rung: false, _stop: stop }
    }
}

impl Future for Alarm {
    type Output = ();

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<()> {
        if !self.has_rung {
            match Pin::new(&mut self.rings).poll(cx) {
                Poll::Ready(Ok(())) => self.has_rung = true,
                Poll::Ready(Err(_)) | Poll::Pending => return Poll::Pending,
            }
        }
        Poll::Ready(())
    }
}
