//! A session as it happens, for readers that come late, again, or slowly.

use std::sync::Arc;
use std::time::Duration;

use actix_web::test::TestRequest;
use callsheet::server::ServerLimits;
use callsheet::store::{Access, Journal, MemoryStore};
use callsheet::testing::{self, Scripted, reply};
use callsheet::{Event, Record, SessionId, ToolType};
use serde_json::json;

use super::site::{numbers, site, site_on, site_through};
use crate::support::counted::{Counted, Handed};
use crate::support::{seconds, sleeper};

const NO_TOOLS: [ToolType; 0] = [];

fn three_naps() -> Scripted {
    (1..=3).fold(reply(), |reply, s| reply.call("sleep", &format!(r#"{{"s": {s}}}"#)))
}

#[test]
fn what_was_kept_is_told_first_and_then_what_happens() {
    testing::run(async {
        let script = [reply().text("one"), three_naps(), reply().text("two")];
        let site = site(script, [sleeper()]).await;
        site.make("a").await;
        site.ask("a", "go").await;
        let mut events = site.get("/v1/sessions/a/events").await;
        events.until("turn_ended").await;
        let mut asked = site.send(site.question("a", "again")).await;
        let live = events.until("turn_ended").await;
        assert_eq!(live[0].name, "turn_started");
        assert_eq!(asked.until("turn_ended").await, live);
        let kept = site.records("a").await;
        let told =
            numbers(&site.get("/v1/sessions/a/events?after=0").await.until("turn_ended").await);
        assert_eq!(told[..], kept[..told.len()].iter().map(|kept| kept.seq).collect::<Vec<_>>());
        assert_eq!(numbers(&live).last(), kept.last().map(|kept| &kept.seq));
    });
}

#[test]
fn who_comes_back_goes_on_behind_the_last_event_it_has() {
    testing::run(async {
        let site = site([reply().text("one"), reply().text("two")], NO_TOOLS).await;
        site.make("a").await;
        site.ask("a", "go").await;
        let last = site.records("a").await.last().expect("a turn").seq;
        let path = format!("/v1/sessions/a/events?after={}", last - 2);
        let mut events = site.get(&path).await;
        assert_eq!(numbers(&[events.soon().await, events.soon().await]), [last - 1, last]);
        // The header is of the connection that was lost: it counts more.
        let again =
            TestRequest::get().uri(&path).insert_header(("last-event-id", (last - 1).to_string()));
        let mut events = site.send(again).await;
        assert_eq!(events.soon().await.id, Some(last));
        let mut now = site.get("/v1/sessions/a/events?after=now").await;
        site.ask("a", "again").await;
        assert_eq!(now.soon().await.id, Some(last + 1));
        let bad = site.get("/v1/sessions/a/events?after=x").await;
        assert_eq!(bad.refusal().await, (400, "bad_number".to_owned()));
    });
}

#[test]
fn who_knows_an_event_that_there_is_not_is_told_so_and_does_not_wait_for_it() {
    testing::run(async {
        let site = site([reply().text("one"), reply().text("two")], NO_TOOLS).await;
        site.make("a").await;
        let beyond = site.get("/v1/sessions/a/events?after=1").await;
        assert_eq!(beyond.refusal().await, (400, "bad_number".to_owned()));
        let mut first = site.get("/v1/sessions/a/events?after=0").await;
        site.ask("a", "go").await;
        let last = numbers(&first.until("turn_ended").await).pop().expect("a turn");
        for number in [last + 1, u64::MAX] {
            let path = format!("/v1/sessions/a/events?after={number}");
            assert_eq!(site.get(&path).await.refusal().await, (400, "bad_number".to_owned()));
        }
        let again = TestRequest::get().uri("/v1/sessions/a/events?after=0");
        let again = again.insert_header(("last-event-id", (last + 1).to_string()));
        let problem = site.send(again).await.json().await;
        let why = format!("there is no event {}; the last is {last}", last + 1);
        assert_eq!(problem["detail"], why);
        let mut at_the_end = site.get(&format!("/v1/sessions/a/events?after={last}")).await;
        site.ask("a", "again").await;
        assert_eq!(at_the_end.soon().await.id, Some(last + 1));
    });
}

#[test]
fn who_reads_too_slowly_gets_the_rest_from_the_journal() {
    testing::run(async {
        let turns = 100;
        let script = (0..turns).map(|n| reply().text(&n.to_string()));
        let site = site(script, NO_TOOLS).await;
        site.make("a").await;
        let mut events = site.get("/v1/sessions/a/events").await;
        for _ in 0..turns {
            site.ask("a", "go").await; // Several events each, and nobody reads.
        }
        let kept = site.records("a").await;
        let mut told = Vec::new();
        while told.len() < kept.len() {
            told.extend(events.soon().await.id);
        }
        assert_eq!(told, (1..=kept.len() as u64).collect::<Vec<_>>());
        assert!(kept.len() > 300);
    });
}

/// A session `a` with so many events of a later version, each with this text, and an event at a time.
async fn long_session(events: u64, text: &str) -> Arc<MemoryStore> {
    let (store, id) = (Arc::new(MemoryStore::keeping()), SessionId::new("a"));
    let epoch = store.open(&id, Access::IfFree).await.expect("it is new");
    for seq in 1..=events {
        let event = json!({"v": 1, "seq": seq, "at_us": seq, "session": "a", "type": "moon_rose", "over": text});
        let record: Record = serde_json::from_value(event).expect("a record");
        let appended = store.append(&id, seq - 1, epoch, Arc::new(vec![record]));
        appended.await.expect("it is ours");
    }
    store.close(&id, epoch);
    store
}

#[test]
fn a_long_session_is_read_in_parts_for_who_is_slow_also_while_it_goes_on() {
    testing::run(async {
        let store = long_session(5000, "the sea").await;
        let counted = Counted::new(&store);
        let script = (0..40).map(|n| reply().text(&n.to_string()));
        let site = site_through(store, counted.clone(), script, NO_TOOLS, |server| server).await;
        let mut events = site.get("/v1/sessions/a/events?after=0").await;
        let mut told = Vec::new();
        for turn in 0..40 {
            for _ in 0..3 * turn {
                told.extend(events.soon().await.id);
            }
            site.ask("a", "go").await; // Behind its back: more events than it keeps in all.
        }
        let kept = site.records("a").await.len() as u64;
        assert!(kept > 5128, "{kept}");
        while told.last() < Some(&kept) {
            told.extend(events.soon().await.id);
        }
        assert_eq!(told, (1..=kept).collect::<Vec<_>>());
        let most = |reads: &[Handed]| reads.iter().map(|read| read.records).max();
        let read = counted.read();
        assert_eq!(most(&read), Some(256), "{read:?}");
    });
}

#[test]
fn of_large_events_fewer_are_read_at_a_time() {
    testing::run(async {
        let large = "the sea ".repeat(25_000);
        let store = long_session(20, &large).await;
        let counted = Counted::new(&store);
        let script = [reply().text("It is.")];
        let site = site_through(store, counted.clone(), script, NO_TOOLS, |server| server).await;
        let mut events = site.get("/v1/sessions/a/events?after=3").await;
        let mut told = numbers(&[events.soon().await]);
        let read = counted.read();
        assert_eq!(read.iter().map(|read| read.records).collect::<Vec<_>>(), [5], "1 MB of it");
        site.ask("a", "Is it?").await;
        told.extend(numbers(&events.until("turn_ended").await));
        assert_eq!(told, (4..=*told.last().expect("some")).collect::<Vec<_>>());
        assert!(counted.read().iter().all(|read| read.bytes < 1_210_000));
    });
}

#[test]
fn nothing_for_a_while_is_said_by_a_comment() {
    testing::run(async {
        let site =
            site([reply().call("sleep", r#"{"s": 40}"#), reply().text("x")], [sleeper()]).await;
        site.make("a").await;
        let mut answer = site.send(site.question("a", "go")).await;
        answer.until("call_started").await;
        let began = tokio::time::Instant::now();
        for beat in 1..=2 {
            assert!(answer.next().await.expect("it goes on").is_comment);
            assert_eq!(began.elapsed(), seconds(15 * beat));
        }
        let rest = answer.until("done").await;
        assert_eq!(rest[0].name, "call_ended");
    });
}

#[test]
fn so_many_streams_and_no_more() {
    testing::run(async {
        let with = |server: callsheet::server::ServerBuilder| {
            server.limits(ServerLimits { max_streams: 1, ..ServerLimits::default() })
        };
        let site = site_on(Arc::new(MemoryStore::new()), [], NO_TOOLS, with).await;
        site.make("a").await;
        let first = site.get("/v1/sessions/a/events").await;
        let second = site.get("/v1/sessions/a/events").await;
        assert_eq!(second.header("retry-after"), "1");
        assert_eq!(second.refusal().await, (429, "overloaded".to_owned()));
        drop(first);
        assert_eq!(site.get("/v1/sessions/a/events").await.status.as_u16(), 200);
    });
}

#[test]
fn a_session_that_was_only_made_can_be_followed() {
    testing::run(async {
        let site = site([reply().text("one")], NO_TOOLS).await;
        site.make("a").await;
        let mut events = site.get("/v1/sessions/a/events").await;
        let answer = site.ask("a", "go").await.json().await;
        assert_eq!(answer["answer"], json!("one"));
        let sent = events.until("turn_ended").await;
        assert!(matches!(sent[0].record().event, Event::SessionOpened { .. }));
        let none = site.get("/v1/sessions/b/events").await;
        assert_eq!(none.refusal().await, (404, "not_found".to_owned()));
    });
}

#[test]
fn a_session_that_another_process_runs_is_followed_as_it_goes_on_until_it_is_here() {
    testing::run(async {
        let store = Arc::new(MemoryStore::keeping());
        let script =
            [three_naps(), reply().text("one"), reply().text("two"), reply().text("three")];
        let first = site_on(store.clone(), script, [sleeper()], |server| server).await;
        first.make("a").await;
        let mut answer = first.send(first.question("a", "go")).await;
        answer.until("call_started").await;

        let (counted, script) = (Counted::far(&store), [reply().text("mine")]);
        let later = site_through(store, counted.clone(), script, NO_TOOLS, |server| server).await;
        let mut events = later.get("/v1/sessions/a/events").await;
        let mut told = events.until("turn_ended").await;
        assert_eq!(answer.until("done").await.last().expect("an end").data["answer"], "one");
        first.ask("a", "more").await;
        told.append(&mut events.until("turn_ended").await);
        let busy = later.ask("a", "too early").await;
        assert_eq!(busy.refusal().await, (409, "owned_elsewhere".to_owned()));

        // It comes here before the last that happened there was looked at.
        first.ask("a", "still more").await;
        first.runtime.release(&SessionId::new("a"));
        tokio::time::sleep(Duration::from_millis(10)).await;
        assert_eq!(later.ask("a", "now").await.json().await["answer"], "mine");
        told.append(&mut events.until("turn_ended").await);
        told.append(&mut events.until("turn_ended").await);
        let kept = later.records("a").await;
        assert_eq!(numbers(&told), kept.iter().map(|kept| kept.seq).collect::<Vec<_>>());
        // The journal is not looked at any more.
        assert!(events.next().await.expect("it goes on").is_comment);
        let reads = counted.read().len();
        for _ in 0..4 {
            assert!(events.next().await.expect("it goes on").is_comment);
        }
        assert_eq!(counted.read().len(), reads);
    });
}

#[test]
fn who_only_follows_a_session_leaves_it_to_whoever_asks() {
    testing::run(async {
        let store = Arc::new(MemoryStore::keeping());
        let first = site_on(store.clone(), [reply().text("one")], NO_TOOLS, |server| server).await;
        first.make("a").await;
        let later = site_on(store, [], NO_TOOLS, |server| server).await;
        for path in ["/v1/sessions/a/events", "/v1/sessions/a/events?after=now"] {
            let mut events = later.get(path).await;
            let quiet = tokio::time::timeout(seconds(5), events.next()).await;
            assert!(quiet.is_err(), "{quiet:?}");
        }
        let mut all = later.get("/v1/sessions/a/events").await;
        let mut now = later.get("/v1/sessions/a/events?after=now").await;
        let (asked, all, now) =
            tokio::join!(first.ask("a", "go"), all.until("turn_ended"), now.until("turn_ended"));
        assert_eq!(asked.json().await["answer"], "one");
        assert_eq!(
            (numbers(&all).len(), numbers(&now)),
            (first.records("a").await.len(), numbers(&all))
        );
    });
}

#[test]
fn a_session_that_nobody_asks_anything_is_looked_at_once_in_a_heartbeat_in_the_long_run() {
    testing::run(async {
        let store = Arc::new(MemoryStore::keeping());
        let counted = Counted::new(&store);
        let site = site_through(store, counted.clone(), [], NO_TOOLS, |server| server).await;
        site.make("a").await;
        let mut events = site.get("/v1/sessions/a/events").await;
        let hour = tokio::time::timeout(seconds(3600), async { while events.more().await {} });
        assert!(hour.await.is_err(), "it stays open");
        let reads = counted.read().len();
        assert!((200..300).contains(&reads), "{reads}");
    });
}
