//! `chat` off a terminal: a question a line, in one session.

use std::io::{BufRead, BufReader, Read, Write};
use std::process::{Child, ChildStderr, Stdio};

use crate::support::cli::{MockModel, Place, ends_soon, signal};

const WEATHER: &str = "What's the weather in Tokyo?";
const HANG: &str = "tools[0].simulate.hang_rate=1";
const LONG: &str = "tools[0].time_limit_ms=60000";

/// A place whose tools are as fast as they go.
fn place() -> Place {
    let tools = ["get_weather", "get_stock_price"]
        .map(|name| format!("[[tools]]\nname = \"{name}\"\nkind = \"demo\"\neffects = \"none\"\n"));
    Place::new().file("config.toml", &tools.concat())
}

#[test]
fn each_line_is_a_question_of_one_session() {
    let input = format!("{WEATHER}\n\n  \nWhat's AAPL's stock price?");
    let ended = place().run_with(&input, &["chat", "--json"]).with(0);
    let documents = ended.json_lines();
    let [weather, price] = &documents[..] else { panic!("{ended:#?}") };
    assert_eq!(weather["session"], price["session"]);
    assert_eq!(
        (&weather["rounds"][0]["round"], &price["rounds"][0]["round"]),
        (&1.into(), &2.into())
    );
    assert!(price["answer"].as_str().unwrap().contains("198.5"), "{price}");
}

#[test]
fn answers_are_on_standard_output_and_all_else_is_not() {
    let input = format!(
        "/help\n/tools\n/timing\n/retry\n{WEATHER}\n/timing\n/retry\n/nonsense\n/quit\nnever asked\n"
    );
    let ended = place().run_with(&input, &["chat"]).with(0);
    let answer = "get_weather (city Tokyo): temp_f 71, conditions Clear.\n";
    assert_eq!(ended.stdout, answer.repeat(2), "asked, and asked again");
    for words in [
        "/retry   goes on",
        "get_stock_price  demo",
        "the last turn had no rounds",
        "nothing was asked yet",
        "there is no command /nonsense",
    ] {
        assert_eq!(ended.stderr.matches(words).count(), 1, "{words}: {ended:#?}");
    }
    assert_eq!(ended.stderr.matches("\nround 1: 1 call").count(), 2, "{ended:#?}");
    assert_eq!(ended.stderr.matches("\nround 2: 1 call").count(), 1, "{ended:#?}");
}

#[test]
fn a_question_that_fails_is_told_and_the_next_one_asked() {
    let script = "[[reply]]\ntext = \"yes\"\n[[reply]]\nstatus = 500\nbody = \"no\"\n";
    let place = place().file("script.toml", script);
    let server = MockModel::start(&place, Some("script.toml"));
    let arguments = ["chat", "--set", &server.setting(), "--set", "model.retries=0"];
    let ended = place.run_with("one\ntwo\nthree\n", &arguments).with(1);
    assert_eq!(ended.stdout, "yes\n");
    assert_eq!(ended.stderr.matches("error: ").count(), 2, "{ended:#?}");
}

#[test]
fn nobody_reading_on_ends_it() {
    let place = place();
    let mut command = place.command(&["chat"]);
    let mut child = command.stdin(Stdio::piped()).spawn().expect("the binary runs");
    drop(child.stdout.take());
    let mut stdin = child.stdin.take().expect("standard input is a pipe");
    let _ = stdin.write_all(b"hello\nhello\n");
    let ended = ends_soon(child).complains(1, &["standard output was closed"]);
    drop(stdin);
    assert_eq!(ended.stdout, "");
}

/// Standard error, read up to a line that holds `words`.
fn wait_for(stderr: &mut BufReader<ChildStderr>, words: &str) {
    let mut line = String::new();
    while !line.contains(words) {
        line.clear();
        assert_ne!(stderr.read_line(&mut line).expect("text"), 0, "`{words}` is never said");
    }
}

/// A conversation in the middle of a call that hangs.
fn hanging(place: &Place) -> (Child, BufReader<ChildStderr>) {
    let mut command = place.command(&["chat", "-vv", "--set", HANG, "--set", LONG]);
    let mut child = command.stdin(Stdio::piped()).spawn().expect("the binary runs");
    let mut stderr = BufReader::new(child.stderr.take().expect("standard error is a pipe"));
    let stdin = child.stdin.as_mut().expect("standard input is a pipe");
    writeln!(stdin, "{WEATHER}").expect("it is read");
    wait_for(&mut stderr, "call started");
    (child, stderr)
}

#[test]
fn the_first_interrupt_cancels_the_turn_and_the_conversation_goes_on() {
    let place = place();
    let (mut child, mut stderr) = hanging(&place);
    signal(&child, "INT");
    wait_for(&mut stderr, "interrupted");
    let stdin = child.stdin.as_mut().expect("standard input is a pipe");
    stdin.write_all(b"What's AAPL's stock price?\n").expect("it is read");
    let ended = ends_soon(child).with(130);
    assert!(ended.stdout.contains("198.5"), "{ended:#?}");
}

#[test]
fn an_interrupt_between_turns_and_a_second_one_soon_leave() {
    let place = place();
    let (child, mut stderr) = hanging(&place);
    signal(&child, "INT");
    wait_for(&mut stderr, "interrupted");
    signal(&child, "INT");
    ends_soon(child).with(130);
}

#[test]
fn a_termination_ends_the_turn_in_good_order_and_the_process() {
    let place = place();
    let (child, mut stderr) = hanging(&place);
    signal(&child, "TERM");
    let mut rest = String::new();
    stderr.read_to_string(&mut rest).expect("text");
    ends_soon(child).with(130);
    assert!(rest.contains("end=Cancelled") && rest.contains("interrupted"), "{rest}");
}
