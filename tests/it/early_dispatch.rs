//! Calls that begin while the model still writes. A scripted reply writes a chunk a second: two for
//! each call, of which the second closes its arguments, and a last one that ends the reply.

use std::sync::{Arc, Mutex};
use std::time::Duration;

use callsheet::testing::{self, Scripted, failure, reply, streamed};
use callsheet::{
    CallReport, Effects, Event, Limits, Mode, ModelRetries, Outcome, OutcomeKind, RoundReport,
    SessionOptions, ToolSet, ToolType, model,
};
use serde_json::json;

use crate::support::{Stage, dynamic, limits, outcomes, seconds, stage_with};

/// A tool that sleeps `{"s": seconds}` and writes each call's key and arguments down as it begins.
fn noted(name: &str, effects: Effects) -> (ToolType, Arc<Mutex<Vec<String>>>) {
    let begun = Arc::new(Mutex::new(Vec::new()));
    let notes = Arc::clone(&begun);
    let parameters = json!({"type": "object", "properties": {"s": {"type": "integer"}}});
    let tool = dynamic(name, parameters, move |arguments, context| {
        let key = context.key();
        let (round, attempt, ordinal) = (key.round, key.attempt, key.ordinal);
        notes
            .lock()
            .expect("no panic holds it")
            .push(format!("{round}/{attempt}/{ordinal} {arguments}"));
        async move {
            let s = arguments["s"].as_u64().unwrap_or_default();
            tokio::time::sleep(seconds(s)).await;
            Ok(format!("slept {s}"))
        }
    });
    (tool.effects(effects), begun)
}

fn reader() -> ToolType {
    noted("read", Effects::None).0
}

