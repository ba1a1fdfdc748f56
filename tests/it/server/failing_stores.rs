//! A store that fails in the middle of things.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use actix_web::test::TestRequest;
use callsheet::store::MemoryStore;
use callsheet::testing::{self, Scripted, reply};
use serde_json::json;

use super::site::{Site, site_on};
use crate::support::journal::{Asked, Does, Rigged};
use crate::support::{seconds, sleeper};

/// A server whose store can be made to fail.
async fn on_a_store_that_fails(script: Vec<Scripted>) -> (Site, Arc<AtomicBool>) {
    let fails = Arc::new(AtomicBool::new(false));
    let judge = {
        let fails = Arc::clone(&fails);
        move |asked: Asked<'_>| match asked {
            Asked::Append(_) | Asked::Read if fails.load(Ordering::Relaxed) => Does::Fails,
            _ => Does::AsAsked,
        }
    };
    let store = Arc::new(Rigged::new(Arc::new(MemoryStore::keeping()), judge));
    (site_on(store, script, [sleeper()], |it| it).await, fails)
}

#[test]
fn a_store_that_fails_in_the_middle_of_a_turn_ends_it_with_a_reason_and_the_next_one_is_well() {
    testing::run(async {
        let call = || reply().call("sleep", r#"{"s": 5}"#);
        let (site, fails) = on_a_store_that_fails(vec![call(), call(), reply().text("two")]).await;
        for id in ["a", "b"] {
            site.make(id).await;
        }
        // Who reads the journal just then is told that it fails, as below.
        let mut events = site.get("/v1/sessions/a/events?after=now").await;
        let mut answer = site.send(site.question("a", "go")).await;
        answer.until("call_started").await;
        events.until("call_started").await;
        fails.store(true, Ordering::Relaxed);
        let sent = answer.until("done").await;
        let [.., last, done] = &sent[..] else { panic!("no end in {sent:?}") };
        assert_eq!((&*last.name, last.id), ("turn_ended", None), "it is not kept");
        assert_eq!(done.data["error"]["code"], "store_failed");
        assert!(answer.next().await.is_none());
        assert_eq!(events.until("turn_ended").await.last().expect("an end").id, None);
        for refused in [
            site.ask("b", "go").await,
            site.ask("a", "again").await,
            site.send(site.question("a", "again").insert_header(("idempotency-key", "k"))).await,
            site.get("/v1/sessions/a").await,
            site.get("/v1/sessions/a/rounds/1").await,
        ] {
            assert_eq!(refused.header("retry-after"), "1");
            assert_eq!(refused.refusal().await, (503, "store_failed".to_owned()));
        }
        let late = site.get("/v1/sessions/a/events").await.soon().await;
        assert_eq!((&*late.name, &late.data), ("closed", &json!({"reason": "store_failed"})));

        fails.store(false, Ordering::Relaxed);
        tokio::time::sleep(seconds(10)).await;
        let shown = site.get("/v1/sessions/a").await.json().await;
        assert_eq!(shown["state"], "cut", "its end is not on record");
        let resumed = TestRequest::post().uri("/v1/sessions/a/resume");
        let resumed = site.send(resumed.insert_header(("prefer", "wait"))).await.json().await;
        assert_eq!(resumed["rounds"][0]["calls"][0]["outcome"], "ok", "{resumed}");
        assert_eq!(site.get("/readyz").await.status.as_u16(), 200);
    });
}
