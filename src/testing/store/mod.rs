//! What every store must do, for the tests of your own: append, conflict, fence, resume, make, list, fork,
//! remove, prune, keep large results, and all of it with many owners at a time.
//!
//! ```
//! use std::sync::Arc;
//! use callsheet::store::{MemoryStore, Store};
//! use callsheet::testing::store::{Place, check};
//!
//! struct Memory(Arc<MemoryStore>);
//!
//! impl Place for Memory {
//!     fn store(&self) -> Arc<dyn Store> {
//!         self.0.clone() // What is in memory has only one.
//!     }
//! }
//!
//! check(|| Box::new(Memory(Arc::new(MemoryStore::keeping()))));
//! ```

mod appending;
mod listing;
mod making;
mod owners;
mod results;
mod sessions;

use std::pin::pin;
use std::sync::Arc;
use std::task::{Context, Poll, Wake, Waker};
use std::thread::{self, Thread};

use crate::conversation::{Batch, Event, Record, SessionId, TurnEnd};
use crate::store::{Access, Error, Store, Summary};

/// Where a store keeps things: a file, a database.
pub trait Place: Sync {
    /// A store that keeps them here. Asked again, it is another one, as another process would have
    /// it, where the store can have more than one at a place.
    fn store(&self) -> Arc<dyn Store>;

    /// Makes the place such as the first version of the store has left it, with one session; says
    /// what is in it. `None` if there was no other version, or nothing outlives the process.
    fn make_first_schema(&self) -> Option<Vec<Record>> {
        None
    }
}

type Case = (&'static str, fn(&dyn Place));

/// The names of all that is checked, and the checks.
fn cases() -> impl Iterator<Item = Case> {
    let cases = [appending::CASES, owners::CASES, listing::CASES, making::CASES];
    let cases = cases.into_iter().chain([sessions::CASES, results::CASES]);
    cases.flatten().copied()
}

/// Checks a store. Each check is given a place of its own, with nothing in it.
///
/// It blocks the thread, and so belongs into a plain `#[test]`.
///
/// # Panics
/// If the store does not do what it must. What it printed before says which check it was.
pub fn check(fresh: impl Fn() -> Box<dyn Place>) {
    for (name, case) in cases() {
        let place = fresh();
        let checked = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| case(&*place)));
        if let Err(panic) = checked {
            let cause = panic.downcast_ref::<String>().map(String::as_str);
            let cause = cause.or_else(|| panic.downcast_ref::<&str>().copied());
            panic!("{name}: {}", cause.unwrap_or("panicked"));
        }
    }
}

/// Wakes a thread that waits for an answer.
struct Unpark(Thread);

impl Wake for Unpark {
    fn wake(self: Arc<Self>) {
        self.0.unpark();
    }
}

/// Waits for `answer`, on whatever thread this is.
pub fn wait<T>(answer: impl Future<Output = T>) -> T {
    let waker = Waker::from(Arc::new(Unpark(thread::current())));
    let mut answer = pin!(answer);
    loop {
        match answer.as_mut().poll(&mut Context::from_waker(&waker)) {
            Poll::Ready(answer) => return answer,
            Poll::Pending => thread::park(),
        }
    }
}

fn id(name: &str) -> SessionId {
    SessionId::new(name)
}

/// The record of `event`, which happened at the time of its number.
fn record(session: &SessionId, seq: u64, event: Event) -> Record {
    Record { v: 1, seq, at_us: 1000 * seq, session: session.clone(), event }
}

/// Some event with a text in it.
fn said(text: &str) -> Event {
    Event::SessionOpened { system: Some(text.into()), history: None }
}

fn asked(turn: u64, prompt: &str) -> Event {
    Event::TurnStarted { turn, prompt: prompt.into(), goes_on: false, key: None }
}

fn answered(turn: u64) -> Event {
    Event::TurnEnded { turn, end: TurnEnd::Answered, usage: None, orphans: Arc::default() }
}

/// The records of `events`, the first of which is number `first`.
fn batch(session: &SessionId, first: u64, events: impl IntoIterator<Item = Event>) -> Batch {
    let numbered = (first..).zip(events);
    Arc::new(numbered.map(|(seq, event)| record(session, seq, event)).collect())
}

fn open(store: &dyn Store, session: &SessionId) -> u64 {
    wait(store.open(session, Access::IfFree)).expect("it is free")
}

fn take(store: &dyn Store, session: &SessionId) -> u64 {
    wait(store.open(session, Access::TakeOver)).expect("whoever has it")
}

fn append(store: &dyn Store, session: &SessionId, epoch: u64, records: Batch) -> Result<(), Error> {
    let expected = records.first().map_or(0, |record| record.seq - 1);
    wait(store.append(session, expected, epoch, records))
}

/// Makes a session of `events` and closes it.
fn make(store: &dyn Store, session: &SessionId, events: impl IntoIterator<Item = Event>) {
    let epoch = open(store, session);
    append(store, session, epoch, batch(session, 1, events)).expect("it is new");
    store.close(session, epoch);
}

fn read(store: &dyn Store, session: &SessionId, after: u64) -> Vec<Record> {
    wait(store.read(session, after)).expect("it can be read")
}

fn find(store: &dyn Store, session: &SessionId) -> Option<Summary> {
    wait(store.find(session)).expect("it can be looked for")
}
