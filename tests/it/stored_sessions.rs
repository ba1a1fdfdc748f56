//! Sessions that outlive their process, as a person uses them: the real binary on a store of its own.

use std::io::{BufRead, BufReader};
use std::process::{Child, ChildStderr};

use serde_json::{Value, json};

use crate::support::cli::{Ended, Place, ends_soon, signal};

const WEATHER: &str = "What's the weather in Tokyo?";
const BOTH: &str = "What's the weather in Tokyo, and what's AAPL's stock price?";

/// Never ends by itself.
const SLOW: &str = "tools[1].simulate.hang_rate=1";
const LONG: &str = "tools[1].time_limit_ms=60000";

/// A place whose tools are as fast as they go.
fn place() -> Place {
    let tools = ["get_weather", "get_stock_price"]
        .map(|name| format!("[[tools]]\nname = \"{name}\"\nkind = \"demo\"\neffects = \"none\"\n"));
    Place::new().file("config.toml", &tools.concat())
}

/// Asks in the session `id`.
fn ask(place: &Place, id: &str, prompt: &str) -> Value {
    place.run(&["ask", "--json", "--session", id, prompt]).with(0).json()
}

/// What the list says, the last active session first.
fn listed(place: &Place) -> Vec<Value> {
    let list = place.run(&["sessions", "list", "--json"]).with(0).json();
    list["sessions"].as_array().expect("a list").clone()
}

fn show(place: &Place, id: &str) -> Value {
    place.run(&["sessions", "show", id, "--json"]).with(0).json()
}

/// The events of the session on record.
fn events(place: &Place, id: &str) -> Vec<Value> {
    place.run(&["sessions", "export", id]).with(0).json_lines()
}

/// A question in the session `id` in the middle of its round: one call has ended, one hangs.
fn hanging(place: &Place, id: &str) -> (Child, BufReader<ChildStderr>) {
    let arguments = ["ask", "-vv", "--session", id, BOTH, "--set", SLOW, "--set", LONG];
    let mut child = place.command(&arguments).spawn().expect("the binary runs");
    let mut stderr = BufReader::new(child.stderr.take().expect("standard error is a pipe"));
    let (mut started, mut ended, mut replied) = (0, 0, 0);
    // Calls may begin, and end, while the model still writes.
    while started < 2 || ended < 1 || replied < 1 {
        let mut line = String::new();
        assert_ne!(stderr.read_line(&mut line).expect("text"), 0, "the round never comes so far");
        started += line.matches("call started").count();
        ended += line.matches("call ended").count();
        replied += line.matches("replied calls=").count();
    }
    (child, stderr)
}

/// Kills a question in the middle of its round.
fn cut(place: &Place, id: &str) {
    let (child, _stderr) = hanging(place, id);
    signal(&child, "KILL");
    assert_eq!(ends_soon(child).code, None, "it was killed");
}

#[test]
fn a_session_goes_on_in_another_process() {
    let place = place();
    let first = place.run(&["ask", WEATHER]).with(0);
    let said = first.stderr.lines().last().expect("a last line");
    let (said, typed) =
        said.split_once("; to go on: callsheet ask --session ").expect("how to go on");
    assert_eq!(said, format!("session {typed}"));
    let second = place.run(&["ask", "--json", "--last", "What's AAPL's stock price?"]).with(0);
    assert_eq!(second.stderr.matches("to go on").count(), 0, "it is a field of the document");
    assert_eq!(
        (&second.json()["session"], &second.json()["rounds"][0]["round"]),
        (&json!(typed), &json!(2))
    );
    let third = place.run(&["ask", "-q", "--session", typed, WEATHER]).with(0);
    assert_eq!(third.stderr, "");
    let document = show(&place, typed);
    let prompts: Vec<_> =
        document["turns"].as_array().unwrap().iter().map(|turn| &turn["prompt"]).collect();
    assert_eq!(prompts, [WEATHER, "What's AAPL's stock price?", WEATHER]);
    assert_eq!((&document["state"], &document["title"]), (&json!("idle"), &json!(WEATHER)));
}

