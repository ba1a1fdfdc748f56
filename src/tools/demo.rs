//! The three demo tools, and simulated latency and faults to rehearse with.

use std::cell::Cell;
use std::fs::OpenOptions;
use std::io::Write;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use futures_util::FutureExt;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

use super::{CallContext, Error, Origin, Tool, ToolFuture, ToolType};
use crate::conversation::Effects;

/// What a demo tool pretends to suffer from.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Simulation {
    /// How long each call takes.
    pub latency: Duration,
    /// Up to this much more, evenly spread.
    pub jitter: Duration,
    /// The share of calls, 0 to 1, that fail.
    pub error_rate: f64,
    /// The share of calls that panic.
    pub panic_rate: f64,
    /// The share of calls that never end.
    pub hang_rate: f64,
    /// The call of this number panics, counted from the last time its worker was rebuilt; 0 for
    /// none.
    pub crash_after: u64,
    /// The same seed gives the same faults in the same order of calls.
    pub seed: u64,
    /// Where a line is added when a call begins, `began KEY TOOL`, and one when it has taken effect,
    /// `done KEY TOOL`: what really ran, whatever became of the process.
    pub log: Option<Arc<Path>>,
}

/// Which data a demo tool answers with.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Demo {
    /// `get_weather(city)`.
    Weather,
    /// `get_stock_price(ticker)`.
    StockPrice,
    /// `get_news_headlines(topic)`.
    NewsHeadlines,
    /// Any other name: takes any object and answers `{"ok": true}`.
    Anything,
}

#[derive(Deserialize, JsonSchema)]
struct WeatherArguments {
    /// The city's name, such as Tokyo.
    city: String,
}

#[derive(Deserialize, JsonSchema)]
struct StockArguments {
    /// The ticker symbol, such as AAPL.
    ticker: String,
}

#[derive(Deserialize, JsonSchema)]
struct NewsArguments {
    /// What the news should be about.
    topic: String,
}

/// The demo tools as they come: each takes 300 ms.
#[must_use]
pub fn demo_tools() -> Vec<ToolType> {
    let simulation = Simulation { latency: Duration::from_millis(300), ..Simulation::default() };
    ["get_weather", "get_stock_price", "get_news_headlines"]
        .into_iter()
        .map(|name| Demo::named(name).tool_type(name, simulation.clone()))
        .map(|tool| tool.effects(Effects::None).time_limit(Duration::from_secs(5)))
        .collect()
}

impl Demo {
    /// The demo tool that goes by `name`.
    #[must_use]
    pub fn named(name: &str) -> Self {
        match name {
            "get_weather" => Self::Weather,
            "get_stock_price" => Self::StockPrice,
            "get_news_headlines" => Self::NewsHeadlines,
            _ => Self::Anything,
        }
    }

    /// The tool under `name`, with `simulation`.
    #[must_use]
    pub fn tool_type(self, name: &str, simulation: Simulation) -> ToolType {
        // Workers of different sessions must not suffer the same faults in step.
        let workers = Arc::new(AtomicU64::new(0));
        let log = CallLog { tool: name.into(), file: simulation.log.clone() };
        ToolType::new(name, self.description(), self.parameters(), move || {
            let worker = workers.fetch_add(1, Ordering::Relaxed);
            DemoTool {
                demo: self,
                faults: Faults::new(simulation.clone(), worker),
                log: log.clone(),
            }
        })
        .with_origin(Origin::of("demo"))
    }

    fn description(self) -> &'static str {
        match self {
            Self::Weather => "Get the current weather of a city",
            Self::StockPrice => "Get the current stock price of a ticker symbol",
            Self::NewsHeadlines => "Get the latest news headlines about a topic",
            Self::Anything => "A demo tool: takes anything, does nothing",
        }
    }

    fn parameters(self) -> Value {
        match self {
            Self::Weather => super::typed::schema_of::<WeatherArguments>(),
            Self::StockPrice => super::typed::schema_of::<StockArguments>(),
            Self::NewsHeadlines => super::typed::schema_of::<NewsArguments>(),
            Self::Anything => json!({"type": "object", "properties": {}}),
        }
    }

    fn answer(self, arguments: &str) -> Result<String, Error> {
        let answered = match self {
            Self::Weather => json_of(&weather(&read(arguments)?)),
            Self::StockPrice => json_of(&stock(&read(arguments)?)),
            Self::NewsHeadlines => json_of(&news(&read(arguments)?)),
            Self::Anything => json_of(&json!({"ok": true})),
        };
        answered.map_err(Error::new)
    }
}

