//! What a round costs beside its tools: from a reply that asks for calls of a tool that does
//! nothing to the next request, through the library and through a loop written by hand. Both run on
//! the same thread, with the same model in the same process, taking turns.
//!
//!     cargo bench --bench dispatch

#![expect(clippy::print_stdout, reason = "the table is the result")]
#![allow(missing_docs, reason = "a bench has no reader of its docs")]

mod support;

use std::convert::Infallible;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use callsheet::model::{Error, Event, Events, Model, Request};
use callsheet::wire::{Reply, chat};
use callsheet::{CallContext, Effects, Limits, Runtime, SessionOptions, ToolSet, ToolType};
use futures_util::stream::FuturesUnordered;
use futures_util::{StreamExt, stream};

type AnyError = Box<dyn std::error::Error>;

const SIZES: [usize; 6] = [1, 3, 16, 64, 256, 1000];
/// Rounds of one conversation. The first is not counted: it starts the worker.
const ROUNDS: usize = 11;
/// How long each size is measured, both sides together.
const TIME_PER_SIZE: Duration = Duration::from_millis(1300);
/// Calls of the largest rounds are enough for a median long before the time is up.
const MAX_SAMPLES: usize = 2_000;

#[derive(serde::Deserialize, schemars::JsonSchema)]
struct Arguments {
    /// The ordinal of the call.
    n: u64,
}

async fn echo(arguments: Arguments) -> Result<u64, Infallible> {
    Ok(arguments.n)
}

/// Asks for the same calls in each of [`ROUNDS`] rounds, then answers. Notes the time from each of
/// its replies to the request that follows.
struct Scripted {
    calls: Reply,
    answer: Reply,
    state: Arc<Mutex<State>>,
}

#[derive(Default)]
struct State {
    asked: usize,
    replied: Option<Instant>,
    rounds: Vec<Duration>,
}

impl Scripted {
    fn new(calls: usize) -> Result<Arc<Self>, AnyError> {
        let [calls, answer] = support::replies("echo", calls, "done")?;
        Ok(Arc::new(Self { calls, answer, state: Arc::default() }))
    }

    /// The rounds since the last time, without the first.
    fn take(&self) -> Vec<Duration> {
        let state = std::mem::take(&mut *self.state.lock().unwrap_or_else(PoisonError::into_inner));
        assert_eq!(state.rounds.len(), ROUNDS, "every round was run");
        state.rounds.into_iter().skip(1).collect()
    }
}

impl Model for Scripted {
    fn name(&self) -> &str {
        "scripted"
    }

    fn ask(&self, _: Request<'_>) -> Events {
        let asked = Instant::now();
        let mut state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(replied) = state.replied.take() {
            state.rounds.push(asked - replied);
        }
        state.asked += 1;
        let is_last = state.asked > ROUNDS;
        let reply = Box::new(if is_last { &self.answer } else { &self.calls }.clone());
        let state = Arc::clone(&self.state);
        let saying = async move {
            let mut state = state.lock().unwrap_or_else(PoisonError::into_inner);
            state.replied = Some(Instant::now()).filter(|_| !is_last);
            Ok::<_, Error>(Event::Reply(reply))
        };
        stream::once(saying).boxed_local()
    }
}

/// One conversation through the library, on the arbiter of this thread.
async fn through_callsheet(model: &Arc<Scripted>, tools: &Arc<ToolSet>) -> Result<(), AnyError> {
    let limits = Limits { max_rounds: 1_000, max_calls_per_round: 10_000, ..Limits::default() };
    let runtime = Runtime::builder().in_current_system()?;
    let options = SessionOptions::new(Arc::clone(model) as _, Arc::clone(tools)).limits(limits);
    runtime.session(options).ask("go").await?;
    Ok(())
}

