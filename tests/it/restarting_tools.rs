//! Workers that are made anew because somebody wants it.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU32, Ordering};

use callsheet::supervision::RestartLimits;
use callsheet::testing::{self, Scripted, ScriptedModel, reply};
use callsheet::tools::ToolFuture;
use callsheet::{CallContext, Effects, Event, EventStream, Runtime, Session, SessionOptions};
use callsheet::{ToolSet, ToolType};
use serde_json::json;
use tokio::time::{sleep, timeout};

use crate::support::{limits, outcomes, seconds};

/// A tool that takes ten seconds, and says how often one of its workers was made.
struct Counted {
    tool: ToolType,
    crashes: Arc<AtomicBool>,
}

fn counted() -> Counted {
    let (made, crashes) = (Arc::new(AtomicU32::new(0)), Arc::new(AtomicBool::new(false)));
    let crash = Arc::clone(&crashes);
    let tool = ToolType::new("count", "for a test", json!({"type": "object"}), move || {
        let (worker, crash) = (made.fetch_add(1, Ordering::Relaxed) + 1, Arc::clone(&crash));
        move |_: &str, _: CallContext| -> ToolFuture {
            let crashes = crash.load(Ordering::Relaxed);
            Box::pin(async move {
                assert!(!crashes, "licence expired");
                sleep(seconds(10)).await;
                Ok(format!("worker {worker}"))
            })
        }
    });
    Counted { tool: tool.effects(Effects::None), crashes }
}

fn begin(
    runtime: &Runtime,
    tool: &ToolType,
    script: impl IntoIterator<Item = Scripted>,
) -> Session {
    let tools = Arc::new(ToolSet::new([tool.clone()]).expect("the tool is well formed"));
    let supervision = RestartLimits { max_restarts: 1, ..RestartLimits::default() };
    let options = SessionOptions::new(ScriptedModel::new(script), tools);
    runtime.session(options.limits(limits()).supervision(supervision))
}

fn call(n: u32) -> Scripted {
    reply().call("count", &format!(r#"{{"n": {n}}}"#))
}

/// What the events say of workers and circuits.
async fn news(events: &mut EventStream) -> Vec<String> {
    let mut news = Vec::new();
    while let Ok(Some(record)) = timeout(seconds(1), events.next()).await {
        news.extend(match &record.event {
            Event::WorkerRestarted { generation, cause, .. } => {
                Some(format!("generation {generation}: {cause}"))
            }
            Event::CircuitOpened { everywhere, .. } => Some(format!("opened {everywhere}")),
            Event::CircuitClosed { .. } => Some("closed".to_owned()),
            _ => None,
        });
    }
    news
}

#[test]
fn a_call_that_runs_goes_on_and_the_next_one_has_a_new_worker() {
    testing::run(async {
        let (runtime, count) = (testing::runtime(), counted());
        let script = [call(1), call(2), reply().text("done")];
        let session = begin(&runtime, &count.tool, script);
        let mut events = session.events();
        let restart = async {
            sleep(seconds(5)).await;
            runtime.restart_tool("count").await
        };
        let (answer, restarted) = tokio::join!(session.ask("go"), restart);
        assert_eq!(restarted, 1);
        let answer = answer.expect("the turn ends well");
        let calls: Vec<_> = answer.report.rounds.iter().map(|round| &round.calls[0]).collect();
        let told = |call: usize| {
            (calls[call].result.as_deref(), calls[call].worker_generation, calls[call].ran)
        };
        assert_eq!(told(0), (Some("worker 1"), 0, seconds(10)));
        assert_eq!(told(1), (Some("worker 2"), 1, seconds(10)));
        assert_eq!(answer.report.rounds[0].restarts, 1);
        assert_eq!(news(&mut events).await, ["generation 1: restarted by hand"]);
        let health = count.tool.health();
        assert_eq!((health.restarts, health.last_failure), (1, None));
    });
}

#[test]
fn what_was_held_against_a_tool_is_forgotten_and_its_circuit_closes() {
    testing::run(async {
        let (runtime, count) = (testing::runtime(), counted());
        let script = [call(1), call(2), call(3), reply().text("done")];
        let more = [call(1), reply().text("done")];
        let session = begin(&runtime, &count.tool, script.into_iter().chain(more));
        count.crashes.store(true, Ordering::Relaxed);
        let answer = session.ask("go").await.expect("the turn ends well");
        let ends: Vec<_> = answer.report.rounds.iter().map(|round| outcomes(round)[0]).collect();
        assert_eq!(ends, ["panicked", "panicked", "unavailable"]);
        count.crashes.store(false, Ordering::Relaxed);
        let mut events = session.events();
        assert_eq!(runtime.restart_tool("count").await, 1);
        let answer = session.ask("again").await.expect("the turn ends well");
        assert_eq!(outcomes(&answer.report.rounds[0]), ["ok"]);
        let news = news(&mut events).await;
        assert_eq!(news, ["generation 3: restarted by hand", "closed"]);
    });
}

#[test]
fn a_worker_that_rests_after_a_failure_comes_back_at_once() {
    testing::run(async {
        let (runtime, count) = (testing::runtime(), counted());
        let backoff = callsheet::supervision::Backoff { min: seconds(500), max: seconds(500) };
        let script = [call(1), call(2), reply().text("done")];
        let tools = Arc::new(ToolSet::new([count.tool.clone()]).unwrap());
        let options = SessionOptions::new(ScriptedModel::new(script), tools).limits(limits());
        let supervision = RestartLimits { backoff, ..RestartLimits::default() };
        let session = runtime.session(options.supervision(supervision));
        count.crashes.store(true, Ordering::Relaxed);
        let restart = async {
            sleep(seconds(20)).await;
            count.crashes.store(false, Ordering::Relaxed);
            runtime.restart_tool("count").await
        };
        let (answer, restarted) = tokio::join!(session.ask("go"), restart);
        let answer = answer.expect("the turn ends well");
        let call = &answer.report.rounds[1].calls[0];
        assert_eq!((restarted, outcomes(&answer.report.rounds[1])), (1, vec!["ok"]));
        assert_eq!((call.backoff, call.ran), (seconds(20), seconds(10)));
    });
}

#[test]
fn workers_of_all_sessions_are_counted_and_a_circuit_for_all_of_them_closes() {
    testing::run(async {
        let (runtime, count) = (testing::runtime(), counted());
        let script = || [call(1), call(2), reply().text("done"), call(3), reply().text("done")];
        let sessions: Vec<_> = (0..3).map(|_| begin(&runtime, &count.tool, script())).collect();
        let idle = begin(&runtime, &count.tool, [reply().text("done")]);
        idle.ask("go").await.expect("the turn ends well");
        count.crashes.store(true, Ordering::Relaxed);
        for session in &sessions {
            session.ask("go").await.expect("the turn ends well");
        }
        assert_eq!(count.tool.health().circuit, "open");
        count.crashes.store(false, Ordering::Relaxed);
        assert_eq!(runtime.restart_tool("other").await, 0);
        assert_eq!(count.tool.health().circuit, "open");
        assert_eq!(runtime.restart_tool("count").await, 3, "one of four has no worker");
        assert_eq!(count.tool.health().circuit, "closed");
        for session in &sessions {
            let answer = session.ask("again").await.expect("the turn ends well");
            assert_eq!(outcomes(&answer.report.rounds[0]), ["ok"]);
        }
    });
}
