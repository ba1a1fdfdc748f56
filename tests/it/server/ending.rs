//! How a server ends, and the next one goes on.

use std::cell::Cell;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use actix_web::test::TestRequest;
use callsheet::store::{Access, Journal, Listing, MemoryStore};
use callsheet::testing::{self, reply};
use callsheet::{Event, Record, SessionId, ToolType};
use serde_json::json;
use tokio::time::Instant;

use super::site::{site, site_on};
use crate::support::journal::{Asked, Does, Rigged};
use crate::support::{seconds, sleeper};

const NO_TOOLS: [ToolType; 0] = [];

#[test]
fn a_server_that_ends_says_so_to_everybody() {
    testing::run(async {
        let site =
            site([reply().call("sleep", r#"{"s": 5}"#), reply().text("x")], [sleeper()]).await;
        site.make("a").await;
        let mut events = site.get("/v1/sessions/a/events").await;
        let mut answer = site.send(site.question("a", "go")).await;
        events.until("call_started").await;
        answer.until("call_started").await;
        assert_eq!(site.get("/readyz").await.status.as_u16(), 200);
        site.server.close();
        for stream in [&mut events, &mut answer] {
            let last = stream.soon().await;
            assert_eq!((&*last.name, &last.data), ("closed", &json!({"reason": "shutting_down"})));
            assert!(stream.next().await.is_none());
        }
        let ready = site.get("/readyz").await;
        assert_eq!(ready.status.as_u16(), 503);
        assert_eq!(ready.json().await, json!({"status": "draining"}));
        assert_eq!(site.get("/healthz").await.status.as_u16(), 200);
        for refused in [
            site.ask("a", "more").await,
            site.get("/v1/sessions/a/events").await,
            site.post("/v1/sessions", json!({})).await,
            site.post("/v1/tools/sleep/call", json!({"arguments": {"s": 1}})).await,
        ] {
            assert_eq!(refused.header("retry-after"), "5");
            assert_eq!(refused.refusal().await, (503, "shutting_down".to_owned()));
        }
    });
}

#[test]
fn the_next_server_goes_on_and_runs_nothing_again_that_had_ended() {
    testing::run(async {
        let store = Arc::new(MemoryStore::keeping());
        let calls = reply().call("sleep", r#"{"s": 1}"#).call("sleep", r#"{"s": 4}"#);
        let first = site_on(store.clone(), [calls, testing::silence()], [sleeper()], |it| it).await;
        first.make("a").await;
        let mut answer = first.send(first.question("a", "go")).await;
        answer.until("call_ended").await;
        first.server.close();
        let began = Instant::now();
        let report = first.runtime.suspend(seconds(30)).await;
        // As long as the call runs, and no longer: the model is not waited for.
        assert_eq!((began.elapsed(), report.cut.len()), (seconds(3), 1));
        drop((answer, first));

        let later = site_on(store, [reply().text("rested")], [sleeper()], |it| it).await;
        let shown = later.get("/v1/sessions/a").await.json().await;
        assert_eq!(shown["state"], "cut");
        assert_eq!(later.server.resume_all().await.expect("memory does not fail"), 1);
        let mut events = later.get("/v1/sessions/a/events").await;
        let sent = events.until("turn_ended").await;
        let count = |name: &str| sent.iter().filter(|sent| sent.name == name).count();
        assert_eq!((count("call_started"), count("call_ended"), count("turn_resumed")), (2, 2, 1));
        let shown = later.get("/v1/sessions/a").await.json().await;
        assert_eq!((&shown["answer"], &shown["state"]), (&json!("rested"), &json!("idle")));
        assert_eq!(later.server.resume_all().await.expect("memory does not fail"), 0);
    });
}

fn keyed(question: TestRequest) -> TestRequest {
    question.insert_header(("idempotency-key", "k"))
}

/// Asks "go" under a key in a session `a` of `store`; the turn is cut when the model is asked.
async fn ask_and_cut(store: &Arc<MemoryStore>) {
    let first = site_on(store.clone(), [testing::silence()], NO_TOOLS, |it| it).await;
    first.make("a").await;
    let mut answer = first.send(keyed(first.question("a", "go"))).await;
    answer.until("model_asked").await;
    assert_eq!(first.runtime.suspend(seconds(30)).await.cut.len(), 1);
}

#[test]
fn a_turn_that_was_cut_is_gone_on_with_when_somebody_asks_for_it() {
    testing::run(async {
        let store = Arc::new(MemoryStore::keeping());
        ask_and_cut(&store).await;

        let script = [reply().text("one"), reply().text("two")];
        let later = site_on(store, script, NO_TOOLS, |it| it).await;
        // Somebody who only follows it runs nothing.
        let mut followed = later.get("/v1/sessions/a/events").await;
        followed.until("model_asked").await;
        let shown = later.get("/v1/sessions/a").await.json().await;
        assert_eq!(shown["state"], "cut");
        let mut resumed = later.post("/v1/sessions/a/resume", json!({})).await;
        let sent = resumed.until("done").await;
        assert!(matches!(sent[0].record().event, Event::TurnResumed { turn: 1 }));
        assert_eq!(sent.last().expect("an end").data["answer"], "one");
        let again = later.post("/v1/sessions/a/resume", json!({})).await;
        assert_eq!(again.refusal().await, (409, "nothing_to_resume".to_owned()));
    });
}

#[test]
fn a_question_that_is_repeated_goes_on_with_its_turn_that_was_cut() {
    testing::run(async {
        let store = Arc::new(MemoryStore::keeping());
        ask_and_cut(&store).await;

        let later = site_on(store, [reply().text("one")], NO_TOOLS, |it| it).await;
        let again = keyed(later.question("a", "go")).insert_header(("prefer", "wait"));
        assert_eq!(later.send(again).await.json().await["answer"], "one");
    });
}

#[test]
fn a_turn_that_is_just_gone_on_with_is_gone_on_with_once_and_all_who_ask_for_it_hear_its_end() {
    testing::run(async {
        let store = Arc::new(MemoryStore::keeping());
        ask_and_cut(&store).await;

        // A store that takes its time to open it.
        let slow = |asked: Asked<'_>| match asked {
            Asked::Open(_) => Does::AsAskedAfter(seconds(3)),
            _ => Does::AsAsked,
        };
        let store = Arc::new(Rigged::new(store, slow));
        let later = site_on(store, [reply().text("one")], NO_TOOLS, |it| it).await;
        let again = || keyed(later.question("a", "go")).insert_header(("prefer", "wait"));
        let (resumed, streamed, waited, by_hand, shown) = tokio::join!(
            later.server.resume_all(),
            later.send(keyed(later.question("a", "go"))),
            later.send(again()),
            later.post("/v1/sessions/a/resume", json!({})),
            later.get("/v1/sessions/a"),
        );
        assert_eq!(resumed.expect("memory does not fail"), 1);
        assert_eq!(waited.status.as_u16(), 200);
        assert_eq!(waited.json().await["answer"], "one");
        let mut streamed = streamed;
        assert_eq!(streamed.until("done").await.last().expect("an end").data["answer"], "one");
        assert_eq!(by_hand.refusal().await, (409, "busy".to_owned()));
        assert_eq!(shown.json().await["state"], "running");
        assert_eq!(later.send(again()).await.json().await["answer"], "one");
        let records = later.records("a").await;
        let resumed = records.iter().filter(|it| matches!(it.event, Event::TurnResumed { .. }));
        assert_eq!(resumed.count(), 1);
    });
}

#[test]
fn who_waits_for_a_turn_that_is_left_is_told_that_it_is_not_over() {
    testing::run(async {
        let site = site([testing::silence()], NO_TOOLS).await;
        site.make("a").await;
        let (answer, _) = tokio::join!(site.ask("a", "go"), async {
            tokio::time::sleep(seconds(1)).await;
            site.server.close();
            site.runtime.suspend(seconds(30)).await
        });
        assert_eq!(answer.status.as_u16(), 202);
        assert_eq!(answer.json().await["error"], json!(null));
    });
}

#[test]
fn a_turn_whose_owner_had_just_died_is_gone_on_with_once_it_is_known_to_be_dead() {
    testing::run(async {
        let store = Arc::new(MemoryStore::keeping());
        ask_and_cut(&store).await;
        // Its last owner seems to live for a while.
        let id = SessionId::new("a");
        let epoch = store.open(&id, Access::IfFree).await.expect("it was let go");

        let later = site_on(store.clone(), [reply().text("rested")], NO_TOOLS, |it| it).await;
        let told = Cell::new(0);
        let server = later.server.clone();
        let resuming = server.keep_resuming(seconds(30), |resumed| told.set(told.get() + resumed));
        let test = async {
            let began = Instant::now();
            let mut events = later.get("/v1/sessions/a/events").await;
            events.until("model_asked").await;
            tokio::time::sleep(seconds(20)).await;
            assert_eq!((told.get(), later.model.requests().len()), (0, 0), "it is another one's");
            store.close(&id, epoch);
            let sent = events.until("turn_ended").await;
            assert!(sent.iter().any(|sent| sent.name == "turn_resumed"));
            assert_eq!(began.elapsed(), seconds(31));
            tokio::time::sleep(seconds(300)).await;
            assert_eq!(told.get(), 1, "it is told once, and there is nothing more to go on with");
            later.server.close();
        };
        let both = async { tokio::join!(resuming, test) };
        tokio::time::timeout(seconds(1000), both).await.expect("it ends with the server");
    });
}

/// Leaves in `store` a session whose turn was cut when it had just begun.
async fn leave_cut(store: &MemoryStore, name: &str) {
    let id = SessionId::new(name);
    let epoch = store.open(&id, Access::IfFree).await.expect("it is free");
    let event = Event::TurnStarted { turn: 1, prompt: name.into(), goes_on: false, key: None };
    let record = Record { v: 1, seq: 1, at_us: 1, session: id.clone(), event };
    store.append(&id, 0, epoch, Arc::new(vec![record])).await.expect("it is ours");
    store.close(&id, epoch);
}

#[test]
fn it_is_looked_for_cut_turns_each_minute_until_the_server_closes_whatever_the_store_does() {
    testing::run(async {
        let store =
            Arc::new(Rigged::new(Arc::new(MemoryStore::keeping()), |_: Asked<'_>| Does::AsAsked));
        let script = ["one", "two", "three"].map(|text| reply().text(text));
        let site = site_on(store.clone(), script, NO_TOOLS, |it| it).await;
        let (began, told) = (Instant::now(), Cell::new(0));
        let resuming = async {
            let tell = |resumed| {
                assert_ne!(resumed, 0, "nothing is nothing to tell");
                told.set(told.get() + resumed);
            };
            site.server.keep_resuming(seconds(30), tell).await;
            began.elapsed()
        };
        store.lists_nothing.store(true, Ordering::Relaxed);
        let test = async {
            // A lease and a second after the beginning, and each minute from then on.
            for (n, looks_at) in [(0, 31), (1, 31 + 60), (2, 31 + 120)] {
                tokio::time::sleep_until(began + seconds(looks_at - 10)).await;
                store.lists_nothing.store(false, Ordering::Relaxed);
                leave_cut(&store.inner, &format!("s{n}")).await;
                tokio::time::sleep_until(began + seconds(looks_at) - Duration::from_millis(1))
                    .await;
                assert_eq!(told.get(), n, "it is not time to look");
                tokio::time::sleep(Duration::from_millis(2)).await;
                assert_eq!(told.get(), n + 1);
            }
            leave_cut(&store.inner, "late").await;
            site.server.close();
            began.elapsed()
        };
        let both = async { tokio::join!(resuming, test) };
        let ended = tokio::time::timeout(seconds(1000), both).await;
        let (resuming, closed) = ended.expect("it ends with the server");
        assert_eq!(resuming, closed, "at once");
        assert_eq!(site.model.requests().len(), 3);
    });
}

#[test]
fn of_many_turns_that_were_cut_some_are_opened_at_a_time_and_all_are_gone_on_with() {
    testing::run(async {
        let inner = Arc::new(MemoryStore::keeping());
        for n in 0..250 {
            leave_cut(&inner, &format!("s{n}")).await;
        }
        // Each opening takes a second.
        let judge = |asked: Asked<'_>| match asked {
            Asked::Open(_) => Does::AsAskedAfter(seconds(1)),
            _ => Does::AsAsked,
        };
        let store = Arc::new(Rigged::new(inner, judge));
        let script = (0..250).map(|n| reply().text(&n.to_string()));
        let site = site_on(store, script, NO_TOOLS, |it| it).await;
        let began = Instant::now();
        assert_eq!(site.server.resume_all().await.expect("memory does not fail"), 250);
        // A hundred are seven times sixteen, and fifty four times.
        assert_eq!(began.elapsed(), seconds(7 + 7 + 4));
        tokio::time::sleep(seconds(1)).await;
        let open = Listing { limit: 1, open_only: true, ..Listing::default() };
        assert_eq!(site.store.list(&open).await.expect("memory does not fail").sessions, []);
    });
}
