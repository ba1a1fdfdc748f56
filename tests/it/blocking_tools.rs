//! Tools that block: on threads of their own, a bounded number of them. The real clock, but nothing
//! that depends on how fast it runs.

use std::sync::mpsc::{Receiver, Sender, channel};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use callsheet::testing::{Scripted, ScriptedModel, reply};
use callsheet::{
    Answer, CallContext, Effects, Limits, Runtime, Session, SessionOptions, ToolSet, ToolType,
};

use crate::support::outcomes;

#[derive(serde::Deserialize, schemars::JsonSchema)]
struct Job {
    /// Waits for the test's word.
    #[serde(default)]
    wait: bool,
    #[serde(default)]
    panic: bool,
}

/// A tool that blocks its thread until it is let go.
struct Gated {
    tool: ToolType,
    go: Sender<()>,
    done: Receiver<String>,
}

fn gated() -> Gated {
    let (go, gate) = channel();
    let (tell, done) = channel();
    let gate = Arc::new(Mutex::new(gate));
    let run = move |job: Job, context: CallContext| -> Result<String, String> {
        if job.wait {
            gate.lock().expect("nobody panics with it").recv().expect("the test lets it go");
        }
        assert!(!job.panic, "boom");
        let name = std::thread::current().name().unwrap_or_default().to_owned();
        tell.send(format!("over: {}", context.is_over())).expect("the test listens");
        Ok(name)
    };
    let tool = ToolType::blocking("job", "for a test", run).time_limit(Duration::from_millis(400));
    Gated { tool, go, done }
}

