//! The person at the terminal who approves calls; and what happens where there is none.

use crate::support::cli::Place;
use crate::support::terminal::Terminal;

const WEATHER: &str = "What's the weather in Tokyo?";
const BOTH: &str = "What's the weather in Tokyo, and what's AAPL's stock price?";
const QUESTION: &str = "run it? [y]es, [n]o, [e]dit: ";

/// A place whose tools need approval as is said.
fn place(weather: &str, price: &str) -> Place {
    let tool = |name: &str, approval: &str| {
        format!(
            "[[tools]]\nname = \"{name}\"\nkind = \"demo\"\neffects = \"none\"\napproval = \"{approval}\"\n"
        )
    };
    let tools = tool("get_weather", weather) + &tool("get_stock_price", price);
    Place::new().file("config.toml", &tools)
}

#[test]
fn a_call_is_shown_and_runs_when_it_is_approved() {
    let place = place("always", "never");
    let mut terminal = Terminal::start(&place, &["ask", BOTH]);
    let shown = terminal.wait_for(QUESTION);
    assert!(shown.contains("get_weather waits for your approval · effects none"), "{shown}");
    assert!(shown.contains("{\r\n    \"city\": \"Tokyo\"\r\n  }"), "{shown:?}");
    terminal.types("what?\n");
    terminal.wait_for(QUESTION);
    terminal.types("y\n");
    let (code, shown) = terminal.ends();
    assert_eq!(code, Some(0), "{shown}");
    assert!(shown.contains("temp_f 71") && shown.contains("198.5"), "{shown}");
    assert!(shown.contains("┄ waiting for a person"), "{shown}");
}

#[test]
fn a_call_that_is_not_approved_is_answered_and_the_next_is_asked_about() {
    let place = place("always", "always");
    let mut terminal = Terminal::start(&place, &["ask", BOTH, "--session", "s"]);
    let first = terminal.wait_for(QUESTION);
    terminal.types("n not today\n");
    let second = terminal.wait_for(QUESTION);
    assert!(
        first.contains("get_weather waits") && second.contains("get_stock_price waits"),
        "{first}{second}"
    );
    assert!(!first.contains("get_stock_price waits"), "one after the other: {first}");
    terminal.types("yes\n");
    let (code, shown) = terminal.ends();
    assert_eq!(code, Some(0), "{shown}");
    let document = place.run(&["sessions", "show", "s", "--json"]).with(0).json();
    let calls = &document["rounds"][0]["calls"];
    assert_eq!((&calls[0]["outcome"], &calls[1]["outcome"]), (&"denied".into(), &"ok".into()));
    assert!(
        calls[0]["result"].as_str().unwrap_or_default().ends_with("not run: not today"),
        "{calls}"
    );
}

#[test]
fn an_approval_once_per_session_is_asked_for_once_in_a_conversation() {
    let place = place("once_per_session", "never");
    let mut terminal = Terminal::start(&place, &["chat"]);
    terminal.wait_for("> ");
    terminal.types(&format!("{WEATHER}\r"));
    let shown = terminal.wait_for("[e]dit this one: ");
    assert!(shown.contains("and all later calls of it in this session?"), "{shown}");
    terminal.types("a\n");
    terminal.wait_for("temp_f 71");
    terminal.wait_for("> ");
    terminal.types("What's the weather in Paris?\r");
    let shown = terminal.wait_for("(city Paris)");
    assert!(!shown.contains("waits for your approval"), "{shown}");
    terminal.wait_for("> ");
    terminal.types("\u{4}");
    assert_eq!(terminal.ends().0, Some(0));
}

