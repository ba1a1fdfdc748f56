//! `bench` as a person types it: what it counts adds up, and what it checks decides how it ends.

use std::io::{BufRead, BufReader};
use std::process::Command;

use serde_json::{Value, json};

use crate::support::cli::{Ended, MockModel, Place, names, nobody};

/// The three demo tools; each call takes a millisecond.
const TOOLS: &str = r#"
[[tools]]
name = "get_weather"
kind = "demo"
effects = "none"
simulate = { latency_ms = 1 }
[[tools]]
name = "get_stock_price"
kind = "demo"
effects = "none"
simulate = { latency_ms = 1 }
[[tools]]
name = "get_news_headlines"
kind = "demo"
effects = "none"
simulate = { latency_ms = 1 }
"#;

/// One tool for each fault, and a short time for the one that hangs. All rates are certainties, so
/// that the counts are known.
const FAULTS: &str = r#"
[supervision]
backoff_min_ms = 1
backoff_max_ms = 1
[[tools]]
name = "get_weather"
kind = "demo"
effects = "none"
simulate = { latency_ms = 1, error_rate = 1.0 }
[[tools]]
name = "get_stock_price"
kind = "demo"
effects = "none"
simulate = { latency_ms = 1, panic_rate = 1.0 }
[[tools]]
name = "get_news_headlines"
kind = "demo"
effects = "none"
time_limit_ms = 50
simulate = { latency_ms = 1, hang_rate = 1.0 }
"#;

/// 5 sessions with 2 questions each.
const SMALL: [&str; 6] = ["bench", "--json", "--sessions", "5", "--questions", "2"];

/// The arguments of a small load, and `more`.
fn small<'a>(more: &[&'a str]) -> Vec<&'a str> {
    [&SMALL[..], more].concat()
}

fn sum(counts: &Value) -> u64 {
    counts.as_object().expect("counts").values().filter_map(Value::as_u64).sum()
}

#[test]
fn a_small_load_on_the_stand_in_is_answered_and_sound() {
    let ended = Place::new().file("config.toml", TOOLS).run(&small(&[])).with(0);
    assert!(ended.stderr.starts_with("offline: ") && ended.stderr.lines().count() == 1);
    let document = ended.json();
    let count = |name: &str| document[name].as_u64().expect("a count");
    assert_eq!([count("asked"), count("answered"), sum(&document["failed"])], [10, 10, 0]);
    assert_eq!([count("rounds"), count("calls"), count("restarts")], [10, 30, 0]);
    assert_eq!(document["outcomes"], json!({"ok": 30}));
    assert_eq!([count("broken_histories"), count("unaccounted_calls")], [0, 0]);
    let time = |name: &str| document[name].as_f64().expect("a time");
    assert!(time("round_wall_p50_ms") >= 1.0, "{document}");
    assert!(time("question_p50_ms") >= time("round_wall_p50_ms"), "{document}");
    assert!(time("question_p50_ms") <= time("question_p99_ms"), "{document}");
    assert!(time("question_p99_ms") <= time("question_max_ms"), "{document}");
    assert!(time("question_max_ms") <= time("wall_ms"), "{document}");
    assert!(time("rounds_per_s") > 0.0, "{document}");
    assert_eq!(document["cpu_includes_stand_in"], true);
    assert_eq!(document["peak_memory_kib"].is_u64(), cfg!(target_os = "linux"), "{document}");
}

#[test]
fn the_document_has_the_fields_that_were_promised_in_their_order() {
    let ended = Place::new().file("config.toml", TOOLS).run(&small(&[])).with(0);
    let expected = "model arbiters sessions questions interrupted asked answered failed rounds \
        rounds_per_s calls outcomes question_p50_ms question_p99_ms question_max_ms \
        round_wall_p50_ms round_wall_p99_ms restarts cpu_per_round_ms cpu_includes_stand_in \
        peak_memory_kib wall_ms broken_histories unaccounted_calls tools";
    assert_eq!(names(ended.stdout.trim_end()).join(" "), expected);
}

