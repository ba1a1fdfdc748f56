//! Tools that fail too often: withdrawn for a while, then tried again by one call.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU32, Ordering};
use std::time::Duration;

use callsheet::model::{Events, Model, Request};
use callsheet::supervision::{Backoff, RestartLimits};
use callsheet::testing::{self, Scripted, ScriptedModel, reply};
use callsheet::{Effects, Event, Session, SessionOptions, ToolSet, ToolType};
use serde_json::json;
use tokio::time::sleep;

use crate::support::{Stage, dynamic, limits, outcomes, seconds, sleeper};

/// Crashes, hangs or answers, as its switches say. Counts the calls that began.
#[derive(Clone, Default)]
struct Switches {
    crashes: Arc<AtomicBool>,
    hangs: Arc<AtomicBool>,
    begun: Arc<AtomicU32>,
}

impl Switches {
    fn tool(&self, name: &str) -> ToolType {
        let switches = self.clone();
        dynamic(name, json!({"type": "object"}), move |_, _| {
            let switches = switches.clone();
            async move {
                switches.begun.fetch_add(1, Ordering::Relaxed);
                assert!(!switches.crashes.load(Ordering::Relaxed), "licence expired");
                if switches.hangs.load(Ordering::Relaxed) {
                    std::future::pending::<()>().await;
                }
                Ok("fine".to_owned())
            }
        })
        .effects(Effects::None)
        .time_limit(seconds(2))
    }

    fn crash(&self, crashes: bool) {
        self.crashes.store(crashes, Ordering::Relaxed);
    }

    fn hang(&self, hangs: bool) {
        self.hangs.store(hangs, Ordering::Relaxed);
    }

    fn begun(&self) -> u32 {
        self.begun.load(Ordering::Relaxed)
    }
}

fn supervision() -> RestartLimits {
    RestartLimits {
        max_restarts: 2,
        within: seconds(30),
        backoff: Backoff { min: Duration::from_millis(100), max: seconds(1) },
        cool_down: seconds(60),
        ..RestartLimits::default()
    }
}

