//! The workers of one session and the calls they run: all of them part of the session's own task,
//! so that a round costs no trip through the runtime's queue, and neither worker nor call a task.

use std::cell::RefCell;
use std::pin::Pin;
use std::rc::Rc;
use std::sync::Arc;
use std::task::{Context, Poll};

use actix::Addr;
use futures_util::Stream;
use futures_util::stream::FuturesUnordered;
use tokio::task::coop::has_budget_remaining;
use tokio::time::Instant;

use super::Seat;
use super::rebuild::Rebuild;
use crate::tools::{Begun, Health, Running, ToolSet, ToolType, ToolWorker};

/// The most workers that wait for a session.
const MAX_IDLE: usize = 64;

/// The workers of one session and the calls they run. Whoever owns it polls it.
pub(crate) struct Crew {
    /// `None` until the first worker: most sessions that sleep have none.
    members: Option<FuturesUnordered<Member>>,
    begun: Begun,
    /// Where the worker of the tool at each place is, once places have changed.
    moved: Option<Vec<Option<usize>>>,
    /// Where the workers are whose tools are gone. They stay until none of their calls is left.
    leaving: Vec<usize>,
    /// By the first place of the tool in the set; `None` until the tool's first call, and once the tool
    /// and its worker are gone.
    workers: Vec<Option<(Addr<ToolWorker>, Rc<Health>)>>,
    idle: IdleWorkers,
}

/// The workers of one arbiter whose sessions are over, the last one first. Cheap to clone.
///
/// A worker is a context, a mailbox and a handful of small things in memory that is still warm:
/// where sessions are short, most begin with workers that others have just left.
#[derive(Clone, Default)]
#[expect(clippy::vec_box, reason = "they come and go in their boxes, and are not moved")]
pub(crate) struct IdleWorkers(Rc<RefCell<Vec<Box<Rebuild>>>>);

/// A future of its own: a worker that is rebuilt spares its running calls.
#[expect(clippy::large_enum_variant, reason = "most members are calls")]
enum Member {
    Worker(Box<Rebuild>),
    Call(Running),
    /// A worker was here, and its tool is gone.
    Gone,
}

impl Crew {
    /// A crew without workers.
    pub fn new(idle: IdleWorkers) -> Self {
        let (begun, moved) = (Begun::default(), None);
        Self { members: None, begun, moved, leaving: Vec::new(), workers: Vec::new(), idle }
    }

    /// The worker of `tool_type`, the tool at `place`, for one call that is sent to it now. It is taken in
    /// at the tool's first call, under the supervisor of `seat`.
    pub fn worker(
        &mut self,
        place: usize,
        tool_type: &Arc<ToolType>,
        seat: &Rc<Seat>,
    ) -> &Addr<ToolWorker> {
        let place = self.own_place(place);
        if self.workers.len() <= place {
            self.workers.resize(place + 1, None);
        }
        if self.workers[place].is_none() {
            let idle = self.idle.0.borrow_mut().pop();
            let mut worker = idle.unwrap_or_else(|| Box::new(Rebuild::new()));
            self.workers[place] = worker.take_up(place, tool_type, self.begun.clone(), seat);
            self.members.get_or_insert_default().push(Member::Worker(worker));
        }
        let worker = self.workers[place].as_ref();
        let (address, health) = worker.expect("an idle worker has its address");
        health.on_sent();
        address
    }

    /// The tools of the session are `new` in place of `old`. A tool that is in both keeps its worker;
    /// calls of one that is gone go on, and
    /// its worker goes after them.
    pub fn follow(&mut self, old: &ToolSet, new: &ToolSet) {
        let place_in_old = |tool: &Arc<ToolType>| {
            let place = old.index_of(tool.name())?;
            old.at(place).filter(|old| old.is_same(tool)).map(|_| place)
        };
        let at = |place: usize| match &self.moved {
            None => Some(place),
            Some(moved) => moved.get(place).copied().flatten(),
        };
        // Behind them is the one that reads large results.
        let places = new.iter().map(place_in_old).chain([Some(old.len())]);
        let has_worker = |place: &usize| self.workers.get(*place).is_some_and(Option::is_some);
        let moved: Vec<_> = places.map(|place| at(place?).filter(has_worker)).collect();
        let mut stays = vec![false; self.workers.len()];
        moved.iter().flatten().for_each(|place| stays[*place] = true);
        let workers = self.workers.iter().zip(stays).enumerate();
        let leave = workers.filter(|(_, (worker, stays))| worker.is_some() && !stays);
        self.leaving = leave.map(|(place, _)| place).collect();
        self.moved = Some(moved);
    }

