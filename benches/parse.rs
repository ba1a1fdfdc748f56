//! How fast a streamed reply is read on one core: from the bytes of its events to text, calls and the finished reply.
//! And that a byte of a call's arguments costs the same however many came before it, where reading them anew after
//! each delta costs their square.
//!
//!     cargo bench --bench parse

#![expect(clippy::print_stdout, reason = "the table is the result")]
#![allow(missing_docs, reason = "a bench has no reader of its docs")]

use std::fmt::Write;
use std::hint::black_box;
use std::time::{Duration, Instant};

use callsheet::wire::{Error, Reply, StreamDecoder};

type AnyError = Box<dyn std::error::Error>;

/// How long each stream is read again and again.
const TIME_PER_ROW: Duration = Duration::from_secs(2);
/// How much of a stream comes at a time, as from a socket.
const PIECE_BYTES: usize = 8 << 10;
/// What we promise, in millions of bytes a second.
const TARGET: f64 = 200.0;

const KB: usize = 1 << 10;
const MB: usize = 1 << 20;

/// A chunk as OpenAI writes it.
fn chunk(out: &mut String, delta: &str, finish: &str) -> std::fmt::Result {
    write!(
        out,
        "data: {{\"id\":\"chatcmpl-Bv2mT0eXq7dRkz41fJc9nYwPsLaHg\",\"object\":\"chat.completion.chunk\",\"created\":1752480000,\"model\":\"gpt-4o-mini-2024-07-18\",\"service_tier\":\"default\",\"system_fingerprint\":\"fp_2f10a7b3cd\",\"choices\":[{{\"index\":0,\"delta\":{delta},\"logprobs\":null,\"finish_reason\":{finish}}}],\"usage\":null,\"obfuscation\":\"qT4zV8\"}}\n\n"
    )
}

fn end(out: &mut String, finish: &str) -> std::fmt::Result {
    chunk(out, "{}", finish)?;
    out.push_str("data: [DONE]\n\n");
    Ok(())
}

