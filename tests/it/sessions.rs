//! Sessions and the places they live in.

use std::sync::Arc;

use callsheet::testing::{ScriptedModel, reply};
use callsheet::{Error, Runtime, SessionOptions, ToolSet};

use crate::support::{seconds, sleeper};

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
    callsheet::testing::run(async {
        let session = callsheet::testing::runtime().session(options("never"));
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
    callsheet::testing::run(async {
        let session = callsheet::testing::runtime().session(options("bye"));
        let mut events = session.events();
        session.ask("hi").await.expect("an answer");
        drop(session);
        while events.next().await.is_some() {}
    });
}
