//! What a request says beside the conversation, and what becomes of a field that a provider refuses.

use std::sync::Arc;
use std::time::Duration;

use callsheet::model::{
    Error, Event, Header, Price, Request, RequestSettings, ToolChoice, ToolName,
};
use callsheet::tools::{Demo, Simulation};
use callsheet::wire::Usage;
use callsheet::{
    ApiKey, Endpoint, HttpModel, Model, ModelRetries, Runtime, SessionOptions, ToolSet,
};
use futures_util::StreamExt;
use serde_json::{Value, json};

use crate::support::peer::{Peer, Step, json, response};

const REPLY: &str =
    r#"{"choices":[{"index":0,"message":{"content":"Hello"},"finish_reason":"stop"}]}"#;

/// Settings of many fields.
fn settings() -> RequestSettings {
    let extra_body =
        json!({"a": 1, "b": 2, "c": 3, "d": 4}).as_object().cloned().expect("an object");
    let max_tokens = Some(9);
    RequestSettings { temperature: Some(0.5), max_tokens, extra_body, ..Default::default() }
}

fn model(peer: &Peer, settings: RequestSettings) -> HttpModel {
    let endpoint = Endpoint { stream: false, settings, ..Endpoint::new(peer.base_url()) };
    HttpModel::new(endpoint, "m").expect("the peer has a URL")
}

async fn ask(model: &dyn Model) -> Result<Option<Usage>, Error> {
    let messages = br#"{"role":"user","content":"hi"}"#;
    let names = &[ToolName { own: "f".into(), on_the_wire: "f".into() }];
    let tools = br#"[{"type":"function"}]"#;
    let request = Request { messages, tools, names, may_call: true, first: true };
    let mut last = Err(Error::Malformed { url: String::new(), reason: "no event".into() });
    let mut events = model.ask(request);
    while let Some(event) = events.next().await {
        last = event.map(|event| match event {
            Event::Reply(reply) => reply.usage,
            _ => None,
        });
    }
    last
}

/// The names of the fields of each request, but for those that every request has.
fn fields(peer: &Peer) -> Vec<Vec<String>> {
    let bodies = peer.heard().into_iter().map(|heard| heard.body);
    let names = |body: String| {
        let body: Value = serde_json::from_str(&body).expect("the body is JSON");
        let always = ["model", "stream", "messages", "tools", "parallel_tool_calls"];
        let names = body.as_object().expect("the body is an object").keys().cloned();
        names.filter(|name| !always.contains(&&**name)).collect()
    };
    bodies.map(names).collect()
}

fn refuses(status: &str, error: Value) -> Vec<Step> {
    vec![response(status, "application/json", "", &json!({"error": error}).to_string())]
}

fn unsupported(field: &str) -> Vec<Step> {
    let error = json!({"message": "no", "param": field, "code": "unsupported_parameter"});
    refuses("400 Bad Request", error)
}

fn answers() -> Vec<Step> {
    vec![json(REPLY)]
}

#[tokio::test]
async fn settings_and_headers_travel_with_every_request() {
    let peer = Peer::start([answers(), answers()]);
    let settings = RequestSettings {
        tool_choice: Some(ToolChoice::Tool("f".into())),
        reasoning_effort: Some("low".into()),
        ..settings()
    };
    let headers =
        vec![Header::new("X-Title", "Night shift"), Header::new("authorization", "Key k")];
    let endpoint = Endpoint {
        key: Some(ApiKey::new("other")),
        stream: false,
        settings,
        headers,
        ..Endpoint::new(peer.base_url())
    };
    let model = HttpModel::new(endpoint, "m").unwrap();
    ask(&model).await.unwrap();
    ask(&model.with_name("second")).await.unwrap();
    for (heard, name) in peer.heard().iter().zip(["m", "second"]) {
        let body: Value = serde_json::from_str(&heard.body).unwrap();
        assert_eq!((&body["temperature"], &body["max_tokens"]), (&json!(0.5), &json!(9)));
        let named = json!({"type": "function", "function": {"name": "f"}});
        assert_eq!((&body["tool_choice"], &body["d"]), (&named, &json!(4)));
        assert_eq!((&body["reasoning_effort"], &body["model"]), (&json!("low"), &json!(name)));
        assert!(heard.head.contains("x-title: Night shift\r\n"), "{heard:?}");
        assert!(heard.head.contains("authorization: Key k\r\n"), "{heard:?}");
        assert!(!heard.head.contains("other"), "{heard:?}");
    }
}

