//! The server over real HTTP.

use std::time::{Duration, Instant};

use reqwest::{Client, Response, StatusCode};
use serde_json::{Value, json};

use super::{Brain, Options, Script, Server};

/// A client that speaks to loopback only, so no certificates are looked for.
fn client() -> Client {
    let _ = rustls::crypto::ring::default_provider().install_default();
    Client::builder().no_proxy().build().expect("a client")
}

fn start(brain: Brain, pace: Duration) -> Server {
    Server::start(Options { brain, pace, ..Options::default() }).expect("a free port")
}

fn rules() -> Server {
    start(Brain::Rules, Duration::ZERO)
}

fn scripted(script: &str) -> Server {
    start(Brain::Script(Script::parse(script).expect("readable")), Duration::ZERO)
}

async fn post(server: &Server, request: &Value) -> Response {
    let url = format!("{}/chat/completions", server.base_url());
    client().post(url).json(request).send().await.expect("a response")
}

async fn refusal(server: &Server, request: &Value) -> (StatusCode, Value) {
    let response = post(server, request).await;
    (response.status(), response.json::<Value>().await.expect("JSON")["error"].clone())
}

fn question(text: &str) -> Value {
    json!({
        "model": "m",
        "messages": [{"role": "user", "content": text}],
        "tools": [{"type": "function", "function": {"name": "get_weather",
            "description": "Get the current weather for a city", "parameters":
            {"type": "object", "properties": {"city": {"type": "string"}}, "required": ["city"]}}}],
    })
}

fn streamed(mut request: Value) -> Value {
    request["stream"] = json!(true);
    request["stream_options"] = json!({"include_usage": true});
    request
}

/// The events of a stream, without the last one, which must be `[DONE]`.
async fn events(response: Response) -> Vec<Value> {
    assert_eq!(response.headers()["content-type"], "text/event-stream");
    let text = response.text().await.expect("a whole stream");
    let text = text.strip_suffix("data: [DONE]\n\n").expect("the end is marked");
    let data = text.split_terminator("\n\n").map(|event| event.strip_prefix("data: "));
    data.map(|data| serde_json::from_str(data.expect("data")).expect("JSON")).collect()
}

#[tokio::test]
async fn a_reply_comes_as_one_object() {
    let server = rules();
    let reply: Value =
        post(&server, &question("weather in Tokyo and Oslo")).await.json().await.expect("JSON");
    assert_eq!(reply["model"], "m");
    let choice = &reply["choices"][0];
    assert_eq!(choice["finish_reason"], "tool_calls");
    assert_eq!(choice["message"]["content"], Value::Null);
    let call = |id: &str, city: &str| {
        json!({"id": id, "type": "function", "function": {"name": "get_weather",
            "arguments": json!({"city": city}).to_string()}})
    };
    let calls = json!([call("call_1", "Tokyo"), call("call_2", "Oslo")]);
    assert_eq!(choice["message"]["tool_calls"], calls);
    assert!(reply["usage"]["total_tokens"].as_u64() > Some(0));
    assert_eq!(server.requests(), 1);
}

