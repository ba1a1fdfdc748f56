//! Calls that are tried again, and those that never are.

use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;

use callsheet::testing::{self, reply};
use callsheet::tools::{Error, ToolFuture};
use callsheet::{CallContext, CallReport, Effects, Event, ToolType};
use serde_json::json;
use tokio::time::{sleep, timeout};

use crate::support::{Stage, dynamic, outcomes, seconds, stage};

/// What a try does, by its number.
type Course = fn(u32) -> Step;

enum Step {
    Answer,
    Fail,
    FailForGood,
    Panic,
    Hang,
}

/// A tool whose tries go as `course` says. Answers with its key, and the number of the try.
fn flaky(course: Course) -> (ToolType, Arc<AtomicU32>) {
    let tries = Arc::new(AtomicU32::new(0));
    let counted = Arc::clone(&tries);
    let tool = ToolType::new("flaky", "for a test", json!({"type": "object"}), move || {
        let counted = Arc::clone(&counted);
        move |_: &str, context: CallContext| -> ToolFuture {
            let attempt = counted.fetch_add(1, Ordering::Relaxed) + 1;
            assert_eq!(context.attempt(), attempt);
            Box::pin(async move {
                sleep(seconds(1)).await;
                match course(attempt) {
                    Step::Answer => Ok(format!("{} at try {attempt}", context.key())),
                    Step::Fail => Err(Error::new("busy")),
                    Step::FailForGood => Err(Error::permanent("no such thing")),
                    Step::Panic => panic!("boom"),
                    Step::Hang => std::future::pending().await,
                }
            })
        }
    });
    (tool, tries)
}

fn at_the_third_try(attempt: u32) -> Step {
    if attempt < 3 { Step::Fail } else { Step::Answer }
}

async fn run(tool: ToolType) -> (CallReport, String) {
    let stage = one_call(tool);
    let answer = stage.ask().await;
    (answer.report.rounds[0].calls[0].clone(), stage.told().remove(0))
}

fn one_call(tool: ToolType) -> Stage {
    stage([reply().call("flaky", "{}"), reply().text("done")], [tool])
}

#[test]
fn a_call_that_fails_is_tried_again_with_the_same_key_and_counts_its_tries() {
    testing::run(async {
        for effects in [Effects::None, Effects::Idempotent] {
            let (tool, _) = flaky(at_the_third_try);
            let (call, told) = run(tool.effects(effects).retries(2)).await;
            assert!(told.ends_with("/1/1/0 at try 3"), "{told}");
            assert_eq!(call.attempts, 3);
            assert_eq!(call.ran, seconds(3));
            let rest = Duration::from_millis(240)..Duration::from_millis(363);
            assert!(rest.contains(&call.backoff), "{:?}", call.backoff);
        }
    });
}

#[test]
fn when_the_tries_are_used_up_the_last_failure_is_told() {
    testing::run(async {
        let (tool, tries) = flaky(at_the_third_try);
        let (call, told) = run(tool.effects(Effects::None).retries(1)).await;
        assert_eq!((call.attempts, tries.load(Ordering::Relaxed)), (2, 2));
        assert_eq!(told, "error: busy");
    });
}

#[test]
fn a_once_call_that_has_begun_is_never_tried_again() {
    testing::run(async {
        for course in [at_the_third_try, |_| Step::Panic, |_| Step::Hang] {
            let (tool, tries) = flaky(course);
            let tool = tool.effects(Effects::Once).retries(5).attempt_time_limit(seconds(2));
            let (call, _) = run(tool).await;
            assert_eq!((call.attempts, tries.load(Ordering::Relaxed)), (1, 1));
        }
    });
}

#[test]
fn a_once_call_whose_try_took_too_long_may_have_happened() {
    testing::run(async {
        let (tool, _) = flaky(|_| Step::Hang);
        let (call, told) = run(tool.attempt_time_limit(seconds(2))).await;
        assert_eq!(call.ran, seconds(2));
        assert!(told.contains("no result within the time limit of one try"), "{told}");
        assert!(told.contains("may have taken effect"), "{told}");
    });
}

