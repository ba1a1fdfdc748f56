//! The client of a real endpoint, against a peer that says exactly what a test wants.

use std::sync::Arc;
use std::sync::mpsc;
use std::time::Duration;

use callsheet::model::{Error, Event, Request, Stage, TimeLimits};
use callsheet::wire::{MAX_REPLY_BYTES, Reply};
use callsheet::{ApiKey, Endpoint, HttpModel, Model};
use futures_util::StreamExt;

use crate::support::peer::{LAST_CHUNK, Peer, Step, chunk, event, json, response, stream_head};

const KEY: &str = "sk-very-secret-0123456789";
const REPLY: &str =
    r#"{"choices":[{"index":0,"message":{"content":"Hello"},"finish_reason":"stop"}]}"#;
const FINISH: &str = r#"{"choices":[{"index":0,"delta":{},"finish_reason":"stop"}]}"#;

fn text(piece: &str) -> String {
    event(&format!(r#"{{"choices":[{{"index":0,"delta":{{"content":"{piece}"}}}}]}}"#))
}

/// A whole streamed reply.
fn streamed_reply() -> Vec<Step> {
    let parts = [text("Hel"), text("lo"), event(FINISH), event("[DONE]"), LAST_CHUNK.to_owned()];
    vec![stream_head(), Step::Send(parts.concat())]
}

/// A stream that goes on with `steps` after its head and the text `Hel`.
fn after_text(steps: impl IntoIterator<Item = Step>) -> Vec<Step> {
    [stream_head(), Step::Send(text("Hel"))].into_iter().chain(steps).collect()
}

fn endpoint(peer: &Peer, stream: bool) -> Endpoint {
    Endpoint { key: Some(ApiKey::new(KEY)), stream, ..Endpoint::new(peer.base_url()) }
}

fn model(peer: &Peer, stream: bool) -> HttpModel {
    HttpModel::new(endpoint(peer, stream), "m").expect("the peer has a URL")
}

/// A model that streams, with limits of milliseconds where a test gives them.
fn hasty(peer: &Peer, change: impl FnOnce(&mut TimeLimits)) -> HttpModel {
    let mut endpoint = endpoint(peer, true);
    change(&mut endpoint.time_limits);
    HttpModel::new(endpoint, "m").expect("the peer has a URL")
}

/// Asks once. Gives the names of the events before the end, and the end.
async fn ask(model: &HttpModel) -> (Vec<String>, Result<Reply, Error>) {
    let messages = br#"{"role":"user","content":"hi"}"#;
    let mut events =
        model.ask(Request { messages, tools: b"", names: &[], may_call: true, first: true });
    let mut heard = Vec::new();
    loop {
        match events.next().await.expect("a reply or an error is the last event") {
            Ok(Event::Began) => heard.push("began".to_owned()),
            Ok(Event::Text(text)) => heard.push(format!("text {text}")),
            Ok(Event::Reasoning(text)) => heard.push(format!("reasoning {text}")),
            Ok(Event::CallReady { ordinal, certainty, .. }) => {
                heard.push(format!("{ordinal} {certainty:?}"));
            }
            Ok(Event::Counted(usage)) => heard.push(format!("{} counted", usage.output_tokens)),
            Ok(Event::CallChanged { ordinal }) => heard.push(format!("{ordinal} changed")),
            Ok(Event::Reply(reply)) => {
                assert!(events.next().await.is_none(), "nothing follows a reply");
                return (heard, Ok(*reply));
            }
            Ok(other) => panic!("not known here: {other:?}"),
            Err(error) => {
                assert!(events.next().await.is_none(), "nothing follows an error");
                let shown = format!("{error} {error:?}");
                assert!(!shown.contains("very-secret"), "{shown}");
                return (heard, Err(error));
            }
        }
    }
}

async fn ask_well(model: &HttpModel) -> Reply {
    ask(model).await.1.expect("the reply is good")
}

async fn ask_in_vain(model: &HttpModel) -> Error {
    ask(model).await.1.expect_err("there is no good reply")
}

/// The error that one response leads to: the same with and without streaming.
async fn error_of(status: &str, content_type: &str, headers: &str, body: &str) -> Error {
    let answer = || vec![response(status, content_type, headers, body)];
    let peer = Peer::start([answer(), answer()]);
    let error = ask_in_vain(&model(&peer, false)).await;
    assert_eq!(ask_in_vain(&model(&peer, true)).await, error);
    let url = format!("http://{}/v1/chat/completions", peer.addr());
    assert!(error.to_string().contains(&url), "{error}");
    error
}

#[tokio::test]
async fn a_reply_without_streaming_is_one_event() {
    let peer = Peer::start([vec![json(REPLY)]]);
    let (heard, reply) = ask(&model(&peer, false)).await;
    assert_eq!(heard, [""; 0]);
    assert_eq!(reply.unwrap().text, "Hello");
    let request = &peer.heard()[0];
    assert!(request.head.starts_with("POST /v1/chat/completions HTTP/1.1\r\n"), "{request:?}");
    assert!(request.head.contains(&format!("authorization: Bearer {KEY}\r\n")));
    assert!(request.head.contains("content-type: application/json\r\n"));
    assert!(request.body.contains(r#""stream":false"#), "{request:?}");
}

#[tokio::test]
async fn a_streamed_reply_begins_goes_on_and_ends() {
    let peer = Peer::start([streamed_reply()]);
    let (heard, reply) = ask(&model(&peer, true)).await;
    assert_eq!(heard, ["began", "text Hel", "text lo"]);
    assert_eq!(reply.unwrap().text, "Hello");
    assert!(peer.heard()[0].body.contains(r#""stream":true"#));
}

/// What is known to have failed begins no call: neither a call that the last line completes, nor one
/// of a reply that is here as a whole.
#[tokio::test]
async fn a_reply_that_ends_badly_makes_no_call_ready_at_its_end() {
    let call = |index: u32| {
        let function = r#"{"name":"pay","arguments":"{\"x\":1}"}"#;
        let call = format!(r#"{{"index":{index},"id":"c{index}","function":{function}}}"#);
        format!(r#"data: {{"choices":[{{"delta":{{"tool_calls":[{call}]}}}}]}}"#)
    };
    let cut = [event(&call(0)[6..]), chunk(&call(1))];
    let peer = Peer::start([vec![stream_head(), Step::Send(cut.concat()), Step::Close]]);
    let (heard, reply) = ask(&model(&peer, true)).await;
    assert_eq!(heard, ["began"]);
    assert!(matches!(reply, Err(Error::Cut { .. })), "{reply:?}");
    let body = format!("{}\n\n{}\n\n", call(0), call(1));
    let peer = Peer::start([vec![response("200 OK", "text/event-stream", "", &body)]]);
    let (heard, reply) = ask(&model(&peer, false)).await;
    assert_eq!(heard, ["began"]);
    assert!(matches!(reply, Err(Error::Cut { .. })), "{reply:?}");
}

#[tokio::test]
async fn what_is_neither_a_stream_nor_json_is_quoted() {
    for body in ["upstream connect error or disconnect", "null", "true"] {
        let error = error_of("200 OK", "text/plain", "", body).await;
        let expected = format!("malformed: expected a reply: {body}");
        assert!(error.to_string().ends_with(&expected), "{error}");
    }
}

#[tokio::test]
async fn what_stands_on_a_last_line_without_its_end_is_heard() {
    let last = r#"data: {"choices":[{"delta":{"content":"lo"},"finish_reason":"stop"}]}"#;
    let end = Step::Send(chunk(last) + LAST_CHUNK);
    let peer = Peer::start([after_text([end])]);
    let (heard, reply) = ask(&model(&peer, true)).await;
    assert_eq!(heard, ["began", "text Hel", "text lo"]);
    assert_eq!(reply.unwrap().text, "Hello");
}

#[tokio::test]
async fn a_server_that_does_not_stream_is_read_all_the_same() {
    let plain = response("200 OK", "text/plain", "", REPLY);
    let peer = Peer::start([vec![json(REPLY)], vec![plain]]);
    let model = model(&peer, true);
    assert_eq!(ask_well(&model).await.text, "Hello");
    assert_eq!(ask_well(&model).await.text, "Hello");
}

#[tokio::test]
async fn requests_in_a_row_use_one_connection() {
    let peer = Peer::start([vec![json(REPLY)], vec![json(REPLY)], vec![json(REPLY)]]);
    let whole = model(&peer, false);
    for _ in 0..3 {
        ask_well(&whole).await;
    }
    assert_eq!(peer.connections(), [0, 0, 0]);

    let peer = Peer::start([streamed_reply(), streamed_reply(), streamed_reply()]);
    let streaming = model(&peer, true);
    for _ in 0..3 {
        ask_well(&streaming).await;
    }
    assert_eq!(peer.connections(), [0, 0, 0]);
}

#[tokio::test]
async fn models_at_one_endpoint_share_its_connections() {
    let peer = Peer::start([(); 3].map(|()| vec![json(REPLY)]));
    let first = model(&peer, false);
    let second = first.with_name("second");
    assert_eq!(second.name(), "second");
    for model in [&first, &second, &first] {
        ask_well(model).await;
    }
    assert_eq!(peer.connections(), [0, 0, 0]);
}

#[tokio::test]
async fn a_connection_is_used_again_when_the_end_of_its_stream_comes_late() {
    let (words, tails): (Vec<_>, Vec<_>) = (0..3).map(|_| mpsc::channel()).unzip();
    let late = |word| {
        let parts = [text("Hello"), event(FINISH), event("[DONE]")].concat();
        let tail = Step::Send(LAST_CHUNK.to_owned());
        vec![stream_head(), Step::Send(parts), Step::Await(word), tail]
    };
    let peer = Peer::start(tails.into_iter().map(late));
    let model = model(&peer, true);
    for word in words {
        ask_well(&model).await; // The reply does not wait for the tail.
        word.send(()).unwrap();
        tokio::time::sleep(Duration::from_millis(20)).await; // Nobody tells when it is read.
        settle().await;
    }
    assert_eq!(peer.connections(), [0, 0, 0]);
}

/// Lets the tasks of this thread do what they are ready to do.
async fn settle() {
    for _ in 0..20 {
        tokio::task::yield_now().await;
    }
}

#[tokio::test]
async fn a_refusal_leaves_its_connection_usable() {
    let refusal = response("500 Oops", "application/json", "", r#"{"error":"busy"}"#);
    let peer = Peer::start([vec![refusal], streamed_reply()]);
    let model = model(&peer, true);
    ask_in_vain(&model).await;
    ask_well(&model).await;
    assert_eq!(peer.connections(), [0, 0]);
}

#[test]
fn each_thread_has_its_own_connections() {
    let peer = Peer::start([(); 4].map(|()| vec![json(REPLY)]));
    let model = Arc::new(model(&peer, false));
    for _ in 0..2 {
        let model = Arc::clone(&model);
        let asking = std::thread::spawn(move || {
            let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
            runtime.unwrap().block_on(async {
                ask_well(&model).await;
                ask_well(&model).await;
            });
        });
        asking.join().unwrap();
    }
    assert_eq!(peer.connections(), [0, 0, 1, 1]);
}

#[tokio::test]
async fn a_closed_port_is_unreachable() {
    let free = std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
    let model = HttpModel::new(Endpoint::new(format!("http://{free}/v1")), "m").unwrap();
    let error = ask_in_vain(&model).await;
    assert!(matches!(error, Error::Unreachable { .. }), "{error:?}");
    let text = format!("cannot reach http://{free}/v1/chat/completions: Connection refused");
    assert!(error.to_string().starts_with(&text), "{error}");
    assert!(error.is_transient());
}

#[cfg(target_os = "linux")] // Others refuse a connection that nobody waits for.
#[tokio::test]
async fn a_connection_that_nobody_takes_is_told_from_a_slow_reply() {
    let socket = tokio::net::TcpSocket::new_v4().unwrap();
    socket.bind("127.0.0.1:0".parse().unwrap()).unwrap();
    let listener = socket.listen(1).unwrap();
    let addr = listener.local_addr().unwrap();
    let mut waiting = Vec::new();
    let full = Duration::from_millis(50);
    while let Ok(Ok(stream)) =
        tokio::time::timeout(full, tokio::net::TcpStream::connect(addr)).await
    {
        waiting.push(stream);
    }
    let limit = Duration::from_millis(30);
    let mut endpoint = Endpoint::new(format!("http://{addr}"));
    endpoint.time_limits.connect = limit;
    let error = ask_in_vain(&HttpModel::new(endpoint, "m").unwrap()).await;
    let url = format!("http://{addr}/chat/completions");
    assert_eq!(error.to_string(), format!("no connection from {url} within 30 ms"));
    assert_eq!(error, Error::TimedOut { url, stage: Stage::Connect, limit });
}

#[tokio::test]
async fn a_refused_key_is_not_repeated() {
    let json = format!(r#"{{"error":{{"message":"Incorrect key provided: {KEY}."}}}}"#);
    for status in ["401 Unauthorized", "403 Forbidden"] {
        let error = error_of(status, "application/json", "", &json).await;
        let Error::KeyRefused { message, .. } = &error else { panic!("{error:?}") };
        assert_eq!(message, "Incorrect key provided: [secret].");
        assert!(!error.is_transient());
    }
    let page = format!("<html>your key {KEY} is unknown</html>");
    let error = error_of("401 Unauthorized", "text/html", "", &page).await;
    assert!(error.to_string().contains("your key [secret] is unknown"), "{error}");
}

#[tokio::test]
async fn half_a_key_at_the_end_of_an_excerpt_is_hidden_too() {
    let page = format!("<html>{}{KEY}", "x".repeat(200 - "<html>".len() - KEY.len() / 2 - 4));
    for status in ["200 OK", "400 Bad Request"] {
        error_of(status, "text/html", "", &page).await; // Every error is searched for the key.
    }
}

#[tokio::test]
async fn no_other_error_repeats_the_key() {
    let body = format!(r#"{{"error":{{"message":"{KEY} {KEY}","code":"{KEY}"}}}}"#);
    for status in ["200 OK", "400 No", "404 No", "429 No", "500 No", "302 Found"] {
        error_of(status, "application/json", "", &body).await;
    }
    let in_the_stream = Step::Send(event(&body));
    let peer = Peer::start([after_text([in_the_stream]), after_text([Step::Send(event(KEY))])]);
    ask_in_vain(&model(&peer, true)).await;
    ask_in_vain(&model(&peer, true)).await;
}

#[tokio::test]
async fn an_unknown_model_is_named() {
    let body = r#"{"error":{"message":"The model does not exist","code":"model_not_found"}}"#;
    let error = error_of("404 Not Found", "application/json", "", body).await;
    assert!(matches!(error, Error::UnknownModel { .. }), "{error:?}");
    assert!(
        error.to_string().ends_with("does not know the model `m`: The model does not exist"),
        "{error}"
    );
}

#[tokio::test]
async fn a_limited_rate_says_how_long_to_wait() {
    let body = r#"{"error":{"message":"slow down"}}"#;
    for (headers, awaited) in [
        ("retry-after: 7\r\n", Some(Duration::from_secs(7))),
        ("retry-after: soon\r\n", None),
        ("", None),
    ] {
        let error = error_of("429 Too Many", "application/json", headers, body).await;
        let Error::RateLimited { retry_after, message, .. } = &error else { panic!("{error:?}") };
        assert_eq!((*retry_after, &**message), (awaited, "slow down"));
        assert!(error.is_transient());
    }
    let error = error_of("503 Busy", "application/json", "retry-after-ms: 1500\r\n", body).await;
    assert_eq!(error.retry_after(), Some(Duration::from_millis(1500)));
    let error = error_of("400 Bad", "application/json", "retry-after: 7\r\n", body).await;
    assert_eq!(error.retry_after(), None);
    let error = error_of("402 Payment Required", "application/json", "", body).await;
    assert!(matches!(error, Error::NoCredit { .. }), "{error:?}");
}

#[tokio::test]
async fn an_error_means_the_same_before_a_reply_and_in_the_middle_of_it() {
    let table = [
        (429, "rate_limit_exceeded", "rate_limited", true),
        (429, "insufficient_quota", "no_credit", false),
        (400, "tool_use_failed", "bad_call", true),
        (400, "model_not_found", "unknown_model", false),
        (401, "invalid_api_key", "key_refused", false),
        (529, "overloaded_error", "model_failed", true),
        (400, "context_length_exceeded", "context_length", false),
    ];
    for (status, code, expected, is_transient) in table {
        let body = format!(
            r#"{{"error":{{"message":"try again in 3s","type":"{code}","status_code":{status}}}}}"#
        );
        let refused = error_of(&format!("{status} No"), "application/json", "", &body).await;
        let peer = Peer::start([after_text([Step::Send(event(&body))])]);
        let broken_off = ask_in_vain(&model(&peer, true)).await;
        for error in [&refused, &broken_off] {
            assert_eq!((error.code(), error.is_transient()), (expected, is_transient), "{error:?}");
        }
        if refused.is_transient() && expected != "bad_call" {
            let asked = Some(Duration::from_secs(3));
            assert_eq!((refused.retry_after(), broken_off.retry_after()), (asked, asked), "{code}");
        }
    }
}

#[tokio::test]
async fn a_refused_request_says_why() {
    let body = r#"{"error":{"message":"tools are not supported"}}"#;
    let error = error_of("400 Bad Request", "application/json", "", body).await;
    assert!(matches!(error, Error::Refused { status: 400, .. }), "{error:?}");
    assert!(
        error.to_string().ends_with("refused the request (400): tools are not supported"),
        "{error}"
    );
    assert!(!error.is_transient());
}

#[tokio::test]
async fn a_failing_provider_is_worth_another_try() {
    for (status, number) in [("500 Internal Server Error", 500), ("503 Unavailable", 503)] {
        let error = error_of(status, "application/json", "", r#"{"detail":"no GPU"}"#).await;
        let Error::Failed { status, message, .. } = &error else { panic!("{error:?}") };
        assert_eq!((*status, &**message), (number, "no GPU"));
        assert!(error.is_transient());
    }
    let error = error_of("502 Bad Gateway", "text/html", "", "").await;
    assert!(error.to_string().ends_with("failed (502): 502 Bad Gateway"), "{error}");
    let error = error_of("502 Bad Gateway", "text/html", "", "<h1>\n  nginx </h1>").await;
    assert!(error.to_string().ends_with("failed (502): <h1> nginx </h1>"), "{error}");
}

#[tokio::test]
async fn a_web_page_is_no_reply_and_the_error_says_so() {
    let error = error_of("200 OK", "text/html", "", "<html><title>Sign in</title></html>").await;
    assert!(matches!(error, Error::Malformed { .. }), "{error:?}");
    assert!(
        error.to_string().ends_with(
            "is malformed: expected JSON, got HTML: <html><title>Sign in</title></html>"
        ),
        "{error}"
    );
    assert!(error.advice().contains("/v1"));
    assert!(error.is_transient(), "it may be the page of a proxy in trouble");
}

/// Whatever the header says of the body, and whether it was asked to stream or not.
#[tokio::test]
async fn a_reply_is_read_as_what_it_is() {
    let delta = r#"{"choices":[{"delta":{"content":"Hello"},"finish_reason":"stop"}]}"#;
    let events = format!("data: {delta}\n\ndata: [DONE]\n\n");
    for stream in [true, false] {
        for kind in ["application/json", "text/event-stream", "text/plain"] {
            for body in [REPLY, &events] {
                let peer = Peer::start([vec![response("200 OK", kind, "", body)]]);
                let reply = ask_well(&model(&peer, stream)).await;
                assert!(!reply.text.is_empty(), "{stream} {kind} {body}");
            }
        }
    }
}

#[tokio::test]
async fn an_empty_body_is_no_reply() {
    let error = error_of("200 OK", "application/json", "", "").await;
    assert!(matches!(error, Error::Cut { .. }), "{error:?}");
    let peer = Peer::start([vec![stream_head(), Step::Send(LAST_CHUNK.to_owned())]]);
    let error = ask_in_vain(&model(&peer, true)).await;
    assert!(matches!(error, Error::Cut { .. }), "{error:?}");
}

#[tokio::test]
async fn an_error_behind_a_good_status_is_an_error() {
    let body = r#"{"error":{"message":"the model is loading"}}"#;
    let error = error_of("200 OK", "application/json", "", body).await;
    assert!(matches!(error, Error::Failed { status: 200, .. }), "{error:?}");
    assert!(error.to_string().ends_with(" failed in its reply: the model is loading"), "{error}");
    let body = r#"{"error":{"message":"slow down","code":429,"retry_after":7}}"#;
    let error = error_of("200 OK", "application/json", "", body).await;
    let seven = Some(Duration::from_secs(7));
    assert!(matches!(error, Error::RateLimited { .. }), "{error:?}");
    assert_eq!(error.retry_after(), seven);
    let body = r#"{"error":{"message":"no such field","type":"invalid_request_error"}}"#;
    let error = error_of("200 OK", "application/json", "", body).await;
    assert!(
        error.to_string().ends_with(" refused the request in its reply: no such field"),
        "{error}"
    );
}

#[tokio::test]
async fn what_a_reply_that_came_to_nothing_has_cost_is_told_before_its_error() {
    let body = r#"{"error":{"message":"gone"},"usage":{"completion_tokens":3}}"#;
    let stream = || after_text([Step::Send(event(body) + LAST_CHUNK)]);
    let peer = Peer::start([vec![json(body)], vec![json(body)], stream()]);
    for (stream, expected) in [(false, &[][..]), (true, &[]), (true, &["began", "text Hel"])] {
        let (heard, reply) = ask(&model(&peer, stream)).await;
        assert_eq!(heard, [expected, &["3 counted"]].concat());
        assert!(matches!(reply, Err(Error::Failed { .. })), "{reply:?}");
    }
}

#[tokio::test]
async fn a_body_over_the_limit_is_not_read() {
    let huge = || {
        let head = "HTTP/1.1 200 OK\r\ncontent-type: application/json\r\nconnection: close\r\n\r\n";
        vec![Step::Send(head.to_owned() + "{" + &" ".repeat(MAX_REPLY_BYTES))]
    };
    let peer = Peer::start([huge(), huge()]);
    for stream in [false, true] {
        let error = ask_in_vain(&model(&peer, stream)).await;
        assert!(error.to_string().ends_with("the reply is larger than 33554432 bytes"), "{error}");
    }
}

#[tokio::test]
async fn an_error_in_the_middle_of_a_stream_ends_it() {
    let body = event(r#"{"error":{"message":"overloaded","code":502},"choices":[]}"#);
    let peer = Peer::start([after_text([Step::Send(body), Step::Stall])]);
    let (heard, end) = ask(&model(&peer, true)).await;
    assert_eq!(heard, ["began", "text Hel"]);
    let error = end.unwrap_err();
    assert!(error.to_string().ends_with("failed (502): overloaded"), "{error}");
}

#[tokio::test]
async fn a_stream_that_breaks_off_is_cut() {
    let ended = after_text([Step::Send(LAST_CHUNK.to_owned())]);
    let closed = after_text([Step::Close]);
    for (steps, reason) in [
        (ended, "it ended before the model had finished"),
        (closed, "unexpected EOF during chunk size line"),
    ] {
        let peer = Peer::start([steps]);
        let (heard, end) = ask(&model(&peer, true)).await;
        assert_eq!(heard, ["began", "text Hel"]);
        let error = end.unwrap_err();
        let Error::Cut { reason: told, .. } = &error else { panic!("{error:?}") };
        assert_eq!(told, reason);
        assert!(error.is_transient());
    }
}

#[tokio::test]
async fn a_body_that_breaks_off_is_cut() {
    let head = "HTTP/1.1 200 OK\r\ncontent-type: application/json\r\ncontent-length: 900\r\n\r\n{";
    let answer = || vec![Step::Send(head.to_owned()), Step::Close];
    let peer = Peer::start([answer(), answer()]);
    for stream in [false, true] {
        let error = ask_in_vain(&model(&peer, stream)).await;
        assert!(matches!(error, Error::Cut { .. }), "{error:?}");
    }
}

#[tokio::test]
async fn a_finished_text_stands_however_its_connection_ends() {
    let finished = |end| after_text([Step::Send(event(FINISH)), end]);
    let peer = Peer::start([finished(Step::Close), finished(Step::Stall)]);
    assert_eq!(ask_well(&model(&peer, true)).await.text, "Hel");
    let hasty = hasty(&peer, |limits| limits.silence = Duration::from_millis(30));
    assert_eq!(ask_well(&hasty).await.text, "Hel");
}

#[tokio::test]
async fn a_call_does_not_stand_when_its_connection_breaks() {
    let call = r#"{"choices":[{"index":0,"delta":{"tool_calls":[{"index":0,"id":"a","function":{"name":"write","arguments":"{}"}}]},"finish_reason":"tool_calls"}]}"#;
    let clean = vec![stream_head(), Step::Send(event(call) + LAST_CHUNK)];
    let broken = vec![stream_head(), Step::Send(event(call)), Step::Close];
    let peer = Peer::start([clean, broken]);
    let model = model(&peer, true);
    assert_eq!(ask_well(&model).await.calls.len(), 1);
    let error = ask_in_vain(&model).await;
    assert!(matches!(error, Error::Cut { .. }), "{error:?}");
}

#[tokio::test]
async fn a_connection_that_ends_without_a_response_is_cut() {
    let peer = Peer::start([vec![Step::Close], vec![Step::Reset]]);
    for reason in ["connection closed before message completed", "Connection reset by peer"] {
        let error = ask_in_vain(&model(&peer, true)).await;
        let Error::Cut { reason: told, .. } = &error else { panic!("{error:?}") };
        assert!(told.starts_with(reason), "{told}");
        assert!(error.is_transient());
    }
}

#[tokio::test]
async fn a_redirect_is_not_followed() {
    let other = Peer::start([vec![json(REPLY)]]);
    for status in ["302 Found", "307 Temporary Redirect", "308 Permanent Redirect"] {
        let headers = format!("location: {}/chat/completions\r\n", other.base_url());
        let error = error_of(status, "text/html", &headers, "").await;
        let Error::Redirected { status: told, .. } = &error else { panic!("{error:?}") };
        assert_eq!(told.to_string(), status[..3]);
        assert!(!error.is_transient());
    }
    assert!(other.heard().is_empty());
}

#[tokio::test]
async fn the_first_token_has_a_time_limit() {
    let comments = Step::Drip {
        text: chunk(": keep-alive\n\n"),
        pause: Duration::from_millis(2),
        times: usize::MAX,
    };
    let peer = Peer::start([vec![Step::Stall], vec![stream_head(), comments]]);
    let limit = Duration::from_millis(40);
    let model = hasty(&peer, |limits| limits.first_token = limit);
    for _ in 0..2 {
        let (heard, end) = ask(&model).await;
        assert_eq!(heard, [""; 0]);
        let error = end.unwrap_err();
        assert!(
            matches!(error, Error::TimedOut { stage: Stage::FirstToken, limit: told, .. } if told == limit),
            "{error:?}"
        );
    }
}

#[tokio::test]
async fn a_reply_without_streaming_has_the_same_time_limit() {
    let head = "HTTP/1.1 200 OK\r\ncontent-type: application/json\r\ncontent-length: 900\r\n\r\n{";
    let peer = Peer::start([vec![Step::Send(head.to_owned()), Step::Stall]]);
    let mut endpoint = endpoint(&peer, false);
    endpoint.time_limits.first_token = Duration::from_millis(40);
    let error = ask_in_vain(&HttpModel::new(endpoint, "m").unwrap()).await;
    assert!(matches!(error, Error::TimedOut { stage: Stage::FirstToken, .. }), "{error:?}");
}

#[tokio::test]
async fn comments_and_empty_chunks_do_not_break_the_silence() {
    let empty = r#"{"choices":[{"index":0,"delta":{"role":"assistant","content":""}}]}"#;
    for text in [chunk(": keep-alive\n\n"), event(empty)] {
        let drip = Step::Drip { text, pause: Duration::from_millis(2), times: usize::MAX };
        let peer = Peer::start([after_text([drip])]);
        let limit = Duration::from_millis(40);
        let (heard, end) = ask(&hasty(&peer, |limits| limits.silence = limit)).await;
        assert_eq!(heard, ["began", "text Hel"]);
        let error = end.unwrap_err();
        assert!(
            matches!(error, Error::TimedOut { stage: Stage::Silence, limit: told, .. } if told == limit),
            "{error:?}"
        );
    }
}

#[tokio::test]
async fn arguments_that_go_on_coming_are_no_silence() {
    let piece = |function: &str| {
        event(&format!(
            r#"{{"choices":[{{"index":0,"delta":{{"tool_calls":[{{"index":0,"function":{function}}}]}}}}]}}"#
        ))
    };
    let open = Step::Send(piece(r#"{"name":"write","arguments":"{\"text\":\""}"#));
    let more = Step::Drip {
        text: piece(r#"{"arguments":"xx"}"#),
        pause: Duration::from_millis(10),
        times: 15,
    };
    let close = Step::Send(piece(r#"{"arguments":"\"}"}"#) + &event("[DONE]") + LAST_CHUNK);
    let peer = Peer::start([vec![stream_head(), open, more, close]]);
    let model = hasty(&peer, |limits| limits.silence = Duration::from_millis(100));
    assert_eq!(ask_well(&model).await.calls.len(), 1);
}

#[tokio::test]
async fn a_base_url_may_end_in_slashes_or_hold_a_query() {
    let peer = Peer::start([(); 5].map(|()| vec![json(REPLY)]));
    let base = peer.base_url();
    for (base_url, path) in [
        (base.clone(), "/v1/chat/completions"),
        (format!("{base}/"), "/v1/chat/completions"),
        (format!("{base}//"), "/v1/chat/completions"),
        (format!("http://{}", peer.addr()), "/chat/completions"),
        (format!("{base}/?api-version=1"), "/v1/chat/completions?api-version=1"),
    ] {
        ask_well(&HttpModel::new(Endpoint::new(base_url), "m").unwrap()).await;
        let heard = peer.heard().pop().unwrap();
        assert_eq!(heard.head.lines().next(), Some(&*format!("POST {path} HTTP/1.1")));
    }
}

#[tokio::test]
async fn a_password_or_query_in_the_url_is_not_shown() {
    let refusal = || vec![response("500 No", "text/plain", "", "")];
    let peer = Peer::start([refusal(), vec![Step::Close]]);
    let base_url = format!("http://user:pass@{}/v1?key=pass", peer.addr());
    let endpoint = Endpoint::new(base_url.clone());
    let model = HttpModel::new(endpoint.clone(), "m").unwrap();
    let refused = ask_in_vain(&model).await;
    let url = format!("http://{}/v1/chat/completions", peer.addr());
    assert!(refused.to_string().starts_with(&url), "{refused}");
    let cut = ask_in_vain(&model).await;
    drop(peer);
    let unreachable = ask_in_vain(&model).await;
    for shown in [
        format!("{refused} {refused:?} {cut} {cut:?} {unreachable} {unreachable:?}"),
        format!("{endpoint:?} {model:?}"),
    ] {
        assert!(!shown.contains("pass") && !shown.contains("user"), "{shown}");
    }
}

#[test]
fn what_is_no_url_is_said_at_once() {
    let check = |base_url: &str, text: &str| {
        let error = HttpModel::new(Endpoint::new(base_url), "m").unwrap_err();
        assert_eq!(error.to_string(), text);
    };
    check("", "cannot reach the configured URL: relative URL without a base");
    check("api.example.com/v1", "cannot reach the configured URL: relative URL without a base");
    let advice = "the URL must begin with http:// or https://";
    check("localhost:8080/v1", &format!("cannot reach localhost:8080/v1: {advice}"));
    check("ftp://u:p@host/v1", &format!("cannot reach ftp://host/v1: {advice}"));
    check("user:pass@host/v1", &format!("cannot reach the configured URL: {advice}"));
    check("http://user:pass@", "cannot reach the configured URL: empty host");
}

#[test]
fn a_key_that_no_header_may_hold_is_not_shown() {
    let key = Some(ApiKey::new("sk-very-secret\n"));
    let endpoint = Endpoint { key, ..Endpoint::new("http://localhost") };
    let error = HttpModel::new(endpoint, "m").unwrap_err();
    assert!(!format!("{error} {error:?}").contains("very-secret"));
    assert!(error.to_string().ends_with("it has characters that no header may hold"));
}

#[tokio::test]
async fn an_endpoint_is_reached_without_asking_a_model() {
    let answer = |status| vec![response(status, "text/plain", "", "no")];
    let peer = Peer::start([answer("200 OK"), answer("401 Unauthorized"), vec![Step::Stall]]);
    let model = model(&peer, true);
    assert_eq!(model.reach(Duration::from_secs(10)).await, Ok(200));
    assert_eq!(model.reach(Duration::from_secs(10)).await, Ok(401));
    let limit = Duration::from_millis(20);
    let silent = model.reach(limit).await.expect_err("nobody answers");
    let url = format!("{}/models", peer.base_url());
    assert_eq!(silent, Error::TimedOut { url, stage: Stage::Connect, limit });
    let heard = peer.heard();
    assert!(heard.iter().all(|heard| heard.head.starts_with("GET /v1/models ")), "{heard:?}");
    assert!(heard[0].head.contains(&format!("authorization: Bearer {KEY}\r\n")), "{heard:?}");
}