#[test]
fn arguments_are_edited_in_place_until_they_fit() {
    let place = place("always", "never");
    let mut terminal = Terminal::start(&place, &["ask", WEATHER]);
    terminal.wait_for(QUESTION);
    terminal.types("e\n");
    terminal.wait_for(r#"arguments: {"city": "Tokyo"}"#);
    terminal.types("\u{15}{\"city\": 7}\r");
    terminal.wait_for("the arguments do not fit: ");
    terminal.wait_for(r#"arguments: {"city": 7}"#);
    terminal.types("\u{8}\u{8}\"Paris\"}\r");
    let (code, shown) = terminal.ends();
    assert_eq!(code, Some(0), "{shown}");
    assert!(shown.contains(r#"✓ get_weather  {"city": "Paris"}"#), "{shown}");
    assert!(shown.contains("a person changed the arguments of this call"), "{shown}");
}

#[test]
fn an_interrupt_at_the_question_and_in_the_editor_cancels_the_turn() {
    let place = place("always", "never");
    let mut terminal = Terminal::start(&place, &["ask", WEATHER]);
    terminal.wait_for(QUESTION);
    terminal.types("\u{3}");
    let (code, shown) = terminal.ends();
    assert_eq!(code, Some(130), "{shown}");
    assert!(shown.contains("interrupted"), "{shown}");

    let mut terminal = Terminal::start(&place, &["ask", WEATHER]);
    terminal.wait_for(QUESTION);
    terminal.types("e\n");
    terminal.wait_for("arguments: ");
    terminal.types("\u{3}");
    assert_eq!(terminal.ends().0, Some(130));
}

#[test]
fn off_a_terminal_a_call_is_denied_unless_its_tool_is_approved() {
    let place = place("always", "never");
    let ended = place.run(&["ask", BOTH, "--json"]).with(0);
    let calls = &ended.json()["rounds"][0]["calls"];
    assert_eq!((&calls[0]["outcome"], &calls[1]["outcome"]), (&"denied".into(), &"ok".into()));
    assert_eq!(calls[0]["error"]["code"], "not_approved");
    assert_eq!(ended.stderr.matches("--approve get_weather approves it").count(), 1, "{ended:#?}");
    let ended = place.run(&["ask", BOTH, "--approve", "get_news,get_weather"]).with(0);
    assert!(ended.stdout.contains("temp_f 71"), "{ended:#?}");
    assert!(ended.stderr.contains("--approve get_news: there is no such tool"), "{ended:#?}");
    let ended = place.run_with(WEATHER, &["chat", "--json"]).with(0);
    assert_eq!(ended.json()["rounds"][0]["calls"][0]["outcome"], "denied");
    let ended = place.run(&["compare", WEATHER, "--approve", "get_weather", "--json"]).with(0);
    assert_eq!(ended.json()["calls"], 1);
    let ended = place.run(&["tools", "call", "get_weather", r#"{"city": "Tokyo"}"#]).with(0);
    assert!(ended.stdout.contains("71"), "whoever types it approves of it: {ended:#?}");
    let events = place.run(&["ask", WEATHER, "--output", "jsonl"]).with(0).json_lines();
    let decided = events.iter().find(|event| event["type"] == "approval_decided");
    assert_eq!(decided.expect("it is an event")["decision"], "denied");
}

#[test]
fn a_turn_that_waits_outlives_its_process() {
    let place = place("always", "never");
    let mut terminal = Terminal::start(&place, &["ask", WEATHER, "--session", "s"]);
    terminal.wait_for(QUESTION);
    terminal.hang_up();
    let plan = place.run(&["sessions", "resume", "s", "--plan"]).with(0);
    assert!(plan.stdout.contains("get_weather waits for approval: is asked about"), "{plan:#?}");
    let shown = place.run(&["sessions", "show", "s"]).with(0);
    assert!(shown.stdout.contains("waits for approval"), "{shown:#?}");
    let mut terminal = Terminal::start(&place, &["sessions", "resume", "s"]);
    let shown = terminal.wait_for(QUESTION);
    assert!(shown.contains("\"city\": \"Tokyo\""), "{shown}");
    terminal.types("y\n");
    let (code, shown) = terminal.ends();
    assert_eq!(code, Some(0), "{shown}");
    assert!(shown.contains("temp_f 71"), "{shown}");
}
