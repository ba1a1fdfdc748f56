//! The numbers of tools and sessions are those of the reports.

use std::sync::Arc;

use callsheet::observe::{OTHER, Overview};
use callsheet::testing::{self, ScriptedModel, reply};
use callsheet::{OutcomeKind, SessionId, SessionOptions, ToolSet};

use super::observed;
use crate::support::{bomb, failer, limits, seconds, sleeper};

/// A round of each kind of call: two that sleep, one that fails, one that panics, one of no tool, and one
/// with arguments that do not fit.
pub fn mixed() -> Arc<ScriptedModel> {
    let calls = reply()
        .call("sleep", r#"{"s": 1}"#)
        .call("sleep", r#"{"s": 3}"#)
        .call("fail", "{}")
        .call("bomb", "{}")
        .call("nobody", "{}")
        .call("sleep", r#"{"s": "long"}"#);
    ScriptedModel::new([calls, reply().text("done")])
}

pub fn mixed_options(model: Arc<ScriptedModel>) -> SessionOptions {
    let tools = Arc::new(ToolSet::new([sleeper(), bomb(), failer()]).expect("well formed"));
    SessionOptions::new(model, tools).id(SessionId::new("s")).limits(limits())
}

#[test]
fn the_numbers_of_tools_are_those_of_the_report() {
    testing::run(async {
        let overview = Arc::new(Overview::new());
        let session = observed([overview.clone() as _]).session(mixed_options(mixed()));
        let answer = session.ask("go").await.expect("the turn ends well");
        let [round] = &answer.report.rounds[..] else { panic!("one round") };
        let tools = overview.tools().snapshot();
        for kind in ["ok", "tool_error", "panicked", "unknown_tool", "bad_arguments"] {
            let told = round.calls.iter().filter(|call| call.outcome.unwrap().as_str() == kind);
            let counted = tools.iter().flat_map(|tool| &tool.outcomes);
            let counted = counted.filter(|(known, _)| known.as_str() == kind);
            let counted: u64 = counted.map(|(_, count)| count).sum();
            assert_eq!(counted, told.count() as u64, "{kind}");
        }
        let names: Vec<_> = tools.iter().map(|tool| &*tool.name).collect();
        assert_eq!(names, ["bomb", "fail", OTHER, "sleep"]);
        assert!(tools.iter().all(|tool| tool.in_flight == 0));
        let restarts: u64 = tools.iter().map(|tool| tool.restarts).sum();
        assert_eq!(restarts, u64::from(round.restarts));

        let sleep = overview.tools().of("sleep").expect("it was called");
        assert_eq!((sleep.calls, sleep.failed), (3, 1));
        assert_eq!(sleep.last_error.expect("one failed").code.as_ref(), "bad_arguments");
        let ran = sleep.ran.expect("two ran");
        assert_eq!((ran.p50, ran.p99), (seconds(1), seconds(3)));
        let bomb = overview.tools().of("bomb").expect("it was called");
        let restart = bomb.last_restart.expect("it was rebuilt");
        assert!(restart.cause.contains("boom") && restart.at_us > 0);
        assert_eq!(bomb.circuit.state(), "closed");
        assert_eq!(overview.tools().of("nobody"), None);
    });
}

#[test]
fn a_call_is_in_flight_until_it_is_answered() {
    testing::run(async {
        let overview = Arc::new(Overview::new());
        let session = observed([overview.clone() as _]).session(mixed_options(mixed()));
        let in_flight = || overview.tools().of("sleep").map_or(0, |tool| tool.in_flight);
        let looking = async {
            tokio::time::sleep(seconds(1) / 2).await;
            let early = in_flight();
            tokio::time::sleep(seconds(1)).await;
            (early, in_flight())
        };
        let (answer, looked) = tokio::join!(session.ask("go"), looking);
        answer.expect("the turn ends well");
        assert_eq!((looked, in_flight()), ((2, 1), 0));
    });
}

#[test]
fn a_turn_that_is_cut_leaves_no_call_in_flight() {
    testing::run(async {
        let overview = Arc::new(Overview::new());
        let session = observed([overview.clone() as _]).session(mixed_options(mixed()));
        let cut = async {
            tokio::time::sleep(seconds(1) / 2).await;
            session.cancel().await
        };
        let (answer, cut) = tokio::join!(session.ask("go"), cut);
        assert!(answer.is_err() && cut);
        let sleep = overview.tools().of("sleep").expect("it was called");
        assert_eq!((sleep.in_flight, sleep.calls, sleep.failed), (0, 3, 1));
        assert!(sleep.outcomes.contains(&(OutcomeKind::Cancelled, 2)), "{:?}", sleep.outcomes);
    });
}

#[test]
fn a_tool_that_is_withdrawn_shows_as_such_until_it_works_again() {
    testing::run(async {
        let overview = Arc::new(Overview::new());
        let again = |n| reply().call("bomb", &format!("{{\"n\": {n}}}"));
        let model = ScriptedModel::new((0..7).map(again).chain([reply().text("done")]));
        let session = observed([overview.clone() as _]).session(mixed_options(model));
        session.ask("go").await.expect("the turn ends well");
        let circuit = overview.tools().of("bomb").expect("it was called").circuit;
        assert_eq!(circuit.state(), "open", "{circuit:?}");
        assert!(circuit.cause.expect("it has one").contains("boom"));
        tokio::time::sleep(circuit.retry_after.expect("it is open")).await;
        assert_eq!(overview.tools().of("bomb").expect("it was called").circuit.state(), "probing");
    });
}
