//! Tools that are HTTP endpoints, against a peer that says exactly what a test wants.

use std::sync::Arc;

use callsheet::testing::{self, reply};
use callsheet::tools::http::{HttpBody, HttpTool};
use callsheet::{ApiKey, CallReport, Effects, ToolType};
use serde_json::{Value, json};

use crate::support::peer::{LAST_CHUNK, Peer, Step, chunk, json as json_reply, response};
use crate::support::{Stage, seconds, stage};

/// A tool at `peer`, which is on loopback and allowed to be.
fn at(peer: &Peer, method: &str, path: &str) -> HttpTool {
    HttpTool {
        allow_private: vec!["127.0.0.1".to_owned()],
        ..HttpTool::new(method, format!("http://{}{path}", peer.addr()))
    }
}

fn typed(tool: &HttpTool) -> ToolType {
    let text = || json!({"type": "string"});
    let properties = json!({"city": text(), "lang": text(), "n": {"type": "integer"}});
    let parameters = json!({"type": "object", "properties": properties});
    ToolType::http("t", "for a test", parameters, tool).expect("the tool is good")
}

fn pairs<const N: usize>(pairs: [(&str, &str); N]) -> Vec<(String, String)> {
    pairs.map(|(name, text)| (name.to_owned(), text.to_owned())).to_vec()
}

/// A session in which the tool is called with each of `arguments`, one turn after another. Its time is
/// the machine's: the peer does not know of any other.
fn calls(tool: ToolType, arguments: &[Value]) -> Stage {
    tokio::time::resume();
    let script = arguments
        .iter()
        .flat_map(|arguments| [reply().call("t", &arguments.to_string()), reply().text("done")]);
    stage(script.collect::<Vec<_>>(), [tool])
}

/// What became of one call, and what the model was told.
fn run(tool: ToolType, arguments: &Value) -> (CallReport, String) {
    testing::run(async {
        let stage = calls(tool, std::slice::from_ref(arguments));
        let answer = stage.ask().await;
        (answer.report.rounds[0].calls[0].clone(), stage.told().remove(0))
    })
}

fn outcome(call: &CallReport) -> &'static str {
    call.outcome.map_or("open", |kind| kind.as_str())
}

fn header<'a>(head: &'a str, name: &str) -> Option<&'a str> {
    head.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(": "))
}

#[test]
fn a_call_is_a_request_with_its_arguments_and_its_key() {
    testing::run(async {
        let peer = Peer::start([vec![json_reply("{\"lat\": 1.50}")], vec![json_reply("2")]]);
        let tool = HttpTool {
            query: pairs([("lang", "{lang}"), ("v", "1")]),
            headers: pairs([("Authorization", "Bearer ${env:KEY}"), ("x-n", "{n}")]),
            secrets: vec![("KEY".to_owned(), ApiKey::new("sk-1234"))],
            ..at(&peer, "get", "/v1/cities/{city}")
        };
        let tool = typed(&tool).effects(Effects::None);
        assert_eq!(tool.origin().kind, "http");
        let arguments = [json!({"city": "a/../b", "lang": "x&y", "n": 7}), json!({"city": "b"})];
        let stage = calls(tool, &arguments);
        stage.ask().await;
        assert_eq!(stage.told(), ["{\"lat\": 1.50}"], "as it was written");
        stage.ask().await;
        let heard = peer.heard();
        let line = |index: usize| heard[index].head.lines().next().unwrap_or_default();
        assert_eq!(line(0), "GET /v1/cities/a%2F..%2Fb?lang=x%26y&v=1 HTTP/1.1");
        assert_eq!(line(1), "GET /v1/cities/b?v=1 HTTP/1.1");
        let head = &heard[0].head;
        assert_eq!(header(head, "authorization"), Some("Bearer sk-1234"));
        assert_eq!((header(head, "x-n"), header(&heard[1].head, "x-n")), (Some("7"), None));
        assert_eq!(header(head, "accept-encoding"), Some("identity"));
        let keys = heard.iter().map(|heard| header(&heard.head, "idempotency-key").unwrap());
        let session = stage.session.id();
        let expected = [1, 2].map(|round| format!("{session}/{round}/1/0"));
        assert_eq!(keys.collect::<Vec<_>>(), expected);
        for unwanted in ["referer", "cookie", "content-type", "content-length"] {
            assert_eq!(header(head, unwanted), None, "{unwanted}");
        }
        assert_eq!(peer.connections(), [0, 0], "the connection is used again");
    });
}

