//! Sessions that are made with a history, and turns that add no question to it; sessions that leave no
//! trace.

use std::sync::Arc;

use callsheet::conversation::{GivenHistory, SessionState};
use callsheet::model::Dialect;
use callsheet::store::{Journal, Listing, MemoryStore, Store};
use callsheet::testing::{self, Scripted, ScriptedModel, reply};
use callsheet::{Error, Event, Question, Session, SessionOptions, ToolSet};

use crate::support::{limits, seconds, sleeper};

const PICTURE: &str =
    r#"{"role":"user","content":[{"type":"image_url","image_url":{"url" : "data:,"}}]}"#;
const CALL: &str = r#"{"role":"assistant","content":null,"x":1,"tool_calls":[{"id":"theirs","type":"function","function":{"name":"find","arguments":"{}"}}]}"#;
const RESULT: &str = r#"{"role":"tool","tool_call_id":"theirs","content":"found"}"#;
const ASKED: &str = r#"{"role":"user","content":"and now?"}"#;
const SYSTEM: &str = r#"{"role":"developer","content":"be brief"}"#;

fn given(messages: &[&str]) -> GivenHistory {
    GivenHistory::new(messages.iter().copied()).expect("it is whole")
}

fn options(model: &Arc<ScriptedModel>) -> SessionOptions {
    let tools = Arc::new(ToolSet::new([sleeper()]).expect("a tool"));
    SessionOptions::new(model.clone(), tools).limits(limits())
}

fn script() -> [Scripted; 2] {
    [reply().call("sleep", r#"{"s": 1}"#), reply().text("done")]
}

async fn goes_on(session: &Session) -> String {
    session.ask(Question::go_on()).await.expect("the turn ends well").text.to_string()
}

#[test]
fn a_turn_goes_on_with_a_given_history_and_adds_no_question() {
    testing::run(async {
        let model = ScriptedModel::new(script());
        let options = options(&model).history(given(&[PICTURE, CALL, RESULT, ASKED]));
        let session = testing::runtime().session(options);
        assert_eq!(goes_on(&session).await, "done");
        let history = model.last_history();
        let call = CALL.replace(r#""content":null,"x":1,"#, "");
        let expected = [PICTURE, &call, RESULT, ASKED].join(",");
        assert!(history.starts_with(&format!("{expected},{{\"role\":\"assistant\"")), "{history}");
        assert_eq!(model.requests()[1].len(), 6);
        assert_eq!(model.violations(), Vec::<String>::new());
    });
}

#[test]
fn a_given_history_is_on_record_so_that_the_session_can_be_rebuilt() {
    testing::run(async {
        let model = ScriptedModel::new([reply().text("hm"), reply().text("done")]);
        let store = Arc::new(MemoryStore::keeping());
        let runtime = testing::builder().journal(store.clone()).in_current_system().unwrap();
        let options = options(&model).history(given(&[SYSTEM, ASKED])).system("not this");
        let session = runtime.session(options.id(callsheet::SessionId::new("s")));
        goes_on(&session).await;
        session.ask("what?").await.unwrap();
        let records = store.read(session.id(), 0).await.unwrap();
        let mut state = SessionState::new(10);
        for record in &records {
            let _ = state.on(&record.event);
        }
        let history = String::from_utf8(state.transcript().as_bytes().to_vec()).unwrap();
        let sent = model.last_history();
        assert!(history.starts_with(&sent) && sent.starts_with(&format!("{SYSTEM},{ASKED},")));
        assert!(!sent.contains("not this"), "{sent}");
        let flags: Vec<bool> = records
            .iter()
            .filter_map(|record| match &record.event {
                Event::TurnStarted { goes_on, .. } => Some(*goes_on),
                _ => None,
            })
            .collect();
        assert_eq!(flags, [true, false]);
    });
}

#[test]
fn a_history_without_a_system_prompt_stands_behind_that_of_the_options() {
    testing::run(async {
        let model = ScriptedModel::new([reply().text("done")]);
        let options = options(&model).system("be kind").history(given(&[ASKED]));
        goes_on(&testing::runtime().session(options)).await;
        let expected = format!(r#"{{"role":"system","content":"be kind"}},{ASKED}"#);
        assert_eq!(model.last_history(), expected);
    });
}

#[test]
fn where_nothing_was_said_there_is_nothing_to_go_on_with() {
    testing::run(async {
        let model = ScriptedModel::new([reply().text("done")]);
        for options in [options(&model), options(&model).system("x").history(given(&[]))] {
            let session = testing::runtime().session(options);
            let refused = session.ask(Question::go_on()).await;
            assert!(matches!(refused, Err(Error::EmptyPrompt)), "{refused:?}");
            assert!(session.ask("go").await.is_ok() || model.requests().len() > 1);
        }
    });
}

#[test]
fn what_another_program_kept_is_made_to_fit_the_model() {
    testing::run(async {
        let mistral = Dialect::named("mistral").expect("it is known");
        let model = ScriptedModel::named("m", mistral, [reply().text("done")]);
        let options = options(&model).history(given(&[ASKED, CALL, RESULT]));
        goes_on(&testing::runtime().session(options)).await;
        let sent = &model.requests()[0];
        let id = &*sent[1].calls[0].id;
        assert!(id.len() == 9 && id.bytes().all(|byte| byte.is_ascii_alphanumeric()), "{id}");
        assert_eq!(sent[2].tool_call_id.as_deref(), Some(id));
    });
}

#[test]
fn an_ephemeral_session_leaves_nothing_in_the_store() {
    testing::run(async {
        let model = ScriptedModel::new(script().into_iter().chain([reply().text("again")]));
        let store = Arc::new(MemoryStore::keeping());
        let builder = testing::builder().journal(store.clone()).sleep_after(Some(seconds(5)));
        let runtime = builder.in_current_system().unwrap();
        let session = runtime.session(options(&model).ephemeral().history(given(&[ASKED])));
        goes_on(&session).await;
        tokio::time::sleep(seconds(60)).await;
        session.ask("and?").await.unwrap();
        assert_eq!(model.requests()[2].len(), 5, "it has not forgotten anything while it lives");
        let all = Listing { limit: 10, ..Listing::default() };
        assert_eq!(store.list(&all).await.unwrap().sessions.len(), 0);
        let id = session.id().clone();
        drop(session);
        tokio::time::sleep(seconds(1)).await;
        assert_eq!(runtime.sessions(), 0);
        assert!(store.read(&id, 0).await.unwrap().is_empty());
    });
}
