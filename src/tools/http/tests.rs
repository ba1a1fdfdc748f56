use std::collections::VecDeque;
use std::io::{Read, Write};
use std::net::{IpAddr, SocketAddr, TcpListener};
use std::sync::{Arc, Mutex};

use serde_json::json;

use super::*;
use crate::conversation::{CallKey, Effects, OutcomeKind, SessionId};
use crate::tools;

fn key(session: &str) -> CallKey {
    CallKey { session: SessionId::new(session), round: 1, attempt: 1, ordinal: 0 }
}

fn parameters() -> Value {
    json!({"type": "object", "properties": {"city": {"type": "string"}, "lang": {}}})
}

/// Why there is no such tool.
#[track_caller]
fn problem(change: impl FnOnce(&mut HttpTool)) -> String {
    let mut tool = HttpTool::new("GET", "https://a.example/{city}");
    change(&mut tool);
    ToolType::http("t", "", parameters(), &tool).expect_err("it is refused").to_string()
}

fn pair(name: &str, text: &str) -> Vec<(String, String)> {
    vec![(name.to_owned(), text.to_owned())]
}

/// A server that answers every connection with `reply` and closes it.
fn server(reply: &'static str) -> SocketAddr {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap();
    std::thread::spawn(move || {
        for mut stream in listener.incoming().flatten() {
            let mut head = Vec::new();
            while !head.ends_with(b"\r\n\r\n") {
                let mut byte = [0];
                if stream.read_exact(&mut byte).is_err() {
                    break;
                }
                head.push(byte[0]);
            }
            let _ = stream.write_all(reply.as_bytes());
        }
    });
    address
}

/// One call of `tool`, in a world where names are at the addresses that `lookup` gives.
async fn call(tool: &HttpTool, lookup: Lookup) -> Result<String, tools::Error> {
    let plan = Plan::new(tool, &parameters(), lookup).unwrap();
    plan.exchange(plan.request("{}", &key("s")).unwrap()).await
}

/// Names are at these addresses, at the first look, the second, and so on.
fn lookups<const N: usize>(answers: [&[&str]; N]) -> (Lookup, Arc<Mutex<VecDeque<Vec<IpAddr>>>>) {
    let parsed = |answer: &[&str]| answer.iter().map(|text| text.parse().unwrap()).collect();
    let answers: VecDeque<Vec<IpAddr>> = answers.into_iter().map(parsed).collect();
    let answers = Arc::new(Mutex::new(answers));
    let left = Arc::clone(&answers);
    let lookup = move |_: &str| Ok(left.lock().unwrap().pop_front().expect("no further look"));
    (Arc::new(lookup), answers)
}

const HELLO: &str = "HTTP/1.1 200 OK\r\ncontent-length: 5\r\nconnection: close\r\n\r\nhello";

#[test]
fn what_is_wrong_with_a_tool_is_named_in_a_line() {
    let check = |problem: String, expected: &str| assert_eq!(problem, expected);
    check(
        problem(|tool| tool.method = "FETCH".into()),
        "method: expected one of GET, HEAD, POST, PUT, PATCH, DELETE, OPTIONS, found \"FETCH\"",
    );
    check(
        problem(|tool| tool.url = "https://{city}.example/".into()),
        "url: `{city}` stands in its host, which must be fixed",
    );
    check(
        problem(|tool| tool.url = "https://a.example/{town}".into()),
        "`{town}` in the path is no parameter: `parameters.properties` has city, lang",
    );
    check(
        problem(|tool| tool.query = pair("q", "{town}")),
        "`{town}` in the query is no parameter: `parameters.properties` has city, lang",
    );
    check(
        problem(|tool| tool.headers = pair("x", "{town}")),
        "`{town}` in a header is no parameter: `parameters.properties` has city, lang",
    );
    check(
        problem(|tool| tool.body = Some(HttpBody::Json(json!({"a": ["{town}"]})))),
        "`{town}` in the body is no parameter: `parameters.properties` has city, lang",
    );
    check(
        problem(|tool| tool.headers = pair("a b", "x")),
        "headers: \"a b\" is not the name of a header",
    );
    check(
        problem(|tool| tool.headers = pair("Host", "x")),
        "headers: `host` is not for settings to set",
    );
    check(
        problem(|tool| tool.headers = pair("x", "a\nb")),
        "header `x`: its value has characters that none may have",
    );
    check(
        problem(|tool| tool.headers = [pair("X-A", "1"), pair("x-a", "2")].concat()),
        "headers: `x-a` is there twice",
    );
    check(
        problem(|tool| tool.headers = pair("x", "Bearer ${env:KEY}")),
        "header `x`: `${env:KEY}` is not set",
    );
    check(
        problem(|tool| tool.pointer = Some("data".into())),
        "pointer: expected one such as \"/data/0\", found \"data\"",
    );
    check(
        problem(|tool| tool.allow_private = vec!["intranet".into()]),
        "allow_private: \"intranet\" is no network, such as 10.0.0.0/8",
    );
    check(
        problem(|tool| tool.url = "http://0x7f.1/{city}".into()),
        "url: 127.0.0.1 is not a public address, and `allow_private` does not name it",
    );
    let tool = HttpTool::new("GET", "https://a.example/{city}");
    let none = ToolType::http("t", "", json!({"type": "object"}), &tool).unwrap_err();
    check(
        none.to_string(),
        "`{city}` in the path is no parameter: `parameters.properties` has nothing",
    );
}

