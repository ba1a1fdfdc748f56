//! What the design leans on in actix: a test for each fact, so that an upgrade that changes one is
//! seen.

use std::cell::RefCell;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::pin::Pin;
use std::rc::Rc;
use std::task::Poll;
use std::time::Duration;

use actix::{Actor, Addr, AsyncContext, Context, Handler, MailboxError, Message, Supervised};
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
    /// What was called, in order.
    told: Rc<RefCell<Vec<&'static str>>>,
}

impl Actor for Fragile {
    type Context = Context<Self>;

    fn started(&mut self, _: &mut Context<Self>) {
        self.told.borrow_mut().push("started");
    }

    fn stopped(&mut self, _: &mut Context<Self>) {
        self.told.borrow_mut().push("stopped");
    }
}

impl Supervised for Fragile {
    fn restarting(&mut self, _: &mut Context<Self>) {
        self.restarts += 1;
        self.told.borrow_mut().push("restarting");
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
    start_restarting_as(Fragile::default())
}

fn start_restarting_as(actor: Fragile) -> Addr<Fragile> {
    let mut context = Context::new();
    context.set_mailbox_capacity(0);
    let mut watched = context.into_future(actor);
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

/// The coordinator's record must not be closed when it is only rebuilt.
#[test]
fn a_restart_calls_restarting_and_started_and_not_stopped() {
    testing::run(async {
        let actor = Fragile::default();
        let told = Rc::clone(&actor.told);
        let address = start_restarting_as(actor);
        assert!(address.send(Boom).await.is_err());
        assert_eq!(address.send(Ping).await, Ok(1));
        assert_eq!(*told.borrow(), ["started", "restarting", "started"]);
        drop(address);
        tokio::task::yield_now().await;
        assert_eq!(told.borrow().last(), Some(&"stopped"), "with its last address");
    });
}

/// Calls are run in the order they were handed over, however many there are.
#[test]
fn a_mailbox_without_a_bound_keeps_the_order_and_refuses_nothing() {
    #[derive(Default)]
    struct Keeps(Vec<usize>);

    #[derive(Message)]
    #[rtype(result = "()")]
    struct Put(usize);

    #[derive(Message)]
    #[rtype(result = "Vec<usize>")]
    struct Take;

    impl Actor for Keeps {
        type Context = Context<Self>;

        fn started(&mut self, ctx: &mut Context<Self>) {
            ctx.set_mailbox_capacity(0);
        }
    }

    impl Handler<Put> for Keeps {
        type Result = ();

        fn handle(&mut self, Put(n): Put, _: &mut Context<Self>) {
            self.0.push(n);
        }
    }

    impl Handler<Take> for Keeps {
        type Result = actix::MessageResult<Take>;

        fn handle(&mut self, _: Take, _: &mut Context<Self>) -> Self::Result {
            actix::MessageResult(std::mem::take(&mut self.0))
        }
    }

    testing::run(async {
        let actor = Keeps::default().start();
        actor.send(Take).await.unwrap();
        (0..1000).for_each(|n| actor.do_send(Put(n)));
        assert!(actor.send(Take).await.unwrap().into_iter().eq(0..1000));
    });
}

/// A cancel or a status question is heard in the same poll in which the session goes on.
#[test]
fn an_actor_future_is_polled_after_the_mailbox_in_the_same_poll() {
    struct Counts {
        heard: u32,
        seen: Rc<RefCell<Vec<u32>>>,
    }

    struct Watches;

    impl Actor for Counts {
        type Context = Context<Self>;

        fn started(&mut self, ctx: &mut Context<Self>) {
            ctx.set_mailbox_capacity(0);
            ctx.spawn(Watches);
        }
    }

    impl actix::fut::ActorFuture<Counts> for Watches {
        type Output = ();

        fn poll(
            self: Pin<&mut Self>,
            actor: &mut Counts,
            _: &mut Context<Counts>,
            _: &mut std::task::Context<'_>,
        ) -> Poll<()> {
            actor.seen.borrow_mut().push(actor.heard);
            Poll::Pending
        }
    }

    impl Handler<Ping> for Counts {
        type Result = u32;

        fn handle(&mut self, _: Ping, _: &mut Context<Self>) -> u32 {
            self.heard += 1;
            self.heard
        }
    }

    testing::run(async {
        let seen = Rc::default();
        let actor = Counts { heard: 0, seen: Rc::clone(&seen) }.start();
        let all = futures_util::future::join_all((0..3).map(|_| actor.send(Ping)));
        assert_eq!(all.await.len(), 3);
        assert_eq!(seen.borrow().last(), Some(&3), "{:?}", seen.borrow());
    });
}

/// What sessions share a thread with does not suffer.
#[test]
fn a_panic_leaves_the_other_actors_of_its_thread_alone() {
    testing::run(async {
        let (bad, bystander) = (Fragile::default().start(), Fragile::default().start());
        assert!(bad.send(Boom).await.is_err());
        assert_eq!(bystander.send(Ping).await, Ok(0));
    });
}
