//! The three time limits.

use callsheet::Limits;
use callsheet::session::Cause;
use callsheet::testing::{self, reply, silence};

use crate::support::{dynamic, hanger, limits, outcomes, seconds, sleeper, stage_with};

#[test]
fn the_session_gives_a_limit_to_calls_whose_tool_has_none() {
    testing::run(async {
        let limits = Limits { call_time_limit: seconds(7), ..limits() };
        let stage = stage_with([reply().call("hang", "{}"), reply()], [hanger()], limits);
        let answer = stage.ask().await;
        assert_eq!(answer.report.elapsed.as_secs(), 7);
        assert!(stage.told()[0].starts_with("error: no result within the call's time limit"));
    });
}

#[test]
fn each_of_several_late_calls_ends_at_its_own_limit() {
    testing::run(async {
        let hang = |name, limit| {
            let any = serde_json::json!({"type": "object"});
            dynamic(name, any, |_, _| std::future::pending()).time_limit(seconds(limit))
        };
        let calls = reply().call("long", "{}").call("short", "{}").call("middle", "{}");
        let tools = [hang("short", 2), hang("middle", 5), hang("long", 9)];
        let stage = stage_with([calls, reply()], tools, limits());
        let answer = stage.ask().await;
        let ran: Vec<_> =
            answer.report.rounds[0].calls.iter().map(|call| call.ran.as_secs()).collect();
        assert_eq!(ran, [9, 2, 5]);
        assert_eq!(answer.report.elapsed.as_secs(), 9);
    });
}

#[test]
fn a_round_ends_at_its_limit_and_the_turn_goes_on() {
    testing::run(async {
        let limits = Limits { round_time_limit: seconds(20), ..limits() };
        let calls = reply().call("sleep", r#"{"s": 1}"#).call("hang", "{}");
        let stage = stage_with([calls, reply().text("done")], [sleeper(), hanger()], limits);
        let answer = stage.ask().await;
        assert_eq!(answer.report.elapsed.as_secs(), 20);
        assert_eq!(outcomes(&answer.report.rounds[0]), ["ok", "timed_out"]);
        assert!(stage.told()[1].starts_with("error: no result within the round's time limit"));
    });
}

#[test]
fn a_sequential_round_answers_what_it_had_no_time_for() {
    testing::run(async {
        let limits =
            Limits { round_time_limit: seconds(20), mode: callsheet::Mode::Sequential, ..limits() };
        let calls = reply()
            .call("sleep", r#"{"s": 15}"#)
            .call("sleep", r#"{"s": 15}"#)
            .call("sleep", r#"{"s": 15}"#);
        let stage = stage_with([calls, reply().text("done")], [sleeper()], limits);
        let answer = stage.ask().await;
        assert_eq!(answer.report.elapsed.as_secs(), 20);
        let round = &answer.report.rounds[0];
        assert_eq!(outcomes(round), ["ok", "timed_out", "timed_out"]);
        assert_eq!(round.calls[2].attempts, 0);
    });
}

#[test]
fn a_turn_ends_at_its_limit_with_every_call_answered() {
    testing::run(async {
        let limits = Limits { turn_time_limit: seconds(30), ..limits() };
        let script = [reply().call("hang", "{}"), reply().text("later")];
        let stage = stage_with(script, [hanger()], limits);
        let failed = stage.ask_in_vain().await;
        assert!(matches!(failed.cause, Cause::TimedOut));
        assert_eq!(failed.report.elapsed, seconds(30));
        assert_eq!(outcomes(&failed.report.rounds[0]), ["timed_out"]);
        assert_eq!(&*stage.ask().await.text, "later");
    });
}

#[test]
fn a_turn_ends_at_its_limit_though_the_model_is_silent() {
    testing::run(async {
        let limits = Limits { turn_time_limit: seconds(30), ..limits() };
        let stage = stage_with([silence()], [], limits);
        let failed = stage.ask_in_vain().await;
        assert!(matches!(failed.cause, Cause::TimedOut));
        assert_eq!(failed.report.elapsed, seconds(30));
    });
}
