//! The tools over HTTP.

use callsheet::testing;
use serde_json::json;

use super::site::site;
use crate::support::{bomb, failer, sleeper};

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
