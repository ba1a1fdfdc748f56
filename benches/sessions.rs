//! What it costs that sessions outlive the process: durable rounds beside rounds in memory, idle and
//! sleeping sessions, waking one, and listing many.
//!
//!     cargo bench --bench sessions [-- PART …]
//!
//! The parts are `rounds`, `full`, `idle`, `waking` and `listing`; all of them if none is named. The
//! stores are made in a directory of its own under the working directory, and removed.

#![expect(clippy::print_stdout, reason = "the table is the result")]
#![allow(missing_docs, reason = "a bench has no reader of its docs")]

mod support;

use std::convert::Infallible;
use std::fs::{self, File};
use std::io::Write;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use callsheet::conversation::{Record, VERSION};
use callsheet::model::{Error, Event, Events, Model, Request};
use callsheet::store::{self, Access, Listing, MemoryStore, Store, StoreOptions, SyncMode};
use callsheet::wire::Reply;
use callsheet::{Effects, Limits, Runtime, Session, SessionId, SessionOptions, ToolSet, ToolType};
use futures_util::future::join_all;
use futures_util::{StreamExt, stream};

type AnyError = Box<dyn std::error::Error>;

#[derive(serde::Deserialize, schemars::JsonSchema)]
struct Arguments {
    /// The ordinal of the call.
    n: u64,
}

/// What the model says, the same in all sessions.
struct Lines {
    calls: Reply,
    answer: Reply,
}

/// The model of one session: asks for calls in so many rounds of each turn, then answers. Notes the
/// time from each of its replies to the request that follows.
struct Scripted {
    lines: Arc<Lines>,
    rounds: usize,
    state: Arc<Mutex<State>>,
}

#[derive(Default)]
struct State {
    asked: usize,
    asked_at: Option<Instant>,
    replied: Option<Instant>,
    waits: Vec<Duration>,
}

impl Lines {
    fn new(calls: usize) -> Result<Arc<Self>, AnyError> {
        let [calls, answer] = support::replies("work", calls, "The weather is the same as ever.")?;
        Ok(Arc::new(Self { calls, answer }))
    }
}

impl Scripted {
    fn new(lines: &Arc<Lines>, rounds: usize) -> Arc<Self> {
        Arc::new(Self { lines: Arc::clone(lines), rounds, state: Arc::default() })
    }
}

impl Model for Scripted {
    fn name(&self) -> &str {
        "scripted"
    }

    fn ask(&self, request: Request<'_>) -> Events {
        let now = Instant::now();
        let mut state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        if request.first {
            (state.asked, state.replied) = (0, None);
        }
        if let Some(replied) = state.replied.take() {
            state.waits.push(now - replied);
        }
        state.asked += 1;
        state.asked_at = Some(now);
        let is_last = state.asked > self.rounds;
        let lines = &self.lines;
        let reply = Box::new(if is_last { &lines.answer } else { &lines.calls }.clone());
        let state = Arc::clone(&self.state);
        let saying = async move {
            let mut state = state.lock().unwrap_or_else(PoisonError::into_inner);
            state.replied = Some(Instant::now()).filter(|_| !is_last);
            Ok::<_, Error>(Event::Reply(reply))
        };
        stream::once(saying).boxed_local()
    }
}

/// The one tool: it takes so long.
fn tools(time: Duration) -> Result<Arc<ToolSet>, AnyError> {
    let work = ToolType::typed("work", "Works.", move |arguments: Arguments, _| async move {
        if !time.is_zero() {
            tokio::time::sleep(time).await;
        }
        Ok::<_, Infallible>(format!("result of call {}: nothing has changed", arguments.n))
    });
    Ok(Arc::new(ToolSet::new([work.effects(Effects::None)])?))
}

fn options(model: Arc<Scripted>, tools: &Arc<ToolSet>, id: String) -> SessionOptions {
    let limits = Limits {
        max_rounds: 100_000,
        turn_time_limit: Duration::from_secs(3600),
        ..Limits::default()
    };
    SessionOptions::new(model, Arc::clone(tools)).limits(limits).id(SessionId::new(id))
}