#[test]
fn a_tool_and_its_requests_show_no_secret() {
    let secret = ApiKey::new("sk-very-secret");
    let tool = HttpTool {
        headers: [pair("authorization", "Bearer ${env:KEY}"), pair("x-key", "very-written")]
            .concat(),
        secrets: vec![("KEY".to_owned(), secret)],
        ..HttpTool::new("GET", "https://a.example/hook/very-hidden/{city}")
    };
    let plan = Plan::new(&tool, &parameters(), system_lookup()).unwrap();
    let request = plan.request(r#"{"city": "x"}"#, &key("s")).unwrap();
    assert_eq!(request.headers["authorization"], "Bearer sk-very-secret");
    let made = ToolType::http("t", "", parameters(), &tool).unwrap();
    let shown = format!("{tool:?} {made:?} {:?}", request.headers);
    assert!(!shown.contains("very"), "{shown}");
    let echoed = plan.shown("key sk-very-secret or very-written".to_owned());
    assert_eq!(echoed, "key [secret] or [secret]");
}

#[test]
fn a_secret_that_is_written_into_the_query_or_a_header_is_hidden_in_what_is_echoed() {
    let tool = HttpTool {
        query: [
            pair("app_secret", "in query+1"),
            pair("api_key", "{city}"),
            pair("sort_key", "name"),
            pair("units", "imperial"),
        ]
        .concat(),
        headers: [
            pair("authorization", "Bearer written-{city}"),
            pair("x-auth", "Bearer ${env:KEY}"),
            pair("x-plain", "harmless"),
        ]
        .concat(),
        secrets: vec![("KEY".to_owned(), ApiKey::new("sk-given"))],
        ..HttpTool::new(
            "GET",
            "https://a.example/{city}?password=in%2Furl&lang=english&token=abc-def",
        )
    };
    let plan = Plan::new(&tool, &parameters(), system_lookup()).unwrap();
    let check = |echoed: &str, expected: &str| {
        assert_eq!(plan.shown(echoed.to_owned()), expected);
    };
    check("?app_secret=in%20query%2B1&x", "?app_secret=[secret]&x");
    check("you sent in query+1", "you sent [secret]");
    check("password=in%2Furl, that is in/url", "password=[secret], that is [secret]");
    check("token abc-def of sk-given", "token [secret] of [secret]");
    check("Bearer written-Tokyo", "[secret]Tokyo");
    check("Bearer, name, imperial, english, harmless", "Bearer, name, imperial, english, harmless");
}

#[test]
fn a_header_is_left_out_with_its_argument_and_never_split() {
    let tool = HttpTool {
        headers: [pair("x-lang", "{lang}"), pair("x-both", "in {city}"), pair("user-agent", "me")]
            .concat(),
        ..HttpTool::new("GET", "https://a.example/")
    };
    let plan = Plan::new(&tool, &parameters(), system_lookup()).unwrap();
    let request = |arguments: Value| plan.request(&arguments.to_string(), &key("a/ä %"));
    let headers = request(json!({"city": "Köln"})).unwrap().headers;
    assert_eq!(headers.get("x-lang"), None);
    assert_eq!(headers["x-both"].as_bytes(), "in Köln".as_bytes());
    assert_eq!(
        (&headers["user-agent"], &headers["accept-encoding"]),
        (&"me".parse().unwrap(), &"identity".parse().unwrap())
    );
    assert_eq!(headers["idempotency-key"], "a/%C3%A4%20%25/1/1/0");
    for bad in ["a\r\nb: c", "a\nb", "a\0", "\u{7f}", "a\u{85}b"] {
        let error = request(json!({"city": "x", "lang": bad})).err().expect("it is refused");
        assert_eq!(error.message(), "the header `x-lang` would have a control character");
    }
}

#[tokio::test]
async fn a_name_that_leads_to_a_private_address_is_denied_whatever_else_it_leads_to() {
    let tool = HttpTool::new("GET", "http://api.example.com:9/");
    for answer in [
        &["10.0.0.7"][..],
        &["93.184.216.34", "10.0.0.7"],
        &["2606:4700::1111", "::1"],
        &["::ffff:127.0.0.1"],
        &["fe80::1"],
        &["169.254.169.254"],
    ] {
        let error = call(&tool, lookups([answer]).0).await.unwrap_err();
        let outcome = error.outcome(error.message().to_owned(), Effects::Once);
        let code = outcome.problem.expect("it failed").code;
        assert_eq!((outcome.kind, &*code), (OutcomeKind::Denied, "private_address"));
        let at = format!("api.example.com is at {}", answer.last().unwrap());
        assert!(error.message().starts_with(&at), "{error}");
    }
}

#[tokio::test]
async fn the_address_that_was_checked_is_the_one_that_is_connected_to() {
    let address = server(HELLO);
    let tool = HttpTool {
        allow_private: vec!["127.0.0.1".to_owned()],
        ..HttpTool::new("GET", format!("http://rebound.example:{}/", address.port()))
    };
    // A second look would find another address.
    let (lookup, left) = lookups([&["127.0.0.1"], &["10.0.0.7"]]);
    assert_eq!(call(&tool, lookup).await.as_deref(), Ok("hello"));
    assert_eq!(left.lock().unwrap().len(), 1, "one look for one connection");
    let (lookup, _) = lookups([&["10.0.0.7"]]);
    assert!(call(&tool, lookup).await.is_err());
}

#[tokio::test]
async fn a_reply_says_when_another_try_is_worth_it() {
    let check = async |reply: &'static str| {
        let tool = HttpTool {
            allow_private: vec!["127.0.0.0/8".to_owned()],
            ..HttpTool::new("GET", format!("http://{}/", server(reply)))
        };
        let error = call(&tool, system_lookup()).await.unwrap_err();
        let again = error.again();
        assert!(!again.nothing_happened);
        (again.permanent, again.after.map(|after| after.as_secs()))
    };
    for (reply, expected) in [
        ("HTTP/1.1 503 x\r\nretry-after: 7\r\ncontent-length: 0\r\n\r\n", (false, Some(7))),
        (
            concat!(
                "HTTP/1.1 429 x\r\ndate: Thu, 01 Jan 2026 01:00:00 GMT\r\n",
                "retry-after: Thu, 01 Jan 2026 01:00:05 GMT\r\ncontent-length: 0\r\n\r\n"
            ),
            (false, Some(5)),
        ),
        ("HTTP/1.1 408 x\r\ncontent-length: 0\r\n\r\n", (false, None)),
        ("HTTP/1.1 425 x\r\ncontent-length: 0\r\n\r\n", (false, None)),
        ("HTTP/1.1 500 x\r\ncontent-length: 0\r\n\r\n", (false, None)),
        ("HTTP/1.1 400 x\r\ncontent-length: 0\r\n\r\n", (true, None)),
        ("HTTP/1.1 404 x\r\nretry-after: 7\r\ncontent-length: 0\r\n\r\n", (true, None)),
        ("HTTP/1.1 304 x\r\ncontent-length: 0\r\n\r\n", (true, None)),
    ] {
        assert_eq!(check(reply).await, expected, "{reply}");
    }
}

