//! Those who hear a session's events.

use std::pin::Pin;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll};

use actix::{Message, WeakRecipient};
use futures_util::Stream;
use tokio::sync::mpsc;
use tokio::sync::mpsc::error::TrySendError;

use super::observer::Observers;
use crate::conversation::{Event, Record};

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
    /// One of the events that `wants` asks for, and who fills it.
    pub(super) fn of(wants: fn(&Event) -> bool) -> (Subscriber, Self) {
        let (sender, events) = mpsc::unbounded_channel();
        (Subscriber::Stream { sender, wants }, Self(events))
    }

    /// How many are not read yet.
    #[cfg(all(test, feature = "server"))]
    pub(crate) fn waiting(&self) -> usize {
        self.0.len()
    }

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

/// What a [`Watch`] hears.
#[derive(Clone, Debug)]
pub enum Heard {
    /// An event.
    Event(Arc<Record>),
    /// Some were missed since the last event: it was read too slowly.
    Missed,
}

/// The events of a session from the moment it was asked for, a few of them in memory. Ends with the
/// session.
#[derive(Debug)]
pub struct Watch {
    events: mpsc::Receiver<Arc<Record>>,
    has_missed: Arc<AtomicBool>,
}

impl Watch {
    /// One that keeps so many, at least one, and who fills it.
    pub(super) fn new(capacity: usize) -> (Subscriber, Self) {
        let (sender, events) = mpsc::channel(capacity.max(1));
        let has_missed = Arc::<AtomicBool>::default();
        let missed = Arc::clone(&has_missed);
        (Subscriber::Watch { sender, missed }, Self { events, has_missed })
    }

    /// What comes next; `None` once the session has ended.
    pub async fn next(&mut self) -> Option<Heard> {
        // What was kept came before what was missed.
        if let Ok(record) = self.events.try_recv() {
            return Some(Heard::Event(record));
        }
        if self.has_missed.swap(false, Ordering::AcqRel) {
            return Some(Heard::Missed);
        }
        self.events.recv().await.map(Heard::Event)
    }
}

/// Somebody who hears events.
pub(super) enum Subscriber {
    Watch {
        sender: mpsc::Sender<Arc<Record>>,
        /// Set when it was told of something that it has no room for.
        missed: Arc<AtomicBool>,
    },
    Stream {
        sender: mpsc::UnboundedSender<Arc<Record>>,
        /// What it hears of.
        wants: fn(&Event) -> bool,
    },
    Actor(WeakRecipient<SessionEvent>),
}

impl Subscriber {
    fn is_living(&self) -> bool {
        match self {
            Self::Stream { sender, .. } => !sender.is_closed(),
            Self::Watch { sender, .. } => !sender.is_closed(),
            Self::Actor(recipient) => recipient.upgrade().is_some(),
        }
    }
}

/// All of them. Cheap to clone; the clones are one.
#[derive(Clone, Default)]
pub(super) struct Subscribers(Arc<Shared>);

#[derive(Default)]
struct Shared {
    /// They hear of every session.
    observers: Observers,
    all: Mutex<Vec<Subscriber>>,
    are_some: AtomicBool,
    /// The last event that they were told of, or that took effect unheard.
    told: AtomicU64,
}

impl Subscribers {
    /// None yet, besides those who hear of every session.
    pub fn new(observers: Observers) -> Self {
        Self(Arc::new(Shared { observers, ..Shared::default() }))
    }

    /// Those who hear of every session.
    pub fn observers(&self) -> &Observers {
        &self.0.observers
    }

    pub fn add(&self, subscriber: Subscriber) {
        let mut all = self.locked();
        all.retain(Subscriber::is_living); // Where nothing happens nobody else forgets them.
        all.push(subscriber);
        drop(all);
        self.0.are_some.store(true, Ordering::Release);
    }

    fn is_empty(&self) -> bool {
        !self.0.are_some.load(Ordering::Acquire)
    }

    /// Says whether somebody hears what is not kept.
    pub fn hear_passing(&self) -> bool {
        !self.is_empty() || self.0.observers.hear_passing()
    }

    /// Says whether somebody hears of `event`.
    pub fn hear(&self, event: &Event) -> bool {
        self.hear_passing() || (self.0.observers.are_some() && event.is_durable())
    }

    /// Tells everyone, and forgets those who are gone.
    pub fn tell(&self, record: Record) {
        self.0.observers.on_record(&record);
        if !self.is_empty() {
            self.tell_all(&mut self.locked(), record);
        }
    }

    /// As [`Subscribers::tell`], of an event that took effect; not if another coordinator of the session
    /// was faster.
    pub fn tell_once(&self, record: &Record) {
        let is_new = || self.0.told.fetch_max(record.seq, Ordering::Relaxed) < record.seq;
        let told = if self.is_empty() {
            is_new()
        } else {
            let mut all = self.locked();
            let is_new = is_new();
            if is_new {
                self.tell_all(&mut all, record.clone());
            }
            is_new
        };
        if told {
            self.0.observers.on_record(record);
        }
    }

    fn tell_all(&self, all: &mut Vec<Subscriber>, record: Record) {
        let record = Arc::new(record);
        all.retain(|subscriber| match subscriber {
            Subscriber::Stream { sender, wants } => match wants(&record.event) {
                true => sender.send(Arc::clone(&record)).is_ok(),
                false => !sender.is_closed(),
            },
            // What comes after what was missed is not told before that.
            Subscriber::Watch { sender, missed } if missed.load(Ordering::Acquire) => {
                !sender.is_closed()
            }
            Subscriber::Watch { sender, missed } => match sender.try_send(Arc::clone(&record)) {
                Ok(()) => true,
                Err(TrySendError::Full(_)) => {
                    missed.store(true, Ordering::Release);
                    true
                }
                Err(TrySendError::Closed(_)) => false,
            },
            Subscriber::Actor(recipient) => recipient.upgrade().is_some_and(|recipient| {
                recipient.do_send(SessionEvent(Arc::clone(&record)));
                true
            }),
        });
        self.0.are_some.store(!all.is_empty(), Ordering::Release);
    }

    /// Says whether any of them is still there.
    pub fn has_living(&self) -> bool {
        self.locked().iter().any(Subscriber::is_living)
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
