//! A few sessions that many threads open, ask, hear and drop while they sleep and wake: no question is
//! lost, none is answered twice, and nothing hangs. The clock is the machine's.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use callsheet::conversation::Record;
use callsheet::store::{Journal, MemoryStore};
use callsheet::{Error, Event, Question, Runtime, Session, SessionId, SessionOptions};
use tokio::time::timeout;

use crate::support::dice::Dice;
use crate::support::echo::Echo;
use crate::support::journal::faults;

/// What a test waits for at most before it fails.
const PATIENCE: Duration = Duration::from_secs(30);

/// A session sleeps after so long.
const QUIET: Duration = Duration::from_millis(4);

const THREADS: u64 = 8;

const SESSIONS: u64 = 3;

fn runtime(store: &Arc<MemoryStore>) -> Runtime {
    let builder = Runtime::builder().arbiters(2).journal(Arc::clone(store) as Arc<dyn Journal>);
    builder.sleep_after(Some(QUIET)).start().expect("threads")
}

fn open(runtime: &Runtime, number: u64) -> Session {
    let options = SessionOptions::new(Arc::new(Echo), Arc::default());
    runtime.session(options.id(SessionId::new(format!("s{number}"))))
}

fn executor() -> tokio::runtime::Runtime {
    tokio::runtime::Builder::new_current_thread().enable_time().build().expect("a thread")
}

/// Has `threads` do `act`, each with its own dice.
fn on_threads(seed: u64, act: impl Fn(u64, Dice) + Sync) {
    std::thread::scope(|scope| {
        for thread in 0..THREADS {
            let act = &act;
            scope.spawn(move || act(thread, Dice::new(seed * 1_000 + thread)));
        }
    });
}

/// Says what is wrong with what was heard of the turn that `prompt` began.
fn check_heard(heard: &[Arc<Record>], prompt: &str) {
    let durable: Vec<u64> =
        heard.iter().filter(|record| record.event.is_durable()).map(|r| r.seq).collect();
    assert!(durable.is_sorted_by(|one, next| one + 1 == *next), "{prompt}: {durable:?}");
    let is_begin = |record: &&Arc<Record>| match &record.event {
        Event::TurnStarted { prompt: asked, .. } => **asked == *prompt,
        _ => false,
    };
    assert_eq!(heard.iter().filter(is_begin).count(), 1, "{prompt}: {heard:#?}");
}

/// Everything that has been heard by now.
fn heard_so_far(events: &mut callsheet::EventStream) -> Vec<Arc<Record>> {
    use futures_util::{FutureExt, StreamExt};
    let mut heard = Vec::new();
    while let Some(Some(record)) = StreamExt::next(events).now_or_never() {
        heard.push(record);
    }
    heard
}

#[test]
fn no_question_of_many_threads_is_lost_between_waking_and_sleep() {
    let variable = |name| std::env::var(name).ok().and_then(|value| value.parse::<u64>().ok());
    let questions = variable("CALLSHEET_THREADS_QUESTIONS").unwrap_or(120);
    let store = Arc::new(MemoryStore::keeping());
    let runtime = runtime(&store);
    on_threads(1, |thread, mut dice| {
        let mut held: Option<(u64, Session)> = None;
        for n in 0..questions {
            if dice.between(0, 3) == 0 {
                std::thread::sleep(Duration::from_micros(dice.between(0, 12_000)));
            }
            let (number, session) = held.take().unwrap_or_else(|| {
                let number = dice.between(0, SESSIONS - 1);
                (number, open(&runtime, number))
            });
            let prompt = format!("{thread}/{n}");
            let mut events = (dice.between(0, 3) == 0).then(|| session.events());
            let question = Question::new(prompt.as_str()).wait_in_line();
            executor().block_on(async {
                if dice.between(0, 3) == 0 {
                    let status = timeout(PATIENCE, session.status()).await;
                    status.expect("it answers").expect("it is there");
                }
                let answer = timeout(PATIENCE, session.ask(question)).await;
                assert_eq!(&*answer.expect("no hang").expect("an answer").text, &*prompt);
            });
            if let Some(events) = &mut events {
                check_heard(&heard_so_far(events), &prompt);
            }
            if dice.between(0, 1) == 0 {
                held = Some((number, session));
            }
        }
    });
    executor().block_on(async {
        for _ in 0..1_000 {
            if runtime.sessions() == 0 {
                break;
            }
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
        assert_eq!(runtime.sessions(), 0, "they are forgotten");
        let mut turns = 0;
        for number in 0..SESSIONS {
            let id = SessionId::new(format!("s{number}"));
            let records = store.read(&id, 0).await.expect("memory does not fail");
            assert_eq!(faults(&records), Vec::<String>::new());
            let is_end = |r: &&Record| matches!(r.event, Event::TurnEnded { .. });
            turns += records.iter().filter(is_end).count() as u64;
        }
        assert_eq!(turns, THREADS * questions);
    });
}

/// Whatever the moment: who asks has an end.
#[test]
fn nobody_hangs_where_a_runtime_is_shut_down_and_dropped_while_sessions_sleep_and_wake() {
    let variable = |name| std::env::var(name).ok().and_then(|value| value.parse::<u64>().ok());
    for seed in 0..variable("CALLSHEET_THREADS_RUNS").unwrap_or(12) {
        let store = Arc::new(MemoryStore::keeping());
        let (first, over) = (runtime(&store), AtomicBool::new(false));
        let ends = std::sync::Mutex::new(Some(first.clone()));
        on_threads(seed, |thread, mut dice| {
            if thread == 0 {
                std::thread::sleep(Duration::from_millis(dice.between(0, 30)));
                let runtime = ends.lock().expect("no panic").take().expect("once");
                if seed % 3 > 0 {
                    executor().block_on(runtime.shutdown(Duration::from_millis(seed % 7)));
                }
                drop(runtime);
                over.store(true, Ordering::Relaxed);
                return;
            }
            let mut held: Option<Session> = None;
            let mut left = 3;
            while left > 0 {
                left -= i32::from(over.load(Ordering::Relaxed));
                let runtime = ends.lock().expect("no panic").clone();
                let new = || Some(open(runtime.as_ref()?, dice.between(0, SESSIONS - 1)));
                let Some(session) = held.take().or_else(new) else { return };
                drop(runtime);
                executor().block_on(async {
                    let asked = session.ask(Question::new("hi").wait_in_line());
                    match timeout(PATIENCE, asked).await.expect("no hang") {
                        Ok(_) | Err(Error::Closed | Error::ShuttingDown | Error::Turn(_)) => {}
                        Err(other) => panic!("{other:?}"),
                    }
                    drop(timeout(PATIENCE, session.status()).await.expect("no hang"));
                    timeout(PATIENCE, session.cancel()).await.expect("no hang");
                });
                held = Some(session);
            }
        });
        drop(first);
    }
}
