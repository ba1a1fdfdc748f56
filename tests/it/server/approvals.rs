//! A person's word over HTTP.

use actix_web::http::header::ContentType;
use actix_web::test::TestRequest;
use callsheet::testing::{self, reply};
use callsheet::tools::ToolFuture;
use callsheet::{Approval, CallContext, ToolType};
use serde_json::{Value, json};

use super::site::{Site, site};
use crate::support::sleeper;

fn asking() -> ToolType {
    sleeper().approval(Approval::Always)
}

async fn waits(site: &Site) -> super::site::Response {
    site.make("a").await;
    let mut answer = site.send(site.question("a", "go")).await;
    answer.until("approval_asked").await;
    answer
}

async fn decide(site: &Site, call: &str, word: Value) -> super::site::Response {
    site.post(&format!("/v1/sessions/a/approvals/{call}"), word).await
}

#[test]
fn a_call_that_is_approved_runs() {
    testing::run(async {
        let calls = reply().call("sleep", r#"{"s": 1}"#);
        let site = site([calls, reply().text("rested")], [asking()]).await;
        let mut answer = waits(&site).await;
        let shown = site.get("/v1/sessions/a").await.json().await;
        let waiting = &shown["waiting"][0];
        assert_eq!(
            (&shown["state"], &waiting["call"], &waiting["tool"]),
            (&json!("waiting"), &json!("1-1-0"), &json!("sleep"))
        );
        assert_eq!(waiting["arguments"], r#"{"s": 1}"#);
        let list = site.get("/v1/sessions").await.json().await;
        assert_eq!(list["sessions"][0]["state"], "waiting");
        let said = decide(&site, "1-1-0", json!({"decision": "approve"})).await.json().await;
        assert_eq!(said, json!({"decision": "approved"}));
        let again = decide(&site, "1-1-0", json!({"decision": "deny"})).await;
        assert_eq!(again.refusal().await, (409, "already_decided".to_owned()));
        let done = answer.until("done").await;
        assert_eq!(done.last().expect("an end").data["rounds"][0]["calls"][0]["outcome"], "ok");
        let shown = site.get("/v1/sessions/a").await.json().await;
        assert_eq!(shown["waiting"], json!([]));
    });
}

#[test]
fn a_call_may_run_with_other_arguments_that_fit() {
    testing::run(async {
        let calls = reply().call("sleep", r#"{"s": 1}"#);
        let site = site([calls, reply().text("rested")], [asking()]).await;
        let mut answer = waits(&site).await;
        let bad =
            decide(&site, "1-1-0", json!({"decision": "approve", "arguments": {"s": "x"}})).await;
        assert_eq!(bad.refusal().await, (422, "bad_arguments".to_owned()));
        let good = json!({"decision": "approve", "arguments": {"s": 3}});
        assert_eq!(decide(&site, "1-1-0", good).await.json().await["decision"], "edited");
        let done = answer.until("done").await;
        let call = &done.last().expect("an end").data["rounds"][0]["calls"][0];
        assert_eq!(call["ran_ms"], 3000.0);
    });
}

#[test]
fn arguments_have_the_digits_that_were_sent() {
    testing::run(async {
        let calls = reply().call("echo", "{}");
        let echo = ToolType::new("echo", "for a test", json!({"type": "object"}), || {
            |arguments: &str, _: CallContext| -> ToolFuture {
                let text = arguments.to_owned();
                Box::pin(async { Ok(text) })
            }
        });
        let site = site([calls, reply().text("done")], [echo.approval(Approval::Always)]).await;
        let mut answer = waits(&site).await;
        let arguments = r#"{"account":123456789012345678901234567890,"sum":0.1000000000000000055511151231257827}"#;
        let word = |decision| format!(r#"{{{decision}"arguments":{arguments}}}"#);
        let path = "/v1/sessions/a/approvals/1-1-0";
        let post = async |path, text: String| {
            let request = TestRequest::post().uri(path).insert_header(ContentType::json());
            site.send(request.set_payload(text)).await.json().await
        };
        let said = post(path, word(r#""decision":"approve","#)).await;
        assert_eq!(said["decision"], "edited");
        let done = answer.until("done").await;
        let call = &done.last().expect("an end").data["rounds"][0]["calls"][0];
        let result = call["result"].as_str().expect("text");
        assert!(result.starts_with(&format!("{arguments}\n")), "and what it was told of: {result}");
        let called = post("/v1/tools/echo/call", word("")).await;
        assert_eq!(called["result"], arguments);
    });
}

#[test]
fn a_call_that_is_denied_does_not_run_and_the_model_is_told_why() {
    testing::run(async {
        let calls = reply().call("sleep", r#"{"s": 1}"#);
        let site = site([calls, reply().text("well")], [asking()]).await;
        let mut answer = waits(&site).await;
        let word = json!({"decision": "deny", "reason": "not at night"});
        assert_eq!(decide(&site, "1-1-0", word).await.json().await["decision"], "denied");
        let done = answer.until("done").await;
        let call = &done.last().expect("an end").data["rounds"][0]["calls"][0];
        assert_eq!(call["outcome"], "denied");
        assert!(
            call["result"].as_str().is_some_and(|told| told.contains("not at night")),
            "{call}"
        );
    });
}

#[test]
fn what_is_no_word_about_a_waiting_call_is_refused() {
    testing::run(async {
        let calls = reply().call("sleep", r#"{"s": 1}"#);
        let site = site([calls, reply().text("well")], [asking()]).await;
        let _answer = waits(&site).await;
        for call in ["1-1-1", "2-1-0", "1-1", "x", "1-1-0-0"] {
            let refused = decide(&site, call, json!({"decision": "approve"})).await;
            assert_eq!(refused.refusal().await, (404, "not_waiting".to_owned()), "{call}");
        }
        for (word, code) in [
            (json!({}), "bad_json"),
            (json!({"decision": "maybe"}), "bad_json"),
            (json!({"decision": "deny", "arguments": {}}), "bad_decision"),
            (json!({"decision": "approve", "reason": "x"}), "bad_decision"),
        ] {
            let refused = decide(&site, "1-1-0", word).await;
            assert_eq!(refused.refusal().await, (400, code.to_owned()));
        }
    });
}
