//! A contestant for a benchmark of agent runtimes: one JSON job per line in, one JSON answer per
//! line out. Lives on the caller's own actix System, as a backend would embed it.
//!
//!     contestant --base-url http://127.0.0.1:8080/v1
//!
//! With `--dialect NAME` it speaks to the model as to that provider, of which it depends how early
//! a call begins. With `--store URL` its sessions are kept there; `--sync normal` does not wait for the
//! disk.

#![expect(clippy::print_stdout, reason = "standard output is the contract")]

use std::collections::{BTreeMap, HashMap};
use std::error::Error;
use std::io::BufRead;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use callsheet::model::Dialect;
use callsheet::store::{self, Journal, StoreOptions, SyncMode};
use callsheet::{
    CallContext, Effects, Endpoint, HttpModel, Limits, Runtime, Session, SessionOptions, ToolSet,
    ToolType,
};
use serde_json::json;

const PROMPT: &str = "Compare the weather, the time and the news of three cities.";

static STARTED: AtomicU64 = AtomicU64::new(0);
static FINISHED: AtomicU64 = AtomicU64::new(0);
static CANCELLED: AtomicU64 = AtomicU64::new(0);

#[derive(Clone, serde::Deserialize)]
struct Job {
    op: String,
    #[serde(default)]
    model: String,
    sessions: Option<usize>,
    questions: Option<u64>,
    duration_s: Option<f64>,
    tool: Option<String>,
    #[serde(default)]
    stream: bool,
    timeout_s: Option<f64>,
    budget_s: Option<f64>,
    concurrency: Option<usize>,
}

#[derive(serde::Deserialize, schemars::JsonSchema)]
struct Arguments {
    city: String,
    ms: u64,
    mode: String,
}

/// Counts a call as cancelled unless it ended.
struct Counted(bool);

impl Drop for Counted {
    fn drop(&mut self) {
        if !self.0 {
            CANCELLED.fetch_add(1, Relaxed);
        }
    }
}

/// Twice what the slowest tool takes.
const TIME_LIMIT: Duration = Duration::from_secs(2);

async fn tool(kind: &'static str, arguments: Arguments) -> Result<String, String> {
    STARTED.fetch_add(1, Relaxed);
    let mut counted = Counted(false);
    let result = work(kind, &arguments).await;
    counted.0 = true;
    FINISHED.fetch_add(u64::from(result.is_ok()), Relaxed);
    result
}

async fn work(kind: &'static str, arguments: &Arguments) -> Result<String, String> {
    match &*arguments.mode {
        "raise" => return Err("disk on fire".into()),
        "hang" => std::future::pending::<()>().await,
        _ => {}
    }
    let delay = Duration::from_millis(arguments.ms);
    if !delay.is_zero() {
        tokio::time::sleep(delay).await;
    }
    Ok(format!("{kind}:{}", arguments.city))
}

/// The same on a thread of its own.
fn block(kind: &str, arguments: &Arguments, context: &CallContext) -> Result<String, String> {
    STARTED.fetch_add(1, Relaxed);
    let mut counted = Counted(false);
    std::thread::sleep(Duration::from_millis(arguments.ms));
    while arguments.mode == "hang" && !context.is_over() {
        std::thread::sleep(Duration::from_millis(10));
    }
    counted.0 = true;
    if arguments.mode == "raise" {
        return Err("disk on fire".into());
    }
    FINISHED.fetch_add(1, Relaxed);
    Ok(format!("{kind}:{}", arguments.city))
}

fn tools(blocking: bool) -> Result<Arc<ToolSet>, Box<dyn Error>> {
    let tool = |name: &'static str, kind: &'static str, description: &'static str| {
        let made = match blocking {
            true => ToolType::blocking(name, description, move |arguments: Arguments, context| {
                block(kind, &arguments, &context)
            }),
            false => ToolType::typed(name, description, move |arguments: Arguments, _| {
                tool(kind, arguments)
            }),
        };
        made.effects(Effects::None).time_limit(TIME_LIMIT)
    };
    Ok(Arc::new(ToolSet::new([
        tool("get_weather", "weather", "Weather of a city."),
        tool("get_time", "time", "Local time of a city."),
        tool("get_news", "news", "News of a city."),
    ])?))
}

struct Contestant {
    /// The model, without streaming and with it.
    models: [HttpModel; 2],
    runtime: Runtime,
    options: Mutex<HashMap<(String, bool, bool), SessionOptions>>,
    held: Mutex<Vec<Session>>,
}

impl Contestant {
    /// The model and the tools are made once and used again.
    fn options(&self, job: &Job) -> Result<SessionOptions, Box<dyn Error>> {
        let blocking = job.tool.as_deref() == Some("blocking");
        let key = (job.model.clone(), job.stream, blocking);
        if let Some(options) = self.options.lock().expect("nobody panics").get(&key) {
            return Ok(options.clone());
        }
        let model = Arc::new(self.models[usize::from(job.stream)].with_name(job.model.clone()));
        let limits = Limits {
            max_rounds: u32::MAX,
            max_calls_per_round: 10_000,
            turn_time_limit: Duration::from_secs(3600),
            ..Limits::default()
        };
        let options = SessionOptions::new(model, tools(blocking)?).limits(limits);
        self.options.lock().expect("nobody panics").insert(key, options.clone());
        Ok(options)
    }