#[test]
fn every_call_is_accounted_for_however_tools_fail() {
    let document = Place::new().file("config.toml", FAULTS).run(&small(&[])).with(0).json();
    let expected = json!({"panicked": 10, "timed_out": 10, "tool_error": 10});
    assert_eq!(document["outcomes"], expected);
    assert_eq!((&document["answered"], &document["calls"]), (&json!(10), &json!(30)));
    assert_eq!(document["restarts"], 10);
    assert_eq!(document["unaccounted_calls"], 0);
    assert_eq!(document["broken_histories"], 0);
    assert!(document["round_wall_p50_ms"].as_f64() >= Some(50.0), "{document}");
    let tools = document["tools"].as_array().expect("tools");
    let restarts: Vec<_> = tools.iter().map(|tool| tool["restarts"].as_u64()).collect();
    assert_eq!(restarts, [Some(0), Some(10), Some(0)]);
    assert_eq!(document["tools"][1]["tool"], "get_stock_price");
    assert_eq!(document["tools"][1]["last_failure"], "tool panicked: simulated panic");
}

#[test]
fn faults_at_random_add_up() {
    let mut set = Vec::new();
    for tool in 0..3 {
        for fault in ["error_rate=0.2", "panic_rate=0.1", "hang_rate=0.1"] {
            set.extend(["--set".to_owned(), format!("tools[{tool}].simulate.{fault}")]);
        }
        set.extend(["--set".to_owned(), format!("tools[{tool}].time_limit_ms=100")]);
    }
    let set: Vec<_> = set.iter().map(String::as_str).collect();
    let document = Place::new().file("config.toml", TOOLS).run(&small(&set)).with(0).json();
    assert_eq!((&document["asked"], &document["answered"]), (&json!(10), &json!(10)));
    assert_eq!(sum(&document["outcomes"]), 30, "{document}");
    let panicked = document["outcomes"]["panicked"].as_u64().unwrap_or_default();
    assert_eq!(document["restarts"], panicked, "{document}");
    assert_eq!((&document["calls"], &document["unaccounted_calls"]), (&json!(30), &json!(0)));
}

#[test]
fn only_the_tools_and_the_question_that_were_named_are_used() {
    let more = ["--tools", "get_weather", "--prompt", "What's the weather in Tokyo?"];
    let document = Place::new().file("config.toml", TOOLS).run(&small(&more)).with(0).json();
    assert_eq!((&document["calls"], &document["outcomes"]), (&json!(10), &json!({"ok": 10})));
}

#[test]
fn a_history_that_is_refused_makes_the_command_fail() {
    let script = r#"
        [[reply]]
        calls = [{ name = "get_weather", arguments = { city = "Tokyo" } }]
        [[reply]]
        status = 400
        body = '{"error": {"message": "a call has no result"}}'
    "#;
    let place = Place::new().file("config.toml", TOOLS).file("script.toml", script);
    let server = MockModel::start(&place, Some("script.toml"));
    let arguments = ["bench", "--json", "--sessions", "1", "--questions", "2"];
    let choice = ["--set", &server.setting(), "--model", "some/model"];
    let document = place.run(&[&arguments[..], &choice].concat()).with(1).json();
    assert_eq!(document["failed"], json!({"request_refused": 2}));
    assert_eq!((&document["asked"], &document["answered"]), (&json!(2), &json!(0)));
    assert_eq!((&document["broken_histories"], &document["calls"]), (&json!(2), &json!(1)));
    assert_eq!(document["unaccounted_calls"], 0);
    assert_eq!(
        (&document["model"], &document["cpu_includes_stand_in"]),
        (&json!("some/model"), &json!(false))
    );
}

#[test]
fn questions_that_fail_for_other_reasons_are_listed_and_no_more() {
    let nobody = format!("model.base_url={}", nobody());
    let ended = Place::new().run(&small(&["--set", &nobody])).with(0);
    let document = ended.json();
    assert_eq!(document["failed"], json!({"endpoint_unreachable": 10}));
    assert_eq!((&document["asked"], &document["answered"]), (&json!(10), &json!(0)));
    for name in ["question_p50_ms", "round_wall_p50_ms", "cpu_per_round_ms"] {
        assert!(document[name].is_null(), "{name}: {document}");
    }
}

