//! Calls with effects that began early, and whose reply was dropped: the model hears of them, once, or
//! it would ask for them again. A scripted reply writes a chunk a second, two for each call; a call
//! with effects begins when the next one opens.

use std::sync::Arc;
use std::time::Duration;

use callsheet::conversation::{Orphan, Record};
use callsheet::model::{Dialect, EmptyContent, Error as ModelError};
use callsheet::store::{Access, Journal, MemoryStore};
use callsheet::supervision::Backoff;
use callsheet::testing::{self, Scripted, ScriptedModel, failure, reply, streamed};
use callsheet::{
    Effects, Event, Limits, ModelRetries, Session, SessionId, SessionOptions, ToolSet, ToolType,
};
use serde_json::{Value, json};
use tokio::time::sleep;

use crate::support::journal::{Asked, Does, rigged};
use crate::support::{dynamic, limits, seconds};

/// A tool that takes `{"s": seconds}`, begins early, and answers `paid N`.
fn tool(name: &str, effects: Effects) -> ToolType {
    let parameters = json!({"type": "object", "properties": {"s": {"type": "integer"}}});
    dynamic(name, parameters, |arguments, _| async move {
        let s = arguments["s"].as_u64().unwrap_or_default();
        sleep(seconds(s)).await;
        Ok(format!("paid {s}"))
    })
    .effects(effects)
    .early(true)
}

fn tools() -> Arc<ToolSet> {
    let all = [("pay", Effects::Once), ("put", Effects::Idempotent), ("read", Effects::None)];
    let all = all.map(|(name, effects)| tool(name, effects));
    Arc::new(ToolSet::new(all).expect("the tools are well formed"))
}

fn options(model: Arc<ScriptedModel>) -> SessionOptions {
    let backoff = Backoff { min: Duration::ZERO, max: Duration::ZERO };
    SessionOptions::new(model, tools())
        .id(SessionId::new("s"))
        .limits(limits())
        .model_retries(ModelRetries { retries: 1, backoff })
}

fn session(model: &Arc<ScriptedModel>) -> Session {
    testing::runtime().session(options(model.clone()))
}

