//! Recorded replies of real providers through real sessions: what was cut never runs, what has
//! effects waits for a good end, and what is whole runs once.
//!
//! Runs where `CALLSHEET_WIRE_CAPTURES` names a folder with `index.csv`, `captures/` and `expected/`;
//! the recordings are not part of this project.

use std::collections::BTreeSet;
use std::fs;
use std::ops::AddAssign;
use std::path::Path;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use callsheet::testing::{self, ScriptedModel, reply, streamed};
use callsheet::{Effects, ModelRetries, SessionOptions, ToolSet};
use serde_json::{Value, json};
use tokio::time::Instant;

use crate::support::{dynamic, limits};

/// A recorded reply, and what it says.
struct Capture {
    file: String,
    bytes: Vec<u8>,
    expected: Value,
}

/// A way to play it.
#[derive(Clone, Copy, Debug)]
struct Way {
    effects: Effects,
    trusted: bool,
    /// Byte by byte, each a millisecond after the one before.
    in_bytes: bool,
}

/// A call that a tool was given: its tool, arguments, and when.
type Execution = (String, Value, Duration);

#[derive(Debug, Default)]
struct Tally {
    sessions: usize,
    whole: usize,
    cut: usize,
    executions: usize,
    early: usize,
    /// Those that began when a brace closed, and were stopped when more came.
    stopped: usize,
    with_effects: usize,
}

impl AddAssign for Tally {
    fn add_assign(&mut self, other: Self) {
        self.sessions += other.sessions;
        self.whole += other.whole;
        self.cut += other.cut;
        self.executions += other.executions;
        self.early += other.early;
        self.stopped += other.stopped;
        self.with_effects += other.with_effects;
    }
}

impl Capture {
    fn calls(&self) -> impl Iterator<Item = (&str, &Value)> {
        let calls = self.expected["tool_calls"].as_array().into_iter().flatten();
        calls.map(|call| (call["name"].as_str().unwrap_or_default(), &call["arguments"]))
    }

    /// How long it takes to play, up to where it says that there is no more.
    fn length(&self, way: Way) -> Duration {
        let done = self.bytes.windows(6).position(|bytes| bytes == b"[DONE]");
        let bytes = done.map_or(self.bytes.len(), |at| at + 6);
        if way.in_bytes { Duration::from_millis(bytes as u64) } else { Duration::ZERO }
    }

    fn pieces(&self, way: Way) -> Vec<(Duration, Vec<u8>)> {
        match way.in_bytes {
            true => {
                let pause = Duration::from_millis(1);
                self.bytes.iter().map(|byte| (pause, vec![*byte])).collect()
            }
            false => vec![(Duration::ZERO, self.bytes.clone())],
        }
    }
}

