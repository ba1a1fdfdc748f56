//! 400 questions of a public test set of function calling, with the calls that answer them: each
//! call reaches its tool with the arguments that the model wrote.
//!
//! Runs where `CALLSHEET_BFCL` names a folder with `parallel.jsonl` and `parallel_multiple.jsonl`;
//! the questions are not part of this project. A line is a case: its `tools` as a request lists
//! them, under names of their own, and the `calls` of one reply, each a `name` and `arguments`.

use std::fs;
use std::ops::AddAssign;
use std::path::Path;
use std::sync::{Arc, Mutex};

use callsheet::testing::{self, reply};
use callsheet::tools::ToolFuture;
use callsheet::{
    CallContext, CallReport, Limits, Mode, OutcomeKind, SessionOptions, ToolSet, ToolType,
};
use serde::Deserialize;
use serde_json::Value;

use crate::support::limits;
use crate::support::listening::{Listening, is_taken_by_all, names};

/// Calls, by case and place, that break the schema they come with: a text where a list of numbers is
/// asked for, and a list of texts where one of integers is.
const MISTAKEN: [(&str, u32); 2] = [("parallel_multiple_21", 1), ("parallel_multiple_94", 0)];

#[derive(Deserialize)]
struct Case {
    id: String,
    tools: Vec<Listed>,
    calls: Vec<Wanted>,
}

#[derive(Deserialize)]
struct Listed {
    function: Function,
}

#[derive(Deserialize)]
struct Function {
    name: String,
    description: String,
    parameters: Value,
}

#[derive(Clone, Debug, PartialEq, Deserialize)]
struct Wanted {
    name: String,
    arguments: Value,
}

/// The calls that have arrived at the tools of a case, as they came, each with its place in the reply.
type Arrived = Arc<Mutex<Vec<(u32, Wanted)>>>;

#[derive(Debug, Default)]
struct Tally {
    cases: usize,
    tools: usize,
    /// Tools whose name on the wire is not their own.
    mapped_names: usize,
    calls: usize,
    arrived: usize,
    bad_arguments: usize,
}

impl AddAssign for Tally {
    fn add_assign(&mut self, other: Self) {
        self.cases += other.cases;
        self.tools += other.tools;
        self.mapped_names += other.mapped_names;
        self.calls += other.calls;
        self.arrived += other.arrived;
        self.bad_arguments += other.bad_arguments;
    }
}

/// The tool of the case, that notes its calls.
fn stub(function: &Function, arrived: &Arrived) -> ToolType {
    let (name, arrived) = (function.name.clone(), Arc::clone(arrived));
    let make = move || {
        let (name, arrived) = (name.clone(), Arc::clone(&arrived));
        move |arguments: &str, context: CallContext| -> ToolFuture {
            let arguments = serde_json::from_str(arguments).expect("checked before");
            let call = (context.key().ordinal, Wanted { name: name.clone(), arguments });
            arrived.lock().expect("nobody panics with it").push(call);
            Box::pin(async { Ok("noted".to_owned()) })
        }
    };
    let parameters = function.parameters.clone();
    ToolType::new(&*function.name, &*function.description, parameters, make)
}

/// Has the calls of a case asked for in one reply, and checks that all came as they were meant.
async fn check(case: &Case, mode: Mode) -> Tally {
    let arrived = Arrived::default();
    let stubs = case.tools.iter().map(|tool| stub(&tool.function, &arrived));
    let tools = ToolSet::new(stubs).unwrap_or_else(|error| panic!("{}: {error}", case.id));
    let offered = names(tools.on_the_wire());
    let on_the_wire = |call: &Wanted| {
        let place = case.tools.iter().position(|tool| tool.function.name == call.name);
        &offered[place.expect("a call is of a tool of its case")]
    };
    let calls = case
        .calls
        .iter()
        .fold(reply(), |reply, call| reply.call(on_the_wire(call), &call.arguments.to_string()));
    let model = Listening::new([calls, reply().text("done")]);
    let limits = Limits { mode, ..limits() };
    let options = SessionOptions::new(model.clone(), Arc::new(tools)).limits(limits);
    let answer = testing::runtime().session(options).ask("go").await;
    let answer = answer.unwrap_or_else(|error| panic!("{}: {error}", case.id));

    assert_eq!(model.script.violations(), Vec::<String>::new(), "{}", case.id);
    for offer in model.offers() {
        assert_eq!(offer, offered, "{}", case.id);
        assert!(offer.iter().all(|name| is_taken_by_all(name)), "{}: {offer:?}", case.id);
    }
    let is_mistaken = |place: u32| MISTAKEN.contains(&(&*case.id, place));
    let wanted = || (0u32..).zip(case.calls.iter().cloned());
    let expected: Vec<_> = wanted().filter(|(place, _)| !is_mistaken(*place)).collect();
    let mut arrived = arrived.lock().expect("nobody panics with it");
    if mode == Mode::Parallel {
        arrived.sort_by_key(|(place, _)| *place); // Tools do not wait for each other.
    }
    assert_eq!(*arrived, expected, "{}", case.id);
    let reported = &answer.report.rounds[0].calls;
    assert_eq!(reported.len(), case.calls.len(), "{}", case.id);
    for ((place, call), reported) in wanted().zip(reported) {
        let outcome = match is_mistaken(place) {
            true => OutcomeKind::BadArguments,
            false => OutcomeKind::Ok,
        };
        let expected = (&*call.name, Some(outcome));
        assert_eq!((&*reported.tool, reported.outcome), expected, "{}", case.id);
    }
    let own = case.tools.iter().map(|tool| &tool.function.name);
    let is_bad = |call: &&CallReport| call.outcome == Some(OutcomeKind::BadArguments);
    Tally {
        cases: 1,
        tools: case.tools.len(),
        mapped_names: own.zip(&offered).filter(|(own, wire)| own != wire).count(),
        calls: case.calls.len(),
        arrived: arrived.len(),
        bad_arguments: reported.iter().filter(is_bad).count(),
    }
}

fn run_all(folder: &Path, mode: Mode) -> Tally {
    let mut tally = Tally::default();
    for file in ["parallel.jsonl", "parallel_multiple.jsonl"] {
        let text = fs::read_to_string(folder.join(file)).expect("the folder has the file");
        for line in text.lines() {
            let case: Case = serde_json::from_str(line).expect("a line is a case");
            tally += testing::run(check(&case, mode));
        }
    }
    tally
}

#[test]
fn every_call_of_a_public_test_set_arrives_as_it_was_meant() {
    let Some(folder) = std::env::var_os("CALLSHEET_BFCL") else {
        println!("skipped: CALLSHEET_BFCL is not set");
        return;
    };
    for mode in [Mode::Parallel, Mode::Sequential] {
        let tally = run_all(Path::new(&folder), mode);
        println!("{}: {tally:?}", mode.as_str());
        assert_eq!((tally.cases, tally.calls), (400, 1_147));
        assert_eq!((tally.arrived, tally.bad_arguments), (1_145, 2));
    }
}
