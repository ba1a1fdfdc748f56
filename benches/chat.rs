//! What `POST /v1/chat/completions` adds to a question: the same questions, asked through the endpoint and of
//! the library itself, by as many clients at a time.
//!
//!     cargo bench --bench chat [-- CLIENTS [QUESTIONS]]
//!
//! 100 clients and 20 questions of each if nothing is said. A question leads to one round of three calls; the
//! model takes 100 ms for each of its two replies, each call 100 ms. Between two questions a client rests for
//! up to 100 ms. Both the clients and the server are in this process, and what the clients do counts as added.

#![expect(clippy::print_stdout, reason = "the table is the result")]
#![allow(missing_docs, reason = "a bench has no reader of its docs")]

mod support;

use std::convert::Infallible;
use std::sync::Arc;
use std::time::{Duration, Instant};

use callsheet::model::{Error, Event, Events, Model, Request};
use callsheet::server::{Listener, Server, ServerLimits, listen};
use callsheet::store::MemoryStore;
use callsheet::wire::Reply;
use callsheet::{Effects, GivenHistory, Question, Runtime, SessionOptions, ToolSet, ToolType};
use futures_util::future::join_all;
use futures_util::{StreamExt, stream};
use tokio::time::sleep;

type AnyError = Box<dyn std::error::Error + Send + Sync>;

/// What a reply and a call take, and a client rests at most.
const STEP: Duration = Duration::from_millis(100);

const MESSAGE: &str = r#"{"role":"user","content":"How is the weather?"}"#;

#[derive(serde::Deserialize, schemars::JsonSchema)]
struct Arguments {
    /// The ordinal of the call.
    n: u64,
}

/// Asks for three calls, then answers.
struct Steady([Reply; 2]);

impl Model for Steady {
    fn name(&self) -> &str {
        "steady"
    }

    fn ask(&self, request: Request<'_>) -> Events {
        let [calls, answer] = &self.0;
        let reply = Box::new(if request.first { calls } else { answer }.clone());
        let saying = async move {
            sleep(STEP).await;
            Ok::<_, Error>(Event::Reply(reply))
        };
        stream::once(saying).boxed_local()
    }
}

fn options() -> Result<SessionOptions, AnyError> {
    let work = ToolType::typed("work", "Works.", |arguments: Arguments, _| async move {
        sleep(STEP).await;
        Ok::<_, Infallible>(format!("result of call {}: nothing has changed", arguments.n))
    });
    let tools = Arc::new(ToolSet::new([work.effects(Effects::None)])?);
    let replies = support::replies("work", 3, "The weather is the same as ever.");
    let replies = replies.map_err(|error| error.to_string())?;
    Ok(SessionOptions::new(Arc::new(Steady(replies)), tools))
}

/// Has each client ask so many questions, and gives what each question took, the shortest first.
async fn measure<F>(
    clients: u64,
    questions: u64,
    ask: impl Fn(u64) -> F,
) -> Result<Vec<Duration>, AnyError>
where
    F: AsyncFnMut() -> Result<(), AnyError>,
{
    let client = async |client: u64| {
        let (mut ask, mut times, mut dice) = (ask(client), Vec::new(), client + 1);
        for _ in 0..=questions {
            dice = dice
                .wrapping_mul(6_364_136_223_846_793_005)
                .wrapping_add(1_442_695_040_888_963_407);
            sleep(STEP.mul_f64((dice >> 40) as f64 / f64::from(1 << 24))).await;
            let began = Instant::now();
            ask().await?;
            times.push(began.elapsed());
        }
        times.remove(0); // The connection was opened.
        Ok::<_, AnyError>(times)
    };
    let all = join_all((0..clients).map(client)).await;
    let mut all = all.into_iter().collect::<Result<Vec<_>, _>>()?.concat();
    all.sort();
    Ok(all)
}

fn percentile(times: &[Duration], percent: usize) -> f64 {
    let at = (times.len() * percent / 100).min(times.len() - 1);
    times[at].as_secs_f64() * 1e3
}

async fn run(clients: u64, questions: u64) -> Result<(), AnyError> {
    let (runtime, options) = (Runtime::builder().start()?, options()?);
    let library = measure(clients, questions, |_| {
        let (runtime, options) = (runtime.clone(), options.clone());
        async move || {
            let options = options.clone().ephemeral().history(GivenHistory::new([MESSAGE])?);
            runtime.session(options).ask(Question::go_on()).await?;
            Ok(())
        }
    });
    let library = library.await?;
    let limits = ServerLimits::default();
    let server = Server::builder(runtime, Arc::new(MemoryStore::new()), options).limits(limits);
    let server = server.build()?;
    let bind = ([127, 0, 0, 1], 0).into();
    let listening = listen(&server, &Listener { bind, workers: 0, max_connections: 1_000 })?;
    let url = format!("http://{}/v1/chat/completions", listening.addr());
    // A client wants one, though it never speaks TLS here.
    let _ = rustls::crypto::ring::default_provider().install_default();
    let (stop, stopped) = tokio::sync::oneshot::channel::<()>();
    let serving = listening.serve(async { drop(stopped.await) }, Duration::ZERO);
    let asking = async {
        for streamed in [false, true] {
            let body = format!(r#"{{"messages":[{MESSAGE}],"stream":{streamed}}}"#);
            let times = measure(clients, questions, |_| {
                let client = reqwest::Client::builder().no_proxy().build().expect("a client");
                let (url, body) = (url.clone(), body.clone());
                async move || {
                    let request = client.post(&url).header("content-type", "application/json");
                    let answer = request.body(body.clone()).send().await?.error_for_status()?;
                    answer.bytes().await?;
                    Ok(())
                }
            });
            let times = times.await?;
            let name = if streamed { "streamed" } else { "whole" };
            let added = |percent| percentile(&times, percent) - percentile(&library, percent);
            println!(
                "{name:<10} {:>8.2} ms {:>8.2} ms   adds {:>6.2} ms and {:>6.2} ms",
                percentile(&times, 50),
                percentile(&times, 99),
                added(50),
                added(99)
            );
        }
        drop(stop);
        Ok::<_, AnyError>(())
    };
    println!("{clients} clients, {questions} questions each: p50 and p99");
    println!(
        "{:<10} {:>8.2} ms {:>8.2} ms",
        "library",
        percentile(&library, 50),
        percentile(&library, 99)
    );
    let (served, asked) = futures_util::future::join(serving, asking).await;
    served?;
    asked
}

fn main() -> Result<(), AnyError> {
    let numbers = std::env::args().filter_map(|argument| argument.parse().ok());
    let numbers: Vec<u64> = numbers.collect();
    let clients = numbers.first().copied().unwrap_or(100);
    let questions = numbers.get(1).copied().unwrap_or(20);
    actix_rt::System::new().block_on(run(clients, questions))
}