#[test]
fn what_the_tool_calls_permanent_is_not_tried_again() {
    testing::run(async {
        let (tool, _) = flaky(|_| Step::FailForGood);
        let (call, told) = run(tool.effects(Effects::None).retries(5)).await;
        assert_eq!((call.attempts, &*told), (1, "error: no such thing"));
    });
}

#[test]
fn a_call_that_panicked_is_tried_again_on_the_rebuilt_worker_but_not_a_third_time() {
    testing::run(async {
        let (tool, _) = flaky(|attempt| if attempt == 1 { Step::Panic } else { Step::Answer });
        let (call, _) = run(tool.effects(Effects::None).retries(5)).await;
        assert_eq!((call.attempts, call.worker_generation), (2, 1));
        let (tool, tries) = flaky(|_| Step::Panic);
        let (call, told) = run(tool.effects(Effects::None).retries(5)).await;
        assert_eq!((call.attempts, tries.load(Ordering::Relaxed)), (2, 2), "it is poison");
        assert_eq!(told, "error: tool panicked: boom");
        assert!(
            call.backoff < Duration::from_millis(122),
            "it does not rest for nothing: {call:?}"
        );
    });
}

#[test]
fn a_try_whose_future_panics_when_it_is_dropped_is_not_held_against_the_next() {
    testing::run(async {
        struct Bomb(bool);
        impl Drop for Bomb {
            fn drop(&mut self) {
                assert!(!self.0 || std::thread::panicking(), "boom");
            }
        }
        let tool = dynamic("flaky", json!({"type": "object"}), |_, context| async move {
            let bomb = Bomb(context.attempt() == 1);
            match bomb.0 {
                true => std::future::pending().await,
                false => Ok("done".to_owned()),
            }
        });
        let tool = tool.effects(Effects::None).retries(2).attempt_time_limit(seconds(2));
        let stage = one_call(tool);
        let mut events = stage.session.events();
        let answer = stage.ask().await;
        let round = &answer.report.rounds[0];
        assert_eq!((round.calls[0].attempts, outcomes(round)), (2, vec!["ok"]));
        let mut restarts = 0;
        while let Ok(Some(record)) = timeout(seconds(1), events.next()).await {
            restarts += u32::from(matches!(record.event, Event::WorkerRestarted { .. }));
        }
        assert_eq!(restarts, 1);
    });
}

#[test]
fn a_try_that_hangs_ends_at_its_own_limit_and_another_begins() {
    testing::run(async {
        let (tool, _) = flaky(|attempt| if attempt < 3 { Step::Hang } else { Step::Answer });
        let tool = tool.effects(Effects::None).retries(2).attempt_time_limit(seconds(5));
        let (call, _) = run(tool).await;
        assert_eq!((call.attempts, call.ran), (3, seconds(11)));
    });
}

#[test]
fn all_tries_and_rests_stay_within_the_time_limit_of_the_call() {
    testing::run(async {
        let (tool, _) = flaky(|_| Step::Hang);
        let tool = tool.effects(Effects::None).retries(99).attempt_time_limit(seconds(5));
        let stage = one_call(tool.time_limit(seconds(12)));
        let answer = stage.ask().await;
        let round = &answer.report.rounds[0];
        assert_eq!(outcomes(round), ["timed_out"]);
        assert_eq!(round.wall, seconds(12));
        let call = &round.calls[0];
        assert_eq!(call.attempts, 3);
        assert_eq!(call.queued + call.backoff + call.ran, seconds(12));
    });
}

