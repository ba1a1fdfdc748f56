//! Who may come, and what is whose.

use std::num::NonZeroU32;
use std::sync::Arc;

use actix_web::http::Method;
use actix_web::test::TestRequest;
use callsheet::ToolType;
use callsheet::server::{Hosts, Rate, ServerBuilder, ServerLimits, Token};
use callsheet::store::MemoryStore;
use callsheet::testing::{self, reply};
use futures_util::stream;
use serde_json::json;
use tokio::time::{Instant, sleep};

use super::site::{Site, site, site_on, site_through};
use crate::support::bomb;
use crate::support::counted::Counted;
use crate::support::seconds;

const NO_TOOLS: [ToolType; 0] = [];
const ANN: &str = "Bearer a-secret-of-anns";
const BOB: &str = "Bearer a-secret-of-bobs";

fn with_tokens(server: ServerBuilder) -> ServerBuilder {
    let token =
        |name: &str| Token { name: name.to_owned(), secret: format!("a-secret-of-{name}s").into() };
    server.tokens(vec![token("ann"), token("bob")])
}

async fn guarded() -> Site {
    let script = [reply().text("one"), reply().text("two")];
    site_on(Arc::new(MemoryStore::new()), script, NO_TOOLS, with_tokens).await
}

fn of(who: &str, request: TestRequest) -> TestRequest {
    request.insert_header(("authorization", who.to_owned()))
}

#[test]
fn without_a_token_there_are_only_the_page_and_the_signs_of_life() {
    testing::run(async {
        let site = guarded().await;
        for path in ["/", "/healthz", "/readyz"] {
            assert_eq!(site.get(path).await.status.as_u16(), 200, "{path}");
        }
        for path in [
            "/v1/sessions",
            "/v1/sessions/ann:a",
            "/v1/sessions/ann:a/events",
            "/v1/tools",
            "/v1/nothing",
            "/openapi.json",
            "/metrics",
        ] {
            let refused = site.get(path).await;
            assert_eq!(refused.header("www-authenticate"), "Bearer", "{path}");
            assert_eq!(refused.refusal().await, (401, "unauthorized".to_owned()), "{path}");
            let wrong = site.send(of("Bearer another-secret-of-it", TestRequest::get().uri(path)));
            assert_eq!(wrong.await.refusal().await.0, 401, "{path}");
            let in_url = format!("{path}?token=a-secret-of-anns&access_token=a-secret-of-anns");
            assert_eq!(site.get(&in_url).await.refusal().await.0, 401, "{path}");
        }
        let posted = site.post("/v1/sessions", json!({})).await;
        assert_eq!(posted.refusal().await.0, 401);
    });
}

#[test]
fn a_session_is_its_tokens_own() {
    testing::run(async {
        let site = guarded().await;
        let make = TestRequest::post().uri("/v1/sessions").set_json(json!({"id": "a"}));
        let made = site.send(of(ANN, make)).await.json().await;
        assert_eq!(made["session"], "ann:a");
        let empty = TestRequest::post().uri("/v1/sessions").set_json(json!({"id": ""}));
        assert_eq!(site.send(of(ANN, empty)).await.refusal().await, (400, "bad_id".to_owned()));
        let asked = site.question("ann:a", "go").insert_header(("prefer", "wait"));
        assert_eq!(site.send(of(ANN, asked)).await.json().await["answer"], "one");
        let list = |who| site.send(of(who, TestRequest::get().uri("/v1/sessions")));
        assert_eq!(list(ANN).await.json().await["sessions"][0]["session"], "ann:a");
        assert_eq!(list(BOB).await.json().await["sessions"], json!([]));
        for path in ["", "/events", "/rounds/1", "/export"] {
            for id in ["ann:a", "bob:../ann:a", "a"] {
                let request = TestRequest::get().uri(&format!("/v1/sessions/{id}{path}"));
                let refused = site.send(of(BOB, request)).await;
                assert_eq!(refused.refusal().await, (404, "not_found".to_owned()), "{id}{path}");
            }
        }
        for (path, body) in [
            ("/messages", json!({"content": "x"})),
            ("/resume", json!({})),
            ("/cancel", json!({})),
            ("/approvals/1-1-0", json!({"decision": "approve"})),
        ] {
            let request =
                TestRequest::post().uri(&format!("/v1/sessions/ann:a{path}")).set_json(body);
            assert_eq!(site.send(of(BOB, request)).await.refusal().await.0, 404, "{path}");
        }
        let removed = site.send(of(BOB, TestRequest::delete().uri("/v1/sessions/ann:a"))).await;
        assert_eq!(removed.refusal().await.0, 404);
        // Nor can bob make one that is ann's.
        let make = TestRequest::post().uri("/v1/sessions").set_json(json!({"id": "ann:b"}));
        assert_eq!(site.send(of(BOB, make)).await.json().await["session"], "bob:ann:b");
    });
}

