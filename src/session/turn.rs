//! A turn that is under way: the work of it, besides what the session's state knows.

use std::borrow::Cow;
use std::pin::Pin;
use std::sync::Arc;
use std::task::Context;
use std::time::Duration;

use tokio::sync::mpsc;
use tokio::time::{Instant, Sleep, sleep_until};
use tracing::Span;

use super::Cause;
use super::approving::{Approvals, Decide};
use super::compacting::Summing;
use super::coordinator::CancelCall;
use super::drive::unbudgeted;
use super::flight::Flight;
use super::retrying::NextTry;
use crate::conversation::{Batch, Claim, Event, Expired, Place, TraceParent, TurnEnd};
use crate::model::{Events, History};
use crate::sabotage::{self, Sabotage};
use crate::store::{self, Pending};
use crate::supervision::Rounds;
use crate::tools::later;
use crate::tools::{CallNews, Completion, TypedContext};
use crate::wire::Usage;

/// How many pieces of news of calls may wait to be told.
const MAX_NEWS: usize = 1024;

/// What a turn holds besides the session's state: the work that is under way.
pub(super) struct Turn {
    pub span: Span,
    /// The round within it that is under way.
    pub round_span: Span,
    pub typed: Option<TypedContext>,
    /// What it is a part of, by whoever asked.
    pub trace_parent: Option<Arc<TraceParent>>,
    pub began: Instant,
    pub deadline: Instant,
    pub round_deadline: Option<Instant>,
    timer: Pin<Box<Sleep>>,
    /// The timer is still to ring, and will wake the turn when it does.
    timer_is_set: bool,
    /// The model is to be asked as soon as it is known which tools are in service.
    pub asks: bool,
    pub model: Option<Events>,
    /// Which of the session's models answers.
    pub model_index: usize,
    /// The summary that `model` writes, where it writes one.
    pub summing: Option<Box<Summing>>,
    /// The model has refused the history for its length, and something is to leave it.
    pub is_too_long: bool,
    /// It has done so for the reply that is awaited.
    pub was_too_long: bool,
    /// The history as it is sent that model, where it is not as it stands.
    pub history: Option<History>,
    /// Who wrote the last reply.
    author: Option<Arc<str>>,
    /// How often it has failed at the reply.
    pub failures: u32,
    /// When and whom to ask for the reply after a failure.
    pub next_try: Option<NextTry>,
    /// Somebody was shown a piece of the reply's text.
    pub text_was_shown: bool,
    /// Calls of earlier tries of the reply that this try has asked for as well.
    pub claims: Vec<Claim>,
    /// No more calls of this try begin before its end.
    pub rest_waits: bool,
    pub first_token: Option<Instant>,
    pub attempt: u32,
    pub flight: Flight,
    pub append: Option<Append>,
    pub cancelled: bool,
    /// Calls that somebody asked to cancel since this was last looked at.
    pub to_cancel: Vec<CancelCall>,
    /// Calls that were cancelled, and are answered as soon as that can be recorded.
    pub cancelled_calls: Vec<Place>,
    /// The calls of the round that a person was asked about; absent where there are none.
    pub approvals: Option<Box<Approvals>>,
    /// What people have decided since this was last looked at.
    pub to_decide: Vec<Decide>,
    /// Since when its time and that of its round stand still, if they do: a person is awaited.
    still_since: Option<Instant>,
    /// It was cancelled because the runtime shuts down.
    pub shut_down: bool,
    /// The calls that the shutdown cut, once it has: their ids and tools.
    pub cut: Option<Vec<(Arc<str>, Arc<str>)>>,
    /// The timer rang while an append was under way: what is due is looked at after it.
    pub postponed: bool,
    /// Calls that came back while an append was under way and some were given up.
    pub landed: Vec<Completion>,
    /// How far calls are, where somebody listens.
    pub progress: Option<(mpsc::Sender<CallNews>, mpsc::Receiver<CallNews>)>,
    /// News that came while an append was under way, for the next one.
    pub news: Vec<Event>,
    pub cause: Option<Cause>,
    pub end: Option<TurnEnd>,
    pub answer: Option<(Arc<str>, Cow<'static, str>)>,
    pub model_name: Option<Arc<str>>,
    pub usage: Usage,
    /// What the provider has counted of the reply under way.
    pub counted: Option<Usage>,
    /// The events of the turn that the journal has.
    pub records: Vec<Batch>,
    /// The account of the rounds, where somebody follows it.
    pub rounds: Rounds,
    /// How many of `records` it has taken in: it does while the model is busy.
    pub reported: usize,
    /// The end of the turn that the store did not take.
    pub unkept: Option<(u64, Event)>,
}

/// Events on their way into the journal.
pub(super) struct Append {
    pub pending: Pending<Result<(), store::Error>>,
    pub records: Batch,
    /// Its beginning, where the turn's time stands still.
    pub since: Option<Instant>,
}

impl Turn {
    pub fn new(
        span: Span,
        (typed, trace_parent): (Option<TypedContext>, Option<Arc<TraceParent>>),
        time_limit: Duration,
        heartbeat: Duration,
    ) -> Self {
        let began = Instant::now();
        let deadline = later(began, time_limit);
        Self {
            round_span: span.clone(),
            span,
            typed,
            trace_parent,
            began,
            deadline,
            round_deadline: None,
            timer: Box::pin(sleep_until(deadline.min(later(began, heartbeat)))),
            timer_is_set: false,
            asks: false,
            model: None,
            model_index: 0,
            summing: None,
            is_too_long: false,
            was_too_long: false,
            history: None,
            author: None,
            failures: 0,
            next_try: None,
            text_was_shown: false,
            claims: Vec::new(),
            rest_waits: false,
            first_token: None,
            attempt: 1,
            flight: Flight::default(),
            append: None,
            cancelled: false,
            to_cancel: Vec::new(),
            cancelled_calls: Vec::new(),
            approvals: None,
            to_decide: Vec::new(),
            still_since: None,
            shut_down: false,
            cut: None,
            postponed: false,
            landed: Vec::new(),
            progress: None,
            news: Vec::new(),
            cause: None,
            end: None,
            answer: None,
            model_name: None,
            usage: Usage::default(),
            counted: None,
            records: Vec::new(),
            rounds: Rounds::default(),
            reported: 0,
            unkept: None,
        }
    }

