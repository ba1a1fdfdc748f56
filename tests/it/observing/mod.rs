//! Those who observe a runtime: they hear of all its sessions what each session's own subscribers and
//! callers are told, and hurt nobody.

#[cfg(feature = "server")]
mod metrics;
mod numbers;
#[cfg(feature = "otel")]
mod traces;

use std::sync::{Arc, Mutex};
use std::time::Duration;

use callsheet::conversation::{CallKey, Record, TraceParent};
use callsheet::session::{Appended, Observer, Presence, TurnBegun};
use callsheet::store::MemoryStore;
use callsheet::testing::{self, ScriptedModel, reply};
use callsheet::{Event, RoundReport, Runtime, Session, SessionId, SessionOptions, ToolSet};
use tokio::time::sleep;

use crate::support::journal::{Asked, Does, rigged_builder};
use crate::support::{bomb, limits, seconds, sleeper};

/// Writes down what it is told.
#[derive(Default)]
struct Notes {
    passing: bool,
    records: Mutex<Vec<Record>>,
    rounds: Mutex<Vec<(SessionId, Arc<RoundReport>)>>,
    presence: Mutex<Vec<(SessionId, Presence, Presence)>>,
    appends: Mutex<Vec<Appended>>,
}

impl Notes {
    fn new(passing: bool) -> Arc<Self> {
        Arc::new(Self { passing, ..Self::default() })
    }
}

impl Observer for Notes {
    fn hears_passing(&self) -> bool {
        self.passing
    }

    fn on_record(&self, record: &Record) {
        note(&self.records, record.clone());
    }

    fn on_round(&self, session: &SessionId, report: &Arc<RoundReport>) {
        note(&self.rounds, (session.clone(), Arc::clone(report)));
    }

    fn on_presence(&self, session: &SessionId, before: Presence, now: Presence) {
        note(&self.presence, (session.clone(), before, now));
    }

    fn on_append(&self, _: &SessionId, appended: Appended) {
        note(&self.appends, appended);
    }
}

fn note<T>(notes: &Mutex<Vec<T>>, note: T) {
    notes.lock().expect("no test panics with it").push(note);
}

/// Panics at everything.
struct Clumsy;

impl Observer for Clumsy {
    fn hears_passing(&self) -> bool {
        panic!("whether?")
    }

    fn on_record(&self, _: &Record) {
        panic!("a record")
    }

    fn on_round(&self, _: &SessionId, _: &Arc<RoundReport>) {
        panic!("a round")
    }

    fn on_presence(&self, _: &SessionId, _: Presence, _: Presence) {
        panic!("a session")
    }

    fn on_append(&self, _: &SessionId, _: Appended) {
        panic!("a batch")
    }

    fn on_turn(&self, _: &TurnBegun<'_>) {
        panic!("a turn")
    }

    fn trace_parent(&self, _: &CallKey) -> Option<TraceParent> {
        panic!("a call")
    }
}

fn options(model: &Arc<ScriptedModel>, id: &str) -> SessionOptions {
    let tools = Arc::new(ToolSet::new([sleeper(), bomb()]).expect("well formed"));
    SessionOptions::new(model.clone(), tools).id(SessionId::new(id)).limits(limits())
}