fn read<'a, T: Deserialize<'a>>(arguments: &'a str) -> Result<T, Error> {
    serde_json::from_str(arguments).map_err(Error::new)
}

fn json_of<T: Serialize>(answer: &T) -> serde_json::Result<String> {
    serde_json::to_string(answer)
}

#[derive(Serialize)]
struct Weather {
    temp_f: i32,
    conditions: &'static str,
}

#[derive(Serialize)]
struct StockPrice {
    price: f64,
    change: &'static str,
}

#[derive(Serialize)]
struct News {
    headlines: [String; 3],
}

fn weather(WeatherArguments { city }: &WeatherArguments) -> Weather {
    let (temp_f, conditions) = match city.to_lowercase().as_str() {
        "san francisco" => (62, "Foggy"),
        "new york" => (45, "Partly cloudy"),
        "tokyo" => (71, "Clear"),
        _ => (70, "Unknown"),
    };
    Weather { temp_f, conditions }
}

fn stock(StockArguments { ticker }: &StockArguments) -> StockPrice {
    let (price, change) = match ticker.to_uppercase().as_str() {
        "AAPL" => (198.50, "+1.2%"),
        "GOOGL" => (175.30, "-0.5%"),
        "MSFT" => (425.80, "+0.8%"),
        _ => (0.0, "N/A"),
    };
    StockPrice { price, change }
}

fn news(NewsArguments { topic }: &NewsArguments) -> News {
    let headlines = [
        format!("Breaking: major developments in {topic}"),
        format!("Experts weigh in on the future of {topic}"),
        format!("New study reveals surprising facts about {topic}"),
    ];
    News { headlines }
}

struct DemoTool {
    demo: Demo,
    faults: Faults,
    log: CallLog,
}

/// Where the calls of a tool are written down.
#[derive(Clone)]
struct CallLog {
    tool: Arc<str>,
    file: Option<Arc<Path>>,
}

impl CallLog {
    /// Adds a line, in one piece: other processes may write to the file, too.
    fn write(&self, what: &str, context: &CallContext) -> Result<(), Error> {
        let Some(path) = &self.file else { return Ok(()) };
        let line = format!("{what} {} {}\n", context.key(), self.tool);
        let file = OpenOptions::new().create(true).append(true).open(path);
        file.and_then(|mut file| file.write_all(line.as_bytes())).map_err(Error::new)
    }
}

impl Tool for DemoTool {
    fn call(&self, arguments: &str, context: CallContext) -> ToolFuture {
        let (demo, arguments) = (self.demo, arguments.to_owned());
        let (delay, fault) = self.faults.next();
        let log = self.log.clone();
        async move {
            log.write("began", &context)?;
            if !delay.is_zero() {
                tokio::time::sleep(delay).await;
            }
            match fault {
                Fault::None => {
                    log.write("done", &context)?;
                    demo.answer(&arguments)
                }
                Fault::Error => Err(Error::new("simulated error")),
                Fault::Panic => panic!("simulated panic"),
                Fault::Hang => {
                    context.over().await;
                    std::future::pending().await
                }
            }
        }
        .boxed_local()
    }
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Fault {
    None,
    Error,
    Panic,
    Hang,
}

/// Deals out delays and faults; the same seed deals the same ones.
struct Faults {
    simulation: Simulation,
    random: Cell<u64>,
    calls: Cell<u64>,
}

impl Faults {
    fn new(simulation: Simulation, worker: u64) -> Self {
        let random = Cell::new(simulation.seed ^ worker.wrapping_mul(0x9e37_79b9_7f4a_7c15));
        Self { simulation, random, calls: Cell::new(0) }
    }

    fn next(&self) -> (Duration, Fault) {
        let Simulation { latency, jitter, error_rate, panic_rate, hang_rate, crash_after, .. } =
            self.simulation;
        let delay = latency + jitter.mul_f64(self.uniform());
        let draw = self.uniform();
        self.calls.set(self.calls.get() + 1);
        let crashes = self.calls.get() == crash_after; // Calls count from 1: never for 0.
        let fault = if crashes || draw < panic_rate {
            Fault::Panic
        } else if draw < panic_rate + hang_rate {
            Fault::Hang
        } else if draw < panic_rate + hang_rate + error_rate {
            Fault::Error
        } else {
            Fault::None
        };
        (delay, fault)
    }

    /// From 0 to 1, without 1.
    fn uniform(&self) -> f64 {
        let state = self.random.get();
        self.random.set(state.wrapping_add(0x9e37_79b9_7f4a_7c15));
        super::uniform(state)
    }
}
