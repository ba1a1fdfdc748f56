//! The rule that everything is recorded before it takes effect: how events get into the journal.

use std::sync::Arc;

use tokio::time::Instant;

use super::coordinator::Coordinator;
use super::observer::{Appended, Observers};
use super::turn::Append;
use crate::conversation::{Action, Batch, Event, Record, SessionId, VERSION};
use crate::failpoint;
use crate::store::{self, Pending};

/// Events on their way into the journal, already in the form they are kept in.
pub(super) struct Draft {
    session: SessionId,
    seq: u64,
    at_us: u64,
    records: Vec<Record>,
}

impl Draft {
    pub fn push(&mut self, event: Event) {
        let (v, at_us, session) = (VERSION, self.at_us, self.session.clone());
        self.seq += 1;
        self.records.push(Record { v, seq: self.seq, at_us, session, event });
    }

    pub fn is_empty(&self) -> bool {
        self.records.is_empty()
    }
}

impl Extend<Event> for Draft {
    fn extend<I: IntoIterator<Item = Event>>(&mut self, events: I) {
        events.into_iter().for_each(|event| self.push(event));
    }
}

/// An append that is under way. Dropped before its end it has failed.
struct Watch {
    session: SessionId,
    observers: Observers,
    records: usize,
    since: Instant,
    failed: bool,
}

impl Watch {
    fn end(mut self, kept: &Result<(), store::Error>) {
        self.failed = kept.is_err();
    }
}

impl Drop for Watch {
    fn drop(&mut self) {
        let Self { records, since, failed, .. } = *self;
        self.observers
            .on_append(&self.session, Appended { records, took: since.elapsed(), failed });
    }
}

impl Coordinator {
    /// A draft with room for so many events, all of them stamped with the time of now.
    pub(super) fn draft(&self, capacity: usize) -> Draft {
        Draft {
            session: self.id.clone(),
            seq: self.seq,
            at_us: self.clock.micros_at(Instant::now()),
            records: Vec::with_capacity(capacity),
        }
    }

    /// As [`Coordinator::record_draft`].
    pub(super) fn record(&mut self, events: Vec<Event>) {
        let mut draft = self.draft(events.len());
        draft.extend(events);
        self.record_draft(draft);
    }

    /// Appends the events of `draft` to the journal, and with them the steps that they ask for and
    /// that are records before they are anything else: a question and the asking of the model, a
    /// reply and the beginnings of its calls. Nothing has an effect before the journal has it.
    pub(super) fn record_draft(&mut self, draft: Draft) {
        if draft.is_empty() {
            return;
        }
        let mut draft = self.behind_news(draft);
        let mut known = 0;
        while known < draft.records.len() {
            let wish = self.fold(&draft.records[known..]);
            known = draft.records.len();
            match wish {
                Action::Wait => {}
                Action::AskModel { round, attempt } => {
                    let asking = self.asking(round, attempt);
                    draft.push(asking);
                }
                Action::RunCalls(calls) => self.push_beginnings(calls, &mut draft),
                Action::EndTurn(end) => draft.extend(self.ends_of_turn(end)),
            }
        }
        let (pending, records) = self.write(draft);
        if let Some(turn) = &mut self.turn {
            let since = turn.stands_still().then(Instant::now);
            turn.append = Some(Append { pending, records, since });
        }
    }

    /// The news that came while the last append was under way, and what is in `draft` behind them.
    fn behind_news(&mut self, draft: Draft) -> Draft {
        let news = self.turn.as_mut().map(|turn| std::mem::take(&mut turn.news));
        let Some(news) = news.filter(|news| !news.is_empty()) else { return draft };
        let mut all = self.draft(news.len() + draft.records.len());
        all.extend(news);
        all.extend(draft.records.into_iter().map(|record| record.event));
        all
    }

    /// Shows `records` to the state. Of several wishes the last one counts: it knows all events. A
    /// turn that has ended wishes for nothing, whatever the calls' ends would have led to.
    fn fold(&mut self, records: &[Record]) -> Action {
        let mut wish = Action::Wait;
        for Record { event, .. } in records {
            match self.state.on(event) {
                Action::Wait if matches!(event, Event::TurnEnded { .. }) => wish = Action::Wait,
                Action::Wait => {}
                action => wish = action,
            }
        }
        wish
    }

    /// Tells those who observe the runtime what comes of `pending`: the journal was asked at `since` to
    /// take so many records.
    fn watched(
        &self,
        pending: Pending<Result<(), store::Error>>,
        records: usize,
        since: Instant,
    ) -> Pending<Result<(), store::Error>> {
        let (session, observers) = (self.id.clone(), self.subscribers.observers().clone());
        let watch = Watch { session, observers, records, since, failed: true };
        if let Pending::Ready(Some(kept)) = &pending {
            watch.end(kept);
            return pending;
        }
        Pending::Later(Box::pin(async move {
            let kept = pending.await;
            watch.end(&kept);
            kept
        }))
    }

    /// Hands `draft` to the journal.
    pub(super) fn write(&mut self, draft: Draft) -> (Pending<Result<(), store::Error>>, Batch) {
        let expected = self.seq;
        self.seq = draft.seq;
        let records = Arc::new(draft.records);
        failpoint::append(failpoint::Append::Before);
        let asked = self.is_observed().then(Instant::now);
        let pending = self.journal.append(&self.id, expected, self.epoch, Arc::clone(&records));
        let pending = match asked {
            Some(asked) => self.watched(pending, records.len(), asked),
            None => pending,
        };
        failpoint::append(failpoint::Append::During);
        (pending, records)
    }
}