/// The same conversation as short as it can be written: no actor, no journal, no time limit, no
/// schema, no report, and a panic or a hanging call ends it all.
async fn by_hand(model: &Arc<Scripted>) -> Result<(), AnyError> {
    let mut history = Vec::new();
    chat::write_user(&mut history, "go");
    loop {
        let mut events = model.ask(Request {
            messages: &history,
            tools: b"",
            names: &[],
            may_call: true,
            first: true,
        });
        let reply = loop {
            if let Event::Reply(reply) = events.next().await.ok_or("no reply")?? {
                break reply;
            }
        };
        history.push(b',');
        reply.write_message(&mut history);
        if reply.calls.is_empty() {
            return Ok(());
        }
        let calls = reply.calls.iter().enumerate().map(|(ordinal, call)| async move {
            let arguments = serde_json::from_str(call.arguments.object().unwrap_or_default())?;
            let Ok(output) = echo(arguments).await;
            Ok::<_, serde_json::Error>((ordinal, serde_json::to_string(&output)?))
        });
        let mut running: FuturesUnordered<_> = calls.collect();
        let mut results = vec![None; reply.calls.len()];
        while let Some(ended) = running.next().await {
            let (ordinal, output) = ended?;
            results[ordinal] = Some(output);
        }
        for (call, output) in reply.calls.iter().zip(&results) {
            history.push(b',');
            chat::write_tool_result(&mut history, &call.id, output.as_deref().unwrap_or_default());
        }
    }
}

/// The shortest time and the median, in microseconds.
#[derive(Clone, Copy)]
struct Figures {
    min: f64,
    median: f64,
}

impl Figures {
    fn of(mut samples: Vec<Duration>) -> Self {
        samples.sort_unstable();
        let micros = |at: usize| samples.get(at).map_or(f64::NAN, |time| time.as_secs_f64() * 1e6);
        Self { min: micros(0), median: micros(samples.len() / 2) }
    }
}

/// Measures rounds of `calls` calls for at most `time`: the library's, and those by hand.
async fn measure(
    calls: usize,
    tools: &Arc<ToolSet>,
    time: Duration,
) -> Result<(Figures, Figures), AnyError> {
    let model = Scripted::new(calls)?;
    let (mut ours, mut floor) = (Vec::new(), Vec::new());
    let began = Instant::now();
    loop {
        through_callsheet(&model, tools).await?;
        ours.extend(model.take());
        by_hand(&model).await?;
        floor.extend(model.take());
        if began.elapsed() >= time || ours.len() >= MAX_SAMPLES {
            return Ok((Figures::of(ours), Figures::of(floor)));
        }
    }
}

#[actix::main]
async fn main() -> Result<(), AnyError> {
    // `cargo test --benches` only wants to know that it runs.
    let is_bench = std::env::args().any(|argument| argument == "--bench");
    let time = if is_bench { TIME_PER_SIZE } else { Duration::ZERO };
    let call = |arguments: Arguments, _: CallContext| echo(arguments);
    let tool = ToolType::typed("echo", "Answers with its argument", call).effects(Effects::None);
    let tools = Arc::new(ToolSet::new([tool])?);

    println!("From a reply to the next request, in microseconds; the tool does nothing.");
    println!("A call more: how much the median grew for each call since the row above.\n");
    println!("       | callsheet           | by hand             |       | a call more");
    println!(
        "{:>6} | {:>9} {:>9} | {:>9} {:>9} | {:>5} | {:>9} {:>7}",
        "calls", "min", "median", "min", "median", "ratio", "callsheet", "by hand"
    );
    let mut above: Option<(usize, Figures, Figures)> = None;
    for calls in SIZES {
        let (ours, floor) = measure(calls, &tools, time).await?;
        let ratio = ours.median / floor.median;
        print!(
            "{calls:>6} | {:>9.1} {:>9.1} | {:>9.1} {:>9.1} | {ratio:>5.1} |",
            ours.min, ours.median, floor.min, floor.median
        );
        if let Some((fewer, our_last, floor_last)) = above {
            let growth =
                |now: Figures, last: Figures| (now.median - last.median) / (calls - fewer) as f64;
            print!(" {:>9.2} {:>7.2}", growth(ours, our_last), growth(floor, floor_last));
        }
        println!();
        above = Some((calls, ours, floor));
    }
    Ok(())
}
