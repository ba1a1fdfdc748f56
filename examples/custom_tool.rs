//! Tools of your own: a typed async function, a function that blocks its thread, their limits, and
//! what the model is told when they fail.
//!
//!     cargo run --example custom_tool

#![expect(clippy::print_stdout, reason = "an example shows what it does")]

use std::sync::Arc;
use std::time::Duration;

use callsheet::mock_model::{Brain, Options, Server};
use callsheet::tools::Error;
use callsheet::{
    CallContext, Effects, Endpoint, HttpModel, Runtime, SessionOptions, ToolSet, ToolType,
};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// What the model has to say. The doc comments are what it reads.
#[derive(Deserialize, JsonSchema)]
struct City {
    /// The city's name, such as Tokyo.
    city: String,
}

#[derive(Serialize)]
struct Weather {
    celsius: f64,
    sky: &'static str,
}

/// An async function is a tool. What it returns goes to the model as JSON.
async fn weather(City { city }: City, call: CallContext) -> Result<Weather, Error> {
    call.report_progress(format!("asking for {city}"));
    tokio::time::sleep(Duration::from_millis(50)).await;
    match city.as_str() {
        "Tokyo" => Ok(Weather { celsius: 21.5, sky: "clear" }),
        // The model is told so, and no other try is made: it would end the same way.
        other => Err(Error::permanent(format!("no station in {other}"))),
    }
}

#[derive(Deserialize, JsonSchema)]
struct Topic {
    /// What the news should be about.
    topic: String,
}

/// A function that blocks its thread gets one of its own.
fn news(Topic { topic }: Topic, _: CallContext) -> Result<String, Error> {
    std::thread::sleep(Duration::from_millis(80));
    Ok(format!("nothing new about {topic}"))
}

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let tools = ToolSet::new([
        ToolType::typed("get_weather", "Current weather of a city", weather)
            .effects(Effects::None) // It may begin while the model still writes.
            .time_limit(Duration::from_secs(2))
            .retries(2)
            .max_concurrency(8),
        ToolType::blocking("get_news_headlines", "News about a topic", news)
            .effects(Effects::None)
            .time_limit(Duration::from_secs(2)),
    ])?;
    let executor = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    // A stand-in for a model, so that this runs without a key.
    let server = Server::start(Options { brain: Brain::Rules, ..Options::default() })?;
    let model = HttpModel::new(Endpoint::new(server.base_url()), "stand-in")?;
    let runtime = Runtime::builder().arbiters(1).start()?;
    let session = runtime.session(SessionOptions::new(Arc::new(model), Arc::new(tools)));
    let question = "What's the weather in Tokyo, and what's the latest news about AI?";
    let answer = executor.block_on(session.ask(question))?;
    println!("{}", answer.text);
    for call in answer.report.rounds.iter().flat_map(|round| &round.calls) {
        let outcome = call.outcome.map_or("open", |outcome| outcome.as_str());
        println!(
            "{} {outcome} in {:?}: {}",
            call.tool,
            call.ran,
            call.result.as_deref().unwrap_or("")
        );
    }
    Ok(())
}
