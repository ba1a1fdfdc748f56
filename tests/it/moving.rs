//! Sessions that leave an arbiter whose thread something blocks, and what goes on around that: nothing
//! that was sent is lost, and the coordinator that stayed behind does nothing more. The clock is the
//! machine's.

use std::sync::Arc;
use std::sync::Mutex;
use std::sync::mpsc;
use std::time::{Duration, Instant};

use callsheet::conversation::{Batch, TurnEnd};
use callsheet::session::{Cause, RuntimeBuilder};
use callsheet::store::{Access, Error as StoreError, Journal, MemoryStore};
use callsheet::testing::{ScriptedModel, reply};
use callsheet::{
    Effects, Error, Event, Record, Runtime, Session, SessionId, SessionOptions, ToolSet, ToolType,
};
use serde_json::json;
use tokio::time::{sleep, timeout};

use crate::support::journal::{Asked, Does, Rigged};
use crate::support::{dynamic, sleeper};

/// What a test waits for at most before it fails.
const PATIENCE: Duration = Duration::from_secs(10);

/// An arbiter that does not answer for so long is stuck.
const LIMIT: Duration = Duration::from_millis(300);

/// Two arbiters; sessions begin on them in turn.
fn builder(journal: Arc<dyn Journal>) -> RuntimeBuilder {
    Runtime::builder().arbiters(2).watchdog(Some(LIMIT)).journal(journal)
}

/// Something that blocks an arbiter until `free` is dropped.
struct Blocker {
    begun: mpsc::Receiver<()>,
    free: mpsc::Sender<()>,
    /// Its session.
    _session: Session,
}

/// A tool that blocks its thread until it is let go, and how to see and to do that.
fn spin() -> (ToolType, mpsc::Receiver<()>, mpsc::Sender<()>) {
    let ((free, freed), (begins, begun)) = (mpsc::channel::<()>(), mpsc::channel());
    let freed = Arc::new(Mutex::new(freed));
    let tool = dynamic("spin", json!({"type": "object"}), move |_, _| {
        let (freed, begins) = (Arc::clone(&freed), begins.clone());
        async move {
            let _ = begins.send(());
            let _ = freed.lock().expect("one call at a time").recv_timeout(PATIENCE);
            Ok("spun".to_owned())
        }
    });
    (tool.effects(Effects::None), begun, free)
}

/// Blocks the next arbiter in turn.
fn block(runtime: &Runtime) -> Blocker {
    let (tool, begun, free) = spin();
    let model = ScriptedModel::new([reply().call("spin", "{}"), reply().text("done")]);
    let tools = Arc::new(ToolSet::new([tool]).expect("well formed"));
    let session = runtime.session(SessionOptions::new(model, tools));
    let asked = session.clone();
    tokio::spawn(async move { drop(asked.ask("go").await) });
    Blocker { begun, free, _session: session }
}

impl Blocker {
    /// Waits until it blocks.
    async fn holds(&self) {
        until(|| self.begun.try_recv().is_ok()).await;
    }
}

async fn until(mut is_so: impl FnMut() -> bool) {
    let began = Instant::now();
    while !is_so() {
        assert!(began.elapsed() < PATIENCE, "it does not come");
        sleep(Duration::from_millis(2)).await;
    }
}

fn options<const N: usize>(id: &str, says: [&str; N]) -> SessionOptions {
    let model = ScriptedModel::new(says.map(|text| reply().text(text)));
    SessionOptions::new(model, Arc::default()).id(SessionId::new(id))
}

/// Has a session begin on the next arbiter in turn.
async fn pass_one_over(runtime: &Runtime) {
    let session = runtime.session(SessionOptions::new(ScriptedModel::new([]), Arc::default()));
    timeout(PATIENCE, session.status()).await.expect("it is not stuck").expect("it is there");
}

async fn ask(session: &Session, prompt: &str) -> String {
    let answer = timeout(PATIENCE, session.ask(prompt)).await.expect("it does not hang");
    answer.expect("an answer").text.to_string()
}

fn executor() -> tokio::runtime::Runtime {
    tokio::runtime::Builder::new_current_thread().enable_time().build().expect("a thread")
}

async fn records(journal: &dyn Journal, id: &str) -> Vec<Record> {
    journal.read(&SessionId::new(id), 0).await.expect("memory does not fail")
}

