//! What open streams of `callsheet serve` cost, and how late an event comes to who follows a session.
//!
//!     cargo bench --bench streams [-- SESSIONS [SECONDS]]
//!
//! 1,000 sessions within 10 seconds if nothing is said. Each is made, then followed by a stream that stays open;
//! then each is asked one question somewhere within the seconds, whose three tools take 300 ms each and fail,
//! panic and hang now and then. An event is late by what lies between its own time and the moment that its line
//! was read here. The server is a process of its own; clients and server share the machine.
//!
//! On Linux alone: memory is what the process holds of it (`VmRSS`).

#![expect(clippy::print_stdout, reason = "the table is the result")]
#![allow(missing_docs, reason = "a bench has no reader of its docs")]

use std::error::Error;
use std::io::{BufRead, BufReader};
use std::path::PathBuf;
use std::process::{Child, Command, Stdio};
use std::rc::Rc;
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use futures_util::future::{join_all, try_join_all};
use tokio::io::{AsyncBufReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::time::sleep;

type AnyError = Box<dyn Error + Send + Sync>;

const QUESTION: &str =
    "What's the weather in Tokyo, what's AAPL's stock price, and what's the latest news about AI?";

const SETTINGS: [&str; 9] = [
    "model.provider=offline",
    "tools[0].simulate.panic_rate=0.02",
    "tools[1].simulate.hang_rate=0.02",
    "tools[1].time_limit_ms=2000",
    "tools[2].simulate.error_rate=0.1",
    "turn.max_identical_calls=0",
    "server.max_streams=100000",
    "server.max_sessions=100000",
    "server.max_connections=100000",
];

/// The server's process; it ends with this.
struct Served {
    child: Child,
    addr: String,
    /// Where it keeps its sessions.
    directory: PathBuf,
}

impl Served {
    fn start() -> Result<Self, AnyError> {
        let mut command = Command::new(env!("CARGO_BIN_EXE_callsheet"));
        command.args(["serve", "--bind", "127.0.0.1:0"]);
        command.args(SETTINGS.iter().flat_map(|setting| ["--set", setting]));
        let directory =
            std::env::temp_dir().join(format!("callsheet-streams-{}", std::process::id()));
        std::fs::create_dir_all(&directory)?;
        command.current_dir(&directory).env("XDG_DATA_HOME", &directory).stdin(Stdio::null());
        // Reading the names of its functions takes more than all that is measured here.
        command.env_remove("RUST_BACKTRACE");
        let mut child = command.stdout(Stdio::piped()).stderr(Stdio::null()).spawn()?;
        let mut url = String::new();
        let stdout = child.stdout.as_mut().ok_or("no standard output")?;
        BufReader::new(stdout).read_line(&mut url)?;
        let addr = url.trim_end().strip_prefix("http://").ok_or("no address")?.to_owned();
        Ok(Self { child, addr, directory })
    }

    /// KiB of memory that the process holds.
    fn memory(&self) -> Result<f64, AnyError> {
        let status = std::fs::read_to_string(format!("/proc/{}/status", self.child.id()))?;
        let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:"));
        Ok(line.ok_or("no size")?.trim().trim_end_matches(" kB").trim().parse()?)
    }

    /// The body of an answer, line by line.
    async fn send(&self, method: &str, path: &str, body: &str) -> Result<Lines, AnyError> {
        let mut stream = TcpStream::connect(&self.addr).await?;
        let request = format!(
            "{method} {path} HTTP/1.1\r\nhost: {}\r\nconnection: close\r\ncontent-type: application/json\r\n\
             content-length: {}\r\n\r\n{body}",
            self.addr,
            body.len()
        );
        stream.write_all(request.as_bytes()).await?;
        let mut lines = tokio::io::BufReader::with_capacity(2048, stream).lines();
        let status = lines.next_line().await?.unwrap_or_default();
        if !status.starts_with("HTTP/1.1 20") {
            return Err(status.into());
        }
        while lines.next_line().await?.is_some_and(|line| !line.is_empty()) {}
        Ok(lines)
    }
}

impl Drop for Served {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
        let _ = std::fs::remove_dir_all(&self.directory);
    }
}

