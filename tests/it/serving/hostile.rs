//! Clients that vanish, lie, stop in the middle, or send what nobody should.

use std::time::Duration;

use serde_json::json;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::time::timeout;

use super::http::{Answer, Served, run};
use crate::support::cli::Place;

const QUESTION: &str = "What's AAPL's stock price?";

async fn raw(served: &Served, bytes: &[u8]) -> Answer {
    let mut stream = served.connect().await;
    // It may be refused before all of it is read.
    let _ = stream.write_all(bytes).await;
    Answer::read(stream).await
}

#[test]
fn nonsense_is_refused_and_the_next_client_is_served() {
    let place = Place::new();
    let served = Served::start(&place, &[]);
    run(async {
        let host = format!("host: {}\r\n", served.addr);
        let large = "x".repeat(10_000_000);
        let requests = [
            ("no HTTP", "\u{16}\u{3}\u{1} what".to_owned()),
            ("10 MB of headers", format!("GET /healthz HTTP/1.1\r\n{host}x: {large}\r\n\r\n")),
            (
                "10,000 headers",
                format!("GET /healthz HTTP/1.1\r\n{host}{}\r\n", "x: y\r\n".repeat(10_000)),
            ),
            ("a path of 10 MB", format!("GET /{large} HTTP/1.1\r\n{host}\r\n")),
            (
                "a length that is none",
                format!("POST /v1/sessions HTTP/1.1\r\n{host}content-length: x\r\n\r\n"),
            ),
            (
                "two lengths",
                format!(
                    "POST /v1/sessions HTTP/1.1\r\n{host}content-length: 2\r\ncontent-length: 3\r\n\r\n{{}}"
                ),
            ),
            (
                "a body beyond the limit",
                format!(
                    "POST /v1/sessions HTTP/1.1\r\n{host}content-type: application/json\r\ncontent-length: {}\r\n\r\n{large}",
                    large.len()
                ),
            ),
            (
                "a chunk that is none",
                format!(
                    "POST /v1/sessions HTTP/1.1\r\n{host}transfer-encoding: chunked\r\n\r\nzz\r\n"
                ),
            ),
            ("no host", "GET /v1/tools HTTP/1.1\r\n\r\n".to_owned()),
            ("another host", "GET /v1/tools HTTP/1.1\r\nhost: evil.example\r\n\r\n".to_owned()),
            ("a path out of here", format!("GET /../../etc/passwd HTTP/1.1\r\n{host}\r\n")),
            (
                "a path in disguise",
                format!("GET /v1/sessions/..%2f..%2fx/export HTTP/1.1\r\n{host}\r\n"),
            ),
        ];
        for (what, request) in requests {
            let answer = raw(&served, request.as_bytes()).await;
            assert!(
                answer.status == 0 || (400..500).contains(&answer.status),
                "{what}: {}",
                answer.head
            );
            assert_eq!(served.get("/readyz").await.status, 200, "after {what}");
        }
    });
}

#[test]
fn clients_that_stop_in_the_middle_are_let_go_and_hold_up_nobody() {
    let place = Place::new();
    let served = Served::start(&place, &[]);
    run(async {
        let mut held = Vec::new();
        for half in ["", "GET /v1/se", "POST /v1/sessions HTTP/1.1\r\nhost: localhost\r\n"] {
            for _ in 0..50 {
                let mut stream = served.connect().await;
                stream.write_all(half.as_bytes()).await.expect("it reads");
                held.push(stream);
            }
        }
        let ask = async { served.ask("a", QUESTION).await.until("done").await };
        timeout(Duration::from_secs(5), ask).await.expect("nobody is held up");
        // A head that does not come is not waited for.
        let mut last = held.pop().expect("some");
        let mut bytes = Vec::new();
        let read = timeout(Duration::from_secs(20), last.read_to_end(&mut bytes)).await;
        read.expect("it is let go").ok();
    });
}

#[test]
fn a_client_that_vanishes_cancels_nothing_and_leaves_nothing() {
    let place = Place::new();
    let settings = ["--set", "tools[1].simulate.latency_ms=400", "--set", "server.max_streams=4"];
    let served = Served::start(&place, &settings);
    run(async {
        for n in 0..20 {
            let mut stream = served.ask(&format!("s{n}"), QUESTION).await;
            assert_eq!(stream.status, 200, "the places of those that are gone are free");
            stream.until("call_started").await;
            drop(stream);
            tokio::time::sleep(Duration::from_millis(150)).await;
        }
        for n in 0..20 {
            let mut events = served.get(&format!("/v1/sessions/s{n}/events")).await;
            assert_eq!(events.until("turn_ended").await["end"], "answered", "s{n}");
        }
    });
}

/// More in all than any socket keeps that is not asked to: the server's sends keep 64 KiB, and the client
/// below next to nothing.
const QUESTIONS: usize = 30;
const QUESTION_BYTES: usize = 50_000;