/// A directory that is removed at the end.
struct Directory(PathBuf);

impl Directory {
    fn new() -> Result<Self, AnyError> {
        let path = std::env::current_dir()?.join(format!("bench-sessions-{}", std::process::id()));
        fs::create_dir_all(&path)?;
        Ok(Self(path))
    }
}

impl Drop for Directory {
    fn drop(&mut self) {
        drop(fs::remove_dir_all(&self.0));
    }
}

async fn sqlite(directory: &Path, name: &str, sync: SyncMode) -> Result<Arc<dyn Store>, AnyError> {
    let options = StoreOptions { directory: directory.to_owned(), sync, ..StoreOptions::default() };
    Ok(store::open(&format!("sqlite:{name}.db"), &options).await?)
}

/// The CPU time so far of the threads that the process has, by the scheduler's clock: what the
/// process's own times say is counted in ticks.
fn cpu_time() -> Duration {
    let tasks = fs::read_dir("/proc/self/task").into_iter().flatten().flatten();
    let time = |path: PathBuf| {
        let stat = fs::read_to_string(path.join("schedstat")).ok()?;
        stat.split_whitespace().next()?.parse().ok().map(Duration::from_nanos)
    };
    tasks.filter_map(|task| time(task.path())).sum()
}

/// The memory that the process holds now, in bytes.
fn resident() -> u64 {
    let status = fs::read_to_string("/proc/self/status").unwrap_or_default();
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:")).unwrap_or_default();
    line.split_whitespace().next().and_then(|kib| kib.parse::<u64>().ok()).unwrap_or_default()
        * 1024
}

fn median(mut times: Vec<Duration>) -> Duration {
    times.sort_unstable();
    times.get(times.len() / 2).copied().unwrap_or_default()
}

fn ms(time: Duration) -> f64 {
    time.as_secs_f64() * 1000.0
}

/// What rounds cost.
struct Cost {
    cpu_a_round: Duration,
    turnaround: Duration,
    rounds_a_second: f64,
}

/// Has `sessions` sessions on `store` ask at the same time; each turn has `rounds` rounds of 3 calls
/// that take `time`, and in every next session a millisecond more, up to nine: they do not go in
/// step, as sessions do not.
async fn rounds(
    store: Arc<dyn Store>,
    sessions: usize,
    rounds: usize,
    turns: usize,
    time: Duration,
) -> Result<Cost, AnyError> {
    let runtime = Runtime::builder().journal(store).start()?;
    let lines = Lines::new(3)?;
    let own = |n: usize| match time.is_zero() {
        true => Duration::ZERO,
        false => time + Duration::from_millis(n as u64 % 10),
    };
    let all_tools = (0..10).map(|n| tools(own(n))).collect::<Result<Vec<_>, _>>()?;
    let models: Vec<_> = (0..sessions).map(|_| Scripted::new(&lines, rounds)).collect();
    let open = |(n, model): (usize, &Arc<Scripted>)| {
        runtime.session(options(Arc::clone(model), &all_tools[n % 10], format!("s{n}")))
    };
    let handles: Vec<Session> = models.iter().enumerate().map(open).collect();
    // Workers and statements are made.
    for asked in join_all(handles.iter().map(|session| session.ask("go"))).await {
        asked?;
    }
    for model in &models {
        model.state.lock().unwrap_or_else(PoisonError::into_inner).waits.clear();
    }
    let (cpu, began) = (cpu_time(), Instant::now());
    let work = handles.iter().enumerate().map(|(n, session)| async move {
        tokio::time::sleep(own(n).mul_f64(n as f64 / sessions as f64)).await;
        for _ in 0..turns {
            session.ask("What is new?").await?;
        }
        Ok::<_, callsheet::Error>(())
    });
    for asked in join_all(work).await {
        asked?;
    }
    let (cpu, took) = (cpu_time() - cpu, began.elapsed());
    let waits = models.iter().enumerate().flat_map(|(n, model)| {
        let mut state = model.state.lock().unwrap_or_else(PoisonError::into_inner);
        let waits = std::mem::take(&mut state.waits);
        waits.into_iter().map(move |wait| wait.saturating_sub(own(n)))
    });
    let all = u32::try_from(sessions * rounds * turns)?;
    Ok(Cost {
        cpu_a_round: cpu / all,
        turnaround: median(waits.collect()),
        rounds_a_second: f64::from(all) / took.as_secs_f64(),
    })
}

