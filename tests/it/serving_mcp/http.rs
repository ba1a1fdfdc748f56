//! Over streamable HTTP.

use std::io::{BufRead, BufReader, Read, Write};
use std::net::TcpStream;
use std::process::Child;
use std::time::{Duration, Instant};

use callsheet::mcp::Reach;
use callsheet::model::Header;
use serde_json::json;

use super::{PROTOCOLS, check, place, round, run, until_it_has_begun};
use crate::support::cli::{Place, ends_soon, signal};

/// A server on a free port, and where it is.
struct Served {
    child: Child,
    url: String,
}

impl Served {
    fn start(place: &Place, arguments: &[&str]) -> Self {
        let arguments = [&["mcp", "--http", "127.0.0.1:0"], arguments].concat();
        let (child, url) = place.serve(&arguments);
        Self { child, url }
    }

    fn reach(&self, headers: Vec<Header>) -> Reach {
        Reach::Http { url: self.url.clone(), headers }
    }

    /// Sends `body` with these headers; the connection is open still.
    fn post(&self, headers: &[(&str, &str)], body: &str) -> TcpStream {
        let addr = self.url.trim_start_matches("http://").trim_end_matches("/mcp");
        let mut stream = TcpStream::connect(addr).expect("it listens");
        stream.set_read_timeout(Some(Duration::from_secs(20))).expect("it can be set");
        let mut head = "POST /mcp HTTP/1.1\r\nconnection: close\r\n".to_owned();
        if headers.iter().all(|(name, _)| *name != "host") {
            head += &format!("host: {addr}\r\n");
        }
        for (name, value) in headers {
            head += &format!("{name}: {value}\r\n");
        }
        head += "content-type: application/json\r\naccept: application/json, text/event-stream\r\n";
        head += &format!("content-length: {}\r\n\r\n{body}", body.len());
        stream.write_all(head.as_bytes()).expect("somebody listens");
        stream
    }

    /// The status of the answer to a first request with these headers.
    fn status(&self, headers: &[(&str, &str)]) -> u16 {
        let info = json!({"name": "test", "version": "1"});
        let params =
            json!({"protocolVersion": "2025-11-25", "capabilities": {}, "clientInfo": info});
        let body = json!({"jsonrpc": "2.0", "id": 1, "method": "initialize", "params": params});
        let mut line = String::new();
        let stream = self.post(headers, &body.to_string());
        BufReader::new(stream).read_line(&mut line).expect("a status line");
        line.split(' ').nth(1).and_then(|status| status.parse().ok()).expect("a status")
    }
}

