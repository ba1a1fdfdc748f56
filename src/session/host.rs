//! One host per arbiter: sessions begin there.

use std::sync::Arc;

use actix::dev::channel::{AddressReceiver, channel};
use actix::{Actor, Addr, Context, Handler, Message, WeakAddr};
use actix_rt::ArbiterHandle;

use super::coordinator::Coordinator;
use super::{Clock, Session, SessionOptions};
use crate::conversation::SessionId;
use crate::store::Journal;

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
}

impl Host {
    /// A host on `arbiter`.
    pub fn start(arbiter: &ArbiterHandle, journal: Arc<dyn Journal>, clock: Clock) -> Addr<Self> {
        Self::start_in_arbiter(arbiter, move |ctx| {
            ctx.set_mailbox_capacity(0);
            Self { journal, clock }
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

    fn handle(&mut self, open: OpenSession, _: &mut Context<Self>) {
        let OpenSession { id, options, own, mailbox } = open;
        let journal = Arc::clone(&self.journal);
        let coordinator = Coordinator::new(id, own, options, journal, self.clock);
        actix_rt::spawn(Context::with_receiver(mailbox).into_future(coordinator));
    }
}