#[tokio::test]
async fn a_host_is_resolved_without_being_asked() {
    let resolved = |url: &str, allowed: &str| {
        let tool =
            HttpTool { allow_private: vec![allowed.to_owned()], ..HttpTool::new("GET", url) };
        async move { tool.resolve_host().await.map_err(|error| error.to_string()) }
    };
    let (host, addresses) = resolved("http://localhost:1/", "0.0.0.0/0").await.unwrap();
    assert!(host == "localhost" && addresses.contains(&[127, 0, 0, 1].into()), "{addresses:?}");
    let private = resolved("http://localhost:1/", "10.0.0.0/8").await.unwrap_err();
    assert!(private.ends_with(", which is not a public address"), "{private}");
    let literal = resolved("http://8.8.8.8/", "10.0.0.0/8").await;
    assert_eq!(literal, Ok(("8.8.8.8".to_owned(), vec![[8, 8, 8, 8].into()])));
    let unknown = resolved("http://a.invalid/", "10.0.0.0/8").await.unwrap_err();
    assert!(unknown.starts_with("a.invalid: "), "{unknown}");
}

#[tokio::test]
async fn a_connection_that_does_not_come_about_leaves_nothing_done() {
    let free = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
    let tool = HttpTool {
        allow_private: vec!["127.0.0.1".to_owned()],
        ..HttpTool::new("GET", format!("http://{free}/?key=hidden"))
    };
    let error = call(&tool, system_lookup()).await.unwrap_err();
    assert!(error.again().nothing_happened && !error.again().permanent);
    assert!(error.message().starts_with(&format!("cannot connect to http://{free}: ")), "{error}");
    let unknown: Lookup = Arc::new(|_| Err(std::io::Error::other("no such host")));
    let tool = HttpTool::new("GET", "http://a.example/");
    let error = call(&tool, unknown).await.unwrap_err();
    assert_eq!(error.message(), "cannot connect to http://a.example: no such host");
    assert!(error.again().nothing_happened);
}