/// A call with arguments of its own.
fn call(n: u32) -> Scripted {
    reply().call("frail", &format!(r#"{{"n": {n}}}"#))
}

fn session(model: &Arc<ScriptedModel>, tools: &Arc<ToolSet>, limits_: RestartLimits) -> Session {
    let options = SessionOptions::new(model.clone(), Arc::clone(tools));
    testing::runtime().session(options.limits(limits()).supervision(limits_))
}

fn stage(
    script: impl IntoIterator<Item = Scripted>,
    tools: impl IntoIterator<Item = ToolType>,
) -> Stage {
    let model = ScriptedModel::new(script);
    let tools = Arc::new(ToolSet::new(tools).expect("the tools are well formed"));
    Stage { session: session(&model, &tools, supervision()), model }
}

/// Asks until three calls have crashed, and the circuit is open.
async fn break_it(stage: &Stage) {
    let answer = stage.ask().await;
    let last = answer.report.rounds.last().expect("there were rounds");
    assert_eq!(outcomes(last), ["panicked"]);
}

fn three_crashes() -> impl Iterator<Item = Scripted> {
    (0..3).map(call).chain([reply().text("I give up")])
}

#[test]
fn a_tool_that_fails_too_often_is_withdrawn_and_its_calls_answered_at_once() {
    testing::run(async {
        let switches = Switches::default();
        switches.crash(true);
        let script = three_crashes().chain([
            reply().call("frail", "{}").call("sleep", r#"{"s": 1}"#),
            reply().text("done"),
        ]);
        let stage = stage(script, [switches.tool("frail"), sleeper()]);
        break_it(&stage).await;
        let answer = stage.ask().await;
        let round = &answer.report.rounds[0];
        assert_eq!(outcomes(round), ["unavailable", "ok"]);
        assert_eq!((round.calls[0].attempts, round.calls[0].ran), (0, Duration::ZERO));
        assert_eq!(switches.begun(), 3);
        let told = &stage.told()[3];
        assert!(told.contains("out of service") && told.contains("licence expired"), "{told}");
        assert!(told.contains("tried again in 60.0 s"), "{told}");
    });
}

#[test]
fn after_the_cool_down_the_first_call_finds_out_and_the_others_are_refused_meanwhile() {
    testing::run(async {
        let switches = Switches::default();
        switches.crash(true);
        let script = three_crashes().chain([
            reply().call("frail", r#"{"a": 1}"#).call("frail", r#"{"a": 2}"#),
            reply().call("frail", r#"{"a": 3}"#).call("frail", r#"{"a": 4}"#),
            reply().text("done"),
        ]);
        let stage = stage(script, [switches.tool("frail")]);
        break_it(&stage).await;
        switches.crash(false);
        let mut events = stage.session.events();
        sleep(seconds(60)).await;
        let answer = stage.ask().await;
        assert_eq!(outcomes(&answer.report.rounds[0]), ["ok", "ok"], "the probe answers at once");
        assert_eq!(outcomes(&answer.report.rounds[1]), ["ok", "ok"]);
        let mut closed = 0;
        while let Ok(Some(record)) = tokio::time::timeout(seconds(1), events.next()).await {
            closed += u32::from(matches!(record.event, Event::CircuitClosed { .. }));
        }
        assert_eq!(closed, 1);
    });
}

#[test]
fn a_probe_that_takes_its_time_has_the_others_refused() {
    testing::run(async {
        let switches = Switches::default();
        switches.crash(true);
        let script = three_crashes().chain([
            reply().call("frail", r#"{"a": 1}"#).call("frail", r#"{"a": 2}"#),
            reply().call("frail", r#"{"a": 3}"#),
            reply().text("done"),
        ]);
        let stage = stage(script, [switches.tool("frail")]);
        break_it(&stage).await;
        switches.crash(false);
        switches.hang(true);
        sleep(seconds(60)).await;
        let answer = stage.ask().await;
        let outcome = |n: usize| outcomes(&answer.report.rounds[n]);
        assert_eq!(outcome(0), ["timed_out", "unavailable"]);
        assert_eq!(outcome(1), ["unavailable"], "a probe that hangs opens the circuit again");
        let told = stage.told();
        assert!(told[4].contains("another call is just finding out"), "{}", told[4]);
    });
}

#[test]
fn a_probe_that_crashes_opens_the_circuit_again() {
    testing::run(async {
        let switches = Switches::default();
        switches.crash(true);
        let script =
            three_crashes().chain([call(7), call(8), reply().text("done"), call(9), reply()]);
        let stage = stage(script, [switches.tool("frail")]);
        break_it(&stage).await;
        sleep(seconds(60)).await;
        let answer = stage.ask().await;
        assert_eq!(outcomes(&answer.report.rounds[0]), ["panicked"]);
        assert_eq!(outcomes(&answer.report.rounds[1]), ["unavailable"]);
        switches.crash(false);
        sleep(seconds(60)).await;
        let answer = stage.ask().await;
        assert_eq!(outcomes(&answer.report.rounds[0]), ["ok"]);
    });
}

#[test]
fn a_probe_that_is_cancelled_leaves_it_to_the_next_call() {
    testing::run(async {
        let switches = Switches::default();
        switches.crash(true);
        let script = three_crashes().chain([call(7), call(8), reply().text("done")]);
        let stage = stage(script, [switches.tool("frail")]);
        break_it(&stage).await;
        switches.crash(false);
        switches.hang(true);
        sleep(seconds(60)).await;
        let session = stage.session.clone();
        let asked = actix_rt::spawn(async move { session.ask("go").await });
        sleep(seconds(1)).await;
        assert!(stage.session.cancel().await);
        assert!(asked.await.unwrap().is_err());
        switches.hang(false);
        let answer = stage.ask().await;
        assert_eq!(outcomes(&answer.report.rounds[0]), ["ok"]);
    });
}

/// Keeps what was said of tools in each request.
struct Listening {
    model: Arc<ScriptedModel>,
    offers: std::sync::Mutex<Vec<(String, bool)>>,
}

impl Model for Listening {
    fn name(&self) -> &str {
        "listening"
    }

    fn ask(&self, request: Request<'_>) -> Events {
        let tools = String::from_utf8_lossy(request.tools).into_owned();
        let listed: Vec<serde_json::Value> = serde_json::from_str(&tools).unwrap_or_default();
        let listed = listed.iter().map(|tool| tool["function"]["name"].as_str());
        let names = request.names.iter().map(|name| Some(&*name.on_the_wire));
        assert!(listed.eq(names), "{:?} are the names of {tools}", request.names);
        self.offers.lock().expect("nobody panics with it").push((tools, request.may_call));
        self.model.ask(request)
    }
}

fn listening(script: impl IntoIterator<Item = Scripted>) -> Arc<Listening> {
    Arc::new(Listening { model: ScriptedModel::new(script), offers: Default::default() })
}

#[test]
fn the_model_is_not_offered_a_tool_that_is_out_of_service() {
    testing::run(async {
        let switches = Switches::default();
        switches.crash(true);
        let model = listening(three_crashes().chain([reply().text("so"), reply().text("again")]));
        let tools = Arc::new(ToolSet::new([switches.tool("frail"), sleeper()]).unwrap());
        let options = SessionOptions::new(model.clone(), tools).supervision(supervision());
        let session = testing::runtime().session(options.limits(limits()));
        session.ask("go").await.unwrap();
        session.ask("go").await.unwrap();
        sleep(seconds(60)).await;
        session.ask("go").await.unwrap();
        let offers = model.offers.lock().unwrap().clone();
        let offered: Vec<_> = offers.iter().map(|(tools, _)| tools.contains("frail")).collect();
        assert_eq!(offered, [true, true, true, false, false, true]);
        assert!(offers.iter().all(|(tools, may_call)| tools.contains("sleep") && *may_call));
    });
}

#[test]
fn the_last_tool_stays_listed_and_may_not_be_called() {
    testing::run(async {
        let switches = Switches::default();
        switches.crash(true);
        let model = listening(three_crashes());
        let tools = Arc::new(ToolSet::new([switches.tool("frail")]).unwrap());
        let options = SessionOptions::new(model.clone(), tools).supervision(supervision());
        testing::runtime().session(options.limits(limits())).ask("go").await.unwrap();
        let offers = model.offers.lock().unwrap().clone();
        assert!(offers.iter().all(|(tools, _)| tools.contains("frail")));
        let may_call: Vec<_> = offers.iter().map(|(_, may_call)| *may_call).collect();
        assert_eq!(may_call, [true, true, true, false]);
    });
}

#[test]
fn what_three_sessions_learnt_the_others_know() {
    testing::run(async {
        let switches = Switches::default();
        switches.crash(true);
        let tools = Arc::new(ToolSet::new([switches.tool("frail")]).unwrap());
        let mut outcome = Vec::new();
        for n in 0..10 {
            let model = ScriptedModel::new([call(n), reply().text("done")]);
            let session = session(&model, &tools, supervision());
            let answer = session.ask("go").await.unwrap();
            outcome.push(outcomes(&answer.report.rounds[0])[0]);
        }
        assert_eq!(outcome[..3], ["panicked"; 3]);
        assert_eq!(outcome[3..], ["unavailable"; 7]);
        assert_eq!(tools.get("frail").unwrap().health().circuit, "open");
        // And one of them finds out for all.
        switches.crash(false);
        sleep(seconds(60)).await;
        for n in 0..3 {
            let model = ScriptedModel::new([call(n), reply().text("done")]);
            let answer = session(&model, &tools, supervision()).ask("go").await.unwrap();
            assert_eq!(outcomes(&answer.report.rounds[0]), ["ok"]);
        }
        assert_eq!(tools.get("frail").unwrap().health().circuit, "closed");
    });
}

#[test]
fn a_call_in_twenty_that_crashes_does_not_take_a_tool_from_all() {
    testing::run(async {
        let tool = dynamic("frail", json!({"type": "object"}), |arguments, _| async move {
            sleep(Duration::from_millis(1)).await; // All of them have begun.
            assert!(arguments["n"] != 7, "unlucky");
            Ok("fine".to_owned())
        });
        let tools = Arc::new(ToolSet::new([tool]).unwrap());
        for _ in 0..50 {
            let round =
                (0..20).fold(reply(), |reply, n| reply.call("frail", &json!({"n": n}).to_string()));
            let model = ScriptedModel::new([round, reply().text("done")]);
            let answer = session(&model, &tools, supervision()).ask("go").await.unwrap();
            let outcomes = outcomes(&answer.report.rounds[0]);
            assert_eq!(outcomes.iter().filter(|outcome| **outcome == "ok").count(), 19);
        }
        assert_eq!(tools.get("frail").unwrap().health().circuit, "closed");
    });
}

#[test]
fn calls_that_are_lost_together_count_each_when_it_is_asked_how_bad_a_tool_is() {
    testing::run(async {
        let tool = dynamic("frail", json!({"type": "object"}), |arguments, _| async move {
            sleep(Duration::from_millis(1)).await; // All of them have begun.
            assert!(arguments["n"].as_u64().unwrap_or_default() % 10 < 2, "most of them");
            Ok("fine".to_owned())
        });
        let tools = Arc::new(ToolSet::new([tool]).unwrap());
        let mut worst = Vec::new();
        for _ in 0..6 {
            let round = |first: u32| {
                (first..first + 10)
                    .fold(reply(), |reply, n| reply.call("frail", &json!({"n": n}).to_string()))
            };
            let model = ScriptedModel::new([round(0), round(10), round(20), reply().text("done")]);
            let answer = session(&model, &tools, supervision()).ask("go").await.unwrap();
            worst.push(outcomes(&answer.report.rounds[0])[9]);
        }
        assert_eq!(worst[..3], ["panicked"; 3]);
        assert_eq!(worst[5], "unavailable");
    });
}

#[test]
fn two_sessions_do_not_take_a_tool_from_all() {
    testing::run(async {
        let switches = Switches::default();
        switches.crash(true);
        let tools = Arc::new(ToolSet::new([switches.tool("frail")]).unwrap());
        for _ in 0..2 {
            let model = ScriptedModel::new(three_crashes());
            session(&model, &tools, supervision()).ask("go").await.unwrap();
        }
        assert_eq!(tools.get("frail").unwrap().health().circuit, "closed");
        switches.crash(false);
        let model = ScriptedModel::new([call(1), reply().text("done")]);
        let answer = session(&model, &tools, supervision()).ask("go").await.unwrap();
        assert_eq!(outcomes(&answer.report.rounds[0]), ["ok"]);
    });
}

#[test]
fn arguments_that_crashed_twice_are_not_tried_again_and_cost_no_restart() {
    testing::run(async {
        let tool = dynamic("picky", json!({"type": "object"}), |arguments, _| async move {
            assert!(arguments["city"] != "Atlantis", "no such place");
            Ok("fine".to_owned())
        })
        .effects(Effects::None);
        let poison = r#"{"city": "Atlantis"}"#;
        let script = [
            reply().call("picky", poison),
            reply().call("picky", poison),
            reply().call("picky", r#"{ "city":"Atlantis" }"#).call("picky", r#"{"city": "Rome"}"#),
            reply().call("picky", poison),
            reply().text("done"),
        ];
        let stage = stage(script, [tool]);
        let answer = stage.ask().await;
        let rounds = &answer.report.rounds;
        assert_eq!(outcomes(&rounds[1]), ["panicked"]);
        assert_eq!(outcomes(&rounds[2]), ["unavailable", "ok"]);
        assert_eq!(outcomes(&rounds[3]), ["unavailable"]);
        assert!(stage.told()[2].contains("crashed twice with these arguments"));
        assert_eq!(rounds.iter().map(|round| round.restarts).sum::<u32>(), 2);
    });
}

#[test]
fn arguments_that_were_answered_in_between_are_not_to_blame() {
    testing::run(async {
        let calls = Arc::new(AtomicU32::new(0));
        let tool = dynamic("moody", json!({"type": "object"}), move |_, _| {
            let call = calls.fetch_add(1, Ordering::Relaxed) + 1;
            async move {
                assert!(call.is_multiple_of(2), "an odd call");
                Ok("fine".to_owned())
            }
        });
        let script = (0..6).map(|_| reply().call("moody", "{}")).chain([reply().text("done")]);
        let limits_ = RestartLimits { max_restarts: 9, ..supervision() };
        let model = ScriptedModel::new(script);
        let tools = Arc::new(ToolSet::new([tool]).unwrap());
        let answer = session(&model, &tools, limits_).ask("go").await.unwrap();
        let outcome: Vec<_> = answer.report.rounds.iter().map(|round| outcomes(round)[0]).collect();
        assert_eq!(outcome, ["panicked", "ok", "panicked", "ok", "panicked", "ok"]);
    });
}

#[test]
fn poison_in_many_sessions_does_not_take_the_tool_from_all() {
    testing::run(async {
        let tool = dynamic("picky", json!({"type": "object"}), |arguments, _| async move {
            assert!(arguments["city"] != "Atlantis", "no such place");
            Ok("fine".to_owned())
        })
        .effects(Effects::None);
        let tools = Arc::new(ToolSet::new([tool]).unwrap());
        let atlantis = || reply().call("picky", r#"{"city": "Atlantis"}"#);
        for _ in 0..6 {
            let model = ScriptedModel::new([atlantis(), atlantis(), reply().text("done")]);
            session(&model, &tools, supervision()).ask("go").await.unwrap();
        }
        assert_eq!(tools.get("picky").unwrap().health().circuit, "closed");
    });
}

/// The generations of the worker that the calls of one turn saw.
async fn generations(hangs: &[bool]) -> Vec<u32> {
    let tool = dynamic("slow", json!({"type": "object"}), |arguments, _| async move {
        if arguments["hang"] == true {
            std::future::pending::<()>().await;
        }
        Ok("fine".to_owned())
    });
    let call = |hang: &bool| reply().call("slow", &json!({"hang": hang}).to_string());
    let script = || hangs.iter().map(call).chain([reply().text("done")]).collect::<Vec<_>>();
    let generations = async |tool: ToolType| -> Vec<u32> {
        let answer = stage(script(), [tool]).ask().await;
        answer.report.rounds.iter().map(|round| round.calls[0].worker_generation).collect()
    };
    let of_calls = generations(tool.clone().time_limit(seconds(2))).await;
    let of_tries = generations(tool.attempt_time_limit(seconds(2))).await;
    assert_eq!(of_calls.last(), of_tries.last(), "it makes no difference whose limit it was");
    of_calls
}

#[test]
fn so_many_time_outs_in_a_row_are_a_failure_and_fewer_are_not() {
    testing::run(async {
        assert_eq!(generations(&[true, true, false, true, true, false]).await, [0; 6]);
        let generations = generations(&[true, true, true, false]).await;
        assert_eq!(generations.last(), Some(&1));
    });
}

#[test]
fn a_call_that_is_late_and_panics_when_it_is_dropped_fails_once() {
    testing::run(async {
        struct Bomb;
        impl Drop for Bomb {
            fn drop(&mut self) {
                assert!(std::thread::panicking(), "boom");
            }
        }
        let tool = dynamic("frail", json!({"type": "object"}), |arguments, _| async move {
            if arguments["n"] == 0 {
                let _bomb = Bomb;
                std::future::pending::<()>().await;
            }
            Ok("fine".to_owned())
        });
        let limits_ = RestartLimits { failure_rate_min_calls: 3, ..supervision() };
        let model =
            ScriptedModel::new((0..3).map(call).chain([reply().text("done")]).collect::<Vec<_>>());
        let tools = Arc::new(ToolSet::new([tool.time_limit(seconds(2))]).unwrap());
        let answer = session(&model, &tools, limits_).ask("go").await.unwrap();
        let outcome: Vec<_> = answer.report.rounds.iter().map(|round| outcomes(round)[0]).collect();
        assert_eq!(outcome, ["timed_out", "ok", "ok"], "one of three is a third of them");
    });
}

#[test]
fn a_call_that_answers_when_it_is_told_that_its_time_is_over_had_no_result_in_time() {
    testing::run(answers_too_late(false));
    testing::run(answers_too_late(true));
}

async fn answers_too_late(bounded: bool) {
    let tool = dynamic("slow", json!({"type": "object"}), |_, context| async move {
        context.over().await;
        Ok("too late".to_owned())
    });
    let call = |n: u32| reply().call("slow", &json!({"n": n}).to_string());
    let script = (0..4).map(call).chain([reply().text("done")]);
    let mut limits_ = RestartLimits { max_time_outs: 2, max_restarts: 0, ..supervision() };
    limits_.cool_down = seconds(3);
    let model = ScriptedModel::new(script.chain([call(9), call(9), reply().text("done")]));
    let tool = tool.time_limit(seconds(2));
    let tool = if bounded { tool.max_concurrency(9) } else { tool };
    let tools = Arc::new(ToolSet::new([tool]).expect("the tool is well formed"));
    let session = session(&model, &tools, limits_);
    let answer = session.ask("go").await.expect("the turn ends well");
    let outcome: Vec<_> = answer.report.rounds.iter().map(|round| outcomes(round)[0]).collect();
    assert_eq!(outcome, ["timed_out", "timed_out", "unavailable", "unavailable"]);
    sleep(seconds(3)).await;
    let answer = session.ask("go").await.expect("the turn ends well");
    let outcome: Vec<_> = answer.report.rounds.iter().map(|round| outcomes(round)[0]).collect();
    assert_eq!(outcome, ["timed_out", "unavailable"], "as a probe, too");
}

#[test]
fn failures_between_successes_open_the_circuit_when_there_are_too_many() {
    testing::run(async {
        let tool = dynamic("flaky", json!({"type": "object"}), |arguments, _| async move {
            if arguments["n"].as_u64().unwrap_or_default() % 3 > 0 {
                std::future::pending::<()>().await;
            }
            Ok("fine".to_owned())
        });
        let call = |n: u32| reply().call("flaky", &json!({"n": n}).to_string());
        let script = (0..15).map(call).chain([reply().text("done")]);
        let limits_ = RestartLimits {
            failure_rate_min_calls: 10,
            within: seconds(3600),
            max_time_outs: 0,
            ..supervision()
        };
        let model = ScriptedModel::new(script);
        let tools = Arc::new(ToolSet::new([tool.time_limit(seconds(2))]).unwrap());
        let answer = session(&model, &tools, limits_).ask("go").await.unwrap();
        let outcome: Vec<_> = answer.report.rounds.iter().map(|round| outcomes(round)[0]).collect();
        assert_eq!(outcome[..3], ["ok", "timed_out", "timed_out"]);
        assert_eq!(
            outcome[9..],
            ["ok", "timed_out", "unavailable", "unavailable", "unavailable", "unavailable"]
        );
    });
}

#[test]
fn a_tool_that_cannot_be_made_is_withdrawn_from_all_and_made_once_to_find_out() {
    testing::run(async {
        let (works, made) = (Arc::new(AtomicBool::new(false)), Arc::new(AtomicU32::new(0)));
        let (may_work, makes) = (Arc::clone(&works), Arc::clone(&made));
        let tool = ToolType::new("frail", "for a test", json!({"type": "object"}), move || {
            makes.fetch_add(1, Ordering::Relaxed);
            assert!(may_work.load(Ordering::Relaxed), "no licence");
            |_: &str, _: callsheet::CallContext| -> callsheet::tools::ToolFuture {
                Box::pin(std::future::ready(Ok("fine".to_owned())))
            }
        });
        let tools = Arc::new(ToolSet::new([tool.time_limit(seconds(20))]).unwrap());
        let ask = async |n: u32| {
            let model = ScriptedModel::new([call(n), reply().text("done")]);
            let answer = session(&model, &tools, supervision()).ask("go").await.unwrap();
            answer.report.rounds[0].calls[0].clone()
        };
        for n in 0..3 {
            assert_eq!(ask(n).await.outcome.unwrap().as_str(), "unavailable");
        }
        assert_eq!(tools.get("frail").unwrap().health().circuit, "open");
        let so_far = made.load(Ordering::Relaxed);
        for n in 3..10 {
            let call = ask(n).await;
            assert_eq!(call.outcome.unwrap().as_str(), "unavailable");
            assert_eq!(call.backoff, Duration::ZERO, "it need not learn by crashing");
        }
        assert_eq!(made.load(Ordering::Relaxed), so_far);
        sleep(seconds(60)).await;
        assert_eq!(ask(10).await.outcome.unwrap().as_str(), "panicked", "it finds out");
        assert_eq!(ask(11).await.outcome.unwrap().as_str(), "unavailable");
        assert_eq!(made.load(Ordering::Relaxed), so_far + 1);
        works.store(true, Ordering::Relaxed);
        sleep(seconds(60)).await;
        assert_eq!(ask(12).await.outcome.unwrap().as_str(), "ok");
        assert_eq!(ask(13).await.outcome.unwrap().as_str(), "ok");
        assert_eq!(tools.get("frail").unwrap().health().circuit, "closed");
    });
}

#[test]
fn a_failure_after_the_recovery_is_told_after_it() {
    testing::run(async {
        let switches = Switches::default();
        switches.crash(true);
        let tool = dynamic("frail", json!({"type": "object"}), {
            let switches = switches.clone();
            move |arguments, _| {
                let crashes = switches.crashes.load(Ordering::Relaxed) || arguments["bad"] == true;
                async move {
                    assert!(!crashes, "licence expired");
                    Ok("fine".to_owned())
                }
            }
        });
        let script = three_crashes().chain([
            reply().call("frail", r#"{"a": 1}"#).call("frail", r#"{"bad": true}"#),
            reply().text("done"),
        ]);
        let stage = stage(script, [tool]);
        break_it(&stage).await;
        switches.crash(false);
        sleep(seconds(60)).await;
        let mut events = stage.session.events();
        let answer = stage.ask().await;
        assert_eq!(outcomes(&answer.report.rounds[0]), ["ok", "panicked"]);
        let mut told = Vec::new();
        while let Ok(Some(record)) = tokio::time::timeout(seconds(1), events.next()).await {
            match &record.event {
                Event::CircuitClosed { .. } => told.push("closed"),
                Event::CircuitOpened { .. } => told.push("opened"),
                Event::WorkerRestarted { .. } => told.push("restarted"),
                _ => {}
            }
        }
        assert_eq!(told, ["closed", "restarted"]);
    });
}
