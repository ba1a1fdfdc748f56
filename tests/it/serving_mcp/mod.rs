//! `callsheet mcp`: the tools of the settings, for clients of the Model Context Protocol.

mod client;
mod http;
mod stdio;

use std::sync::Arc;
use std::time::{Duration, Instant};

use callsheet::mcp::{
    Choice, Condition, Program, Protocol, Reach, ServerSettings, Servers, ToolTerms,
};
use callsheet::supervision::RestartLimits;
use callsheet::testing::{ScriptedModel, reply};
use callsheet::{Approval, Effects, RoundReport, Runtime, SessionOptions};

use crate::support::cli::Place;

/// Tools of every kind of effects: quick ones, slow ones, and one that a person has to approve.
const TOOLS: &str = r#"
[[tools]]
name = "get_weather"
kind = "demo"
effects = "none"
simulate = { latency_ms = 300 }

[[tools]]
name = "fails"
kind = "demo"
effects = "idempotent"
simulate = { error_rate = 1.0 }

[[tools]]
name = "wait"
kind = "command"
description = "Waits"
argv = ["sh", "-c", "touch begun; exec sleep \"$0\"", "{s}"]
parameters = { type = "object", properties = { s = { type = "string" } }, required = ["s"] }
max_concurrency = 1
time_limit_ms = 60000

[[tools]]
name = "send_money"
kind = "demo"
effects = "once"
approval = "always"
"#;

fn place() -> Place {
    Place::new().file("config.toml", TOOLS)
}

/// The round of `get_weather` three times and `fails`, run by our own client of a server that is reached
/// so; and the revision that was spoken.
async fn round(reach: Reach, protocol: Protocol) -> (Arc<RoundReport>, Option<String>) {
    let terms = ToolTerms {
        effects: Some(Effects::None),
        approval: Some(Approval::Never),
        ..ToolTerms::default()
    };
    let settings = ServerSettings { protocol, terms, ..ServerSettings::new("own", reach) };
    let limits = RestartLimits::default();
    let servers = Servers::start(vec![settings], Vec::new(), Choice::default(), &limits);
    let servers = servers.expect("there is a thread");
    servers.settled(|_, _| Duration::MAX).await;
    let status = servers.status().remove(0);
    assert_eq!(status.condition, Condition::Ready, "{status:?}");
    let runtime = Runtime::builder().arbiters(1).start().expect("it starts");
    let calls = reply()
        .call("own__get_weather", r#"{"city": "Oslo"}"#)
        .call("own__get_weather", r#"{"city": "Rome"}"#)
        .call("own__get_weather", r#"{"city": "Lima"}"#)
        .call("own__fails", "{}");
    let model = ScriptedModel::new([calls, reply().text("done")]);
    let options = SessionOptions::new(model, Arc::default()).tool_source(servers.source());
    let answer = runtime.session(options).ask("go").await.expect("the turn ends well");
    (answer.report.rounds[0].clone(), status.revision)
}

/// Waits until the tool `wait` has begun.
fn until_it_has_begun(place: &Place) {
    let asked = Instant::now();
    while !place.path("begun").exists() {
        assert!(asked.elapsed() < Duration::from_secs(20), "it does not begin");
        std::thread::yield_now();
    }
}

fn check(round: &RoundReport) {
    let outcomes: Vec<_> =
        round.calls.iter().map(|call| call.outcome.map_or("open", |kind| kind.as_str())).collect();
    assert_eq!(outcomes, ["ok", "ok", "ok", "tool_error"], "{round:?}");
    let result = |place: usize| round.calls[place].result.as_deref().unwrap_or_default();
    assert!(result(0).contains("temp_f"), "{}", result(0));
    assert!(result(3).starts_with("error: "), "{}", result(3));
    assert!(round.wall < Duration::from_millis(600), "three of 300 ms took {:?}", round.wall);
}

fn run<T>(test: impl Future<Output = T>) -> T {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
    runtime.expect("the operating system gives a runtime").block_on(test)
}

/// The command as a server of our own client.
fn program(place: &Place) -> Reach {
    Reach::Stdio(Program {
        command: env!("CARGO_BIN_EXE_callsheet").to_owned(),
        args: vec!["mcp".to_owned()],
        env: Vec::new(),
        cwd: Some(place.path("")),
    })
}

/// Each protocol, and the revision that is then spoken.
const PROTOCOLS: [(Protocol, &str); 3] = [
    (Protocol::Auto, "2026-07-28"),
    (Protocol::Stateless, "2026-07-28"),
    (Protocol::Handshake, "2025-11-25"),
];