/// What was to begin there finds that it has begun elsewhere when the arbiter comes back.
#[test]
fn a_session_that_was_to_begin_on_a_stuck_arbiter_begins_elsewhere_and_only_there() {
    let store = Arc::new(MemoryStore::keeping());
    executor().block_on(async {
        let before = Runtime::builder().arbiters(1).journal(store.clone()).start().unwrap();
        assert_eq!(ask(&before.session(options("s", ["zero"])), "first").await, "zero");
        let known = records(&*store, "s").await.len() as u64;
        drop(before);
        let runtime = builder(store.clone()).start().expect("threads");
        let blocker = block(&runtime);
        blocker.holds().await;
        pass_one_over(&runtime).await;
        let session = runtime.session(options("s", ["one", "two", "three"]).take_over());
        let mut events = session.events();
        assert_eq!(ask(&session, "second").await, "one");
        assert!(!runtime.stuck_arbiters().is_empty(), "the thread is still held");
        drop(blocker.free);
        until(|| runtime.stuck_arbiters().is_empty()).await;
        for _ in 0..2 {
            pass_one_over(&runtime).await; // Behind whatever was to begin there.
        }
        assert_eq!(ask(&session, "third").await, "two");
        drop((session, runtime));
        let mut heard = Vec::new();
        while let Some(record) = events.next().await {
            if record.event.is_durable() {
                heard.push(record.seq);
            }
        }
        let all = records(&*store, "s").await.len() as u64;
        assert_eq!(heard, (known + 1..=all).collect::<Vec<_>>());
    });
}

#[test]
fn a_session_that_somebody_else_has_is_not_taken_from_them_by_a_move() {
    let store = Arc::new(MemoryStore::keeping());
    executor().block_on(async {
        for is_found_first in [true, false] {
            let id = SessionId::new(format!("s{is_found_first}"));
            let epoch = store.open(&id, Access::IfFree).await.expect("it is free");
            let runtime = builder(store.clone()).start().expect("threads");
            let session = runtime.session(options(id.as_str(), []));
            let refused = |asked| matches!(asked, Err(Error::Store(StoreError::Busy { .. })));
            if is_found_first {
                assert!(refused(timeout(PATIENCE, session.ask("go")).await.expect("an end")));
                pass_one_over(&runtime).await;
            }
            let blocker = block(&runtime);
            blocker.holds().await;
            if !is_found_first {
                pass_one_over(&runtime).await;
            }
            assert!(refused(timeout(PATIENCE, session.ask("go")).await.expect("an end")));
            assert!(!runtime.stuck_arbiters().is_empty());
            let kept = store.append(&id, 0, epoch, Batch::default()).await;
            assert_eq!(kept, Ok(()), "it is still theirs");
        }
    });
}

#[test]
fn whatever_is_sent_to_a_session_on_a_stuck_arbiter_goes_where_the_session_goes() {
    executor().block_on(async {
        let runtime = builder(Arc::new(MemoryStore::keeping())).start().expect("threads");
        let (idle, asked) = (options("s", ["one"]), options("t", ["one", "two"]));
        let (idle, asked) = (runtime.session(idle), runtime.session(asked));
        for session in [&idle, &asked] {
            ask(session, "first").await;
            pass_one_over(&runtime).await;
        }
        let blocker = block(&runtime);
        blocker.holds().await;
        let mut events = asked.events();
        let (status, call, turn, answer) = tokio::join!(
            timeout(PATIENCE, idle.status()),
            timeout(PATIENCE, idle.cancel_call("x")),
            timeout(PATIENCE, idle.cancel()),
            ask(&asked, "second"),
        );
        assert_eq!(status.expect("it does not hang").expect("it is there").turns, 1);
        assert_eq!((call, turn, &*answer), (Ok(false), Ok(false), "two"));
        assert!(!runtime.stuck_arbiters().is_empty(), "the thread is still held");
        let first = timeout(PATIENCE, events.next()).await.expect("it is heard").expect("an event");
        assert!(matches!(first.event, Event::TurnStarted { turn: 2, .. }), "{first:?}");
    });
}

