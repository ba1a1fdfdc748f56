//! Questions that wait for their turn.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use callsheet::testing::{self, Scripted, ScriptedModel, reply};
use callsheet::{Answer, Error, Event, Question, Runtime, Session, SessionOptions};
use futures_util::future::join_all;
use tokio::time::{sleep, timeout};

use crate::support::journal::{Asked, Does, rigged};
use crate::support::{limits, seconds, stage};

fn in_line(prompt: &str) -> Question {
    Question::new(prompt).wait_in_line()
}

fn slow(text: &str) -> Scripted {
    reply().text(text).after(seconds(10))
}

fn session(runtime: &Runtime, script: impl IntoIterator<Item = Scripted>) -> Session {
    let options = SessionOptions::new(ScriptedModel::new(script), Arc::default());
    runtime.session(options.limits(limits()))
}

fn text(answer: Result<Answer, Error>) -> String {
    match answer {
        Ok(answer) => answer.text.to_string(),
        Err(error) => error.to_string(),
    }
}

async fn waiting(session: &Session) -> usize {
    session.status().await.expect("the session lives").waiting
}

#[test]
fn questions_in_line_are_answered_in_the_order_they_came() {
    testing::run(async {
        let stage = stage(["one", "two", "three"].map(slow), []);
        let prompts = ["first", "second", "third"];
        let asked = prompts.map(|prompt| stage.session.ask(in_line(prompt)));
        let (answers, ()) = tokio::join!(join_all(asked), async {
            sleep(seconds(5)).await;
            assert_eq!(waiting(&stage.session).await, 2);
            assert!(matches!(stage.session.ask("me too").await, Err(Error::Busy)));
            sleep(seconds(10)).await;
            assert_eq!(waiting(&stage.session).await, 1);
        });
        let answers: Vec<_> = answers.into_iter().map(text).collect();
        assert_eq!(answers, ["one", "two", "three"]);
        let histories = stage.model.requests();
        let last = histories.last().expect("it was asked");
        let asked: Vec<_> = last.iter().map(|message| &*message.text).collect();
        assert_eq!(asked, ["first", "one", "second", "two", "third"]);
        assert_eq!(waiting(&stage.session).await, 0);
    });
}

#[test]
fn a_question_that_nobody_waits_for_any_more_is_passed_over() {
    testing::run(async {
        let stage = stage(["one", "two"].map(slow), []);
        let (first, gone, last) = tokio::join!(
            stage.session.ask("first"),
            timeout(seconds(5), stage.session.ask(in_line("gone"))),
            async {
                sleep(seconds(1)).await;
                stage.session.ask(in_line("last")).await
            }
        );
        assert!(gone.is_err());
        assert_eq!([text(first), text(last)], ["one", "two"]);
        let histories = stage.model.requests();
        assert!(histories.iter().flatten().all(|message| message.text != "gone"));
    });
}

#[test]
fn the_line_is_bounded_and_who_leaves_it_makes_room() {
    testing::run(async {
        let stage = stage((0..70).map(|_| slow("done")), []);
        let line = (0..64).map(|_| timeout(seconds(5), stage.session.ask(in_line("in line"))));
        let (first, _, ()) = tokio::join!(stage.session.ask("go"), join_all(line), async {
            sleep(seconds(1)).await;
            assert_eq!(waiting(&stage.session).await, 64);
            assert!(matches!(stage.session.ask(in_line("one more")).await, Err(Error::Busy)));
            sleep(seconds(5)).await;
            assert_eq!(waiting(&stage.session).await, 0);
            assert_eq!(text(stage.session.ask(in_line("now")).await), "done");
        });
        assert_eq!(text(first), "done");
        assert_eq!(stage.model.requests().len(), 2);
    });
}

#[test]
fn cancelling_takes_only_the_turn_that_is_under_way() {
    testing::run(async {
        let stage = stage(["one", "two"].map(slow), []);
        let (first, second, ()) =
            tokio::join!(stage.session.ask("first"), stage.session.ask(in_line("second")), async {
                sleep(seconds(5)).await;
                assert!(stage.session.cancel().await);
            });
        assert_eq!([text(first), text(second)], ["the turn was cancelled", "two"]);
    });
}

#[test]
fn a_lost_store_answers_the_whole_line() {
    testing::run(async {
        let (runtime, _) = rigged(|asked| match asked {
            Asked::Append(records)
                if records.iter().any(|r| matches!(r.event, Event::Replied { .. })) =>
            {
                Does::Refuses
            }
            _ => Does::AsAsked,
        });
        let session = session(&runtime, ["one"].map(slow));
        let line = join_all((0..3).map(|_| session.ask(in_line("in line"))));
        let all = timeout(seconds(100), line).await.expect("nobody is forgotten");
        assert!(matches!(all[0], Err(Error::Turn(_))));
        assert!(all[1..].iter().all(|answer| matches!(answer, Err(Error::Store(_)))), "{all:?}");
    });
}

#[test]
fn questions_asked_while_the_session_opens_stand_in_the_same_line() {
    testing::run(async {
        let (runtime, _) = rigged(|asked| match asked {
            Asked::Open(_) => Does::AsAskedAfter(seconds(5)),
            _ => Does::AsAsked,
        });
        let session = session(&runtime, ["one", "two"].map(slow));
        let (first, gone, second, refused, ()) = tokio::join!(
            session.ask("first"),
            timeout(seconds(1), session.ask(in_line("gone"))),
            session.ask(in_line("second")),
            session.ask("third"),
            async {
                sleep(seconds(2)).await;
                assert_eq!(waiting(&session).await, 2);
                sleep(seconds(4)).await;
                assert_eq!(waiting(&session).await, 1);
            }
        );
        assert!(gone.is_err() && matches!(refused, Err(Error::Busy)), "{gone:?} {refused:?}");
        assert_eq!([text(first), text(second)], ["one", "two"]);
    });
}

#[test]
fn a_store_that_does_not_open_answers_the_whole_line() {
    testing::run(async {
        let refuses = AtomicBool::new(true);
        let (runtime, _) = rigged(move |asked| match asked {
            Asked::Open(_) if refuses.swap(false, Ordering::Relaxed) => Does::Refuses,
            _ => Does::AsAskedAfter(seconds(1_000_000)),
        });
        for _ in ["refused", "silent"] {
            let session = session(&runtime, []);
            let all = join_all((0..3).map(|_| session.ask(in_line("in line")))).await;
            assert!(all.iter().all(|answer| matches!(answer, Err(Error::Store(_)))), "{all:?}");
        }
    });
}

#[test]
fn a_session_ends_when_its_line_is_empty_and_its_last_handle_gone() {
    testing::run(async {
        let stage = stage(["one", "two"].map(slow), []);
        let mut events = stage.session.events();
        let (first, second) = (stage.session.clone(), stage.session.clone());
        let first = actix_rt::spawn(async move { first.ask("first").await });
        let second = actix_rt::spawn(async move { second.ask(in_line("second")).await });
        drop(stage);
        assert_eq!(text(first.await.expect("no panic")), "one");
        assert_eq!(text(second.await.expect("no panic")), "two");
        let ended = timeout(seconds(100), async { while events.next().await.is_some() {} }).await;
        assert!(ended.is_ok(), "the session is still there");
    });
}
