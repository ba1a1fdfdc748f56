//! Rounds with tools of the client's beside ours: what it is asked to run, and how the turn goes on.

use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;

use actix_web::test::TestRequest;
use callsheet::Approval;
use callsheet::server::{ServerLimits, Token};
use callsheet::store::MemoryStore;
use callsheet::testing::{self, Scripted, reply};
use callsheet::wire::chat::Role;
use serde_json::{Value, json};
use tokio::time::{Instant, sleep};

use super::chat::{PATH, asked, chunks, slow, streamed, told};
use super::site::{Response, Site, site, site_on};
use crate::support::{dynamic, seconds, sleeper};

/// A question of a client that can find things.
fn with_find(content: &str) -> Value {
    let mut body = asked(content);
    let parameters = json!({"type": "object", "properties": {"q": {"type": "string"}}});
    let function = json!({"name": "find", "description": "Finds", "parameters": parameters});
    body["tools"] = json!([{"type": "function", "function": function}]);
    body
}

fn find(q: &str) -> Scripted {
    reply().call("find", &json!({"q": q}).to_string())
}

/// The request that brings `results` of the calls of `answer`, by their order.
fn brings(mut body: Value, answer: &Value, results: &[&str]) -> Value {
    let message = answer["choices"][0]["message"].clone();
    let ids = ids(answer);
    let messages = body["messages"].as_array_mut().expect("messages");
    messages.push(message);
    for (id, result) in ids.iter().zip(results) {
        messages.push(json!({"role": "tool", "tool_call_id": id, "content": result}));
    }
    body
}

/// The ids of the calls that an answer returns.
fn ids(answer: &Value) -> Vec<String> {
    let calls = answer["choices"][0]["message"]["tool_calls"].as_array();
    let calls = calls.unwrap_or_else(|| panic!("no calls: {answer}"));
    calls.iter().map(|call| call["id"].as_str().expect("an id").to_owned()).collect()
}

fn text(answer: &Value) -> &str {
    answer["choices"][0]["message"]["content"].as_str().unwrap_or_else(|| panic!("{answer}"))
}

/// The results that the model was told last.
fn results(site: &Site) -> Vec<String> {
    let last = site.model.requests().pop().unwrap_or_default();
    last.into_iter().filter(|it| it.role == Role::Tool).map(|it| it.text).collect()
}

async fn refused(response: Response) -> (u16, Value) {
    (response.status.as_u16(), response.json().await["error"]["message"].clone())
}

