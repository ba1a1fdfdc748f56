//! What subscribers hear and what the journal keeps.

use std::sync::Arc;

use actix::{Actor, Context, Handler};
use callsheet::conversation::{Record, SessionState};
use callsheet::session::SessionEvent;
use callsheet::store::{Access, Journal, MemoryStore};
use callsheet::supervision::{RoundReported, Rounds};
use callsheet::testing::{self, ScriptedModel, reply};
use callsheet::{CallContext, Event, SessionId, SessionOptions, ToolSet, ToolType};

use serde_json::json;

use crate::support::{bomb, dynamic, seconds, sleeper, stage};

fn name(record: &Record) -> String {
    let json = serde_json::to_value(record).expect("an event is JSON");
    json["type"].as_str().expect("an event has a type").to_owned()
}

#[test]
fn every_step_is_heard_in_order() {
    testing::run(async {
        let calls = reply().text("let me see").call("sleep", r#"{"s": 1}"#).call("bomb", "{}");
        let stage = stage([calls, reply().text("done")], [sleeper(), bomb()]);
        let mut events = stage.session.events();
        stage.ask().await;
        let mut names = Vec::new();
        while names.last().is_none_or(|last| last != "turn_ended") {
            names.push(name(&events.next().await.expect("the session lives")));
        }
        assert_eq!(
            names,
            [
                "session_opened",
                "turn_started",
                "model_asked",
                "text_streamed",
                "replied",
                "call_started",
                "call_started",
                "call_ended",
                "worker_restarted",
                "call_ended",
                "model_asked",
                "text_streamed",
                "replied",
                "turn_ended",
            ]
        );
    });
}

#[test]
fn workers_that_fail_together_are_heard_of_at_once() {
    testing::run(async {
        let other = dynamic("other", json!({"type": "object"}), |_, _| async { panic!("too") });
        let calls = reply().call("bomb", "{}").call("other", "{}").call("sleep", r#"{"s": 9}"#);
        let stage = stage([calls, reply().text("done")], [bomb(), other, sleeper()]);
        let mut events = stage.session.events();
        stage.ask().await;
        let (mut failed_at, mut heard_at) = (Vec::new(), Vec::new());
        while heard_at.len() < 2 {
            let record = events.next().await.expect("the session lives");
            match &record.event {
                Event::CallEnded { outcome, .. } if !outcome.is_ok() => {
                    failed_at.push(record.at_us);
                }
                Event::WorkerRestarted { .. } => heard_at.push(record.at_us),
                _ => {}
            }
        }
        assert_eq!(heard_at, failed_at);
    });
}

#[test]
fn a_record_reads_back_as_it_was_written() {
    testing::run(async {
        let calls = reply().call("sleep", r#"{"s": 1}"#).call("bomb", "{}").call("nobody", "[");
        let stage = stage([calls, reply().text("done")], [sleeper(), bomb()]);
        let mut events = stage.session.events();
        stage.ask().await;
        loop {
            let record = events.next().await.expect("the session lives");
            let line = serde_json::to_string(&*record).expect("an event is JSON");
            assert_eq!(serde_json::from_str::<Record>(&line).expect(&line), *record, "{line}");
            if matches!(record.event, Event::TurnEnded { .. }) {
                break;
            }
        }
    });
}

async fn conversation(journal: &Arc<MemoryStore>, id: &SessionId) -> Arc<ScriptedModel> {
    let calls =
        reply().call("sleep", r#"{"s": 2}"#).call("bomb", "{}").call("sleep", r#"{"s": 1}"#);
    let model = ScriptedModel::new([calls, reply().text("done"), reply().text("more")]);
    let tools = Arc::new(ToolSet::new([sleeper(), bomb()]).expect("well formed"));
    let runtime =
        testing::builder().journal(journal.clone()).in_current_system().expect("in a System");
    let options = SessionOptions::new(model.clone(), tools).id(id.clone()).system("be brief");
    let session = runtime.session(options);
    session.ask("go").await.expect("the turn ends well");
    session.ask("go on").await.expect("the turn ends well");
    model
}

#[test]
fn the_journal_rebuilds_the_conversation_and_its_reports() {
    testing::run(async {
        let (journal, id) = (Arc::new(MemoryStore::keeping()), SessionId::new("s"));
        let model = conversation(&journal, &id).await;
        let records = journal.read(&id, 0).await.expect("memory does not fail");
        assert!(records.iter().all(|record| record.event.is_durable()));
        let seqs: Vec<_> = records.iter().map(|record| record.seq).collect();
        assert_eq!(seqs, (1..=records.len() as u64).collect::<Vec<_>>());

        let (mut state, mut rounds) = (SessionState::new(16), Rounds::default());
        for record in &records {
            let _ = state.on(&record.event);
            rounds.on(record.at_us, &record.event);
        }
        assert_eq!(rounds.done().len(), 1);
        assert_eq!(rounds.done()[0].wall, seconds(2));
        let last = model.requests().pop().expect("three requests");
        let rebuilt = callsheet::wire::chat::decode_messages(state.transcript().as_bytes())
            .expect("messages");
        let texts = |messages: &[callsheet::wire::chat::Message]| {
            messages.iter().map(|message| message.text.clone()).collect::<Vec<_>>()
        };
        assert_eq!(texts(&rebuilt)[..last.len()], texts(&last));
        assert_eq!(rebuilt.len(), last.len() + 1);
    });
}

/// Whatever prefix of its journal a session goes on from, its next history is whole.
#[test]
fn a_session_goes_on_from_every_prefix_of_its_journal() {
    testing::run(async {
        let (journal, id) = (Arc::new(MemoryStore::keeping()), SessionId::new("s"));
        conversation(&journal, &id).await;
        let records = journal.read(&id, 0).await.expect("memory does not fail");
        for length in 0..=records.len() {
            let journal = Arc::new(MemoryStore::keeping());
            let epoch = journal.open(&id, Access::TakeOver).await.expect("memory does not fail");
            let prefix = Arc::new(records[..length].to_vec());
            journal.append(&id, 0, epoch, prefix).await.expect("memory does not fail");
            let model = ScriptedModel::new([reply().text("here again")]);
            let tools = Arc::new(ToolSet::new([sleeper(), bomb()]).expect("well formed"));
            let runtime = testing::builder()
                .journal(journal.clone())
                .in_current_system()
                .expect("in a System");
            let options = SessionOptions::new(model.clone(), tools).id(id.clone()).take_over();
            let answer = runtime.session(options).ask("still there?").await;
            assert_eq!(&*answer.expect("the turn ends well").text, "here again");
            assert_eq!(model.violations(), Vec::<String>::new(), "after {length} events");
        }
    });
}

/// A session on a journal that holds these events and was closed.
async fn opened_on(lines: &[&str]) -> (Arc<MemoryStore>, callsheet::Session) {
    let (journal, id) = (Arc::new(MemoryStore::keeping()), SessionId::new("s"));
    let epoch = journal.open(&id, Access::IfFree).await.expect("it is free");
    let read = |line: &&str| serde_json::from_str(line).expect("a record");
    let records = Arc::new(lines.iter().map(read).collect());
    journal.append(&id, 0, epoch, records).await.expect("memory does not fail");
    journal.close(&id, epoch);
    let runtime = testing::builder().journal(journal.clone()).in_current_system();
    let model = ScriptedModel::new([reply().text("here")]);
    let options = SessionOptions::new(model, Arc::new(ToolSet::default())).id(id);
    (journal, runtime.expect("in a System").session(options))
}

const OPENED: &str =
    r#"{"v":1,"seq":1,"at_us":1,"session":"s","type":"session_opened","system":null}"#;

#[test]
fn a_session_with_events_of_kinds_that_are_not_known_goes_on_and_keeps_them() {
    testing::run(async {
        let rose = r#"{"v":1,"seq":2,"at_us":2,"session":"s","type":"moon_rose","of":[1]}"#;
        let (journal, session) = opened_on(&[OPENED, rose]).await;
        assert_eq!(&*session.ask("hi").await.expect("an answer").text, "here");
        let records = journal.read(&SessionId::new("s"), 0).await.expect("memory does not fail");
        let kept = serde_json::to_value(&records[1]).expect("JSON");
        assert_eq!(kept, serde_json::from_str::<serde_json::Value>(rose).expect("JSON"));
    });
}

/// Going on would build on what was misread.
#[test]
fn a_session_that_a_later_version_has_written_to_is_left_as_it_is() {
    testing::run(async {
        let later = r#"{"v":2,"seq":2,"at_us":2,"session":"s","type":"turn_started","turn":"1"}"#;
        let (journal, session) = opened_on(&[OPENED, later]).await;
        for _ in 0..2 {
            let error = session.ask("hi").await.expect_err("it is not understood").to_string();
            assert_eq!(
                error,
                "session `s` is of version 2, and this program knows 1: use a later one"
            );
        }
        let records = journal.read(&SessionId::new("s"), 0).await.expect("memory does not fail");
        assert_eq!(records.len(), 2);
    });
}

#[test]
fn an_owner_who_was_fenced_off_begins_nothing() {
    testing::run(async {
        let journal = Arc::new(MemoryStore::keeping());
        let open = || {
            let runtime = testing::builder().journal(journal.clone()).in_current_system();
            let runtime = runtime.expect("in a System");
            let model = ScriptedModel::new([reply().text("one"), reply().text("two")]);
            let options = SessionOptions::new(model, Arc::new(ToolSet::default()));
            runtime.session(options.id(SessionId::new("s")).take_over())
        };
        let first = open();
        assert!(first.ask("hi").await.is_ok());
        let second = open();
        assert!(second.ask("hi").await.is_ok());
        let error = first.ask("hi").await.expect_err("fenced");
        assert_eq!(error.to_string(), "session `s` was taken over by a later owner");
    });
}

/// An actor of somebody else's.
struct Listener(tokio::sync::mpsc::UnboundedSender<String>);

impl Actor for Listener {
    type Context = Context<Self>;
}

impl Handler<SessionEvent> for Listener {
    type Result = ();

    fn handle(&mut self, SessionEvent(record): SessionEvent, _: &mut Context<Self>) {
        drop(self.0.send(name(&record)));
    }
}

impl Handler<RoundReported> for Listener {
    type Result = ();

    fn handle(&mut self, news: RoundReported, _: &mut Context<Self>) {
        drop(self.0.send(format!("round {} took {:?}", news.report.round, news.report.wall)));
    }
}

#[test]
fn actors_hear_events_and_rounds() {
    testing::run(async {
        let stage = stage([reply().call("sleep", r#"{"s": 4}"#), reply()], [sleeper()]);
        let (sender, mut heard) = tokio::sync::mpsc::unbounded_channel();
        let listener = Listener(sender).start();
        stage.session.subscribe(listener.clone().recipient());
        stage.session.on_round(listener.clone().recipient());
        stage.ask().await;
        let mut lines = Vec::new();
        while lines.len() < 10 {
            lines.push(heard.recv().await.expect("the session lives"));
        }
        assert!(lines.contains(&"round 1 took 4s".to_owned()), "{lines:?}");
        assert!(lines.contains(&"call_ended".to_owned()), "{lines:?}");
        drop(listener); // Until here: hearing does not keep it alive.
    });
}

struct Tenant(&'static str);

#[test]
fn a_call_knows_its_key_its_caller_and_tells_its_progress() {
    testing::run(async {
        #[derive(serde::Deserialize, schemars::JsonSchema)]
        struct Nothing {}
        let tool =
            ToolType::typed("who", "for a test", |_: Nothing, context: CallContext| async move {
                context.report_progress("looking");
                let tenant = context.get::<Tenant>().map_or("nobody", |tenant| tenant.0);
                Ok::<_, String>(format!("{} asks as {tenant}", context.key()))
            });
        let ask = || reply().call("who", "{}");
        let model = ScriptedModel::new([ask(), reply(), ask(), reply()]);
        let tools = Arc::new(ToolSet::new([tool]).expect("well formed"));
        let options = SessionOptions::new(model.clone(), tools).id(SessionId::new("s"));
        let session = testing::runtime().session(options.context(Tenant("acme")));
        let mut events = session.events();
        session.ask("who am I?").await.expect("the turn ends well");
        let question = callsheet::Question::new("and now?").context(Tenant("globex"));
        session.ask(question).await.expect("the turn ends well");
        let history = model.requests().pop().expect("four requests");
        let told: Vec<_> = history
            .iter()
            .filter(|message| message.tool_call_id.is_some())
            .map(|m| &*m.text)
            .collect();
        assert_eq!(told, ["s/1/1/0 asks as acme", "s/2/1/0 asks as globex"]);
        let mut progress = 0;
        drop(session);
        while let Some(record) = events.next().await {
            progress += u32::from(name(&record) == "call_progressed");
        }
        assert_eq!(progress, 2);
    });
}