#[test]
fn there_is_no_other_try_where_it_would_begin_too_late() {
    testing::run(async {
        let (tool, _) = flaky(|_| Step::Fail);
        let tool = tool.effects(Effects::None).retries(9).time_limit(Duration::from_millis(1050));
        let (call, told) = run(tool).await;
        assert_eq!((call.attempts, call.ran), (1, seconds(1)));
        assert_eq!(told, "error: busy", "and no time-out");
    });
}

#[test]
fn a_call_that_says_how_far_it_is_may_take_long_and_a_silent_one_may_not() {
    testing::run(async {
        let worker = |silent_from: u32| {
            ToolType::new("flaky", "for a test", json!({"type": "object"}), move || {
                move |_: &str, context: CallContext| -> ToolFuture {
                    Box::pin(async move {
                        for step in 0..10 {
                            sleep(seconds(4)).await;
                            if step < silent_from {
                                context.report_progress(format!("{step} of 10"));
                            }
                        }
                        Ok("done".to_owned())
                    })
                }
            })
            .silence_limit(seconds(5))
        };
        let (call, told) = run(worker(99)).await;
        assert_eq!((call.ran, &*told), (seconds(40), "done"));
        let (call, told) = run(worker(3)).await;
        assert_eq!(call.ran, seconds(17));
        assert!(told.contains("no sign of life for 5000 ms"), "{told}");
    });
}

#[test]
fn those_who_listen_hear_of_each_try_that_failed() {
    testing::run(async {
        let (tool, _) = flaky(at_the_third_try);
        let stage = one_call(tool.effects(Effects::None).retries(2));
        let mut events = stage.session.events();
        stage.ask().await;
        let mut heard = Vec::new();
        while let Some(record) = events.next().await {
            match &record.event {
                Event::CallRetried { attempt, cause, .. } => heard.push((*attempt, cause.clone())),
                Event::TurnEnded { .. } => break,
                _ => {}
            }
        }
        assert_eq!(heard, [(1, "busy".to_owned()), (2, "busy".to_owned())]);
    });
}

#[test]
fn a_cancelled_call_is_not_tried_again() {
    testing::run(async {
        let (tool, tries) = flaky(|_| Step::Fail);
        let stage = one_call(tool.effects(Effects::None).retries(5));
        let session = stage.session.clone();
        let asked = actix_rt::spawn(async move { session.ask("go").await });
        sleep(Duration::from_millis(1050)).await; // It rests after the first try.
        assert!(stage.session.cancel().await);
        assert!(asked.await.unwrap().is_err());
        sleep(seconds(100)).await;
        assert_eq!(tries.load(Ordering::Relaxed), 1);
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
fn a_try_that_was_bad_at_ending_counts_once() {
    testing::run(async {
        let tool = ToolType::new("flaky", "for a test", json!({"type": "object"}), || {
            |_: &str, context: CallContext| -> ToolFuture {
                Box::pin(async move {
                    if context.attempt() == 1 {
                        let _sore = Sore;
                        std::future::pending::<()>().await;
                    }
                    Ok("done".to_owned())
                })
            }
        });
        let tool = tool.effects(Effects::None).retries(1).attempt_time_limit(seconds(1));
        let call = || reply().call("flaky", "{}");
        let stage = stage([call(), reply().text("a"), call(), reply().text("b")], [tool]);
        let answer = stage.ask().await;
        let round = &answer.report.rounds[0];
        assert_eq!((outcomes(round), round.restarts), (vec!["ok"], 1));
        let answer = stage.ask().await;
        let call = &answer.report.rounds[0].calls[0];
        assert_eq!((call.outcome.map(|kind| kind.as_str()), call.attempts), (Some("ok"), 2));
    });
}

#[test]
fn limits_without_an_end_are_none() {
    testing::run(async {
        let (tool, _) = flaky(at_the_third_try);
        let tool = tool.effects(Effects::None).retries(2);
        let tool = tool.attempt_time_limit(Duration::MAX).silence_limit(Duration::MAX);
        assert_eq!(run(tool).await.0.attempts, 3);
    });
}