/// A reply that breaks off in its second call, when the first one has begun.
fn dropped(tool: &str, arguments: &str) -> Scripted {
    let reply = reply().call(tool, arguments).call("read", r#"{"s": 0}"#);
    reply.paced(seconds(1)).broken_off_after(3)
}

fn done() -> Scripted {
    reply().text("done")
}

fn lost() -> Scripted {
    failure(ModelError::UnknownModel { url: "u".into(), model: "m".into(), message: "gone".into() })
}

const GO: &str = r#"{"role":"user","content":"go"}"#;
const DONE: &str = r#"{"role":"assistant","content":"done"}"#;
const PERHAPS: &str = "; it had begun and may have taken effect: do not repeat it without checking";

/// A message with one call, and the answer to it.
fn call(id: &str, tool: &str, arguments: &str, content: &str) -> String {
    let (arguments, content) = (json!(arguments), json!(content));
    format!(
        r#"{{"role":"assistant","tool_calls":[{{"id":"{id}","type":"function","function":{{"name":"{tool}","arguments":{arguments}}}}}]}},{{"role":"tool","tool_call_id":"{id}","content":{content}}}"#
    )
}

/// As the call is told that the finished reply does not ask for.
fn given_up(id: &str, arguments: &str) -> String {
    call(id, "pay", arguments, &format!("error: the finished reply does not ask for it{PERHAPS}"))
}

fn check(model: &ScriptedModel, expected: &[&str]) {
    assert_eq!(model.violations(), Vec::<String>::new());
    assert_eq!(model.last_history(), expected.join(","));
}

#[test]
fn what_a_dropped_reply_began_is_told_before_the_reply_that_does_not_ask_for_it() {
    testing::run(async {
        let other = reply().call("pay", r#"{"s": 7}"#);
        let model = ScriptedModel::new([dropped("pay", r#"{"s":  50}"#), other, done()]);
        session(&model).ask("go").await.unwrap();
        // The finished reply has the same id: it keeps it.
        let orphan = given_up("call_0_1", r#"{"s":  50}"#);
        check(&model, &[GO, &orphan, &call("call_0", "pay", r#"{"s": 7}"#, "paid 7")]);
    });
}

#[test]
fn it_is_told_before_an_answer_too_and_with_its_result_if_it_has_one() {
    testing::run(async {
        let quick = || reply().call("put", r#"{"s": 0}"#).call("read", r#"{"s": 0}"#);
        let quick = quick().paced(seconds(1)).broken_off_after(4);
        let model = ScriptedModel::new([quick, done(), done()]);
        let session = session(&model);
        session.ask("go").await.unwrap();
        session.ask("go").await.unwrap();
        let orphan = call("call_0", "put", r#"{"s": 0}"#, "paid 0");
        check(&model, &[GO, &orphan, DONE, GO]);
    });
}

#[test]
fn a_turn_that_fails_before_a_reply_tells_it_at_its_end() {
    testing::run(async {
        let again = dropped("pay", r#"{"s": 50}"#);
        let model = ScriptedModel::new([dropped("pay", r#"{"s": 60}"#), again, done()]);
        let session = session(&model);
        session.ask("go").await.unwrap_err();
        session.ask("go").await.unwrap();
        let content = format!("error: the model did not finish its reply{PERHAPS}");
        let (first, second) = (r#"{"s": 60}"#, r#"{"s": 50}"#);
        let messages = messages_of(&model);
        assert_eq!(messages.len(), 5, "{messages:?}");
        let told: Vec<_> = messages[1]["tool_calls"].as_array().unwrap().iter().collect();
        let told: Vec<_> = told.iter().map(|call| &call["function"]["arguments"]).collect();
        assert_eq!(told, [first, second], "both, and in the order they began");
        assert!(messages[2..4].iter().all(|message| message["content"] == content));
        assert_eq!(model.violations(), Vec::<String>::new());
    });
}

fn messages_of(model: &ScriptedModel) -> Vec<Value> {
    serde_json::from_str(&format!("[{}]", model.last_history())).expect("it is JSON")
}

#[test]
fn a_turn_that_is_cancelled_or_out_of_time_before_a_reply_tells_it_at_its_end() {
    testing::run(async {
        let long = || reply().call("pay", r#"{"s": 50}"#).call("pay", r#"{"s": 60}"#);
        for (limit, why) in
            [(100_000, "the turn was cancelled"), (4, "no result within the turn's time limit")]
        {
            let model = ScriptedModel::new([long().paced(seconds(1)), done()]);
            let limits = Limits { turn_time_limit: seconds(limit), ..limits() };
            let session = testing::runtime().session(options(model.clone()).limits(limits));
            let cancel = async {
                sleep(Duration::from_millis(4500)).await;
                session.cancel().await
            };
            let (failed, _) = tokio::join!(session.ask("go"), cancel);
            failed.unwrap_err();
            session.ask("go").await.unwrap();
            let content = format!("error: {why}{PERHAPS}");
            let orphan = call("call_0", "pay", r#"{"s": 50}"#, &content);
            check(&model, &[GO, &orphan, GO]);
        }
    });
}

#[test]
fn what_the_next_try_asks_for_again_is_its_call_and_told_once() {
    testing::run(async {
        let again = reply().call("read", r#"{"s": 0}"#).call("pay", r#"{ "s": 50 }"#);
        let model = ScriptedModel::new([dropped("pay", r#"{"s": 50}"#), again, done()]);
        session(&model).ask("go").await.unwrap();
        let messages = messages_of(&model);
        let roles: Vec<_> = messages.iter().map(|message| &message["role"]).collect();
        assert_eq!(roles, ["user", "assistant", "tool", "tool"]);
        assert_eq!(messages[3]["content"], "paid 50");
    });
}

#[test]
fn what_has_no_effects_is_not_told() {
    testing::run(async {
        let model = ScriptedModel::new([dropped("read", r#"{"s": 50}"#), done(), done()]);
        let session = session(&model);
        session.ask("go").await.unwrap();
        session.ask("go").await.unwrap();
        check(&model, &[GO, DONE, GO]);
        let model = ScriptedModel::new([dropped("read", r#"{"s": 50}"#), lost(), done()]);
        let session = self::session(&model);
        session.ask("go").await.unwrap_err();
        session.ask("go").await.unwrap();
        check(&model, &[GO, GO]);
    });
}

#[test]
fn what_changed_after_it_began_is_answered_in_its_place_and_told_once() {
    testing::run(async {
        let chunk = |delta: Value, finish: Option<&str>| {
            let choice = json!({"index": 0, "delta": delta, "finish_reason": finish});
            (seconds(1), format!("data: {}\n\n", json!({"choices": [choice]})))
        };
        let piece = |call: Value| chunk(json!({"tool_calls": [call]}), None);
        let named = |index, name, arguments| {
            let function = json!({"name": name, "arguments": arguments});
            piece(json!({"index": index, "id": format!("id_{index}"), "function": function}))
        };
        let changes = streamed([
            named(0, "pay", r#"{"s": 9}"#),
            named(1, "read", r#"{"s": 0}"#),
            piece(json!({"index": 0, "function": {"arguments": r#", "t": 1}"#}})),
            chunk(json!({}), Some("tool_calls")),
        ]);
        let model = ScriptedModel::new([changes, done()]);
        session(&model).ask("go").await.unwrap();
        let messages = messages_of(&model);
        assert_eq!(messages.len(), 4, "{messages:?}");
        assert!(messages[2]["content"].as_str().unwrap().ends_with(PERHAPS), "{messages:?}");
    });
}

#[test]
fn the_history_of_a_later_round_goes_on_behind_it() {
    testing::run(async {
        let round = |s| reply().call("pay", &format!(r#"{{"s": {s}}}"#));
        let script = [round(1), dropped("pay", r#"{"s": 50}"#), round(2), done()];
        let model = ScriptedModel::new(script);
        session(&model).ask("go").await.unwrap();
        let first = call("call_0", "pay", r#"{"s": 1}"#, "paid 1");
        let orphan = given_up("call_0_1", r#"{"s": 50}"#);
        check(&model, &[GO, &first, &orphan, &call("call_0", "pay", r#"{"s": 2}"#, "paid 2")]);
    });
}

async fn kept(journal: &MemoryStore) -> Vec<Record> {
    journal.read(&SessionId::new("s"), 0).await.expect("memory keeps it")
}

/// What a model is sent that goes on where `records` end.
async fn reopened(records: &[Record]) -> (Arc<ScriptedModel>, Vec<Record>) {
    let (runtime, journal) = rigged(|_| Does::AsAsked);
    let id = SessionId::new("s");
    let epoch = journal.open(&id, Access::TakeOver).await.expect("memory keeps it");
    journal.append(&id, 0, epoch, Arc::new(records.to_vec())).await.expect("memory keeps it");
    let model = ScriptedModel::new([done(), done()]);
    let session = runtime.session(options(model.clone()).take_over());
    session.ask("go").await.expect("the turn ends well");
    assert_eq!(model.violations(), Vec::<String>::new());
    (model, kept(&journal).await)
}

#[test]
fn a_session_that_is_opened_again_has_the_same_history() {
    testing::run(async {
        let other = || reply().call("pay", r#"{"s": 7}"#);
        let scripts = [
            vec![dropped("pay", r#"{"s": 50}"#), other(), done(), done()],
            vec![dropped("put", r#"{"s": 0}"#), done(), done()],
            vec![dropped("pay", r#"{"s": 50}"#), lost(), done()],
        ];
        for script in scripts {
            let (runtime, journal) = rigged(|_| Does::AsAsked);
            let model = ScriptedModel::new(script);
            let session = runtime.session(options(model.clone()));
            drop(session.ask("go").await);
            let records = kept(&journal).await;
            session.ask("go").await.unwrap();
            let (again, _) = reopened(&records).await;
            assert_eq!(again.last_history(), model.last_history());
        }
    });
}

/// Every place in the journal where the process may have ended: whatever had begun is told once.
#[test]
fn wherever_the_process_ended_the_model_hears_of_what_had_begun() {
    testing::run(async {
        let other = reply().call("put", r#"{"s": 7}"#);
        for rest in [vec![other, done()], vec![done()]] {
            let (runtime, journal) = rigged(|_| Does::AsAsked);
            let script = [dropped("pay", r#"{"s": 50}"#)].into_iter().chain(rest);
            let session = runtime.session(options(ScriptedModel::new(script)));
            session.ask("go").await.unwrap();
            let records = kept(&journal).await;
            let is_start = |record: &Record| match &record.event {
                Event::CallStarted { arguments, .. } => arguments.is_some(),
                _ => false,
            };
            let start = records.iter().position(is_start).unwrap();
            for cut in 0..=records.len() {
                let (again, then) = reopened(&records[..cut]).await;
                let history = again.last_history();
                let told = history.matches(r#""arguments":"{\"s\": 50}""#).count();
                assert_eq!(told, usize::from(cut > start), "cut at {cut}: {history}");
                let is_plain = history.matches("may have taken effect").count() == told;
                assert!(is_plain, "cut at {cut}: {history}");
                // What was recorded to mend it gives the same again.
                let (once_more, _) = reopened(&then).await;
                assert!(once_more.last_history().starts_with(&history), "cut at {cut}");
            }
        }
    });
}

#[test]
fn what_ran_when_the_coordinator_panicked_is_told() {
    testing::run(async {
        let is_failure = |record: &Record| matches!(record.event, Event::ModelFailed { .. });
        let (runtime, journal) = rigged(move |asked| match asked {
            Asked::Append(records) if records.iter().any(is_failure) => Does::Panics,
            _ => Does::AsAsked,
        });
        let model = ScriptedModel::new([dropped("pay", r#"{"s": 50}"#), done()]);
        let session = runtime.session(options(model.clone()));
        session.ask("go").await.unwrap_err();
        session.ask("go").await.unwrap();
        let what = "the session's coordinator panicked while the call ran";
        let orphan = call("call_0", "pay", r#"{"s": 50}"#, &format!("error: {what}{PERHAPS}"));
        check(&model, &[GO, &orphan, GO]);
        let records = kept(&journal).await;
        let orphans = records.iter().filter_map(|record| match &record.event {
            Event::TurnEnded { orphans, .. } => Some(orphans),
            _ => None,
        });
        let ids: Vec<&Orphan> = orphans.flat_map(|orphans| orphans.iter()).collect();
        assert_eq!(ids.len(), 1, "{ids:?}");
    });
}

/// The messages that a model of this dialect is sent behind the first one of the assistant.
async fn sent_as(dialect: &str) -> Vec<Value> {
    let dialect = Dialect::named(dialect).expect("it has a row");
    let other = reply().call_with_id("functions.pay:1", "pay", r#"{"s": 7}"#);
    let first = reply().call_with_id("functions.pay:0", "pay", r#"{"s": 1}"#);
    let gone = reply().call_with_id("functions.pay:1", "pay", r#"{"s": 50}"#).call_with_id(
        "functions.read:2",
        "read",
        r#"{"s": 0}"#,
    );
    let gone = gone.paced(seconds(1)).broken_off_after(3);
    let again = reply().call_with_id("functions.pay:2", "pay", r#"{"s": 60}"#);
    let again = again.call("read", "{}").paced(seconds(1)).broken_off_after(3);
    let script = [first, gone, other, again, lost(), done()];
    let model = ScriptedModel::named("m", dialect, script);
    let session = session(&model);
    session.ask("go").await.expect_err("the turn fails");
    session.ask("go").await.expect("the turn ends well");
    assert_eq!(model.violations(), Vec::<String>::new());
    messages_of(&model)
}

#[test]
fn every_dialect_is_told_in_its_own_way() {
    testing::run(async {
        for name in Dialect::names() {
            let (dialect, messages) = (Dialect::named(name).unwrap(), sent_as(name).await);
            let mut ids = Vec::new();
            let mut told = Vec::new();
            let of_the_assistant =
                messages.iter().enumerate().filter(|(_, message)| message["role"] == "assistant");
            for (place, message) in of_the_assistant {
                for call in message["tool_calls"].as_array().into_iter().flatten() {
                    ids.push(call["id"].as_str().unwrap().to_owned());
                    if call["function"]["arguments"].as_str().unwrap().contains('0') {
                        told.push((place, message, call));
                    }
                }
            }
            let [(first, ..), (second, ..)] = told[..] else { panic!("{name}: {messages:?}") };
            assert!(first < second && messages[first + 2]["role"] == "assistant", "{name}");
            for (_, message, call) in &told {
                let id = call["id"].as_str().unwrap();
                assert!(dialect.id_rule.fits(id, "pay"), "{name}: {id}");
                let is_signed = call.get("extra_content").is_some();
                let reasons = message.get("reasoning_content").is_some();
                assert_eq!(is_signed, dialect.signed_calls, "{name}");
                assert_eq!(reasons, dialect.reasoning_on_replies, "{name}");
                let content = message.get("content").map_or("absent".into(), Value::to_string);
                let expected = match dialect.empty_content {
                    EmptyContent::Absent => "absent",
                    EmptyContent::Null => "null",
                    EmptyContent::Empty => "\"\"",
                };
                assert_eq!(content, expected, "{name}");
            }
            let (before, all) = (ids.clone(), ids.len());
            ids.sort_unstable();
            ids.dedup();
            assert_eq!(ids.len(), all, "{name}: {before:?}");
            let follows = &messages[second + 2]["role"];
            let stands_between = dialect.assistant_after_results;
            assert_eq!(*follows, if stands_between { "assistant" } else { "user" }, "{name}");
        }
    });
}
