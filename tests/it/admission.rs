//! Calls that wait for their turn: among those of their tool, their session, the process.

use std::num::NonZeroU32;
use std::sync::Arc;
use std::time::Duration;

use callsheet::testing::{self, Scripted, ScriptedModel, reply};
use callsheet::tools::RateLimit;
use callsheet::{Effects, Event, Limits, RoundReport, Runtime, SessionOptions, ToolSet, ToolType};
use serde_json::json;
use tokio::time::{Instant, sleep};

use crate::support::{bomb, dynamic, limits, outcomes, seconds, sleeper, stage};

/// A tool that takes a second.
fn second(name: &str) -> ToolType {
    dynamic(name, json!({"type": "object"}), |_, _| async {
        sleep(seconds(1)).await;
        Ok("done".to_owned())
    })
    .effects(Effects::None)
}

fn calls(tool: &str, count: u32) -> Scripted {
    (0..count).fold(reply(), |reply, n| reply.call(tool, &format!(r#"{{"n": {n}}}"#)))
}

async fn round(script: Scripted, tools: impl IntoIterator<Item = ToolType>) -> Arc<RoundReport> {
    let answer = stage([script, reply().text("done")], tools).ask().await;
    Arc::clone(&answer.report.rounds[0])
}

fn started(round: &RoundReport) -> Vec<u64> {
    round.calls.iter().map(|call| (call.started + call.queued).as_secs()).collect()
}

#[test]
fn so_many_calls_of_a_tool_run_at_a_time_in_the_order_they_came() {
    testing::run(async {
        let round = round(calls("work", 7), [second("work").max_concurrency(3)]).await;
        assert_eq!(started(&round), [0, 0, 0, 1, 1, 1, 2]);
        assert_eq!(round.wall, seconds(3));
        assert!(round.calls.iter().all(|call| call.ran == seconds(1)), "waiting is not running");
    });
}

#[test]
fn the_bound_holds_across_sessions() {
    testing::run(async {
        let tools = Arc::new(ToolSet::new([second("work").max_concurrency(2)]).unwrap());
        let runtime = testing::runtime();
        let began = Instant::now();
        let ask = |_| {
            let model = ScriptedModel::new([calls("work", 2), reply().text("done")]);
            let options = SessionOptions::new(model, Arc::clone(&tools)).limits(limits());
            let session = runtime.session(options);
            actix_rt::spawn(async move { session.ask("go").await.map(|_| ()) })
        };
        let asked: Vec<_> = (0..3).map(ask).collect();
        for asked in asked {
            asked.await.unwrap().unwrap();
        }
        assert_eq!(began.elapsed(), seconds(3));
    });
}

#[test]
fn what_a_tool_is_registered_for_slows_no_other() {
    testing::run(async {
        let one = NonZeroU32::MIN;
        let limited = second("limited")
            .max_concurrency(1)
            .exclusive()
            .serial_by("n")
            .rate_limit(RateLimit { calls: one, per: seconds(10) });
        let script = calls("limited", 3).call("free", "{}").call("free", "{}");
        let round = round(script, [limited, second("free")]).await;
        assert_eq!(started(&round), [0, 10, 20, 0, 0]);
    });
}

#[test]
fn an_exclusive_tool_runs_one_call_at_a_time_in_each_session() {
    testing::run(async {
        let tools = Arc::new(ToolSet::new([second("work").exclusive()]).unwrap());
        let runtime = testing::runtime();
        let began = Instant::now();
        let ask = |_| {
            let model = ScriptedModel::new([calls("work", 3), reply().text("done")]);
            let options = SessionOptions::new(model, Arc::clone(&tools)).limits(limits());
            let session = runtime.session(options);
            actix_rt::spawn(async move { session.ask("go").await.map(|_| ()) })
        };
        let asked: Vec<_> = (0..3).map(ask).collect();
        for asked in asked {
            asked.await.unwrap().unwrap();
        }
        assert_eq!(began.elapsed(), seconds(3), "the sessions do not wait for each other");
    });
}

#[test]
fn calls_with_the_same_argument_run_one_after_the_other() {
    testing::run(async {
        let script = reply()
            .call("book", r#"{"account": "a"}"#)
            .call("book", r#"{"account": "b"}"#)
            .call("book", r#"{ "account":"a" }"#)
            .call("book", "{}")
            .call("book", r#"{"account": "a"}"#);
        let round = round(script, [second("book").serial_by("account")]).await;
        assert_eq!(started(&round), [0, 0, 1, 0, 2]);
    });
}

#[test]
fn so_many_calls_begin_in_a_time() {
    testing::run(async {
        let calls_ = NonZeroU32::new(2).unwrap();
        let tool = second("work").rate_limit(RateLimit { calls: calls_, per: seconds(10) });
        let round = round(calls("work", 5), [tool]).await;
        assert_eq!(started(&round), [0, 0, 5, 10, 15]);
    });
}

#[test]
fn one_call_more_than_may_wait_is_overloaded_at_once() {
    testing::run(async {
        let tool = second("work").max_concurrency(1).max_queue(2);
        let round = round(calls("work", 5), [tool]).await;
        assert_eq!(outcomes(&round), ["ok", "ok", "ok", "overloaded", "overloaded"]);
        let call = &round.calls[3];
        assert_eq!((call.attempts, call.queued), (0, Duration::ZERO));
        assert!(call.result.as_ref().unwrap().contains("2 calls of the tool `work` wait already"));
    });
}

#[test]
fn a_session_and_a_process_have_bounds_of_their_own() {
    testing::run(async {
        let tools = Arc::new(ToolSet::new([second("work"), sleeper()]).unwrap());
        let script = || calls("work", 3).call("sleep", r#"{"s": 1}"#);
        let ask = |runtime: &Runtime, bound: Option<usize>| {
            let model = ScriptedModel::new([script(), reply().text("done")]);
            let options = SessionOptions::new(model, Arc::clone(&tools)).limits(limits());
            let options = match bound {
                Some(calls) => options.max_concurrency(calls),
                None => options,
            };
            let session = runtime.session(options);
            actix_rt::spawn(
                async move { session.ask("go").await.map(|answer| answer.report.elapsed) },
            )
        };
        let runtime = testing::runtime();
        let both = [ask(&runtime, Some(2)), ask(&runtime, Some(2))];
        for asked in both {
            assert_eq!(asked.await.unwrap().unwrap(), seconds(2));
        }
        let builder = testing::builder().max_concurrency(2);
        let runtime = builder.in_current_system().unwrap();
        let both = [ask(&runtime, None), ask(&runtime, None)];
        let mut elapsed = Vec::new();
        for asked in both {
            elapsed.push(asked.await.unwrap().unwrap());
        }
        assert_eq!(elapsed.iter().max(), Some(&seconds(4)));
    });
}

#[test]
fn a_call_that_gives_up_or_fails_lets_the_next_one_in() {
    testing::run(async {
        let hang = dynamic("work", json!({"type": "object"}), |arguments, _| async move {
            match arguments["n"].as_u64() {
                Some(0) => std::future::pending().await,
                Some(1) => panic!("boom"),
                _ => Ok("done".to_owned()),
            }
        });
        let tool = hang.max_concurrency(1).time_limit(seconds(5));
        let script = [calls("work", 3), reply().text("a"), calls("work", 1), reply().text("b")];
        let stage = stage(script, [tool]);
        let answer = stage.ask().await;
        let round = &answer.report.rounds[0];
        // All three had the same five seconds.
        assert_eq!(outcomes(round), ["timed_out", "timed_out", "timed_out"]);
        assert!(stage.told()[0].contains("may have taken effect"));
        assert!(!stage.told()[1].contains("may have taken effect"), "it never began");
        assert_eq!(round.calls[1].attempts, 0);
    });
}

#[test]
fn permits_are_given_back_while_a_call_rests() {
    testing::run(async {
        let tool = dynamic("work", json!({"type": "object"}), |arguments, context| async move {
            sleep(seconds(1)).await;
            match (arguments["n"].as_u64(), context.attempt()) {
                (Some(0), 1) => Err("busy".to_owned()),
                _ => Ok("done".to_owned()),
            }
        });
        let tool = tool.effects(Effects::None).max_concurrency(1).retries(1);
        let round = round(calls("work", 2), [tool]).await;
        assert_eq!(outcomes(&round), ["ok", "ok"]);
        assert_eq!(started(&round)[1], 1, "it runs while the other one rests");
        assert_eq!(round.wall, seconds(3));
    });
}

#[test]
fn permits_are_given_back_while_a_worker_rests() {
    testing::run(async {
        let runtime = testing::builder().max_concurrency(1).in_current_system().unwrap();
        let script =
            reply().call("bomb", "{}").call("bomb", r#"{"n": 1}"#).call("sleep", r#"{"s": 1}"#);
        let model = ScriptedModel::new([script, reply().text("done")]);
        let tools = Arc::new(ToolSet::new([bomb(), sleeper()]).unwrap());
        let session = runtime.session(SessionOptions::new(model, tools).limits(limits()));
        let answer = session.ask("go").await.unwrap();
        let round = &answer.report.rounds[0];
        assert_eq!(outcomes(round), ["panicked", "panicked", "ok"]);
        let sleep = &round.calls[2];
        assert_eq!(sleep.queued, Duration::ZERO, "{sleep:?}");
    });
}

#[test]
fn a_queue_is_as_long_as_it_is_however_many_calls_come_at_once() {
    testing::run(async {
        let tools = [second("work").max_concurrency(500).max_queue(0)];
        let model = ScriptedModel::new([calls("work", 400), reply().text("done")]);
        let tools = Arc::new(ToolSet::new(tools).unwrap());
        let limits = Limits { max_calls_per_round: 400, ..limits() };
        let options = SessionOptions::new(model, tools).limits(limits).max_concurrency(500);
        let answer = testing::runtime().session(options).ask("go").await.unwrap();
        assert!(outcomes(&answer.report.rounds[0]).iter().all(|outcome| *outcome == "ok"));
    });
}

#[test]
fn a_call_that_waits_for_its_session_holds_nothing_that_others_need() {
    testing::run(async {
        let tools = [sleeper(), second("work").max_concurrency(1)];
        let tools = Arc::new(ToolSet::new(tools).unwrap());
        let runtime = testing::runtime();
        let ask = |script: Scripted, bound: usize| {
            let model = ScriptedModel::new([script, reply().text("done")]);
            let options = SessionOptions::new(model, Arc::clone(&tools)).limits(limits());
            let session = runtime.session(options.max_concurrency(bound));
            actix_rt::spawn(async move { session.ask("go").await.unwrap() })
        };
        let narrow = ask(reply().call("sleep", r#"{"s": 30}"#).call("work", "{}"), 1);
        sleep(Duration::from_millis(10)).await;
        let wide = ask(calls("work", 1), 9).await.unwrap();
        assert_eq!(wide.report.rounds[0].calls[0].queued, Duration::ZERO);
        assert_eq!(narrow.await.unwrap().report.rounds[0].wall, seconds(31));
    });
}

#[test]
fn a_call_does_not_begin_when_its_time_is_over() {
    testing::run(async {
        let work = dynamic("work", json!({"type": "object"}), |_, _| async {
            sleep(seconds(5)).await;
            Ok("in time".to_owned())
        });
        let tool = work.max_concurrency(1).time_limit(seconds(5));
        let tools = Arc::new(ToolSet::new([tool]).unwrap());
        let runtime = testing::runtime();
        let ask = || {
            let model = ScriptedModel::new([calls("work", 1), reply().text("done")]);
            let options = SessionOptions::new(model, Arc::clone(&tools)).limits(limits());
            let session = runtime.session(options);
            actix_rt::spawn(async move { session.ask("go").await.unwrap() })
        };
        let (first, second) = (ask(), ask());
        let (first, second) = (first.await.unwrap(), second.await.unwrap());
        let calls = [first, second].map(|answer| answer.report.rounds[0].calls[0].clone());
        let ended = calls.map(|call| (call.outcome.unwrap().as_str(), call.attempts));
        assert_eq!(ended, [("ok", 1), ("timed_out", 0)]);
    });
}

#[test]
fn those_who_listen_hear_which_calls_wait_for_their_turn() {
    testing::run(async {
        let script = [calls("work", 3), reply().text("done")];
        let stage = stage(script, [second("work").max_concurrency(1)]);
        let mut events = stage.session.events();
        stage.ask().await;
        let mut heard = Vec::new();
        while let Some(record) = events.next().await {
            match &record.event {
                Event::CallQueued { ordinal, ahead, .. } => heard.push((*ordinal, *ahead)),
                Event::TurnEnded { .. } => break,
                _ => {}
            }
        }
        assert_eq!(heard, [(1, 0), (2, 1)]);
    });
}

#[test]
fn a_rate_is_of_beginnings_and_not_of_places_in_the_line() {
    testing::run(async {
        let tool = dynamic("work", json!({"type": "object"}), |arguments, _| async move {
            sleep(if arguments["n"] == 0 { seconds(20) } else { Duration::from_millis(1) }).await;
            Ok("done".to_owned())
        });
        let rate = RateLimit { calls: NonZeroU32::new(2).unwrap(), per: seconds(1) };
        let tool = tool.max_concurrency(1).rate_limit(rate);
        let round = round(calls("work", 6), [tool]).await;
        let began: Vec<_> =
            round.calls.iter().map(|call| (call.started + call.queued).as_millis()).collect();
        assert_eq!(began[..2], [0, 20_000]);
        assert!(began[1..].windows(3).all(|three| three[2] - three[0] >= 500), "{began:?}");
    });
}

#[test]
fn exclusive_calls_keep_their_order_whatever_else_they_wait_for() {
    testing::run(async {
        let tools = [second("work").exclusive(), second("other")];
        let tools = Arc::new(ToolSet::new(tools).unwrap());
        let runtime = testing::builder().max_concurrency(2).in_current_system().unwrap();
        let ask = |script: Scripted| {
            let model = ScriptedModel::new([script, reply().text("done")]);
            let options = SessionOptions::new(model, Arc::clone(&tools)).limits(limits());
            let session = runtime.session(options);
            actix_rt::spawn(async move { session.ask("go").await.unwrap() })
        };
        let others: Vec<_> = (0..3).map(|_| ask(calls("other", 5))).collect();
        let answer = ask(calls("work", 6)).await.unwrap();
        let began = started(&answer.report.rounds[0]);
        assert!(began.is_sorted_by(|one, next| one < next), "{began:?}");
        for other in others {
            other.await.unwrap();
        }
    });
}

#[test]
fn a_limit_that_no_call_could_keep_is_refused() {
    let never = RateLimit { calls: NonZeroU32::MIN, per: Duration::ZERO };
    let limited = [
        ("time limit of one try", second("work").attempt_time_limit(Duration::ZERO)),
        ("silence limit", second("work").silence_limit(Duration::ZERO)),
        ("period of the rate limit", second("work").rate_limit(never)),
    ];
    for (name, tool) in limited {
        let error = ToolSet::new([tool]).unwrap_err().to_string();
        assert_eq!(error, format!("the {name} of the tool `work` is zero: no call could keep it"));
    }
}