#[test]
fn who_comes_too_often_waits_and_others_do_not() {
    testing::run(async {
        let one = NonZeroU32::MIN;
        let with = |server| {
            let rate = Some(Rate { per_second: one, burst: one });
            with_tokens(server).limits(ServerLimits { rate, ..ServerLimits::default() })
        };
        let site = site_on(Arc::new(MemoryStore::new()), [], NO_TOOLS, with).await;
        let get = |who| site.send(of(who, TestRequest::get().uri("/v1/tools")));
        assert_eq!(get(ANN).await.status.as_u16(), 200);
        let refused = get(ANN).await;
        assert!(["1", "2"].contains(&refused.header("retry-after")));
        assert_eq!(refused.refusal().await, (429, "overloaded".to_owned()));
        assert_eq!(get(BOB).await.status.as_u16(), 200);
    });
}

#[test]
fn every_answer_is_dressed() {
    testing::run(async {
        let site = guarded().await;
        for path in ["/", "/healthz", "/v1/tools", "/v1/nothing", "/openapi.json"] {
            let answer = site.get(path).await;
            assert_eq!(answer.header("x-content-type-options"), "nosniff", "{path}");
            assert_eq!(answer.header("x-frame-options"), "DENY", "{path}");
            assert_eq!(answer.header("referrer-policy"), "no-referrer", "{path}");
            let policy = answer.header("content-security-policy");
            assert!(policy.starts_with("default-src 'none';"), "{path}: {policy}");
            assert!(!policy.contains("unsafe"), "{path}: {policy}");
            assert_eq!(answer.header("access-control-allow-origin"), "", "{path}");
        }
    });
}

#[test]
fn a_page_of_another_name_or_origin_is_not_served() {
    testing::run(async {
        let with = |server: ServerBuilder| server.hosts(Hosts::Local(vec!["box.lan".to_owned()]));
        let site = site_on(Arc::new(MemoryStore::new()), [], NO_TOOLS, with).await;
        let get = |host: &'static str, origin: Option<&'static str>, path: &'static str| {
            let request = TestRequest::get().uri(path).insert_header(("host", host));
            let request = match origin {
                Some(origin) => request.insert_header(("origin", origin)),
                None => request,
            };
            site.send(request)
        };
        for path in ["/v1/tools", "/", "/healthz"] {
            assert_eq!(get("evil.example", None, path).await.refusal().await.0, 421, "{path}");
            assert_eq!(get("box.lan", None, path).await.status.as_u16(), 200, "{path}");
            let own = get("localhost:8787", Some("http://localhost:8787"), path).await;
            assert_eq!(own.status.as_u16(), 200, "{path}");
            let other = get("localhost:8787", Some("http://evil.example"), path).await;
            assert_eq!(other.refusal().await, (403, "wrong_origin".to_owned()), "{path}");
        }
    });
}

#[test]
fn whoever_names_no_hosts_is_safe_from_pages_that_were_led_here() {
    testing::run(async {
        let get = async |site: &Site, host: &str| {
            let request = TestRequest::get().uri("/v1/tools").insert_header(("host", host));
            site.send(of(ANN, request)).await
        };
        let site = async |with: fn(ServerBuilder) -> ServerBuilder| {
            site_on(Arc::new(MemoryStore::new()), [], NO_TOOLS, with).await
        };
        let open = site(|server| server).await;
        assert_eq!(
            get(&open, "evil.example").await.refusal().await,
            (421, "wrong_host".to_owned())
        );
        assert_eq!(get(&open, "127.0.0.1:8787").await.status.as_u16(), 200);
        let any = site(|server| server.hosts(Hosts::Any)).await;
        assert_eq!(get(&any, "box.lan").await.status.as_u16(), 200);
        // No page knows a token.
        let guarded = site(with_tokens).await;
        assert_eq!(get(&guarded, "box.lan").await.status.as_u16(), 200);
        let local = site(|server| with_tokens(server).hosts(Hosts::Local(Vec::new()))).await;
        assert_eq!(get(&local, "box.lan").await.refusal().await.0, 421);
    });
}