#[test]
fn a_body_is_the_arguments_that_stand_nowhere_else_or_what_the_tool_says() {
    let check = |method: &str, body: Option<HttpBody>, expected: &str| {
        let peer = Peer::start([vec![json_reply("1")]]);
        let tool = HttpTool { body, ..at(&peer, method, "/{city}") };
        run(typed(&tool), &json!({"city": "a", "n": 7, "lang": "x"}));
        let heard = peer.heard().remove(0);
        assert_eq!(heard.body, expected, "{method}");
        let kind = header(&heard.head, "content-type");
        assert_eq!(kind, (!expected.is_empty()).then_some("application/json"));
    };
    for method in ["POST", "PUT", "PATCH"] {
        check(method, None, r#"{"lang":"x","n":7}"#);
    }
    check("DELETE", None, "");
    check("DELETE", Some(HttpBody::Arguments), r#"{"lang":"x","n":7}"#);
    check("POST", Some(HttpBody::None), "");
    let template = json!({"count": "{n}", "text": "in {city}", "fixed": [1, null]});
    let expected = r#"{"count":7,"fixed":[1,null],"text":"in a"}"#;
    check("POST", Some(HttpBody::Json(template)), expected);
}

#[test]
fn a_call_that_may_be_tried_again_is_with_the_same_key_and_when_the_server_says() {
    let busy = || vec![response("503 Busy", "text/plain", "retry-after: 1\r\n", "later")];
    let peer = Peer::start([busy(), vec![json_reply("1")]]);
    let tool = typed(&at(&peer, "POST", "/")).effects(Effects::Idempotent).retries(2);
    let (call, told) = run(tool, &json!({}));
    assert_eq!((outcome(&call), call.attempts, &*told), ("ok", 2, "1"));
    assert!(call.backoff >= seconds(1), "{call:?}");
    let heard = peer.heard();
    let keys: Vec<_> = heard.iter().map(|heard| header(&heard.head, "idempotency-key")).collect();
    assert!(keys.len() == 2 && keys[0].is_some() && keys[0] == keys[1], "{keys:?}");
}

#[test]
fn a_call_that_must_not_happen_twice_is_not_tried_again_once_it_was_sent() {
    let busy =
        vec![response("503 Busy", "application/json", "retry-after: 0\r\n", "{\n \"a\": 1}")];
    let peer = Peer::start([busy]);
    let (call, told) = run(typed(&at(&peer, "POST", "/")).retries(5), &json!({}));
    assert_eq!((outcome(&call), call.attempts), ("tool_error", 1));
    assert_eq!(told, "error: the server answered 503 Service Unavailable: { \"a\": 1}");
    assert_eq!(peer.heard().len(), 1);
}

#[test]
fn a_refusal_is_told_and_final() {
    let peer = Peer::start([vec![response("404 Not Found", "text/plain", "", "no such city")]]);
    let tool = typed(&at(&peer, "GET", "/")).effects(Effects::None).retries(5);
    let (call, told) = run(tool, &json!({}));
    assert_eq!((outcome(&call), call.attempts), ("tool_error", 1));
    assert_eq!(told, "error: the server answered 404 Not Found: no such city");
    let long = "x".repeat(10_000);
    let peer = Peer::start([vec![response("400 Bad Request", "text/plain", "", &long)]]);
    let (_, told) = run(typed(&at(&peer, "GET", "/")), &json!({}));
    assert!(told.len() < 2100 && told.ends_with("x …"), "{told}");
}

#[test]
fn a_request_that_was_lost_may_have_happened() {
    let broken = || {
        let head = "HTTP/1.1 200 OK\r\ncontent-type: text/plain\r\ncontent-length: 9\r\n\r\nhalf";
        vec![Step::Send(head.to_owned()), Step::Close]
    };
    for lost in [vec![Step::Close], broken()] {
        let peer = Peer::start([lost]);
        let (call, told) = run(typed(&at(&peer, "POST", "/")).retries(2), &json!({}));
        assert_eq!((outcome(&call), call.attempts), ("unknown_outcome", 1));
        assert!(told.contains("may have taken effect"), "{told}");
    }
    let peer = Peer::start([vec![Step::Close], broken(), vec![json_reply("1")]]);
    let tool = typed(&at(&peer, "GET", "/")).effects(Effects::None).retries(2);
    let (call, told) = run(tool, &json!({}));
    assert_eq!((outcome(&call), call.attempts, &*told), ("ok", 3, "1"));
}

#[test]
fn what_cannot_be_reached_was_not_called() {
    let free = std::net::TcpListener::bind("127.0.0.1:0").expect("a free port");
    let gone = free.local_addr().expect("it listens");
    drop(free);
    let tool = HttpTool {
        allow_private: vec!["127.0.0.1".to_owned()],
        ..HttpTool::new("POST", format!("http://{gone}/"))
    };
    let (call, told) = run(typed(&tool).retries(1), &json!({}));
    assert_eq!((outcome(&call), call.attempts), ("unavailable", 2), "also if it must happen once");
    assert!(told.starts_with(&format!("error: cannot connect to http://{gone}: ")), "{told}");
}

#[test]
fn arguments_that_no_request_can_be_made_of_are_never_sent() {
    let peer = Peer::start([]);
    let tool =
        HttpTool { headers: pairs([("x-lang", "{lang}")]), ..at(&peer, "GET", "/v1/{city}/x") };
    for arguments in [
        json!({"city": ".."}),
        json!({"city": "%2e%2E"}),
        json!({"city": ""}),
        json!({}),
        json!({"city": "a", "lang": "x\r\nx-evil: 1"}),
    ] {
        let (call, told) = run(typed(&tool).retries(3), &arguments);
        assert_eq!((outcome(&call), call.attempts), ("bad_arguments", 1), "{arguments}: {told}");
    }
    assert_eq!(peer.heard().len(), 0);
}

#[test]
fn no_more_of_a_reply_is_taken_than_is_allowed() {
    let exactly = "x".repeat(100);
    let sized = |body: &str| vec![response("200 OK", "text/plain", "", body)];
    let chunked = |chunks: usize| {
        let head =
            "HTTP/1.1 200 OK\r\ncontent-type: text/plain\r\ntransfer-encoding: chunked\r\n\r\n";
        let chunks = chunk("xxxxxxxxxx").repeat(chunks);
        vec![Step::Send(format!("{head}{chunks}{LAST_CHUNK}"))]
    };
    let told = |steps: Vec<Step>| {
        let peer = Peer::start([steps]);
        let tool = HttpTool { max_response_bytes: 100, ..at(&peer, "GET", "/") };
        let (call, told) = run(typed(&tool).effects(Effects::None).retries(2), &json!({}));
        (outcome(&call), told)
    };
    assert_eq!(told(sized(&exactly)), ("ok", exactly.clone()));
    assert_eq!(told(chunked(10)), ("ok", exactly.clone()));
    let (kind, message) = told(sized(&format!("{exactly}x")));
    assert_eq!(kind, "tool_error");
    assert_eq!(
        message,
        "error: the reply has 101 bytes, more than 100 bytes (`max_response_bytes`)"
    );
    let (kind, message) = told(chunked(11));
    assert_eq!(kind, "tool_error");
    assert_eq!(message, "error: the reply has more than 100 bytes (`max_response_bytes`)");
    // One that never ends ends here.
    let endless = vec![
        Step::Send("HTTP/1.1 200 OK\r\ncontent-type: text/plain\r\n\r\n".to_owned()),
        Step::Drip { text: "x".repeat(64), pause: std::time::Duration::ZERO, times: usize::MAX },
    ];
    assert_eq!(told(endless).0, "tool_error");
}

#[test]
fn a_result_is_the_part_that_is_pointed_to() {
    let pointed = |pointer: &str, reply: &str| {
        let peer = Peer::start([vec![json_reply(reply)]]);
        let tool = HttpTool { pointer: Some(pointer.to_owned()), ..at(&peer, "GET", "/") };
        let (call, told) = run(typed(&tool), &json!({}));
        (outcome(&call), told)
    };
    let reply = r#"{"data": [{"name": "Köln"}], "next": null}"#;
    assert_eq!(pointed("/data/0/name", reply), ("ok", "Köln".to_owned()));
    assert_eq!(pointed("/data/0", reply), ("ok", r#"{"name": "Köln"}"#.to_owned()));
    let missing =
        "error: there is nothing at `/items`: the reply is an object with the keys data, next";
    assert_eq!(pointed("/items", reply), ("tool_error", missing.to_owned()));
    assert_eq!(pointed("/items", "<html>").0, "tool_error");
}

#[test]
fn what_is_no_text_is_described() {
    for (kind, headers, body, expected) in [
        ("image/png", "", "12345", "image/png, 5 bytes"),
        (
            "text/plain",
            "content-encoding: gzip\r\n",
            "12345",
            "error: the reply is encoded as gzip, which was not asked for",
        ),
        ("text/plain", "", "", "200 OK, without a body"),
    ] {
        let peer = Peer::start([vec![response("200 OK", kind, headers, body)]]);
        assert_eq!(run(typed(&at(&peer, "GET", "/")), &json!({})).1, expected);
    }
}

#[test]
fn a_secret_is_sent_and_goes_no_further() {
    const SECRET: &str = "sk-very-secret-0123456789";
    for status in ["200 OK", "401 Unauthorized", "500 Oops"] {
        testing::run(async {
            let echo = format!("you said Bearer {SECRET}, did you");
            let peer = Peer::start([vec![response(status, "text/plain", "", &echo)]]);
            let tool = HttpTool {
                query: pairs([("key", "${env:KEY}")]),
                headers: pairs([("authorization", "Bearer ${env:KEY}")]),
                secrets: vec![("KEY".to_owned(), ApiKey::new(SECRET))],
                ..at(&peer, "GET", "/")
            };
            let shown = format!("{tool:?} {:?}", typed(&tool));
            let stage = calls(typed(&tool), &[json!({})]);
            let mut events = stage.session.events();
            let answer = stage.ask().await;
            let mut shown = format!("{shown} {:?} {:?}", stage.told(), answer.report);
            while let Some(record) = events.next().await {
                shown += &format!("{record:?}");
                if matches!(record.event, callsheet::Event::TurnEnded { .. }) {
                    break;
                }
            }
            assert!(peer.heard()[0].head.contains(SECRET));
            assert!(shown.contains("you said Bearer [secret], did you"), "{shown}");
            assert!(!shown.contains("very-secret"), "{shown}");
        });
    }
}

#[test]
fn a_tool_of_many_sessions_has_its_own_connections_on_each_thread() {
    let peer = Peer::start((0..4).map(|_| vec![json_reply("1")]));
    let tool = typed(&at(&peer, "GET", "/")).effects(Effects::None);
    for _ in 0..2 {
        run(tool.clone(), &json!({}));
    }
    let threads: Vec<_> = (0..2)
        .map(|_| {
            let tool = tool.clone();
            std::thread::spawn(move || outcome(&run(tool, &json!({})).0))
        })
        .collect();
    for thread in threads {
        assert_eq!(thread.join().unwrap(), "ok");
    }
    assert_eq!(Arc::new(peer).heard().len(), 4);
}
