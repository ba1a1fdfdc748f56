//! A session as its handles know it: awake on an arbiter, or asleep in the store.
//!
//! Whoever sends it something wakes it. It is put to sleep in two phases: it is first asked whether it
//! may rest, and whatever is sent from then on speaks against it; the session, which has seen all that
//! came before, then takes its address back in the same step in which it sees that nothing did.

use std::fmt;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use actix::{Addr, WeakRecipient};
use tokio::sync::Notify;

use super::SessionOptions;
use super::coordinator::{Ask, Coordinator, Listen, Withdrawn};
use super::home::Home;
use super::host::Host;
use super::observer::Presence;
use super::resting::Rest;
use super::subscribers::{Subscriber, Subscribers};
use super::ticket::{Reply, Ticket};
use crate::conversation::SessionId;
use crate::sabotage::{self, Sabotage};
use crate::store::{self, Access, Pending};
use crate::supervision::RoundReported;

/// One session of a runtime. All its handles, and its coordinator while it is awake, hold it.
pub(super) struct Slot {
    pub id: SessionId,
    pub options: Arc<SessionOptions>,
    pub subscribers: Subscribers,
    home: Arc<Home>,
    handles: AtomicUsize,
    /// Counts the coordinators that it has had. The last one counts.
    generation: AtomicU64,
    /// How often it was moved.
    moves: AtomicU64,
    /// Tells of each move.
    moved: Notify,
    state: Mutex<State>,
}

struct State {
    place: Place,
    /// As those who observe the runtime were told last.
    presence: Presence,
    /// Raised by whatever is sent.
    sent: u64,
    /// On what terms its last coordinator was to open it.
    access: Access,
    lease: Lease,
    /// It was opened, and not closed since.
    is_open: bool,
    /// Questions that have no answer yet, in the order in which they came.
    tickets: Vec<Arc<Ticket>>,
    /// Those who follow the account of its rounds, and the coordinator that knows each.
    listeners: Vec<(WeakRecipient<RoundReported>, u64)>,
}

impl State {
    fn is_busy(&self) -> bool {
        self.tickets.iter().any(|ticket| !ticket.is_answered())
    }

    /// A later owner has it. It is not taken back: it is opened again only if it is free.
    fn on_fenced(&mut self) {
        (self.lease, self.access) = (Lease::None, Access::IfFree);
    }

    /// On what terms whoever comes after the last coordinator opens it, and whether it
    /// [reclaims](Entrance::reclaims) it.
    fn terms(&self) -> (Access, bool) {
        match (self.lease, self.access) {
            (Lease::None, access) => (access, false), // As the last one.
            (Lease::Asked, Access::TakeOver) => (Access::TakeOver, false),
            (Lease::Asked, _) => (Access::IfFree, true),
            (Lease::Held(epoch), _) => (Access::Renew { epoch }, false),
        }
    }
}

/// What is known of the right to write to a session.
#[derive(Clone, Copy)]
enum Lease {
    /// The store was not asked for it, or has refused it.
    None,
    /// The store was asked for it, and its answer is not known.
    Asked,
    /// The store has given it, under this epoch.
    Held(u64),
}

/// How a coordinator comes to its session.
pub(super) struct Entrance {
    /// On what terms it opens it.
    pub access: Access,
    /// The store may have given this process the session, and nobody has heard its answer.
    pub reclaims: bool,
    /// Another coordinator had opened it, and did not close it.
    pub was_open: bool,
    /// The tool that blocks the arbiter which the session has left, if it has left one.
    pub blocker: Option<Arc<str>>,
}

/// Where a session is.
enum Place {
    Asleep,
    Awake {
        coordinator: Addr<Coordinator>,
        arbiter: usize,
    },
    /// It was given up, or its arbiter has ended.
    Ended,
}

impl Slot {
    /// A session with one handle, asleep.
    pub fn new(id: SessionId, options: Arc<SessionOptions>, home: Arc<Home>) -> Arc<Self> {
        let subscribers = Subscribers::new(home.observers.clone());
        Arc::new(Self {
            id,
            options,
            subscribers,
            home,
            handles: AtomicUsize::new(1),
            generation: AtomicU64::new(0),
            moves: AtomicU64::new(0),
            moved: Notify::new(),
            state: Mutex::new(State {
                place: Place::Asleep,
                presence: Presence::Away,
                sent: 0,
                access: Access::IfFree,
                lease: Lease::None,
                is_open: false,
                tickets: Vec::new(),
                listeners: Vec::new(),
            }),
        })
    }

