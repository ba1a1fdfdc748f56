//! What a call of an MCP server's tool costs through a session, next to the same call through the
//! protocol library alone: the same process at the other end of its pipes, in turn, in one run.
//!
//!     cargo bench --bench mcp
//!
//! The server is this very program, started again.

#![expect(clippy::print_stdout, reason = "a benchmark shows what it measured")]

use std::error::Error;
use std::io::{BufRead, Write};
use std::process::Stdio;
use std::sync::Arc;
use std::time::{Duration, Instant};

use callsheet::mcp::{Choice, Program, Reach, ServerSettings, Servers, ToolTerms};
use callsheet::supervision::RestartLimits;
use callsheet::testing::{ScriptedModel, reply};
use callsheet::{Approval, Effects, Limits, Runtime, SessionOptions};
use rmcp::ServiceExt;
use rmcp::model::CallToolRequestParams;
use rmcp::transport::async_rw::AsyncRwTransport;
use serde_json::{Value, json};

/// Calls of one measurement, one after another.
const CALLS: usize = 2_000;

/// Measurements of each, in turn.
const RUNS: usize = 5;

fn main() -> Result<(), Box<dyn Error>> {
    if std::env::var_os("MCP_BENCH_SERVER").is_some() {
        return serve();
    }
    let executor = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    executor.block_on(measure())
}

async fn measure() -> Result<(), Box<dyn Error>> {
    let command = std::env::current_exe()?.to_string_lossy().into_owned();
    let (mut alone, mut ours) = (Vec::new(), Vec::new());
    for _ in 0..RUNS {
        alone.push(library_alone(&command).await?);
        ours.push(through_sessions(&command).await?);
    }
    let (alone, ours) = (median(&mut alone), median(&mut ours));
    let ratio = ours.as_secs_f64() / alone.as_secs_f64();
    println!("a call over stdio, median of {CALLS}, {RUNS} times in turn:");
    println!("  the library alone   {alone:?}");
    println!("  through a session   {ours:?}, {ratio:.2} x");
    parallel(&command).await
}

async fn library_alone(command: &str) -> Result<Duration, Box<dyn Error>> {
    let mut child = tokio::process::Command::new(command)
        .env("MCP_BENCH_SERVER", "1")
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .kill_on_drop(true)
        .spawn()?;
    let (stdin, stdout) = (child.stdin.take(), child.stdout.take());
    let (Some(stdin), Some(stdout)) = (stdin, stdout) else { return Err("no pipes".into()) };
    let client = ().serve(AsyncRwTransport::new_client(stdout, stdin)).await?;
    let mut took = Vec::with_capacity(CALLS);
    for n in 0..CALLS {
        let arguments = json!({"n": n}).as_object().cloned().unwrap_or_default();
        let began = Instant::now();
        client.call_tool(CallToolRequestParams::new("echo").with_arguments(arguments)).await?;
        took.push(began.elapsed());
    }
    client.cancel().await?;
    Ok(median(&mut took))
}

fn settings(command: &str) -> ServerSettings {
    let reach = Reach::Stdio(Program {
        command: command.to_owned(),
        args: Vec::new(),
        env: vec![("MCP_BENCH_SERVER".to_owned(), "1".to_owned().into())],
        cwd: None,
    });
    let terms = ToolTerms {
        effects: Some(Effects::None),
        approval: Some(Approval::Never),
        ..ToolTerms::default()
    };
    ServerSettings { terms, ..ServerSettings::new("bench", reach) }
}

/// The whole of a call, from its dispatch to its result.
async fn through_sessions(command: &str) -> Result<Duration, Box<dyn Error>> {
    let (servers, runtime) = start(command).await?;
    let mut script: Vec<_> =
        (0..CALLS).map(|n| reply().call("bench__echo", &format!(r#"{{"n": {n}}}"#))).collect();
    script.push(reply().text("done"));
    let model = ScriptedModel::new(script);
    let limits = Limits { max_rounds: u32::MAX, ..Limits::default() };
    let options = SessionOptions::new(model, Arc::default()).limits(limits);
    let session = runtime.session(options.tool_source(servers.source()));
    let answer = session.ask("go").await?;
    let rounds = &answer.report.rounds;
    let mut took: Vec<Duration> = rounds.iter().map(|round| round.wall).collect();
    Ok(median(&mut took))
}

/// 16 calls of 200 ms to one server, in one round.
async fn parallel(command: &str) -> Result<(), Box<dyn Error>> {
    let (servers, runtime) = start(command).await?;
    let calls = (0..16).fold(reply(), |reply, n| {
        reply.call("bench__echo", &format!(r#"{{"ms": 200, "n": {n}}}"#))
    });
    let model = ScriptedModel::new([calls, reply().text("done")]);
    let options = SessionOptions::new(model, Arc::default()).tool_source(servers.source());
    let answer = runtime.session(options).ask("go").await?;
    let round = &answer.report.rounds[0];
    let slowest = round.calls.iter().map(|call| call.ran).max().unwrap_or_default();
    let ratio = round.wall.as_secs_f64() / slowest.as_secs_f64();
    println!("16 calls to one server at once: {:?}, {ratio:.3} x the slowest", round.wall);
    Ok(())
}

async fn start(command: &str) -> Result<(Servers, Runtime), Box<dyn Error>> {
    let limits = RestartLimits::default();
    let servers = Servers::start(vec![settings(command)], Vec::new(), Choice::default(), &limits)?;
    servers.settled(|_| Duration::MAX).await;
    Ok((servers, Runtime::builder().arbiters(1).start()?))
}

fn median(times: &mut [Duration]) -> Duration {
    times.sort_unstable();
    times[times.len() / 2]
}

/// A server that answers as fast as it can, or after `ms`.
fn serve() -> Result<(), Box<dyn Error>> {
    let say = |message: Value| {
        let mut out = std::io::stdout().lock();
        let _ = writeln!(out, "{message}").and_then(|()| out.flush());
    };
    for line in std::io::stdin().lock().lines() {
        let message: Value = serde_json::from_str(&line?)?;
        let id = message["id"].clone();
        let result = match message["method"].as_str() {
            Some("initialize") => json!({"protocolVersion": "2025-11-25",
                "capabilities": {"tools": {}}, "serverInfo": {"name": "bench", "version": "1"}}),
            Some("tools/list") => json!({"tools": [{"name": "echo",
                "inputSchema": {"type": "object"}}]}),
            Some("tools/call") => {
                let arguments = &message["params"]["arguments"];
                let text = json!([{"type": "text", "text": arguments.to_string()}]);
                let answer = json!({"jsonrpc": "2.0", "id": id, "result": {"content": text}});
                match arguments["ms"].as_u64() {
                    None => say(answer),
                    Some(ms) => drop(std::thread::spawn(move || {
                        std::thread::sleep(Duration::from_millis(ms));
                        say(answer);
                    })),
                }
                continue;
            }
            Some(_) if !id.is_null() => {
                say(json!({"jsonrpc": "2.0", "id": id,
                    "error": {"code": -32601, "message": "no such method"}}));
                continue;
            }
            _ => continue,
        };
        say(json!({"jsonrpc": "2.0", "id": id, "result": result}));
    }
    Ok(())
}
