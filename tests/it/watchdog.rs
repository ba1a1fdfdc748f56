//! Arbiters whose thread a tool blocks: found, named, and passed over. The clock is the machine's.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc;
use std::time::{Duration, Instant};

use callsheet::session::StuckArbiter;
use callsheet::testing::{ScriptedModel, reply};
use callsheet::{
    Effects, Error, Event, OutcomeKind, Runtime, Session, SessionId, SessionOptions, ToolSet,
    ToolType,
};
use serde_json::json;

use crate::support::{dynamic, seconds};

/// What a test waits for at most before it fails.
const PATIENCE: Duration = Duration::from_secs(10);

/// A tool that blocks its thread until `free` is dropped, or says something.
fn spin() -> (ToolType, mpsc::Sender<()>) {
    let (free, freed) = mpsc::channel::<()>();
    let freed = Arc::new(std::sync::Mutex::new(freed));
    let tool = dynamic("spin", json!({"type": "object"}), move |_, _| {
        let freed = Arc::clone(&freed);
        async move {
            let freed = freed.lock().expect("one call at a time");
            let _ = freed.recv_timeout(PATIENCE);
            Ok("spun".to_owned())
        }
    });
    (tool, free)
}

/// A session whose first question has it call `tool`.
fn session_with(runtime: &Runtime, tool: ToolType) -> Session {
    let calls = reply().call(tool.name(), "{}");
    let model = ScriptedModel::new([calls, reply().text("done")]);
    let tools = Arc::new(ToolSet::new([tool]).expect("well formed"));
    runtime.session(SessionOptions::new(model, tools))
}

fn idle_session(runtime: &Runtime) -> Session {
    let model = ScriptedModel::new([reply().text("here")]);
    runtime.session(SessionOptions::new(model, Arc::new(ToolSet::default())))
}