async fn durable_rounds(directory: &Path) -> Result<(), AnyError> {
    const SESSIONS: usize = 100;
    const REPEATS: usize = 5;
    let time = Duration::from_millis(50);
    println!("\nrounds of 3 calls of 50 ms, {SESSIONS} sessions at a time, medians of {REPEATS}");
    let (mut cpu, mut turnaround) = ([const { Vec::new() }; 2], [const { Vec::new() }; 2]);
    for repeat in 0..REPEATS {
        for which in [repeat % 2, (repeat + 1) % 2] {
            let store: Arc<dyn Store> = match which {
                0 => Arc::new(MemoryStore::keeping()),
                _ => sqlite(directory, &format!("rounds-{repeat}"), SyncMode::Normal).await?,
            };
            let cost = rounds(store, SESSIONS, 10, 3, time).await?;
            cpu[which].push(cost.cpu_a_round);
            turnaround[which].push(cost.turnaround);
        }
    }
    let ([memory, sqlite], [fast, slow]) = (cpu.map(median), turnaround.map(median));
    println!(
        "  memory           {:7.1} µs CPU a round  {:6.3} ms turnaround",
        ms(memory) * 1e3,
        ms(fast)
    );
    println!(
        "  SQLite, normal   {:7.1} µs CPU a round  {:6.3} ms turnaround",
        ms(sqlite) * 1e3,
        ms(slow)
    );
    let times = sqlite.as_secs_f64() / memory.as_secs_f64();
    println!("  × {times:.2} CPU (target 2), {:+.3} ms (target 2)", ms(slow) - ms(fast));
    Ok(())
}

async fn full(directory: &Path) -> Result<(), AnyError> {
    const SESSIONS: usize = 1000;
    let mut times = Vec::new();
    let mut file = File::create(directory.join("fsync"))?;
    for _ in 0..200 {
        file.write_all(&[7; 4096])?;
        let began = Instant::now();
        file.sync_data()?;
        times.push(began.elapsed());
    }
    println!("\nSQLite, full, {SESSIONS} sessions at a time, rounds of 3 calls of 0 ms");
    println!("  one fsync of 4 KB: {:.3} ms (median of 200)", ms(median(times)));
    let store = sqlite(directory, "full", SyncMode::Full).await?;
    let cost = rounds(store, SESSIONS, 10, 1, Duration::ZERO).await?;
    println!("  {:.0} rounds a second (target 1,000)", cost.rounds_a_second);
    Ok(())
}

