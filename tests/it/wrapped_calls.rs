//! `multi_tool_use.parallel`, a tool that nobody has and models call all the same, through a session.

use callsheet::conversation::SessionState;
use callsheet::testing::{self, Scripted, reply};
use callsheet::{Limits, Mode, SessionOptions, ToolSet};
use futures_util::StreamExt;
use serde_json::{Value, json};
use tokio::time::Instant;

use crate::support::{Stage, failer, limits, outcomes, seconds, sleeper, stage, stage_with};

const WRAPPER: &str = "multi_tool_use.parallel";

fn uses(uses: &[(&str, Value)]) -> String {
    let one = |(name, parameters): &_| json!({"recipient_name": name, "parameters": parameters});
    json!({"tool_uses": uses.iter().map(one).collect::<Vec<_>>()}).to_string()
}

fn naps(naps: &[u64]) -> String {
    let one = |s: &u64| ("functions.sleep", json!({"s": s}));
    uses(&naps.iter().map(one).collect::<Vec<_>>())
}

/// The calls of the last history, each as its id and name.
fn in_the_history(stage: &Stage) -> Vec<(String, String)> {
    let history = stage.model.requests().pop().unwrap_or_default();
    let calls = history.into_iter().flat_map(|message| message.calls);
    calls.map(|call| (call.id.to_string(), call.name)).collect()
}

fn told(stage: &Stage) -> Vec<Value> {
    let read = |text: String| serde_json::from_str(&text).unwrap_or(text.into());
    stage.told().into_iter().map(read).collect()
}

