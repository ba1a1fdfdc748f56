//! The course of a turn.

use std::sync::{Arc, Mutex};

use callsheet::testing::{self, ScriptedModel, failure, reply};
use callsheet::wire::chat::Role;
use callsheet::{Limits, Mode, Model, SessionOptions, ToolSet, model};
use tokio::time::Instant;

use crate::support::{failer, limits, outcomes, seconds, sleeper, stage, stage_with};

#[test]
fn an_answer_without_tools_is_a_turn_without_rounds() {
    testing::run(async {
        let stage = stage([reply().text("hel").text("lo")], []);
        let answer = stage.ask().await;
        assert_eq!(&*answer.text, "hello");
        assert_eq!(answer.finish, "stop");
        assert!(answer.report.rounds.is_empty());
        assert_eq!(answer.report.usage.input_tokens, 10);
    });
}

#[test]
fn parallel_calls_of_one_tool_cost_one_delay() {
    testing::run(async {
        let calls = (0..100).fold(reply(), |reply, _| reply.call("sleep", r#"{"s": 3}"#));
        let stage = stage([calls, reply().text("done")], [sleeper()]);
        let began = Instant::now();
        let answer = stage.ask().await;
        assert_eq!(began.elapsed(), seconds(3));
        let round = &answer.report.rounds[0];
        assert_eq!(round.wall, seconds(3));
        assert_eq!(round.sum, seconds(300));
        assert_eq!(outcomes(round), vec!["ok"; 100]);
    });
}

#[test]
fn sequential_calls_run_one_after_another_in_the_order_of_the_calls() {
    testing::run(async {
        let calls =
            reply().call("sleep", r#"{"s": 3}"#).call("fail", "{}").call("sleep", r#"{"s": 4}"#);
        let limits = Limits { mode: Mode::Sequential, ..limits() };
        let stage = stage_with([calls, reply().text("done")], [sleeper(), failer()], limits);
        let began = Instant::now();
        let answer = stage.ask().await;
        assert_eq!(began.elapsed(), seconds(7));
        let round = &answer.report.rounds[0];
        assert_eq!(round.mode, Mode::Sequential);
        assert_eq!(outcomes(round), ["ok", "tool_error", "ok"]);
        let started: Vec<_> = round.calls.iter().map(|call| call.started.as_secs()).collect();
        assert_eq!(started, [0, 3, 3]);
    });
}

#[test]
fn results_enter_the_history_in_the_order_of_the_calls() {
    testing::run(async {
        let calls = reply()
            .call("sleep", r#"{"s": 5}"#)
            .call("sleep", r#"{"s": 1}"#)
            .call("sleep", r#"{"s": 3}"#);
        let stage = stage([calls, reply().text("done")], [sleeper()]);
        stage.ask().await;
        assert_eq!(stage.told(), ["slept 5", "slept 1", "slept 3"]);
    });
}

#[test]
fn what_cannot_run_is_answered_and_its_siblings_run() {
    testing::run(async {
        let calls = reply()
            .call("sleep", r#"{"s": 1}"#)
            .call("sleeep", r#"{"s": 1}"#)
            .call("sleep", r#"{"s": "long"}"#)
            .call("sleep", "[1]")
            .call("sleep", r#"{"s": 1,}"#)
            .call("nobody", "[1]");
        let stage = stage([calls, reply().text("done")], [sleeper()]);
        let answer = stage.ask().await;
        assert_eq!(
            outcomes(&answer.report.rounds[0]),
            [
                "ok",
                "unknown_tool",
                "bad_arguments",
                "bad_arguments",
                "bad_arguments",
                "bad_arguments"
            ],
        );
        let told = stage.told();
        assert_eq!(told[1], "error: no tool named `sleeep`; the tools are: sleep");
        assert_eq!(told[2], r#"error: /s: "long" is not of type "integer""#);
        assert_eq!(told[3], "error: the arguments are not a JSON object");
        assert_eq!(told[4], "error: the arguments are not valid JSON");
    });
}

#[test]
fn a_call_cut_by_the_token_limit_is_not_run_and_the_whole_ones_are() {
    testing::run(async {
        let calls =
            reply().call("sleep", r#"{"s": 1}"#).call("sleep", r#"{"s": 2"#).finish("length");
        let stage = stage([calls, reply().text("done")], [sleeper()]);
        let answer = stage.ask().await;
        assert_eq!(outcomes(&answer.report.rounds[0]), ["ok", "truncated"]);
        assert_eq!(answer.report.rounds[0].calls[1].arguments, None);
        assert_eq!(answer.report.rounds[0].calls[1].attempts, 0);
    });
}

#[test]
fn unreadable_arguments_go_back_as_an_empty_object() {
    testing::run(async {
        let calls = reply().call("sleep", "{broken");
        let stage = stage([calls, reply().text("done")], [sleeper()]);
        stage.ask().await;
        let history = stage.model.requests().pop().expect("two requests");
        let call = &history[1].calls[0];
        assert_eq!(call.arguments, callsheet::wire::Arguments::Object("{}".into()));
    });
}

#[test]
fn more_calls_than_a_round_may_have_are_denied() {
    testing::run(async {
        let calls = (0..5).fold(reply(), |reply, _| reply.call("sleep", r#"{"s": 1}"#));
        let limits = Limits { max_calls_per_round: 3, ..limits() };
        let stage = stage_with([calls, reply().text("done")], [sleeper()], limits);
        let answer = stage.ask().await;
        assert_eq!(outcomes(&answer.report.rounds[0]), ["ok", "ok", "ok", "denied", "denied"]);
    });
}

#[test]
fn a_model_that_never_stops_asking_is_stopped() {
    testing::run(async {
        let ask = || reply().call("sleep", r#"{"s": 1}"#);
        let limits = Limits { max_rounds: 2, ..limits() };
        let stage = stage_with([ask(), ask(), ask(), reply().text("ok")], [sleeper()], limits);
        let failed = stage.ask_in_vain().await;
        assert_eq!(failed.cause.to_string(), "no answer after 2 rounds of tools");
        let rounds: Vec<_> = failed.report.rounds.iter().map(|round| outcomes(round)).collect();
        assert_eq!(rounds, [["ok"], ["ok"], ["denied"]]);
        // The history is whole: the next question is answered.
        assert_eq!(&*stage.ask().await.text, "ok");
    });
}

#[test]
fn rounds_count_through_the_life_of_the_session() {
    testing::run(async {
        let ask = || reply().call("sleep", r#"{"s": 1}"#);
        let script = [ask(), ask(), reply().text("one"), ask(), reply().text("two")];
        let stage = stage(script, [sleeper()]);
        let numbers = |answer: &callsheet::Answer| {
            answer.report.rounds.iter().map(|round| round.round).collect::<Vec<_>>()
        };
        assert_eq!(numbers(&stage.ask().await), [1, 2]);
        assert_eq!(numbers(&stage.ask().await), [3]);
    });
}

#[test]
fn a_model_that_fails_leaves_a_conversation_that_goes_on() {
    testing::run(async {
        let error = model::Error::Cut { url: "http://x".into(), reason: "reset".into() };
        let script =
            [reply().call("sleep", r#"{"s": 1}"#), failure(error), reply().text("better now")];
        let stage = stage(script, [sleeper()]);
        let failed = stage.ask_in_vain().await;
        assert_eq!(failed.cause.code(), "stream_cut");
        assert_eq!(failed.report.rounds.len(), 1);
        assert_eq!(&*stage.ask().await.text, "better now");
        let roles: Vec<_> = stage.model.requests().pop().unwrap().iter().map(|m| m.role).collect();
        assert_eq!(roles, [Role::User, Role::Assistant, Role::Tool, Role::User]);
    });
}

#[test]
fn repeated_ids_within_a_reply_are_told_apart() {
    testing::run(async {
        let calls = reply()
            .call_with_id("same", "sleep", r#"{"s": 2}"#)
            .call_with_id("same", "sleep", r#"{"s": 1}"#)
            .call_with_id("", "sleep", r#"{"s": 3}"#);
        let stage = stage([calls, reply().text("done")], [sleeper()]);
        let answer = stage.ask().await;
        let ids: Vec<_> = answer.report.rounds[0].calls.iter().map(|call| &*call.id).collect();
        assert_eq!(ids, ["same", "same_2", "call_2"]);
        assert_eq!(stage.told(), ["slept 2", "slept 1", "slept 3"]);
    });
}

/// Keeps whether each request was the first of its turn.
struct Listening {
    model: Arc<ScriptedModel>,
    firsts: Mutex<Vec<bool>>,
}

impl Model for Listening {
    fn name(&self) -> &str {
        "listening"
    }

    fn ask(&self, request: model::Request<'_>) -> model::Events {
        self.firsts.lock().expect("nobody panics with it").push(request.first);
        self.model.ask(request)
    }
}

#[test]
fn the_first_request_of_each_turn_says_so() {
    testing::run(async {
        let rests = || reply().call("sleep", r#"{"s": 1}"#);
        let script = [rests(), rests(), reply().text("so"), rests(), reply().text("again")];
        let model = ScriptedModel::new(script);
        let model = Arc::new(Listening { model, firsts: Mutex::default() });
        let tools = Arc::new(ToolSet::new([sleeper()]).unwrap());
        let options = SessionOptions::new(model.clone(), tools).limits(limits());
        let session = testing::runtime().session(options);
        session.ask("go").await.unwrap();
        session.ask("go").await.unwrap();
        assert_eq!(*model.firsts.lock().unwrap(), [true, false, false, true, false]);
    });
}
