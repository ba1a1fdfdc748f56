//! Secrets that a tool lets out reach neither the model, nor the record, nor those who watch.

use std::sync::Arc;

use callsheet::conversation::ResultId;
use callsheet::store::{Journal, MemoryStore};
use callsheet::testing::{self, ScriptedModel, reply};
use callsheet::tools::Secrets;
use callsheet::{
    CallContext, Effects, Event, Runtime, SessionId, SessionOptions, ToolSet, ToolType,
};
use serde_json::json;

use crate::support::{dynamic, limits, outcomes};

const SECRET: &str = "sk-very/secret";

/// Lets the secret out in the way that it is asked for.
fn leak() -> ToolType {
    let how = json!({"type": "object", "properties": {"how": {"type": "string"}}});
    dynamic("leak", how, |arguments, context: CallContext| async move {
        context.report_progress(format!("with {SECRET}"));
        match arguments["how"].as_str() {
            Some("error") => Err(format!("403 for {SECRET}")),
            Some("cut") => Err(format!("{}{SECRET}", "x".repeat(190))),
            Some("panic") => panic!("no use for {SECRET}"),
            Some("long") => Ok(format!("{SECRET} {}", "x".repeat(5_000)) + SECRET),
            _ => Ok(format!("token={SECRET}; encoded c2stdmVyeS9zZWNyZXQ= and sk-very%2Fsecret")),
        }
    })
    .effects(Effects::None)
}

fn calls() -> testing::Scripted {
    let how = ["result", "error", "panic", "long", "cut"];
    how.iter().fold(reply(), |reply, how| reply.call("leak", &json!({"how": how}).to_string()))
}

/// Everything that anybody is told: the model, the report, those who watch, and the store.
fn all_told(secrets: Secrets) -> (Vec<&'static str>, String) {
    testing::run(async move {
        let store = Arc::new(MemoryStore::new());
        let runtime =
            Runtime::builder().watchdog(None).journal(Arc::clone(&store) as Arc<dyn Journal>);
        let runtime = runtime.in_current_system().expect("within a test");
        let model = ScriptedModel::new([calls(), reply().text("done")]);
        let tools = Arc::new(ToolSet::new([leak()]).expect("one tool"));
        let id = SessionId::new("s");
        let options = SessionOptions::new(model.clone(), tools).limits(limits()).id(id.clone());
        // What is set later does not undo it.
        let options =
            options.secrets(secrets).max_result_bytes(200).supervision(Default::default());
        let session = runtime.session(options);
        let mut events = session.events();
        let answer = session.ask("go").await.expect("the turn ends well");
        let mut told = format!("{answer:?} {:?}", model.requests());
        while let Some(record) = events.next().await {
            told += &serde_json::to_string(&*record).expect("JSON");
            if matches!(record.event, Event::TurnEnded { .. }) {
                break;
            }
        }
        for record in store.read(&id, 0).await.expect("it is kept") {
            told += &serde_json::to_string(&record).expect("JSON");
        }
        let large = answer.report.rounds[0].calls[3].result.as_ref().expect("a result");
        let (_, handle) = large.split_once(r#""handle":""#).expect("it is kept");
        let handle = ResultId::new(handle.split('"').next().expect("a name"));
        let part = store.result_part(&id, &handle, 0, 10_000).await.expect("it is kept");
        told += &part.expect("it is there").text;
        (outcomes(&answer.report.rounds[0]), told)
    })
}

#[test]
fn no_secret_is_told_or_kept_whatever_a_tool_does_with_it() {
    let (outcomes, told) = all_told(Secrets::new([SECRET]));
    assert_eq!(outcomes, ["ok", "tool_error", "panicked", "ok", "tool_error"]);
    for form in [SECRET, "sk-very", "secret\"", "c2stdmVyeS9z", "sk-very%2F"] {
        let at = told.find(form);
        assert!(at.is_none(), "{form}: {}", &told[at.unwrap_or_default().saturating_sub(200)..]);
    }
    for words in [
        "token=[secret]; encoded [secret]Q= and [secret]",
        "403 for [secret]",
        "no use for [secret]",
        "with [secret]",
    ] {
        assert!(told.contains(words), "nobody is told `{words}`");
    }
}

#[test]
fn without_secrets_what_a_tool_says_is_told_as_it_is() {
    let (_, told) = all_told(Secrets::default());
    assert!(told.contains("token=sk-very/secret") && told.contains("with sk-very/secret"));
}
