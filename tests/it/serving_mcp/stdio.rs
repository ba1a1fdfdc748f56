//! Over standard input and output.

use std::time::{Duration, Instant};

use callsheet::mcp::{Program, Reach};
use secrecy::ExposeSecret;
use serde_json::{Value, json};

use super::client::{Client, outcome, told};
use super::{PROTOCOLS, TOOLS, check, place, program, round, run, until_it_has_begun};
use crate::support::cli::{Place, signal};

#[test]
fn our_own_client_calls_the_tools_in_both_revisions() {
    run(async {
        let place = place();
        for (protocol, revision) in PROTOCOLS {
            let (round, spoken) = round(program(&place), protocol).await;
            assert_eq!(spoken.as_deref(), Some(revision));
            check(&round);
        }
    });
}

#[test]
fn the_list_shows_what_a_model_would_see_and_what_the_effects_hint_at() {
    let mut client = Client::start(&place(), &[]);
    let id = client.request("tools/list", json!({}));
    let tools = client.answer(id)["result"]["tools"].take();
    let shown: Vec<_> = tools
        .as_array()
        .expect("a list")
        .iter()
        .map(|tool| (tool["name"].as_str().unwrap_or_default(), tool["annotations"].clone()))
        .collect();
    let expected = [
        ("get_weather", json!({"readOnlyHint": true})),
        ("fails", json!({"readOnlyHint": false})),
        ("wait", json!({"readOnlyHint": false})),
        ("send_money", json!({"readOnlyHint": false})),
    ];
    assert_eq!(shown, expected);
    assert_eq!(tools[2]["inputSchema"]["required"], json!(["s"]));
    assert_eq!(tools[2]["description"], "Waits");
    let types: Vec<_> = (0..4).map(|n| tools[n]["inputSchema"]["type"].clone()).collect();
    assert_eq!(types, ["object"; 4]);
    client.end().0.with(0);
}

#[test]
fn a_result_is_what_a_model_would_be_told_and_how_the_call_ended_stands_beside_it() {
    let mut client = Client::start(&place(), &[]);
    let fine = client.called("get_weather", json!({"city": "Oslo"}));
    assert!(told(&fine).0.contains("temp_f") && fine["isError"] == false, "{fine}");
    assert_eq!(outcome(&fine), ("ok", ""));
    let ran = fine["_meta"]["callsheet/report"]["ran_ms"].as_f64().unwrap_or_default();
    assert!(ran >= 300.0, "{fine}");
    let failed = client.called("fails", json!({}));
    assert!(told(&failed).0.starts_with("error: ") && told(&failed).1, "{failed}");
    assert_eq!(outcome(&failed), ("tool_error", "tool_error"));
    let bad = client.called("get_weather", json!({"town": "Oslo"}));
    assert!(told(&bad).0.contains("city") && told(&bad).1, "{bad}");
    assert_eq!(outcome(&bad), ("bad_arguments", "bad_arguments"));
    client.end().0.with(0);
}

#[test]
fn a_tool_that_is_not_there_is_an_error_of_the_protocol() {
    let mut client = Client::start(&place(), &["--tools", "get_weather"]);
    for name in ["nothing", "fails", ""] {
        let id = client.call(name, json!({}));
        let answer = client.answer(id);
        assert_eq!(answer["error"]["code"], -32_602, "{answer}");
        assert_eq!(answer["error"]["message"], format!("Unknown tool: {name}"));
    }
    client.end().0.with(0);
}

#[test]
fn calls_of_one_client_overlap() {
    let mut client = Client::start(&place(), &[]);
    let began = Instant::now();
    let calls: Vec<_> =
        (0..3).map(|_| client.call("get_weather", json!({"city": "Oslo"}))).collect();
    for id in calls {
        assert!(!told(&client.answer(id)["result"]).1);
    }
    let took = began.elapsed();
    assert!(took < Duration::from_millis(600), "three of 300 ms took {took:?}");
    client.end().0.with(0);
}

#[test]
fn a_cancelled_call_stops_and_is_not_answered() {
    let place = place();
    let mut client = Client::start(&place, &[]);
    let long = client.call("wait", json!({"s": "50"}));
    until_it_has_begun(&place);
    client.notify("notifications/cancelled", json!({"requestId": long, "reason": "enough"}));
    // One at a time: this one waits until the other has stopped.
    let began = Instant::now();
    assert_eq!(outcome(&client.called("wait", json!({"s": "0"}))), ("ok", ""));
    assert!(began.elapsed() < Duration::from_secs(10), "{:?}", began.elapsed());
    assert!(client.heard().iter().all(|message| message["id"] != long));
    client.end().0.with(0);
}

