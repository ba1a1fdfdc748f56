//! What faults cost: how soon a round of hanging calls is over when it is cancelled, how late a turn
//! goes on when a tool hangs, what a caught panic takes of its thread, and how long a question about
//! the status waits. On the real clock, with a scripted model in the same process.
//!
//!     cargo bench --bench faults

#![expect(clippy::print_stdout, reason = "the table is the result")]
#![allow(missing_docs, reason = "a bench has no reader of its docs")]

use std::sync::Arc;
use std::time::{Duration, Instant};

use callsheet::panic_hook;
use callsheet::supervision::RestartLimits;
use callsheet::testing::{Scripted, ScriptedModel, reply};
use callsheet::tools::{Error, ToolFuture};
use callsheet::{
    CallContext, Effects, Limits, Runtime, Session, SessionOptions, ToolSet, ToolType,
};

type AnyError = Box<dyn std::error::Error>;

/// Calls of the large rounds.
const MANY: u64 = 1_000;

/// The time limit of the tool that hangs.
const LIMIT: Duration = Duration::from_millis(100);

/// A tool that does as its name says.
fn tool(name: &'static str) -> ToolType {
    let parameters = serde_json::json!({"type": "object"});
    let make = move || {
        move |_: &str, _: CallContext| -> ToolFuture {
            Box::pin(async move {
                tokio::task::yield_now().await; // All calls of the round have begun.
                match name {
                    "hang" => std::future::pending().await,
                    "panic" => panic!("as told"),
                    "fail" => Err(Error::new("as told")),
                    _ => Ok("done".to_owned()),
                }
            })
        }
    };
    ToolType::new(name, "for a measurement", parameters, make).effects(Effects::None)
}

fn calls(tool: &str, count: u64) -> Scripted {
    (0..count).fold(reply(), |reply, n| reply.call(tool, &format!(r#"{{"n":{n}}}"#)))
}

/// A session that sees `first`, and answers then.
fn session(first: Scripted) -> Result<Session, AnyError> {
    let hang = tool("hang").time_limit(LIMIT);
    let tools = ["panic", "fail", "work"].map(tool).into_iter().chain([hang, long_hang()]);
    let tools = Arc::new(ToolSet::new(tools)?);
    let model = ScriptedModel::new([first, reply().text("done")]);
    let supervision = RestartLimits {
        max_restarts: u32::MAX,
        max_failure_rate: 1.0,
        max_time_outs: 0,
        ..RestartLimits::default()
    };
    let limits = Limits { max_calls_per_round: 10_000, ..Limits::default() };
    let options = SessionOptions::new(model, tools).limits(limits).supervision(supervision);
    Ok(Runtime::builder().in_current_system()?.session(options))
}

fn long_hang() -> ToolType {
    let parameters = serde_json::json!({"type": "object"});
    ToolType::new("hang_on", "for a measurement", parameters, || {
        |_: &str, _: CallContext| -> ToolFuture { Box::pin(std::future::pending()) }
    })
}

/// Asks, does `meddle` in the middle of the round, and says how long that took and how long it took
/// until the turn was over.
async fn meddled<T>(
    first: Scripted,
    meddle: impl AsyncFnOnce(&Session) -> T,
) -> Result<(T, Duration, Duration), AnyError> {
    let session = session(first)?;
    let asked = actix_rt::spawn({
        let session = session.clone();
        async move { session.ask("go").await.is_ok() }
    });
    while session.status().await?.calls_in_flight == 0 {
        tokio::task::yield_now().await;
    }
    let began = Instant::now();
    let answer = meddle(&session).await;
    let heard = began.elapsed();
    session.cancel().await;
    let answered = asked.await?;
    assert!(!answered, "the turn was cancelled");
    Ok((answer, heard, began.elapsed()))
}

async fn cancel() -> Result<Duration, AnyError> {
    let round = calls("hang_on", MANY);
    Ok(meddled(round, async |session| session.cancel().await).await?.2)
}

async fn status() -> Result<Duration, AnyError> {
    let round = calls("hang_on", MANY);
    let (status, heard, _) = meddled(round, async |session| session.status().await).await?;
    assert_eq!(status?.calls_in_flight, usize::try_from(MANY)?);
    Ok(heard)
}

async fn cancel_of_one() -> Result<Duration, AnyError> {
    let round = calls("hang_on", MANY);
    let cancel = async |session: &Session| session.cancel_call("call_500").await;
    let (was_there, heard, _) = meddled(round, cancel).await?;
    assert!(was_there);
    Ok(heard)
}

/// How long after its limit the turn went on.
async fn hang() -> Result<Duration, AnyError> {
    let round = calls("work", 1).call("fail", "{}").call("hang", "{}");
    let answer = session(round)?.ask("go").await?;
    let round = &answer.report.rounds[0];
    let outcomes: Vec<_> = round.calls.iter().filter_map(|call| call.outcome).collect();
    assert_eq!(
        outcomes.iter().map(|kind| kind.as_str()).collect::<Vec<_>>(),
        ["ok", "tool_error", "timed_out"]
    );
    Ok(round.wall + round.overhead - LIMIT)
}

/// What a call of `tool` costs, of a large round of them.
async fn each(tool: &str) -> Result<Duration, AnyError> {
    let session = session(calls(tool, MANY))?;
    let began = Instant::now();
    session.ask("go").await?;
    Ok(began.elapsed() / u32::try_from(MANY)?)
}

async fn panic_cost() -> Result<Duration, AnyError> {
    // Both answer the model with a sentence about what was wrong.
    let (panics, fails) = (each("panic").await?, each("fail").await?);
    Ok(panics.saturating_sub(fails))
}

/// The median and the worst of `samples`, in microseconds.
fn show(what: &str, target: &str, mut samples: Vec<Duration>) {
    samples.sort_unstable();
    let micros = |time: Option<&Duration>| time.map_or(f64::NAN, |time| time.as_secs_f64() * 1e6);
    let (median, worst) = (micros(samples.get(samples.len() / 2)), micros(samples.last()));
    println!("{what:<52} | {median:>9.1} | {worst:>9.1} | {target:>9}");
}

#[actix::main]
async fn main() -> Result<(), AnyError> {
    // `cargo test --benches` only wants to know that it runs.
    let is_bench = std::env::args().any(|argument| argument == "--bench");
    let times = if is_bench { 25 } else { 1 };
    let _quiet = panic_hook::install(1, |_| {});
    println!("{:<52} | {:>9} | {:>9} | {:>9}", "in microseconds", "median", "worst", "target");
    let mut samples: [Vec<Duration>; 5] = Default::default();
    for _ in 0..times {
        samples[0].push(cancel().await?);
        samples[1].push(status().await?);
        samples[2].push(cancel_of_one().await?);
        samples[3].push(hang().await?);
        samples[4].push(panic_cost().await?);
    }
    let [cancel, status, cancel_of_one, hang, panic_cost] = samples;
    show("1,000 hanging calls: from cancel to the turn's end", "10000", cancel);
    show("1,000 calls in flight: a status question", "1000", status);
    show("1,000 calls in flight: a cancel of one of them", "10000", cancel_of_one);
    show("one of three tools hangs: later than its limit", "20000", hang);
    show("a caught panic, more than a tool's own error", "50", panic_cost);
    Ok(())
}