fn waiting() -> Scripted {
    reply().call("job", r#"{"wait": true}"#)
}

fn plain() -> Scripted {
    reply().call("job", "{}")
}

fn session(runtime: &Runtime, script: Vec<Scripted>, tool: ToolType) -> Session {
    let tools = Arc::new(ToolSet::new([tool]).expect("the tool is well formed"));
    let options = SessionOptions::new(ScriptedModel::new(script), tools);
    runtime.session(options.limits(Limits::default()))
}

fn ask(session: &Session) -> Answer {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
    let runtime = runtime.expect("the system gives a runtime");
    runtime.block_on(session.ask("go")).expect("the turn ends well")
}

fn runtime(threads: usize) -> Runtime {
    Runtime::builder()
        .arbiters(1)
        .blocking_threads(threads)
        .start()
        .expect("the system gives threads")
}

#[test]
fn a_blocking_call_runs_on_a_thread_of_its_own_and_its_panic_is_caught() {
    let Gated { tool, done, .. } = gated();
    let runtime = runtime(2);
    let script = vec![plain().call("job", r#"{"panic": true}"#), reply().text("done")];
    let tool = tool.time_limit(Duration::from_secs(60));
    let answer = ask(&session(&runtime, script, tool));
    let round = &answer.report.rounds[0];
    assert_eq!(outcomes(round), ["ok", "panicked"]);
    assert_eq!(round.calls[0].result.as_deref(), Some("callsheet-tool"));
    assert_eq!(done.recv().unwrap(), "over: false");
}

#[test]
fn a_call_that_overruns_is_answered_and_its_thread_is_counted_until_it_ends() {
    let Gated { tool, go, done } = gated();
    let runtime = runtime(1);
    let script = vec![waiting(), plain(), reply().text("done"), plain(), reply().text("done")];
    let session = session(&runtime, script, tool.clone());
    let answer = ask(&session);
    let rounds = &answer.report.rounds;
    assert_eq!(outcomes(&rounds[0]), ["timed_out"]);
    assert_eq!(outcomes(&rounds[1]), ["overloaded"], "its only thread is held");
    let told = rounds[1].calls[0].result.as_ref().unwrap();
    assert!(told.contains("all 1 threads for blocking tools are held"), "{told}");
    assert_eq!(tool.health().abandoned_threads, 1);
    go.send(()).unwrap();
    assert_eq!(done.recv().unwrap(), "over: true");
    let patience = Instant::now();
    while tool.health().abandoned_threads > 0 {
        assert!(patience.elapsed() < Duration::from_secs(10));
        std::thread::yield_now();
    }
    assert_eq!(outcomes(&ask(&session).report.rounds[0]), ["ok"]);
}

#[test]
fn a_call_is_not_tried_again_before_its_thread_has_ended() {
    let Gated { tool, go, .. } = gated();
    let runtime = runtime(8);
    let tool = tool
        .effects(Effects::None)
        .retries(3)
        .attempt_time_limit(Duration::from_millis(20))
        .time_limit(Duration::from_millis(400));
    let answer = ask(&session(&runtime, vec![waiting(), reply().text("done")], tool.clone()));
    let call = &answer.report.rounds[0].calls[0];
    assert_eq!(call.attempts, 1, "{call:?}");
    assert_eq!(tool.health().abandoned_threads, 1);
    drop(go);
}

#[test]
fn a_thread_that_overran_keeps_the_permits_of_its_call() {
    let Gated { tool, go, .. } = gated();
    let runtime = runtime(8);
    let script = vec![waiting(), plain(), reply().text("done")];
    let answer = ask(&session(&runtime, script, tool.max_concurrency(1)));
    assert_eq!(outcomes(&answer.report.rounds[1]), ["timed_out"]);
    assert_eq!(answer.report.rounds[1].calls[0].attempts, 0);
    drop(go);
}

#[test]
fn a_runtime_ends_though_a_thread_does_not() {
    let Gated { tool, go, .. } = gated();
    let runtime = runtime(2);
    ask(&session(&runtime, vec![waiting(), reply().text("done")], tool));
    let began = Instant::now();
    drop(runtime);
    assert!(began.elapsed() < Duration::from_secs(5), "{:?}", began.elapsed());
    drop(go);
}

/// A tool that takes no time.
fn quick() -> ToolType {
    crate::support::dynamic("quick", serde_json::json!({"type": "object"}), |_, _| async {
        Ok("done".to_owned())
    })
}

fn session_of(runtime: &Runtime, script: Vec<Scripted>, tools: Vec<ToolType>) -> Session {
    let tools = Arc::new(ToolSet::new(tools).expect("the tools are well formed"));
    runtime.session(SessionOptions::new(ScriptedModel::new(script), tools).max_concurrency(1))
}

#[test]
fn a_thread_that_overran_keeps_nothing_that_other_tools_need() {
    let Gated { tool, go, .. } = gated();
    let runtime = Runtime::builder().arbiters(1).blocking_threads(1).max_concurrency(1);
    let runtime = runtime.start().expect("the system gives threads");
    let script = vec![waiting(), reply().call("quick", "{}"), reply().text("done")];
    let answer = ask(&session_of(&runtime, script, vec![tool, quick()]));
    assert_eq!(outcomes(&answer.report.rounds[0]), ["timed_out"]);
    assert_eq!(outcomes(&answer.report.rounds[1]), ["ok"]);
    drop(go);
}

#[test]
fn a_call_that_waits_for_a_thread_holds_nothing_that_other_tools_need() {
    let Gated { tool, go, .. } = gated();
    let runtime = Runtime::builder().arbiters(1).blocking_threads(1).max_concurrency(2);
    let runtime = runtime.start().expect("the system gives threads");
    let round = waiting().call("job", r#"{"wait": true}"#).call("quick", "{}");
    let tools = Arc::new(ToolSet::new([tool, quick()]).expect("the tools are well formed"));
    let model = ScriptedModel::new([round, reply().text("done")]);
    let answer = ask(&runtime.session(SessionOptions::new(model, tools)));
    assert_eq!(outcomes(&answer.report.rounds[0]), ["timed_out", "timed_out", "ok"]);
    drop(go);
}

#[test]
fn a_tool_that_says_more_than_can_be_told_holds_up_nobody() {
    #[derive(serde::Deserialize, schemars::JsonSchema)]
    struct Talk {}
    let talk = |_: Talk, context: CallContext| -> Result<String, String> {
        while !context.is_over() {
            context.report_progress("still talking");
        }
        Ok("done".to_owned())
    };
    let talk = ToolType::blocking("talk", "for a test", talk);
    let runtime = runtime(2);
    let script = vec![reply().call("talk", "{}").call("talk", "{}"), reply().text("done")];
    let session = session(&runtime, script, talk);
    let _events = session.events();
    let executor = tokio::runtime::Builder::new_current_thread().enable_all().build();
    executor.expect("the system gives a runtime").block_on(async {
        let asked = tokio::spawn({
            let session = session.clone();
            async move { session.ask("go").await }
        });
        let patience = Instant::now();
        loop {
            let status = tokio::time::timeout(Duration::from_secs(2), session.status()).await;
            let status = status.expect("it answers").expect("the session lives");
            assert!(patience.elapsed() < Duration::from_secs(20));
            if status.calls_in_flight == 2 && patience.elapsed() > Duration::from_millis(100) {
                break;
            }
        }
        assert!(session.cancel().await);
        assert!(asked.await.expect("no panic").is_err());
    });
}
