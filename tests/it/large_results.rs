//! Results that are too large for the model are kept whole, and the model can read on in them.

use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};

use callsheet::conversation::{ResultId, StoredResult};
use callsheet::model::{Dialect, Model, Quirks};
use callsheet::store::Journal;
use callsheet::testing::{self, ScriptedModel, reply};
use callsheet::{
    CallContext, Effects, Event, Record, Runtime, SessionId, SessionOptions, ToolSet, ToolType,
};
use serde_json::json;

use crate::support::journal::{Asked, Does, rigged};
use crate::support::listening::Listening;
use crate::support::{dynamic, limits, outcomes, seconds};

/// What the session's limit is here.
const LIMIT: usize = 1_000;

/// Lines that are all different, of `bytes` in all.
fn text(bytes: usize) -> String {
    let mut lines: String = (0..bytes).map(|line| format!("line {line}\n")).collect();
    lines.truncate(bytes);
    lines
}

/// A tool that answers with so many `bytes`.
fn writer() -> ToolType {
    let parameters = json!({"type": "object", "properties": {"bytes": {"type": "integer"}}});
    let write = |arguments: serde_json::Value, _| async move {
        Ok(text(arguments["bytes"].as_u64().unwrap_or_default() as usize))
    };
    dynamic("write", parameters, write).effects(Effects::None)
}

fn wrote(bytes: usize) -> String {
    json!({"bytes": bytes}).to_string()
}