/// Plays the recording to a session, and checks what it came to.
async fn check(capture: &Capture, way: Way) -> Tally {
    let name = format!("{}, {way:?}", capture.file);
    let executions = Arc::new(Mutex::new(Vec::<Execution>::new()));
    let began = Instant::now();
    let tools: BTreeSet<&str> =
        capture.calls().map(|(tool, _)| tool).filter(|tool| !tool.is_empty()).collect();
    let tools = tools.into_iter().map(|tool| {
        let (executions, name) = (Arc::clone(&executions), tool.to_owned());
        let tool = dynamic(tool, json!({"type": "object"}), move |arguments, _| {
            let execution = (name.clone(), arguments, began.elapsed());
            executions.lock().expect("nobody panics with it").push(execution);
            async { Ok("done".to_owned()) }
        });
        tool.effects(way.effects)
    });
    let tools = Arc::new(ToolSet::new(tools).expect("the tools are well formed"));
    let script = streamed(capture.pieces(way));
    let script = if way.trusted { script } else { script.with_doubtful_braces() };
    let model = ScriptedModel::new([script, reply().text("done"), reply().text("done")]);
    let options = SessionOptions::new(model.clone(), tools).limits(limits());
    let session = testing::runtime().session(options.model_retries(ModelRetries::none()));

    let answer = session.ask("go").await;
    let is_well = capture.expected["error"].is_null();
    let is_filtered = capture.expected["finish_reason"] == "content_filter";
    assert_eq!(answer.is_ok(), is_well, "{name}: {answer:?}");
    session.ask("and now?").await.unwrap_or_else(|error| panic!("{name}: {error}"));
    assert_eq!(model.violations(), Vec::<String>::new(), "{name}");

    let executions = executions.lock().expect("nobody panics with it");
    let mut whole: Vec<_> = capture.calls().filter(|(_, arguments)| !arguments.is_null()).collect();
    let (all, of_all) = (whole.len(), capture.calls().count());
    let rounds = answer.map_or(Vec::new(), |answer| answer.report.rounds.to_vec());
    let discarded = rounds.iter().flat_map(|round| &round.discarded);
    let mut stopped: Vec<_> = discarded.map(|call| (&*call.tool, call.arguments.clone())).collect();
    let all_stopped = stopped.len();
    for (tool, arguments, at) in executions.iter() {
        let is_stopped = |(other, text): &(&str, Option<Arc<str>>)| {
            let text = text.as_deref().unwrap_or_default();
            *other == tool
                && serde_json::from_str(text).is_ok_and(|value: Value| value == *arguments)
        };
        if let Some(place) = whole.iter().position(|call| *call == (tool, arguments)) {
            whole.remove(place); // Each runs once.
        } else if let Some(place) = stopped.iter().position(is_stopped) {
            stopped.remove(place);
            assert!(way.trusted && way.effects == Effects::None, "{name}: {tool} began");
        } else {
            panic!("{name}: {tool} ran with {arguments}");
        }
        if way.effects != Effects::None {
            assert!(is_well && !is_filtered, "{name}: {tool} ran");
            assert!(*at >= capture.length(way), "{name}: {tool} ran at {at:?}");
        }
    }
    if is_well && !is_filtered {
        assert!(whole.is_empty(), "{name}: {whole:?} did not run");
    }
    let calls = rounds.iter().flat_map(|round| &round.calls);
    Tally {
        sessions: 1,
        whole: all,
        cut: of_all - all,
        executions: executions.len(),
        stopped: all_stopped,
        early: calls.filter(|call| call.early).count(),
        with_effects: if way.effects == Effects::None { 0 } else { executions.len() },
    }
}

fn captures(folder: &Path) -> Vec<Capture> {
    let index = fs::read_to_string(folder.join("index.csv")).expect("the folder has an index");
    let streams = index.lines().filter_map(|line| {
        let mut fields = line.split(',');
        let file = fields.next()?;
        (fields.next() == Some("chat") && file.ends_with(".sse")).then(|| file.to_owned())
    });
    let capture = |file: String| {
        let bytes = fs::read(folder.join("captures").join(&file)).expect("it is in the index");
        let expected = folder.join("expected").join(format!("{file}.expected.json"));
        let expected = fs::read(expected).expect("each has one");
        Capture { file, bytes, expected: serde_json::from_slice(&expected).expect("it is JSON") }
    };
    streams.map(capture).collect()
}

#[test]
fn recorded_streams_are_run_as_they_were_meant() {
    let Some(folder) = std::env::var_os("CALLSHEET_WIRE_CAPTURES") else {
        println!("skipped: CALLSHEET_WIRE_CAPTURES is not set");
        return;
    };
    let captures = captures(Path::new(&folder));
    for in_bytes in [false, true] {
        let mut tally = Tally::default();
        for capture in &captures {
            for effects in [Effects::None, Effects::Once] {
                for trusted in [true, false] {
                    let way = Way { effects, trusted, in_bytes };
                    tally += testing::run(check(capture, way));
                }
            }
        }
        let how = if in_bytes { "byte by byte" } else { "whole" };
        println!("{} recordings, {how}: {tally:?}", captures.len());
        assert!(tally.early > 0 && tally.cut > 0 && tally.with_effects > 0, "{tally:?}");
    }
}
