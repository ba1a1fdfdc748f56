//! A question, its answer as it comes or when it is there, and its repetition.

use std::sync::Arc;

use callsheet::store::MemoryStore;
use callsheet::testing::{self, reply};
use callsheet::{Event, ToolType};
use serde_json::json;
use tokio::time::Instant;

use super::site::{Site, numbers, site, site_on, site_through};
use crate::support::counted::Counted;
use crate::support::{seconds, sleeper};

const NO_TOOLS: [ToolType; 0] = [];

fn nap(s: u64) -> testing::Scripted {
    reply().call("sleep", &format!(r#"{{"s": {s}}}"#))
}

#[test]
fn a_question_is_answered_as_it_happens_and_with_a_document() {
    testing::run(async {
        let site = site([nap(2), reply().text("rested")], [sleeper()]).await;
        site.make("a").await;
        let mut answer = site.send(site.question("a", "go")).await;
        assert_eq!(
            (answer.status.as_u16(), answer.header("content-type")),
            (200, "text/event-stream")
        );
        let sent = answer.until("done").await;
        assert!(answer.next().await.is_none());
        let (done, events) = sent.split_last().expect("at least the end");
        assert_eq!(done.data["answer"], "rested");
        assert_eq!(done.data["rounds"][0]["calls"][0]["ran_ms"], 2000.0);
        assert_eq!(events[0].name, "turn_started");
        assert_eq!(events.last().map(|last| &*last.name), Some("turn_ended"));
        let kept = site.records("a").await;
        let told: Vec<_> =
            events.iter().filter(|sent| sent.id.is_some()).map(super::site::Sent::record).collect();
        assert_eq!(told, kept[1..], "all but the session's own beginning");
        assert!(events.iter().any(|sent| sent.name == "text_streamed" && sent.id.is_none()));
    });
}

#[test]
fn who_would_rather_wait_gets_the_document_alone() {
    testing::run(async {
        let site = site([nap(2), reply().text("rested")], [sleeper()]).await;
        site.make("a").await;
        let answer = site.ask("a", "go").await;
        assert_eq!(
            (answer.status.as_u16(), answer.header("content-type")),
            (200, "application/json")
        );
        assert_eq!(answer.json().await["answer"], "rested");
    });
}

#[test]
fn who_waits_no_longer_gets_what_there_is_and_the_turn_goes_on() {
    testing::run(async {
        let site = site([nap(5), reply().text("rested")], [sleeper()]).await;
        site.make("a").await;
        let began = Instant::now();
        let asked = site.question("a", "go").insert_header(("prefer", "wait=2"));
        let answer = site.send(asked).await;
        assert_eq!((answer.status.as_u16(), began.elapsed()), (202, seconds(2)));
        assert_eq!(answer.header("location"), "/v1/sessions/a");
        let document = answer.json().await;
        assert_eq!(document["rounds"][0]["calls"][0]["outcome"], json!(null));
        assert_eq!(document["answer"], json!(null));
        tokio::time::sleep(seconds(4)).await;
        let shown = site.get("/v1/sessions/a").await.json().await;
        assert_eq!((&shown["answer"], &shown["state"]), (&json!("rested"), &json!("idle")));
    });
}

#[test]
fn a_client_that_goes_away_cancels_nothing() {
    testing::run(async {
        let site = site([nap(5), reply().text("rested")], [sleeper()]).await;
        site.make("a").await;
        let mut answer = site.send(site.question("a", "go")).await;
        answer.until("call_started").await;
        drop(answer);
        tokio::time::sleep(seconds(6)).await;
        let records = site.records("a").await;
        let last = &records.last().expect("a turn").event;
        assert!(
            matches!(
                last,
                Event::TurnEnded { end: callsheet::conversation::TurnEnd::Answered, .. }
            ),
            "{last:?}"
        );
    });
}

#[test]
fn a_turn_that_fails_has_a_document_that_says_why() {
    testing::run(async {
        let refused = callsheet::model::Error::Refused {
            url: "http://m".to_owned(),
            status: 400,
            message: "no".to_owned(),
        };
        let site = site([testing::failure(refused)], NO_TOOLS).await;
        site.make("a").await;
        let document = site.ask("a", "go").await.json().await;
        assert_eq!(document["answer"], json!(null));
        assert!(document["error"]["message"].as_str().is_some_and(|why| why.contains("no")));
        let list = site.get("/v1/sessions").await.json().await;
        assert_eq!(list["sessions"][0]["failed"], 1);
        assert_eq!(list["sessions"][0]["last_error"], document["error"]);
    });
}

#[test]
fn one_question_at_a_time() {
    testing::run(async {
        let site = site([nap(5), reply().text("rested")], [sleeper()]).await;
        site.make("a").await;
        let mut first = site.send(site.question("a", "go")).await;
        first.until("call_started").await;
        assert_eq!(site.ask("a", "and?").await.refusal().await, (409, "busy".to_owned()));
        let streamed = site.send(site.question("a", "and?")).await;
        assert_eq!(streamed.refusal().await, (409, "busy".to_owned()));
        first.until("done").await;
    });
}

#[test]
fn what_is_no_question_is_refused() {
    testing::run(async {
        let site = site([], NO_TOOLS).await;
        site.make("a").await;
        assert_eq!(site.ask("a", " \n").await.refusal().await, (422, "empty".to_owned()));
        assert_eq!(site.ask("b", "go").await.refusal().await, (404, "not_found".to_owned()));
        for body in
            [json!({}), json!({"content": 3}), json!({"content": "a", "x": 1}), json!(["go"])]
        {
            let refused = site.post("/v1/sessions/a/messages", body).await;
            assert_eq!(refused.refusal().await, (400, "bad_json".to_owned()));
        }
        assert_eq!(site.records("a").await, []);
    });
}

async fn keyed(site: &Site, key: &str, text: &str, prefer: &str) -> super::site::Response {
    let question = site.question("a", text).insert_header(("idempotency-key", key));
    site.send(question.insert_header(("prefer", prefer.to_owned()))).await
}

#[test]
fn a_question_that_is_repeated_under_its_key_is_asked_once() {
    testing::run(async {
        let store = Arc::new(MemoryStore::keeping());
        let script = [nap(2), reply().text("one"), reply().text("two")];
        let first = site_on(store.clone(), script, [sleeper()], |server| server).await;
        first.make("a").await;
        // At the same time, while it runs, and when it is over.
        let (left, right) =
            tokio::join!(keyed(&first, "k", "go", "wait"), keyed(&first, "k", "go", "wait"),);
        let (left, right) = (left.json().await, right.json().await);
        assert_eq!((&left["answer"], &right["answer"]), (&json!("one"), &json!("one")));
        let mut streamed = keyed(&first, "\"k\"", "go", "").await;
        let sent = streamed.until("done").await;
        assert_eq!(numbers(&sent), (2..=sent.len() as u64).collect::<Vec<_>>());
        assert_eq!(sent.last().expect("an end").data["answer"], "one");
        let other = keyed(&first, "k", "another", "wait").await;
        assert_eq!(other.refusal().await, (422, "key_reused".to_owned()));
        let new = keyed(&first, "k2", "go", "wait").await.json().await;
        assert_eq!(new["answer"], "two");
        drop(first);
        // And in a later process.
        let later = site_on(store, [], [sleeper()], |server| server).await;
        let again = keyed(&later, "k", "go", "wait").await.json().await;
        assert_eq!(again["answer"], "one");
        let starts = later.records("a").await;
        let starts =
            starts.iter().filter(|record| matches!(record.event, Event::TurnStarted { .. }));
        assert_eq!(starts.count(), 2);
    });
}

#[test]
fn a_question_that_is_repeated_while_another_process_answers_it_gets_that_answer() {
    testing::run(async {
        let store = Arc::new(MemoryStore::keeping());
        let script = [nap(5), reply().text("one")];
        let first = site_on(store.clone(), script, [sleeper()], |server| server).await;
        first.make("a").await;
        let mut asked = keyed(&first, "k", "go", "").await;
        asked.until("call_started").await;
        let far = Counted::far(&store);
        let later = site_through(store, far, [], [sleeper()], |server| server).await;
        let began = Instant::now();
        let (waited, sent) = tokio::join!(keyed(&later, "k", "go", "wait"), async {
            keyed(&later, "k", "go", "").await.until("done").await
        });
        assert!(began.elapsed() < seconds(7), "{:?}", began.elapsed());
        assert_eq!(waited.status.as_u16(), 200);
        assert_eq!(waited.json().await["answer"], "one");
        assert_eq!(sent.last().expect("an end").data["answer"], "one");
    });
}

#[test]
fn a_key_is_one_that_can_be_kept() {
    testing::run(async {
        let site = site([], NO_TOOLS).await;
        site.make("a").await;
        let refused = keyed(&site, "two words", "go", "wait").await;
        assert_eq!(refused.refusal().await, (400, "bad_idempotency_key".to_owned()));
    });
}