async fn idle(directory: &Path) -> Result<(), AnyError> {
    const SESSIONS: usize = 10_000;
    println!("\n{SESSIONS} idle sessions of 20 messages, on SQLite");
    let store = sqlite(directory, "idle", SyncMode::Normal).await?;
    let runtime = Runtime::builder().journal(store).sleep_after(None).start()?;
    let (lines, tools) = (Lines::new(1)?, tools(Duration::ZERO)?);
    let hold = async |name: &str, sessions: usize| -> Result<Vec<Session>, AnyError> {
        let mut held = Vec::with_capacity(sessions);
        let all: Vec<usize> = (0..sessions).collect();
        for some in all.chunks(100) {
            let asked = some.iter().map(|n| {
                let id = format!("{name}{n}");
                let session = runtime.session(options(Scripted::new(&lines, 9), &tools, id));
                async move { session.ask("go").await.map(|_| session) }
            });
            for session in join_all(asked).await {
                held.push(session?);
            }
        }
        Ok(held)
    };
    drop(hold("warm", 200).await?);
    while runtime.sessions() > 0 {
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    let a_session = |before: u64| resident().saturating_sub(before) / SESSIONS as u64;
    let before = resident();
    let held = hold("a", SESSIONS).await?;
    println!("  awake: {} bytes each (target 14,000), by the resident memory", a_session(before));
    let full = resident();
    drop(held);
    while runtime.sessions() > 0 {
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    println!("  without a handle: {} in the directory", runtime.sessions());
    // What the allocator keeps of the first ones is used by the second.
    let again = hold("b", SESSIONS).await?;
    println!("  as many others then: {} bytes more each (target 0)", a_session(full));
    drop(again);
    Ok(())
}

async fn waking(directory: &Path) -> Result<(), AnyError> {
    let (lines, tools) = (Lines::new(3)?, tools(Duration::ZERO)?);
    let runtime = {
        let store = sqlite(directory, "waking", SyncMode::Normal).await?;
        let runtime = Runtime::builder().journal(store).start()?;
        runtime
            .session(options(Scripted::new(&lines, 500), &tools, "long".into()))
            .ask("go")
            .await?;
        runtime
    };
    drop(runtime);
    let mut times = Vec::new();
    for _ in 0..10 {
        let store = sqlite(directory, "waking", SyncMode::Normal).await?;
        let runtime = Runtime::builder().journal(store).start()?;
        let model = Scripted::new(&lines, 0);
        let session = runtime.session(options(Arc::clone(&model), &tools, "long".into()));
        let began = Instant::now();
        session.ask("And now?").await?;
        let asked = model.state.lock().unwrap_or_else(PoisonError::into_inner).asked_at;
        times.push(asked.map(|asked| asked - began).unwrap_or_default());
    }
    println!(
        "\nwaking a session of 2,000 messages: {:.1} ms until the model is asked (target 20)",
        ms(median(times))
    );
    Ok(())
}

async fn listing(directory: &Path) -> Result<(), AnyError> {
    const SESSIONS: usize = 100_000;
    let store = sqlite(directory, "listing", SyncMode::Normal).await?;
    let record = |session: &SessionId, seq, at_us, event| Record {
        v: VERSION,
        seq,
        at_us,
        session: session.clone(),
        event,
    };
    let all: Vec<usize> = (0..SESSIONS).collect();
    for some in all.chunks(1000) {
        let made = some.iter().map(|n| {
            let (store, id) = (Arc::clone(&store), SessionId::new(format!("session-{n}")));
            async move {
                let at_us = 1_700_000_000_000_000 + (*n as u64 * 7_919) % 1_000_000_007;
                let epoch = store.open(&id, Access::IfFree).await?;
                let prompt = format!("What is the weather in city {n}?").into();
                let records = vec![
                    record(
                        &id,
                        1,
                        at_us,
                        callsheet::Event::SessionOpened { system: None, history: None },
                    ),
                    record(
                        &id,
                        2,
                        at_us,
                        callsheet::Event::TurnStarted {
                            turn: 1,
                            prompt,
                            goes_on: false,
                            key: None,
                        },
                    ),
                ];
                store.append(&id, 0, epoch, Arc::new(records)).await?;
                store.close(&id, epoch);
                Ok::<_, store::Error>(())
            }
        });
        for made in join_all(made).await {
            made?;
        }
    }
    let mut times = Vec::new();
    for _ in 0..20 {
        let began = Instant::now();
        let page = store.list(&Listing { limit: 20, ..Listing::default() }).await?;
        times.push(began.elapsed());
        assert_eq!(page.sessions.len(), 20, "a page");
    }
    println!(
        "\nlisting the first 20 of {SESSIONS} sessions: {:.2} ms (target 50)",
        ms(median(times))
    );
    Ok(())
}

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<(), AnyError> {
    let named: Vec<String> =
        std::env::args().skip(1).filter(|part| !part.starts_with('-')).collect();
    let wants = |part: &str| named.is_empty() || named.iter().any(|named| named == part);
    let directory = Directory::new()?;
    if wants("rounds") {
        durable_rounds(&directory.0).await?;
    }
    if wants("full") {
        full(&directory.0).await?;
    }
    if wants("idle") {
        idle(&directory.0).await?;
    }
    if wants("waking") {
        waking(&directory.0).await?;
    }
    if wants("listing") {
        listing(&directory.0).await?;
    }
    Ok(())
}
