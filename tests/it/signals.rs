//! SIGINT and SIGTERM: an orderly end, and one at once.

use std::io::{BufRead, BufReader, Read, Write};
use std::process::{Child, Stdio};

use crate::support::cli::{Ended, MockModel, Place, ends_soon, signal};

const QUESTION: &str = "What's AAPL's stock price?";
const HANG: &str = "tools[1].simulate.hang_rate=1";

/// Reads standard error up to a line that holds `words`, and gives the rest back to be read.
fn wait_for(child: &mut Child, words: &str) -> impl BufRead + use<> {
    let mut stderr = BufReader::new(child.stderr.take().expect("standard error is a pipe"));
    let mut line = String::new();
    while !line.contains(words) {
        line.clear();
        assert_ne!(stderr.read_line(&mut line).expect("text"), 0, "`{words}` is never said");
    }
    stderr
}

/// Starts a command, sends it `name` once it has said `words`, and waits for its end.
#[track_caller]
fn interrupt(arguments: &[&str], words: &str, name: &str) -> Ended {
    let place = Place::new();
    let mut child = place.command(arguments).spawn().expect("the binary runs");
    let mut stderr = wait_for(&mut child, words);
    signal(&child, name);
    let mut ended = ends_soon(child);
    stderr.read_to_string(&mut ended.stderr).expect("text");
    ended
}

#[test]
fn either_signal_cancels_whatever_runs_calls() {
    let ask = ["ask", "-vv", QUESTION, "--set", HANG];
    let compare = ["compare", "-vv", QUESTION, "--set", HANG];
    let times = ["compare", "-vv", "--calls", "3", "--latency-ms", "3600000"];
    let call = ["tools", "-vv", "call", "get_stock_price", r#"{"ticker": "A"}"#, "--set", HANG];
    for name in ["INT", "TERM"] {
        for arguments in [&ask[..], &compare, &times, &call] {
            let ended = interrupt(arguments, "call started", name).with(130);
            assert!(ended.stderr.contains("turn ended turn=1 end=Cancelled"), "{ended:#?}");
        }
    }
}

#[test]
fn a_second_signal_ends_the_process_whatever_is_in_its_way() {
    // Nobody reads what it prints: it is stuck in the middle of its first line.
    let place = Place::new();
    let mut command = place.command(&["ask", "--output", "jsonl"]);
    let mut child = command.stdin(Stdio::piped()).spawn().expect("the binary runs");
    let mut stdin = child.stdin.take().expect("standard input is a pipe");
    stdin.write_all(&[b'a'; 400_000]).expect("it is read");
    drop(stdin);
    let mut stdout = child.stdout.take().expect("standard output is a pipe");
    stdout.read_exact(&mut [0]).expect("it has begun");
    signal(&child, "INT");
    signal(&child, "TERM");
    assert_eq!(ends_soon(child).with(130).stderr.matches("interrupted").count(), 0);
    drop(stdout);
}

#[test]
fn a_server_of_known_replies_ends_well_with_a_signal() {
    for name in ["INT", "TERM"] {
        let arguments = ["mock-model", "--bind", "127.0.0.1:0"];
        let ended = interrupt(&arguments, "serves until", name).with(0);
        assert!(ended.stderr.contains("0 requests served"), "{ended:#?}");
    }
}

#[test]
fn an_interrupt_before_there_is_a_reply_ends_the_turn() {
    let place = Place::new().file("slow.toml", "[[reply]]\ntext = \"late\"\ndelay_ms = 3600000\n");
    let server = MockModel::start(&place, Some("slow.toml"));
    let arguments = ["ask", "-vv", "hi", "--set", &server.setting()];
    let ended = interrupt(&arguments, "model asked", "TERM").with(130);
    assert!(ended.stderr.contains("interrupted"), "{ended:#?}");
}
