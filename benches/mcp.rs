//! What a call of an MCP server's tool costs through a session, next to the same call through the
//! protocol library alone: the same process at the other end of its pipes, in turn, in one run.
//!
//!     cargo bench --bench mcp
//!
//! The server is this very program, started again.

#![expect(clippy::print_stdout, reason = "a benchmark shows what it measured")]

use std::io::{BufRead, Write};
use std::path::Path;
use std::process::Stdio;
use std::sync::Arc;
use std::time::{Duration, Instant};

use callsheet::mcp::{Choice, Program, Protocol, Reach, ServerSettings, Servers, ToolTerms};
use callsheet::supervision::RestartLimits;
use callsheet::testing::{ScriptedModel, reply};
use callsheet::{Approval, Effects, Limits, Runtime, SessionOptions};
use rmcp::ServiceExt;
use rmcp::model::CallToolRequestParams;
use rmcp::transport::async_rw::AsyncRwTransport;
use serde_json::{Value, json};

type AnyError = Box<dyn std::error::Error + Send + Sync>;

/// Calls of one measurement, one after another.
const CALLS: usize = 2_000;

/// Measurements of each, in turn.
const RUNS: usize = 5;

/// A server, and the call that is timed.
#[derive(Clone)]
struct Peer {
    about: &'static str,
    command: String,
    args: Vec<String>,
    tool: &'static str,
    arguments: Value,
    calls: usize,
}

fn main() -> Result<(), AnyError> {
    if std::env::var_os("MCP_BENCH_SERVER").is_some() {
        return serve();
    }
    let own = Peer {
        about: "a server that answers as fast as it can",
        command: std::env::current_exe()?.to_string_lossy().into_owned(),
        args: Vec::new(),
        tool: "echo",
        arguments: json!({"n": 1}),
        calls: CALLS,
    };
    println!("a call over stdio, medians of {RUNS} runs in turn");
    for peer in std::iter::once(own.clone()).chain(real()) {
        measure(&peer)?;
    }
    one_thread()?.block_on(parallel(&own))
}

/// Servers that others wrote, where `CALLSHEET_MCP_SERVERS` says that they are (`.ci/mcp`).
fn real() -> Vec<Peer> {
    let Some(place) = std::env::var_os("CALLSHEET_MCP_SERVERS") else { return Vec::new() };
    let path = |path: &str| Path::new(&place).join(path).to_string_lossy().into_owned();
    let script = "node_modules/@modelcontextprotocol/server-everything/dist/index.js";
    vec![
        Peer {
            about: "npm server-everything, echo",
            command: "node".to_owned(),
            args: vec![path(script), "stdio".to_owned()],
            tool: "echo",
            arguments: json!({"message": "hello"}),
            calls: CALLS / 4,
        },
        Peer {
            about: "PyPI mcp-server-time, get_current_time",
            command: path("python/bin/mcp-server-time"),
            args: vec!["--local-timezone".to_owned(), "UTC".to_owned()],
            tool: "get_current_time",
            arguments: json!({"timezone": "UTC"}),
            calls: CALLS / 4,
        },
    ]
}

fn one_thread() -> Result<tokio::runtime::Runtime, AnyError> {
    Ok(tokio::runtime::Builder::new_current_thread().enable_all().build()?)
}

fn measure(peer: &Peer) -> Result<(), AnyError> {
    // As `#[tokio::main]` has it: who calls is on another thread than the connection.
    let mut many = tokio::runtime::Builder::new_multi_thread();
    let many = many.worker_threads(2).enable_all().build()?;
    let (mut alone, mut threads, mut ours) = (Vec::new(), Vec::new(), Vec::new());
    for _ in 0..RUNS {
        alone.push(one_thread()?.block_on(library_alone(peer))?);
        threads.push(many.block_on(library_alone(peer))?);
        ours.push(one_thread()?.block_on(through_sessions(peer))?);
    }
    let [alone, threads, ours] = [&mut alone, &mut threads, &mut ours].map(|it| median(it));
    let ratio = |to: Duration| ours.as_secs_f64() / to.as_secs_f64();
    println!("{}:", peer.about);
    println!("  through a session                  {ours:?}");
    println!("  the library alone, threads         {threads:?}: {:.2} x", ratio(threads));
    println!("  the library alone, all on one      {alone:?}: {:.2} x", ratio(alone));
    Ok(())
}

async fn library_alone(peer: &Peer) -> Result<Duration, AnyError> {
    let mut child = tokio::process::Command::new(&peer.command)
        .args(&peer.args)
        .env("MCP_BENCH_SERVER", "1")
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::null())
        .kill_on_drop(true)
        .spawn()?;
    let (stdin, stdout) = (child.stdin.take(), child.stdout.take());
    let (Some(stdin), Some(stdout)) = (stdin, stdout) else { return Err("no pipes".into()) };
    let client = ().serve(AsyncRwTransport::new_client(stdout, stdin)).await?;
    let mut took = Vec::with_capacity(peer.calls);
    for _ in 0..peer.calls {
        let arguments = peer.arguments.as_object().cloned().unwrap_or_default();
        let began = Instant::now();
        client.call_tool(CallToolRequestParams::new(peer.tool).with_arguments(arguments)).await?;
        took.push(began.elapsed());
    }
    client.cancel().await?;
    Ok(median(&mut took))
}

fn settings(peer: &Peer) -> ServerSettings {
    let reach = Reach::Stdio(Program {
        command: peer.command.clone(),
        args: peer.args.clone(),
        env: vec![("MCP_BENCH_SERVER".to_owned(), "1".to_owned().into())],
        cwd: None,
    });
    let terms = ToolTerms {
        effects: Some(Effects::None),
        approval: Some(Approval::Never),
        ..ToolTerms::default()
    };
    // The revision that the library speaks alone.
    let protocol = Protocol::Handshake;
    ServerSettings { terms, protocol, ..ServerSettings::new("bench", reach) }
}

/// The whole of a call, from its dispatch to its result.
async fn through_sessions(peer: &Peer) -> Result<Duration, AnyError> {
    let (servers, runtime) = start(peer).await?;
    let call = || reply().call(&format!("bench__{}", peer.tool), &peer.arguments.to_string());
    let mut script: Vec<_> = (0..peer.calls).map(|_| call()).collect();
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
async fn parallel(peer: &Peer) -> Result<(), AnyError> {
    let (servers, runtime) = start(peer).await?;
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

async fn start(peer: &Peer) -> Result<(Servers, Runtime), AnyError> {
    let limits = RestartLimits::default();
    let servers = Servers::start(vec![settings(peer)], Vec::new(), Choice::default(), &limits)?;
    servers.settled(|_, _| Duration::MAX).await;
    Ok((servers, Runtime::builder().arbiters(1).start()?))
}

fn median(times: &mut [Duration]) -> Duration {
    times.sort_unstable();
    times[times.len() / 2]
}

/// A server that answers as fast as it can, or after `ms`.
fn serve() -> Result<(), AnyError> {
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
