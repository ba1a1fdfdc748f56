//! One host per arbiter: sessions begin there, a few at a time.

use std::cell::RefCell;
use std::collections::VecDeque;
use std::rc::Rc;
use std::sync::Arc;
use std::time::{Duration, Instant};

use actix::dev::channel::{AddressReceiver, channel};
use actix::prelude::SendError;
use actix::{Actor, Addr, AsyncContext, Context, Handler, Message, WeakAddr};
use actix_rt::ArbiterHandle;
use tokio::sync::oneshot;

use super::coordinator::Coordinator;
use super::keeper::{Keeper, let_go};
use super::pulse::Pulse;
use super::restarting::restart_in;
use super::roster::Roster;
use super::shutdown::{Closing, drain};
use super::slot::{Entrance, Occupancy};
use super::{Clock, ShutdownReport};
use crate::store::Journal;
use crate::supervision::IdleWorkers;
use crate::tools::Capacity;

/// How many sessions begin before those that have begun have their turn.
///
/// In a burst of a thousand each would wait for all others after each of its steps, and find its
/// memory cold. Fewer at a time are faster still where tools answer at once, but where they take
/// their time it is better to have them begin.
const AT_ONCE: usize = 32;

/// A session sleeps when it was found to be quiet so often.
const SWEEPS: u32 = 4;

/// How often sessions are looked at, at most.
const SHORTEST_SWEEP: Duration = Duration::from_millis(1);

/// Begins a session whose address its callers have already.
#[derive(Message)]
#[rtype(result = "()")]
struct OpenSession {
    occupancy: Occupancy,
    entrance: Entrance,
    own: WeakAddr<Coordinator>,
    mailbox: AddressReceiver<Coordinator>,
}

/// Asks for a sign of life.
#[derive(Message)]
#[rtype(result = "()")]
pub(super) struct Ping;

/// Lets turns end by themselves until `until`, cuts the rest, and tells what became of them.
#[derive(Message)]
#[rtype(result = "()")]
struct ShutDown {
    until: tokio::time::Instant,
    reply: oneshot::Sender<ShutdownReport>,
}

/// Has the workers of `tool` made anew in all sessions, and tells how many there are.
#[derive(Message)]
#[rtype(result = "()")]
struct Restart {
    tool: Arc<str>,
    reply: oneshot::Sender<usize>,
}