#[test]
fn a_turn_on_a_stuck_arbiter_can_be_cancelled() {
    executor().block_on(async {
        let runtime = builder(Arc::new(MemoryStore::new())).start().expect("threads");
        let calls = reply().call("sleep", r#"{"s": 9}"#);
        let tools = Arc::new(ToolSet::new([sleeper()]).expect("well formed"));
        let model = ScriptedModel::new([calls, reply().text("done")]);
        let session = runtime.session(SessionOptions::new(model, tools));
        let asking = session.clone();
        let asked = tokio::spawn(async move { asking.ask("go").await });
        while session.status().await.expect("it is there").calls_in_flight == 0 {
            sleep(Duration::from_millis(2)).await;
        }
        pass_one_over(&runtime).await;
        let blocker = block(&runtime);
        blocker.holds().await;
        assert_eq!(timeout(PATIENCE, session.cancel()).await, Ok(true));
        let Ok(Err(Error::Turn(failed))) = asked.await else { panic!("it was cancelled") };
        assert!(matches!(failed.cause, Cause::Cancelled), "{failed:?}");
        assert!(!runtime.stuck_arbiters().is_empty(), "the thread is still held");
    });
}

/// Nothing waits for it, and the arbiter never sees the message.
#[test]
fn a_question_on_a_stuck_arbiter_can_be_taken_back() {
    executor().block_on(async {
        let store = Arc::new(MemoryStore::keeping());
        let runtime = builder(store.clone()).start().expect("threads");
        let calls = reply().call("sleep", r#"{"s": 9}"#);
        let tools = Arc::new(ToolSet::new([sleeper()]).expect("well formed"));
        let model = ScriptedModel::new([calls, reply().text("done")]);
        let options = SessionOptions::new(model, tools).id(SessionId::new("s"));
        let session = runtime.session(options);
        let asked = session.begin("go").expect("it has text");
        while session.status().await.expect("it is there").calls_in_flight == 0 {
            sleep(Duration::from_millis(2)).await;
        }
        pass_one_over(&runtime).await;
        let blocker = block(&runtime);
        blocker.holds().await;
        session.withdraw(asked);
        let ended = async {
            loop {
                let records = records(&*store, "s").await;
                match records.last().map(|last| last.event.clone()) {
                    Some(Event::TurnEnded { end, .. }) => break end,
                    _ => sleep(Duration::from_millis(2)).await,
                }
            }
        };
        let end = timeout(PATIENCE, ended).await.expect("it ends soon");
        assert_eq!(end, TurnEnd::Cancelled);
        assert!(!runtime.stuck_arbiters().is_empty(), "the thread is still held");
    });
}

#[test]
fn sessions_wait_on_a_stuck_arbiter_until_there_is_another_place() {
    executor().block_on(async {
        let runtime = builder(Arc::new(MemoryStore::keeping())).start().expect("threads");
        let session = runtime.session(options("s", ["one", "two"]));
        ask(&session, "first").await;
        let other = block(&runtime);
        other.holds().await;
        until(|| runtime.stuck_arbiters().len() == 1).await;
        let its_own = block(&runtime);
        its_own.holds().await;
        until(|| runtime.stuck_arbiters().len() == 2).await;
        drop(other.free);
        assert_eq!(ask(&session, "second").await, "two");
        assert!(!runtime.stuck_arbiters().is_empty(), "its own thread is still held");
        drop(its_own.free);
    });
}

/// The arbiter comes back before the session is open elsewhere.
#[test]
fn the_coordinator_that_stayed_behind_does_not_close_what_another_goes_on_with() {
    executor().block_on(async {
        let slow = Rigged::new(Arc::default(), |asked| match asked {
            Asked::Open(Access::TakeOver | Access::Renew { .. }) => Does::AsAskedAfter(LIMIT),
            _ => Does::AsAsked,
        });
        let runtime = builder(Arc::new(slow)).start().expect("threads");
        let (tool, begun, free) = spin();
        let model = ScriptedModel::new([reply().call("spin", "{}"), reply().text("done")]);
        let tools = Arc::new(ToolSet::new([tool]).expect("well formed"));
        let session = runtime.session(SessionOptions::new(model.clone(), tools));
        let asking = session.clone();
        let asked = tokio::spawn(async move { ask(&asking, "go").await });
        until(|| begun.try_recv().is_ok()).await;
        until(|| !runtime.stuck_arbiters().is_empty()).await;
        drop(free);
        assert_eq!(asked.await.expect("no panic"), "done");
        let turns = loop {
            let status = session.status().await.expect("it is there");
            if !status.opening {
                break status.turns; // A machine that is busy may have had it moved once more.
            }
            sleep(Duration::from_millis(5)).await;
        };
        assert_eq!(turns, 1);
        assert_eq!(model.violations(), Vec::<String>::new());
    });
}