#[test]
fn a_client_of_http_2_names_the_host_in_its_uri() {
    testing::run(async {
        let site = site([], NO_TOOLS).await;
        let get = |uri: &'static str, origin: Option<&'static str>| {
            let request = TestRequest::get().uri(uri);
            site.send(match origin {
                Some(origin) => request.insert_header(("origin", origin)),
                None => request,
            })
        };
        let own = "https://localhost:8787";
        assert_eq!(get("https://localhost:8787/v1/tools", None).await.status.as_u16(), 200);
        assert_eq!(get("https://localhost:8787/v1/tools", Some(own)).await.status.as_u16(), 200);
        let refused = get("https://evil.example/v1/tools", None).await;
        assert_eq!(refused.refusal().await, (421, "wrong_host".to_owned()));
        let refused = get("https://localhost:8788/v1/tools", Some(own)).await;
        assert_eq!(refused.refusal().await, (403, "wrong_origin".to_owned()));
    });
}

#[test]
fn what_an_app_has_beside_the_server_stays_its_own() {
    testing::run(async {
        let site = site([], NO_TOOLS).await;
        for path in ["/nowhere", "/healthz/x", "/v2/sessions"] {
            // Another name is the app's business, too.
            let request = TestRequest::get().uri(path).insert_header(("host", "box.lan"));
            let answer = site.send(request).await;
            let headers = ["content-type", "x-frame-options"].map(|name| answer.header(name));
            assert_eq!((answer.status.as_u16(), headers), (404, ["", ""]), "{path}");
            assert_eq!(answer.text().await, "", "{path}");
        }
    });
}

#[test]
fn what_is_no_request_of_ours_is_refused() {
    testing::run(async {
        let with = |server: ServerBuilder| {
            server.limits(ServerLimits { max_body_bytes: 100, ..ServerLimits::default() })
        };
        let site = site_on(Arc::new(MemoryStore::new()), [], NO_TOOLS, with).await;
        site.make("a").await;
        let messages = || TestRequest::post().uri("/v1/sessions/a/messages");
        let json = ("content-type", "application/json");
        let send = |body: &'static str| site.send(messages().insert_header(json).set_payload(body));
        assert_eq!(send("{").await.refusal().await, (400, "bad_json".to_owned()));
        assert_eq!(send("\u{0}").await.refusal().await, (400, "bad_json".to_owned()));
        let large = messages().insert_header(json).set_payload(vec![b' '; 101]);
        assert_eq!(site.send(large).await.refusal().await, (413, "too_large".to_owned()));
        let form = messages().insert_header(("content-type", "text/plain")).set_payload("{}");
        assert_eq!(site.send(form).await.refusal().await, (415, "not_json".to_owned()));
        let put = site.send(TestRequest::put().uri("/v1/sessions/a/messages")).await;
        assert_eq!(put.header("allow"), "POST");
        assert_eq!(put.refusal().await, (405, "method_not_allowed".to_owned()));
        for path in
            ["/v1/../v1/tools", "/v1/sessions/%2e%2e/events", "/v1/sessions/a%2Fb", "/v1//tools"]
        {
            let refused = site.get(path).await;
            assert_eq!(refused.refusal().await.0, 404, "{path}");
        }
    });
}

#[test]
fn a_body_may_come_in_pieces_but_not_for_ever() {
    testing::run(async {
        let site = site([], NO_TOOLS).await;
        let made = || {
            let json = ("content-type", "application/json");
            TestRequest::post().uri("/v1/sessions").insert_header(json)
        };
        // One piece each second, never enough to be whole, or whole just in time.
        let pieces = |whole_after: usize| {
            stream::unfold(0, move |sent| async move {
                sleep(seconds(1)).await;
                let piece = match sent + 1 {
                    _ if sent == whole_after => return None,
                    1 => "{",
                    last if last == whole_after => r#""id": "a"}"#,
                    _ => " ",
                };
                Some((piece, sent + 1))
            })
        };
        let began = Instant::now();
        let late = site.send_in_pieces(made(), pieces(usize::MAX)).await;
        assert_eq!(began.elapsed(), seconds(30));
        assert_eq!(late.refusal().await, (408, "timed_out".to_owned()));
        let in_time = site.send_in_pieces(made(), pieces(28)).await;
        assert_eq!(in_time.status.as_u16(), 201);
    });
}