#[test]
fn a_person_gets_a_table() {
    let arguments = ["bench", "--sessions", "2", "--questions", "1"];
    let ended = Place::new().file("config.toml", TOOLS).run(&arguments).with(0);
    let line = |name: &str| {
        let line = ended.stdout.lines().find(|line| line.starts_with(name)).expect("a line");
        line.split_once("  ").map(|(_, value)| value.trim()).expect("a value")
    };
    assert_eq!(line("questions"), "2 asked, 2 answered, 0 failed");
    assert_eq!((line("calls"), line("restarts")), ("6", "0"));
    assert_eq!((line("broken histories"), line("unaccounted calls")), ("0", "0"));
    assert!(!ended.stdout.contains("tools"), "they were in no trouble: {ended:#?}");
    let ended = Place::new().file("config.toml", FAULTS).run(&arguments).with(0);
    let expected = "\ntools                 3
  get_weather         closed, 0 restarts, 0 withdrawals
  get_stock_price     closed, 2 restarts, 0 withdrawals, last failure: tool panicked: simulated panic
  get_news_headlines  closed, 0 restarts, 0 withdrawals\n";
    assert!(ended.stdout.ends_with(expected), "{ended:#?}");
}

#[test]
fn two_hundred_sessions_at_once_are_answered() {
    let arguments = ["bench", "--json", "--sessions", "200", "--questions", "1"];
    let document = Place::new().file("config.toml", TOOLS).run(&arguments).with(0).json();
    assert_eq!((&document["answered"], &document["failed"]), (&json!(200), &json!({})));
    assert_eq!((&document["calls"], &document["unaccounted_calls"]), (&json!(600), &json!(0)));
}

#[cfg(target_os = "linux")]
#[test]
fn more_sessions_than_the_process_may_have_files_are_refused() {
    let arguments = ["bench", "--sessions", "100", "--questions", "1"];
    let place = Place::new();
    let command = place.command(&arguments);
    let mut limited = Command::new("sh");
    limited.args(["-c", "ulimit -n 100 && exec \"$0\" \"$@\""]).arg(command.get_program());
    let directory = command.get_current_dir().expect("it has one");
    limited.args(command.get_args()).current_dir(directory).env_clear();
    let output = limited.output().expect("a shell");
    let ended = Ended::of(output);
    ended.complains(2, &["100 sessions need 264 open files and the limit is 100"]);
}

#[test]
fn what_makes_no_sense_is_a_matter_of_usage() {
    let place = Place::new();
    place.run(&["bench"]).with(2);
    place.run(&["bench", "--sessions", "0", "--questions", "1"]).with(2);
    place.run(&["bench", "--sessions", "1", "--questions", "0"]).with(2);
    let blank = ["bench", "--sessions", "1", "--questions", "1", "--prompt", " "];
    place.run(&blank).complains(2, &["the question is empty"]);
    let unknown = ["bench", "--sessions", "1", "--questions", "1", "--tools", "get_wether"];
    place.run(&unknown).complains(2, &["`get_wether`"]);
}

#[cfg(unix)]
#[test]
fn an_interrupt_stops_the_asking_and_what_was_done_is_reported() {
    // The first question of each session hangs until it is cancelled; the second is never asked.
    let hang = ["--set", "tools[0].simulate.hang_rate=1"];
    let place = Place::new().file("config.toml", TOOLS);
    let server = MockModel::start(&place, None);
    let setting = server.setting();
    let log = ["-vv", "--set", &setting];
    let mut child = place.command(&small(&[&hang[..], &log].concat())).spawn().unwrap();
    let lines = BufReader::new(child.stderr.take().unwrap()).lines();
    // Once all fast calls have ended, the hanging ones are under way.
    let mut ended = lines.map(Result::unwrap).filter(|line| line.contains("call ended"));
    assert_eq!(ended.by_ref().take(10).count(), 10);
    let mut kill = Command::new("sh");
    kill.args(["-c", "kill -INT \"$0\"", &child.id().to_string()]);
    assert!(kill.status().unwrap().success());
    assert_eq!(ended.count(), 5, "the calls that were cancelled");
    let ended = Ended::of(child.wait_with_output().unwrap()).with(130);
    let document = ended.json();
    assert_eq!((&document["interrupted"], &document["asked"]), (&json!(true), &json!(5)));
    assert_eq!(document["failed"], json!({"cancelled": 5}));
    assert_eq!(document["outcomes"], json!({"cancelled": 5, "ok": 10}));
    assert_eq!(document["unaccounted_calls"], 0);
}