    /// There is one handle more.
    pub fn add_handle(&self) {
        self.handles.fetch_add(1, Ordering::Relaxed);
    }

    /// There is one handle less. With the last one the session ends as soon as it may.
    pub fn drop_handle(self: &Arc<Self>) {
        if self.handles.fetch_sub(1, Ordering::AcqRel) == 1 {
            self.propose_rest();
            self.home.directory.forget(self);
        }
    }

    /// Says whether it has no handle.
    pub fn is_abandoned(&self) -> bool {
        self.handles.load(Ordering::Acquire) == 0
    }

    /// Says whether `generation` is that of its last coordinator.
    pub fn is_current(&self, generation: u64) -> bool {
        self.generation.load(Ordering::Acquire) == generation
    }

    /// Says whether it was given up: a new handle needs another one.
    pub fn has_ended(&self) -> bool {
        matches!(self.locked().place, Place::Ended)
    }

    /// Says whether nothing is left of it but this.
    pub fn is_done_with(&self) -> bool {
        !self.is_awake() && self.is_abandoned()
    }

    /// Says whether a question is open in it: under way, or in line.
    pub fn is_busy(&self) -> bool {
        self.locked().is_busy()
    }

    /// Says whether it has a coordinator.
    pub fn is_awake(&self) -> bool {
        matches!(self.locked().place, Place::Awake { .. })
    }

    /// Lets go of those who hear it and proposes that it rests, unless a question is open in it. Says
    /// whether none is.
    pub fn release(&self) -> bool {
        if self.is_busy() {
            return false;
        }
        self.subscribers.clear();
        self.propose_rest();
        true
    }

    /// What comes of that which `send` sends, and wakes the session for; `None` if it has ended. It is
    /// sent again where the session is moved before the answer is there.
    pub async fn answer<T, F>(self: &Arc<Self>, send: impl Fn(&Addr<Coordinator>) -> F) -> Option<T>
    where
        F: Future<Output = Option<T>>,
    {
        loop {
            let moved = self.moved.notified();
            let (answer, moves) = {
                let mut state = self.locked();
                let answer = send(self.awake(&mut state)?);
                (answer, self.moves.load(Ordering::Relaxed))
            };
            let answer = tokio::select! {
                biased;
                () = moved => continue,
                answer = answer => answer,
            };
            if self.moves.load(Ordering::Relaxed) == moves {
                return answer;
            }
        }
    }

    /// Lets `subscriber` hear the events from now on, as [`Slot::subscribe`], and does not wake the session.
    #[cfg(feature = "server")]
    pub fn overhear(&self, subscriber: Subscriber) {
        let state = self.locked();
        if !matches!(state.place, Place::Ended) {
            self.subscribers.add(subscriber);
        }
    }

    /// Lets `subscriber` hear the events from now on, and wakes the session for it. It is dropped if the
    /// session has ended.
    pub fn subscribe(self: &Arc<Self>, subscriber: Subscriber) {
        let mut state = self.locked();
        if self.awake(&mut state).is_some() {
            self.subscribers.add(subscriber); // Not later: whatever is asked next is heard.
        }
    }

    /// Sends the question that `ticket` is for. The answer does not come if the session has ended.
    pub fn ask(self: &Arc<Self>, ticket: Arc<Ticket>) {
        let mut state = self.locked();
        let Some(coordinator) = self.awake(&mut state).cloned() else {
            return ticket.drop_unanswered();
        };
        state.tickets.retain(|ticket| !ticket.is_answered());
        coordinator.do_send(self.ask_with(&ticket));
        state.tickets.push(ticket);
    }

    /// Takes the question that `ticket` is for back, wherever the session goes.
    pub fn withdraw(&self, ticket: &Ticket) {
        // Locked: whoever moves it afterwards finds the ticket withdrawn.
        let state = self.locked();
        ticket.withdraw();
        if let Place::Awake { coordinator, .. } = &state.place {
            coordinator.do_send(Withdrawn);
        }
    }

    fn ask_with(&self, ticket: &Arc<Ticket>) -> Ask {
        let generation = self.generation.load(Ordering::Relaxed);
        let reply = Reply::new(Arc::clone(ticket), generation);
        Ask { what: ticket.what.clone(), given: ticket.given(), waits: ticket.waits, reply }
    }

    /// Tells `listener` of every round from now on, also where the session is woken or moved.
    pub fn listen(self: &Arc<Self>, listener: WeakRecipient<RoundReported>) {
        let mut state = self.locked();
        state.listeners.retain(|(listener, _)| listener.upgrade().is_some());
        state.listeners.push((listener, 0));
        if let Some(coordinator) = self.awake(&mut state) {
            coordinator.do_send(Listen);
        }
    }