#[test]
fn a_command_closes_its_store_before_it_ends() {
    let place = place();
    for id in ["one", "two", "three"] {
        ask(&place, id, WEATHER);
        // The last one who closes the file writes its log back.
        assert!(!place.path("data/callsheet/callsheet.db-wal").exists(), "{id} was not closed");
    }
    place.run_with(WEATHER, &["chat", "--last"]).with(0);
    assert!(!place.path("data/callsheet/callsheet.db-wal").exists(), "of chat");
}

#[test]
fn chat_goes_on_with_a_session_as_well() {
    let place = place();
    ask(&place, "trip", WEATHER);
    let ended = place.run_with("/timing\n/retry\n", &["chat", "--last"]).with(0);
    assert!(ended.stderr.contains("session trip, 1 turn so far"), "{ended:#?}");
    assert!(ended.stderr.contains("\nround 1: 1 call"), "{ended:#?}");
    assert!(
        ended.stderr.contains("session trip; to go on: callsheet chat --session trip\n"),
        "{ended:#?}"
    );
    assert_eq!(show(&place, "trip")["turns"][1]["prompt"], WEATHER);
}

#[test]
fn a_turn_that_was_killed_is_resumed_and_its_finished_calls_do_not_run_again() {
    let place = place();
    cut(&place, "trip");
    let [listed] = &listed(&place)[..] else { panic!("one session") };
    assert_eq!(
        (&listed["state"], &listed["turns"], &listed["owner"]),
        (&json!("cut"), &json!(1), &json!(null))
    );
    let document = show(&place, "trip");
    let calls = &document["rounds"][0]["calls"];
    assert_eq!((&calls[0]["outcome"], &calls[1]["outcome"]), (&json!("ok"), &json!(null)));
    assert_eq!((&document["answer"], &document["state"]), (&json!(null), &json!("cut")));

    let before = events(&place, "trip");
    let plan = place.run(&["sessions", "resume", "trip", "--plan"]).with(0);
    assert!(plan.stdout.contains("get_weather has ended: its result is used\n"), "{plan:#?}");
    assert!(plan.stdout.contains("get_stock_price had begun: runs again"), "{plan:#?}");
    let plan = place.run(&["sessions", "resume", "trip", "--plan", "--json"]).with(0).json();
    assert_eq!(
        (&plan["calls"][0]["fate"], &plan["calls"][1]["fate"]),
        (&json!("reuse"), &json!("run_again"))
    );
    assert_eq!(events(&place, "trip"), before, "a plan does nothing");

    let resumed = place.run(&["sessions", "resume", "trip"]).with(0);
    assert!(resumed.stdout.contains("198.5") && resumed.stdout.contains("Clear"), "{resumed:#?}");
    assert!(resumed.stderr.contains("get_weather has ended: its result is used\n"), "{resumed:#?}");
    assert!(resumed.stderr.contains("\nround 1: 2 calls"), "{resumed:#?}");
    let started = |tool: &str| {
        let events = events(&place, "trip");
        let is_start = |event: &&Value| event["type"] == "call_started" && event["tool"] == tool;
        events.iter().filter(is_start).count()
    };
    assert_eq!((started("get_weather"), started("get_stock_price")), (1, 2));

    let again = place.run(&["sessions", "resume", "trip"]).with(0);
    assert_eq!(again.stdout, resumed.stdout, "the last answer");
    let document = place.run(&["sessions", "resume", "trip", "--json"]).with(0).json();
    assert_eq!(document["answer"].as_str(), Some(resumed.stdout.trim_end()));
    assert_eq!(document["rounds"][0]["calls"].as_array().map(Vec::len), Some(2));
    let lines =
        place.run(&["sessions", "resume", "trip", "--output", "jsonl"]).with(0).json_lines();
    assert_eq!(lines.last().map(|event| &event["type"]), Some(&json!("turn_ended")));
}

#[test]
fn chat_offers_to_go_on_with_a_turn_that_was_cut() {
    let place = place();
    cut(&place, "trip");
    let ended = place.run_with("/retry\n", &["chat", "--session", "trip"]).with(0);
    assert!(ended.stderr.contains("its last turn was cut: /retry goes on with it"), "{ended:#?}");
    assert!(ended.stdout.contains("198.5") && ended.stdout.contains("Clear"), "{ended:#?}");
    let document = show(&place, "trip");
    assert_eq!(
        (document["turns"].as_array().map(Vec::len), &document["state"]),
        (Some(1), &json!("idle"))
    );
}

