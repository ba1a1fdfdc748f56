//! Every millisecond has an owner.

use std::time::Duration;

use callsheet::testing::{self, reply};
use callsheet::{CallReport, Effects, RoundReport};
use serde_json::json;

use crate::support::{dynamic, seconds, sleeper, stage};

fn millis(millis: u64) -> Duration {
    Duration::from_millis(millis)
}

/// The promise, as a sum.
fn assert_adds_up(round: &RoundReport) {
    assert_eq!(round.clock + round.overlap, round.model + round.wall + round.overhead, "{round:?}");
    let span = |call: &CallReport| {
        call.started + call.queued + call.startup + call.backoff + call.waited + call.ran
    };
    let last = round.calls.iter().map(span).max().unwrap_or_default();
    assert!(last >= round.wall, "{round:?}");
}

#[test]
fn a_parallel_round_is_accounted_for() {
    testing::run(async {
        let calls = reply()
            .call("sleep", r#"{"s": 1}"#)
            .call("sleep", r#"{"s": 3}"#)
            .call("sleep", r#"{"s": 2}"#)
            .after(millis(250));
        let stage = stage([calls, reply().text("done").after(millis(70))], [sleeper()]);
        let answer = stage.ask().await;
        let [round] = &*answer.report.rounds else { panic!("one round") };
        assert_adds_up(round);
        assert_eq!(round.model, millis(250));
        assert_eq!(round.first_token, Some(millis(250)));
        assert_eq!(round.wall, seconds(3));
        assert_eq!(round.sum, seconds(6));
        assert_eq!(round.saved, seconds(3));
        assert!((round.speedup - 2.0).abs() < 1e-9);
        assert_eq!(round.overlap, Duration::ZERO);
        assert_eq!(round.overhead, Duration::ZERO, "virtual time has no overhead");
        assert_eq!(round.clock, millis(3250));
        assert_eq!(round.critical_call.as_deref(), Some("call_1"));
        assert_eq!(answer.report.elapsed, millis(3320));
    });
}

#[test]
fn gaps_between_calls_are_not_wall_time() {
    testing::run(async {
        let moody = dynamic("moody", json!({"type": "object"}), |_, _| async { panic!("no") })
            .effects(Effects::None);
        let script = [
            reply().call("moody", "{}"),
            reply().call("moody", "{}").call("sleep", r#"{"s": 1}"#),
            reply().text("done"),
        ];
        let stage = stage(script, [moody, sleeper()]);
        let answer = stage.ask().await;
        answer.report.rounds.iter().for_each(|round| assert_adds_up(round));
        let call = &answer.report.rounds[1].calls[0];
        assert!(call.backoff >= millis(79), "{call:?}");
        assert_eq!(answer.report.rounds[1].restarts, 1);
    });
}

#[test]
fn refused_calls_take_no_time_and_are_nobodys_critical_call() {
    testing::run(async {
        let stage = stage([reply().call("nobody", "{}"), reply().text("done")], [sleeper()]);
        let answer = stage.ask().await;
        let round = &answer.report.rounds[0];
        assert_adds_up(round);
        assert_eq!((round.wall, round.speedup), (Duration::ZERO, 0.0));
        assert_eq!(round.critical_call, None);
        let call = &round.calls[0];
        assert_eq!(call.error.as_ref().map(|error| &*error.code), Some("unknown_tool"));
        assert_eq!(call.arguments.as_deref(), Some("{}"));
    });
}
