//! `bench`: load on an endpoint, or on the offline stand-in, counted, timed and checked.

use std::sync::Arc;

use tokio::time::Instant;

use crate::cli::args::{Bench, Common, Output};
use crate::cli::bench::document::Document;
use crate::cli::bench::load::{Asker, load};
use crate::cli::bench::process;
use crate::cli::bench::progress::Progress;
use crate::cli::bench::report::Report;
use crate::cli::bench::tally::Tally;
use crate::cli::bench::witness::Witness;
use crate::cli::draw::bench::bench;
use crate::cli::screen::Screen;
use crate::cli::signals::Signals;
use crate::cli::status::{Status, UsageError};
use crate::cli::toolbox::Toolbox;
use crate::cli::{approver, logging, setup};
use crate::config::{Config, ResolvedProvider};
use crate::session::Runtime;

/// The open files of a process that has no sessions, and room for some more.
const OTHER_FILES: u64 = 64;

pub(in crate::cli) fn run(
    common: &Common,
    arguments: &Bench,
    screen: &Screen,
) -> anyhow::Result<Status> {
    let config = setup::load(common)?;
    logging::start(&config, common, screen);
    if arguments.prompt.trim().is_empty() {
        return Err(UsageError("the question is empty".into()).into());
    }
    let runtime = setup::runtime(&config)?;
    let signals = Signals::listen();
    let report = measure(&config, &runtime, arguments, screen, &signals);
    let report = setup::executor()?.block_on(report)?;
    show(&report, screen)?;
    Ok(match report {
        Report { interrupted: true, .. } => Status::Interrupted,
        Report { tally, .. } if !tally.is_sound() => Status::Failed,
        Report { .. } => Status::Done,
    })
}

/// Says whether each session can have a connection: without, its questions would wait in vain. One
/// to the stand-in has both its ends in this process.
fn check_open_files(sessions: u32, stand_in: bool) -> Result<(), UsageError> {
    let needed = u64::from(sessions) * if stand_in { 2 } else { 1 } + OTHER_FILES;
    match process::open_files_limit() {
        Some(limit) if limit < needed => Err(UsageError(format!(
            "{sessions} sessions need {needed} open files and the limit is {limit}: \
             raise it (`ulimit -n {needed}`) or use fewer sessions"
        ))),
        _ => Ok(()),
    }
}

async fn measure(
    config: &Config,
    runtime: &Runtime,
    arguments: &Bench,
    screen: &Screen,
    signals: &Signals,
) -> anyhow::Result<Report> {
    let Bench { sessions, questions, prompt, choice } = arguments;
    let stand_in = config.resolved_provider()? == ResolvedProvider::Offline;
    check_open_files(*sessions, stand_in)?;
    let toolbox = Toolbox::open(config, choice.tools.as_deref(), screen)?;
    let tools = toolbox.tools();
    approver::check(choice, &tools, screen);
    let answerer = setup::answerer(config, choice, screen)?;
    let asker = |_| {
        let witness = Arc::new(Witness::new(answerer.model.clone()));
        let options = setup::options(config, choice, witness.clone(), tools.clone());
        let options = toolbox.equip(options);
        let options = approver::settle_alone(options, choice);
        Asker { session: runtime.session(options), witness }
    };
    let askers: Vec<_> = (0..*sessions).map(asker).collect();
    let mut tally = Tally::default();
    let mut progress = Progress::new(screen, u64::from(*sessions) * u64::from(*questions));
    let (began, cpu_before) = (Instant::now(), process::cpu_time());
    let interrupted = load(&askers, *questions, prompt, signals.interrupted(), |ended| {
        tally.on(ended);
        progress.show(&tally);
    });
    let interrupted = interrupted.await;
    let wall = began.elapsed();
    let cpu =
        process::cpu_time().zip(cpu_before).map(|(after, before)| after.saturating_sub(before));
    Ok(Report {
        model: answerer.model.name().to_owned(),
        arbiters: runtime.arbiters(),
        sessions: *sessions,
        questions: *questions,
        interrupted,
        tally,
        wall,
        cpu,
        stand_in,
        peak_memory_kib: process::peak_memory_kib(),
        tools: tools.iter().map(|tool| tool.health()).collect(),
    })
}

fn show(report: &Report, screen: &Screen) -> anyhow::Result<()> {
    match screen.output {
        Output::Text => {
            let color = screen.color() && screen.is_terminal();
            screen.data(&bench(report, color))?;
        }
        Output::Json | Output::Jsonl => {
            screen.data_line(&serde_json::to_string(&Document::of(report))?)?;
        }
    }
    Ok(())
}