impl Drop for Served {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

#[test]
fn our_own_client_calls_the_tools_in_both_revisions() {
    run(async {
        let place = place();
        let served = Served::start(&place, &[]);
        for (protocol, revision) in PROTOCOLS {
            let (round, spoken) = round(served.reach(Vec::new()), protocol).await;
            assert_eq!(spoken.as_deref(), Some(revision));
            check(&round);
        }
    });
}

#[test]
fn pages_of_other_origins_are_no_clients_also_under_a_name_that_leads_here() {
    let served = Served::start(&place(), &[]);
    assert_eq!(served.status(&[]), 200);
    for (headers, what) in [
        ([("host", "attacker.example"), ("x-a", "b")], "another host"),
        ([("host", "localhost.attacker.example"), ("x-a", "b")], "another host"),
        ([("origin", "http://attacker.example"), ("x-a", "b")], "another origin"),
        ([("origin", "null"), ("x-a", "b")], "no origin"),
    ] {
        assert_eq!(served.status(&headers), 403, "{what}: {headers:?}");
    }
}

#[test]
fn where_there_is_a_token_only_those_who_have_it_are_let_in() {
    run(async {
        let place = place().variable("OUR_TOKEN", "sesame-3141");
        let served = Served::start(&place, &["--token-env", "OUR_TOKEN"]);
        assert_eq!(served.status(&[]), 401);
        assert_eq!(served.status(&[("authorization", "Bearer sesame-3142")]), 401);
        assert_eq!(served.status(&[("authorization", "Basic sesame-3141")]), 401);
        assert_eq!(served.status(&[("authorization", "Bearer sesame-3141")]), 200);
        let header = Header::new("authorization", "Bearer sesame-3141");
        let (round, _) = round(served.reach(vec![header]), PROTOCOLS[0].0).await;
        check(&round);
    });
}

#[test]
fn where_others_can_reach_it_there_has_to_be_a_token() {
    let place = place().variable("EMPTY", " ");
    let refused = |arguments: &[&str], words: &[&str]| {
        place.run(&[&["mcp"], arguments].concat()).complains(2, words);
    };
    refused(&["--http", "0.0.0.0:0"], &["0.0.0.0:0", "--token-env"]);
    refused(&["--http", "[::]:0"], &["--token-env"]);
    refused(&["--http", "0.0.0.0:0", "--token-env", "EMPTY"], &["EMPTY", "not set"]);
    refused(&["--http", "127.0.0.1:0", "--token-env", "MISSING"], &["MISSING", "not set"]);
}

#[test]
fn a_call_whose_client_has_gone_stops() {
    let place = place();
    let served = Served::start(&place, &[]);
    let meta = json!({"io.modelcontextprotocol/protocolVersion": "2026-07-28",
        "io.modelcontextprotocol/clientInfo": {"name": "test", "version": "1"},
        "io.modelcontextprotocol/clientCapabilities": {}});
    let call = |seconds: &str| {
        let params = json!({"name": "wait", "arguments": {"s": seconds}, "_meta": meta});
        let body = json!({"jsonrpc": "2.0", "id": 1, "method": "tools/call", "params": params});
        let headers = [
            ("mcp-protocol-version", "2026-07-28"),
            ("mcp-method", "tools/call"),
            ("mcp-name", "wait"),
        ];
        served.post(&headers, &body.to_string())
    };
    let long = call("50");
    until_it_has_begun(&place);
    drop(long);
    // One at a time: this one waits until the other has stopped.
    let began = Instant::now();
    let mut answer = String::new();
    call("0").read_to_string(&mut answer).expect("an answer");
    assert!(answer.contains(r#""outcome":"ok""#), "{answer}");
    assert!(began.elapsed() < Duration::from_secs(10), "{:?}", began.elapsed());
}

#[test]
fn a_client_that_is_stuck_keeps_no_other_waiting_and_not_the_end_either() {
    run(async {
        let place = place();
        let mut served = Served::start(&place, &[]);
        let addr = served.url.trim_start_matches("http://").trim_end_matches("/mcp").to_owned();
        let half = |text: &str| {
            let mut stream = TcpStream::connect(&addr).expect("it listens");
            stream.write_all(text.as_bytes()).expect("somebody listens");
            stream
        };
        let body = format!(
            "POST /mcp HTTP/1.1\r\nhost: {addr}\r\ncontent-type: application/json\r\n\
             accept: application/json, text/event-stream\r\ncontent-length: 1000\r\n\r\n{{"
        );
        // Nothing, half a head, half a body, and a request whose answer is never read.
        let stuck = [half(""), half("POST /mcp HT"), half(&body), served.post(&[], "{}")];
        let (round, _) = round(served.reach(Vec::new()), PROTOCOLS[0].0).await;
        check(&round);
        signal(&served.child, "TERM");
        let began = Instant::now();
        while served.child.try_wait().expect("it is a child of ours").is_none() {
            assert!(began.elapsed() < Duration::from_secs(10), "it does not end");
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
        drop(stuck);
    });
}

#[test]
fn a_signal_ends_it_in_good_order() {
    let place = place();
    let mut command = place.command(&["mcp", "--http", "127.0.0.1:0"]);
    let mut child = command.spawn().expect("the binary runs");
    let mut first = [0; 7];
    let stdout = child.stdout.as_mut().expect("standard output is a pipe");
    stdout.read_exact(&mut first).expect("a first line");
    assert_eq!(&first, b"http://");
    signal(&child, "TERM");
    ends_soon(child).with(0);
}
