//! How a coordinator begins: it takes the session over and rebuilds what it was.

use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context as TaskContext, Poll, Waker, ready};

use actix::fut::ActorFuture;
use actix::{AsyncContext, Context};
use tokio::time::{Instant, Sleep, sleep_until};

use super::Error;
use super::coordinator::{Ask, Coordinator};
use super::resuming::CutOpen;
use crate::conversation::{Action, Batch, Event, GivenHistory, Record};
use crate::sabotage::{self, Sabotage};
use crate::store::{self, Access, Pending};
use crate::telemetry;
use crate::tools::later;

/// Takes the session over from whoever held it, and rebuilds what it was.
pub(super) enum Opening {
    /// After a panic: the store, or what is in it, may be to blame.
    Resting(Pin<Box<Sleep>>),
    Epoch(Pending<Result<u64, store::Error>>),
    Reading(Pending<Result<Vec<Record>, store::Error>>),
    Writing {
        pending: Pending<Result<(), store::Error>>,
        written: Batch,
        news: Vec<Record>,
    },
}

/// Says whether sabotage keeps `event` from being read back.
fn is_forgotten(event: &Event) -> bool {
    match event {
        Event::CallStarted { .. } => sabotage::is(Sabotage::StartsForgotten),
        Event::CallEnded { .. } => sabotage::is(Sabotage::ResultsForgotten),
        Event::ApprovalDecided { .. } => sabotage::is(Sabotage::ApprovalsForgotten),
        _ => false,
    }
}

impl Opening {
    /// Opens the session now if the store answers at once; gives itself back if it does not.
    pub fn at_once(
        mut self,
        this: &mut Coordinator,
        ctx: &mut Context<Coordinator>,
    ) -> Option<Self> {
        let cx = &mut TaskContext::from_waker(Waker::noop());
        Pin::new(&mut self).poll(this, ctx, cx).is_pending().then_some(self)
    }
}

impl ActorFuture<Coordinator> for Opening {
    type Output = ();

    fn poll(
        mut self: Pin<&mut Self>,
        this: &mut Coordinator,
        _: &mut Context<Coordinator>,
        cx: &mut TaskContext<'_>,
    ) -> Poll<()> {
        if let Poll::Ready(late) = this.poll_patience(cx) {
            if let Self::Epoch(pending) = &mut *self {
                this.give_back(std::mem::replace(pending, Pending::ready(Err(late.clone()))));
            }
            this.open(Err(late));
            return Poll::Ready(());
        }
        let ended = loop {
            match &mut *self {
                Self::Resting(rest) => {
                    ready!(rest.as_mut().poll(cx));
                    *self = this.take_over();
                }
                Self::Epoch(pending) => {
                    let said = ready!(Pin::new(pending).poll(cx));
                    this.slot.on_opened(this.generation, this.access, &said);
                    match said {
                        Ok(epoch) => {
                            this.epoch = epoch;
                            *self = Self::Reading(this.journal.read(&this.id, 0));
                        }
                        Err(error) if this.may_reclaim(&error) => {
                            this.reclaims = false;
                            *self = this.ask_to_open(Access::TakeOver);
                        }
                        Err(error) => break Err(error),
                    }
                }
                Self::Reading(pending) => match ready!(Pin::new(pending).poll(cx)) {
                    Ok(records) => {
                        if let Some(newer) = store::Error::newer(&this.id, &records) {
                            break Err(newer);
                        }
                        let events = this.rebuild(&records);
                        let news = this.not_made_known(records);
                        if events.is_empty() {
                            break Ok(news);
                        }
                        let mut draft = this.draft(events.len());
                        draft.extend(events);
                        let (pending, written) = this.write(draft);
                        *self = Self::Writing { pending, written, news };
                    }
                    Err(error) => break Err(error),
                },
                Self::Writing { pending, written, news } => {
                    let kept = ready!(Pin::new(pending).poll(cx));
                    news.extend(written.iter().cloned());
                    break kept.map(|()| std::mem::take(news));
                }
            }
        };
        this.open(ended);
        // What drives turns may have had its turn before: it is older where a session is opened once more.
        cx.waker().wake_by_ref();
        Poll::Ready(())
    }
}

impl Coordinator {
    /// Takes the session over, unless the store has refused that before, or another coordinator has
    /// taken the place of this one.
    pub(super) fn take_over(&self) -> Opening {
        match &self.lost {
            Some(error) => Opening::Epoch(Pending::ready(Err(error.clone()))),
            None => self.ask_to_open(self.access),
        }
    }

    fn ask_to_open(&self, access: Access) -> Opening {
        let open = || self.journal.open(&self.id, access);
        let fenced = || Pending::ready(Err(store::Error::Fenced { session: self.id.clone() }));
        Opening::Epoch(self.slot.ask_to_open(self.generation, open).unwrap_or_else(fenced))
    }

