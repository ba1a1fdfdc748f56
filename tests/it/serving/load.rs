//! Many at once. More of them, and for longer, with `CALLSHEET_LOAD_SESSIONS` and `CALLSHEET_LOAD_SECONDS`.

use std::time::{Duration, Instant};

use futures_util::StreamExt;
use futures_util::stream;

use super::http::{Served, run};
use crate::support::cli::Place;

const QUESTION: &str =
    "What's the weather in Tokyo, what's AAPL's stock price, and what's the latest news about AI?";

fn number(name: &str, otherwise: u64) -> u64 {
    std::env::var(name).ok().and_then(|text| text.parse().ok()).unwrap_or(otherwise)
}

/// Tools that fail, panic and hang.
const CHAOS: [&str; 12] = [
    "--set",
    "tools[0].simulate.panic_rate=0.02",
    "--set",
    "tools[1].simulate.hang_rate=0.02",
    "--set",
    "tools[1].time_limit_ms=2000",
    "--set",
    "tools[2].simulate.error_rate=0.1",
    "--set",
    "turn.max_identical_calls=0",
    "--set",
    "server.max_streams=100000",
];

#[test]
fn sessions_that_stream_at_once_lose_nothing_whatever_their_tools_do() {
    let sessions = number("CALLSHEET_LOAD_SESSIONS", 100);
    let place = Place::new();
    let served = Served::start(&place, &CHAOS);
    run(async {
        let before = served.memory();
        let ask = |n: u64| {
            let served = &served;
            async move {
                let mut stream = served.ask(&format!("s{n}"), QUESTION).await;
                assert_eq!(stream.status, 200, "s{n}: {}", stream.head);
                let done = stream.until("done").await;
                let calls = done["rounds"][0]["calls"].as_array().map_or(0, Vec::len);
                assert_eq!(calls, 3, "s{n}: {done}");
                for call in done["rounds"][0]["calls"].as_array().expect("calls") {
                    assert!(call["outcome"].is_string(), "s{n}: {call}");
                }
                u64::from(done["answer"].is_string())
            }
        };
        let began = Instant::now();
        let all = futures_util::future::join_all((0..sessions).map(ask)).await;
        let answered: u64 = all.into_iter().sum();
        println!(
            "{sessions} sessions at once: {answered} answered, {:?}, {} KiB each",
            began.elapsed(),
            served.memory().saturating_sub(before) / 1024 / sessions
        );
        assert_eq!(answered, sessions);
        assert_eq!(served.get("/readyz").await.status, 200);
    });
}

#[test]
fn memory_is_flat_while_sessions_come_and_go() {
    let time = Duration::from_secs(number("CALLSHEET_LOAD_SECONDS", 6));
    let place = Place::new();
    let mut settings = CHAOS.to_vec();
    settings.extend(["--set", "server.max_sessions=50", "--set", "session.sleep_after_ms=500"]);
    settings.extend([
        "--set",
        "tools[0].simulate.latency_ms=5",
        "--set",
        "tools[1].simulate.latency_ms=5",
    ]);
    settings.extend([
        "--set",
        "tools[2].simulate.latency_ms=5",
        "--set",
        "tools[1].simulate.hang_rate=0",
    ]);
    let served = Served::start(&place, &settings);
    run(async {
        let began = Instant::now();
        let (mut samples, mut asked) = (Vec::new(), 0_u64);
        let churn = stream::iter(0_u64..).map(|n| {
            let served = &served;
            async move {
                let mut stream = served.ask(&format!("s{n}"), QUESTION).await;
                if stream.status == 429 {
                    return;
                }
                assert_eq!(stream.status, 200, "s{n}: {}", stream.head);
                match n % 3 {
                    0 => drop(stream), // Vanishes.
                    _ => drop(stream.until("done").await),
                }
            }
        });
        let mut churn = std::pin::pin!(churn.buffer_unordered(16));
        let mut next_sample = time / 20;
        while began.elapsed() < time {
            churn.next().await;
            asked += 1;
            if began.elapsed() >= next_sample {
                samples.push(served.memory());
                next_sample = began.elapsed() + time / 20;
            }
        }
        assert!(samples.len() >= 6, "{asked} sessions came and went");
        let third = samples.len() / 3;
        let mean = |of: &[u64]| of.iter().sum::<u64>() / of.len() as u64;
        let (middle, last) = (mean(&samples[third..2 * third]), mean(&samples[2 * third..]));
        let mib = |bytes: u64| bytes / 1024 / 1024;
        println!(
            "{asked} sessions came and went in {time:?}: {} MiB, then {} MiB",
            mib(middle),
            mib(last)
        );
        assert!(last < middle + middle / 2 + 8 * 1024 * 1024, "{samples:?}");
    });
}
