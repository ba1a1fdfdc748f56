//! Those who hear a session's events.

use std::pin::Pin;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
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

/// All of them. Cheap to clone; the clones are one.
#[derive(Clone, Default)]
pub(super) struct Subscribers(Arc<Shared>);

#[derive(Default)]
struct Shared {
    all: Mutex<Vec<Subscriber>>,
    are_some: AtomicBool,
    /// The last event that they were told of, or that took effect unheard.
    told: AtomicU64,
}

impl Subscribers {
    pub fn add(&self, subscriber: Subscriber) {
        self.locked().push(subscriber);
        self.0.are_some.store(true, Ordering::Release);
    }

    pub fn is_empty(&self) -> bool {
        !self.0.are_some.load(Ordering::Acquire)
    }

    /// Tells everyone, and forgets those who are gone.
    pub fn tell(&self, record: Record) {
        self.tell_all(&mut self.locked(), record);
    }

    /// As [`Subscribers::tell`], of an event that took effect; not if another coordinator of the session
    /// was faster.
    pub fn tell_once(&self, record: &Record) {
        let is_new = || self.0.told.fetch_max(record.seq, Ordering::Relaxed) < record.seq;
        if self.is_empty() {
            is_new();
            return;
        }
        let mut all = self.locked();
        if is_new() {
            self.tell_all(&mut all, record.clone());
        }
    }

    fn tell_all(&self, all: &mut Vec<Subscriber>, record: Record) {
        let record = Arc::new(record);
        all.retain(|subscriber| match subscriber {
            Subscriber::Stream(sender) => sender.send(Arc::clone(&record)).is_ok(),
            Subscriber::Actor(recipient) => recipient.upgrade().is_some_and(|recipient| {
                recipient.do_send(SessionEvent(Arc::clone(&record)));
                true
            }),
        });
        self.0.are_some.store(!all.is_empty(), Ordering::Release);
    }

    /// Says whether any of them is still there.
    pub fn has_living(&self) -> bool {
        self.locked().iter().any(|subscriber| match subscriber {
            Subscriber::Stream(sender) => !sender.is_closed(),
            Subscriber::Actor(recipient) => recipient.upgrade().is_some(),
        })
    }

    /// Ends the streams.
    pub fn clear(&self) {
        let all = std::mem::take(&mut *self.locked());
        self.0.are_some.store(false, Ordering::Release);
        drop(all);
    }

    /// The last event that took effect.
    pub fn told(&self) -> u64 {
        self.0.told.load(Ordering::Relaxed)
    }

    pub fn set_told(&self, seq: u64) {
        self.0.told.store(seq, Ordering::Relaxed);
    }

    fn locked(&self) -> MutexGuard<'_, Vec<Subscriber>> {
        self.0.all.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
