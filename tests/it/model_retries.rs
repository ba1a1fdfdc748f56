//! A reply that came to nothing: the model is asked again, or another one is.

use std::sync::Arc;
use std::time::Duration;

use callsheet::supervision::Backoff;
use callsheet::testing::{self, Scripted, ScriptedModel, failure, reply, streamed};
use callsheet::{Event, ModelRetries, Session, SessionOptions, ToolSet, model};

use crate::support::{limits, seconds, sleeper};

fn cut() -> Scripted {
    failure(model::Error::Cut { url: "u".into(), reason: "r".into() })
}

fn refused() -> Scripted {
    failure(model::Error::KeyRefused { url: "u".into(), message: "m".into() })
}

fn limited(seconds: u64) -> Scripted {
    let retry_after = Some(Duration::from_secs(seconds));
    failure(model::Error::RateLimited { url: "u".into(), message: "m".into(), retry_after })
}

fn done() -> Scripted {
    reply().text("done")
}

/// A session whose models give these replies, the first one first; two tries more for each reply,
/// after rests of 10 s.
fn session<const N: usize>(scripts: [Vec<Scripted>; N]) -> (Session, [Arc<ScriptedModel>; N]) {
    let models = scripts.map(ScriptedModel::new);
    let tools = Arc::new(ToolSet::new([sleeper()]).expect("the tool is well formed"));
    let backoff = Backoff { min: seconds(10), max: seconds(100) };
    let mut options = SessionOptions::new(models[0].clone(), tools).limits(limits());
    options = options.model_retries(ModelRetries { retries: 2, backoff });
    for model in &models[1..] {
        options = options.fallback(model.clone());
    }
    (testing::runtime().session(options), models)
}

