//! A coordinator that panics is rebuilt from its record.

use std::sync::atomic::{AtomicBool, AtomicU32, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use actix::{Actor, Context, Handler};
use callsheet::conversation::{Record, TurnEnd};
use callsheet::model::{Event as ModelEvent, Events, Model, Request};
use callsheet::session::{Cause, FailedTurn};
use callsheet::store::{Access, Journal, MemoryStore};
use callsheet::supervision::{Backoff, RestartLimits, RoundReported};
use callsheet::testing::{self, Scripted, ScriptedModel, reply};
use callsheet::{
    Answer, Error, Event, Limits, Outcome, OutcomeKind, Question, Session, SessionId,
    SessionOptions, ToolSet,
};
use futures_util::Stream;
use tokio::time::{sleep, timeout};

use crate::support::journal::{Asked, Does, faults, rigged};
use crate::support::{hanger, limits, outcomes, seconds, sleeper};

fn id() -> SessionId {
    SessionId::new("s")
}

fn script() -> [Scripted; 4] {
    let calls = reply().call("sleep", r#"{"s": 1}"#).call("sleep", r#"{"s": 2}"#);
    [calls.call("sleep", r#"{"s": 3}"#), reply().text("a"), reply().text("b"), reply().text("c")]
}

fn options(model: Arc<dyn Model>) -> SessionOptions {
    let tools = Arc::new(ToolSet::new([sleeper(), hanger()]).expect("well formed"));
    SessionOptions::new(model, tools).limits(limits()).id(id())
}

async fn records(journal: &MemoryStore) -> Vec<Record> {
    journal.read(&id(), 0).await.expect("memory can be read")
}

fn crashed(asked: Result<Answer, Error>) -> FailedTurn {
    match asked {
        Err(Error::Turn(failed)) if matches!(failed.cause, Cause::Crashed) => *failed,
        other => panic!("the turn was to be cut by a panic: {other:?}"),
    }
}

/// One whole turn whose journal does `does` at the `nth` time that `is_it` says so. False if there
/// was no such time.
async fn survives(does: Does, nth: u32, is_it: fn(&Asked<'_>) -> bool) -> bool {
    let (seen, happened) = (AtomicU32::new(0), Arc::new(AtomicBool::new(false)));
    let over = Arc::new(AtomicBool::new(false));
    let (says, is_over) = (Arc::clone(&happened), Arc::clone(&over));
    let (runtime, journal) = rigged(move |asked| {
        let counts = is_it(&asked) && !is_over.load(Ordering::Relaxed);
        let now = counts && seen.fetch_add(1, Ordering::Relaxed) + 1 == nth;
        says.fetch_or(now, Ordering::Relaxed);
        if now { does } else { Does::AsAsked }
    });
    let model = ScriptedModel::new(script());
    let session = runtime.session(options(model.clone()));
    let mut events = session.events();
    let asked = timeout(seconds(60), session.ask("go")).await.expect("the asker hears of it");
    over.store(true, Ordering::Relaxed);
    let case = format!("{does:?} at the {nth}th time: {asked:?}");
    let status = session.status().await.expect("the session answers");
    assert!(!status.busy, "{case}");
    let kept = records(&journal).await;
    assert_eq!(faults(&kept), Vec::<String>::new(), "{case}");
    match asked {
        Ok(answer) => assert_eq!(&*answer.text, "a"),
        Err(error) => {
            let failed = crashed(Err(error));
            assert_eq!(failed.cause.code(), "coordinator_crashed");
            let calls = failed.report.rounds.iter().flat_map(|round| &round.calls);
            assert!(calls.into_iter().all(|call| call.outcome.is_some()), "{case}");
            if let Some(last) = kept.last() {
                let problem = match &last.event {
                    Event::TurnEnded { end: TurnEnd::Failed { problem }, .. } => problem,
                    other => panic!("{case}: {other:?}"),
                };
                assert_eq!(problem.code, "coordinator_crashed", "{case}");
            }
        }
    }
    let again = timeout(seconds(60), session.ask("again")).await.expect("an end").expect(&case);
    assert!(["a", "b"].contains(&&*again.text));
    assert_eq!(model.violations(), Vec::<String>::new(), "{case}");
    let kept = records(&journal).await;
    assert_eq!(faults(&kept), Vec::<String>::new(), "{case}");
    // Whoever listens hears every event that is on record, once and in order.
    drop(session);
    let mut heard = Vec::new();
    while let Some(record) = events.next().await {
        if record.event.is_durable() {
            heard.push(record.seq);
        }
    }
    assert_eq!(heard, kept.iter().map(|record| record.seq).collect::<Vec<_>>(), "{case}");
    happened.load(Ordering::Relaxed)
}

const PANICS: [Does; 4] =
    [Does::Panics, Does::PanicsAfterwards, Does::PanicsLater, Does::PanicsTwice];

#[test]
fn a_session_survives_a_panic_at_each_append_of_a_turn() {
    testing::run(async {
        for does in PANICS {
            let mut appends = 0;
            while survives(does, appends + 1, |asked| matches!(asked, Asked::Append(_))).await {
                appends += 1;
            }
            // The question, two replies, and the ends of three calls.
            assert_eq!(appends, 6, "{does:?}");
        }
    });
}

#[test]
fn a_session_survives_a_panic_while_it_opens() {
    testing::run(async {
        for does in PANICS {
            assert!(survives(does, 1, |asked| matches!(asked, Asked::Open(_))).await);
            assert!(survives(does, 1, |asked| matches!(asked, Asked::Read)).await);
        }
    });
}

#[test]
fn a_session_survives_a_panic_in_each_step_of_its_rebuilding() {
    testing::run(async {
        for does in PANICS {
            for step in 0..3 {
                let appends = AtomicU32::new(0);
                let (opens, reads) = (AtomicU32::new(0), AtomicU32::new(0));
                let (runtime, journal) = rigged(move |asked| {
                    let now = match asked {
                        Asked::Open(_) => opens.fetch_add(1, Ordering::Relaxed) == 1 && step == 0,
                        Asked::Read => reads.fetch_add(1, Ordering::Relaxed) == 1 && step == 1,
                        Asked::Append(_) => match appends.fetch_add(1, Ordering::Relaxed) {
                            3 => true,
                            4 => step == 2,
                            _ => false,
                        },
                        Asked::Keep | Asked::ReadPart => false,
                    };
                    if now { does } else { Does::AsAsked }
                });
                let model = ScriptedModel::new(script());
                let session = runtime.session(options(model.clone()));
                let failed = crashed(session.ask("go").await);
                assert_eq!(outcomes(&failed.report.rounds[0])[0], "ok");
                assert_eq!(&*session.ask("again").await.expect("an answer").text, "a");
                assert_eq!(model.violations(), Vec::<String>::new());
                assert_eq!(faults(&records(&journal).await), Vec::<String>::new());
            }
        }
    });
}

/// A journal that panics at the append of the second call's end.
fn panics_at_the_second_end() -> impl Fn(Asked<'_>) -> Does + Send + Sync {
    let ends = AtomicU32::new(0);
    move |asked| match asked {
        Asked::Append(records)
            if records.iter().any(|r| matches!(r.event, Event::CallEnded { .. }))
                && ends.fetch_add(1, Ordering::Relaxed) == 1 =>
        {
            Does::Panics
        }
        _ => Does::AsAsked,
    }
}

#[test]
fn calls_that_were_running_are_answered_as_perhaps_done_and_the_line_goes_on() {
    testing::run(async {
        let (runtime, journal) = rigged(panics_at_the_second_end());
        let calls = reply().call("sleep", r#"{"s": 1}"#).call("sleep", r#"{"s": 2}"#);
        let model = ScriptedModel::new([calls.call("hang", "{}"), reply().text("next")]);
        let session = runtime.session(options(model.clone()));
        let (failed, next, status) = tokio::join!(
            session.ask("go"),
            session.ask(Question::new("next").wait_in_line()),
            async {
                sleep(Duration::from_millis(2050)).await; // While it rests.
                session.status().await.expect("the session answers")
            }
        );
        assert_eq!((status.busy, status.waiting), (true, 1), "it answers also while it rests");
        let failed = crashed(failed);
        let round = &failed.report.rounds[0];
        assert_eq!(outcomes(round), ["ok", "unknown_outcome", "unknown_outcome"]);
        assert_eq!(failed.report.usage.input_tokens, 10);
        assert_eq!(&*failed.report.model, "scripted");
        let ends: Vec<Outcome> = (records(&journal).await.into_iter())
            .filter_map(|record| match record.event {
                Event::CallEnded { outcome, .. } => Some(outcome),
                _ => None,
            })
            .collect();
        assert_eq!(ends[2].kind, OutcomeKind::UnknownOutcome);
        assert!(ends[2].content.contains("may have taken effect"), "{}", ends[2].content);
        assert!(!ends[1].content.contains("may have taken effect"), "it only reads");
        assert_eq!(&*next.expect("an answer").text, "next");
        assert_eq!(model.violations(), Vec::<String>::new());
    });
}

struct Listener(Arc<Mutex<Vec<u64>>>);

impl Actor for Listener {
    type Context = Context<Self>;
}

impl Handler<RoundReported> for Listener {
    type Result = ();

    fn handle(&mut self, news: RoundReported, _: &mut Context<Self>) {
        self.0.lock().expect("nobody panics").push(news.report.round);
    }
}

#[test]
fn whoever_follows_the_rounds_hears_of_each_once() {
    testing::run(async {
        let (runtime, _) = rigged(panics_at_the_second_end());
        let one = || reply().call("sleep", r#"{"s": 1}"#);
        let model = ScriptedModel::new([one(), one(), reply(), one(), reply()]);
        let session = runtime.session(options(model));
        let heard = Arc::new(Mutex::new(Vec::new()));
        let listener = Listener(Arc::clone(&heard)).start();
        session.on_round(listener.recipient());
        let listener = Listener(Arc::clone(&heard)).start();
        session.on_round(listener.clone().recipient());
        crashed(session.ask("go").await);
        drop(session.ask("again").await.expect("an answer"));
        sleep(seconds(1)).await;
        assert_eq!(*heard.lock().expect("nobody panics"), [1, 2]);
    });
}

#[test]
fn a_session_without_handles_still_ends_its_record() {
    testing::run(async {
        let (runtime, journal) = rigged(panics_at_the_second_end());
        let session = runtime.session(options(ScriptedModel::new(script())));
        let mut events = session.events();
        let asked = timeout(seconds(1), session.ask("go")).await;
        assert!(asked.is_err());
        drop(session);
        let ended = timeout(seconds(100), async { while events.next().await.is_some() {} }).await;
        assert!(ended.is_ok(), "the session is still there");
        assert_eq!(faults(&records(&journal).await), Vec::<String>::new());
    });
}

async fn assert_given_up(session: &Session) {
    let asked = timeout(seconds(600), session.ask("go")).await.expect("it ends");
    assert!(matches!(asked, Err(Error::Closed)), "{asked:?}");
    assert!(matches!(session.status().await, Err(Error::Closed)));
    assert!(!session.cancel().await && !session.cancel_call("call_0").await);
}

#[test]
fn a_coordinator_that_panics_every_time_is_given_up() {
    testing::run(async {
        for does in PANICS {
            let (runtime, _) = rigged(move |asked| match asked {
                Asked::Open(_) => does,
                Asked::Read | Asked::Append(_) | Asked::Keep | Asked::ReadPart => Does::AsAsked,
            });
            assert_given_up(&runtime.session(options(ScriptedModel::new(script())))).await;
            let appends = AtomicU32::new(0);
            let (runtime, _) = rigged(move |asked| match asked {
                // The turn that is cut then can never be ended, unless it was kept all the same.
                Asked::Append(_) if appends.fetch_add(1, Ordering::Relaxed) >= 2 => does,
                _ => Does::AsAsked,
            });
            if !matches!(does, Does::PanicsAfterwards) {
                assert_given_up(&runtime.session(options(ScriptedModel::new(script())))).await;
            }
        }
    });
}

#[test]
fn a_store_that_hangs_at_the_rebuilding_holds_nobody_longer_than_a_turn_may_take() {
    testing::run(async {
        let (panics, opens) = (panics_at_the_second_end(), AtomicU32::new(0));
        let (runtime, _) = rigged(move |asked| match asked {
            Asked::Open(_) if opens.fetch_add(1, Ordering::Relaxed) == 1 => {
                Does::AsAskedAfter(seconds(1_000_000))
            }
            _ => panics(asked),
        });
        let options = options(ScriptedModel::new(script()));
        let limits = Limits { turn_time_limit: seconds(30), ..limits() };
        let session = runtime.session(options.limits(limits));
        let asked = timeout(seconds(60), session.ask("go")).await.expect("the asker hears of it");
        let Err(Error::Turn(failed)) = asked else { panic!("{asked:?}") };
        assert!(matches!(failed.cause, Cause::Store(_)));
        session.ask("again").await.expect("the store answers again");
    });
}

#[test]
fn a_session_whose_store_was_lost_does_not_take_it_back() {
    testing::run(async {
        let opens = Arc::new(Mutex::new(Vec::new()));
        let noted = Arc::clone(&opens);
        let (runtime, _) = rigged(move |asked| match asked {
            Asked::Open(access) => {
                noted.lock().expect("no panic").push(access);
                Does::AsAsked
            }
            Asked::Append(records)
                if records.iter().any(|r| matches!(r.event, Event::Replied { .. })) =>
            {
                Does::Refuses
            }
            _ => Does::AsAsked,
        });
        let session = runtime.session(options(ScriptedModel::new(script())));
        // The coordinator panics when it lets go of the turn that was refused.
        let asked = session.ask(Question::new("go").context(DropsBadly)).await;
        let Err(Error::Turn(failed)) = asked else { panic!("{asked:?}") };
        assert!(matches!(failed.cause, Cause::Store(_)));
        // The first of them while it is rebuilt.
        for _ in 0..2 {
            assert!(matches!(session.ask("again").await, Err(Error::Store(_))));
        }
        let opens = opens.lock().expect("no panic");
        assert_eq!(*opens, [Access::IfFree; 2], "another owner may have it");
    });
}

/// A model whose stream, and a context whose value, panics when it is dropped.
struct Fragile;

struct DropsBadly;

impl Drop for DropsBadly {
    fn drop(&mut self) {
        assert!(std::thread::panicking(), "it panics when it is dropped");
    }
}

impl Stream for DropsBadly {
    type Item = Result<ModelEvent, callsheet::model::Error>;

    fn poll_next(
        self: std::pin::Pin<&mut Self>,
        _: &mut std::task::Context<'_>,
    ) -> std::task::Poll<Option<Self::Item>> {
        std::task::Poll::Pending
    }
}

impl Model for Fragile {
    fn name(&self) -> &str {
        "fragile"
    }

    fn ask(&self, _: Request<'_>) -> Events {
        Box::pin(DropsBadly)
    }
}

#[test]
fn a_panic_of_what_is_dropped_with_the_old_state_is_contained() {
    testing::run(async {
        let (runtime, _) = rigged(|_| Does::AsAsked);
        let session = runtime.session(options(Arc::new(Fragile)));
        for _ in 0..2 {
            let question = Question::new("go").context(DropsBadly);
            let (asked, ()) = tokio::join!(session.ask(question), async {
                sleep(seconds(1)).await;
                session.cancel().await;
            });
            crashed(asked);
            assert!(!session.status().await.expect("the session answers").busy);
        }
    });
}

/// The policies of the old workers must not judge the new ones.
#[test]
fn the_workers_of_a_session_that_was_rebuilt_have_no_past() {
    testing::run(async {
        let (runtime, journal) = rigged(|asked| {
            match asked {
            Asked::Append(records)
                if records.iter().any(|record| {
                    matches!(&record.event, Event::TurnStarted { prompt, .. } if &**prompt == "trip")
                }) =>
            {
                Does::Panics
            }
            _ => Does::AsAsked,
        }
        });
        let bomb = |n: u32| reply().call("bomb", &format!(r#"{{"n": {n}}}"#));
        let script = [bomb(1), bomb(2), reply(), bomb(3), reply().text("done")];
        let tools = Arc::new(ToolSet::new([crate::support::bomb()]).expect("well formed"));
        let supervision = RestartLimits { max_restarts: 1, ..RestartLimits::default() };
        let options = SessionOptions::new(ScriptedModel::new(script), tools).limits(limits());
        let session = runtime.session(options.id(id()).supervision(supervision));
        session.ask("go").await.expect("the turn ends well");
        crashed(session.ask("trip").await);
        session.ask("go on").await.expect("the turn ends well");
        sleep(seconds(1)).await;
        let told: Vec<_> = (records(&journal).await.iter())
            .filter_map(|record| match &record.event {
                Event::WorkerRestarted { .. } => Some("restarted"),
                Event::CircuitOpened { .. } => Some("opened"),
                _ => None,
            })
            .collect();
        assert_eq!(told, ["restarted", "opened", "restarted"]);
    });
}

#[test]
fn a_shutdown_waits_for_the_end_of_a_turn_that_a_panic_has_cut() {
    testing::run(async {
        for shuts_down_after in [500, 1050] {
            let (runtime, journal) = rigged(panics_at_the_first_end());
            let calls = reply().call("sleep", r#"{"s": 1}"#).call("hang", "{}");
            let session = runtime.session(options(ScriptedModel::new([calls, reply()])));
            let asked = session.ask("go");
            let report = async {
                sleep(Duration::from_millis(shuts_down_after)).await; // Before it, and while it rests.
                runtime.shutdown(seconds(10)).await
            };
            let (asked, report) = tokio::join!(asked, report);
            crashed(asked);
            assert_eq!((report.finished, report.cut.len(), report.stuck.len()), (1, 0, 0));
            assert_eq!(faults(&records(&journal).await), Vec::<String>::new());
        }
    });
}

#[test]
fn a_shutdown_tells_of_a_turn_that_a_panic_has_cut_and_that_still_rests() {
    testing::run(async {
        let (runtime, _) = rigged(panics_at_the_first_end());
        let calls = reply().call("sleep", r#"{"s": 1}"#);
        let backoff = Backoff { min: seconds(20), max: seconds(20) };
        let supervision = RestartLimits { backoff, ..RestartLimits::default() };
        let model = ScriptedModel::new([calls, reply()]);
        let session = runtime.session(options(model).supervision(supervision));
        let asked = session.ask("go");
        let report = async {
            sleep(Duration::from_millis(1050)).await; // While it rests.
            runtime.shutdown(seconds(1)).await
        };
        let (_, report) = tokio::join!(asked, report);
        assert_eq!((report.finished, report.stuck.len()), (0, 0));
        let cut: Vec<_> = report.cut.iter().map(|cut| (cut.turn, cut.recorded)).collect();
        assert_eq!(cut, [(1, false)]);
    });
}

fn panics_at_the_first_end() -> impl Fn(Asked<'_>) -> Does + Send + Sync + 'static {
    let happened = AtomicBool::new(false);
    move |asked| match asked {
        Asked::Append(records)
            if records.iter().any(|record| matches!(record.event, Event::CallEnded { .. }))
                && !happened.swap(true, Ordering::Relaxed) =>
        {
            Does::Panics
        }
        _ => Does::AsAsked,
    }
}

#[test]
fn a_rest_that_is_longer_than_a_turn_may_take_does_not_lose_the_session() {
    testing::run(async {
        let (runtime, _) = rigged(panics_at_the_first_end());
        let calls = reply().call("sleep", r#"{"s": 1}"#);
        let model = ScriptedModel::new([calls, reply().text("next")]);
        let backoff = Backoff { min: seconds(20), max: seconds(20) };
        let supervision = RestartLimits { backoff, ..RestartLimits::default() };
        let limits = Limits { turn_time_limit: seconds(5), ..limits() };
        let session = runtime.session(options(model).limits(limits).supervision(supervision));
        crashed(session.ask("go").await);
        assert_eq!(&*session.ask("go on").await.expect("an answer").text, "next");
    });
}
