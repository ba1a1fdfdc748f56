//! `compare`: the same calls in parallel and in sequence, side by side.

use std::pin::pin;
use std::sync::Arc;
use std::time::Duration;

use serde::Serialize;

use crate::cli::args::{Common, Compare, Output};
use crate::cli::draw::compare::compare;
use crate::cli::fixed_round::round;
use crate::cli::screen::Screen;
use crate::cli::signals::Signals;
use crate::cli::status::Status;
use crate::cli::toolbox::Toolbox;
use crate::cli::{approver, live, logging, setup};
use crate::config::Config;
use crate::conversation::{Effects, Limits, Mode};
use crate::document::millis;
use crate::model::FixedModel;
use crate::session::{Answer, Error, Runtime, SessionOptions};
use crate::supervision::RoundReport;
use crate::tools::{Demo, Simulation, ToolSet};
use crate::wire::Arguments;

/// The document of `compare --json`.
#[derive(Debug, Serialize)]
struct Document {
    calls: usize,
    latency_ms: Option<f64>,
    parallel_ms: f64,
    sequential_ms: f64,
    speedup: f64,
}

/// Where both runs take place, and what may interrupt them.
struct Place<'a> {
    config: &'a Config,
    runtime: &'a Runtime,
    signals: &'a Signals,
}

/// The rounds of both runs.
struct Runs {
    latency: Option<Duration>,
    parallel: Vec<Arc<RoundReport>>,
    sequential: Vec<Arc<RoundReport>>,
}

pub(in crate::cli) fn run(
    common: &Common,
    arguments: Compare,
    screen: &Screen,
) -> anyhow::Result<Status> {
    let config = setup::load(common)?;
    logging::start(&config, common, screen);
    let runtime = setup::runtime(&config)?;
    let signals = Signals::listen();
    let place = Place { config: &config, runtime: &runtime, signals: &signals };
    let runs = match (arguments.calls, arguments.latency_ms, &arguments.prompt) {
        (Some(calls), Some(latency_ms), _) => {
            let latency = Duration::from_millis(latency_ms);
            setup::executor()?.block_on(tools_alone(&place, calls, latency))?
        }
        (_, _, prompt) => {
            let prompt = prompt.clone().unwrap_or_default();
            setup::executor()?.block_on(question(&place, &arguments, prompt, screen))?
        }
    };
    let Some(runs) = runs else { return Ok(Status::Interrupted) };
    show(&runs, screen)?;
    Ok(Status::Done)
}

/// Times calls of a tool that only waits. `None` if it was interrupted.
async fn tools_alone(
    place: &Place<'_>,
    calls: u32,
    latency: Duration,
) -> anyhow::Result<Option<Runs>> {
    let Place { config, runtime, signals } = *place;
    let simulation = Simulation { latency, ..Simulation::default() };
    let tool = Demo::Anything.tool_type("wait", simulation).effects(Effects::None);
    let tools = Arc::new(ToolSet::new([tool])?);
    let time_limit = latency * calls + Duration::from_secs(60);
    let limits = Limits {
        call_time_limit: time_limit,
        round_time_limit: time_limit,
        turn_time_limit: time_limit,
        ..setup::limits(config)
    };
    let model = FixedModel::new(calls, "wait", &Arguments::Object("{}".into()));
    let mut rounds = Vec::new();
    for mode in [Mode::Parallel, Mode::Sequential] {
        let (model, tools, limits) = (model.clone(), tools.clone(), limits.clone());
        let run = round(model, config, runtime, tools, limits, mode, signals);
        match run.await? {
            (round, None) => rounds.push(vec![round]),
            (_, Some(_interrupted)) => return Ok(None),
        }
    }
    let sequential = rounds.pop().unwrap_or_default();
    let parallel = rounds.pop().unwrap_or_default();
    Ok(Some(Runs { latency: Some(latency), parallel, sequential }))
}

/// Asks the question twice. `None` if it was interrupted.
async fn question(
    place: &Place<'_>,
    arguments: &Compare,
    prompt: String,
    screen: &Screen,
) -> anyhow::Result<Option<Runs>> {
    let config = place.config;
    let toolbox = Toolbox::open(config, arguments.choice.tools.as_deref(), screen)?;
    let tools = toolbox.tools();
    let answerer = setup::answerer(config, &arguments.choice, screen)?;
    let options = toolbox.equip(answerer.options(config, &arguments.choice, Arc::clone(&tools)));
    approver::check(&arguments.choice, &tools, screen);
    let options = approver::settle_alone(options, &arguments.choice);
    let mut answers = Vec::new();
    for mode in [Mode::Parallel, Mode::Sequential] {
        let limits = Limits { mode, ..setup::limits(config) };
        match ask(place, options.clone().limits(limits), &prompt).await? {
            Some(answer) => answers.push(answer.report.rounds.to_vec()),
            None => return Ok(None),
        }
    }
    let sequential = answers.pop().unwrap_or_default();
    let parallel = answers.pop().unwrap_or_default();
    for round in parallel.iter().chain(&sequential) {
        if screen.output == Output::Text {
            screen.note(&live::draw(screen, round));
        }
    }
    Ok(Some(Runs { latency: None, parallel, sequential }))
}

async fn ask(
    place: &Place<'_>,
    options: SessionOptions,
    prompt: &str,
) -> Result<Option<Answer>, Error> {
    let session = place.runtime.session(options);
    let mut asked = pin!(session.ask(prompt));
    tokio::select! {
        answer = &mut asked => answer.map(Some),
        () = place.signals.interrupted() => {
            session.cancel().await;
            drop(asked.await); // Every call is answered, and that is on record.
            Ok(None)
        }
    }
}

fn show(runs: &Runs, screen: &Screen) -> anyhow::Result<()> {
    let wall =
        |rounds: &[Arc<RoundReport>]| rounds.iter().map(|round| round.wall).sum::<Duration>();
    let (parallel, sequential) = (wall(&runs.parallel), wall(&runs.sequential));
    let speedup = if parallel.is_zero() { 0.0 } else { sequential.div_duration_f64(parallel) };
    match screen.output {
        Output::Text => {
            let plain = |rounds: &[Arc<RoundReport>]| {
                rounds.iter().map(|round| RoundReport::clone(round)).collect::<Vec<_>>()
            };
            let color = screen.color() && screen.is_terminal();
            let text = compare(&plain(&runs.parallel), &plain(&runs.sequential), color);
            screen.data(&text)?;
        }
        Output::Json | Output::Jsonl => {
            let document = Document {
                calls: runs.parallel.iter().map(|round| round.calls.len()).sum(),
                latency_ms: runs.latency.map(millis),
                parallel_ms: millis(parallel),
                sequential_ms: millis(sequential),
                speedup: (speedup * 100.0).round() / 100.0,
            };
            screen.data_line(&serde_json::to_string(&document)?)?;
        }
    }
    Ok(())
}
