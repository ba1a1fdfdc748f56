//! The handle of a session.

use std::any::Any;
use std::sync::Arc;

use actix::Recipient;
use tokio::sync::oneshot;

use super::approving::Decide;
use super::asked::Asked;
use super::coordinator::{Cancel, CancelCall, GetStatus, Prompt, What};
use super::slot::Slot;
use super::subscribers::{Subscriber, Watch};
use super::ticket::{Given, Ticket};
use super::{Answer, DecideError, Error, EventStream, SessionEvent};
use crate::conversation::{CallKey, Decision, Event, SessionId, TraceParent};
use crate::supervision::RoundReported;
use crate::tools::TypedContext;
use crate::wire::Usage;

/// One conversation. Cheap to clone; usable from any thread and any runtime.
///
/// It begins with what is first asked of it, and ends when its last handle is dropped and no turn is
/// under way. Where its records outlive it, it also sleeps while nobody asks anything of it
/// ([`RuntimeBuilder::sleep_after`](super::RuntimeBuilder::sleep_after)): it then costs no more than
/// its handles, and wakes with the next question.
#[derive(Debug)]
pub struct Session {
    slot: Arc<Slot>,
}

impl Clone for Session {
    fn clone(&self) -> Self {
        self.slot.add_handle();
        Self { slot: Arc::clone(&self.slot) }
    }
}

impl Drop for Session {
    fn drop(&mut self) {
        self.slot.drop_handle();
    }
}

/// A question and what goes with it.
#[derive(Clone, Default)]
pub struct Question {
    prompt: Arc<str>,
    goes_on: bool,
    key: Option<Arc<str>>,
    typed: Option<TypedContext>,
    waits: bool,
    trace_parent: Option<TraceParent>,
}

impl Question {
    /// Asks `prompt`.
    pub fn new(prompt: impl Into<Arc<str>>) -> Self {
        Self { prompt: prompt.into(), ..Self::default() }
    }

    /// Asks nothing new: the history of the session, such as one that it was
    /// [made with](super::SessionOptions::history), ends with what is to be answered.
    #[must_use]
    pub fn go_on() -> Self {
        Self { goes_on: true, ..Self::default() }
    }

    /// Waits in line while another turn is under way, in place of being refused with
    /// [`Error::Busy`]. First come, first served; whoever drops its future leaves the line. A line
    /// of 64 is full, and the next question is refused all the same.
    #[must_use]
    pub fn wait_in_line(mut self) -> Self {
        self.waits = true;
        self
    }

    /// Calls the question `key`: that stands in the record of its turn
    /// ([`Event::TurnStarted`](crate::Event::TurnStarted)), where whoever is about to ask it again finds
    /// it. The session itself does not look for it.
    #[must_use]
    pub fn key(mut self, key: impl Into<Arc<str>>) -> Self {
        self.key = Some(key.into());
        self
    }

    /// Says what distributed trace the turn is a part of: the text of a header `traceparent`
    /// ([W3C Trace Context](https://www.w3.org/TR/trace-context/)). What is none is as if it were not
    /// said, as that asks for. Calls pass it on
    /// ([`CallContext::trace_parent`](crate::CallContext::trace_parent)). It is not recorded: a turn that
    /// another process goes on with is a part of no trace.
    #[must_use]
    pub fn trace_parent(mut self, header: &str) -> Self {
        self.trace_parent = header.parse().ok();
        self
    }

    /// Hands `value` to every call of this turn ([`crate::CallContext::get`]).
    #[must_use]
    pub fn context<T: Any + Send + Sync>(mut self, value: T) -> Self {
        self.typed = Some(Arc::new(value));
        self
    }
}

impl std::fmt::Debug for Question {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Question").field("prompt", &self.prompt).finish_non_exhaustive()
    }
}

impl From<&str> for Question {
    fn from(prompt: &str) -> Self {
        Self::new(prompt)
    }
}

impl From<String> for Question {
    fn from(prompt: String) -> Self {
        Self::new(prompt)
    }
}

/// What a session is doing.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Status {
    /// The store has not given it yet: what it did before is not counted here.
    pub opening: bool,
    /// A turn is under way.
    pub busy: bool,
    /// The last turn was cut when the process ended, and waits to be resumed.
    pub cut: bool,
    /// Questions in line that have not begun.
    pub waiting: usize,
    /// Turns that have begun, one whose beginning the store is still taking included.
    pub turns: u64,
    /// Rounds that have begun, counted in the same way.
    pub rounds: u64,
    /// Calls that have not ended.
    pub calls_in_flight: usize,
    /// The tokens of all replies so far, and what they cost as far as that is known.
    pub usage: Usage,
}

