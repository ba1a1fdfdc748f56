//! Calls that do not run here: whoever is asked brings their results.

use callsheet::conversation::NotDecided;
use callsheet::testing::{self, reply};
use callsheet::{
    Approval, CallKey, DecideError, Decision, Event, EventStream, Limits, Mode, Session,
    SessionOptions, ToolSet, ToolType,
};
use serde_json::json;
use tokio::time::Instant;

use crate::support::{Stage, dynamic, limits, outcomes, seconds, sleeper, stage, stage_with};

/// A tool that must not run.
fn theirs() -> ToolType {
    let parameters = json!({"type": "object"});
    let tool = dynamic("theirs", parameters, |_, _| async { panic!("it runs somewhere else") });
    tool.approval(Approval::Outside)
}

async fn asked(events: &mut EventStream, session: &Session) -> CallKey {
    loop {
        let record = events.next().await.expect("the session lives");
        if let Some(call) = record.event.waiting_call(session.id()) {
            return call;
        }
    }
}

fn answered(content: &str) -> Decision {
    Decision::Answered { content: content.into() }
}

#[test]
fn its_answer_comes_from_outside_whatever_was_decided_beforehand() {
    testing::run(async {
        let limits = Limits {
            call_time_limit: seconds(5),
            round_time_limit: seconds(6),
            turn_time_limit: seconds(7),
            ..limits()
        };
        let model = testing::ScriptedModel::new([
            reply().call("theirs", "{}").call("sleep", r#"{"s": 2}"#).call("theirs", "{}"),
            reply().text("done").after(seconds(4)),
        ]);
        let tools = ToolSet::new([sleeper(), theirs()]).unwrap();
        let options = SessionOptions::new(model.clone(), tools.into()).limits(limits);
        let options = options.deny_unasked().approve_tools(["theirs"]).max_concurrency(1);
        let session = testing::runtime().session(options);
        let mut events = session.events();
        let began = Instant::now();
        let (answer, ()) = tokio::join!(session.ask("go"), async {
            let first = asked(&mut events, &session).await;
            let second = asked(&mut events, &session).await;
            tokio::time::sleep(seconds(1_000)).await;
            session.decide(&second, answered("two")).await.unwrap();
            tokio::time::sleep(seconds(1_000)).await;
            session.decide(&first, answered(" \"one\" ")).await.unwrap();
            let again = session.decide(&first, answered("three")).await.unwrap_err();
            assert!(matches!(again, DecideError::NotDecided(_)), "{again:?}");
        });
        let answer = answer.expect("no time limit has passed");
        assert_eq!(began.elapsed(), seconds(2_004));
        let stage = Stage { model, session };
        assert_eq!(stage.told(), [" \"one\" ", "slept 2", "two"]);
        stage.assert_whole();
        let calls = &answer.report.rounds[0].calls;
        assert_eq!((calls[0].waited, calls[0].ran), (seconds(2_000), seconds(0)));
        assert_eq!((calls[1].waited, calls[1].ran), (seconds(0), seconds(2)));
    });
}

#[test]
fn a_call_that_runs_somewhere_else_is_not_approved_and_one_that_runs_here_not_answered() {
    testing::run(async {
        let pay = sleeper().approval(Approval::Always);
        let calls = reply().call("theirs", "{}").call("sleep", r#"{"s": 1}"#);
        let stage = stage([calls, reply().text("done")], [pay, theirs()]);
        let (session, mut events) = (&stage.session, stage.session.events());
        let wrong =
            |decided| matches!(decided, Err(DecideError::NotDecided(NotDecided::WrongPlace)));
        let edited = || Decision::Edited { arguments: r#"{"s": 2}"#.into() };
        let (answer, ()) = tokio::join!(stage.ask(), async {
            let theirs = asked(&mut events, session).await;
            let ours = asked(&mut events, session).await;
            assert!(wrong(session.decide(&theirs, Decision::Approved).await));
            assert!(wrong(session.decide(&theirs, edited()).await));
            assert!(wrong(session.decide(&ours, answered("x")).await));
            session.decide(&theirs, Decision::Denied { reason: None }).await.unwrap();
            session.decide(&ours, Decision::Approved).await.unwrap();
        });
        assert_eq!(outcomes(&answer.report.rounds[0]), ["denied", "ok"]);
    });
}

#[test]
fn a_cancel_answers_the_calls_that_wait_outside() {
    testing::run(async {
        let calls = reply().call("theirs", "{}").call("sleep", r#"{"s": 1}"#);
        let stage = stage([calls, reply().text("done")], [sleeper(), theirs()]);
        let (session, mut events) = (&stage.session, stage.session.events());
        let (failed, ()) = tokio::join!(stage.ask_in_vain(), async {
            asked(&mut events, session).await;
            tokio::time::sleep(seconds(5)).await;
            assert!(session.cancel().await);
        });
        assert_eq!(outcomes(&failed.report.rounds[0]), ["cancelled", "ok"]);
    });
}

#[test]
fn one_after_the_other_each_waits_for_those_before_it() {
    testing::run(async {
        let limits = Limits { mode: Mode::Sequential, ..limits() };
        let calls = reply().call("theirs", "{}").call("sleep", r#"{"s": 1}"#).call("theirs", "{}");
        let stage = stage_with([calls, reply().text("done")], [sleeper(), theirs()], limits);
        let (session, mut events) = (&stage.session, stage.session.events());
        let (_, ()) = tokio::join!(stage.ask(), async {
            let began = Instant::now();
            let first = asked(&mut events, session).await;
            tokio::time::sleep(seconds(3)).await;
            session.decide(&first, answered("one")).await.unwrap();
            let second = asked(&mut events, session).await;
            assert_eq!(began.elapsed(), seconds(4));
            session.decide(&second, answered("two")).await.unwrap();
        });
        assert_eq!(stage.told(), ["one", "slept 1", "two"]);
    });
}

#[test]
fn what_was_answered_is_on_record_as_such() {
    testing::run(async {
        let stage = stage([reply().call("theirs", "{}"), reply().text("done")], [theirs()]);
        let (session, mut events) = (&stage.session, stage.session.events());
        let (_, ()) = tokio::join!(stage.ask(), async {
            let call = asked(&mut events, session).await;
            session.decide(&call, answered("seven")).await.unwrap();
        });
        let mut seen = Vec::new();
        while let Ok(Some(record)) = tokio::time::timeout(seconds(1), events.next()).await {
            match &record.event {
                Event::ApprovalDecided { decision, .. } => seen.push(decision.as_str()),
                Event::CallStarted { .. } => seen.push("started"),
                Event::CallEnded { .. } => seen.push("ended"),
                _ => {}
            }
        }
        assert_eq!(seen, ["answered", "ended"]);
    });
}