#[test]
fn a_session_that_another_process_has_is_busy_until_it_is_taken_over() {
    let place = place();
    let (child, _stderr) = hanging(&place, "trip");
    let pid = format!("process {}", child.id());
    let [listed] = &listed(&place)[..] else { panic!("one session") };
    assert_eq!(
        (&listed["state"], &listed["owner"]["pid"]),
        (&json!("running"), &json!(child.id()))
    );
    let busy = |arguments: &[&str]| {
        let ended = place.run(arguments).complains(1, &["session `trip` is open in", &pid]);
        assert!(ended.stderr.contains("--take-over"), "{ended:#?}");
        assert!(!ended.stderr.contains("to go on"), "{ended:#?}");
    };
    busy(&["ask", "--session", "trip", WEATHER]);
    busy(&["chat", "--session", "trip"]);
    busy(&["sessions", "resume", "trip"]);
    busy(&["sessions", "rm", "trip"]);
    let taken = place.run(&["sessions", "resume", "trip", "--take-over"]).with(0);
    assert!(taken.stdout.contains("198.5"), "{taken:#?}");
    signal(&child, "KILL");
    ends_soon(child);
    assert_eq!(show(&place, "trip")["state"], "idle");
}

#[test]
fn a_session_that_is_not_there_is_named() {
    let place = place();
    for arguments in [
        &["sessions", "show", "nobody"][..],
        &["sessions", "resume", "nobody"],
        &["sessions", "fork", "nobody"],
        &["sessions", "export", "nobody"],
        &["sessions", "rm", "nobody"],
    ] {
        place.run(arguments).complains(2, &["no such session: `nobody`"]);
    }
    place.run(&["ask", "--last", WEATHER]).complains(2, &["no session is stored yet"]);
    place.run(&["ask", "--take-over", WEATHER]).with(2);
    place.run(&["ask", "--last", "--session", "trip", WEATHER]).with(2);
    assert!(listed(&place).is_empty());
    assert_eq!(place.run(&["sessions", "list"]).with(0).stdout, "");
}

#[test]
fn a_copy_goes_its_own_way() {
    let place = place();
    ask(&place, "trip", WEATHER);
    ask(&place, "trip", "What's AAPL's stock price?");
    let copy = place.run(&["sessions", "fork", "trip", "--at-turn", "1"]).with(0);
    let copy = copy.stdout.trim_end();
    assert_eq!(show(&place, copy)["turns"].as_array().map(Vec::len), Some(1));
    ask(&place, copy, WEATHER);
    assert_eq!(show(&place, "trip")["turns"].as_array().map(Vec::len), Some(2));
    assert_eq!(listed(&place)[0]["forked_from"], "trip");
    place.run(&["sessions", "fork", "trip", "--at-turn", "3"]).complains(2, &["no turn 3"]);
    place.run(&["sessions", "fork", "trip", "--id", copy]).complains(2, &["already"]);
    let named = place.run(&["sessions", "fork", "trip", "--id", "other", "--json"]).with(0);
    assert_eq!(named.json(), json!({"session": "other", "forked_from": "trip"}));
    cut(&place, "open");
    place.run(&["sessions", "fork", "open"]).complains(2, &["no turn that has ended"]);
}

#[test]
fn a_session_is_written_as_events_as_text_and_as_a_trace() {
    let place = place();
    ask(&place, "trip", BOTH);
    let lines = events(&place, "trip");
    assert_eq!((&lines[0]["type"], &lines[0]["seq"]), (&json!("session_opened"), &json!(1)));
    let markdown = place.run(&["sessions", "export", "trip", "--format", "markdown"]).with(0);
    assert!(markdown.stdout.starts_with(&format!("# {BOTH}\n")), "{markdown:#?}");
    let trace = ["sessions", "export", "trip", "--format", "chrome-trace", "-o", "trace.json"];
    let written = place.run(&[&trace[..], &["--json"]].concat()).with(0).json();
    let text = place.read("trace.json");
    assert_eq!((&written["file"], &written["bytes"]), (&json!("trace.json"), &json!(text.len())));
    let trace: Value = serde_json::from_str(&text).expect("JSON");
    let events = trace["traceEvents"].as_array().expect("events");
    let lanes = events.iter().filter(|event| event["cat"] == "call").map(|event| &event["tid"]);
    assert_eq!(lanes.collect::<Vec<_>>(), [1, 2]);
    let nowhere = ["sessions", "export", "trip", "-o", "no/such/place"];
    place.run(&nowhere).complains(1, &["cannot write no/such/place"]);
}