fn two_rounds() -> Arc<ScriptedModel> {
    let calls = || reply().text("let me see").call("sleep", r#"{"s": 1}"#).call("bomb", "{}");
    ScriptedModel::new([calls(), calls(), reply().text("done"), reply().text("more")])
}

fn observed(observers: impl IntoIterator<Item = Arc<dyn Observer>>) -> Runtime {
    let builder = testing::builder().sleep_after(Some(seconds(60)));
    let builder = builder.journal(Arc::new(MemoryStore::keeping()));
    let builder = observers.into_iter().fold(builder, |builder, one| builder.observe(one));
    builder.in_current_system().expect("within `testing::run`")
}

/// Asks `question` once; what the session's own subscriber hears of it.
async fn heard(session: &Session) -> Vec<Record> {
    let mut events = session.events();
    session.ask("go").await.expect("the turn ends well");
    let mut heard = Vec::new();
    while !matches!(heard.last(), Some(Record { event: Event::TurnEnded { .. }, .. })) {
        heard.push(Record::clone(&*events.next().await.expect("the session lives")));
    }
    heard
}

#[test]
fn an_observer_hears_all_sessions_as_their_subscribers_hear_them() {
    testing::run(async {
        let (all, kept) = (Notes::new(true), Notes::new(false));
        let runtime = observed([all.clone() as _, kept.clone() as _]);
        for id in ["one", "two"] {
            let session = runtime.session(options(&two_rounds(), id));
            let heard = heard(&session).await;
            assert!(heard.iter().any(|record| !record.event.is_durable()));
            assert_eq!(std::mem::take(&mut *all.records.lock().unwrap()), heard);
            let durable: Vec<_> =
                heard.into_iter().filter(|record| record.event.is_durable()).collect();
            assert_eq!(std::mem::take(&mut *kept.records.lock().unwrap()), durable);
        }
    });
}

#[test]
fn an_observer_is_told_without_any_subscriber() {
    testing::run(async {
        let all = Notes::new(true);
        let session = observed([all.clone() as _]).session(options(&two_rounds(), "s"));
        session.ask("go").await.expect("the turn ends well");
        let records = all.records.lock().unwrap();
        assert!(records.iter().any(|record| matches!(record.event, Event::TextStreamed { .. })));
        assert!(matches!(records.last().unwrap().event, Event::TurnEnded { .. }));
    });
}

#[test]
fn the_account_of_a_round_is_the_one_that_the_answer_has() {
    testing::run(async {
        let notes = Notes::new(false);
        let session = observed([notes.clone() as _]).session(options(&two_rounds(), "s"));
        let answer = session.ask("go").await.expect("the turn ends well");
        let told = std::mem::take(&mut *notes.rounds.lock().unwrap());
        assert_eq!(told.len(), 2);
        for ((session, told), answered) in told.iter().zip(&answer.report.rounds) {
            assert_eq!(session.as_str(), "s");
            assert!(Arc::ptr_eq(told, answered));
        }
        assert_eq!(answer.report.rounds.len(), 2);
        session.ask("and?").await.expect("the turn ends well");
        assert!(notes.rounds.lock().unwrap().is_empty(), "an answer is no round");
    });
}

#[test]
fn an_observer_that_panics_hurts_no_session_and_no_other_observer() {
    testing::run(async {
        let (before, after) = (Notes::new(true), Notes::new(true));
        let runtime = observed([before.clone() as _, Arc::new(Clumsy) as _, after.clone() as _]);
        let session = runtime.session(options(&two_rounds(), "s"));
        let answer = session.ask("go").await.expect("the turn ends well");
        assert_eq!((&*answer.text, answer.report.rounds.len()), ("done", 2));
        let count = |notes: &Notes| {
            let appends = notes.appends.lock().unwrap().len();
            (notes.records.lock().unwrap().len(), notes.rounds.lock().unwrap().len(), appends)
        };
        assert!(count(&after).0 > 10 && count(&after) == count(&before));
    });
}

#[test]
fn an_observer_hears_of_sessions_that_wake_fall_asleep_and_go() {
    testing::run(async {
        let notes = Notes::new(false);
        let session = observed([notes.clone() as _]).session(options(&two_rounds(), "s"));
        session.ask("go").await.expect("the turn ends well");
        sleep(seconds(600)).await;
        session.ask("and?").await.expect("the turn ends well");
        sleep(seconds(600)).await;
        drop(session);
        let told = std::mem::take(&mut *notes.presence.lock().unwrap());
        let steps: Vec<_> = told.iter().map(|(_, before, now)| (*before, *now)).collect();
        use Presence::{Asleep, Awake, Away};
        assert_eq!(
            steps,
            [(Away, Awake), (Awake, Asleep), (Asleep, Awake), (Awake, Asleep), (Asleep, Away)]
        );
    });
}

#[test]
fn a_session_that_nobody_has_a_handle_of_does_not_count_as_asleep() {
    testing::run(async {
        let notes = Notes::new(false);
        let session = observed([notes.clone() as _]).session(options(&two_rounds(), "s"));
        session.ask("go").await.expect("the turn ends well");
        drop(session);
        sleep(seconds(1)).await;
        let last = notes.presence.lock().unwrap().last().cloned();
        assert_eq!(last.map(|(_, _, now)| now), Some(Presence::Away));
    });
}

#[test]
fn an_observer_hears_how_long_the_journal_takes_and_when_it_fails() {
    testing::run(async {
        let slow = |asked: Asked<'_>| match asked {
            Asked::Append(records) if is_reply(records) => Does::Fails,
            Asked::Append(_) => Does::AsAskedAfter(Duration::from_millis(20)),
            _ => Does::AsAsked,
        };
        let notes = Notes::new(false);
        let runtime = rigged_builder(slow).0.observe(notes.clone());
        let runtime = runtime.in_current_system().expect("within `testing::run`");
        let session = runtime.session(options(&two_rounds(), "s"));
        session.ask("go").await.expect_err("the store failed");
        let appends = notes.appends.lock().unwrap().clone();
        let took = Duration::from_millis(20);
        assert_eq!(appends[0], Appended { records: 3, took, failed: false });
        assert!(appends.len() == 2 && appends[1].failed, "{appends:?}");
        let records = notes.records.lock().unwrap();
        let last = &records.last().expect("something was told").event;
        assert!(matches!(last, Event::TurnEnded { .. }), "unkept, and told: {last:?}");
    });
}

#[test]
fn a_batch_that_nobody_waits_for_any_longer_has_failed() {
    testing::run(async {
        let hangs = |asked: Asked<'_>| match asked {
            Asked::Append(records) if is_reply(records) => Does::Hangs,
            _ => Does::AsAsked,
        };
        let notes = Notes::new(false);
        let runtime = rigged_builder(hangs).0.observe(notes.clone());
        let runtime = runtime.in_current_system().expect("within `testing::run`");
        let session = runtime.session(options(&two_rounds(), "s"));
        session.ask("go").await.expect_err("the store hangs");
        let appends = notes.appends.lock().unwrap().clone();
        assert!(
            appends.iter().any(|append| append.failed && append.took > limits().turn_time_limit)
        );
    });
}

fn is_reply(records: &[Record]) -> bool {
    records.iter().any(|record| matches!(record.event, Event::Replied { .. }))
}
