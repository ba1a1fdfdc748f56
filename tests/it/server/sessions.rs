//! Sessions as such: made, listed, shown, cancelled, removed, exported.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use actix_web::test::TestRequest;
use callsheet::server::{ServerBuilder, ServerLimits};
use callsheet::store::MemoryStore;
use callsheet::testing::{self, reply};
use callsheet::{Approval, Record, ToolType};
use serde_json::json;

use super::site::{site, site_on};
use crate::support::journal::{Asked, Does, Rigged};
use crate::support::{seconds, sleeper};

const NO_TOOLS: [ToolType; 0] = [];

#[test]
fn a_session_is_made_once() {
    testing::run(async {
        let site = site([reply().text("one")], NO_TOOLS).await;
        let made = site.post("/v1/sessions", json!({"id": "a"})).await;
        assert_eq!((made.status.as_u16(), made.header("location")), (201, "/v1/sessions/a"));
        assert_eq!(made.json().await, json!({"session": "a"}));
        let again = || site.post("/v1/sessions", json!({"id": "a"}));
        assert_eq!(again().await.refusal().await, (409, "exists".to_owned()));
        site.ask("a", "go").await;
        assert_eq!(again().await.refusal().await, (409, "exists".to_owned()));
        let new = site.send(TestRequest::post().uri("/v1/sessions")).await.json().await;
        assert!(new["session"].as_str().is_some_and(|id| id.len() == 36), "{new}");
        for id in ["", "..", "a/b", "a b", "ä"] {
            let refused = site.post("/v1/sessions", json!({"id": id})).await;
            assert_eq!(refused.refusal().await, (400, "bad_id".to_owned()), "{id}");
        }
    });
}

#[test]
fn a_session_that_was_only_made_is_there_for_the_next_server() {
    testing::run(async {
        let store = Arc::new(MemoryStore::keeping());
        let first = site_on(store.clone(), [], NO_TOOLS, |it| it).await;
        first.make("a").await;
        first.make("b").await;
        drop(first);
        let site = site_on(store, [reply().text("one")], NO_TOOLS, |it| it).await;
        let again = site.post("/v1/sessions", json!({"id": "a"})).await;
        assert_eq!(again.refusal().await, (409, "exists".to_owned()));
        let list = site.get("/v1/sessions").await.json().await;
        let lines = list["sessions"].as_array().expect("a list");
        assert_eq!(lines.len(), 2, "{list}");
        for line in lines {
            assert_eq!((&line["state"], &line["title"]), (&json!("idle"), &json!("")));
            assert_eq!((&line["turns"], &line["last_seq"]), (&json!(0), &json!(0)));
            assert_eq!(line["created_at"], line["updated_at"]);
        }
        let shown = site.get("/v1/sessions/a").await.json().await;
        assert_eq!((&shown["session"], &shown["state"]), (&json!("a"), &json!("idle")));
        assert_eq!((&shown["turns"], &shown["answer"]), (&json!([]), &json!(null)));
        let cancelled = site.post("/v1/sessions/a/cancel", json!({})).await;
        assert_eq!(cancelled.json().await, json!({"cancelled": false}));
        let resumed = site.post("/v1/sessions/a/resume", json!({})).await;
        assert_eq!(resumed.refusal().await, (409, "nothing_to_resume".to_owned()));
        assert_eq!(site.get("/v1/sessions/a/export").await.text().await, "");
        assert_eq!(site.ask("a", "go").await.json().await["answer"], "one");
        let remove = || site.send(TestRequest::delete().uri("/v1/sessions/b"));
        assert_eq!(remove().await.status.as_u16(), 204);
        assert_eq!(remove().await.refusal().await, (404, "not_found".to_owned()));
        site.make("b").await;
    });
}

