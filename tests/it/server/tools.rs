//! The tools over HTTP.

use std::sync::Arc;

use actix_web::test::TestRequest;
use callsheet::server::ServerLimits;
use callsheet::store::MemoryStore;
use callsheet::testing::{self, reply};
use serde_json::json;

use super::site::{site, site_on};
use crate::support::{bomb, dynamic, failer, seconds, sleeper};

#[test]
fn the_tools_are_listed_with_their_condition() {
    testing::run(async {
        let site = site([], [sleeper(), bomb()]).await;
        let tools = site.get("/v1/tools").await.json().await;
        let first = &tools["tools"][0];
        assert_eq!((&first["name"], &first["effects"]), (&json!("sleep"), &json!("none")));
        assert_eq!(first["parameters"]["required"], json!(["s"]));
        assert_eq!(tools["tools"].as_array().map(Vec::len), Some(2));
    });
}

#[test]
fn a_tool_is_called_through_its_worker_and_stands_in_no_session() {
    testing::run(async {
        let site = site([], [sleeper(), bomb(), failer()]).await;
        let call = |name: &str, arguments| {
            let path = format!("/v1/tools/{name}/call");
            let site = &site;
            async move { site.post(&path, json!({"arguments": arguments})).await }
        };
        let slept = call("sleep", json!({"s": 2})).await.json().await;
        assert_eq!((&slept["outcome"], &slept["ran_ms"]), (&json!("ok"), &json!(2000.0)));
        assert_eq!(call("sleep", json!({})).await.json().await["outcome"], "bad_arguments");
        assert_eq!(call("bomb", json!({})).await.json().await["outcome"], "panicked");
        assert_eq!(call("fail", json!({})).await.json().await["outcome"], "tool_error");
        let none = call("nobody", json!({})).await;
        assert_eq!(none.refusal().await, (404, "not_found".to_owned()));
        let bad = call("sleep", json!([])).await;
        assert_eq!(bad.refusal().await, (400, "bad_json".to_owned()));
        assert_eq!(site.get("/v1/sessions").await.json().await["sessions"], json!([]));
    });
}

#[test]
fn what_is_told_of_tools_and_of_rounds_is_the_same_everywhere() {
    testing::run(async {
        let calls =
            reply().call("sleep", r#"{"s": 1}"#).call("sleep", r#"{"s": 3}"#).call("bomb", "{}");
        let site = site([calls, reply().text("done")], [sleeper(), bomb()]).await;
        site.make("a").await;
        let answer = site.ask("a", "go").await.json().await;
        let calls = answer["rounds"][0]["calls"].as_array().expect("calls");
        assert_eq!(calls.len(), 3);
        let tools = site.get("/v1/tools").await.json().await;
        let tool = |name: &str| {
            let tools = tools["tools"].as_array().expect("tools").iter();
            tools.clone().find(|tool| tool["name"] == name).expect("it is there").clone()
        };
        let (sleep, bomb) = (tool("sleep"), tool("bomb"));
        assert_eq!(
            (&sleep["calls"], &sleep["failed"], &sleep["in_flight"]),
            (&json!(2), &json!(0), &json!(0))
        );
        assert_eq!(
            (&sleep["ran_ms"]["p50"], &sleep["ran_ms"]["p99"]),
            (&json!(1000.0), &json!(3000.0))
        );
        assert_eq!(
            (&bomb["failed"], &bomb["restarts"], &bomb["state"]),
            (&json!(1), &json!(1), &json!("ready"))
        );
        assert_eq!(bomb["last_error"]["code"], calls[2]["error"]["code"]);
        assert!(
            bomb["last_restart"]["cause"].as_str().is_some_and(|cause| cause.contains("boom")),
            "{bomb}"
        );
        let page = site.get("/metrics").await;
        assert_eq!(page.header("content-type"), "text/plain; version=0.0.4; charset=utf-8");
        let page = page.text().await;
        for line in [
            r#"callsheet_calls_total{tool="sleep",outcome="ok"} 2"#,
            r#"callsheet_calls_total{tool="bomb",outcome="panicked"} 1"#,
            r#"callsheet_worker_restarts_total{tool="bomb"} 1"#,
            r#"callsheet_rounds_total{mode="parallel"} 1"#,
        ] {
            assert!(page.lines().any(|found| found == line), "no {line} in\n{page}");
        }
    });
}

#[test]
fn a_tool_is_restarted_by_hand() {
    testing::run(async {
        let script = [reply().call("sleep", r#"{"s": 1}"#), reply().text("one")];
        let site = site(script, [sleeper()]).await;
        site.make("a").await;
        site.ask("a", "go").await;
        let restart = |name: &str| {
            let path = format!("/v1/tools/{name}/restart");
            let site = &site;
            async move { site.post(&path, json!({})).await }
        };
        assert_eq!(restart("sleep").await.json().await, json!({"restarted": 1}));
        assert_eq!(restart("nobody").await.refusal().await, (404, "not_found".to_owned()));
        let tools = site.get("/v1/tools").await.json().await;
        assert_eq!(tools["tools"][0]["last_restart"]["cause"], "restarted by hand");
    });
}

#[test]
fn a_call_counts_as_long_as_it_runs_whether_or_not_its_client_is_there() {
    testing::run(async {
        let limits = ServerLimits { max_streams: 1, ..ServerLimits::default() };
        let store = Arc::new(MemoryStore::new());
        let site = site_on(store, [], [sleeper()], |it| it.limits(limits)).await;
        let call = || site.post("/v1/tools/sleep/call", json!({"arguments": {"s": 5}}));
        assert!(tokio::time::timeout(seconds(1), call()).await.is_err(), "it goes away");
        assert_eq!(call().await.refusal().await, (429, "overloaded".to_owned()));
        tokio::time::sleep(seconds(5)).await;
        let called = call().await.json().await;
        assert_eq!(called["outcome"], "ok");
    });
}

#[test]
fn a_call_is_a_part_of_the_trace_that_its_client_says() {
    testing::run(async {
        let told = dynamic("told", json!({"type": "object"}), |_, context| async move {
            Ok(context.trace_parent().map_or_else(String::new, |it| it.to_string()))
        });
        let site = site([], [told]).await;
        let parent = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01";
        let call = TestRequest::post().uri("/v1/tools/told/call").set_json(json!({}));
        let called = site.send(call.insert_header(("traceparent", parent))).await.json().await;
        assert_eq!(called["result"], parent);
    });
}