/// A text of `bytes` bytes, a word a chunk.
fn text(bytes: usize) -> Result<String, AnyError> {
    const WORDS: [&str; 8] =
        [" the", " weather", " in", " Zürich", " is", ",\\n", " \\\"partly\\\"", " cloudy"];
    let mut out = String::new();
    chunk(&mut out, r#"{"role":"assistant","content":"","refusal":null}"#, "null")?;
    let mut written = 0;
    for word in WORDS.into_iter().cycle() {
        if written >= bytes {
            break;
        }
        chunk(&mut out, &format!("{{\"content\":\"{word}\"}}"), "null")?;
        written += word.len();
    }
    end(&mut out, "\"stop\"")?;
    Ok(out)
}

/// The arguments of one call, an object of `bytes` bytes, more or less.
fn arguments(bytes: usize) -> Result<String, AnyError> {
    let mut out = String::from("{\"rows\":[");
    let mut row = 0;
    while out.len() < bytes {
        let comma = if row == 0 { "" } else { "," };
        write!(out, "{comma}{{\"n\":{row},\"path\":\"src/part_{row}.rs\",\"ok\":true}}")?;
        row += 1;
    }
    out.push_str("]}");
    Ok(out)
}

/// `calls` calls with `bytes` bytes of arguments each, cut into deltas of the given sizes in turn.
fn calls(calls: usize, bytes: usize, sizes: &[usize]) -> Result<String, AnyError> {
    let mut out = String::new();
    let arguments = arguments(bytes)?;
    for index in 0..calls {
        chunk(
            &mut out,
            &format!(
                "{{\"tool_calls\":[{{\"index\":{index},\"id\":\"call_x8Zk2LqW0vRt5bN7mJ{index}\",\"type\":\"function\",\"function\":{{\"name\":\"write_rows\",\"arguments\":\"\"}}}}]}}"
            ),
            "null",
        )?;
        let mut rest = arguments.as_str();
        for size in sizes.iter().cycle() {
            if rest.is_empty() {
                break;
            }
            let (delta, behind) = rest.split_at((*size).min(rest.len()));
            let delta = serde_json::to_string(delta)?;
            chunk(
                &mut out,
                &format!(
                    "{{\"tool_calls\":[{{\"index\":{index},\"function\":{{\"arguments\":{delta}}}}}]}}"
                ),
                "null",
            )?;
            rest = behind;
        }
    }
    end(&mut out, "\"tool_calls\"")?;
    Ok(out)
}

/// Reads a stream as a client does.
fn read(stream: &str) -> Result<Reply, Error> {
    let mut decoder = StreamDecoder::new();
    let mut events = Vec::new();
    for piece in stream.as_bytes().chunks(PIECE_BYTES) {
        decoder.feed(piece, &mut events)?;
        black_box(&events);
        events.clear();
    }
    decoder.finish()
}

/// Reads the arguments of one call anew after each delta, as clients do that ask a JSON parser whether they are whole.
/// What it takes to read the stream is not even counted.
fn read_anew(arguments: &str, size: usize) {
    let mut at = 0;
    while at < arguments.len() {
        at = (at + size).min(arguments.len());
        let _ = black_box(serde_json::from_str::<serde_json::Value>(&arguments[..at]));
    }
}

/// The median of how long `work` takes, over `time` or at least three times.
fn measure(time: Duration, mut work: impl FnMut()) -> Duration {
    let began = Instant::now();
    let mut samples = Vec::new();
    while began.elapsed() < time || samples.len() < 3 {
        let start = Instant::now();
        work();
        samples.push(start.elapsed());
    }
    samples.sort_unstable();
    samples[samples.len() / 2]
}

fn main() -> Result<(), AnyError> {
    // `cargo test --benches` only wants to know that it runs.
    let is_bench = std::env::args().any(|argument| argument == "--bench");
    let (time, large) = if is_bench { (TIME_PER_ROW, MB) } else { (Duration::ZERO, 8 * KB) };

    println!("A streamed reply, read on one core. MB/s: millions of bytes of the stream a second.");
    println!("ns per byte: for each byte of the text or the arguments, events and all.\n");
    println!("{:<42} | {:>9} | {:>7} | {:>11}", "stream", "bytes", "MB/s", "ns per byte");
    let rows = [
        ("text, a word a chunk", large / 8, text(large / 8)?),
        ("8 calls, deltas of 10 to 20 bytes", large / 8, calls(8, large / 64, &[10, 17, 13, 20])?),
        ("1 call of 64 KB, deltas of 16 bytes", large / 16, calls(1, large / 16, &[16])?),
        ("1 call of 256 KB, deltas of 16 bytes", large / 4, calls(1, large / 4, &[16])?),
        ("1 call of 1 MB, deltas of 16 bytes", large, calls(1, large, &[16])?),
    ];
    let mut slowest = f64::INFINITY;
    for (name, payload, stream) in &rows {
        let reply = read(stream)?;
        assert!(reply.calls.iter().all(|call| call.arguments.object().is_some()));
        let taken = measure(time, || drop(black_box(read(black_box(stream))))).as_secs_f64();
        let speed = stream.len() as f64 / taken / 1e6;
        slowest = speed.min(slowest);
        println!(
            "{name:<42} | {:>9} | {speed:>7.0} | {:>11.2}",
            stream.len(),
            taken * 1e9 / *payload as f64
        );
    }
    let arguments = arguments(large / 16)?;
    let taken = measure(time, || read_anew(black_box(&arguments), 16)).as_secs_f64();
    println!(
        "{:<42} | {:>9} | {:>7} | {:>11.2}",
        "1 call of 64 KB, read anew each delta",
        arguments.len(),
        "-",
        taken * 1e9 / arguments.len() as f64
    );
    println!("\nThe slowest: {slowest:.0} MB/s, the target: {TARGET:.0}.");
    Ok(())
}
