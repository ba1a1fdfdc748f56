//! Sessions and the places they live in.

use std::cell::Cell;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};

use callsheet::model::{self, Events, Model, Request};
use callsheet::testing::{self, ScriptedModel, reply};
use callsheet::tools::{Tool, ToolFuture};
use callsheet::wire::chat;
use callsheet::{CallContext, Error, RoundReport, Runtime, SessionOptions, ToolSet, ToolType};
use futures_util::future::join_all;
use futures_util::stream;

use crate::support::{dynamic, seconds, sleeper, stage};

fn options(text: &str) -> SessionOptions {
    let model = ScriptedModel::new([reply().call("sleep", r#"{"s": 0}"#), reply().text(text)]);
    SessionOptions::new(model, Arc::new(ToolSet::new([sleeper()]).expect("well formed")))
}

#[test]
fn a_runtime_of_its_own_serves_any_executor() {
    let runtime = Runtime::builder().arbiters(2).start().expect("threads");
    assert_eq!(runtime.arbiters(), 2);
    let session = runtime.session(options("from no runtime at all"));
    let tokio =
        tokio::runtime::Builder::new_multi_thread().worker_threads(2).build().expect("threads");
    let answers = tokio.block_on(async {
        let asked: Vec<_> = (0..20)
            .map(|n| {
                let session = runtime.session(options(&n.to_string()));
                tokio::spawn(async move { session.ask("hi").await.map(|answer| answer.text) })
            })
            .collect();
        let mut answers = Vec::new();
        for asked in asked {
            answers.push(asked.await.expect("no panic").expect("an answer").to_string());
        }
        answers
    });
    assert_eq!(answers, (0..20).map(|n| n.to_string()).collect::<Vec<_>>());
    let answer = tokio.block_on(session.ask("hi")).expect("an answer");
    assert_eq!(&*answer.text, "from no runtime at all");
}

#[test]
fn sessions_end_with_their_runtime() {
    let tokio =
        tokio::runtime::Builder::new_current_thread().enable_time().build().expect("a thread");
    let runtime = Runtime::builder().arbiters(1).start().expect("threads");
    let session = runtime.session(options("never"));
    drop(runtime);
    let asked =
        tokio.block_on(async { tokio::time::timeout(seconds(10), session.ask("hi")).await });
    assert!(matches!(asked, Ok(Err(Error::Closed))), "{asked:?}");
}

#[test]
fn an_empty_question_is_refused() {
    testing::run(async {
        let session = testing::runtime().session(options("never"));
        assert!(matches!(session.ask(" \n").await, Err(Error::EmptyPrompt)));
    });
}

#[test]
fn outside_of_a_system_there_is_no_current_one() {
    let error = Runtime::builder().in_current_system().expect_err("no System");
    assert_eq!(error.to_string(), "no actix System runs on this thread");
}

#[test]
fn a_session_whose_last_handle_is_gone_ends() {
    testing::run(async {
        let session = testing::runtime().session(options("bye"));
        let mut events = session.events();
        session.ask("hi").await.expect("an answer");
        drop(session);
        while events.next().await.is_some() {}
    });
}

/// Answers when everybody else has had a turn, and counts how many have asked before.
struct Counting(Arc<AtomicUsize>);

impl Model for Counting {
    fn name(&self) -> &str {
        "counting"
    }

    fn ask(&self, _: Request<'_>) -> Events {
        let asked = self.0.fetch_add(1, Ordering::Relaxed) + 1;
        let answer = async move {
            tokio::task::yield_now().await;
            let body = format!(r#"{{"choices":[{{"message":{{"content":"{asked}"}}}}]}}"#);
            let reply = chat::decode_reply(body.as_bytes()).expect("a reply");
            Ok(model::Event::Reply(Box::new(reply)))
        };
        Box::pin(stream::once(answer))
    }
}

#[test]
fn a_burst_of_sessions_begins_a_few_at_a_time_and_in_order() {
    testing::run(async {
        let asked = Arc::new(AtomicUsize::new(0));
        let model = Arc::new(Counting(Arc::clone(&asked)));
        let options = SessionOptions::new(model, Arc::default());
        let runtime = testing::runtime();
        let sessions: Vec<_> = (0..200).map(|_| runtime.session(options.clone())).collect();
        let questions = sessions.iter().map(|session| async {
            let answer = session.ask("go").await.expect("an answer");
            (answer.text.to_string(), asked.load(Ordering::Relaxed))
        });
        let answers = join_all(questions).await;
        let begun_at_the_first_answer = answers[0].1;
        assert!((2..100).contains(&begun_at_the_first_answer), "{begun_at_the_first_answer}");
        let order: Vec<_> = answers.into_iter().map(|(text, _)| text).collect();
        assert_eq!(order, (1..=200).map(|n| n.to_string()).collect::<Vec<_>>());
    });
}

/// Says how often this value of it was called, after a rest; panics when it is told to.
struct Remembering(Cell<u32>);

impl Tool for Remembering {
    fn call(&self, arguments: &str, _: CallContext) -> ToolFuture {
        self.0.set(self.0.get() + 1);
        let (calls, panics) = (self.0.get(), arguments.contains("panic"));
        Box::pin(async move {
            tokio::time::sleep(seconds(1)).await;
            assert!(!panics, "as it was told");
            Ok(format!("call {calls}"))
        })
    }
}

#[test]
fn a_worker_that_goes_to_another_session_brings_nothing_along() {
    testing::run(async {
        let runtime = testing::runtime();
        let ask = async |arguments: [&str; 2]| {
            let any = serde_json::json!({"type": "object"});
            let tool = ToolType::new("remember", "", any, || Remembering(Cell::new(0)));
            let script = arguments.map(|arguments| reply().call("remember", arguments));
            let model = ScriptedModel::new(script.into_iter().chain([reply()]));
            let tools = Arc::new(ToolSet::new([tool]).expect("well formed"));
            let session = runtime.session(SessionOptions::new(model, tools));
            let answer = session.ask("go").await.expect("an answer");
            let told = |round: &Arc<RoundReport>| {
                let call = &round.calls[0];
                (call.result.as_deref().unwrap_or_default().to_owned(), call.worker_generation)
            };
            answer.report.rounds.iter().map(told).collect::<Vec<_>>()
        };
        let fresh = [("call 1".to_owned(), 0), ("call 2".to_owned(), 0)];
        assert_eq!(ask(["{}", "{}"]).await, fresh);
        assert_eq!(ask(["{}", "{}"]).await, fresh, "in the worker of the first session");
        let panicked = ask([r#"{"panic": true}"#, "{}"]).await;
        assert!(panicked[0].0.contains("as it was told"), "{panicked:?}");
        assert_eq!(panicked[1], ("call 1".to_owned(), 1));
        assert_eq!(ask(["{}", "{}"]).await, fresh, "in a worker that was rebuilt");
    });
}

#[test]
fn a_session_that_is_dropped_in_the_middle_of_a_call_leaves_its_worker_fit_for_others() {
    testing::run(async {
        let runtime = testing::runtime();
        let tools = Arc::new(ToolSet::new([sleeper()]).expect("well formed"));
        for seconds in [3600, 1] {
            let call = reply().call("sleep", &format!(r#"{{"s": {seconds}}}"#));
            let model = ScriptedModel::new([call, reply().text("done")]);
            let session = runtime.session(SessionOptions::new(model, Arc::clone(&tools)));
            let limit = std::time::Duration::from_secs(2);
            let answer = tokio::time::timeout(limit, session.ask("go")).await;
            assert_eq!(answer.is_ok(), seconds == 1);
            session.cancel().await;
        }
    });
}

#[test]
fn a_runtime_is_gone_at_once_although_a_tool_blocks_its_thread() {
    let (tell_begun, begun) = std::sync::mpsc::channel();
    let (release, blocked) = std::sync::mpsc::channel::<()>();
    let blocked = Arc::new(Mutex::new(blocked));
    let blocks = dynamic("block", serde_json::json!({"type": "object"}), move |_, _| {
        let (begun, blocked) = (tell_begun.clone(), blocked.clone());
        async move {
            begun.send(()).unwrap();
            let _ = blocked.lock().unwrap().recv();
            Ok(String::new())
        }
    });
    let model = ScriptedModel::new([reply().call("block", "{}"), reply().text("late")]);
    let tools = Arc::new(ToolSet::new([blocks]).expect("well formed"));
    let runtime = Runtime::builder().arbiters(1).start().expect("threads");
    let session = runtime.session(SessionOptions::new(model, tools));
    let tokio = tokio::runtime::Builder::new_multi_thread().worker_threads(1).build();
    let asked = tokio.expect("a thread").spawn(async move { session.ask("go").await });
    begun.recv().expect("the call begins");
    let (tell_gone, gone) = std::sync::mpsc::channel();
    let leaving = std::thread::spawn(move || {
        drop(runtime);
        tell_gone.send(()).unwrap();
    });
    assert!(gone.recv_timeout(seconds(10)).is_ok(), "it waits for the tool");
    drop((release, asked));
    leaving.join().unwrap();
}

#[test]
fn a_session_sums_up_what_its_replies_took() {
    testing::run(async {
        let script = [reply().text("a"), reply().call("sleep", r#"{"s": 1}"#), reply().text("b")];
        let stage = stage(script, [sleeper()]);
        stage.ask().await;
        let second = stage.ask().await;
        assert_eq!(second.report.usage.input_tokens, 20, "of the turn");
        let status = stage.session.status().await.expect("it is there");
        assert_eq!((status.usage.input_tokens, status.usage.output_tokens), (30, 15));
        assert_eq!(status.usage.cost, None, "nobody said");
    });
}