type Lines = tokio::io::Lines<tokio::io::BufReader<TcpStream>>;

/// Reads events until the turn has ended, and says how late each came, in milliseconds. Pieces of chunks
/// stand between the lines, and are passed over.
async fn follow(mut lines: Lines) -> Result<Vec<f64>, AnyError> {
    let mut late = Vec::new();
    while let Some(line) = lines.next_line().await? {
        if let Some(data) = line.strip_prefix("data: ") {
            let now = SystemTime::now().duration_since(UNIX_EPOCH)?.as_micros() as f64;
            let (_, rest) = data.split_once("\"at_us\":").ok_or("an event without a time")?;
            let at = rest.split(|c: char| !c.is_ascii_digit()).next().unwrap_or_default();
            late.push((now - at.parse::<f64>()?) / 1e3);
            if data.contains("\"turn_ended\"") {
                return Ok(late);
            }
        }
    }
    Err("a stream ended before its turn".into())
}

fn percentile(sorted: &[f64], percent: f64) -> f64 {
    sorted[((sorted.len() as f64 * percent / 100.0) as usize).min(sorted.len() - 1)]
}

async fn run(sessions: u64, time: Duration) -> Result<(), AnyError> {
    let served = Rc::new(Served::start()?);
    let empty = served.memory()?;
    for n in 0..sessions {
        drop(served.send("POST", "/v1/sessions", &format!(r#"{{"id":"s{n}"}}"#)).await?);
    }
    let made = served.memory()?;
    let mut followed = Vec::new();
    for n in 0..sessions {
        followed.push(served.send("GET", &format!("/v1/sessions/s{n}/events"), "").await?);
    }
    let mut others = Vec::new();
    let one = served.memory()?;
    let further = sessions.min(1_000); // Sockets are few.
    for _ in 0..further {
        others.push(served.send("GET", "/v1/sessions/s0/events", "").await?);
    }
    let many = served.memory()?;
    drop(others);
    let each = |more: f64, less: f64| (more - less) / sessions as f64;
    println!(
        "{sessions} sessions, one stream each, {further} more streams of one of them; KiB each:"
    );
    println!("  a session that was made        {:>6.1}", each(made, empty));
    println!("  a stream, and its session      {:>6.1}", each(one, made));
    println!("  one more stream of a session   {:>6.1}", (many - one) / further as f64);

    let began = Instant::now();
    let following = try_join_all(followed.into_iter().map(follow));
    let asking = join_all((0..sessions).map(|n| {
        let (served, rest) = (Rc::clone(&served), time.mul_f64(n as f64 / sessions as f64));
        async move {
            sleep(rest).await;
            let body = format!(r#"{{"content":"{QUESTION}"}}"#);
            // That this client goes away cancels nothing.
            served.send("POST", &format!("/v1/sessions/s{n}/messages"), &body).await.map(drop)
        }
    }));
    let (late, asked) = futures_util::future::join(following, asking).await;
    asked.into_iter().collect::<Result<Vec<()>, _>>()?;
    let mut late = late?.concat();
    let took = began.elapsed().as_secs_f64();
    late.sort_by(f64::total_cmp);
    println!("{sessions} questions in {took:.1} s, {} events over the streams", late.len());
    let [p50, p99] = [50.0, 99.0].map(|percent| percentile(&late, percent));
    println!("  late by {p50:.2} ms p50, {p99:.2} ms p99, {:.2} ms at most", late[late.len() - 1]);
    println!(
        "  {:.1} KiB for each session and its stream afterwards",
        each(served.memory()?, empty)
    );
    Ok(())
}

fn main() -> Result<(), AnyError> {
    let numbers = std::env::args().filter_map(|argument| argument.parse().ok());
    let numbers: Vec<u64> = numbers.collect();
    let sessions = numbers.first().copied().unwrap_or(1_000).max(1);
    let time = Duration::from_secs(numbers.get(1).copied().unwrap_or(10));
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    runtime.block_on(run(sessions, time))
}
