//! How a runtime ends in good order: turns under way may end, the rest is cut, on record.

use std::sync::Arc;
use std::time::Duration;

use callsheet::conversation::TurnEnd;
use callsheet::session::{Cause, CutTurn, FailedTurn, ShutdownReport};
use callsheet::store::{Journal, MemoryStore};
use callsheet::testing::{self, Scripted, ScriptedModel, reply};
use callsheet::{
    Answer, Error, Event, OutcomeKind, Record, Runtime, Session, SessionId, SessionOptions, ToolSet,
};
use tokio::time::{Instant, sleep};

use crate::support::journal::{Asked, Does, Rigged};
use crate::support::{hanger, is_cancelled, limits, outcomes, seconds, sleeper};

/// A session under the id `id`.
fn open(runtime: &Runtime, id: &str, script: impl IntoIterator<Item = Scripted>) -> Session {
    let tools = Arc::new(ToolSet::new([sleeper(), hanger()]).expect("well formed"));
    let options = SessionOptions::new(ScriptedModel::new(script), tools);
    runtime.session(options.id(SessionId::new(id)).limits(limits()))
}

fn naps(s: u64) -> Scripted {
    reply().call("sleep", &format!(r#"{{"s": {s}}}"#))
}

fn hangs() -> Scripted {
    naps(0).call("hang", "{}").call_with_id("mine", "hang", "{}")
}

fn runtime_with(journal: Arc<dyn Journal>) -> Runtime {
    let builder = Runtime::builder().journal(journal).watchdog(None);
    builder.in_current_system().expect("in a System")
}

fn ask(session: &Session) -> tokio::task::JoinHandle<Result<Answer, Error>> {
    let session = session.clone();
    tokio::spawn(async move { session.ask("go").await })
}

fn failed(asked: Result<Answer, Error>) -> FailedTurn {
    match asked {
        Err(Error::Turn(failed)) => *failed,
        other => panic!("the turn was to be cut: {other:?}"),
    }
}

fn cut(session: &str, recorded: bool) -> CutTurn {
    let calls = [("call_1", "hang"), ("mine", "hang")];
    let calls = calls.map(|(id, tool)| (id.into(), tool.into())).to_vec();
    CutTurn { session: SessionId::new(session), turn: 1, calls, recorded }
}

#[test]
fn a_turn_under_way_may_end_by_itself() {
    testing::run(async {
        let runtime = testing::runtime();
        let session = open(&runtime, "a", [naps(3), reply().text("rested")]);
        let _idle = open(&runtime, "b", []);
        let asked = ask(&session);
        sleep(seconds(1)).await;
        let began = Instant::now();
        let report = runtime.shutdown(seconds(10)).await;
        assert_eq!(report, ShutdownReport { finished: 1, ..Default::default() });
        assert_eq!(began.elapsed(), seconds(2)); // No longer than it takes.
        assert_eq!(&*asked.await.expect("no panic").expect("an answer").text, "rested");
    });
}

#[test]
fn a_turn_that_takes_longer_is_cut_on_record() {
    testing::run(async {
        let journal = Arc::new(MemoryStore::keeping());
        let runtime = runtime_with(journal.clone());
        let session = open(&runtime, "a", [hangs()]);
        let other = open(&runtime, "b", [naps(1), reply().text("rested")]);
        let (asked, answered) = (ask(&session), ask(&other));
        sleep(Duration::from_millis(500)).await;
        let began = Instant::now();
        let report = runtime.shutdown(seconds(1)).await;
        assert_eq!(began.elapsed(), seconds(1));
        assert_eq!(
            report,
            ShutdownReport { finished: 1, cut: vec![cut("a", true)], stuck: vec![] }
        );

        let failed = failed(asked.await.expect("no panic"));
        assert_eq!(failed.cause.code(), "shut_down");
        assert_eq!(outcomes(&failed.report.rounds[0]), ["ok", "cancelled", "cancelled"]);
        answered.await.expect("no panic").expect("an answer");

        let records = journal.read(&SessionId::new("a"), 0).await.expect("memory does not fail");
        let (last, before) = records.split_last().expect("a turn");
        let Event::TurnEnded { turn: 1, end: TurnEnd::Failed { problem }, .. } = &last.event else {
            panic!("{last:?}")
        };
        assert_eq!(problem.code, "shut_down");
        let ends = before.iter().filter_map(|record| match &record.event {
            Event::CallEnded { outcome, .. } => Some(outcome.kind),
            _ => None,
        });
        let cancelled = OutcomeKind::Cancelled;
        assert_eq!(ends.collect::<Vec<_>>(), [OutcomeKind::Ok, cancelled, cancelled]);
    });
}

#[test]
fn a_turn_that_waits_for_its_model_is_cut_without_calls() {
    testing::run(async {
        let runtime = testing::runtime();
        let session = open(&runtime, "a", [testing::silence()]);
        let asked = ask(&session);
        sleep(seconds(1)).await;
        let report = runtime.shutdown(Duration::ZERO).await;
        assert_eq!(report.cut, [CutTurn { calls: vec![], ..cut("a", true) }]);
        assert_eq!(failed(asked.await.expect("no panic")).cause.code(), "shut_down");
    });
}

#[test]
fn a_question_during_the_shutdown_is_refused() {
    testing::run(async {
        let journal = Arc::new(MemoryStore::keeping());
        let runtime = runtime_with(journal.clone());
        let busy = open(&runtime, "busy", [naps(5), reply()]);
        let idle = open(&runtime, "idle", [reply().text("never")]);
        let asked = ask(&busy);
        sleep(seconds(1)).await;
        let (report, ()) = tokio::join!(runtime.shutdown(seconds(60)), async {
            for session in [&idle, &busy, &open(&runtime, "new", [reply().text("never")])] {
                let refused = session.ask("me too").await;
                assert!(matches!(refused, Err(Error::ShuttingDown)), "{refused:?}");
            }
        });
        assert_eq!((report.finished, report.cut), (1, vec![]));
        asked.await.expect("no panic").expect("an answer");
        // Also afterwards, and without a trace.
        assert!(matches!(idle.ask("and now?").await, Err(Error::ShuttingDown)));
        let records = journal.read(&SessionId::new("idle"), 0).await.expect("memory does not fail");
        assert_eq!(records, []);
    });
}

#[test]
fn a_turn_whose_session_nobody_holds_any_more_is_waited_for() {
    testing::run(async {
        let journal = Arc::new(MemoryStore::keeping());
        let runtime = runtime_with(journal.clone());
        let session = open(&runtime, "a", [naps(3), reply().text("rested")]);
        let asked = tokio::spawn(async move { session.ask("go").await });
        sleep(seconds(1)).await;
        asked.abort();
        assert!(asked.await.expect_err("it was given up").is_cancelled());
        let report = runtime.shutdown(seconds(10)).await;
        assert_eq!(report, ShutdownReport { finished: 1, ..Default::default() });
        let records = journal.read(&SessionId::new("a"), 0).await.expect("memory does not fail");
        let last = &records.last().expect("a turn").event;
        assert!(matches!(last, Event::TurnEnded { end: TurnEnd::Answered, .. }), "{last:?}");
    });
}

#[test]
fn a_second_shutdown_is_harmless_and_the_shorter_drain_counts() {
    testing::run(async {
        let runtime = testing::runtime();
        let session = open(&runtime, "a", [hangs()]);
        let asked = ask(&session);
        sleep(seconds(1)).await;
        let began = Instant::now();
        let (patient, hasty) = tokio::join!(runtime.shutdown(seconds(60)), async {
            sleep(seconds(5)).await;
            runtime.shutdown(Duration::ZERO).await
        });
        assert_eq!(began.elapsed(), seconds(5));
        for report in [patient, hasty] {
            assert_eq!(report.cut, [cut("a", true)]);
        }
        assert_eq!(failed(asked.await.expect("no panic")).cause.code(), "shut_down");
        assert_eq!(runtime.shutdown(seconds(60)).await, ShutdownReport::default());
        assert_eq!(began.elapsed(), seconds(5));
    });
}

/// A journal that never answers where `is_silent` says so.
fn silent(is_silent: fn(Asked<'_>) -> bool) -> Arc<Rigged> {
    let judge = move |asked: Asked<'_>| if is_silent(asked) { Does::Hangs } else { Does::AsAsked };
    Arc::new(Rigged::new(Arc::default(), judge))
}

#[test]
fn a_store_that_does_not_answer_is_waited_for_less_than_a_second() {
    testing::run(async {
        let runtime = runtime_with(silent(|asked| {
            let is_end = |record: &Record| matches!(record.event, Event::TurnEnded { .. });
            matches!(asked, Asked::Append(records) if records.iter().any(is_end))
        }));
        let session = open(&runtime, "a", [hangs()]);
        let _asked = ask(&session);
        sleep(seconds(1)).await;
        let began = Instant::now();
        let report = runtime.shutdown(seconds(1)).await;
        assert_eq!(report.cut, [cut("a", false)]);
        assert_eq!(report.stuck, []);
        assert!(began.elapsed() < seconds(2), "{:?}", began.elapsed());
    });
}

/// A runtime whose store takes so long to keep a reply, and its session.
fn slow_replies(s: u64) -> (Runtime, Session, Arc<MemoryStore>) {
    let inner = Arc::new(MemoryStore::keeping());
    let journal = Rigged::new(Arc::clone(&inner), move |asked| match asked {
        Asked::Append(records)
            if records.iter().any(|it| matches!(it.event, Event::Replied { .. })) =>
        {
            Does::AsAskedAfter(seconds(s))
        }
        _ => Does::AsAsked,
    });
    let runtime = runtime_with(Arc::new(journal));
    let session = open(&runtime, "a", [naps(1), reply().text("rested")]);
    (runtime, session, inner)
}

/// How its last turn ended on record.
async fn ended(store: &MemoryStore) -> Option<TurnEnd> {
    let records = store.read(&SessionId::new("a"), 0).await.expect("memory does not fail");
    match records.into_iter().last().expect("a turn").event {
        Event::TurnEnded { end, .. } => Some(end),
        _ => None,
    }
}

#[test]
fn a_turn_that_was_cancelled_is_not_left_open_where_the_runtime_suspends_just_then() {
    testing::run(async {
        // Before it suspends, and afterwards.
        for cancelled_after in [1, 3] {
            let (runtime, session, store) = slow_replies(5);
            let asked = ask(&session);
            let (report, ()) = tokio::join!(
                async {
                    sleep(seconds(2)).await;
                    runtime.suspend(seconds(30)).await
                },
                async {
                    sleep(seconds(cancelled_after)).await;
                    assert!(session.cancel().await);
                }
            );
            assert!(is_cancelled(&failed(asked.await.expect("it runs")).cause));
            assert_eq!((report.finished, report.cut), (1, vec![]));
            assert_eq!(ended(&store).await, Some(TurnEnd::Cancelled));
        }
    });
}

#[test]
fn a_turn_that_is_already_cut_cannot_be_cancelled() {
    testing::run(async {
        let (runtime, session, store) = slow_replies(10);
        let asked = ask(&session);
        sleep(seconds(1)).await;
        let (report, ()) = tokio::join!(runtime.suspend(seconds(2)), async {
            sleep(Duration::from_millis(2500)).await;
            assert!(!session.cancel().await, "it is left open");
        });
        assert_eq!(report.cut.len(), 1);
        assert!(matches!(failed(asked.await.expect("it runs")).cause, Cause::ShutDown));
        assert_eq!(ended(&store).await, None);
    });
}

#[test]
fn a_question_that_waits_for_its_session_to_open_is_refused() {
    testing::run(async {
        let runtime = runtime_with(silent(|asked| matches!(asked, Asked::Open(_))));
        let session = open(&runtime, "a", [reply().text("never")]);
        let asked = ask(&session);
        sleep(seconds(1)).await;
        let began = Instant::now();
        assert_eq!(runtime.shutdown(seconds(60)).await, ShutdownReport::default());
        assert_eq!(began.elapsed(), seconds(0));
        let refused = asked.await.expect("no panic");
        assert!(matches!(refused, Err(Error::ShuttingDown)), "{refused:?}");
    });
}

#[test]
fn a_runtime_of_its_own_is_shut_down_from_any_executor() {
    let runtime = Runtime::builder().arbiters(2).start().expect("threads");
    let sessions: Vec<_> = ["a", "b", "c"].map(|id| open(&runtime, id, [hangs()])).into();
    // Without timers: the runtime brings its own.
    let tokio =
        tokio::runtime::Builder::new_multi_thread().worker_threads(1).build().expect("a thread");
    tokio.block_on(async {
        let asked: Vec<_> = sessions.iter().map(ask).collect();
        for session in &sessions {
            while session.status().await.expect("it lives").calls_in_flight < 2 {
                tokio::task::yield_now().await;
            }
        }
        let shutdown = tokio::spawn(async move { runtime.shutdown(Duration::ZERO).await });
        let mut report = shutdown.await.expect("no panic");
        report.cut.sort_by_key(|turn| turn.session.to_string());
        assert_eq!((report.finished, report.stuck), (0, vec![]));
        assert_eq!(report.cut, ["a", "b", "c"].map(|id| cut(id, true)));
        for asked in asked {
            assert!(asked.await.expect("no panic").is_err());
        }
    });
}