#[test]
fn a_reply_that_came_to_nothing_is_asked_for_again_after_a_rest() {
    testing::run(async {
        let calls = reply().call("sleep", r#"{"s": 1}"#);
        let (session, models) = session([vec![cut(), calls, cut(), cut(), done()]]);
        let answer = session.ask("go").await.unwrap();
        assert_eq!(&*answer.text, "done");
        let [round] = &*answer.report.rounds else { panic!("one round") };
        let [retry] = &*round.retries else { panic!("{round:?}") };
        assert!((seconds(8)..seconds(12)).contains(&retry.waited), "{retry:?}");
        assert_eq!((&*retry.error.code, &*retry.model), ("stream_cut", "scripted"));
        assert_eq!(round.model, retry.waited, "a rest is the model's time");
        let [one, two] = answer.report.retries() else { panic!("of the answer: {answer:?}") };
        assert_eq!((&*one.error.code, &*two.model), ("stream_cut", "scripted"));
        assert_eq!((one.failed, two.failed), (seconds(0), one.waited));
        let histories: Vec<_> = models[0].requests().iter().map(Vec::len).collect();
        assert_eq!(histories, [1, 1, 3, 3, 3], "the same question each time");
        assert!(models[0].violations().is_empty());
    });
}

#[test]
fn after_the_last_try_the_turn_fails_and_the_next_question_is_as_good_as_new() {
    testing::run(async {
        let (session, _) = session([vec![cut(), cut(), cut(), done()]]);
        let Err(callsheet::Error::Turn(failed)) = session.ask("go").await else { panic!() };
        assert_eq!(failed.cause.code(), "stream_cut");
        assert!(failed.report.elapsed >= seconds(24), "two rests: {failed:?}");
        let rests: Vec<_> = failed.report.retries().iter().map(|retry| retry.waited).collect();
        assert_eq!(rests.len(), 2, "the third failure is the turn's");
        assert_eq!(rests.iter().sum::<Duration>(), failed.report.elapsed);
        assert_eq!(&*session.ask("go").await.unwrap().text, "done");
    });
}

#[test]
fn a_rest_that_the_turns_end_cuts_short_is_as_long_as_it_was() {
    testing::run(async {
        let (session, _) = session([vec![limited(60), done()]]);
        let cancel = async {
            tokio::time::sleep(seconds(2)).await;
            session.cancel().await;
        };
        let (asked, ()) = tokio::join!(session.ask("go"), cancel);
        let Err(callsheet::Error::Turn(failed)) = asked else { panic!() };
        let [retry] = failed.report.retries() else { panic!("{failed:?}") };
        assert_eq!((&*retry.error.code, retry.waited), ("rate_limited", seconds(2)));
    });
}

#[test]
fn what_will_not_pass_is_not_tried_again() {
    testing::run(async {
        let (session, models) = session([vec![refused(), done()]]);
        let Err(callsheet::Error::Turn(failed)) = session.ask("go").await else { panic!() };
        assert_eq!((failed.cause.code(), failed.report.elapsed), ("key_refused", seconds(0)));
        assert_eq!(models[0].requests().len(), 1);
    });
}

#[test]
fn a_provider_that_asks_for_a_longer_rest_has_it() {
    testing::run(async {
        let (session, _) = session([vec![limited(60), done()]]);
        let elapsed = session.ask("go").await.unwrap().report.elapsed;
        assert!((seconds(60)..seconds(67)).contains(&elapsed), "{elapsed:?}");
    });
}

#[test]
fn where_a_model_fails_for_good_the_next_one_answers_for_the_rest_of_the_turn() {
    testing::run(async {
        let calls = reply().call("sleep", r#"{"s": 1}"#);
        let (session, [first, second]) =
            session([vec![refused(), done()], vec![calls, cut(), done()]]);
        let mut events = session.events();
        let answer = session.ask("go").await.unwrap();
        assert_eq!((first.requests().len(), second.requests().len()), (1, 3));
        assert_eq!(answer.report.rounds[0].retries[0].waited, seconds(0), "at once");
        let mut asked = Vec::new();
        loop {
            match &events.next().await.unwrap().event {
                Event::ModelAsked { attempt, model, .. } => asked.push((*attempt, model.is_some())),
                Event::TurnEnded { .. } => break,
                _ => {}
            }
        }
        assert_eq!(asked, [(1, false), (2, true), (1, true), (2, true)]);
        session.ask("again").await.unwrap();
        assert_eq!(first.requests().len(), 2, "the next turn begins with the first");
    });
}

#[test]
fn a_cancel_ends_a_rest() {
    testing::run(async {
        let (session, models) = session([vec![limited(90), done()]]);
        let ask = async {
            let Err(callsheet::Error::Turn(failed)) = session.ask("go").await else { panic!() };
            assert_eq!((failed.cause.code(), failed.report.elapsed), ("cancelled", seconds(5)));
        };
        let cancel = async {
            tokio::time::sleep(seconds(5)).await;
            assert!(session.cancel().await);
        };
        tokio::join!(ask, cancel);
        assert_eq!(models[0].requests().len(), 1);
    });
}

#[test]
fn text_that_was_shown_and_became_void_is_marked() {
    testing::run(async {
        let broken = reply().text("The answ").text("er").paced(seconds(1)).broken_off_after(2);
        let (session, _) = session([vec![broken, cut(), done()]]);
        let mut events = session.events();
        session.ask("go").await.unwrap();
        let mut heard = Vec::new();
        loop {
            heard.push(match &events.next().await.unwrap().event {
                Event::TextStreamed { text } => text.clone(),
                Event::ModelFailed { text_was_shown, error, .. } => {
                    format!("{} {text_was_shown}", error.code)
                }
                Event::TurnEnded { .. } => break,
                _ => continue,
            });
        }
        assert_eq!(heard, ["The answ", "er", "stream_cut true", "stream_cut false", "done"]);
    });
}

#[test]
fn a_reply_that_ends_in_the_reason_error_is_a_failure() {
    testing::run(async {
        let calls = reply().call("sleep", r#"{"s": 1}"#).finish("error");
        let (session, models) = session([vec![calls, done()]]);
        let answer = session.ask("go").await.unwrap();
        assert!(answer.report.rounds.is_empty(), "none of its calls has run");
        assert_eq!(models[0].requests()[1].len(), 1, "it left no trace");
    });
}

/// A reply whose provider counts 7 tokens in and 3 out, at the price of a dollar, and goes on with
/// `end`.
fn counted(end: &str) -> Scripted {
    let chunk = |json: &str| (seconds(0), format!("data: {json}\n\n"));
    let usage = r#"{"choices":[{"index":0,"delta":{"content":"a"}}],"usage":{"prompt_tokens":7,"completion_tokens":3,"cost":1}}"#;
    streamed([chunk(usage), chunk(end)])
}

#[test]
fn replies_that_came_to_nothing_were_paid_for() {
    testing::run(async {
        let error = || counted(r#"{"error":{"message":"gone"}}"#);
        let broken = counted(r#"{"choices":[{"index":0,"delta":{},"finish_reason":"error"}]}"#);
        let cut = counted(r#"{"choices":[]}"#);
        let (session, _) = session([vec![error(), broken, done(), error(), cut, error(), done()]]);
        let mut events = session.events();
        let usage = session.ask("go").await.unwrap().report.usage;
        assert_eq!((usage.input_tokens, usage.output_tokens), (7 + 7 + 10, 3 + 3 + 5));
        assert_eq!(usage.cost, Some(2.0), "of those whose cost is known");
        let Err(callsheet::Error::Turn(failed)) = session.ask("go").await else { panic!() };
        assert_eq!(failed.report.usage.input_tokens, 3 * 7, "{failed:?}");
        let status = session.status().await.unwrap();
        assert_eq!((status.usage.input_tokens, status.usage.output_tokens), (24 + 21, 11 + 9));
        assert_eq!(status.usage.cost, Some(5.0));
        let mut said = Vec::new();
        while said.len() < 6 {
            match &events.next().await.unwrap().event {
                Event::ModelFailed { usage, .. } | Event::TurnEnded { usage, .. } => {
                    said.push(usage.map(|usage| usage.input_tokens));
                }
                _ => {}
            }
        }
        assert_eq!(said, [Some(7), Some(7), None, Some(7), Some(7), Some(7)]);
        assert_eq!(session.ask("go").await.unwrap().report.usage.input_tokens, 10, "a new turn");
    });
}

#[test]
fn a_reply_that_a_cancelled_or_late_turn_gave_up_was_paid_for() {
    testing::run(async {
        let goes_on = || {
            let chunk = r#"{"choices":[],"usage":{"prompt_tokens":7,"completion_tokens":3}}"#;
            let late = seconds(100_000);
            streamed([(seconds(1), format!("data: {chunk}\n\n")), (late, String::new())])
        };
        let (session, _) = session([vec![goes_on(), goes_on()]]);
        let cancel = async {
            tokio::time::sleep(seconds(2)).await;
            session.cancel().await;
        };
        let (asked, ()) = tokio::join!(session.ask("go"), cancel);
        let Err(callsheet::Error::Turn(failed)) = asked else { panic!() };
        assert_eq!(failed.report.usage.output_tokens, 3);
        let Err(callsheet::Error::Turn(failed)) = session.ask("go").await else { panic!() };
        assert_eq!((failed.cause.code(), failed.report.usage.output_tokens), ("turn_timed_out", 3));
        assert_eq!(session.status().await.unwrap().usage.output_tokens, 6);
    });
}
