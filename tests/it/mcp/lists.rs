//! What servers list: good tools, bad ones, too many, others than before.

use callsheet::testing::reply;
use serde_json::json;

use super::{Directory, World, run};
use crate::support::outcomes;

#[test]
fn a_tool_that_cannot_be_offered_costs_no_other_and_is_told_once() {
    run(async {
        let directory = Directory::new();
        let mut peer = directory.peer(&["echo", "image"]);
        let bad = [
            json!({"name": "no_schema"}),
            json!({"name": "text", "inputSchema": "none"}),
            json!({"name": "wrong", "inputSchema": {"type": "object", "properties": 7}}),
            json!({"name": "list", "inputSchema": {"type": "array"}}),
            json!({"name": "echo", "inputSchema": {"type": "object"}}),
            json!("nothing at all"),
        ];
        peer.tools.splice(1..1, bad);
        let world = World::new([peer.settings("peer")]).await;
        assert_eq!(world.tools(), ["peer__echo", "peer__image"]);
        let left = world.left_out();
        let of = |name: &str| left.iter().filter(|line| line.starts_with(name)).count();
        for name in ["no_schema", "text", "wrong", "list", "echo", "?"] {
            assert_eq!(of(&format!("peer__{name}: ")), 1, "{name} of {left:?}");
        }
        assert_eq!(left.len(), 6, "{left:?}");
    });
}

#[test]
fn only_what_is_allowed_and_not_denied_is_offered_and_of_many_the_first() {
    run(async {
        let directory = Directory::new();
        let names: Vec<String> = (0..500).map(|n| format!("tool_{n}")).collect();
        let names: Vec<&str> = names.iter().map(String::as_str).collect();
        let peer = directory.peer(&names);
        let mut some = peer.settings("some");
        some.allow = Some(vec!["tool_1*".to_owned()]);
        some.deny = vec!["tool_11*".to_owned()];
        let world = World::new([peer.settings("all"), some]).await;
        let tools = world.tools();
        let of = |server: &str| tools.iter().filter(|name| name.starts_with(server)).count();
        assert_eq!((of("all__"), of("some__")), (100, 111 - 11));
        let why = "all__*: 400 tools beyond the first 100; choose with `allow`";
        assert_eq!(world.left_out(), [why]);
    });
}

#[test]
fn servers_with_tools_of_the_same_names_are_told_apart() {
    run(async {
        let directory = Directory::new();
        let peer = directory.peer(&["echo"]);
        let world = World::new([peer.settings("one"), peer.settings("two")]).await;
        assert_eq!(world.tools(), ["one__echo", "two__echo"]);
        let script = [
            reply().call("one__echo", r#"{"a": 1}"#).call("two__echo", r#"{"a": 2}"#),
            reply().text("done"),
        ];
        let answer = world.ask(script).await;
        assert_eq!(outcomes(&answer.report.rounds[0]), ["ok", "ok"]);
    });
}

#[test]
fn a_list_that_changes_takes_effect_in_the_next_request_in_both_revisions() {
    run(async {
        for modern in [false, true] {
            let directory = Directory::new();
            let mut peer = directory.peer(&["change", "slow"]);
            peer.modern = modern;
            let world = World::new([peer.settings("peer")]).await;
            let script = [
                reply().call("peer__change", "{}").call("peer__slow", r#"{"ms": 300}"#),
                reply().call("peer__added", "{}").call("peer__slow", "{}"),
                reply().text("done"),
            ];
            let answer = world.ask(script).await;
            assert_eq!(outcomes(&answer.report.rounds[0]), ["ok", "ok"]);
            assert_eq!(outcomes(&answer.report.rounds[1]), ["ok", "unknown_tool"]);
            assert_eq!(world.tools(), ["peer__added"]);
        }
    });
}