#[tokio::test]
async fn a_model_takes_other_settings_where_they_are_set() {
    let peer = Peer::start([answers(), answers()]);
    let own = model(&peer, settings());
    let extra_body = json!({"b": 7, "top_p": 0.5}).as_object().cloned().expect("an object");
    let max_tokens = Some(3);
    let others = RequestSettings { max_tokens, extra_body, ..RequestSettings::default() };
    let other = own.with_settings(&others).expect("it takes settings");
    ask(&*other).await.unwrap();
    ask(&own).await.unwrap();
    let bodies = peer.heard().into_iter().map(|heard| heard.body);
    let bodies: Vec<Value> = bodies.map(|body| serde_json::from_str(&body).unwrap()).collect();
    let said = |at: usize, names: &[&str]| names.iter().map(|it| bodies[at][it].clone()).collect();
    let names = ["temperature", "max_tokens", "a", "b", "top_p"];
    let [other, own]: [Vec<Value>; 2] = [said(0, &names), said(1, &names)];
    assert_eq!(other, [json!(0.5), json!(3), json!(1), json!(7), json!(0.5)]);
    assert_eq!(own, [json!(0.5), json!(9), json!(1), json!(2), Value::Null]);
}

#[tokio::test]
async fn what_a_model_learns_with_other_settings_it_knows_from_then_on() {
    let peer = Peer::start([unsupported("a"), answers(), answers(), answers()]);
    let own = model(&peer, settings());
    for other in [RequestSettings::default(), RequestSettings::default()] {
        ask(&*own.with_settings(&other).expect("it takes settings")).await.unwrap();
    }
    ask(&own).await.unwrap();
    let all = ["a", "b", "c", "d", "max_tokens", "temperature"];
    let sent: Vec<_> = fields(&peer);
    assert_eq!(sent[0].len(), all.len(), "{sent:?}");
    assert!(sent[1..].iter().all(|names| names.len() == all.len() - 1), "{sent:?}");
}

#[tokio::test]
async fn a_session_names_a_tool_as_it_lists_it_and_none_that_it_does_not() {
    let peer = Peer::start([answers(), answers(), answers()]);
    let runtime = Runtime::builder().start().unwrap();
    let dotted = || Demo::named("math.sum").tool_type("math.sum", Simulation::default());
    let choose = |tool: &str| RequestSettings {
        tool_choice: Some(ToolChoice::Tool(tool.into())),
        ..RequestSettings::default()
    };
    for (tool, tools) in
        [("math.sum", vec![dotted()]), ("math.product", vec![dotted()]), ("math.sum", vec![])]
    {
        let tools = Arc::new(ToolSet::new(tools).unwrap());
        let options = SessionOptions::new(Arc::new(model(&peer, choose(tool))), tools);
        runtime.session(options).ask("go").await.unwrap();
    }
    runtime.shutdown(Duration::from_secs(5)).await;
    let bodies = peer.heard().into_iter().map(|heard| heard.body);
    let bodies = bodies.map(|body| serde_json::from_str::<Value>(&body).unwrap());
    let said: Vec<_> = bodies
        .map(|body| (body.get("tool_choice").cloned(), body.get("tools").is_some()))
        .collect();
    let named = json!({"type": "function", "function": {"name": "math_sum"}});
    assert_eq!(said, [(Some(named), true), (None, true), (None, false)]);
}

