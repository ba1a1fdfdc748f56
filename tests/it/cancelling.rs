//! Stopping what runs.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use callsheet::testing::{self, reply, silence};
use callsheet::{Error, Question, ToolType};
use serde_json::json;
use tokio::time::{Instant, sleep};

use crate::support::{dynamic, hanger, is_cancelled, outcomes, seconds, sleeper, stage};

/// Sets `dropped` when its call is dropped before its end.
fn watched(dropped: &Arc<AtomicBool>) -> ToolType {
    struct Flag(Arc<AtomicBool>);
    impl Drop for Flag {
        fn drop(&mut self) {
            self.0.store(true, Ordering::Relaxed);
        }
    }
    let dropped = Arc::clone(dropped);
    dynamic("watched", json!({"type": "object"}), move |_, _| {
        let flag = Flag(Arc::clone(&dropped));
        async move {
            let _flag = flag;
            std::future::pending().await
        }
    })
}

#[test]
fn cancelling_stops_the_work_and_answers_every_call() {
    testing::run(async {
        let dropped = Arc::new(AtomicBool::new(false));
        let calls = reply().call("sleep", r#"{"s": 1}"#).call("watched", "{}").call("hang", "{}");
        let tools = [sleeper(), watched(&dropped), hanger()];
        let stage = stage([calls, reply().text("again")], tools);
        let (failed, ()) = tokio::join!(stage.ask_in_vain(), async {
            sleep(seconds(5)).await;
            assert!(stage.session.cancel().await);
        });
        assert!(is_cancelled(&failed.cause));
        assert_eq!(failed.report.elapsed, seconds(5));
        assert_eq!(outcomes(&failed.report.rounds[0]), ["ok", "cancelled", "cancelled"]);
        tokio::task::yield_now().await;
        assert!(dropped.load(Ordering::Relaxed));
        // The next question finds a history in which every call is answered.
        assert_eq!(&*stage.ask().await.text, "again");
        assert_eq!(stage.told().len(), 3);
    });
}

#[test]
fn cancelling_gives_up_a_silent_model() {
    testing::run(async {
        let stage = stage([silence(), reply().text("again")], []);
        let (failed, ()) = tokio::join!(stage.ask_in_vain(), async {
            sleep(seconds(5)).await;
            assert!(stage.session.cancel().await);
        });
        assert!(is_cancelled(&failed.cause));
        assert_eq!(&*stage.ask().await.text, "again");
    });
}

#[test]
fn there_is_nothing_to_cancel_between_turns() {
    testing::run(async {
        let stage = stage([reply().text("hi")], []);
        assert!(!stage.session.cancel().await);
        stage.ask().await;
        assert!(!stage.session.cancel().await);
    });
}

#[test]
fn the_session_answers_while_a_thousand_calls_run() {
    testing::run(async {
        let calls = (0..1000).fold(reply(), |reply, _| reply.call("hang", "{}"));
        let limits = callsheet::Limits { max_calls_per_round: 1000, ..crate::support::limits() };
        let stage = crate::support::stage_with([calls, reply()], [hanger()], limits);
        let (failed, ()) = tokio::join!(stage.ask_in_vain(), async {
            sleep(seconds(1)).await;
            let began = Instant::now();
            let status = stage.session.status().await.expect("the session lives");
            assert!(status.busy);
            assert_eq!(status.calls_in_flight, 1000);
            assert!(matches!(stage.session.ask("me too").await, Err(Error::Busy)));
            assert!(stage.session.cancel().await);
            assert_eq!(began.elapsed(), seconds(0));
        });
        assert_eq!(outcomes(&failed.report.rounds[0]), vec!["cancelled"; 1000]);
    });
}

#[test]
fn dropping_the_question_does_not_stop_its_turn() {
    testing::run(async {
        let calls = reply().call("sleep", r#"{"s": 5}"#);
        let stage = stage([calls, reply().text("one"), reply().text("two")], [sleeper()]);
        {
            let asked = stage.session.ask("go");
            let given_up = tokio::time::timeout(seconds(1), asked).await;
            assert!(given_up.is_err());
        }
        assert!(matches!(stage.session.ask("me too").await, Err(Error::Busy)));
        sleep(seconds(10)).await;
        assert_eq!(&*stage.ask().await.text, "two");
        assert_eq!(stage.told(), ["slept 5"]);
    });
}

#[test]
fn a_question_can_be_taken_back_from_a_thread_without_a_runtime() {
    testing::run(async {
        let dropped = Arc::new(AtomicBool::new(false));
        let calls = reply().call("watched", "{}");
        let stage = stage([calls, reply().text("again")], [watched(&dropped)]);
        let asked = stage.session.begin("go").expect("it has text");
        sleep(seconds(5)).await;
        let session = stage.session.clone();
        std::thread::spawn(move || session.withdraw(asked)).join().expect("no panic");
        sleep(seconds(1)).await;
        assert!(dropped.load(Ordering::Relaxed), "its call was stopped");
        assert_eq!(&*stage.ask().await.text, "again");
        assert_eq!(stage.told().len(), 1, "its call was answered");
    });
}

#[test]
fn a_question_that_is_taken_back_in_line_never_begins_and_the_others_are_as_they_were() {
    testing::run(async {
        let script = ["one", "three"].map(|text| reply().text(text).after(seconds(10)));
        let stage = stage(script, []);
        let begin = |prompt: &str| {
            let question = Question::new(prompt).wait_in_line();
            stage.session.begin(question).expect("it has text")
        };
        let (first, second, third) = (begin("first"), begin("second"), begin("third"));
        sleep(seconds(5)).await;
        stage.session.withdraw(second);
        assert_eq!(&*first.await.expect("an answer").text, "one");
        assert_eq!(&*third.await.expect("an answer").text, "three");
        let last = stage.model.requests().pop().expect("it was asked");
        let asked: Vec<_> = last.iter().map(|message| &*message.text).collect();
        assert_eq!(asked, ["first", "one", "third"]);
    });
}

#[test]
fn a_question_that_is_taken_back_before_its_session_is_open_never_begins() {
    testing::run(async {
        let stage = stage([reply().text("again")], []);
        let asked = stage.session.begin("go").expect("it has text");
        stage.session.withdraw(asked);
        assert_eq!(&*stage.ask().await.text, "again");
        assert_eq!(stage.session.status().await.expect("it lives").turns, 1);
    });
}