    /// Those who follow the account of its rounds, and of whom the coordinator of `generation` was not
    /// told yet.
    pub fn new_listeners(&self, generation: u64) -> Vec<WeakRecipient<RoundReported>> {
        let mut state = self.locked();
        let unknown = state.listeners.iter_mut().filter(|(_, knows)| *knows != generation);
        unknown
            .map(|(listener, knows)| {
                *knows = generation;
                listener.clone()
            })
            .collect()
    }

    /// Says whether somebody hears of what happens in it.
    pub fn is_heard(&self) -> bool {
        let is_followed =
            || self.locked().listeners.iter().any(|(listener, _)| listener.upgrade().is_some());
        self.subscribers.has_living() || is_followed()
    }

    /// Where it is to be found, woken if it sleeps; `None` if it has ended.
    fn awake<'a>(self: &Arc<Self>, state: &'a mut State) -> Option<&'a Addr<Coordinator>> {
        state.sent += 1;
        if let Place::Asleep = state.place {
            let first = self.generation.load(Ordering::Relaxed) == 0;
            let access = if first { self.options.access } else { Access::IfFree };
            let (reclaims, was_open, blocker) = (false, false, None);
            let entrance = Entrance { access, reclaims, was_open, blocker };
            self.begin(state, self.home.next_place(), entrance);
        }
        match &state.place {
            Place::Awake { coordinator, .. } => Some(coordinator),
            Place::Asleep | Place::Ended => None,
        }
    }

    /// Has a new coordinator begin on `arbiter`, which counts from now on.
    fn begin(self: &Arc<Self>, state: &mut State, arbiter: usize, entrance: Entrance) {
        let generation = self.generation.fetch_add(1, Ordering::AcqRel) + 1;
        let occupancy = Occupancy { slot: Arc::clone(self), generation, is_void: false };
        state.access = entrance.access;
        state.place = match Host::open(self.home.host(arbiter), occupancy, entrance) {
            Ok(coordinator) => Place::Awake { coordinator, arbiter },
            Err(mut occupancy) => {
                occupancy.is_void = true; // It would tell this.
                Place::Ended
            }
        };
    }

    /// Has `open` ask the store for the session, unless another coordinator has taken the place of that
    /// of `generation`: it must not lose the session to one that went before it.
    pub fn ask_to_open<T>(
        &self,
        generation: u64,
        open: impl FnOnce() -> Pending<Result<T, store::Error>>,
    ) -> Option<Pending<Result<T, store::Error>>> {
        let mut state = self.locked();
        if !self.is_current(generation) {
            return None;
        }
        state.lease = Lease::Asked;
        Some(open())
    }

    /// What the store has said to the coordinator of `generation`, which has asked for the session on
    /// the terms of `access`.
    pub fn on_opened(&self, generation: u64, access: Access, said: &Result<u64, store::Error>) {
        let mut state = self.locked();
        if !self.is_current(generation) {
            return;
        }
        match (said, access) {
            (Ok(epoch), _) => (state.lease, state.is_open) = (Lease::Held(*epoch), true),
            (Err(store::Error::Unavailable { .. }), _) => {} // Who knows.
            (Err(store::Error::Fenced { .. }), _) => state.on_fenced(),
            (Err(_), Access::Renew { epoch }) => state.lease = Lease::Held(epoch),
            (Err(_), Access::IfFree | Access::TakeOver) => state.lease = Lease::None,
        }
    }

    /// The coordinator of `generation` was fenced: a later owner has the session.
    pub fn on_fenced(&self, generation: u64) {
        let mut state = self.locked();
        if self.is_current(generation) {
            state.on_fenced();
        }
    }

    /// Says whether the store has given it to this process, as far as that is known here.
    #[cfg(feature = "server")]
    pub fn is_held(&self) -> bool {
        matches!(self.locked().lease, Lease::Held(_))
    }

    /// On what terms its coordinator opens it once more, and whether it
    /// [reclaims](Entrance::reclaims) it.
    pub fn terms(&self) -> (Access, bool) {
        self.locked().terms()
    }

    /// Has `close` tell the store that nobody has the session any more, unless another coordinator has
    /// taken the place of that of `generation`.
    pub fn close_if_current(&self, generation: u64, close: impl FnOnce()) {
        let mut state = self.locked();
        if self.is_current(generation) {
            (state.lease, state.is_open) = (Lease::None, false);
            close();
        }
    }

    /// The first phase of putting it to sleep: it is asked, and answers with
    /// [`Slot::fall_asleep`].
    pub fn propose_rest(&self) {
        let state = self.locked();
        if let Place::Awake { coordinator, .. } = &state.place {
            coordinator.do_send(Rest { sent: state.sent });
        }
    }

    /// The second phase: the coordinator of `generation`, which has nothing to do, goes, unless more
    /// than `sent` was sent: that was all when it was asked. `close` tells the store in the same step.
    /// Says whether the coordinator is to go.
    pub fn fall_asleep(self: &Arc<Self>, generation: u64, sent: u64, close: impl FnOnce()) -> bool {
        let mut state = self.locked();
        if !self.is_current(generation) {
            return true; // Another one has taken its place.
        }
        if state.sent != sent && !sabotage::is(Sabotage::SleepsInOnePhase) {
            return false;
        }
        close();
        (state.lease, state.is_open) = (Lease::None, false);
        let place = std::mem::replace(&mut state.place, Place::Asleep);
        self.now_is(state, Presence::Asleep);
        drop(place);
        self.home.directory.forget(self);
        true
    }

    /// Has it go on elsewhere if it is on `arbiter`, which is stuck.
    pub fn move_from(self: &Arc<Self>, stuck: usize) {
        let mut state = self.locked();
        if !matches!(state.place, Place::Awake { arbiter, .. } if arbiter == stuck) {
            return;
        }
        let Some(arbiter) = self.home.sound_place() else { return };
        let blocker = self.home.pulses[stuck].breadcrumb.tool();
        let (access, reclaims) = state.terms();
        let was_open = state.is_open;
        self.begin(&mut state, arbiter, Entrance { access, reclaims, was_open, blocker });
        state.tickets.retain(|ticket| !ticket.is_answered());
        let generation = self.generation.load(Ordering::Relaxed);
        match &state.place {
            Place::Awake { coordinator, .. } => {
                for ticket in state.tickets.iter().filter(|ticket| ticket.hand_on(generation)) {
                    coordinator.do_send(self.ask_with(ticket));
                }
                if self.is_abandoned() {
                    coordinator.do_send(Rest { sent: state.sent }); // The other was asked to.
                }
            }
            Place::Asleep | Place::Ended => {
                let tickets = std::mem::take(&mut state.tickets);
                drop(state);
                self.let_go_of(&tickets);
            }
        }
        self.moves.fetch_add(1, Ordering::Relaxed);
        self.moved.notify_waiters();
    }

    /// A coordinator of it begins.
    pub fn on_begun(&self) {
        if self.home.observers.are_some() {
            self.now_is(self.locked(), Presence::Awake);
        }
    }

    /// Nobody has a handle of it any more, and nobody runs it.
    pub fn leave(&self) {
        let state = self.locked();
        if state.presence == Presence::Asleep {
            self.now_is(state, Presence::Away);
        }
    }

    /// It is `now` there, or not; those who observe the runtime are told when it is not locked any more.
    fn now_is(&self, mut state: MutexGuard<'_, State>, now: Presence) {
        let before = std::mem::replace(&mut state.presence, now);
        drop(state);
        self.home.observers.on_presence(&self.id, before, now);
    }

    /// How much has been sent so far.
    pub fn sent(&self) -> u64 {
        self.locked().sent
    }

    fn end(self: &Arc<Self>, generation: u64) {
        let mut state = self.locked();
        if !self.is_current(generation) || matches!(state.place, Place::Asleep) {
            return;
        }
        let place = std::mem::replace(&mut state.place, Place::Ended);
        let tickets = std::mem::take(&mut state.tickets);
        self.now_is(state, Presence::Ended);
        drop(place);
        self.let_go_of(&tickets);
        self.home.directory.forget(self);
    }

    /// Lets those know who wait or hear that it has ended.
    fn let_go_of(&self, tickets: &[Arc<Ticket>]) {
        tickets.iter().for_each(|ticket| ticket.drop_unanswered());
        self.subscribers.clear();
    }

    fn locked(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl fmt::Debug for Slot {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Slot").field("id", &self.id).finish_non_exhaustive()
    }
}

/// That a coordinator is there. Dropping it tells the session that it is not.
pub(super) struct Occupancy {
    pub slot: Arc<Slot>,
    pub generation: u64,
    is_void: bool,
}

impl Drop for Occupancy {
    fn drop(&mut self) {
        if !self.is_void {
            self.slot.end(self.generation);
        }
    }
}