fn read(result: &str, more: &str) -> String {
    format!(r#"{{"handle":"{}"{more}}}"#, ResultId::of(result))
}

fn options(model: Arc<dyn Model>, tools: impl IntoIterator<Item = ToolType>) -> SessionOptions {
    let tools = ToolSet::new(tools).expect("the tools are well formed");
    SessionOptions::new(model, tools.into()).limits(limits()).max_result_bytes(LIMIT)
}

/// The answers to calls in the last history that the model saw.
fn told(model: &ScriptedModel) -> Vec<String> {
    let history = model.requests().pop().unwrap_or_default();
    let answers = history.into_iter().filter(|message| message.tool_call_id.is_some());
    answers.map(|message| message.text).collect()
}

async fn records(journal: &dyn Journal, session: &SessionId) -> Vec<Record> {
    journal.read(session, 0).await.expect("it can be read")
}

#[test]
fn the_model_is_told_the_beginning_and_reads_the_rest_page_by_page() {
    testing::run(async {
        let whole = text(2_600);
        let model = Listening::new([
            reply().call("write", &wrote(2_600)),
            reply().call("read_result", &read(&whole, r#","offset":250"#)),
            reply().call("read_result", &read(&whole, r#","offset":500,"length":99999"#)),
            reply().call("read_result", &read(&whole, r#","offset":1500.0,"length":1000"#)),
            reply().call("read_result", &read(&whole, r#","offset":2500,"length":1000"#)),
            reply().text("done"),
        ]);
        let session = testing::runtime().session(options(model.clone(), [writer()]));
        let answer = session.ask("go").await.unwrap();
        assert_eq!(model.script.violations(), Vec::<String>::new());
        assert!(answer.report.rounds.iter().all(|round| outcomes(round) == ["ok"]));
        let told = told(&model.script);
        let pages: Vec<(&str, &str)> =
            told.iter().map(|told| told.rsplit_once('\n').unwrap()).collect();
        assert_eq!(pages.iter().map(|(page, _)| *page).collect::<String>(), whole);
        assert_eq!(
            pages.iter().map(|(page, _)| page.len()).collect::<Vec<_>>()[..3],
            [250, 250, 1_000]
        );
        let handle = ResultId::of(&whole);
        assert_eq!(
            pages[0].1,
            format!(
                "[these are the first 250 of 2600 bytes; the whole result is kept: read on with the \
                 tool read_result and {{\"handle\":\"{handle}\",\"offset\":250}}]"
            )
        );
        assert_eq!(pages[1].1, "[bytes 250 to 500 of 2600; the next page begins at offset 500]");
        assert_eq!(pages[4].1, "[bytes 2500 to 2600 of 2600; this is the end]");
        let offers = model.offers();
        assert_eq!(offers[0], ["write"], "until there is something to read");
        assert!(offers[1..].iter().all(|offer| *offer == ["write", "read_result"]), "{offers:?}");
    });
}

#[test]
fn the_whole_is_in_the_store_before_the_record_names_it_and_a_reopened_session_has_it() {
    testing::run(async {
        let whole = text(5_000);
        let kept = Arc::new(AtomicU32::new(0));
        let (counts, id) = (Arc::clone(&kept), SessionId::new("s"));
        let (runtime, journal) = rigged(move |asked| {
            match asked {
                Asked::Keep => {
                    counts.fetch_add(1, Ordering::Relaxed);
                    return Does::AsAskedAfter(seconds(7));
                }
                Asked::Append(records) => {
                    let names = |record: &Record| match &record.event {
                        Event::CallEnded { outcome, .. } => outcome.stored.is_some(),
                        _ => false,
                    };
                    let is_early = counts.load(Ordering::Relaxed) == 0;
                    assert!(!(is_early && records.iter().any(names)), "it was not kept");
                }
                Asked::Open(_) | Asked::Read | Asked::ReadPart => {}
            }
            Does::AsAsked
        });
        let model = ScriptedModel::new([reply().call("write", &wrote(5_000)), reply().text("one")]);
        let made = |model: Arc<dyn Model>| options(model, [writer()]).id(id.clone());
        let session = runtime.session(made(model));
        let answer = session.ask("go").await.unwrap();
        let call = &answer.report.rounds[0].calls[0];
        assert_eq!((call.ran, answer.report.rounds[0].wall), (seconds(0), seconds(0)));
        assert_eq!(answer.report.rounds[0].overhead, seconds(7), "the keeping is our own time");
        let written = records(&*journal, &id).await;
        let stored = written.iter().find_map(|record| match &record.event {
            Event::CallEnded { outcome, .. } => outcome.stored.clone(),
            _ => None,
        });
        let expected = StoredResult { id: ResultId::of(&whole), bytes: 5_000 };
        assert_eq!(stored, Some(Box::new(expected)));
        for record in &written {
            let json = serde_json::to_string(record).unwrap();
            assert_eq!(&serde_json::from_str::<Record>(&json).unwrap(), record, "{json}");
        }
        drop(session);
        while runtime.sessions() > 0 {
            tokio::task::yield_now().await; // It ends; until then it is the same.
        }
        let again = Listening::new([
            reply().call("read_result", &read(&whole, r#","offset":4990"#)),
            reply().text("two"),
        ]);
        let session = runtime.session(made(again.clone()).take_over());
        session.ask("go on").await.unwrap();
        assert_eq!(
            again.offers()[0],
            ["write", "read_result"],
            "the record says that there is one"
        );
        assert!(told(&again.script)[1].starts_with(&whole[4_990..]));
    });
}

#[test]
fn a_handle_that_the_session_does_not_have_is_an_error_that_the_model_understands() {
    testing::run(async {
        let whole = text(2_000);
        let model = ScriptedModel::new([
            reply().call("read_result", r#"{"handle":"x"}"#), // Nothing was too large yet.
            reply().call("write", &wrote(2_000)),
            reply().call("read_result", r#"{"handle":"x"}"#),
            reply().call("read_result", r#"{"handle":"x","offset":-1}"#),
            reply().call("read_result", &read(&whole, r#","offset":7777"#)),
            reply().text("done"),
        ]);
        let session = testing::runtime().session(options(model.clone(), [writer()]));
        let answer = session.ask("go").await.unwrap();
        let ends: Vec<_> = answer.report.rounds.iter().flat_map(|round| outcomes(round)).collect();
        assert_eq!(ends, ["unknown_tool", "ok", "tool_error", "bad_arguments", "ok"]);
        let told = told(&model);
        let reason = "error: there is no result with the handle `x` in this conversation: use one \
                      that a result ended with";
        assert_eq!(told[2], reason);
        assert_eq!(told[4], "\n[bytes 2000 to 2000 of 2000; this is the end]");
    });
}

/// The only answer to a call of the tool `write` in a session with these tools.
async fn told_of_cut(
    runtime: Runtime,
    model: Arc<dyn Model>,
    script: &ScriptedModel,
    more: Vec<ToolType>,
) -> String {
    script.rewrite([reply().call("write", &wrote(2_000)), reply().text("done")]);
    let tools = std::iter::once(writer()).chain(more);
    runtime.session(options(model, tools)).ask("go").await.expect("the turn ends well");
    told(script).remove(0)
}

#[test]
fn where_it_cannot_be_kept_or_read_the_result_is_cut_and_says_so() {
    testing::run(async {
        let script = ScriptedModel::new([]);
        let cut = format!("{}\n[cut: 1000 of 2000 bytes are left out here]", &text(2_000)[..1_000]);
        let lost = cut.replace("here]", "here; they could not be kept and are lost]");
        // One of the session's own tools has the name, or would be meant by it.
        for name in ["read_result", "read.result"] {
            let own = ToolType::new(name, "its own", json!({}), || {
                |_: &str, _: CallContext| -> callsheet::tools::ToolFuture { unreachable!() }
            });
            let told = told_of_cut(testing::runtime(), script.clone(), &script, vec![own]).await;
            assert_eq!(told, cut, "{name}");
        }
        // The model takes no further tool.
        let quirks = Quirks { max_tools: Some(1), ..Quirks::default() };
        let full = ScriptedModel::named("full", quirks.on(Dialect::generic()), []);
        assert_eq!(told_of_cut(testing::runtime(), full.clone(), &full, vec![]).await, cut);
        // The store does not keep it.
        let (runtime, _) = rigged(|asked| match asked {
            Asked::Keep => Does::Fails,
            _ => Does::AsAsked,
        });
        assert_eq!(told_of_cut(runtime, script.clone(), &script, vec![]).await, lost);
    });
}

#[test]
fn a_store_that_hangs_costs_a_call_no_more_than_its_time_and_the_beginning_is_told() {
    testing::run(async {
        let (runtime, _) = rigged(|asked| match asked {
            Asked::Keep => Does::Hangs,
            _ => Does::AsAsked,
        });
        let model =
            ScriptedModel::new([reply().call("write", &wrote(2_000)), reply().text("done")]);
        let session = runtime.session(options(model.clone(), [writer().time_limit(seconds(9))]));
        let answer = session.ask("go").await.unwrap();
        assert_eq!(answer.report.elapsed, seconds(9));
        assert_eq!(outcomes(&answer.report.rounds[0]), ["ok"]);
        assert!(told(&model)[0].ends_with("they could not be kept and are lost]"));
        // And can be cancelled meanwhile.
        model.rewrite([reply().call("write", &wrote(2_000))]);
        let (_, cancelled) = tokio::join!(session.ask("again"), async {
            tokio::time::sleep(seconds(1)).await;
            session.cancel().await
        });
        assert!(cancelled);
    });
}

#[test]
fn a_call_that_is_tried_again_has_its_result_kept_too() {
    testing::run(async {
        let tries = Arc::new(AtomicU32::new(0));
        let flaky = dynamic("flaky", json!({"type": "object"}), move |_, _| {
            let first = tries.fetch_add(1, Ordering::Relaxed) == 0;
            async move { if first { Err("x".repeat(2_000)) } else { Ok(text(3_000)) } }
        });
        let flaky = flaky.effects(Effects::None).retries(2);
        let model = ScriptedModel::new([reply().call("flaky", "{}"), reply().text("done")]);
        let session = testing::runtime().session(options(model.clone(), [flaky]));
        session.ask("go").await.unwrap();
        assert!(told(&model)[0].contains("the first 250 of 3000 bytes"), "{}", told(&model)[0]);
    });
}
