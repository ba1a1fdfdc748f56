//! Results that nobody would want in a conversation as they are.

use std::collections::HashMap;

use callsheet::testing::{self, ScriptedModel, reply};
use callsheet::{CallContext, SessionOptions, ToolSet, ToolType};

use crate::support::{limits, outcomes, stage};

#[derive(serde::Deserialize, schemars::JsonSchema)]
struct Nothing {}

#[test]
fn of_a_result_of_fifty_megabytes_the_model_is_told_the_beginning() {
    testing::run(async {
        let huge = |_: Nothing, _: CallContext| async { Ok::<_, String>("ä".repeat(25_000_000)) };
        let tool = ToolType::typed("huge", "for a test", huge);
        let stage = stage([reply().call("huge", "{}"), reply().text("done")], [tool]);
        let answer = stage.ask().await;
        assert_eq!(outcomes(&answer.report.rounds[0]), ["ok"]);
        let told = stage.told().remove(0);
        let (beginning, mark) = told.rsplit_once('\n').unwrap();
        assert!(mark.starts_with("[these are the first 25000 of 50000000 bytes; "), "{mark}");
        assert_eq!(beginning, "ä".repeat(12_500));
    });
}

#[test]
fn an_error_of_a_megabyte_is_cut_too_and_a_session_may_say_where() {
    testing::run(async {
        let fails = |_: Nothing, _: CallContext| async { Err::<String, _>("x".repeat(1_000_000)) };
        let tools = ToolSet::new([ToolType::typed("fails", "for a test", fails)]).unwrap();
        let model = ScriptedModel::new([reply().call("fails", "{}"), reply().text("done")]);
        let options = SessionOptions::new(model, tools.into()).limits(limits());
        let session = testing::runtime().session(options.max_result_bytes(500));
        let answer = session.ask("go").await.unwrap();
        let call = &answer.report.rounds[0].calls[0];
        let told = call.result.as_ref().unwrap();
        assert!(told.len() < 600 && told.contains("999500 of 1000000 bytes"), "{told}");
    });
}

#[test]
fn bytes_are_told_as_text_if_they_are_and_else_it_is_said_what_they_are() {
    testing::run(async {
        let bytes = |_: Nothing, _: CallContext| async { Ok::<_, String>(b"caf\xc3\xa9".to_vec()) };
        let broken = |_: Nothing, _: CallContext| async { Ok::<_, String>(b"caf\xe9".to_vec()) };
        let tools = [
            ToolType::typed("bytes", "for a test", bytes),
            ToolType::typed("broken", "for a test", broken),
        ];
        let calls = reply().call("bytes", "{}").call("broken", "{}");
        let stage = stage([calls, reply().text("done")], tools);
        let answer = stage.ask().await;
        assert_eq!(outcomes(&answer.report.rounds[0]), ["ok", "ok"]);
        let told = stage.told();
        assert_eq!(told[0], "café");
        assert_eq!(told[1], "[4 bytes that are not text are not shown here]");
    });
}

#[test]
fn a_result_that_is_no_json_is_said_to_be_none() {
    testing::run(async {
        let odd = |_: Nothing, _: CallContext| async {
            Ok::<_, String>(HashMap::from([((1, 2), "a pair is no key")]))
        };
        let tool = ToolType::typed("odd", "for a test", odd);
        let stage = stage([reply().call("odd", "{}"), reply().text("done")], [tool]);
        let answer = stage.ask().await;
        assert_eq!(outcomes(&answer.report.rounds[0]), ["tool_error"]);
        let told = stage.told().remove(0);
        assert!(told.starts_with("error: the result cannot be told as JSON: "), "{told}");
    });
}