/// A connection whose own end keeps as little as there may be of what it does not read.
async fn with_little_room(served: &Served) -> tokio::net::TcpStream {
    let socket = tokio::net::TcpSocket::new_v4().expect("a socket");
    socket.set_recv_buffer_size(4096).expect("it can be small");
    let addr = served.addr.parse().expect("an address");
    socket.connect(addr).await.expect("it listens")
}

#[test]
fn a_client_that_reads_nothing_holds_up_neither_the_turn_nor_others() {
    let place = Place::new();
    // Soon over: who takes nothing for half a minute is let go.
    let served = Served::start(&place, &["--set", "tools[1].simulate.latency_ms=1"]);
    run(async {
        let made = served.post("/v1/sessions", &json!({"id": "a"})).await;
        assert_eq!(made.status, 201);
        let mut deaf = with_little_room(&served).await;
        let request =
            format!("GET /v1/sessions/a/events HTTP/1.1\r\nhost: {}\r\n\r\n", served.addr);
        deaf.write_all(request.as_bytes()).await.expect("it reads");
        let question = json!({"content": format!("{QUESTION} {}", "z".repeat(QUESTION_BYTES))});
        for _ in 0..QUESTIONS {
            let path = "/v1/sessions/a/messages";
            let (headers, body) = ("prefer: wait\r\n", question.to_string());
            let ask = async { served.send("POST", path, headers, &body).await.text().await };
            let answer = timeout(Duration::from_secs(10), ask).await.expect("nobody is held up");
            assert!(answer.contains("\"finish\":\"stop\""), "{answer}");
        }
        // Whoever then begins to read finds everything that was kept, once and in order.
        let mut late = Answer::read(deaf).await;
        let (mut numbers, mut bytes, mut ended) = (Vec::new(), 0, 0);
        while ended < QUESTIONS {
            let next = timeout(Duration::from_secs(10), late.event()).await;
            let (name, data) = next.expect("it comes").expect("it goes on");
            bytes += data.to_string().len();
            ended += usize::from(name == "turn_ended");
            let is_kept = ![
                "text_streamed",
                "reasoning_streamed",
                "call_progressed",
                "call_queued",
                "call_retried",
            ]
            .contains(&&*name);
            numbers.extend(is_kept.then(|| data["seq"].as_u64().expect("a number")));
        }
        assert_eq!(numbers, (1..=numbers.len() as u64).collect::<Vec<_>>());
        assert!(bytes > QUESTIONS * QUESTION_BYTES, "{bytes} bytes cannot have waited in sockets");
    });
}

#[test]
fn head_has_the_length_of_what_it_leaves_out_and_the_connection_goes_on() {
    let place = Place::new();
    let served = Served::start(&place, &[]);
    run(async {
        served.ask("a", "hello").await.until("done").await;
        let mut stream = served.connect().await;
        for path in ["/", "/v1/sessions/a", "/v1/sessions/a/events", "/nowhere", "/healthz"] {
            let request = format!("HEAD {path} HTTP/1.1\r\nhost: {}\r\n\r\n", served.addr);
            stream.write_all(request.as_bytes()).await.expect("it listens");
            let mut head = Vec::new();
            while !head.ends_with(b"\r\n\r\n") {
                head.push(stream.read_u8().await.expect("a head"));
            }
            let head = String::from_utf8(head).expect("text").to_ascii_lowercase();
            let length = head.lines().find_map(|line| line.strip_prefix("content-length: "));
            let length = length.and_then(|length| length.parse::<usize>().ok());
            if path.ends_with("/events") {
                assert_eq!(length, None, "{head}");
                continue;
            }
            let whole = served.get(path).await;
            assert!(head.starts_with(&format!("http/1.1 {}", whole.status)), "{path}: {head}");
            assert_eq!(length, Some(whole.text().await.len()), "{path}: {head}");
        }
    });
}

#[test]
fn a_path_that_there_is_not_is_as_guarded_as_any_other() {
    let place = Place::new();
    let served = Served::start(&place, &[]);
    run(async {
        for path in ["/nowhere", "/favicon.ico", "/v1", "/v2/sessions", "/healthz/x"] {
            let answer = served.get(path).await;
            assert_eq!(answer.status, 404, "{path}");
            for header in [
                "content-type: application/problem+json",
                "x-content-type-options: nosniff",
                "x-frame-options: deny",
                "content-security-policy: default-src 'none'",
            ] {
                assert!(answer.head.contains(header), "{path}: {}", answer.head);
            }
            assert_eq!(answer.json().await["code"], "not_found", "{path}");
        }
        let mut stream = served.connect().await;
        let request = "GET /nowhere HTTP/1.1\r\nhost: evil.example\r\n\r\n";
        stream.write_all(request.as_bytes()).await.expect("it listens");
        assert_eq!(Answer::read(stream).await.status, 421);
    });
}