    /// Says whether what `error` says of is an epoch that this process was given without hearing of it.
    fn may_reclaim(&self, error: &store::Error) -> bool {
        let is_own = |error: &store::Error| matches!(error, store::Error::Busy { owner, .. } if owner.is_here);
        self.reclaims && self.lost.is_none() && is_own(error)
    }

    /// Closes the session when it comes, for nobody waits for it any more.
    fn give_back(&self, opening: Pending<Result<u64, store::Error>>) {
        let (journal, id) = (Arc::clone(&self.journal), self.id.clone());
        actix_rt::spawn(async move {
            if let Ok(epoch) = opening.await {
                journal.close(&id, epoch);
            }
        });
    }

    /// Says whether the store was not to be had, and may be now. Whoever was fenced takes nothing back,
    /// but the later owner may have gone.
    pub(super) fn may_open_again(&self) -> bool {
        let may_pass = |error: &store::Error| {
            matches!(
                error,
                store::Error::Busy { .. }
                    | store::Error::Fenced { .. }
                    | store::Error::Unavailable { .. }
            )
        };
        let is_idle = self.opened && self.turn.is_none() && self.asker.is_none();
        is_idle && self.lost.as_ref().is_some_and(may_pass)
    }

    /// The store does not let it go on, and says why.
    pub(super) fn set_lost(&mut self, error: store::Error) {
        if matches!(error, store::Error::Fenced { .. }) {
            self.slot.on_fenced(self.generation);
        }
        self.lost = Some(error);
    }

    /// Opens the session once more, for `ask`: what is on record is read back.
    pub(super) fn open_again(&mut self, ask: Ask, ctx: &mut Context<Self>) {
        (self.access, self.reclaims) = self.slot.terms();
        (self.lost, self.opened, self.cut, self.seq) = (None, false, None, 0);
        self.state = self.options.state();
        self.unrecorded = Vec::new();
        if let Err(ask) = self.waiting.push(ask) {
            ask.reply.send(Err(Error::Busy));
        }
        if let Some(opening) = self.take_over().at_once(self, ctx) {
            ctx.spawn(opening);
        }
    }

    /// Ready when a question, or whoever asked the one that was cut, has waited for its whole time
    /// limit.
    fn poll_patience(&mut self, cx: &mut TaskContext<'_>) -> Poll<store::Error> {
        let nobody_waits = self.waiting.len() == 0 && self.asker.is_none();
        if nobody_waits && self.patience.is_none() {
            return Poll::Pending;
        }
        let limit = self.options.limits.turn_time_limit;
        let late = || Box::pin(sleep_until(later(Instant::now(), limit)));
        ready!(self.patience.get_or_insert_with(late).as_mut().poll(cx));
        let reason = "it did not open the session within the turn's time limit".to_owned();
        Poll::Ready(store::Error::Unavailable { reason })
    }

    /// Takes the questions that waited, or lets them know why there will be no answer.
    fn open(&mut self, ended: Result<Vec<Record>, store::Error>) {
        self.patience = None;
        let news = match ended {
            Ok(news) => {
                self.was_open = true;
                news
            }
            Err(error) => {
                self.set_lost(error);
                Vec::new()
            }
        };
        for record in &news {
            if record.seq > self.told {
                self.told = record.seq;
                telemetry::step(&self.span, &record.event);
                self.subscribers.tell_once(record);
            }
        }
        if self.lost.is_none() {
            self.told = self.seq;
            self.subscribers.set_told(self.told);
        }
        self.answer_cut_turn(news);
        self.opened = true;
        self.begin_next();
    }

    /// Rebuilds the session from its `records`, and says what is to be recorded so that it can go on:
    /// a turn that a panic has cut is ended, each of its calls answered. One that an earlier process
    /// has left is kept, to be resumed or ended.
    fn rebuild(&mut self, records: &[Record]) -> Vec<Event> {
        let mut wish = Action::Wait;
        for record in records {
            self.seq = record.seq;
            if is_forgotten(&record.event) {
                continue;
            }
            match self.state.on(&record.event) {
                Action::Wait => {}
                action => wish = action,
            }
        }
        if let Some(last) = records.last() {
            self.clock = self.clock.not_before(last.at_us);
        } else {
            let given = self.options.history.as_ref().filter(|given| !given.is_empty());
            let system = match given.is_some_and(GivenHistory::has_system) {
                true => None,
                false => self.options.system.clone(),
            };
            let history = given.map(|given| Arc::clone(given.json()));
            self.unrecorded.push(Event::SessionOpened { system, history });
        }
        match self.state.is_busy() {
            true if self.is_cut_by_panic() => {
                let events = self.ends_of_cut(wish);
                for event in &events {
                    let _ = self.state.on(event);
                }
                events
            }
            true => {
                self.cut = Some(Box::new(CutOpen::new(records, wish)));
                Vec::new()
            }
            false => Vec::new(),
        }
    }
}
