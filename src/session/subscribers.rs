//! Those who hear a session's events.

use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};

use actix::{Message, WeakRecipient};
use futures_util::Stream;
use tokio::sync::mpsc;

use crate::conversation::Record;

/// An event as an actor hears it.
#[derive(Clone, Debug, Message)]
#[rtype(result = "()")]
pub struct SessionEvent(pub Arc<Record>);

/// The events of a session from the moment it was asked for. Ends with the session.
///
/// Nothing is lost and nobody is waited for: what is not read yet is kept in memory.
#[derive(Debug)]
pub struct EventStream(pub(super) mpsc::UnboundedReceiver<Arc<Record>>);

impl EventStream {
    /// The next event; `None` once the session has ended.
    pub async fn next(&mut self) -> Option<Arc<Record>> {
        self.0.recv().await
    }
}

impl Stream for EventStream {
    type Item = Arc<Record>;

    fn poll_next(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Arc<Record>>> {
        self.0.poll_recv(cx)
    }
}

/// Somebody who hears events.
pub(super) enum Subscriber {
    Stream(mpsc::UnboundedSender<Arc<Record>>),
    Actor(WeakRecipient<SessionEvent>),
}

/// All of them.
#[derive(Default)]
pub(super) struct Subscribers(Vec<Subscriber>);

impl Subscribers {
    pub fn add(&mut self, subscriber: Subscriber) {
        self.0.push(subscriber);
    }

    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// Tells everyone, and forgets those who are gone.
    pub fn tell(&mut self, record: Record) {
        let record = Arc::new(record);
        self.0.retain(|subscriber| match subscriber {
            Subscriber::Stream(sender) => sender.send(Arc::clone(&record)).is_ok(),
            Subscriber::Actor(recipient) => recipient.upgrade().is_some_and(|recipient| {
                recipient.do_send(SessionEvent(Arc::clone(&record)));
                true
            }),
        });
    }
}