    async fn run(self: Arc<Self>, job: Job) -> Result<serde_json::Value, Box<dyn Error>> {
        let options = self.options(&job)?;
        let began = Instant::now();
        let end = job.duration_s.map(|seconds| began + Duration::from_secs_f64(seconds));
        let limit = Duration::from_secs_f64(job.timeout_s.unwrap_or(60.0));
        let loops = (0..job.sessions.unwrap_or(1)).map(|_| {
            let (runtime, options) = (self.runtime.clone(), options.clone());
            let questions = job.questions.unwrap_or(1);
            tokio::spawn(async move {
                let (mut good, mut errors, mut asked) = (Vec::new(), Vec::new(), 0);
                while end.map_or(asked < questions, |end| Instant::now() < end) {
                    asked += 1;
                    let began = Instant::now();
                    let session = runtime.session(options.clone());
                    match tokio::time::timeout(limit, session.ask(PROMPT)).await {
                        Ok(Ok(answer)) if answer.text.starts_with("final c") => {
                            good.push(began.elapsed().as_secs_f64() * 1e3);
                        }
                        Ok(Ok(answer)) => errors.push(("wrong_final", answer.text.to_string())),
                        Ok(Err(error)) => errors.push(("error", error.to_string())),
                        Err(_) => {
                            session.cancel().await;
                            errors.push(("timeout", "no answer".to_owned()));
                        }
                    }
                }
                (good, errors)
            })
        });
        let loops: Vec<_> = loops.collect();
        let (mut latencies, mut errors, mut sample) = (Vec::new(), BTreeMap::new(), None);
        for ended in loops {
            let (good, bad) = ended.await?;
            latencies.extend(good);
            for (kind, message) in bad {
                *errors.entry(kind).or_insert(0u64) += 1;
                sample.get_or_insert(format!("{kind}: {message}"));
            }
        }
        Ok(json!({"ok": latencies.len(), "errors": errors, "error_sample": sample,
            "wall_s": began.elapsed().as_secs_f64(), "lat_ms": latencies,
            "tools": {"started": STARTED.load(Relaxed), "finished": FINISHED.load(Relaxed),
                "cancelled": CANCELLED.load(Relaxed)}}))
    }

    async fn hold(self: Arc<Self>, job: Job) -> Result<serde_json::Value, Box<dyn Error>> {
        let options = self.options(&job)?;
        let began = Instant::now();
        let budget = Duration::from_secs_f64(job.budget_s.unwrap_or(30.0));
        let left = Arc::new(AtomicU64::new(job.sessions.unwrap_or(1) as u64));
        let loops = (0..job.concurrency.unwrap_or(16)).map(|_| {
            let (this, options, left) = (Arc::clone(&self), options.clone(), Arc::clone(&left));
            tokio::spawn(async move {
                let take = || left.try_update(Relaxed, Relaxed, |left| left.checked_sub(1)).is_ok();
                while began.elapsed() < budget && take() {
                    let session = this.runtime.session(options.clone());
                    if session.ask(PROMPT).await.is_ok() {
                        this.held.lock().expect("nobody panics").push(session);
                    }
                }
            })
        });
        for ended in loops.collect::<Vec<_>>() {
            ended.await?;
        }
        let held = self.held.lock().expect("nobody panics").len();
        Ok(json!({"held": held, "wall_s": began.elapsed().as_secs_f64()}))
    }
}

#[actix::main]
async fn main() -> Result<(), Box<dyn Error>> {
    let option = |name: &str| std::env::args().skip_while(|argument| argument != name).nth(1);
    let base_url = option("--base-url")
        .ok_or("usage: contestant [--dialect NAME] [--store URL] --base-url URL")?;
    let dialect = match option("--dialect") {
        Some(name) => Dialect::named(&name).ok_or("no such dialect")?,
        None => Dialect::for_url(&base_url),
    };
    let mut builder = Runtime::builder();
    if let Some(url) = option("--store") {
        let sync = match option("--sync").as_deref() {
            Some("normal") => SyncMode::Normal,
            _ => SyncMode::Full,
        };
        let options = StoreOptions { sync, ..StoreOptions::default() };
        let store: Arc<dyn Journal> = store::open(&url, &options).await?;
        builder = builder.journal(store);
    }
    let runtime = builder.in_current_system()?;
    let (options, held) = (Mutex::default(), Mutex::default());
    let model = |stream| {
        let key = Some(callsheet::ApiKey::new("sk-none"));
        HttpModel::new(Endpoint { key, stream, dialect, ..Endpoint::new(base_url.clone()) }, "k1")
    };
    let models = [model(false)?, model(true)?];
    let contestant = Arc::new(Contestant { models, runtime, options, held });
    let (sender, mut jobs) = tokio::sync::mpsc::unbounded_channel();
    std::thread::spawn(move || {
        let lines = std::io::stdin().lock().lines().map_while(Result::ok);
        lines.map(|line| sender.send(line)).take_while(Result::is_ok).for_each(drop);
    });
    println!(
        "{}",
        json!({"ready": "callsheet", "versions": {"callsheet": env!("CARGO_PKG_VERSION")}})
    );
    while let Some(line) = jobs.recv().await {
        let answer = match serde_json::from_str::<Job>(&line) {
            Ok(job) => {
                for counter in [&STARTED, &FINISHED, &CANCELLED] {
                    counter.store(0, Relaxed);
                }
                let this = Arc::clone(&contestant);
                match &*job.op {
                    "run" => this.run(job).await,
                    "hold" => this.hold(job).await,
                    "drop" => {
                        contestant.held.lock().expect("nobody panics").clear();
                        Ok(json!({}))
                    }
                    other => Ok(json!({"unsupported": other})),
                }
            }
            Err(error) => Ok(json!({"unsupported": error.to_string()})),
        };
        println!("{}", answer.unwrap_or_else(|error| json!({"unsupported": error.to_string()})));
    }
    Ok(())
}