#[tokio::test]
async fn what_a_header_holds_is_never_shown() {
    let page = "your key sk-very-secret is unknown, sk-very-secr";
    let peer = Peer::start([vec![response("400 No", "text/plain", "", page)]]);
    let headers = vec![Header::new("api-key", "Key sk-very-secret")];
    let endpoint = Endpoint { stream: false, headers, ..Endpoint::new(peer.base_url()) };
    let model = HttpModel::new(endpoint.clone(), "m").unwrap();
    let error = ask(&model).await.unwrap_err();
    let shown = format!("{error} {error:?} {model:?} {endpoint:?}");
    assert!(shown.contains("api-key") && !shown.contains("very"), "{shown}");
    let headers = vec![Header::new("api key", "sk-very-secret")];
    let unfit = HttpModel::new(Endpoint { headers, ..endpoint }, "m").unwrap_err();
    assert!(unfit.to_string().ends_with("header \"api key\" has characters that none may hold"));
}

#[tokio::test]
async fn a_refused_field_is_left_out_and_the_request_sent_once_more() {
    let peer = Peer::start([unsupported("temperature"), answers(), answers()]);
    let model = model(&peer, settings());
    ask(&model).await.unwrap();
    ask(&model).await.unwrap(); // It is remembered.
    let without = ["a", "b", "c", "d", "max_tokens"];
    let with = ["a", "b", "c", "d", "max_tokens", "temperature"];
    assert_eq!(fields(&peer), [&with[..], &without, &without]);
    assert_eq!(peer.connections(), [0, 0, 0]);
}

#[tokio::test]
async fn another_model_at_the_endpoint_may_take_the_field() {
    let peer = Peer::start([unsupported("d"), answers(), answers()]);
    let model = model(&peer, settings());
    ask(&model).await.unwrap();
    ask(&model.with_name("second")).await.unwrap();
    let has_field: Vec<_> =
        fields(&peer).iter().map(|fields| fields.contains(&"d".to_owned())).collect();
    assert_eq!(has_field, [true, false, true]);
}

#[tokio::test]
async fn a_field_that_only_words_refuse_is_left_out_too() {
    let message = "Unrecognized request argument supplied: b";
    let peer = Peer::start([refuses("422 No", json!({"message": message})), answers()]);
    ask(&model(&peer, settings())).await.unwrap();
    let expected = ["a", "c", "d", "max_tokens", "temperature"];
    assert_eq!(fields(&peer)[1], expected);
}

#[tokio::test]
async fn the_limit_of_tokens_goes_by_its_other_name_before_it_is_left_out() {
    let (one, other) = ("max_tokens", "max_completion_tokens");
    let peer = Peer::start([unsupported(one), answers(), unsupported(other), answers()]);
    let model = model(&peer, RequestSettings { max_tokens: Some(9), ..Default::default() });
    ask(&model).await.unwrap();
    ask(&model).await.unwrap();
    assert_eq!(fields(&peer), [vec![one], vec![other], vec![other], vec![one]]);

    let peer = Peer::start([unsupported(one), unsupported(other), answers(), answers()]);
    let model = self::model(&peer, RequestSettings { max_tokens: Some(9), ..Default::default() });
    ask(&model).await.unwrap();
    ask(&model).await.unwrap();
    assert_eq!(fields(&peer), [vec![one], vec![other], vec![], vec![]]);
}

#[tokio::test]
async fn no_more_than_three_fields_are_given_up() {
    let peer = Peer::start(["a", "b", "c", "d", "a"].map(unsupported));
    let model = model(&peer, settings());
    let error = ask(&model).await.unwrap_err();
    assert!(matches!(error, Error::Refused { status: 400, .. }), "{error:?}");
    assert_eq!(peer.heard().len(), 4);
    // What did not help is not remembered.
    ask(&model).await.unwrap_err();
    assert_eq!(fields(&peer)[4], fields(&peer)[0]);
}