#[test]
fn one_token_with_all_its_share_open_leaves_the_others_theirs() {
    testing::run(async {
        let limits = ServerLimits { max_streams: 4, max_sessions: 4, ..ServerLimits::default() };
        let with = |server: ServerBuilder| with_tokens(server).limits(limits);
        let site =
            site_on(Arc::new(MemoryStore::new()), [reply().text("one")], NO_TOOLS, with).await;
        let make = |who, id: &str| {
            let request = TestRequest::post().uri("/v1/sessions").set_json(json!({"id": id}));
            site.send(of(who, request))
        };
        let follow = |who, id: &str| {
            site.send(of(who, TestRequest::get().uri(&format!("/v1/sessions/{id}/events"))))
        };
        for id in ["a", "b", "c"] {
            assert_eq!(make(ANN, id).await.status.as_u16(), 201);
            assert_eq!(make(BOB, id).await.status.as_u16(), 201);
        }
        let (first, _second) = (follow(ANN, "ann:a").await, follow(ANN, "ann:b").await);
        let refused = || async { follow(ANN, "ann:c").await.refusal().await };
        assert_eq!(refused().await, (429, "overloaded".to_owned()));
        let chat = TestRequest::post().uri("/v1/chat/completions");
        let messages = json!({"messages": [{"role": "user", "content": "go"}]});
        let chat = site.send(of(ANN, chat.set_json(messages))).await;
        assert_eq!(chat.status.as_u16(), 429);
        let _third = follow(BOB, "bob:a").await;
        let asked = site.question("bob:b", "go").insert_header(("prefer", "wait"));
        assert_eq!(site.send(of(BOB, asked)).await.json().await["answer"], "one");
        let fourth = follow(BOB, "bob:c").await;
        assert_eq!(fourth.status.as_u16(), 200);
        assert_eq!(refused().await, (429, "overloaded".to_owned()));
        drop(fourth);
        assert_eq!(refused().await, (429, "overloaded".to_owned()), "that is bob's part");
        drop(first);
        assert_eq!(follow(ANN, "ann:c").await.status.as_u16(), 200);
    });
}

#[test]
fn one_token_with_all_its_share_of_sessions_in_use_leaves_the_others_theirs() {
    testing::run(async {
        let limits = ServerLimits { max_sessions: 4, ..ServerLimits::default() };
        let with = |server: ServerBuilder| with_tokens(server).limits(limits);
        let site = site_on(Arc::new(MemoryStore::new()), [], NO_TOOLS, with).await;
        for (who, name) in [(ANN, "ann"), (BOB, "bob")] {
            for id in ["a", "b", "c"] {
                let make = TestRequest::post().uri("/v1/sessions").set_json(json!({"id": id}));
                assert_eq!(site.send(of(who, make)).await.status.as_u16(), 201, "{name}:{id}");
            }
        }
        let follow = |who, id: &str| {
            site.send(of(who, TestRequest::get().uri(&format!("/v1/sessions/{id}/events"))))
        };
        let mut followed = Vec::new();
        for (who, name) in [(ANN, "ann"), (BOB, "bob")] {
            for id in ["a", "b"] {
                let events = follow(who, &format!("{name}:{id}")).await;
                assert_eq!(events.status.as_u16(), 200, "{name}:{id}");
                followed.push(events);
            }
            let refused = follow(who, &format!("{name}:c")).await;
            assert_eq!(refused.refusal().await, (429, "overloaded".to_owned()), "{name}");
        }
        followed.pop();
        let refused = follow(ANN, "ann:c").await;
        assert_eq!(refused.status.as_u16(), 429, "that is bob's part");
        assert_eq!(follow(BOB, "bob:c").await.status.as_u16(), 200);
    });
}

