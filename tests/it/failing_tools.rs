//! Tools that panic, fail and hang, and the workers behind them.

use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;

use callsheet::testing::{self, reply};
use callsheet::tools::{Tool, ToolFuture};
use callsheet::{CallContext, Effects, ToolType};
use serde_json::json;
use tokio::time::Instant;

use crate::support::{bomb, dynamic, failer, hanger, outcomes, seconds, sleeper, stage};

#[test]
fn a_panic_costs_one_call() {
    testing::run(async {
        let calls = reply().call("bomb", "{}").call("sleep", r#"{"s": 2}"#).call("fail", "{}");
        let stage = stage([calls, reply().text("done")], [bomb(), sleeper(), failer()]);
        let answer = stage.ask().await;
        let round = &answer.report.rounds[0];
        assert_eq!(outcomes(round), ["panicked", "ok", "tool_error"]);
        assert_eq!(round.wall, seconds(2));
        let told = stage.told();
        assert_eq!(
            told[0],
            "error: tool panicked: boom; it had begun and may have taken effect: do not repeat it \
             without checking"
        );
        assert_eq!(told[2], "error: disk on fire");
    });
}

#[test]
fn a_call_in_flight_outlives_the_panic_of_its_sibling_in_the_same_worker() {
    testing::run(async {
        let stage = stage(
            [
                reply().call("moody", r#"{"s": 5}"#).call("moody", r#"{"s": 1, "panic": true}"#),
                reply().text("done"),
            ],
            [moody()],
        );
        let answer = stage.ask().await;
        let round = &answer.report.rounds[0];
        assert_eq!(outcomes(round), ["ok", "panicked"]);
        assert_eq!(round.restarts, 1);
        assert_eq!(round.wall, seconds(5));
    });
}

/// Sleeps, then panics if it is told to.
fn moody() -> ToolType {
    dynamic("moody", json!({"type": "object"}), |arguments, _| async move {
        tokio::time::sleep(seconds(arguments["s"].as_u64().unwrap_or_default())).await;
        assert!(!arguments["panic"].as_bool().unwrap_or_default(), "told to");
        Ok("calm".to_owned())
    })
    .effects(Effects::None)
}

/// Counts how often it was made; its calls answer with that number.
struct Counting(u32);

impl Tool for Counting {
    fn call(&self, arguments: &str, _: CallContext) -> ToolFuture {
        let (generation, panics) = (self.0, arguments.contains("panic"));
        assert!(!arguments.contains("at once"), "at once");
        Box::pin(async move {
            assert!(!panics, "told to");
            Ok(format!("made {generation}"))
        })
    }
}

fn counting() -> ToolType {
    let made = Arc::new(AtomicU32::new(0));
    ToolType::new("count", "for a test", json!({"type": "object"}), move || {
        Counting(made.fetch_add(1, Ordering::Relaxed) + 1)
    })
}

#[test]
fn a_worker_that_failed_is_made_anew_behind_the_same_address() {
    testing::run(async {
        let stage = stage(
            [
                reply().call("count", "{}").call("count", r#"{"panic": 1}"#),
                reply().call("count", "{}"),
                reply().call("count", r#"{"at once": 1}"#),
                reply().call("count", "{}"),
                reply().text("done"),
            ],
            [counting()],
        );
        let answer = stage.ask().await;
        let told = stage.told();
        assert_eq!(told[0], "made 1");
        assert_eq!(told[2], "made 2");
        assert!(told[3].starts_with("error: tool panicked: at once"), "{}", told[3]);
        assert_eq!(told[4], "made 3");
        let generations: Vec<_> = answer
            .report
            .rounds
            .iter()
            .flat_map(|round| round.calls.iter().map(|call| call.worker_generation))
            .collect();
        assert_eq!(generations, [0, 0, 1, 1, 2]);
    });
}

#[test]
fn calls_wait_in_the_queue_while_their_worker_rests() {
    testing::run(async {
        let stage = stage(
            [reply().call("count", r#"{"panic": 1}"#), reply().call("count", "{}"), reply()],
            [counting()],
        );
        let began = Instant::now();
        let answer = stage.ask().await;
        let rest = Duration::from_millis(80)..Duration::from_millis(122);
        assert!(rest.contains(&began.elapsed()), "{:?}", began.elapsed());
        let call = &answer.report.rounds[1].calls[0];
        assert!(call.backoff >= Duration::from_millis(79), "{call:?}");
        assert_eq!(call.worker_generation, 1);
    });
}

#[test]
fn a_tool_that_cannot_be_made_delays_nobody_else() {
    testing::run(async {
        let broken = ToolType::new("broken", "for a test", json!({"type": "object"}), || {
            panic!("no licence");
            #[expect(unreachable_code, reason = "gives the closure its type")]
            Counting(0)
        })
        .time_limit(seconds(2));
        let calls = reply().call("broken", "{}").call("sleep", r#"{"s": 1}"#);
        let stage = stage([calls, reply().text("done")], [broken, sleeper()]);
        let began = Instant::now();
        let answer = stage.ask().await;
        assert_eq!(outcomes(&answer.report.rounds[0]), ["timed_out", "ok"]);
        assert!(began.elapsed() < seconds(2) + Duration::from_millis(20), "{:?}", began.elapsed());
    });
}

/// Panics when it is dropped before its end.
struct Sore;

impl Drop for Sore {
    fn drop(&mut self) {
        assert!(std::thread::panicking(), "dropped");
    }
}

#[test]
fn a_panic_with_a_value_that_panics_when_it_is_dropped_is_contained() {
    testing::run(async {
        let sore = dynamic("sore", json!({"type": "object"}), |_, _| async {
            tokio::time::sleep(seconds(1)).await;
            std::panic::panic_any(Sore)
        });
        let calls = reply().call("sore", "{}").call("sleep", r#"{"s": 2}"#);
        let stage = stage([calls, reply().text("done")], [sore, sleeper()]);
        let answer = stage.ask().await;
        assert_eq!(outcomes(&answer.report.rounds[0]), ["panicked", "ok"]);
    });
}

#[test]
fn a_panic_while_a_late_call_is_dropped_is_contained() {
    testing::run(async {
        let sore = dynamic("sore", json!({"type": "object"}), |_, _| async {
            let _sore = Sore;
            std::future::pending().await
        })
        .time_limit(seconds(1));
        let calls = reply().call("sore", "{}").call("sleep", r#"{"s": 2}"#);
        let stage = stage([calls, reply().text("done")], [sore, sleeper()]);
        let answer = stage.ask().await;
        assert_eq!(outcomes(&answer.report.rounds[0]), ["timed_out", "ok"]);
        assert_eq!(answer.report.rounds[0].restarts, 1);
    });
}

#[test]
fn a_hanging_call_ends_at_its_time_limit_and_spares_its_siblings() {
    testing::run(async {
        let hang = hanger().time_limit(seconds(10));
        let calls = reply().call("sleep", r#"{"s": 1}"#).call("hang", "{}");
        let stage = stage([calls, reply().text("done")], [sleeper(), hang]);
        let began = Instant::now();
        let answer = stage.ask().await;
        assert_eq!(began.elapsed().as_secs(), 10);
        assert_eq!(outcomes(&answer.report.rounds[0]), ["ok", "timed_out"]);
        assert_eq!(answer.report.rounds[0].restarts, 0, "slow is not dead");
    });
}

/// Panics where it is told to, by the name of the place.
struct Grenade(&'static str);

impl Tool for Grenade {
    fn call(&self, _: &str, _: CallContext) -> ToolFuture {
        assert!(self.0 != "call", "in call");
        let place = self.0;
        Box::pin(async move {
            let _sore = (place == "drop of the future").then(|| Sore);
            assert!(place != "future", "in the future");
            if place == "hang" {
                std::future::pending::<()>().await;
            }
            Ok("done".to_owned())
        })
    }
}

impl Drop for Grenade {
    fn drop(&mut self) {
        assert!(self.0 == "nowhere", "in drop of the state");
    }
}

/// Whatever a tool panics in, its state's end included, the session answers, and so does its
/// neighbour on the same thread.
#[test]
fn a_panic_anywhere_in_a_tool_ends_nothing_but_its_call() {
    testing::run(async {
        for place in ["call", "future", "drop of the future", "hang", "drop of the state"] {
            let tool =
                ToolType::new("grenade", "x", json!({"type": "object"}), move || Grenade(place));
            let neighbour = stage([reply().call("sleep", r#"{"s": 1}"#), reply()], [sleeper()]);
            let script = [reply().call("grenade", "{}"), reply().text("done")];
            let stage_ = stage(script, [tool.time_limit(seconds(2))]);
            let (answer, other) = tokio::join!(stage_.ask(), neighbour.ask());
            let expected = match place {
                "call" | "future" | "drop of the future" => "panicked",
                "hang" => "timed_out",
                _ => "ok",
            };
            assert_eq!(outcomes(&answer.report.rounds[0]), [expected], "{place}");
            assert_eq!(outcomes(&other.report.rounds[0]), ["ok"]);
            // The session ends, and with it its worker and the tool's state.
            drop(stage_);
            tokio::time::sleep(seconds(5)).await;
            let script = [reply().call("sleep", r#"{"s": 1}"#), reply()];
            assert_eq!(outcomes(&stage(script, [sleeper()]).ask().await.report.rounds[0]), ["ok"]);
        }
    });
}

#[test]
fn a_call_that_is_given_up_tells_its_worker_and_its_waits() {
    testing::run(async {
        let tool = dynamic("moody", json!({"type": "object"}), |arguments, _| async move {
            assert!(arguments["panic"] != true, "told to");
            std::future::pending().await
        });
        let script = [
            reply().call("moody", r#"{"panic": true}"#),
            reply().call("moody", "{}"),
            reply().text("done"),
        ];
        let answer = stage(script, [tool.time_limit(seconds(5))]).ask().await;
        let call = &answer.report.rounds[1].calls[0];
        assert_eq!((call.attempts, call.worker_generation), (1, 1));
        assert!(call.backoff > Duration::from_millis(79), "{call:?}");
        assert_eq!((call.queued, call.backoff + call.ran), (Duration::ZERO, seconds(5)));
    });
}