#[test]
fn a_session_is_shown_with_where_its_time_went() {
    let place = place();
    ask(&place, "trip", BOTH);
    let shown = place.run(&["sessions", "show", "trip"]).with(0);
    assert!(shown.stdout.starts_with("session trip\nidle, 1 turn, "), "{shown:#?}");
    assert!(shown.stdout.contains(&format!("\n> {BOTH}\n  ✓ get_weather ")), "{shown:#?}");
    assert_eq!(shown.stderr, "");
    let timing = place.run(&["sessions", "show", "trip", "--timing"]).with(0);
    assert!(timing.stdout.contains("\nround 1: 2 calls, parallel, model "), "{timing:#?}");
}

#[test]
fn sessions_are_listed_page_by_page() {
    let place = place();
    for id in ["one", "two", "three"] {
        ask(&place, id, WEATHER);
    }
    let page = |more: &[&str]| {
        let list = [&["sessions", "list", "--json", "--limit", "2"][..], more].concat();
        let page = place.run(&list).with(0).json();
        let ids =
            page["sessions"].as_array().unwrap().iter().map(|session| session["session"].clone());
        (ids.collect::<Vec<_>>(), page["next"].clone())
    };
    let (first, next) = page(&[]);
    assert_eq!(first, ["three", "two"]);
    let (second, end) = page(&["--after", next.as_str().expect("a place")]);
    assert_eq!((second, end), (vec![json!("one")], json!(null)));
    place.run(&["sessions", "list", "--after", "x"]).complains(2, &["`x` is no place"]);
    let table = place.run(&["sessions", "list", "--limit", "1"]).with(0);
    let lines: Vec<_> = table.stdout.lines().collect();
    assert!(lines.len() == 2 && lines[1].starts_with("three    idle       1  "), "{table:#?}");
    assert!(table.stderr.starts_with("there are more: --after "), "{table:#?}");
    let open = place.run(&["sessions", "list", "--open", "--json"]).with(0).json();
    assert_eq!(open["sessions"], json!([]));
    let lines = place.run(&["sessions", "list", "--output", "jsonl"]).with(0).json_lines();
    assert_eq!(lines.len(), 3);
}

#[test]
fn sessions_are_removed_by_name_and_by_age() {
    let place = place();
    for id in ["one", "two", "three"] {
        ask(&place, id, WEATHER);
    }
    let removed = place.run(&["sessions", "rm", "one", "two", "--json"]).with(0).json();
    assert_eq!(removed, json!({"removed": ["one", "two"]}));
    let prune = |age: &str, more: &[&str]| {
        let arguments = [&["sessions", "prune", "--json", "--older-than", age][..], more].concat();
        place.run(&arguments).with(0).json()
    };
    assert_eq!(prune("1h", &[]), json!({"removed": 0}));
    assert_eq!(prune("0s", &["--dry-run"])["would_remove"][0]["session"], "three");
    assert_eq!(listed(&place).len(), 1);
    assert_eq!(prune("0s", &[]), json!({"removed": 1}));
    assert!(listed(&place).is_empty());
    place.run(&["sessions", "prune", "--older-than", "30"]).with(2);
    place.run(&["sessions", "prune"]).with(2);
}

#[test]
fn in_memory_nothing_is_kept_and_nothing_is_said_of_going_on() {
    let place = place();
    let memory = ["--set", "store.url=memory:"];
    let ended = place.run(&[&["ask", WEATHER][..], &memory].concat()).with(0);
    assert!(!ended.stderr.contains("to go on"), "{ended:#?}");
    assert!(listed(&place).is_empty());
}

#[test]
fn a_session_keeps_its_system_prompt() {
    let place = place();
    let first = ["ask", "--json", "--session", "trip", "--system", "Be brief.", WEATHER];
    place.run(&first).with(0);
    let second = ["ask", "--session", "trip", "--system", "Be long.", WEATHER];
    let ended: Ended = place.run(&second).with(0);
    assert!(ended.stderr.contains("keeps the system prompt that it began with"), "{ended:#?}");
    assert_eq!(show(&place, "trip")["system"], "Be brief.");
}