impl Session {
    /// A handle that `slot` has counted.
    pub(super) fn of(slot: Arc<Slot>) -> Self {
        Self { slot }
    }

    /// The session's id.
    #[must_use]
    pub fn id(&self) -> &SessionId {
        &self.slot.id
    }

    /// Asks a question and waits for the end of the turn: every call answered, all of it in the
    /// store.
    ///
    /// Turns of one session never overlap. Dropping the future does not stop a turn that has
    /// begun; [`Session::cancel`] does.
    ///
    /// # Errors
    /// [`Error::Busy`] while another turn runs, unless the question is to
    /// [wait in line](Question::wait_in_line); [`Error::EmptyPrompt`] for a question without
    /// text, or to [go on](Question::go_on) where nothing was said yet; [`Error::Closed`] once the session has ended; [`Error::ShuttingDown`] once its
    /// runtime shuts down; [`Error::Turn`] if the turn ended
    /// without an answer: the conversation is whole, and asking again is safe.
    pub async fn ask(&self, question: impl Into<Question>) -> Result<Answer, Error> {
        self.begin(question)?.await
    }

    /// Asks a question, as [`Session::ask`], which then is under way whether or not the answer is awaited.
    ///
    /// # Errors
    /// [`Error::EmptyPrompt`] for a question without text; the others come with the answer.
    pub fn begin(&self, question: impl Into<Question>) -> Result<Asked, Error> {
        let Question { prompt: text, goes_on, key, typed, waits, trace_parent } = question.into();
        let given = Given { typed, trace_parent };
        match text.trim().is_empty() && !goes_on {
            true => Err(Error::EmptyPrompt),
            false => Ok(self.send(What::Answer(Prompt { text, key }), given, waits)),
        }
    }

    /// Goes on with a turn that was cut when the process ended, and waits for its end. Calls whose
    /// results are on record do not run again; those that never began run; those that had begun run
    /// again under the same key if their effects allow it, and of the others the model is told that
    /// they may have happened ([`ResumePlan`](crate::conversation::ResumePlan) says beforehand what
    /// becomes of each). Their time limits stood still meanwhile. Where no turn was cut, this is the
    /// session's last answer.
    ///
    /// [`Session::ask`] ends a turn that was cut, and runs nothing of it.
    ///
    /// # Errors
    /// As those of [`Session::ask`], and [`Error::NoAnswer`] if no turn was cut and none has been
    /// answered.
    pub async fn resume(&self) -> Result<Answer, Error> {
        self.begin_resume().await
    }

    /// Goes on with a turn that was cut, as [`Session::resume`], whether or not its end is awaited.
    pub fn begin_resume(&self) -> Asked {
        self.send(What::Rest, Given::default(), false)
    }

    fn send(&self, what: What, given: Given, waits: bool) -> Asked {
        let (ticket, answer) = Ticket::new(what, given, waits);
        self.slot.ask(Arc::clone(&ticket));
        Asked::new(ticket, answer)
    }

    /// Says whether it has ended, as one does whose coordinator panicked too often: what is asked of it is
    /// refused, and [`Runtime::session`](super::Runtime::session) makes another of its id.
    #[must_use]
    pub fn has_ended(&self) -> bool {
        self.slot.has_ended()
    }

    /// Cancels the turn that is under way: its calls stop within milliseconds, each is answered
    /// `cancelled`, and the one who asked gets [`super::Cause::Cancelled`]. Questions in line go on
    /// with theirs. Says whether there was
    /// a turn to cancel: false between turns, once the answer is on its way, once a shutdown has cut
    /// the turn, and of a session that has ended.
    pub async fn cancel(&self) -> bool {
        let cancelled = self.slot.answer(|coordinator| {
            let cancelled = coordinator.send(Cancel);
            async { cancelled.await.ok() }
        });
        cancelled.await.unwrap_or(false)
    }

    /// Takes a question back that was asked in this session: it does not begin, or its turn is cancelled as
    /// by [`Session::cancel`]. That needs no runtime and is not waited for, and it holds wherever the
    /// session goes on. Once the answer is on its way there is nothing to take back.
    pub fn withdraw(&self, asked: Asked) {
        self.slot.withdraw(asked.ticket());
    }