#[test]
fn d30_the_calls_in_a_wrapper_run_at_once_and_have_one_answer() {
    testing::run(async {
        let calls = reply()
            .call("sleep", r#"{"s": 1}"#)
            .call_with_id("w", WRAPPER, &naps(&[5, 3]))
            .call("fail", "{}");
        let stage = stage([calls, reply().text("done")], [sleeper(), failer()]);
        let began = Instant::now();
        let answer = stage.ask().await;
        assert_eq!(began.elapsed(), seconds(5));

        let round = &answer.report.rounds[0];
        let ids: Vec<_> = round.calls.iter().map(|call| (&*call.id, &*call.tool)).collect();
        assert_eq!(
            ids,
            [("call_0", "sleep"), ("w.1", "sleep"), ("w.2", "sleep"), ("call_2", "fail")]
        );
        assert_eq!(outcomes(round), ["ok", "ok", "ok", "tool_error"]);
        let slept = |n: u64| json!({"tool": "sleep", "result": format!("slept {n}")});
        assert_eq!(told(&stage)[1], json!([slept(5), slept(3)]));
        assert_eq!(told(&stage).len(), 3);
        assert_eq!(in_the_history(&stage)[1], ("w".into(), "multi_tool_use_parallel".into()));
    });
}

#[test]
fn d30_each_call_in_a_wrapper_is_judged_by_itself() {
    testing::run(async {
        let arguments = uses(&[
            ("functions.sleep", json!({"s": 1})),
            ("sleep", json!({"s": "long"})),
            ("functions.nap", json!({})),
            ("fail", Value::Null),
            ("sleep", json!([1])),
            (WRAPPER, json!({"tool_uses": []})),
        ]);
        let script = [reply().call(WRAPPER, &arguments), reply().text("done")];
        let stage = stage(script, [sleeper(), failer()]);
        let answer = stage.ask().await;
        let expected =
            ["ok", "bad_arguments", "unknown_tool", "tool_error", "bad_arguments", "bad_arguments"];
        assert_eq!(outcomes(&answer.report.rounds[0]), expected);
        let error = |tool: &str, error: &str| json!({"tool": tool, "error": error});
        assert_eq!(
            told(&stage)[0],
            json!([
                {"tool": "sleep", "result": "slept 1"},
                error("sleep", r#"/s: "long" is not of type "integer""#),
                error("functions.nap", "no tool named `functions.nap`; the tools are: sleep, fail"),
                error("fail", "disk on fire"),
                error("sleep", "the arguments are not a JSON object"),
                error(WRAPPER, "a list of calls within another; it was not run"),
            ])
        );
    });
}

/// Has a wrapper with `arguments` asked for, and checks that it is answered without any call.
fn check_refused(arguments: &str, finish: &str, outcome: &str, reason: &str) {
    testing::run(async {
        let calls = reply().call(WRAPPER, arguments).finish(finish);
        let stage = stage([calls, reply().text("done")], [sleeper()]);
        let answer = stage.ask().await;
        assert_eq!(outcomes(&answer.report.rounds[0]), [outcome], "{arguments}");
        assert!(stage.told()[0].contains(reason), "{arguments}: {:?}", stage.told());
    });
}

#[test]
fn d30_a_wrapper_that_is_empty_or_cannot_be_read_is_answered_and_runs_nothing() {
    let [empty, bad] = ["`tool_uses` is empty", "these are no calls"];
    check_refused(r#"{"tool_uses": []}"#, "tool_calls", "bad_arguments", empty);
    check_refused("{}", "tool_calls", "bad_arguments", bad);
    check_refused(r#"{"tool_uses": [{}]}"#, "tool_calls", "bad_arguments", bad);
    check_refused("[]", "tool_calls", "bad_arguments", "not a JSON object");
    let cut = &naps(&[1, 2])[..60];
    check_refused(cut, "length", "truncated", "cut off");
}

#[test]
fn d30_a_name_that_a_model_repeats_from_its_history_is_a_wrapper_too() {
    testing::run(async {
        let script = [
            reply().call(WRAPPER, &naps(&[1])),
            reply().call("multi_tool_use_parallel", &naps(&[2])),
            reply().text("done"),
        ];
        let stage = stage(script, [sleeper()]);
        let answer = stage.ask().await;
        assert_eq!(outcomes(&answer.report.rounds[1]), ["ok"]);
    });
}

#[test]
fn d30_the_calls_in_a_wrapper_count_among_those_of_the_reply() {
    testing::run(async {
        let calls = reply().call(WRAPPER, &naps(&[1, 1, 1])).call("sleep", r#"{"s": 1}"#);
        let limits = Limits { max_calls_per_round: 2, ..limits() };
        let stage = stage_with([calls, reply().text("done")], [sleeper()], limits);
        let answer = stage.ask().await;
        assert_eq!(outcomes(&answer.report.rounds[0]), ["ok", "ok", "denied", "denied"]);
    });
}

#[test]
fn d30_a_wrapper_with_more_calls_than_a_reply_may_hold_is_answered_and_runs_none() {
    testing::run(async {
        let calls = reply().call(WRAPPER, &naps(&[1; 10_001])).call("sleep", r#"{"s": 1}"#);
        let stage = stage([calls, reply().text("done")], [sleeper()]);
        let answer = stage.ask().await;
        assert_eq!(outcomes(&answer.report.rounds[0]), ["denied", "ok"]);
        assert!(stage.told()[0].contains("10000 calls at most"), "{:?}", stage.told());
    });
}

#[test]
fn d30_in_sequence_the_calls_in_a_wrapper_run_one_after_another() {
    testing::run(async {
        let calls = reply().call(WRAPPER, &naps(&[1, 2])).call("sleep", r#"{"s": 3}"#);
        let limits = Limits { mode: Mode::Sequential, ..limits() };
        let stage = stage_with([calls, reply().text("done")], [sleeper()], limits);
        let began = Instant::now();
        stage.ask().await;
        assert_eq!(began.elapsed(), seconds(6));
    });
}

/// What a journal keeps of a wrapper rebuilds the same history.
#[test]
fn d30_a_wrapper_survives_its_journal() {
    testing::run(async {
        let script: [Scripted; 2] =
            [reply().call(WRAPPER, &naps(&[2, 1])).call("fail", "{}"), reply().text("done")];
        let model = testing::ScriptedModel::new(script);
        let tools = ToolSet::new([sleeper(), failer()]).unwrap();
        let options = SessionOptions::new(model.clone(), tools.into()).limits(limits());
        let session = testing::runtime().session(options);
        let events = session.events();
        session.ask("go").await.unwrap();
        drop(session);
        let mut state = SessionState::new(16);
        let records: Vec<_> = events.collect().await;
        for record in records {
            let text = serde_json::to_string(&record.event).unwrap();
            let _ = state.on(&serde_json::from_str(&text).unwrap());
        }
        let last = model.requests().pop().unwrap();
        let replayed = callsheet::wire::chat::decode_messages(state.transcript().as_bytes());
        let replayed = replayed.unwrap();
        assert_eq!(format!("{:?}", &replayed[..last.len()]), format!("{last:?}"));
        assert_eq!(testing::violations(&replayed), Vec::<String>::new());
    });
}