/// Looks every few milliseconds until `found` says yes of the stuck arbiters.
async fn until(runtime: &Runtime, found: impl Fn(&[StuckArbiter]) -> bool) -> Vec<StuckArbiter> {
    let began = Instant::now();
    loop {
        let stuck = runtime.stuck_arbiters();
        if found(&stuck) {
            return stuck;
        }
        assert!(began.elapsed() < PATIENCE, "{stuck:?}");
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
}

fn executor() -> tokio::runtime::Runtime {
    tokio::runtime::Builder::new_current_thread().enable_time().build().expect("a thread")
}

#[test]
fn a_tool_that_blocks_its_thread_is_named_and_new_sessions_are_placed_elsewhere() {
    let limit = Duration::from_millis(200);
    let runtime = Runtime::builder().arbiters(2).watchdog(Some(limit)).start().expect("threads");
    let (tool, free) = spin();
    let blocked = session_with(&runtime, tool); // On arbiter 0, the first in turn.
    executor().block_on(async {
        let began = Instant::now();
        let asked = tokio::spawn(async move { blocked.ask("go").await.map(|answer| answer.text) });
        let stuck = until(&runtime, |stuck| !stuck.is_empty()).await;
        assert!(began.elapsed() < limit + seconds(1), "{:?}", began.elapsed());
        let [StuckArbiter { arbiter: 0, tool, silent_for }] = &stuck[..] else {
            panic!("{stuck:?}")
        };
        assert_eq!(tool.as_deref(), Some("spin"));
        assert!(*silent_for >= limit, "{silent_for:?}");

        // Whichever arbiter is next in turn.
        for _ in 0..4 {
            let answer = tokio::time::timeout(PATIENCE, idle_session(&runtime).ask("hi")).await;
            assert_eq!(&*answer.expect("it is not stuck").expect("an answer").text, "here");
        }
        assert!(!runtime.stuck_arbiters().is_empty());

        drop(free);
        assert_eq!(&*asked.await.expect("no panic").expect("an answer"), "done");
        until(&runtime, |stuck| stuck.is_empty()).await;
        for _ in 0..2 {
            idle_session(&runtime).ask("hi").await.expect("both arbiters are sound");
        }
    });
}

/// Its calls that had ended are used, the one that blocks is given up, and the others run again.
#[test]
fn a_session_on_a_stuck_arbiter_goes_on_elsewhere_and_its_asker_has_the_answer() {
    let limit = Duration::from_millis(200);
    let runtime = Runtime::builder().arbiters(2).watchdog(Some(limit)).start().expect("threads");
    let (spin, free) = spin();
    let ran = Arc::new(std::sync::Mutex::new(Vec::new()));
    let told = Arc::clone(&ran);
    let put = dynamic("put", json!({"type": "object"}), move |_, context| {
        told.lock().expect("no panic").push(context.key().to_string());
        async { Ok("put".to_owned()) }
    });
    let put = put.effects(Effects::Idempotent);
    let calls = reply().call("put", "{}").call("spin", "{}");
    let model = ScriptedModel::new([calls, reply().text("done"), reply().text("again")]);
    let tools = Arc::new(ToolSet::new([spin.effects(Effects::None), put]).expect("well formed"));
    let options = SessionOptions::new(model.clone(), tools).id(SessionId::new("moves"));
    let session = runtime.session(options);
    let mut events = session.events();
    executor().block_on(async {
        let asked = tokio::time::timeout(PATIENCE, session.ask("go")).await;
        let answer = asked.expect("it is moved").expect("an answer");
        assert_eq!(&*answer.text, "done");
        let calls = &answer.report.rounds[0].calls;
        let outcomes: Vec<_> = calls.iter().map(|call| call.outcome).collect();
        assert_eq!(outcomes, [Some(OutcomeKind::Ok), Some(OutcomeKind::UnknownOutcome)]);
        assert_eq!(model.violations(), Vec::<String>::new());
        assert!(!runtime.stuck_arbiters().is_empty(), "the thread is still held");
        let keys = ran.lock().expect("no panic").clone();
        assert!(keys.iter().all(|key| key == "moves/1/1/0"), "{keys:?}");

        drop(free);
        until(&runtime, |stuck| stuck.is_empty()).await;
        let again = tokio::time::timeout(PATIENCE, session.ask("again")).await;
        assert_eq!(&*again.expect("it answers").expect("an answer").text, "again");
        drop((session, runtime));
        let (mut seqs, mut ends) = (Vec::new(), 0);
        while let Some(event) = events.next().await {
            if event.event.is_durable() {
                seqs.push(event.seq);
            }
            ends += u32::from(matches!(event.event, Event::TurnEnded { .. }));
        }
        assert_eq!(ends, 2);
        assert_eq!(seqs, (1..=seqs.len() as u64).collect::<Vec<_>>(), "each once, in order");
    });
}

/// Neither the calls of the session that it moved nor those of others may hold the next thread.
#[test]
fn a_tool_that_blocked_its_thread_is_out_of_service_when_its_session_has_moved() {
    let limit = Duration::from_millis(200);
    let runtime = Runtime::builder().arbiters(2).watchdog(Some(limit)).start().expect("threads");
    let (spin, free) = spin();
    let script = [reply().call("spin", "{}"), reply().call("spin", "{}"), reply().text("done")];
    let model = ScriptedModel::new(script);
    let tools = Arc::new(ToolSet::new([spin.effects(Effects::None)]).expect("well formed"));
    let session = runtime.session(SessionOptions::new(model.clone(), tools));
    executor().block_on(async {
        let asked = tokio::time::timeout(PATIENCE, session.ask("go")).await;
        let answer = asked.expect("it is moved").expect("an answer");
        let rounds = &answer.report.rounds;
        let outcomes: Vec<_> = rounds.iter().map(|round| round.calls[0].outcome).collect();
        assert_eq!(outcomes, [Some(OutcomeKind::UnknownOutcome), Some(OutcomeKind::Unavailable)]);
        assert_eq!(runtime.stuck_arbiters().len(), 1);
        drop(free);
    });
}

#[test]
fn a_tool_that_takes_its_time_without_blocking_is_not_stuck() {
    let limit = Duration::from_millis(400);
    let runtime = Runtime::builder().arbiters(1).watchdog(Some(limit)).start().expect("threads");
    let finished = Arc::new(AtomicBool::new(false));
    let flag = Arc::clone(&finished);
    let tool = dynamic("patient", json!({"type": "object"}), move |_, _| {
        let flag = Arc::clone(&flag);
        async move {
            tokio::time::sleep(Duration::from_millis(900)).await;
            flag.store(true, Ordering::Relaxed);
            Ok(String::new())
        }
    });
    let session = session_with(&runtime, tool);
    executor().block_on(async {
        let asked = tokio::spawn(async move { session.ask("go").await.map(|answer| answer.text) });
        while !finished.load(Ordering::Relaxed) {
            assert_eq!(runtime.stuck_arbiters(), []);
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
        asked.await.expect("no panic").expect("an answer");
    });
}

#[test]
fn without_a_watchdog_nothing_is_said_to_be_stuck() {
    let runtime = Runtime::builder().arbiters(1).watchdog(None).start().expect("threads");
    let (tool, free) = spin();
    let session = session_with(&runtime, tool);
    executor().block_on(async {
        let asked = tokio::spawn(async move { session.ask("go").await.map(|answer| answer.text) });
        tokio::time::sleep(Duration::from_millis(50)).await;
        assert_eq!(runtime.stuck_arbiters(), []);
        drop(free);
        asked.await.expect("no panic").expect("an answer");
    });
}

#[test]
fn a_shutdown_does_not_wait_for_a_blocked_arbiter_and_names_its_tool() {
    for limit in [None, Some(Duration::from_millis(100))] {
        let runtime = Runtime::builder().arbiters(2).watchdog(limit).start().expect("threads");
        let (tool, free) = spin();
        let session = session_with(&runtime, tool);
        executor().block_on(async {
            let blocked = session.clone();
            let asked = tokio::spawn(async move { blocked.ask("go").await.map(|_| ()) });
            tokio::time::sleep(Duration::from_millis(50)).await;
            let began = Instant::now();
            let report = runtime.shutdown(Duration::ZERO).await;
            assert!(began.elapsed() < seconds(5), "{:?}", began.elapsed());
            let [StuckArbiter { arbiter: 0, tool, silent_for }] = &report.stuck[..] else {
                panic!("{report:?}")
            };
            assert_eq!(tool.as_deref(), Some("spin"));
            assert!(*silent_for >= Duration::from_millis(900), "{silent_for:?}");
            assert_eq!((report.finished, report.cut), (0, vec![]));
            // When it comes back, it refuses like the other.
            drop(free);
            drop(asked.await.expect("no panic"));
            let refused = session.ask("again").await;
            assert!(matches!(refused, Err(Error::ShuttingDown)), "{refused:?}");
        });
    }
}
