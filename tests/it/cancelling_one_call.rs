//! Cancelling one call of a round: its siblings and the turn go on.

use std::time::{Duration, Instant as WallClock};

use callsheet::testing::{self, ScriptedModel, reply};
use callsheet::{Event, Limits, Mode, SessionOptions, ToolSet};
use tokio::time::{Instant, sleep};

use crate::support::journal::{Asked, Does, rigged};
use crate::support::{hanger, is_cancelled, limits, outcomes, seconds, sleeper, stage, stage_with};

/// For each of a thousand calls or for all of them, on a machine that others use.
const SOON: Duration = Duration::from_millis(100);

#[test]
fn a_cancelled_call_stops_at_once_and_its_siblings_and_the_turn_go_on() {
    testing::run(async {
        let calls = reply().call("sleep", r#"{"s": 1}"#).call("hang", "{}");
        let calls = calls.call("sleep", r#"{"s": 9}"#);
        let stage = stage([calls, reply().text("done")], [sleeper(), hanger()]);
        let (answer, ()) = tokio::join!(stage.ask(), async {
            sleep(seconds(5)).await;
            assert!(!stage.session.cancel_call("call_0").await, "it has ended");
            assert!(!stage.session.cancel_call("call_7").await, "there is none");
            assert!(stage.session.cancel_call("call_1").await);
            assert!(!stage.session.cancel_call("call_1").await, "it is cancelled");
            let status = stage.session.status().await.expect("the session lives");
            assert_eq!((status.busy, status.calls_in_flight), (true, 1));
        });
        let round = &answer.report.rounds[0];
        assert_eq!(outcomes(round), ["ok", "cancelled", "ok"]);
        assert_eq!((round.calls[1].ran, answer.report.elapsed), (seconds(5), seconds(9)));
        let told = &stage.told()[1];
        assert!(told.starts_with("error: the call was cancelled"), "{told}");
        assert!(told.contains("may have taken effect"), "{told}");
        assert!(!stage.session.cancel_call("call_2").await, "the turn is over");
    });
}

#[test]
fn cancelling_the_last_open_call_ends_the_round() {
    testing::run(async {
        let stage = stage([reply().call("hang", "{}"), reply().text("done")], [hanger()]);
        let (answer, ()) = tokio::join!(stage.ask(), async {
            sleep(seconds(5)).await;
            assert!(stage.session.cancel_call("call_0").await);
        });
        assert_eq!((&*answer.text, answer.report.elapsed), ("done", seconds(5)));
    });
}

#[test]
fn in_sequence_a_call_can_be_cancelled_before_and_while_it_runs() {
    testing::run(async {
        let limits = Limits { mode: Mode::Sequential, ..limits() };
        let calls = (0..4).fold(reply(), |calls, _| calls.call("sleep", r#"{"s": 10}"#));
        let stage = stage_with([calls, reply()], [sleeper()], limits);
        let mut events = stage.session.events();
        let (answer, ()) = tokio::join!(stage.ask(), async {
            sleep(seconds(2)).await;
            assert!(stage.session.cancel_call("call_1").await, "it waits behind the first");
            assert!(!stage.session.cancel_call("call_1").await);
            sleep(seconds(1)).await;
            let status = stage.session.status().await.expect("the session lives");
            assert_eq!(status.calls_in_flight, 1, "still one at a time");
            sleep(seconds(9)).await;
            assert!(stage.session.cancel_call("call_2").await, "it runs since second 10");
        });
        let round = &answer.report.rounds[0];
        assert_eq!(outcomes(round), ["ok", "cancelled", "cancelled", "ok"]);
        assert_eq!((round.calls[1].attempts, round.calls[2].ran), (0, seconds(2)));
        assert_eq!(answer.report.elapsed, seconds(22));
        let mut started = Vec::new();
        while let Some(record) = events.next().await {
            match &record.event {
                Event::CallStarted { ordinal, .. } => started.push(*ordinal),
                Event::TurnEnded { .. } => break,
                _ => {}
            }
        }
        assert_eq!(started, [0, 2, 3]);
    });
}

#[test]
fn a_call_is_cancelled_before_it_began_while_its_beginning_is_being_recorded() {
    testing::run(async {
        for mode in [Mode::Parallel, Mode::Sequential] {
            let (runtime, _) = rigged(|asked| match asked {
                Asked::Append(records)
                    if records.iter().any(|r| matches!(r.event, Event::CallStarted { .. })) =>
                {
                    Does::AsAskedAfter(seconds(5))
                }
                _ => Does::AsAsked,
            });
            let calls = reply().call("sleep", r#"{"s": 8}"#).call("sleep", r#"{"s": 1}"#);
            let model = ScriptedModel::new([calls, reply()]);
            let tools = ToolSet::new([sleeper()]).expect("well formed");
            let limits = Limits { mode, ..limits() };
            let options = SessionOptions::new(model.clone(), tools.into()).limits(limits);
            let session = runtime.session(options);
            let (answer, ()) = tokio::join!(session.ask("go"), async {
                sleep(seconds(1)).await;
                assert!(session.cancel_call("call_0").await);
                assert!(!session.cancel_call("call_0").await);
            });
            let answer = answer.expect("an answer");
            let round = &answer.report.rounds[0];
            assert_eq!(outcomes(round), ["cancelled", "ok"], "{mode:?}");
            assert_eq!(round.calls[0].attempts, 0);
            assert_eq!(model.violations(), Vec::<String>::new());
        }
    });
}

#[test]
fn behind_a_slow_journal_a_running_call_stops_at_once_and_a_result_that_came_before_counts() {
    testing::run(async {
        let (runtime, _) = rigged(|asked| match asked {
            Asked::Append(records)
                if records.iter().any(|r| matches!(r.event, Event::CallEnded { .. })) =>
            {
                Does::AsAskedAfter(seconds(60))
            }
            _ => Does::AsAsked,
        });
        let calls = reply().call("sleep", r#"{"s": 1}"#).call("sleep", r#"{"s": 3}"#);
        let calls = calls.call("sleep", r#"{"s": 50}"#);
        let model = ScriptedModel::new([calls, reply()]);
        let tools = ToolSet::new([sleeper()]).expect("well formed");
        let session =
            runtime.session(SessionOptions::new(model.clone(), tools.into()).limits(limits()));
        let (answer, ()) = tokio::join!(session.ask("go"), async {
            sleep(seconds(5)).await;
            assert!(!session.cancel_call("call_1").await, "it came back at second 3");
            assert!(session.cancel_call("call_2").await);
            let status = session.status().await.expect("the session lives");
            assert_eq!(status.calls_in_flight, 0);
        });
        let answer = answer.expect("an answer");
        assert_eq!(outcomes(&answer.report.rounds[0]), ["ok", "ok", "cancelled"]);
        assert_eq!(model.violations(), Vec::<String>::new());
    });
}

#[test]
fn the_turn_can_be_cancelled_behind_a_call_while_an_append_is_pending() {
    testing::run(async {
        let (runtime, _) = rigged(|asked| match asked {
            Asked::Append(records)
                if records.iter().any(|r| matches!(r.event, Event::CallEnded { .. })) =>
            {
                Does::AsAskedAfter(seconds(60))
            }
            _ => Does::AsAsked,
        });
        let calls = reply().call("sleep", r#"{"s": 1}"#).call("hang", "{}").call("hang", "{}");
        let model = ScriptedModel::new([calls, reply().text("again")]);
        let tools = ToolSet::new([sleeper(), hanger()]).expect("well formed");
        let session =
            runtime.session(SessionOptions::new(model.clone(), tools.into()).limits(limits()));
        let (failed, ()) = tokio::join!(session.ask("go"), async {
            sleep(seconds(5)).await;
            assert!(session.cancel_call("call_1").await);
            assert!(session.cancel().await);
            assert!(!session.cancel_call("call_2").await, "the turn took it along");
        });
        let Err(callsheet::Error::Turn(failed)) = failed else { panic!("{failed:?}") };
        assert!(is_cancelled(&failed.cause));
        assert_eq!(outcomes(&failed.report.rounds[0]), ["ok", "cancelled", "cancelled"]);
        assert_eq!(&*session.ask("again").await.expect("an answer").text, "again");
        assert_eq!(model.violations(), Vec::<String>::new());
    });
}

#[test]
fn the_session_answers_at_once_while_a_thousand_calls_run() {
    testing::run(async {
        let calls = (0..1000).fold(reply(), |reply, _| reply.call("hang", "{}"));
        let limits = Limits { max_calls_per_round: 1000, ..limits() };
        let stage = stage_with([calls, reply()], [hanger()], limits);
        let in_flight = async || {
            let status = stage.session.status().await.expect("the session lives");
            status.calls_in_flight
        };
        let (failed, ()) = tokio::join!(stage.ask_in_vain(), async {
            sleep(seconds(1)).await;
            let virtual_time = Instant::now();
            let took = WallClock::now();
            assert_eq!(in_flight().await, 1000);
            assert!(took.elapsed() < SOON, "status took {:?}", took.elapsed());
            let took = WallClock::now();
            assert!(stage.session.cancel_call("call_500").await);
            assert!(took.elapsed() < SOON, "one call took {:?}", took.elapsed());
            assert_eq!(in_flight().await, 999);
            let took = WallClock::now();
            assert!(stage.session.cancel().await);
            assert!(took.elapsed() < SOON, "the turn took {:?}", took.elapsed());
            assert_eq!(virtual_time.elapsed(), seconds(0));
        });
        assert_eq!(failed.report.elapsed, seconds(1));
        let round = &failed.report.rounds[0];
        assert_eq!(outcomes(round), vec!["cancelled"; 1000]);
        let message = |ordinal: usize| round.calls[ordinal].error.as_ref().map(|e| &*e.message);
        assert_eq!(message(500), Some("the call was cancelled"));
        assert_eq!(message(501), Some("the turn was cancelled"));
    });
}

#[test]
fn a_thousand_calls_can_be_cancelled_one_by_one_while_others_ask_for_the_status() {
    testing::run(async {
        let calls = (0..1000).fold(reply(), |reply, _| reply.call("hang", "{}"));
        let limits = Limits { max_calls_per_round: 1000, ..limits() };
        let stage = stage_with([calls, reply().text("done")], [hanger()], limits);
        let (answer, ()) = tokio::join!(stage.ask(), async {
            sleep(seconds(1)).await;
            let mut longest = Duration::ZERO;
            for ordinal in 0..1000 {
                let took = WallClock::now();
                assert!(stage.session.cancel_call(&format!("call_{ordinal}")).await);
                assert!(stage.session.status().await.is_ok());
                longest = longest.max(took.elapsed());
            }
            assert!(longest < SOON, "the longest took {longest:?}");
        });
        assert_eq!(answer.report.elapsed, seconds(1));
        assert_eq!(outcomes(&answer.report.rounds[0]), vec!["cancelled"; 1000]);
    });
}
