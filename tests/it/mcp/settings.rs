//! Servers as they are set, through the binary.

use crate::support::cli::Place;

#[test]
fn what_a_server_is_told_in_confidence_is_in_no_line_about_it() {
    let place = Place::new().variable("TOKEN", "tok-very-secret").file(
        "config.toml",
        "tools = []\n[[mcp]]\nname = \"shy\"\ncommand = \"sh\"\n\
         args = [\"-c\", \"echo refused $0 >&2; exit 7\", \"${TOKEN}\"]\n\
         [[mcp]]\nname = \"lost\"\ncommand = \"/nowhere/${env:TOKEN}\"\n",
    );
    let ended = place.run(&["-vv", "tools", "list"]).with(0);
    assert!(ended.stderr.contains("refused [secret]"), "{ended:#?}");
    assert!(!format!("{ended:?}").contains("very-secret"), "{ended:#?}");
    let ended = place.run(&["tools", "health"]).with(1);
    let words = "shy 0 resting";
    let row = ended.stdout.lines().find(|line| line.starts_with("shy")).unwrap_or_default();
    let row = row.split_whitespace().collect::<Vec<_>>().join(" ");
    assert!(row.starts_with(words) && row.contains("last failure: "), "{row}");
    assert!(!format!("{ended:?}").contains("very-secret"), "{ended:#?}");
    let ended = place.run(&["doctor"]);
    assert!(!format!("{ended:?}").contains("very-secret"), "{ended:#?}");
}

#[test]
fn a_server_that_cannot_be_had_is_told_in_a_line_and_the_tools_go_on() {
    let mcp = r#"{"mcpServers": {"a": {"command": "x", "env": {"K": "${NONE}"}}, "b": {"type": "sse"},
        "c": {"command": "no-such-program"}}}"#;
    let place = Place::new()
        .file("config.toml", "mcp_config = \"servers.json\"\n[model]\nprovider = \"offline\"\n")
        .file("servers.json", mcp);
    let ended = place.run(&["tools", "list", "--json"]).with(0);
    assert_eq!(ended.json().as_array().map(Vec::len), Some(3), "the demo tools");
    for line in [
        "the MCP server `a` is left out: it needs the environment variable `NONE`, which is not set",
        "the MCP server `b` is left out: it speaks SSE",
        "the MCP server `c` is not there: it did not start: `no-such-program` cannot be started",
    ] {
        assert_eq!(ended.stderr.matches(line).count(), 1, "{line}: {ended:#?}");
    }
    let ended = place.run(&["config", "check"]);
    assert_eq!(ended.code, Some(2), "{ended:#?}");
}

#[test]
fn a_server_that_did_not_start_is_waited_for_once() {
    let place = Place::new().file(
        "config.toml",
        "[model]\nprovider = \"offline\"\n\
         [[mcp]]\nname = \"lazy\"\ncommand = \"sleep\"\nargs = [\"600\"]\nstart_wait_ms = 100\n",
    );
    let waited = "the MCP server `lazy` is still starting: its tools come later";
    let ended = place.run(&["ask", "hello"]).with(0);
    assert_eq!(ended.stderr.matches(waited).count(), 1, "{ended:#?}");
    let not = "the MCP server `lazy` did not start the last time and is not waited for";
    for _ in 0..2 {
        let ended = place.run(&["ask", "hello"]).with(0);
        assert_eq!(ended.stderr.matches(not).count(), 1, "{ended:#?}");
    }
}