fn two_calls(tool: &str) -> Scripted {
    reply().call(tool, r#"{"s": 3}"#).call(tool, r#"{"s": 3}"#)
}

fn done() -> Scripted {
    reply().text("done")
}

/// Says that asking again goes without a rest.
fn at_once(retries: u32) -> ModelRetries {
    let backoff = callsheet::supervision::Backoff { min: Duration::ZERO, max: Duration::ZERO };
    ModelRetries { retries, backoff }
}

fn stage_that_retries(
    script: impl IntoIterator<Item = Scripted>,
    tools: impl IntoIterator<Item = ToolType>,
    retries: u32,
) -> Stage {
    let model = testing::ScriptedModel::new(script);
    let tools = Arc::new(ToolSet::new(tools).expect("the tools are well formed"));
    let options = SessionOptions::new(model.clone(), tools).limits(limits());
    let options = options.model_retries(at_once(retries));
    Stage { session: testing::runtime().session(options), model }
}

/// When the calls began, in whole seconds after the request.
fn begins(round: &RoundReport) -> Vec<u64> {
    let first = round.dispatched.expect("a call ran");
    round.calls.iter().map(|call| (first + call.started).as_secs()).collect()
}

async fn one_round(script: Scripted, tool: ToolType, limits: Limits) -> Arc<RoundReport> {
    let stage = stage_with([script, done()], [tool], limits);
    let answer = stage.ask().await;
    let [round] = &*answer.report.rounds else { panic!("one round") };
    let parts = round.model + round.wall + round.overhead;
    assert_eq!(round.clock + round.overlap, parts, "every millisecond has an owner: {round:?}");
    Arc::clone(round)
}

#[test]
fn a_reading_call_begins_when_its_brace_closes() {
    testing::run(async {
        let round = one_round(two_calls("read").paced(seconds(1)), reader(), limits()).await;
        assert_eq!(begins(&round), [2, 4]);
        assert_eq!((round.model, round.wall), (seconds(5), seconds(5)));
        assert_eq!((round.overlap, round.clock), (seconds(3), seconds(7)));
        assert_eq!(round.critical_call.as_deref(), Some("call_1"));
        assert!(round.calls.iter().all(|call| call.early && call.ran == seconds(3)));
    });
}

#[test]
fn where_braces_are_doubtful_a_call_begins_when_the_next_opens_or_the_reply_ends() {
    testing::run(async {
        let script = two_calls("read").paced(seconds(1)).with_doubtful_braces();
        let round = one_round(script, reader(), limits()).await;
        assert_eq!(begins(&round), [3, 5]);
        assert_eq!((round.overlap, round.clock), (seconds(2), seconds(8)));
    });
}

#[test]
fn calls_with_effects_wait_for_the_end_of_the_reply_unless_their_tool_says_otherwise() {
    testing::run(async {
        for effects in [Effects::Idempotent, Effects::Once] {
            let script = || two_calls("put").paced(seconds(1));
            let waits = one_round(script(), noted("put", effects).0, limits()).await;
            assert_eq!((waits.overlap, waits.clock), (seconds(0), seconds(8)), "{effects:?}");
            assert!(waits.calls.iter().all(|call| !call.early));
            let tool = noted("put", effects).0.early(true);
            let begins_early = one_round(script(), tool, limits()).await;
            assert_eq!(begins(&begins_early), [3, 5], "when the next opens, at the end");
        }
    });
}

#[test]
fn a_tool_a_mode_and_a_session_may_say_that_calls_wait() {
    testing::run(async {
        let (sequential, off) = (Mode::Sequential, Mode::Parallel);
        let table = [
            (reader().early(false), limits(), 8),
            (reader().exclusive(), limits(), 11),
            (reader().early(true).exclusive(), limits(), 11),
            (reader(), Limits { mode: sequential, ..limits() }, 11),
            (reader(), Limits { mode: off, early_dispatch: false, ..limits() }, 8),
        ];
        for (tool, limits, clock) in table {
            let round = one_round(two_calls("read").paced(seconds(1)), tool, limits).await;
            assert_eq!((round.overlap, round.clock.as_secs()), (seconds(0), clock));
        }
    });
}

#[test]
fn calls_that_cannot_run_do_not_begin_early_and_hold_up_nobody() {
    testing::run(async {
        let script = reply()
            .call("nobody", r#"{"s": 1}"#)
            .call("read", r#"{"s": "x"}"#)
            .call("read", r#"{"s": 1}"#)
            .call("read", "[1]")
            .paced(seconds(1));
        let round = one_round(script, reader(), limits()).await;
        assert_eq!(outcomes(&round), ["unknown_tool", "bad_arguments", "ok", "bad_arguments"]);
        let early: Vec<_> = round.calls.iter().map(|call| call.early).collect();
        assert_eq!(early, [false, false, true, false]);
    });
}

#[test]
fn a_call_beyond_the_limit_is_denied_and_does_not_begin() {
    testing::run(async {
        let (tool, begun) = noted("read", Effects::None);
        let limits = Limits { max_calls_per_round: 1, ..limits() };
        let round = one_round(two_calls("read").paced(seconds(1)), tool, limits).await;
        assert_eq!(outcomes(&round), ["ok", "denied"]);
        assert_eq!(begun.lock().unwrap().len(), 1);
    });
}

#[test]
fn results_that_came_before_the_reply_ended_are_told_in_the_order_of_the_calls() {
    testing::run(async {
        let script = reply()
            .call("read", r#"{"s": 4}"#)
            .call("read", r#"{"s": 0}"#)
            .call("put", r#"{"s": 0}"#)
            .paced(seconds(1));
        let tools = [reader(), noted("put", Effects::Once).0];
        let stage = stage_with([script, done()], tools, limits());
        stage.ask().await;
        assert_eq!(stage.told(), ["slept 4", "slept 0", "slept 0"]);
    });
}

#[test]
fn all_calls_may_have_ended_before_their_reply() {
    testing::run(async {
        let script =
            reply().call("read", r#"{"s": 0}"#).call("read", r#"{"s": 0}"#).paced(seconds(1));
        let round = one_round(script, reader(), limits()).await;
        assert_eq!((round.clock, round.wall), (seconds(5), Duration::ZERO));
        assert_eq!(outcomes(&round), ["ok", "ok"]);
        assert_eq!(begins(&round), [2, 4]);
    });
}

/// One chunk of a stream, a second after the one before.
fn chunk(delta: serde_json::Value, finish: Option<&str>) -> (Duration, String) {
    let choice = json!({"index": 0, "delta": delta, "finish_reason": finish});
    (seconds(1), format!("data: {}\n\n", json!({"choices": [choice]})))
}

fn piece(index: u32, name: Option<&str>, arguments: &str) -> (Duration, String) {
    let mut call = json!({"index": index, "function": {"arguments": arguments}});
    if let Some(name) = name {
        call["id"] = json!(format!("call_{index}"));
        call["function"]["name"] = json!(name);
    }
    chunk(json!({"tool_calls": [call]}), None)
}

fn end(finish: &str) -> (Duration, String) {
    chunk(json!({}), Some(finish))
}

#[test]
fn behind_a_list_of_calls_nothing_begins_early() {
    for name in [
        "multi_tool_use.parallel",
        "multi_tool_use/parallel",
        "functions.multi_tool_use.parallel",
        "functions_multi_tool_use_parallel",
    ] {
        check_behind_a_list(name);
    }
}

fn check_behind_a_list(name: &'static str) {
    testing::run(async move {
        let (tool, begun) = noted("read", Effects::None);
        let uses = r#"{"tool_uses": [{"recipient_name": "functions.read", "parameters": {"s": 1}},
            {"recipient_name": "functions.read", "parameters": {"s": 2}}]}"#;
        let script = reply()
            .call("read", r#"{"s": 0}"#)
            .call(name, uses)
            .call("read", r#"{"s": 3}"#)
            .paced(seconds(1));
        let stage = stage_with([script, done()], [tool], limits());
        let answer = stage.ask().await;
        let early: Vec<_> = answer.report.rounds[0].calls.iter().map(|call| call.early).collect();
        assert_eq!(early, [true, false, false, false]);
        assert_eq!(begun.lock().expect("no panic holds it")[3..], [r#"1/1/3 {"s":3}"#], "{name}");
        assert_eq!(stage.told()[2], "slept 3");
    });
}

#[test]
fn a_placeholder_begins_nothing() {
    testing::run(async {
        let (tool, begun) = noted("read", Effects::None);
        let script = streamed([
            piece(0, Some("read"), "{}"),
            piece(0, None, r#"{"s": 1}"#),
            end("tool_calls"),
        ]);
        let round = one_round(script, tool, limits()).await;
        assert_eq!(outcomes(&round), ["ok"]);
        assert_eq!(*begun.lock().unwrap(), [r#"1/1/0 {"s":1}"#]);
    });
}

#[test]
fn a_call_that_goes_on_after_its_brace_is_stopped_and_refused() {
    testing::run(async {
        let (tool, begun) = noted("read", Effects::None);
        let script = streamed([
            piece(0, Some("read"), r#"{"s": 9}"#),
            piece(1, Some("read"), r#"{"s": 0}"#),
            piece(0, None, r#", "t": 1}"#),
            end("tool_calls"),
        ]);
        let stage = stage_with([script, done()], [tool], limits());
        let answer = stage.ask().await;
        let round = &answer.report.rounds[0];
        assert_eq!(outcomes(round), ["bad_arguments", "ok"]);
        assert_eq!(begun.lock().unwrap().len(), 2, "and it is not run again");
        let [discarded] = &*round.discarded else { panic!("{round:?}") };
        assert_eq!(discarded.outcome, Some(OutcomeKind::Cancelled));
        let code = discarded.error.as_ref().map(|problem| &*problem.code);
        assert_eq!(code, Some("call_changed"), "the next try of the reply goes by it");
        assert_eq!(discarded.ran, seconds(2), "it stopped when it was contradicted");
        assert!(stage.told()[0].contains("changed after"), "{:?}", stage.told());
        assert_eq!(round.clock, seconds(4), "nobody waits for it");
    });
}

#[test]
fn a_cut_call_never_runs_and_the_whole_ones_of_its_reply_stand() {
    testing::run(async {
        for (finish, native) in [("length", None), ("tool_calls", Some("max_output_tokens"))] {
            let (tool, begun) = noted("read", Effects::None);
            let (put, put_begun) = noted("put", Effects::Once);
            let mut end = json!({"index": 0, "delta": {}, "finish_reason": finish});
            if let Some(native) = native {
                end["native_finish_reason"] = json!(native);
            }
            let script = streamed([
                piece(0, Some("read"), r#"{"s": 1}"#),
                piece(1, Some("put"), r#"{"s": 1}"#),
                piece(2, Some("read"), r#"{"s": "#),
                (seconds(1), format!("data: {}\n\n", json!({"choices": [end]}))),
            ]);
            let stage = stage_with([script, done()], [tool, put], limits());
            let answer = stage.ask().await;
            assert_eq!(outcomes(&answer.report.rounds[0]), ["ok", "ok", "truncated"]);
            assert_eq!((begun.lock().unwrap().len(), put_begun.lock().unwrap().len()), (1, 1));
        }
    });
}

#[test]
fn of_a_reply_that_a_filter_cut_only_what_had_begun_has_run() {
    testing::run(async {
        let (tool, begun) = noted("read", Effects::None);
        let (put, put_begun) = noted("put", Effects::Once);
        let script = streamed([
            piece(0, Some("put"), r#"{"s": 1}"#),
            piece(1, Some("read"), r#"{"s": 1}"#),
            piece(2, Some("put"), r#"{"s": 2}"#),
            end("content_filter"),
        ]);
        let stage = stage_with([script, done()], [tool, put], limits());
        let answer = stage.ask().await;
        assert_eq!(outcomes(&answer.report.rounds[0]), ["truncated", "ok", "truncated"]);
        assert_eq!((begun.lock().unwrap().len(), put_begun.lock().unwrap().len()), (1, 0));
    });
}

#[test]
fn what_an_attempt_that_broke_off_had_begun_answers_the_same_call_of_the_next() {
    testing::run(async {
        let (tool, begun) = noted("read", Effects::None);
        let script = [
            two_calls("read").paced(seconds(1)).broken_off_after(3),
            reply().call("read", r#"{"s": 7}"#).call("read", r#"{ "s" : 3 }"#).paced(seconds(1)),
            done(),
        ];
        let stage = stage_that_retries(script, [tool], 1);
        let answer = stage.ask().await;
        let round = &answer.report.rounds[0];
        assert_eq!(*begun.lock().unwrap(), [r#"1/1/0 {"s":3}"#, r#"1/2/0 {"s":7}"#]);
        assert_eq!(stage.told(), ["slept 7", "slept 3"]);
        assert!(round.discarded.is_empty() && round.calls.iter().all(|call| call.early));
        let [retry] = &*round.retries else { panic!("{round:?}") };
        assert_eq!((&*retry.model, &*retry.error.code), ("scripted", "stream_cut"));
        assert_eq!((retry.failed, round.dispatched), (seconds(3), Some(seconds(2))));
    });
}

/// The call that it would have answered turned out to be another: the next one that is the same has it.
#[test]
fn what_an_earlier_attempt_began_is_still_there_when_the_call_it_answers_changes() {
    testing::run(async {
        let (tool, begun) = noted("pay", Effects::Once);
        let one = r#"{"s":1}"#;
        let script = [
            streamed([piece(0, Some("pay"), one), piece(1, Some("pay"), "")]).broken_off_after(2),
            streamed([
                piece(0, Some("pay"), one),
                piece(1, Some("pay"), one),
                piece(0, None, ", 2}"),
                end("tool_calls"),
            ]),
            done(),
        ];
        let stage = stage_that_retries(script, [tool.early(true)], 1);
        let answer = stage.ask().await;
        assert_eq!(*begun.lock().unwrap(), [r#"1/1/0 {"s":1}"#], "it is never run twice");
        assert_eq!(outcomes(&answer.report.rounds[0]), ["bad_arguments", "ok"]);
    });
}

#[test]
fn what_the_next_attempt_does_not_ask_for_is_stopped_and_told_of() {
    testing::run(async {
        let (tool, begun) = noted("read", Effects::None);
        let script = [
            reply().call("read", r#"{"s": 50}"#).paced(seconds(1)).broken_off_after(2),
            reply().call("read", r#"{"s": 1}"#).paced(seconds(1)),
            done(),
        ];
        let stage = stage_that_retries(script, [tool], 1);
        let answer = stage.ask().await;
        let round = &answer.report.rounds[0];
        assert_eq!(begun.lock().unwrap().len(), 2);
        assert_eq!(stage.told(), ["slept 1"]);
        let [CallReport { outcome, ran, early: true, .. }] = &*round.discarded else {
            panic!("{round:?}")
        };
        assert_eq!((*outcome, *ran), (Some(OutcomeKind::Cancelled), seconds(3)));
        assert_eq!(answer.report.elapsed, seconds(5), "nobody waits for it");
    });
}

#[test]
fn an_attempt_that_ends_in_text_stops_what_the_one_before_had_begun() {
    testing::run(async {
        let script = [
            reply().call("read", r#"{"s": 50}"#).paced(seconds(1)).broken_off_after(2),
            done(),
            reply().call("read", r#"{"s": 1}"#),
            done(),
        ];
        let (tool, begun) = noted("read", Effects::None);
        let stage = stage_that_retries(script, [tool], 1);
        let answer = stage.ask().await;
        assert_eq!((&*answer.text, answer.report.elapsed), ("done", seconds(2)));
        let [round] = &*answer.report.rounds else { panic!("what ran is accounted for") };
        assert_eq!((round.calls.len(), round.discarded.len()), (0, 1));
        stage.ask().await;
        let keys = [r#"1/1/0 {"s":50}"#, r#"2/1/0 {"s":1}"#];
        assert_eq!(*begun.lock().unwrap(), keys, "a key is never used again");
    });
}

#[test]
fn a_turn_that_fails_stops_what_had_begun() {
    testing::run(async {
        let (tool, _) = noted("read", Effects::None);
        let script = [reply().call("read", r#"{"s": 50}"#).paced(seconds(1)).broken_off_after(2)];
        let stage = stage_with(script.into_iter().chain([done()]), [tool], limits());
        let mut events = stage.session.events();
        let failed = stage.ask_in_vain().await;
        assert_eq!(failed.cause.code(), "stream_cut");
        assert_eq!(failed.report.elapsed, seconds(2));
        let mut ends = Vec::new();
        loop {
            match &events.next().await.unwrap().event {
                Event::CallEnded { outcome: Outcome { kind, .. }, .. } => ends.push(*kind),
                Event::TurnEnded { .. } => break,
                _ => {}
            }
        }
        assert_eq!(ends, [OutcomeKind::Cancelled]);
        assert_eq!(&*stage.ask().await.text, "done");
    });
}

#[test]
fn a_cancel_stops_calls_and_the_reply_that_is_being_written() {
    testing::run(async {
        let stage =
            stage_with([two_calls("read").paced(seconds(100)), done()], [reader()], limits());
        let mut events = stage.session.events();
        let cancel = async {
            while !matches!(events.next().await.unwrap().event, Event::CallStarted { .. }) {}
            assert!(stage.session.cancel().await);
        };
        let (failed, ()) = tokio::join!(stage.ask_in_vain(), cancel);
        assert_eq!((failed.cause.code(), failed.report.elapsed), ("cancelled", seconds(200)));
    });
}

#[test]
fn one_call_can_be_cancelled_while_the_model_still_writes() {
    testing::run(async {
        let script =
            reply().call("read", r#"{"s": 500}"#).call("read", r#"{"s": 1}"#).paced(seconds(100));
        let stage = stage_with([script, done()], [reader()], limits());
        let mut events = stage.session.events();
        let cancel = async {
            while !matches!(events.next().await.unwrap().event, Event::CallStarted { .. }) {}
            assert!(stage.session.cancel_call("call_0").await);
        };
        let (answer, ()) = tokio::join!(stage.ask(), cancel);
        assert_eq!(outcomes(&answer.report.rounds[0]), ["cancelled", "ok"]);
        assert_eq!(answer.report.elapsed, seconds(500), "as long as the model wrote");
    });
}

#[test]
fn the_time_limit_of_a_call_counts_from_its_own_beginning() {
    testing::run(async {
        let script =
            reply().call("read", r#"{"s": 9}"#).call("read", r#"{"s": 1}"#).paced(seconds(1));
        let tool = reader().time_limit(seconds(2));
        let round = one_round(script, tool, limits()).await;
        assert_eq!(outcomes(&round), ["timed_out", "ok"]);
        assert_eq!((round.calls[0].ran, round.clock), (seconds(2), seconds(5)));
    });
}

#[test]
fn the_time_of_a_round_counts_from_the_end_of_its_reply() {
    testing::run(async {
        let script =
            reply().call("read", r#"{"s": 99}"#).call("read", r#"{"s": 1}"#).paced(seconds(10));
        let limits = Limits { round_time_limit: seconds(15), ..limits() };
        let round = one_round(script, reader(), limits).await;
        assert_eq!(outcomes(&round), ["timed_out", "ok"]);
        assert_eq!(round.clock, seconds(65), "50 to write, 15 for the round");
    });
}

#[test]
fn a_call_that_fails_early_is_answered_like_any_other() {
    testing::run(async {
        let panics = dynamic("read", json!({"type": "object"}), |_, _| async { panic!("boom") });
        let round =
            one_round(two_calls("read").paced(seconds(1)), panics.effects(Effects::None), limits())
                .await;
        assert_eq!(outcomes(&round), ["panicked", "panicked"]);
        assert_eq!(round.restarts, 2);
    });
}

#[test]
fn an_early_call_is_on_record_before_it_begins_and_its_end_before_the_reply() {
    testing::run(async {
        let script = reply().call("read", r#"{"s": 0}"#).paced(seconds(1));
        let stage = stage_with([script, done()], [reader()], limits());
        let mut events = stage.session.events();
        stage.ask().await;
        let mut heard = Vec::new();
        loop {
            let record = events.next().await.unwrap();
            heard.push(match &record.event {
                Event::CallStarted { arguments, .. } => format!("started {arguments:?}"),
                Event::CallEnded { .. } => "ended".to_owned(),
                Event::Replied { calls, .. } => {
                    format!("replied {:?}", calls.first().map(|call| call.begun.is_some()))
                }
                Event::TurnEnded { .. } => break,
                _ => continue,
            });
        }
        let started = r#"started Some("{\"s\": 0}")"#;
        assert_eq!(heard, [started, "ended", "replied Some(true)", "replied None"]);
    });
}

#[test]
fn a_failure_of_the_model_before_it_said_anything_changes_nothing() {
    testing::run(async {
        let lost = failure(model::Error::Cut { url: "u".into(), reason: "r".into() });
        let stage =
            stage_that_retries([lost, two_calls("read").paced(seconds(1)), done()], [reader()], 1);
        let answer = stage.ask().await;
        assert_eq!(begins(&answer.report.rounds[0]), [2, 4]);
    });
}

#[test]
fn calls_of_two_attempts_that_stand_at_the_same_place_both_wait_for_their_worker() {
    testing::run(async {
        let parameters = json!({"type": "object", "properties": {"s": {"type": "integer"}}});
        let tool = dynamic("read", parameters, |arguments, _| async move {
            let s = arguments["s"].as_u64().unwrap_or_default();
            tokio::time::sleep(seconds(s)).await;
            assert!(s < 20, "boom");
            Ok(format!("slept {s}"))
        });
        // One at a time: the others stand in line when it takes the worker down.
        let tool = tool.effects(Effects::None).max_concurrency(1);
        let first = reply().call("read", r#"{"s": 20}"#).call("read", r#"{"s": 1}"#);
        let second = reply()
            .call("read", r#"{"s": 20}"#)
            .call("read", r#"{"s": 2}"#)
            .call("read", r#"{"s": 1}"#);
        let script =
            [first.paced(seconds(1)).broken_off_after(4), second.paced(seconds(1)), done()];
        let stage = stage_that_retries(script, [tool], 1);
        let answer = stage.ask().await;
        let round = &answer.report.rounds[0];
        assert_eq!(outcomes(round), ["panicked", "ok", "ok"]);
        assert_eq!(answer.report.elapsed.as_secs(), 25, "none of them was forgotten");
    });
}