#[test]
fn the_clients_calls_are_returned_at_once_and_ours_run_meanwhile() {
    testing::run(async {
        let calls =
            find("a").text("Hm.").call("sleep", r#"{"s": 30}"#).call("find", r#"{"q": "b"}"#);
        let site = site([calls, reply().text("found")], [sleeper()]).await;
        let began = Instant::now();
        let first = site.complete(with_find("go")).await.json().await;
        assert_eq!(began.elapsed(), seconds(0));
        let choice = &first["choices"][0];
        assert_eq!((&choice["finish_reason"], text(&first)), (&json!("tool_calls"), "Hm."));
        let calls = choice["message"]["tool_calls"].as_array().expect("calls");
        let said: Vec<_> = calls.iter().map(|call| (&call["type"], &call["function"])).collect();
        let function = |q: &str| json!({"name": "find", "arguments": json!({"q": q}).to_string()});
        let kind = json!("function");
        let spaced = json!({"name": "find", "arguments": r#"{"q": "b"}"#});
        assert_eq!(said, [(&kind, &function("a")), (&kind, &spaced)]);
        assert_eq!(first["usage"]["total_tokens"], 15);
        let minted = ids(&first);
        assert!(
            minted.iter().all(|id| id.starts_with("call_") && id.len() == 37)
                && minted[0] != minted[1]
        );
        sleep(seconds(30)).await;
        let second = site.complete(brings(with_find("go"), &first, &["A", "B"])).await.json().await;
        assert_eq!(began.elapsed(), seconds(30), "ours had run meanwhile");
        assert_eq!(
            (text(&second), &second["choices"][0]["finish_reason"]),
            ("found", &json!("stop"))
        );
        assert_eq!(second["usage"]["total_tokens"], 15, "of the replies since then");
        assert_ne!(first["id"], second["id"]);
        assert_eq!(results(&site), ["A", "slept 30", "B"]);
        assert_eq!(site.model.violations(), Vec::<String>::new());
        sleep(seconds(1)).await;
        assert_eq!(site.runtime.sessions(), 0);
    });
}

#[test]
fn a_stream_ends_with_the_clients_calls_and_the_next_one_goes_on() {
    testing::run(async {
        let script = [find("a").call("sleep", r#"{"s": 20}"#), find("b"), reply().text("found")];
        let site = site(script, [sleeper()]).await;
        let mut body = with_find("go");
        let results_of = ["A", "B"];
        for result in results_of {
            let (chunks, comments, done) =
                chunks(site.complete(streamed(body.clone())).await).await;
            assert_eq!((done, told(&chunks).1), (true, json!("tool_calls")));
            assert_eq!(comments, usize::from(result == "B"), "ours was awaited");
            let calls = chunks.iter().filter_map(|it| it["choices"][0]["delta"].get("tool_calls"));
            let mut calls: Vec<Value> = calls.map(|calls| calls[0].clone()).collect();
            assert_eq!((calls.len(), &calls[0]["index"]), (1, &json!(0)));
            calls[0].as_object_mut().expect("a call").remove("index");
            let message = json!({"role": "assistant", "content": null, "tool_calls": calls});
            let answer = json!({"choices": [{"message": message}]});
            body = brings(body, &answer, &[result]);
        }
        let (chunks, _, done) = chunks(site.complete(streamed(body)).await).await;
        assert_eq!((told(&chunks), done), (("found".to_owned(), json!("stop")), true));
        assert_eq!(results(&site), ["A", "slept 20", "B"]);
        assert_eq!(site.model.violations(), Vec::<String>::new());
    });
}

#[test]
fn a_result_that_comes_twice_is_plain_history_the_second_time() {
    testing::run(async {
        let script = [find("a"), reply().text("found"), reply().text("as I said")];
        let site = site(script, [sleeper()]).await;
        let first = site.complete(with_find("go")).await.json().await;
        let body = brings(with_find("go"), &first, &["A"]);
        assert_eq!(text(&site.complete(body.clone()).await.json().await), "found");
        assert_eq!(text(&site.complete(body).await.json().await), "as I said");
        let last = site.model.requests().pop().expect("one");
        assert_eq!((last.len(), &*last[1].calls[0].id), (3, &*ids(&first)[0]));
    });
}

#[test]
fn a_round_that_nobody_comes_back_to_is_cancelled_and_its_results_are_plain_history() {
    testing::run(async {
        let counts = Arc::new([AtomicU32::new(0), AtomicU32::new(0)]);
        let limits = ServerLimits { pending: seconds(10), ..ServerLimits::default() };
        let script = [find("a").call("slow", "{}"), reply().text("from your own")];
        let store = Arc::new(MemoryStore::keeping());
        let tools = [slow(&counts)];
        let site = site_on(store, script, tools, |server| server.limits(limits)).await;
        let first = site.complete(with_find("go")).await.json().await;
        sleep(seconds(9)).await;
        assert_eq!(site.runtime.sessions(), 1);
        sleep(seconds(2)).await;
        assert_eq!(site.runtime.sessions(), 0);
        assert_eq!(counts.each_ref().map(|it| it.load(Ordering::SeqCst)), [1, 1]);
        let late = site.complete(brings(with_find("go"), &first, &["A"])).await.json().await;
        assert_eq!(text(&late), "from your own");
        assert_eq!(results(&site), ["A"]);
    });
}

#[test]
fn each_round_waits_its_own_time_to_the_millisecond() {
    testing::run(async {
        let limits = ServerLimits { pending: seconds(10), ..ServerLimits::default() };
        let script = (0..3).map(|_| find("a")).chain([reply().text("found")]);
        let store = Arc::new(MemoryStore::keeping());
        let site = site_on(store, script, [sleeper()], |server| server.limits(limits)).await;
        site.complete(with_find("go")).await; // Until 10 s.
        sleep(seconds(3)).await;
        let second = site.complete(with_find("go")).await.json().await; // Until 13 s.
        sleep(seconds(1)).await;
        site.complete(with_find("go")).await; // Until 14 s.
        for (ms, left) in [(5_999, 3), (2, 2)] {
            sleep(Duration::from_millis(ms)).await;
            assert_eq!(site.runtime.sessions(), left, "{ms} ms later");
        }
        let answer = site.complete(brings(with_find("go"), &second, &["A"])).await.json().await;
        assert_eq!(text(&answer), "found");
        for (ms, left) in [(3_998, 1), (2, 0)] {
            sleep(Duration::from_millis(ms)).await;
            assert_eq!(site.runtime.sessions(), left, "{ms} ms later");
        }
        site.model.rewrite([find("b")]);
        site.complete(with_find("go")).await; // After a time without any.
        for (ms, left) in [(9_999, 1), (2, 0)] {
            sleep(Duration::from_millis(ms)).await;
            assert_eq!(site.runtime.sessions(), left, "{ms} ms later");
        }
    });
}

#[test]
fn a_round_is_late_in_time_though_whoever_served_it_has_ended() {
    testing::run(async {
        let counts = Arc::new([AtomicU32::new(0), AtomicU32::new(0)]);
        let limits = ServerLimits { pending: seconds(10), ..ServerLimits::default() };
        let script = [find("a").call("slow", "{}")];
        let store = Arc::new(MemoryStore::keeping());
        let tools = [slow(&counts)];
        let site = site_on(store, script, tools, |server| server.limits(limits)).await;
        let worker = tokio::task::LocalSet::new();
        worker.run_until(site.complete(with_find("go"))).await;
        drop(worker); // And with it what it has spawned.
        sleep(seconds(9)).await;
        assert_eq!(site.runtime.sessions(), 1);
        sleep(seconds(2)).await;
        assert_eq!(site.runtime.sessions(), 0);
        assert_eq!(counts.each_ref().map(|it| it.load(Ordering::SeqCst)), [1, 1]);
    });
}

#[test]
fn the_clock_of_the_turn_stands_still_while_the_client_runs_its_tools() {
    testing::run(async {
        let limits = ServerLimits { pending: seconds(1_000_000), ..ServerLimits::default() };
        let store = Arc::new(MemoryStore::keeping());
        let script = [find("a").call("sleep", r#"{"s": 5}"#), reply().text("found")];
        let site = site_on(store, script, [sleeper()], |server| server.limits(limits)).await;
        let first = site.complete(with_find("go")).await.json().await;
        sleep(seconds(200_000)).await; // A turn has 100,000 s here.
        let second = site.complete(brings(with_find("go"), &first, &["A"])).await.json().await;
        assert_eq!(text(&second), "found");
    });
}

#[test]
fn a_tool_of_ours_that_does_not_run_here_is_not_the_clients_and_its_calls_are_denied() {
    testing::run(async {
        let ours = dynamic("ask_the_boss", json!({"type": "object"}), |_, _| async {
            Err("it does not run here".to_owned())
        });
        let ours = ours.approval(Approval::Outside);
        let both = find("a").call("ask_the_boss", "{}");
        let alone = reply().call("ask_the_boss", "{}");
        let script = [both, reply().text("one"), alone, reply().text("two")];
        let site = site(script, [ours]).await;
        let first = site.complete(with_find("go")).await.json().await;
        let calls = &first["choices"][0]["message"]["tool_calls"];
        assert_eq!((ids(&first).len(), &calls[0]["function"]["name"]), (1, &json!("find")));
        let second = site.complete(brings(with_find("go"), &first, &["A"])).await.json().await;
        assert_eq!(text(&second), "one");
        let told = results(&site);
        let is_denied = |result: &str| result.contains("nobody is there who runs it");
        assert!(told.len() == 2 && told[0] == "A" && is_denied(&told[1]), "{told:?}");
        let third = site.complete(asked("go")).await.json().await; // It has no tools at all.
        assert_eq!(text(&third), "two");
        assert!(is_denied(&results(&site)[0]), "{:?}", results(&site));
        assert_eq!(site.model.violations(), Vec::<String>::new());
    });
}

#[test]
fn results_that_are_not_one_of_each_call_are_refused_and_the_round_still_waits() {
    testing::run(async {
        let script = [find("a").call("find", r#"{"q":"b"}"#), reply().text("found")];
        let site = site(script, [sleeper()]).await;
        let first = site.complete(with_find("go")).await.json().await;
        let id = ids(&first);
        let whole = brings(with_find("go"), &first, &["A", "B"]);
        let with_last = |more: Value| {
            let mut body = whole.clone();
            body["messages"].as_array_mut().expect("messages").push(more);
            body
        };
        let result = |id: &str, content: Value| json!({"role": "tool", "tool_call_id": id, "content": content});
        let mut picture = brings(with_find("go"), &first, &["A"]);
        let part = json!([{"type": "image_url", "image_url": {"url": "data:,"}}]);
        picture["messages"].as_array_mut().expect("messages").push(result(&id[1], part));
        for (body, why) in [
            (brings(with_find("go"), &first, &["A"]), "has no result; it is awaited still"),
            (with_last(result(&id[0], json!("again"))), "a second result of"),
            (
                with_last(result("call_other", json!("x"))),
                "no call before it has the id `call_other`",
            ),
            (picture, "the result of a tool is text"),
        ] {
            let (status, message) = refused(site.complete(body).await).await;
            let message = message.as_str().expect("a message");
            assert!(status == 400 && message.contains(why), "{status} {message}");
        }
        let second = site.complete(whole).await.json().await;
        assert_eq!(
            (text(&second), results(&site)),
            ("found", vec!["A".to_owned(), "B".to_owned()])
        );
    });
}

#[test]
fn results_may_come_in_any_order_and_in_parts() {
    testing::run(async {
        let script = [find("a").call("find", r#"{"q":"b"}"#), reply().text("found")];
        let site = site(script, [sleeper()]).await;
        let first = site.complete(with_find("go")).await.json().await;
        let mut body = brings(with_find("go"), &first, &["A", "B"]);
        let messages = body["messages"].as_array_mut().expect("messages");
        let last = messages.len() - 1;
        messages.swap(last, last - 1);
        messages[last]["content"] =
            json!([{"type": "text", "text": "A, "}, {"type": "text", "text": "a"}]);
        site.complete(body).await;
        assert_eq!(results(&site), ["A, a", "B"]);
    });
}

#[test]
fn a_round_belongs_to_the_token_that_it_was_returned_to() {
    testing::run(async {
        let token = |name: &str| Token {
            name: name.into(),
            secret: format!("the-secret-token-of-{name}").into(),
        };
        let tokens = vec![token("ann"), token("bob")];
        let script = [find("a"), reply().text("to bob"), reply().text("to ann")];
        let store = Arc::new(MemoryStore::keeping());
        let site = site_on(store, script, [sleeper()], |server| server.tokens(tokens)).await;
        let ask = async |who: &str, body: Value| {
            let header = ("authorization", format!("Bearer the-secret-token-of-{who}"));
            let request = TestRequest::post().uri(PATH).insert_header(header).set_json(body);
            site.send(request).await.json().await
        };
        let first = ask("ann", with_find("go")).await;
        let body = brings(with_find("go"), &first, &["A"]);
        assert_eq!(text(&ask("bob", body.clone()).await), "to bob");
        let plain = &site.model.requests()[1];
        assert_eq!((plain.len(), &*plain[1].calls[0].id), (3, &*ids(&first)[0]), "plain history");
        sleep(seconds(1)).await;
        assert_eq!(site.runtime.sessions(), 1, "ann's still waits");
        assert_eq!(text(&ask("ann", body).await), "to ann");
        sleep(seconds(1)).await;
        assert_eq!(site.runtime.sessions(), 0);
    });
}

#[test]
fn calls_of_the_clients_that_do_not_fit_its_schema_are_answered_here() {
    testing::run(async {
        let script = [reply().call("find", r#"{"q": 7}"#), reply().text("sorry")];
        let site = site(script, [sleeper()]).await;
        let answer = site.complete(with_find("go")).await.json().await;
        assert_eq!(text(&answer), "sorry");
        assert!(results(&site)[0].contains("/q: 7 is not of type"), "{:?}", results(&site));
    });
}

#[test]
fn of_too_many_rounds_that_wait_the_oldest_goes() {
    testing::run(async {
        let script = (0..258).map(|_| find("a")).chain([reply().text("found")]);
        let site = site(script, [sleeper()]).await;
        for _ in 0..258 {
            site.complete(with_find("go")).await;
        }
        sleep(seconds(1)).await;
        assert_eq!(site.runtime.sessions(), 256);
    });
}

#[test]
fn a_server_that_ends_cancels_the_rounds_that_nobody_can_come_back_to() {
    testing::run(async {
        let counts = Arc::new([AtomicU32::new(0), AtomicU32::new(0)]);
        let site = site([find("a").call("slow", "{}")], [slow(&counts)]).await;
        site.complete(with_find("go")).await;
        let server = site.server.clone();
        std::thread::spawn(move || server.close()).join().expect("it needs no runtime");
        sleep(seconds(1)).await;
        assert_eq!(counts.each_ref().map(|it| it.load(Ordering::SeqCst)), [1, 1]);
        assert_eq!(site.runtime.sessions(), 0);
    });
}

#[test]
fn going_away_after_the_calls_were_returned_cancels_nothing() {
    testing::run(async {
        let site = site([find("a"), reply().text("found")], [sleeper()]).await;
        let mut response = site.complete(streamed(with_find("go"))).await;
        assert!(response.more().await);
        let first = response.read().to_owned();
        assert!(first.contains("assistant"), "{first}");
        while !response.read().contains("tool_calls\"") {
            assert!(response.more().await);
        }
        let chunk =
            response.read().split("\n\n").find(|it| it.contains("call_")).expect("the call");
        let chunk: Value = serde_json::from_str(chunk.trim_start_matches("data: ")).unwrap();
        let call = chunk["choices"][0]["delta"]["tool_calls"][0].clone();
        drop(response);
        sleep(seconds(5)).await;
        let message = json!({"role": "assistant", "content": null, "tool_calls": [call]});
        let answer = json!({"choices": [{"message": message}]});
        let second = site.complete(brings(with_find("go"), &answer, &["A"])).await.json().await;
        assert_eq!(text(&second), "found");
    });
}