#[test]
fn of_more_sessions_than_are_held_the_one_that_nobody_uses_is_let_go_and_found_again() {
    testing::run(async {
        let limits = ServerLimits { max_sessions: 1, ..ServerLimits::default() };
        let script = ["one", "two", "three"].map(|text| reply().text(text));
        let with = |server: ServerBuilder| server.limits(limits);
        let site = site_on(Arc::new(MemoryStore::keeping()), script, NO_TOOLS, with).await;
        for id in ["a", "b"] {
            site.make(id).await;
        }
        let answer =
            |id: &'static str| async { site.ask(id, "go").await.json().await["answer"].clone() };
        assert_eq!(answer("a").await, "one");
        assert_eq!(answer("b").await, "two");
        let mut followed = site.get("/v1/sessions/b/events").await;
        followed.until("turn_ended").await;
        let refused = site.ask("a", "again").await;
        assert_eq!(refused.header("retry-after"), "1");
        assert_eq!(refused.refusal().await, (429, "overloaded".to_owned()));
        drop(followed);
        assert_eq!(answer("a").await, "three");
        let shown = site.get("/v1/sessions/a").await.json().await;
        assert_eq!(shown["turns"].as_array().map(Vec::len), Some(2), "{shown}");
    });
}

#[test]
fn of_two_who_make_a_session_at_once_one_does() {
    testing::run(async {
        let site = site([], NO_TOOLS).await;
        let make = || site.post("/v1/sessions", json!({"id": "a"}));
        let (one, other) = tokio::join!(make(), make());
        let mut statuses = [one.status.as_u16(), other.status.as_u16()];
        statuses.sort_unstable();
        assert_eq!(statuses, [201, 409]);
    });
}

#[test]
fn sessions_are_listed_page_by_page_the_last_active_one_first() {
    testing::run(async {
        let site = site((0..3).map(|n| reply().text(&n.to_string())), NO_TOOLS).await;
        for id in ["a", "b", "c"] {
            site.make(id).await;
            site.ask(id, &format!("question of {id}")).await;
            tokio::time::sleep(seconds(2)).await;
        }
        let first = site.get("/v1/sessions?limit=2").await.json().await;
        let ids = |page: &serde_json::Value| -> Vec<String> {
            let sessions = page["sessions"].as_array().expect("a list").iter();
            sessions.map(|line| line["session"].as_str().expect("an id").to_owned()).collect()
        };
        assert_eq!(ids(&first), ["c", "b"]);
        assert_eq!(first["sessions"][0]["title"], "question of c");
        let next = first["next"].as_str().expect("there are more");
        let second = site.get(&format!("/v1/sessions?limit=2&after={next}")).await.json().await;
        assert_eq!((ids(&second), &second["next"]), (vec!["a".to_owned()], &json!(null)));
        for query in ["limit=0", "limit=201", "limit=x", "after=x", "x=1"] {
            let refused = site.get(&format!("/v1/sessions?{query}")).await;
            assert_eq!(refused.status.as_u16(), 400, "{query}");
        }
    });
}