#[test]
fn what_needs_approval_is_denied_unless_it_was_approved_beforehand() {
    let place = place();
    let mut client = Client::start(&place, &[]);
    let denied = client.called("send_money", json!({}));
    assert_eq!(outcome(&denied), ("denied", "not_approved"), "{denied}");
    assert!(told(&denied).1 && told(&denied).0.contains("nobody is there"), "{denied}");
    client.end().0.with(0);
    let mut client = Client::start(&place, &["--approve", "send_money"]);
    for _ in 0..2 {
        let done = client.called("send_money", json!({}));
        assert_eq!(outcome(&done), ("ok", ""), "{done}");
    }
    client.end().0.with(0);
}

#[test]
fn a_large_result_is_cut_with_a_mark() {
    let tool = r#"
        [session]
        max_result_bytes = 1000
        [[tools]]
        name = "much"
        kind = "command"
        argv = ["seq", "1000"]
    "#;
    let mut client = Client::start(&Place::new().file("config.toml", tool), &[]);
    let result = client.called("much", json!({}));
    let (text, is_error) = told(&result);
    assert!(text.starts_with("1\n2\n") && text.len() < 1100 && !is_error, "{text}");
    assert!(text.contains("cut") && !text.contains("read_result"), "{text}");
    client.end().0.with(0);
}

#[test]
fn it_ends_in_good_order_with_its_input_and_says_nothing_but_messages() {
    let mut client = Client::start(&place(), &[]);
    let id = client.call("get_weather", json!({"city": "Oslo"}));
    client.say_raw("this is no message");
    let (ended, rest) = client.end();
    ended.with(0);
    let answers: Vec<Value> =
        rest.iter().map(|line| serde_json::from_str(line).expect("a message")).collect();
    assert!(answers.iter().any(|answer| answer["id"] == id), "the call was answered: {rest:?}");
}

#[test]
fn it_ends_at_once_with_an_input_that_asks_nothing() {
    Client::without_handshake(&place(), &[]).end().0.with(0);
}

#[test]
fn a_signal_ends_it_in_good_order_and_takes_its_calls_with_it() {
    for name in ["TERM", "INT"] {
        let place = place();
        let mut client = Client::start(&place, &[]);
        let id = client.call("wait", json!({"s": "50"}));
        until_it_has_begun(&place);
        let began = Instant::now();
        signal(client.process(), name);
        let answer = client.answer(id);
        assert_eq!(outcome(&answer["result"]), ("cancelled", "cancelled"), "{answer}");
        client.end().0.with(0);
        assert!(began.elapsed() < Duration::from_secs(5), "{:?}", began.elapsed());
    }
}

#[test]
fn tools_of_servers_are_served_too_with_their_progress_and_their_changes() {
    let directory = Place::new();
    let peer = crate::support::mcp_peer::Peer::new(&["progress", "change"], &directory.path(""));
    let Reach::Stdio(Program { command, args, env, .. }) = peer.settings("peer").reach else {
        panic!("it is a program");
    };
    let plan = env[0].1.expose_secret();
    let config = format!(
        "{TOOLS}\n[[mcp]]\nname = \"peer\"\ncommand = {command:?}\nargs = {args:?}\n\
         env = {{ MCP_PEER = '{plan}' }}\neffects = \"none\"\napproval = \"never\"\n"
    );
    let place = Place::new().file("config.toml", &config);
    let mut client = Client::start(&place, &[]);
    let asked = json!({"name": "peer__progress", "arguments": {"times": 3, "ms": 10},
        "_meta": {"progressToken": "p"}});
    let id = client.request("tools/call", asked);
    let done = client.answer(id);
    assert_eq!(told(&done["result"]), ("done", false), "{done}");
    // The last news comes with the answer, and may be late for it.
    let news: Vec<_> = (0..2).map(|_| client.notified("notifications/progress")).collect();
    for (place, news) in news.iter().enumerate() {
        let params = &news["params"];
        assert_eq!(params["progressToken"], "p");
        assert_eq!(params["progress"].as_f64(), Some(place as f64 + 1.0));
        assert!(params["message"].as_str().is_some_and(|said| said.contains("working")), "{news}");
    }
    client.called("peer__change", json!({}));
    client.notified("notifications/tools/list_changed");
    let id = client.request("tools/list", json!({}));
    let list = client.answer(id).to_string();
    assert!(list.contains("peer__added") && !list.contains("peer__progress"), "{list}");
    client.end().0.with(0);
}
