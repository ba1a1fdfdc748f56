//! The endpoint that OpenAI's clients know: what it answers, whole and streamed, and what it refuses.

use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};

use actix_web::test::TestRequest;
use callsheet::model::Error;
use callsheet::server::Token;
use callsheet::store::MemoryStore;
use callsheet::testing::{self, failure, reply};
use callsheet::{Approval, Effects, ToolType};
use serde_json::{Value, json};

use super::site::{Response, Site, site, site_on};
use crate::support::{dynamic, seconds, sleeper};

pub const PATH: &str = "/v1/chat/completions";
const NO_TOOLS: [ToolType; 0] = [];

pub fn nap(s: u64) -> testing::Scripted {
    reply().call("sleep", &format!(r#"{{"s": {s}}}"#))
}

pub fn asked(content: &str) -> Value {
    json!({"model": "gpt-x", "messages": [{"role": "user", "content": content}]})
}

pub fn streamed(mut body: Value) -> Value {
    body["stream"] = true.into();
    body
}

impl Site {
    /// Has `body` answered. A turn that would never end is found out.
    pub async fn complete(&self, body: Value) -> Response {
        let answered = tokio::time::timeout(seconds(500_000), self.post(PATH, body)).await;
        answered.expect("it is answered")
    }
}

/// The chunks of a stream, whose comments are counted, and whether `[DONE]` came at last.
pub async fn chunks(response: Response) -> (Vec<Value>, usize, bool) {
    assert_eq!(
        (response.status.as_u16(), response.header("content-type")),
        (200, "text/event-stream")
    );
    let text = response.text().await;
    let (mut chunks, mut comments, mut done) = (Vec::new(), 0, false);
    for block in text.split_terminator("\n\n") {
        assert!(!done, "nothing follows: {block}");
        match block.strip_prefix("data: ") {
            Some("[DONE]") => done = true,
            Some(data) => chunks.push(serde_json::from_str(data).expect("JSON")),
            None => {
                assert_eq!(block, ": keep-alive");
                comments += 1;
            }
        }
    }
    (chunks, comments, done)
}

/// The text of a stream, and why it ended.
pub fn told(chunks: &[Value]) -> (String, Value) {
    let choices = || chunks.iter().filter_map(|chunk| chunk["choices"].get(0));
    let text = choices().filter_map(|choice| choice["delta"]["content"].as_str()).collect();
    let last = choices().next_back().map(|choice| choice["finish_reason"].clone());
    (text, last.unwrap_or_default())
}

/// What a refusal says: status, `code`, `param`, and whether it is to be tried again.
async fn refusal(response: Response) -> (u16, String, Value, String) {
    let again = response.header("x-should-retry").to_owned();
    assert_eq!(response.header("content-type"), "application/json");
    let status = response.status.as_u16();
    let error = response.json().await["error"].clone();
    assert!(error["message"].is_string() && error["type"].is_string(), "{error}");
    (status, error["code"].as_str().unwrap_or_default().to_owned(), error["param"].clone(), again)
}

fn limited() -> testing::Scripted {
    let (url, message) = ("there".into(), "slow down".into());
    failure(Error::RateLimited { url, message, retry_after: Some(seconds(7)) })
}

#[test]
fn a_whole_answer_is_what_our_tools_have_led_to() {
    testing::run(async {
        let calls = reply().text("Let me see.").call("sleep", r#"{"s": 2}"#);
        let site = site([calls, reply().text("rested")], [sleeper()]).await;
        let answer = site.complete(asked("go")).await;
        assert_eq!(
            (answer.status.as_u16(), answer.header("content-type")),
            (200, "application/json")
        );
        let answer = answer.json().await;
        assert!(answer["id"].as_str().is_some_and(|id| id.starts_with("chatcmpl-")), "{answer}");
        assert_eq!(
            (&answer["object"], &answer["model"]),
            (&json!("chat.completion"), &json!("scripted"))
        );
        assert!(answer["created"].as_u64().is_some_and(|at| at > 0), "{answer}");
        let message =
            json!({"role": "assistant", "content": "Let me see.\n\nrested", "refusal": null});
        let choice =
            json!({"index": 0, "message": message, "logprobs": null, "finish_reason": "stop"});
        assert_eq!(answer["choices"], json!([choice]));
        let usage = json!({"prompt_tokens": 20, "completion_tokens": 10, "total_tokens": 30,
            "prompt_tokens_details": {"cached_tokens": 0},
            "completion_tokens_details": {"reasoning_tokens": 0}});
        assert_eq!(answer["usage"], usage);
        assert_eq!(site.model.requests()[0].len(), 1, "the client's message and nothing else");
        assert_eq!(site.model.violations(), Vec::<String>::new());
    });
}

#[test]
fn a_streamed_answer_comes_in_chunks_and_the_connection_is_kept_open_meanwhile() {
    testing::run(async {
        let calls = reply().text("Let me ").text("see.").call("sleep", r#"{"s": 40}"#);
        let answer = reply().text("res").text("ted").paced(seconds(1));
        let site = site([calls, answer], [sleeper()]).await;
        let mut body = streamed(asked("go"));
        body["stream_options"] = json!({"include_usage": true});
        let (chunks, comments, done) = chunks(site.complete(body).await).await;
        assert_eq!((comments, done), (2, true));
        assert_eq!(chunks[0]["choices"][0]["delta"], json!({"role": "assistant", "content": ""}));
        assert_eq!(
            told(&chunks[..chunks.len() - 1]),
            ("Let me see.\n\nrested".to_owned(), "stop".into())
        );
        assert!(chunks.iter().all(|chunk| chunk["id"] == chunks[0]["id"]
            && chunk["object"] == "chat.completion.chunk"
            && chunk["created"] == chunks[0]["created"]));
        let (last, others) = chunks.split_last().expect("some");
        assert_eq!((&last["choices"], &last["usage"]["prompt_tokens"]), (&json!([]), &json!(10)));
        assert!(others.iter().all(|chunk| chunk.get("usage") == Some(&Value::Null)));
    });
}

#[test]
fn without_being_asked_for_nobody_counts_in_a_stream() {
    testing::run(async {
        let site = site([reply().text("hello").finish("length")], NO_TOOLS).await;
        let (chunks, comments, done) = chunks(site.complete(streamed(asked("hi"))).await).await;
        assert_eq!((comments, done), (0, true));
        assert_eq!(told(&chunks), ("hello".to_owned(), "length".into()));
        assert!(chunks.iter().all(|chunk| chunk.get("usage").is_none()));
    });
}

#[test]
fn a_conversation_is_sent_on_as_the_client_has_it_and_leaves_no_trace() {
    testing::run(async {
        let site = site([reply().text("blue")], NO_TOOLS).await;
        let messages = json!([
            {"role": "system", "content": "be brief"},
            {"role": "user", "content": [{"type": "text", "text": "colour?"}]},
            {"role": "assistant", "content": null, "tool_calls": [{"id": "c", "type": "function",
                "function": {"name": "look", "arguments": "{}"}}]},
            {"role": "tool", "tool_call_id": "c", "content": "it is blue"},
        ]);
        let answer =
            site.complete(json!({"messages": messages, "stream": false})).await.json().await;
        assert_eq!(answer["choices"][0]["message"]["content"], "blue");
        let heard: Value =
            serde_json::from_str(&format!("[{}]", site.model.last_history())).unwrap();
        assert_eq!((&heard[0], &heard[1]), (&messages[0], &messages[1]));
        assert_eq!(heard[3], messages[3]);
        assert_eq!(site.get("/v1/sessions").await.json().await["sessions"], json!([]));
        tokio::time::sleep(seconds(1)).await;
        assert_eq!(site.runtime.sessions(), 0);
    });
}

#[test]
fn what_needs_approval_is_denied() {
    testing::run(async {
        let pay = sleeper().approval(Approval::Always);
        let site = site([nap(1), reply().text("so be it")], [pay]).await;
        let answer = site.complete(asked("go")).await.json().await;
        assert_eq!(answer["choices"][0]["message"]["content"], "so be it");
        let told = site.model.requests()[1].last().expect("a result").text.clone();
        assert!(told.contains("not approved"), "{told}");
    });
}

#[test]
fn the_configured_model_is_listed_and_no_other() {
    testing::run(async {
        let site = site([], NO_TOOLS).await;
        let all = site.get("/v1/models").await.json().await;
        let one =
            json!({"id": "scripted", "object": "model", "created": 0, "owned_by": "callsheet"});
        assert_eq!(all, json!({"object": "list", "data": [one]}));
        assert_eq!(site.get("/v1/models/scripted").await.json().await, one);
        let (status, code, ..) = refusal(site.get("/v1/models/gpt-x").await).await;
        assert_eq!((status, &*code), (404, "not_found"));
    });
}

#[test]
fn what_cannot_be_answered_is_refused_and_the_field_is_named() {
    testing::run(async {
        let site = site([], [sleeper()]).await;
        let mut ours = asked("x");
        ours["tools"] = json!([{"type": "function", "function": {"name": "find"}},
            {"type": "function", "function": {"name": "sleep"}}]);
        let mut twice = asked("x");
        twice["tools"] = json!([{"type": "function", "function": {"name": "find"}},
            {"type": "function", "function": {"name": "find"}}]);
        let mut broken = asked("x");
        let schema = json!({"type": "object", "properties": {"a": {"type": "nonsense"}}});
        broken["tools"] =
            json!([{"type": "function", "function": {"name": "find", "parameters": schema}}]);
        let mut spaced = asked("x");
        spaced["tools"] = json!([{"type": "function", "function": {"name": "a b"}}]);
        let mut chosen = asked("x");
        chosen["tool_choice"] = json!({"type": "function", "function": {"name": "find"}});
        let mut many = asked("x");
        many["n"] = 2.into();
        let result = json!({"role": "tool", "tool_call_id": "c", "content": "x"});
        for (body, code, param) in [
            (ours, "bad_request", json!("tools[1].function.name")),
            (twice, "bad_request", json!("tools[1].function")),
            (broken, "bad_request", json!("tools[0].function")),
            (spaced, "bad_request", json!("tools[0].function.name")),
            (chosen, "bad_request", json!("tool_choice")),
            (many, "bad_request", json!("n")),
            (json!({}), "bad_request", json!("messages")),
            (json!({"messages": [result]}), "bad_messages", json!("messages[0]")),
            (json!({"messages": [{"role": "king"}]}), "bad_messages", json!("messages[0]")),
            (json!([1]), "bad_json", Value::Null),
        ] {
            let refused = refusal(site.complete(body.clone()).await).await;
            let expected = (400, code.to_owned(), param, "false".to_owned());
            assert_eq!(refused, expected, "{body}");
        }
        assert_eq!(site.runtime.sessions(), 0);
        assert!(site.model.requests().is_empty());
    });
}

#[test]
fn a_failure_before_anything_ran_may_be_tried_again_and_a_later_one_not() {
    testing::run(async {
        for stream in [false, true] {
            let site = site([limited(), nap(1), limited()], [sleeper()]).await;
            let body = || if stream { streamed(asked("go")) } else { asked("go") };
            let first = site.complete(body()).await;
            assert_eq!(first.header("retry-after"), "7");
            let (status, code, _, again) = refusal(first).await;
            assert_eq!((status, &*code, &*again), (429, "overloaded", "true"));
            let (status, code, _, again) = refusal(site.complete(body()).await).await;
            assert_eq!((status, &*code, &*again), (502, "rate_limited", "false"));
        }
    });
}

#[test]
fn a_failure_in_mid_stream_is_told_there() {
    testing::run(async {
        let calls = reply().text("Let me see.").call("sleep", r#"{"s": 2}"#);
        let site = site([calls, limited()], [sleeper()]).await;
        let (chunks, _, done) = chunks(site.complete(streamed(asked("go"))).await).await;
        assert!(!done);
        let error = &chunks.last().expect("some")["error"];
        assert_eq!(
            (&error["type"], &error["code"]),
            (&json!("server_error"), &json!("rate_limited"))
        );
        assert!(error["message"].as_str().is_some_and(|it| it.contains("slow down")), "{error}");
    });
}

#[test]
fn who_is_not_admitted_is_told_so_in_the_words_of_the_client() {
    testing::run(async {
        let token =
            Token { name: "ann".into(), secret: "a-secret-of-some-length".to_owned().into() };
        let store = Arc::new(MemoryStore::keeping());
        let site = site_on(store, [], NO_TOOLS, |server| server.tokens(vec![token])).await;
        let (status, code, _, again) = refusal(site.complete(asked("go")).await).await;
        assert_eq!((status, &*code, &*again), (401, "unauthorized", "false"));
        let (status, ..) = refusal(site.get("/v1/models/x").await).await;
        assert_eq!(status, 401);
    });
}

#[test]
fn a_server_that_ends_begins_nothing() {
    testing::run(async {
        let site = site([reply().text("no")], NO_TOOLS).await;
        site.server.close();
        let (status, code, _, again) = refusal(site.complete(asked("go")).await).await;
        assert_eq!((status, &*code, &*again), (503, "shutting_down", "true"));
        assert!(site.model.requests().is_empty());
    });
}

#[test]
fn a_shutdown_ends_the_turn_and_what_has_run_is_not_to_be_run_again() {
    testing::run(async {
        for has_run in [false, true] {
            let late = reply().text("no").after(seconds(100));
            let script = if has_run { vec![nap(1), late] } else { vec![late] };
            let site = site(script, [sleeper()]).await;
            let (refused, _) = tokio::join!(site.complete(asked("go")), async {
                tokio::time::sleep(seconds(5)).await;
                site.runtime.suspend(seconds(5)).await
            });
            let (status, code, _, again) = refusal(refused).await;
            let expected = (503, "shutting_down", if has_run { "false" } else { "true" });
            assert_eq!((status, &*code, &*again), expected);
        }
    });
}

/// A tool that takes a minute, and counts how often it begins, and how often it is dropped.
pub fn slow(counts: &Arc<[AtomicU32; 2]>) -> ToolType {
    struct Dropped(Arc<[AtomicU32; 2]>);
    impl Drop for Dropped {
        fn drop(&mut self) {
            self.0[1].fetch_add(1, Ordering::SeqCst);
        }
    }
    let counts = Arc::clone(counts);
    let tool = dynamic("slow", json!({"type": "object"}), move |_, _| {
        counts[0].fetch_add(1, Ordering::SeqCst);
        let dropped = Dropped(Arc::clone(&counts));
        async move {
            tokio::time::sleep(seconds(60)).await;
            std::mem::forget(dropped);
            Ok("at last".to_owned())
        }
    });
    tool.effects(Effects::None)
}

#[test]
fn closing_the_request_cancels_the_turn_whether_or_not_it_is_streamed() {
    testing::run(async {
        for (stream, said_before) in [(false, false), (true, false), (true, true)] {
            let counts = Arc::new([AtomicU32::new(0), AtomicU32::new(0)]);
            let calls = if said_before { reply().text("hm") } else { reply() };
            let script = [calls.call("slow", "{}"), reply().text("no")];
            let site = site(script, [slow(&counts)]).await;
            let body = if stream { streamed(asked("go")) } else { asked("go") };
            let request = TestRequest::post().uri(PATH).set_json(body);
            let answered = tokio::time::timeout(seconds(20), site.send(request)).await;
            assert_eq!(answered.is_ok(), stream, "a stream has begun by now");
            if let Ok(mut response) = answered {
                let begins = tokio::time::timeout(seconds(1), response.more()).await;
                assert!(begins.is_ok_and(|more| more));
                drop(response);
            }
            tokio::time::sleep(seconds(1)).await;
            assert_eq!(counts.each_ref().map(|it| it.load(Ordering::SeqCst)), [1, 1]);
            assert_eq!(site.runtime.sessions(), 0);
            assert_eq!(site.model.requests().len(), 1);
        }
    });
}