#[test]
fn a_round_is_the_same_in_the_answer_the_session_and_by_its_number() {
    testing::run(async {
        let script =
            [reply().call("sleep", r#"{"s": 1}"#).call("sleep", r#"{"s": 2}"#), reply().text("x")];
        let site = site(script, [sleeper()]).await;
        site.make("a").await;
        let answer = site.ask("a", "go").await.json().await;
        let round = site.get("/v1/sessions/a/rounds/1").await.json().await;
        assert_eq!(round, answer["rounds"][0]);
        assert_eq!(round["speedup"], 1.5);
        let shown = site.get("/v1/sessions/a").await.json().await;
        assert_eq!(shown["rounds"][0], round);
        assert_eq!(shown["last_seq"], site.records("a").await.len());
        for number in ["0", "2", "x", "-1"] {
            let refused = site.get(&format!("/v1/sessions/a/rounds/{number}")).await;
            assert_eq!(refused.refusal().await, (404, "not_found".to_owned()), "{number}");
        }
    });
}

#[test]
fn a_turn_or_one_call_of_it_is_cancelled_when_somebody_says_so() {
    testing::run(async {
        let script = [
            reply().call_with_id("x", "sleep", r#"{"s": 50}"#).call_with_id(
                "y",
                "sleep",
                r#"{"s": 60}"#,
            ),
            reply().text("never"),
        ];
        let site = site(script, [sleeper()]).await;
        site.make("a").await;
        let cancel = |body| site.post("/v1/sessions/a/cancel", body);
        assert_eq!(cancel(json!({})).await.json().await, json!({"cancelled": false}));
        let mut answer = site.send(site.question("a", "go")).await;
        answer.until("call_started").await;
        answer.until("call_started").await;
        assert_eq!(cancel(json!({"call": "x"})).await.json().await, json!({"cancelled": true}));
        assert_eq!(cancel(json!({"call": "z"})).await.json().await, json!({"cancelled": false}));
        assert_eq!(cancel(json!({})).await.json().await, json!({"cancelled": true}));
        let done = answer.until("done").await;
        let document = &done.last().expect("an end").data;
        assert_eq!(document["error"]["code"], "cancelled");
        assert_eq!(document["rounds"][0]["calls"][0]["outcome"], "cancelled");
    });
}

#[test]
fn a_session_is_removed_with_all_that_was_kept_of_it() {
    testing::run(async {
        let script =
            [reply().text("one"), reply().call("sleep", r#"{"s": 50}"#), reply().text("two")];
        let site = site(script, [sleeper()]).await;
        site.make("a").await;
        site.ask("a", "go").await;
        let remove = || site.send(TestRequest::delete().uri("/v1/sessions/a"));
        let mut answer = site.send(site.question("a", "again")).await;
        answer.until("call_started").await;
        assert_eq!(remove().await.refusal().await, (409, "busy".to_owned()));
        answer.until("done").await;
        assert_eq!(remove().await.status.as_u16(), 204);
        assert_eq!(remove().await.refusal().await, (404, "not_found".to_owned()));
        assert_eq!(site.get("/v1/sessions").await.json().await["sessions"], json!([]));
        assert_eq!(site.records("a").await, []);
    });
}

#[test]
fn a_session_is_exported_as_events_and_as_a_trace() {
    testing::run(async {
        let site = site([reply().text("one")], NO_TOOLS).await;
        site.make("a").await;
        site.ask("a", "go").await;
        let lines = site.get("/v1/sessions/a/export").await;
        assert_eq!(lines.header("content-disposition"), "attachment; filename=\"a.jsonl\"");
        let lines = lines.text().await;
        let records: Vec<Record> =
            lines.lines().map(|line| serde_json::from_str(line).expect("a record")).collect();
        assert_eq!(records, site.records("a").await);
        let trace = site.get("/v1/sessions/a/export?format=chrome-trace").await.json().await;
        assert!(trace["traceEvents"].as_array().is_some_and(|events| events.len() > 3));
        assert_eq!(site.get("/v1/sessions/a/export?format=x").await.status.as_u16(), 400);
    });
}

#[test]
fn a_list_says_of_each_session_what_its_events_and_its_status_do() {
    testing::run(async {
        let failure = callsheet::model::Error::Cut { url: "u".into(), reason: "gone".into() };
        let calls = reply().call("sleep", r#"{"s": 1}"#);
        let script = [calls, reply().text("done"), testing::failure(failure), reply().text("well")];
        let site = site(script, [sleeper().approval(Approval::Always)]).await;
        site.make("a").await;
        let line = || async {
            let list = site.get("/v1/sessions").await.json().await;
            list["sessions"][0].clone()
        };
        let mut answer = site.send(site.question("a", "go")).await;
        answer.until("approval_asked").await;
        assert_eq!(line().await["state"], "waiting");
        let word = json!({"decision": "approve"});
        site.post("/v1/sessions/a/approvals/1-1-0", word).await.json().await;
        assert_eq!(line().await["state"], "running");
        answer.until("done").await;
        let idle = line().await;
        assert_eq!((&idle["state"], &idle["turns"]), (&json!("idle"), &json!(1)));
        assert_eq!((&idle["rounds"], &idle["failed"]), (&json!(1), &json!(0)));
        assert_eq!(idle["last_error"], json!(null));
        site.ask("a", "and?").await;
        let failed = line().await;
        assert_eq!((&failed["turns"], &failed["rounds"]), (&json!(2), &json!(1)));
        assert_eq!(
            (&failed["failed"], &failed["last_error"]["code"]),
            (&json!(1), &json!("stream_cut"))
        );
        site.ask("a", "now?").await;
        let well = line().await;
        assert_eq!((&well["failed"], &well["last_error"]), (&json!(1), &json!(null)));
        let records = site.records("a").await;
        assert_eq!(well["last_seq"], records.last().expect("turns").seq);
    });
}

#[test]
fn a_session_that_is_followed_can_be_removed_and_made_anew() {
    testing::run(async {
        let site = site([reply().text("one"), reply().text("two")], NO_TOOLS).await;
        site.make("a").await;
        site.ask("a", "go").await;
        let mut events = site.get("/v1/sessions/a/events").await;
        events.until("turn_ended").await;
        let removed = site.send(TestRequest::delete().uri("/v1/sessions/a")).await;
        assert_eq!(removed.status.as_u16(), 204);
        let last = events.soon().await;
        assert_eq!((&*last.name, &last.data), ("closed", &json!({"reason": "ended"})));
        assert!(events.next().await.is_none());
        site.make("a").await;
        let answer = site.ask("a", "again").await;
        assert_eq!(
            (answer.status.as_u16(), answer.json().await["answer"].clone()),
            (200, json!("two"))
        );
        let records = site.records("a").await;
        assert_eq!(
            records.iter().map(|record| record.seq).collect::<Vec<_>>(),
            (1..=records.len() as u64).collect::<Vec<_>>()
        );
    });
}

#[test]
fn a_place_is_said_as_it_is_found_under_a_prefix() {
    testing::run(async {
        let script = [reply().call("sleep", r#"{"s": 5}"#), reply().text("x")];
        let site = site(script, [sleeper()]).await.under("/agent").await;
        let made = site.post("/agent/v1/sessions", json!({"id": "a"})).await;
        assert_eq!(made.header("location"), "/agent/v1/sessions/a");
        let question = TestRequest::post().uri("/agent/v1/sessions/a/messages");
        let question = question.set_json(json!({"content": "go"}));
        let under_way = site.send(question.insert_header(("prefer", "wait=1"))).await;
        assert_eq!(under_way.status.as_u16(), 202);
        let place = under_way.header("location").to_owned();
        assert_eq!(place, "/agent/v1/sessions/a");
        assert_eq!(site.get(&place).await.json().await["state"], "running");
        assert_eq!(site.get("/agent/").await.status.as_u16(), 200);
        assert_eq!(site.get("/v1/sessions/a").await.status.as_u16(), 404);
    });
}

#[test]
fn a_session_that_is_asked_while_it_is_removed_stays() {
    testing::run(async {
        let nap = reply().call("sleep", r#"{"s": 5}"#);
        let site = site([reply().text("one"), nap, reply().text("rested")], [sleeper()]).await;
        site.make("a").await;
        site.ask("a", "go").await; // It is awake from now on.
        let remove = || site.send(TestRequest::delete().uri("/v1/sessions/a"));
        let (removed, answer) = tokio::join!(remove(), site.ask("a", "go"));
        assert_eq!(removed.refusal().await, (409, "busy".to_owned()));
        assert_eq!(answer.json().await["answer"], "rested");
        assert_eq!(remove().await.status.as_u16(), 204);
    });
}

#[test]
fn a_session_whose_turn_runs_is_held_though_its_client_is_gone() {
    testing::run(async {
        let limits = ServerLimits { max_sessions: 1, ..ServerLimits::default() };
        let script = [reply().call("sleep", r#"{"s": 5}"#), reply().text("rested")];
        let store = Arc::new(MemoryStore::keeping());
        let site = site_on(store, script, [sleeper()], |it| it.limits(limits)).await;
        site.make("a").await;
        site.make("b").await;
        site.send(site.question("a", "go")).await.until("call_started").await;
        let other = || site.get("/v1/sessions/b/events?after=now");
        assert_eq!(other().await.refusal().await, (429, "overloaded".to_owned()));
        tokio::time::sleep(seconds(6)).await;
        assert_eq!(other().await.status.as_u16(), 200);
        assert_eq!(site.get("/v1/sessions/a").await.json().await["answer"], "rested");
    });
}

#[test]
fn a_session_that_panicked_until_it_ended_can_be_asked_again() {
    testing::run(async {
        let panics = Arc::new(AtomicBool::new(true));
        let judge = {
            let panics = Arc::clone(&panics);
            move |asked: Asked<'_>| match asked {
                Asked::Append(_) if panics.load(Ordering::Relaxed) => Does::Panics,
                _ => Does::AsAsked,
            }
        };
        let store = Arc::new(Rigged::new(Arc::new(MemoryStore::keeping()), judge));
        let site = site_on(store, [reply().text("one")], NO_TOOLS, |it| it).await;
        site.make("a").await;
        let closed = (503, "closed".to_owned());
        let mut refused = 0;
        while site.ask("a", "go").await.refusal().await != closed {
            refused += 1;
            assert!(refused < 50, "it never ends");
        }
        panics.store(false, Ordering::Relaxed);
        assert_eq!(site.ask("a", "go").await.json().await["answer"], "one");
    });
}
