//! One host per arbiter: sessions begin there, a few at a time.

use std::collections::VecDeque;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context as TaskContext, Poll, ready};

use actix::dev::channel::{AddressReceiver, channel};
use actix::fut::ActorFuture;
use actix::{Actor, Addr, AsyncContext, Context, Handler, Message, WeakAddr};
use actix_rt::ArbiterHandle;
use futures_util::future::LocalBoxFuture;

use super::coordinator::Coordinator;
use super::{Clock, Session, SessionOptions};
use crate::conversation::SessionId;
use crate::store::Journal;
use crate::supervision::IdleWorkers;

/// How many sessions begin before those that have begun have their turn.
///
/// In a burst of a thousand each would wait for all others after each of its steps, and find its
/// memory cold. Fewer at a time are faster still where tools answer at once, but where they take
/// their time it is better to have them begin.
const AT_ONCE: usize = 32;

/// Begins a session whose address its callers have already.
#[derive(Message)]
#[rtype(result = "()")]
struct OpenSession {
    id: SessionId,
    options: SessionOptions,
    own: WeakAddr<Coordinator>,
    mailbox: AddressReceiver<Coordinator>,
}

/// Begins sessions on its arbiter.
pub(super) struct Host {
    journal: Arc<dyn Journal>,
    clock: Clock,
    /// Workers that sessions have left.
    idle: IdleWorkers,
    /// How many sessions have begun since others last had their turn.
    begun: usize,
    /// Those that wait for that.
    waiting: VecDeque<OpenSession>,
}

impl Host {
    /// A host on `arbiter`.
    pub fn start(arbiter: &ArbiterHandle, journal: Arc<dyn Journal>, clock: Clock) -> Addr<Self> {
        Self::start_in_arbiter(arbiter, move |ctx| {
            ctx.set_mailbox_capacity(0);
            let (idle, waiting) = (IdleWorkers::default(), VecDeque::new());
            Self { journal, clock, idle, begun: 0, waiting }
        })
    }

    /// Begins a session at `host`. Of a host that is gone the session is closed.
    pub fn open(host: &Addr<Self>, id: SessionId, options: SessionOptions) -> Session {
        // Unbounded: a bound would break the order, and bounds nothing.
        let (sender, mailbox) = channel(0);
        let coordinator = Addr::new(sender);
        let own = coordinator.downgrade();
        host.do_send(OpenSession { id: id.clone(), options, own, mailbox });
        Session { id, coordinator }
    }
}

impl Actor for Host {
    type Context = Context<Self>;
}

impl Handler<OpenSession> for Host {
    type Result = ();

    fn handle(&mut self, open: OpenSession, ctx: &mut Context<Self>) {
        if self.begun < AT_ONCE {
            self.begin(open);
            return;
        }
        if self.waiting.is_empty() {
            ctx.spawn(TakeTurns(Box::pin(tokio::task::yield_now())));
        }
        self.waiting.push_back(open);
    }
}

impl Host {
    fn begin(&mut self, open: OpenSession) {
        self.begun += 1;
        let OpenSession { id, options, own, mailbox } = open;
        let journal = Arc::clone(&self.journal);
        let coordinator =
            Coordinator::new(id, own, self.idle.clone(), options, journal, self.clock);
        actix_rt::spawn(Context::with_receiver(mailbox).into_future(coordinator));
    }
}

/// Begins the sessions that wait, a few each time everything else has had its turn.
struct TakeTurns(LocalBoxFuture<'static, ()>);

impl ActorFuture<Host> for TakeTurns {
    type Output = ();

    fn poll(
        mut self: Pin<&mut Self>,
        host: &mut Host,
        _: &mut Context<Host>,
        cx: &mut TaskContext<'_>,
    ) -> Poll<()> {
        loop {
            ready!(self.0.as_mut().poll(cx));
            host.begun = 0;
            while host.begun < AT_ONCE {
                let Some(open) = host.waiting.pop_front() else { return Poll::Ready(()) };
                host.begin(open);
            }
            if host.waiting.is_empty() {
                return Poll::Ready(());
            }
            self.0 = Box::pin(tokio::task::yield_now());
        }
    }
}