#[tokio::test]
async fn a_field_is_given_up_once_and_what_a_request_is_about_never() {
    let peer = Peer::start([unsupported("a"), unsupported("a"), answers()]);
    ask(&model(&peer, settings())).await.unwrap_err();
    assert_eq!(peer.heard().len(), 2);
    for field in ["tools", "messages", "model", "stream", "unheard_of"] {
        let peer = Peer::start([unsupported(field), answers()]);
        ask(&model(&peer, settings())).await.unwrap_err();
        assert_eq!(peer.heard().len(), 1, "{field}");
    }
}

#[tokio::test]
async fn a_price_counts_where_the_provider_does_not_say_what_a_reply_has_cost() {
    let reply = |usage: &str| REPLY.replace("]}", &format!(r#"],"usage":{usage}}}"#));
    let silent = reply(r#"{"prompt_tokens":1000,"completion_tokens":500}"#);
    let says = reply(r#"{"prompt_tokens":1000,"completion_tokens":500,"cost":7}"#);
    let script = [silent.clone(), says, REPLY.to_owned(), silent.clone(), silent];
    let peer = Peer::start(script.map(|body| vec![json(&body)]));
    let price = Some(Price { input: 1.0, output: 2.0, cached_input: None });
    let endpoint = Endpoint { price, ..Endpoint::new(peer.base_url()) }; // It need not stream.
    let model = HttpModel::new(endpoint, "m").unwrap();
    assert_eq!(ask(&model).await.unwrap().unwrap().cost, Some(0.002));
    assert_eq!(ask(&model).await.unwrap().unwrap().cost, Some(7.0));
    assert_eq!(ask(&model).await.unwrap(), None);
    assert_eq!(ask(&model.with_name("other")).await.unwrap().unwrap().cost, None);
    let unpriced = self::model(&peer, RequestSettings::default());
    assert_eq!(ask(&unpriced).await.unwrap().unwrap().cost, None);
}

#[tokio::test]
async fn a_turns_cost_is_what_is_known_of_its_replies_whoever_said_it() {
    let asks = |usage: &str| {
        let call = r#"{"id":"a","function":{"name":"nothing","arguments":"{}"}}"#;
        let message = format!(r#"{{"choices":[{{"message":{{"tool_calls":[{call}]}}}}]{usage}}}"#);
        vec![json(&message)]
    };
    let script = [
        asks(r#","usage":{"prompt_tokens":1000,"completion_tokens":500,"cost":7}"#),
        asks(r#","usage":{"prompt_tokens":1000,"completion_tokens":500}"#),
        asks(""),
        refuses("500 Internal Server Error", json!({"message": "gone"})),
        vec![json(&REPLY.replace("]}", r#"],"usage":{"prompt_tokens":1000}}"#))],
    ];
    let peer = Peer::start(script);
    let price = Some(Price { input: 1.0, output: 2.0, cached_input: None });
    let endpoint = Endpoint { price, stream: false, ..Endpoint::new(peer.base_url()) };
    let model = HttpModel::new(endpoint, "m").unwrap();
    let other = Arc::new(model.with_name("other")); // What it costs is not known.
    let tools = Arc::new(ToolSet::new([]).unwrap());
    let options = SessionOptions::new(Arc::new(model), tools).fallback(other);
    let runtime = Runtime::builder().start().unwrap();
    let session = runtime.session(options.model_retries(ModelRetries::none()));
    let report = session.ask("go").await.unwrap().report;
    assert_eq!(report.rounds.len(), 3, "{report:?}");
    assert_eq!((report.usage.input_tokens, report.usage.output_tokens), (3000, 1000));
    let cost = report.usage.cost.unwrap();
    assert!((cost - 7.002).abs() < 1e-9, "{cost}");
    assert_eq!(session.status().await.unwrap().usage, report.usage);
    runtime.shutdown(Duration::from_secs(5)).await;
}