/// Has its arbiter do something, in a task of its own.
#[cfg(feature = "server")]
#[derive(Message)]
#[rtype(result = "()")]
pub(super) struct Work(pub futures_util::future::BoxFuture<'static, ()>);

/// Begins sessions on its arbiter, and knows them.
pub(super) struct Host(Rc<RefCell<Place>>);

/// What the sessions of one arbiter share. Cheap to clone.
#[derive(Clone)]
pub(super) struct Premises {
    pub journal: Arc<dyn Journal>,
    pub clock: Clock,
    /// Workers that sessions have left.
    pub idle: IdleWorkers,
    pub capacity: Arc<Capacity>,
    pub pulse: Arc<Pulse>,
    pub closing: Closing,
}

/// Where sessions begin.
struct Place {
    premises: Premises,
    /// How many sessions have begun since others last had their turn.
    begun: usize,
    /// Those that wait for that.
    waiting: VecDeque<OpenSession>,
    /// The sessions that live here.
    roster: Roster,
}

impl Host {
    /// A host on `arbiter`.
    pub fn start(
        arbiter: &ArbiterHandle,
        journal: Arc<dyn Journal>,
        clock: Clock,
        (capacity, pulse, closing): (Arc<Capacity>, Arc<Pulse>, Closing),
        sleep_after: Option<Duration>,
    ) -> Addr<Self> {
        let (sender, mailbox) = channel(0); // Never full, from its beginning.
        arbiter.spawn_fn(move || {
            let mut ctx = Context::with_receiver(mailbox);
            if let Some(quiet) = sleep_after.filter(|_| journal.outlives_close()) {
                let every = (quiet / SWEEPS).max(SHORTEST_SWEEP);
                ctx.run_interval(every, |host: &mut Self, _| {
                    host.0.borrow().roster.put_to_sleep(SWEEPS);
                });
            }
            let idle = IdleWorkers::default();
            let premises = Premises { journal, clock, idle, capacity, pulse, closing };
            let host = Self(Rc::new(RefCell::new(Place::new(premises))));
            actix_rt::spawn(ctx.into_future(host));
        });
        Addr::new(sender)
    }

    /// Begins a session at `host`, and gives its address. A host that is gone gives back what it was
    /// given.
    pub fn open(
        host: &Addr<Self>,
        occupancy: Occupancy,
        entrance: Entrance,
    ) -> Result<Addr<Coordinator>, Occupancy> {
        // Unbounded: a bound would break the order, and bounds nothing.
        let (sender, mailbox) = channel(0);
        let coordinator = Addr::new(sender);
        let own = coordinator.downgrade();
        match host.try_send(OpenSession { occupancy, entrance, own, mailbox }) {
            Ok(()) => Ok(coordinator),
            Err(SendError::Full(open) | SendError::Closed(open)) => Err(open.occupancy),
        }
    }

    /// Has the sessions of `host` come to an end by `until`, as [`drain`] does. The answer says
    /// what became of their turns; it is dropped if the host is gone.
    pub fn shut_down(
        host: &Addr<Self>,
        until: tokio::time::Instant,
    ) -> oneshot::Receiver<ShutdownReport> {
        let (reply, report) = oneshot::channel();
        host.do_send(ShutDown { until, reply });
        report
    }

    /// Has the workers of `tool` made anew in the sessions of `host`. The answer says how many there
    /// are; it is dropped if the host is gone.
    pub fn restart(host: &Addr<Self>, tool: &Arc<str>) -> oneshot::Receiver<usize> {
        let (reply, count) = oneshot::channel();
        host.do_send(Restart { tool: Arc::clone(tool), reply });
        count
    }
}

impl Actor for Host {
    type Context = Context<Self>;
}

impl Handler<OpenSession> for Host {
    type Result = ();

    fn handle(&mut self, open: OpenSession, _: &mut Context<Self>) {
        let mut place = self.0.borrow_mut();
        if place.begun < AT_ONCE {
            place.begin(open);
        } else {
            if place.waiting.is_empty() {
                // A task, not an actor future: those are polled at each message.
                actix_rt::spawn(take_turns(Rc::clone(&self.0)));
            }
            place.waiting.push_back(open);
        }
    }
}

impl Handler<Ping> for Host {
    type Result = ();

    fn handle(&mut self, _: Ping, _: &mut Context<Self>) {
        self.0.borrow().premises.pulse.beat(Instant::now());
    }
}

impl Handler<ShutDown> for Host {
    type Result = ();

    fn handle(&mut self, ShutDown { until, reply }: ShutDown, _: &mut Context<Self>) {
        let sessions = self.0.borrow().roster.sessions();
        // A task: it goes on also when the host has gone.
        actix_rt::spawn(async move { drop(reply.send(drain(sessions, until).await)) });
    }
}

impl Handler<Restart> for Host {
    type Result = ();

    fn handle(&mut self, Restart { tool, reply }: Restart, _: &mut Context<Self>) {
        let sessions = self.0.borrow().roster.sessions();
        actix_rt::spawn(async move {
            let _ = reply.send(restart_in(sessions, tool).await); // Nobody may care any more.
        });
    }
}

#[cfg(feature = "server")]
impl Handler<Work> for Host {
    type Result = ();

    fn handle(&mut self, Work(work): Work, _: &mut Context<Self>) {
        actix_rt::spawn(work);
    }
}

impl Place {
    fn new(premises: Premises) -> Self {
        let (waiting, roster) = (VecDeque::new(), Roster::default());
        Self { premises, begun: 0, waiting, roster }
    }

    fn begin(&mut self, open: OpenSession) {
        if !open.occupancy.slot.is_current(open.occupancy.generation) {
            return let_go(open); // The session has been moved before it began.
        }
        self.begun += 1;
        open.occupancy.slot.on_begun();
        let OpenSession { occupancy, entrance, own, mailbox } = open;
        let entry = self.roster.enter(own.clone(), Arc::downgrade(&occupancy.slot));
        let coordinator = Coordinator::new(&occupancy, own, entrance, self.premises.clone());
        actix_rt::spawn(Keeper::new(mailbox, coordinator, (entry, occupancy)));
    }
}

/// Begins the sessions that wait, a few each time everything else has had its turn.
async fn take_turns(place: Rc<RefCell<Place>>) {
    loop {
        tokio::task::yield_now().await;
        let mut place = place.borrow_mut();
        place.begun = 0;
        while place.begun < AT_ONCE {
            let Some(open) = place.waiting.pop_front() else { return };
            place.begin(open);
        }
        if place.waiting.is_empty() {
            return;
        }
    }
}