#[test]
fn the_share_of_a_token_can_be_set() {
    testing::run(async {
        let limits = ServerLimits {
            max_streams: 4,
            max_streams_per_token: Some(1),
            ..ServerLimits::default()
        };
        let with = |server: ServerBuilder| with_tokens(server).limits(limits);
        let site = site_on(Arc::new(MemoryStore::new()), [], NO_TOOLS, with).await;
        let make = TestRequest::post().uri("/v1/sessions").set_json(json!({"id": "a"}));
        assert_eq!(site.send(of(ANN, make)).await.status.as_u16(), 201);
        let follow = || site.send(of(ANN, TestRequest::get().uri("/v1/sessions/ann:a/events")));
        let _first = follow().await;
        assert_eq!(follow().await.refusal().await, (429, "overloaded".to_owned()));
    });
}

#[test]
fn head_is_answered_as_get_without_a_body() {
    testing::run(async {
        let site = site_on(Arc::new(MemoryStore::keeping()), [], NO_TOOLS, |it| it).await;
        site.make("a").await;
        let head = |path: &str| site.send(TestRequest::default().method(Method::HEAD).uri(path));
        for path in [
            "/",
            "/page.css",
            "/healthz",
            "/readyz",
            "/metrics",
            "/openapi.json",
            "/v1/sessions",
            "/v1/sessions/a",
            "/v1/sessions/a/export",
            "/v1/sessions/a/rounds/1",
            "/v1/sessions/none",
            "/v1/tools",
            "/v1/models",
            "/v1/nothing",
        ] {
            let (asked, whole) = (head(path).await, site.get(path).await);
            assert_eq!(asked.status, whole.status, "{path}");
            for name in ["content-type", "cache-control", "x-frame-options", "etag"] {
                assert_eq!(asked.header(name), whole.header(name), "{path}: {name}");
            }
            assert_eq!(asked.text().await, "", "{path}");
        }
        let stream = head("/v1/sessions/a/events").await;
        assert_eq!(
            (stream.status.as_u16(), stream.header("content-type")),
            (200, "text/event-stream")
        );
        assert_eq!(stream.text().await, "", "it ends");
        let refused = head("/v1/sessions/a/messages").await;
        assert_eq!((refused.status.as_u16(), refused.header("allow")), (405, "POST"));
        let put = site.send(TestRequest::put().uri("/v1/sessions")).await;
        assert_eq!(put.header("allow"), "GET, HEAD, POST");
    });
}

#[test]
fn however_often_it_is_asked_whether_it_is_ready_the_store_is_asked_once_in_a_second() {
    testing::run(async {
        let memory = Arc::new(MemoryStore::new());
        let counted = Counted::new(&memory);
        let site = site_through(memory, counted.clone(), [], NO_TOOLS, |it| it).await;
        let all = futures_util::future::join_all((0..50).map(|_| site.get("/readyz"))).await;
        assert!(all.iter().all(|ready| ready.status.as_u16() == 200));
        assert_eq!(counted.checks(), 1);
        sleep(seconds(1)).await;
        site.get("/readyz").await;
        assert_eq!(counted.checks(), 2);
        sleep(seconds(1)).await;
        // Those who do not wait for the answer are no others.
        for _ in 0..50 {
            assert!(futures_util::FutureExt::now_or_never(site.get("/readyz")).is_none());
        }
        site.get("/readyz").await;
        assert_eq!(counted.checks(), 3);
    });
}

#[test]
fn what_a_tool_panicked_with_is_told_to_nobody_who_may_be_another() {
    testing::run(async {
        let guarded = site_on(Arc::new(MemoryStore::new()), [], [bomb()], with_tokens).await;
        for _ in 0..7 {
            let call = TestRequest::post().uri("/v1/tools/bomb/call").set_json(json!({}));
            guarded.send(of(BOB, call)).await;
        }
        let tools = guarded.send(of(ANN, TestRequest::get().uri("/v1/tools"))).await.text().await;
        let secret = "boom";
        assert!(tools.contains("\"restarts\":") && !tools.contains(secret), "{tools}");
        let alone = site([], [bomb()]).await;
        alone.post("/v1/tools/bomb/call", json!({})).await;
        assert!(alone.get("/v1/tools").await.text().await.contains(secret));
    });
}
