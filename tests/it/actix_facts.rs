//! What the design leans on in actix: a test for each fact, so that an upgrade that changes one is
//! seen.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::pin::Pin;
use std::task::Poll;
use std::time::Duration;

use actix::{Actor, Addr, Context, Handler, MailboxError, Message, Supervised};
use callsheet::testing;
use tokio::sync::oneshot;

#[derive(Message)]
#[rtype(result = "u32")]
struct Ping;

#[derive(Message)]
#[rtype(result = "u32")]
struct Boom;

#[derive(Message)]
#[rtype(result = "()")]
struct Slow(Duration, oneshot::Sender<u32>);

#[derive(Default)]
struct Fragile {
    restarts: u32,
}

impl Actor for Fragile {
    type Context = Context<Self>;
}

impl Supervised for Fragile {
    fn restarting(&mut self, _: &mut Context<Self>) {
        self.restarts += 1;
    }
}

impl Handler<Ping> for Fragile {
    type Result = u32;

    fn handle(&mut self, _: Ping, _: &mut Context<Self>) -> u32 {
        self.restarts
    }
}

impl Handler<Boom> for Fragile {
    type Result = u32;

    fn handle(&mut self, _: Boom, _: &mut Context<Self>) -> u32 {
        panic!("boom")
    }
}

impl Handler<Slow> for Fragile {
    type Result = ();

    fn handle(&mut self, Slow(delay, reply): Slow, _: &mut Context<Self>) {
        actix_rt::spawn(async move {
            tokio::time::sleep(delay).await;
            let _ = reply.send(7);
        });
    }
}

/// A context that is restarted by hand after each panic.
fn start_restarting() -> Addr<Fragile> {
    let mut context = Context::new();
    context.set_mailbox_capacity(0);
    let mut watched = context.into_future(Fragile::default());
    let address = watched.address();
    actix_rt::spawn(std::future::poll_fn(move |cx| {
        loop {
            match catch_unwind(AssertUnwindSafe(|| Pin::new(&mut watched).poll(cx))) {
                Ok(poll) => return poll,
                Err(_) if watched.restart() => {}
                Err(_) => return Poll::Ready(()),
            }
        }
    }));
    address
}

#[test]
fn a_restarted_context_keeps_its_address_and_queue_and_forgets_the_message_that_panicked() {
    testing::run(async {
        let actor = start_restarting();
        let (boom, first, second) = (actor.send(Boom), actor.send(Ping), actor.send(Ping));
        assert!(matches!(boom.await, Err(MailboxError::Closed)));
        assert_eq!(first.await, Ok(1));
        assert_eq!(second.await, Ok(1));
        assert_eq!(actor.send(Ping).await, Ok(1));
    });
}

#[test]
fn a_task_of_its_own_outlives_a_restart() {
    testing::run(async {
        let actor = start_restarting();
        let (reply, slow) = oneshot::channel();
        actor.do_send(Slow(Duration::from_secs(5), reply));
        assert!(actor.send(Boom).await.is_err());
        assert_eq!(slow.await, Ok(7));
    });
}

#[test]
fn a_panic_kills_a_plain_actor_and_its_queue() {
    testing::run(async {
        let actor = Fragile::default().start();
        let (boom, ping) = (actor.send(Boom), actor.send(Ping));
        assert!(boom.await.is_err());
        assert!(ping.await.is_err());
        assert!(!actor.connected());
    });
}

#[test]
fn the_stock_supervisor_does_not_restart_after_a_panic() {
    testing::run(async {
        let actor = actix::Supervisor::start(|_| Fragile::default());
        assert!(actor.send(Boom).await.is_err());
        assert!(actor.send(Ping).await.is_err());
    });
}