    /// Says whether the end is still open: no answer is on its way, and nothing has broken it off.
    pub fn can_be_cancelled(&self) -> bool {
        self.answer.is_none() && self.cause.is_none()
    }

    /// The name `origin` of who wrote a reply, to keep; the replies of one share it.
    pub fn origin(&mut self, origin: &str) -> Arc<str> {
        let known = self.author.take().filter(|author| **author == *origin);
        Arc::clone(self.author.insert(known.unwrap_or_else(|| origin.into())))
    }

    /// When the time of the round is over: `limit` after this was first asked, or with the turn. Also
    /// says whose time that is.
    pub fn round_end(&mut self, now: Instant, limit: Duration) -> (Instant, Expired) {
        let now = self.still_since.unwrap_or(now);
        let end = self.round_deadline.unwrap_or_else(|| later(now, limit).min(self.deadline));
        self.round_deadline = Some(end);
        (end, if end == self.deadline { Expired::Turn } else { Expired::Round })
    }

    /// A person is awaited: from `now` on its time and that of its round stand still.
    pub fn stand_still(&mut self, now: Instant) {
        if !sabotage::is(Sabotage::ClockRunsOn) {
            self.still_since.get_or_insert(now);
        }
    }

    /// Says whether its time stands still.
    pub fn stands_still(&self) -> bool {
        self.still_since.is_some()
    }

    /// Nobody is awaited any more: from `now` on its time and that of its round go on.
    pub fn go_on(&mut self, now: Instant) {
        let Some(since) = self.still_since.take() else { return };
        let stood_still = now.saturating_duration_since(since);
        self.deadline = later(self.deadline, stood_still);
        self.round_deadline = self.round_deadline.map(|end| later(end, stood_still));
        let first = self.round_deadline.map_or(self.deadline, |end| end.min(self.deadline));
        self.ring_at(first);
    }

    /// When a store that was given events has used up the turn's time: `since` is when it was, if that time
    /// stands still.
    pub fn end_for_store(&self, since: Option<Instant>) -> Instant {
        let left = |still| self.deadline.saturating_duration_since(still);
        let end = self.still_since.zip(since).map(|(still, since)| later(since, left(still)));
        end.unwrap_or(self.deadline)
    }

    /// Where a call says how far it is.
    pub fn watcher(&mut self) -> mpsc::Sender<CallNews> {
        self.progress.get_or_insert_with(|| mpsc::channel(MAX_NEWS)).0.clone()
    }

    /// The timer may be what woke the turn.
    pub fn on_woken(&mut self) {
        self.timer_is_set = false;
    }

    /// Says whether the timer has rung since this was last asked. Asks the timer itself only once
    /// each time the turn is woken, whichever step comes to it, and after it was set.
    pub fn rings(&mut self, cx: &mut Context<'_>) -> bool {
        if self.timer_is_set {
            return false;
        }
        let timer = &mut self.timer;
        self.timer_is_set = unbudgeted(cx, |cx| timer.as_mut().poll(cx)).is_pending();
        !self.timer_is_set
    }

    /// Has the timer ring at `deadline` in place of what it was set to.
    pub fn set_timer(&mut self, deadline: Instant) {
        self.timer.as_mut().reset(deadline);
        self.timer_is_set = false;
    }

    /// Has the timer ring at once.
    pub fn ring_again(&mut self) {
        self.set_timer(Instant::now());
    }

    /// Has the timer ring at `deadline` at the latest. It may ring early: the one who hears it
    /// looks what is due.
    pub fn ring_at(&mut self, deadline: Instant) {
        if deadline < self.timer.deadline() {
            self.set_timer(deadline);
        }
    }
}
