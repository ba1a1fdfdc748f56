//! Who waits for the answer to a question, apart from whoever is to answer it: that may change when a
//! session is moved.

use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use tokio::sync::oneshot;

use super::coordinator::What;
use super::keeper::let_go;
use super::{Answer, Error};
use crate::conversation::TraceParent;
use crate::tools::TypedContext;

/// What goes with a question.
#[derive(Clone, Default)]
pub(super) struct Given {
    pub typed: Option<TypedContext>,
    pub trace_parent: Option<TraceParent>,
}

/// A question that waits for its answer.
pub(super) struct Ticket {
    pub what: What,
    pub waits: bool,
    waiting: Mutex<Option<Waiting>>,
    /// The generation of the coordinator that may answer.
    generation: AtomicU64,
    /// The turn that has begun with it, as far as that is known; 0 if none has.
    turn: AtomicU64,
    /// It was taken back: nothing of it is to begin, and what has begun is cancelled.
    withdrawn: AtomicBool,
}

type Asker = oneshot::Sender<Result<Answer, Error>>;

/// Who waits, and what goes with the question.
struct Waiting {
    asker: Asker,
    given: Given,
}

impl Ticket {
    /// A question, and where its answer comes. It does not come if the session ends before.
    pub fn new(
        what: What,
        given: Given,
        waits: bool,
    ) -> (Arc<Self>, oneshot::Receiver<Result<Answer, Error>>) {
        let (asker, answer) = oneshot::channel();
        let (generation, turn) = (AtomicU64::new(0), AtomicU64::new(0));
        let waiting = Mutex::new(Some(Waiting { asker, given }));
        let withdrawn = AtomicBool::new(false);
        let ticket = Self { what, waits, waiting, generation, turn, withdrawn };
        (Arc::new(ticket), answer)
    }

    /// The turn that has begun with it; 0 if none has.
    pub fn turn(&self) -> u64 {
        self.turn.load(Ordering::Relaxed)
    }

    /// Takes the question back.
    pub fn withdraw(&self) {
        self.withdrawn.store(true, Ordering::Release);
    }

    /// Says whether nobody waits any more.
    pub fn is_answered(&self) -> bool {
        self.lock().is_none()
    }

    /// What goes with the question, as long as it is not answered.
    pub fn given(&self) -> Given {
        self.lock().as_ref().map(|waiting| waiting.given.clone()).unwrap_or_default()
    }

    /// From now on the coordinator of `generation` answers, and no other. Says whether somebody still
    /// waits for that.
    pub fn hand_on(&self, generation: u64) -> bool {
        let waiting = self.lock();
        self.generation.store(generation, Ordering::Relaxed);
        waiting.is_some()
    }

    /// Lets the asker know that there will be no answer.
    pub fn drop_unanswered(&self) {
        let waiting = self.lock().take();
        let_go(waiting); // Not while it is locked: it may be somebody's own code.
    }

    /// The asker, if the coordinator of `generation` may answer.
    fn take(&self, generation: u64) -> Option<Asker> {
        let mut waiting = self.lock();
        let may_answer = self.generation.load(Ordering::Relaxed) == generation;
        let taken = waiting.take_if(|_| may_answer);
        drop(waiting);
        let Waiting { asker, given } = taken?;
        let_go(given); // Somebody's own code: its panic must not keep the answer back.
        Some(asker)
    }

    fn lock(&self) -> MutexGuard<'_, Option<Waiting>> {
        self.waiting.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// The right of one coordinator to answer a question. Dropping it lets the asker know that there will
/// be no answer, unless the question was handed on to another coordinator.
pub(super) struct Reply {
    ticket: Arc<Ticket>,
    generation: u64,
}

impl Reply {
    /// For the coordinator of `generation`.
    pub fn new(ticket: Arc<Ticket>, generation: u64) -> Self {
        let _is_awaited = ticket.hand_on(generation);
        Self { ticket, generation }
    }

    /// Answers. Whoever asked may have gone; the turn is recorded.
    pub fn send(self, answer: Result<Answer, Error>) {
        if let Some(asker) = self.ticket.take(self.generation) {
            drop(asker.send(answer));
        }
    }

    /// Says whether whoever asked has gone.
    pub fn is_closed(&self) -> bool {
        self.ticket.lock().as_ref().is_none_or(|waiting| waiting.asker.is_closed())
    }

    /// Says whether the question was taken back.
    pub fn is_withdrawn(&self) -> bool {
        self.ticket.withdrawn.load(Ordering::Acquire)
    }

    /// The turn `turn` begins with the question; it may never be on record.
    pub fn mark_begun(&self, turn: u64) {
        self.ticket.turn.store(turn, Ordering::Relaxed);
    }

    /// The turn that began with the question at another place; 0 if none did.
    pub fn turn(&self) -> u64 {
        self.ticket.turn()
    }
}

impl Drop for Reply {
    fn drop(&mut self) {
        drop(self.ticket.take(self.generation));
    }
}