#[tokio::test]
async fn a_streamed_reply_is_the_same_in_pieces() {
    let server = rules();
    let events = events(post(&server, &streamed(question("weather in San Francisco"))).await).await;
    let delta = |at: usize| &events[at]["choices"][0]["delta"];
    assert_eq!(*delta(0), json!({"role": "assistant", "content": ""}));
    let opened = json!([{"index": 0, "id": "call_1", "type": "function",
        "function": {"name": "get_weather", "arguments": ""}}]);
    assert_eq!(delta(1)["tool_calls"], opened);
    let pieces: Vec<&str> = (2..events.len())
        .filter_map(|at| delta(at)["tool_calls"][0]["function"]["arguments"].as_str())
        .collect();
    assert_eq!(pieces.concat(), r#"{"city":"San Francisco"}"#);
    assert!(pieces.len() > 1);
    let [.., finish, usage] = events.as_slice() else { panic!("{events:?}") };
    assert_eq!(finish["choices"][0]["finish_reason"], "tool_calls");
    assert_eq!(usage["choices"], json!([]));
    assert!(usage["usage"]["completion_tokens"].as_u64() > Some(0));
}

#[tokio::test]
async fn call_ids_never_repeat_in_a_conversation() {
    let server = rules();
    let mut request = question("");
    request["messages"] = json!([
        {"role": "user", "content": "weather in Tokyo"},
        {"role": "assistant", "tool_calls": [{"id": "call_1", "type": "function",
            "function": {"name": "get_weather", "arguments": "{\"city\":\"Tokyo\"}"}}]},
        {"role": "tool", "tool_call_id": "call_1", "content": "{\"temp_f\":71}"},
        {"role": "assistant", "content": "71"},
        {"role": "user", "content": "weather in Oslo"},
    ]);
    let reply: Value = post(&server, &request).await.json().await.expect("JSON");
    assert_eq!(reply["choices"][0]["message"]["tool_calls"][0]["id"], "call_2");
}

#[tokio::test]
async fn a_broken_history_is_refused_in_the_words_of_openai() {
    let server = rules();
    let mut request = question("");
    request["messages"] = json!([
        {"role": "user", "content": "weather in Tokyo"},
        {"role": "assistant", "tool_calls": [{"id": "call_7", "type": "function",
            "function": {"name": "get_weather", "arguments": "{}"}}]},
    ]);
    let (status, error) = refusal(&server, &request).await;
    assert_eq!(status, 400);
    assert_eq!(error["type"], "invalid_request_error");
    assert_eq!(error["code"], Value::Null);
    assert!(error["message"].as_str().is_some_and(|said| said.ends_with("messages: call_7")));
}

#[tokio::test]
async fn other_wrong_requests_are_refused_too() {
    let server = rules();
    let (status, error) = refusal(&server, &json!({"messages": []})).await;
    assert_eq!((status, &error["param"]), (StatusCode::BAD_REQUEST, &json!("messages")));
    let (status, error) = refusal(&server, &question(&"long ".repeat(200_001))).await;
    assert_eq!(
        (status, &error["code"]),
        (StatusCode::BAD_REQUEST, &json!("context_length_exceeded"))
    );
    let (status, _) = refusal(&server, &json!({"messages": [{"role": "wizard"}]})).await;
    assert_eq!(status, 400);

    let url = format!("{}/chat/completions", server.base_url());
    let response = client().post(url).body("{").send().await.expect("a response");
    assert_eq!(response.status(), 400);
    assert_eq!(server.requests(), 4);
}

#[tokio::test]
async fn every_route_also_goes_without_its_version() {
    let server = rules();
    let get = async |path: &str| {
        let url = format!("http://{}{path}", server.addr());
        client().get(url).send().await.expect("a response")
    };
    for root in ["", "/v1"] {
        assert_eq!(get(&format!("{root}/health")).await.status(), 200);
        let models: Value = get(&format!("{root}/models")).await.json().await.expect("JSON");
        assert_eq!(models["data"][0]["object"], "model");
    }
    let lost = get("/v1/nowhere").await;
    assert_eq!(lost.status(), 404);
    assert_eq!(lost.json::<Value>().await.expect("JSON")["error"]["code"], "unknown_url");
    let url = format!("http://{}/chat/completions", server.addr());
    let response = client().post(url).json(&question("hi")).send().await.expect("a response");
    assert_eq!(response.status(), 200);
}

#[tokio::test]
async fn a_script_fails_once_and_then_answers() {
    let server = scripted(
        "[[reply]]\nstatus = 429\nheaders = { retry-after = 0, content-type = 'text/plain' }\n\
         body = 'slow down'\n[[reply]]\ntext = 'hello there'\nfinish = 'length'\n\
         usage = { prompt_tokens = 3, completion_tokens = 4 }\n",
    );
    let failure = post(&server, &question("hi")).await;
    assert_eq!(failure.status(), 429);
    assert_eq!(failure.headers()["retry-after"], "0");
    assert_eq!(failure.headers()["content-type"], "text/plain");
    assert_eq!(failure.text().await.expect("a body"), "slow down");
    let reply: Value = post(&server, &question("hi")).await.json().await.expect("JSON");
    assert_eq!(reply["choices"][0]["message"]["content"], "hello there");
    assert_eq!(reply["choices"][0]["finish_reason"], "length");
    assert_eq!(reply["usage"]["total_tokens"], 7);
}

#[tokio::test]
async fn a_cut_stream_loses_its_end() {
    let server = scripted("[[reply]]\ntext = 'one two three'\ncut_after = 2\n");
    let mut response = post(&server, &streamed(question("hi"))).await;
    let mut read = Vec::new();
    let broken = loop {
        match response.chunk().await {
            Ok(Some(bytes)) => read.extend_from_slice(&bytes),
            Ok(None) => break false,
            Err(_) => break true,
        }
    };
    let read = String::from_utf8(read).expect("UTF-8");
    assert!(broken, "the connection must break: {read}");
    assert!(read.contains(" two") && !read.contains("three") && !read.contains("[DONE]"), "{read}");
}

#[tokio::test]
async fn a_cut_reply_that_is_not_streamed_loses_its_second_half() {
    let server = scripted("[[reply]]\ntext = 'one two three'\ncut_after = 2\n");
    let response = post(&server, &question("hi")).await;
    assert_eq!(response.status(), 200);
    assert!(response.text().await.is_err());
}

#[tokio::test]
async fn broken_arguments_are_sent_as_they_are_written() {
    let server = scripted("[[reply]]\ncalls = [{ name = 'f', raw = '{\"a\":', id = 'x' }]\n");
    let reply: Value = post(&server, &question("hi")).await.json().await.expect("JSON");
    let call = &reply["choices"][0]["message"]["tool_calls"][0];
    assert_eq!((&call["id"], &call["function"]["arguments"]), (&json!("x"), &json!("{\"a\":")));
}

#[tokio::test]
async fn a_reply_takes_as_long_as_its_tokens_streamed_or_not() {
    let server = scripted("[[reply]]\ntext = 'a b c d'\ntoken_delay_ms = 5\ndelay_ms = 5\n");
    for request in [question("hi"), streamed(question("hi"))] {
        let began = Instant::now();
        let whole = post(&server, &request).await.text().await.expect("a body");
        assert!(whole.contains('d'));
        assert!(began.elapsed() >= Duration::from_millis(25), "{:?}", began.elapsed());
    }
}

#[tokio::test]
async fn the_pace_of_the_server_holds_for_rules_too() {
    let server = start(Brain::Rules, Duration::from_millis(3));
    let began = Instant::now();
    let call = events(post(&server, &streamed(question("weather in Tokyo"))).await).await;
    let arguments = call.iter().filter(|event| {
        event["choices"][0]["delta"]["tool_calls"][0]["function"]["name"].is_null()
            && event["choices"][0]["delta"]["tool_calls"].is_array()
    });
    let tokens = u32::try_from(arguments.count()).expect("few");
    assert!(tokens > 0 && began.elapsed() >= Duration::from_millis(3) * tokens);
}

#[test]
fn a_server_needs_no_runtime_and_ends_when_dropped() {
    let server = rules();
    let mut connection = std::net::TcpStream::connect(server.addr()).expect("it listens");
    drop(server);
    let read = std::io::Read::read(&mut connection, &mut [0]);
    assert!(matches!(read, Ok(0) | Err(_)), "{read:?}");
    let taken = rules();
    let options = Options { bind: taken.addr(), ..Options::default() };
    assert!(Server::start(options).is_err());
}