    /// Cancels one call of the round that is under way, by its id on the wire: it stops within
    /// milliseconds and is answered `cancelled`; its siblings and the turn go on. A call that had
    /// begun and has effects is told to the model as one that may have happened.
    ///
    /// Says whether there was such a call to cancel. A result that has come back by now counts: then
    /// it is false, as it is for a call that was cancelled or given up before. Dropping the future
    /// does not take the wish back.
    pub async fn cancel_call(&self, id: &str) -> bool {
        let stopped = self.slot.answer(|coordinator| {
            let (reply, stopped) = oneshot::channel();
            coordinator.do_send(CancelCall { id: id.into(), reply });
            async { stopped.await.ok() }
        });
        stopped.await.unwrap_or(false)
    }

    /// Decides about a call that waits for a person's approval ([`crate::Event::ApprovalAsked`], whose
    /// [`waiting_call`](crate::Event::waiting_call) is its key): it begins, with the model's arguments or
    /// with others, or it is answered `denied`. It is on record when this returns.
    ///
    /// An approved call of a tool with [`crate::Approval::OncePerSession`] stands for all calls of the
    /// tool that wait, and for all later ones of the session, also after a restart; one with other
    /// arguments does not. A turn that was cut asks again once it is [resumed](Session::resume).
    ///
    /// # Errors
    /// [`NotDecided`](crate::conversation::NotDecided) if no such call waits, if somebody has decided
    /// already, or if the arguments do not fit: then it still waits. [`DecideError::Store`] if the store
    /// does not take it, [`DecideError::Closed`] once the session has ended.
    pub async fn decide(&self, call: &CallKey, decision: Decision) -> Result<(), DecideError> {
        let decided = self.slot.answer(|coordinator| {
            let (reply, decided) = oneshot::channel();
            let (call, decision) = (call.clone(), decision.clone());
            coordinator.do_send(Decide { call, decision, reply });
            async { decided.await.ok() }
        });
        decided.await.ok_or(DecideError::Closed)?
    }

    /// What the session is doing. Answers at once, also in the middle of a round.
    ///
    /// # Errors
    /// [`Error::Closed`] once the session has ended.
    pub async fn status(&self) -> Result<Status, Error> {
        let status = self.slot.answer(|coordinator| {
            let status = coordinator.send(GetStatus);
            async { status.await.ok() }
        });
        status.await.ok_or(Error::Closed)
    }

    /// The events of the session from now on. Each question asked after this call is heard whole.
    /// Of a session that has ended the stream ends at once.
    #[must_use]
    pub fn events(&self) -> EventStream {
        self.events_where(|_| true)
    }

    /// As [`Session::events`], without those that `wants` does not ask for: they do not wait in memory for
    /// who reads slowly.
    #[must_use]
    pub fn events_where(&self, wants: fn(&Event) -> bool) -> EventStream {
        let (subscriber, events) = EventStream::of(wants);
        self.slot.subscribe(subscriber);
        events
    }

    /// The events of the session from now on, of which at most `capacity` are kept in memory until they
    /// are read: whoever is slower misses some, is told so, and finds in the journal those that it keeps.
    #[must_use]
    pub fn watch(&self, capacity: usize) -> Watch {
        let (watcher, watch) = Watch::new(capacity);
        self.slot.subscribe(watcher);
        watch
    }

    /// As [`Session::watch`], and does not wake the session: whoever only listens does not take it from
    /// another process that is about to ask.
    #[cfg(feature = "server")]
    pub(crate) fn overhear(&self, capacity: usize) -> Watch {
        let (watcher, watch) = Watch::new(capacity);
        self.slot.overhear(watcher);
        watch
    }

    /// Says whether the store has given the session to this process, as far as that is known here.
    #[cfg(feature = "server")]
    pub(crate) fn is_held(&self) -> bool {
        self.slot.is_held()
    }

    /// Tells an actor the events of the session from now on, as long as it lives: hearing does not
    /// keep it alive. A session that has ended says nothing.
    pub fn subscribe(&self, recipient: Recipient<SessionEvent>) {
        self.slot.subscribe(Subscriber::Actor(recipient.downgrade()));
    }

    /// Tells an actor the account of every round from now on, as long as it lives.
    pub fn on_round(&self, recipient: Recipient<RoundReported>) {
        self.slot.listen(recipient.downgrade());
    }
}