    /// Lets the workers go whose tools are gone, and that have nothing to do any more.
    fn let_go(&mut self) {
        let Some(members) = &mut self.members else { return };
        for member in members.iter_mut() {
            let is_gone =
                |worker: &Rebuild| self.leaving.contains(&worker.place()) && worker.is_idle();
            if !matches!(member, Member::Worker(worker) if is_gone(worker)) {
                continue;
            }
            let Member::Worker(worker) = std::mem::replace(member, Member::Gone) else { continue };
            self.leaving.retain(|place| *place != worker.place());
            if let Some((address, health)) = self.workers[worker.place()].take() {
                health.wake_watcher(); // Its place among the members is given up, too.
                self.idle.take_back(worker, Some(address));
            }
        }
    }

    /// Has the worker of the tool at `place` made anew behind its address: see [`Health::order_restart`].
    /// Says whether there is one.
    pub fn restart(&self, place: usize, was_out: bool) -> bool {
        let worker = self.worker_at(place);
        if let Some((_, health)) = worker {
            health.order_restart(was_out);
        }
        worker.is_some()
    }

    /// The worker of the tool at `place`, if it has one.
    fn worker_at(&self, place: usize) -> Option<&(Addr<ToolWorker>, Rc<Health>)> {
        let place = match &self.moved {
            None => Some(place),
            Some(moved) => moved.get(place).copied().flatten(),
        };
        self.workers.get(place?)?.as_ref()
    }

    /// Where the worker of the tool at `place` is, or will be.
    fn own_place(&mut self, place: usize) -> usize {
        let Some(moved) = &mut self.moved else { return place };
        if moved.len() <= place {
            moved.resize(place + 1, None);
        }
        *moved[place].get_or_insert_with(|| {
            // One without a worker is nobody's: those that stay have one.
            self.workers.iter().position(Option::is_none).unwrap_or_else(|| {
                self.workers.push(None);
                self.workers.len() - 1
            })
        })
    }

    /// Says whether it is still to be known what becomes of a worker that failed.
    pub fn is_undecided(&self) -> bool {
        self.workers.iter().flatten().any(|(_, health)| health.is_undecided())
    }

    /// Says whether the session has withdrawn the tool at `place` for now.
    pub fn withdraws(&self, place: usize, now: Instant) -> bool {
        self.worker_at(place).is_some_and(|(_, health)| health.withdraws(now))
    }

    /// Goes on with the workers and calls that have something to do.
    pub fn poll(&mut self, cx: &mut Context<'_>) {
        let Some(members) = &mut self.members else { return };
        loop {
            while let Poll::Ready(Some(())) = Pin::new(&mut *members).poll_next(cx) {}
            let before = members.len();
            self.begun.drain_into(|call| members.push(Member::Call(call)));
            if members.len() == before {
                break;
            }
        }
        if !self.leaving.is_empty() {
            self.let_go();
        }
    }
}

impl IdleWorkers {
    /// Takes a worker, whose address this is, out of its session.
    fn take_back(&self, mut worker: Box<Rebuild>, address: Option<Addr<ToolWorker>>) {
        let sound = worker.retire(address);
        let mut idle = self.0.borrow_mut();
        if sound && idle.len() < MAX_IDLE {
            idle.push(worker);
        }
    }
}

impl Drop for Crew {
    fn drop(&mut self) {
        self.begun.drain_into(drop); // They know of each other.
        let Some(members) = self.members.take().filter(|_| !std::thread::panicking()) else {
            return;
        };
        let workers = members.into_iter().filter_map(|member| match member {
            Member::Worker(worker) => Some(worker),
            Member::Call(_) | Member::Gone => None, // A call ends before its worker goes.
        });
        for worker in workers.collect::<Vec<_>>() {
            let address = self.workers.get_mut(worker.place()).and_then(Option::take);
            let address = address.map(|(address, _)| address);
            self.idle.take_back(worker, address);
        }
    }
}

impl Future for Member {
    type Output = ();

    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<()> {
        match self.get_mut() {
            Self::Worker(worker) => Pin::new(&mut **worker).poll(cx),
            // Another call used up what the task may do at a time: this one goes first next time,
            // for it is woken now, and the greedy one later.
            Self::Call(_) if !has_budget_remaining() => {
                cx.waker().wake_by_ref();
                Poll::Pending
            }
            Self::Call(call) => Pin::new(call).poll(cx),
            Self::Gone => Poll::Ready(()),
        }
    }
}
