//! `mock-model`: a Chat Completions server for people who test their own agents.

use std::time::Duration;

use anyhow::Context;

use crate::cli::args::MockModel;
use crate::cli::screen::Screen;
use crate::cli::setup;
use crate::cli::signals::Signals;
use crate::cli::status::{Status, UsageError};
use crate::mock_model::{Brain, Options, Script, Server};

pub(in crate::cli) fn run(arguments: &MockModel, screen: &Screen) -> anyhow::Result<Status> {
    let brain = match &arguments.script {
        Some(path) => {
            let text = std::fs::read_to_string(path)
                .map_err(|error| UsageError(format!("cannot read {}: {error}", path.display())))?;
            let script = Script::parse(&text);
            let wrong = |error| UsageError(format!("{}: {error}", path.display()));
            Brain::Script(script.map_err(wrong)?)
        }
        None => Brain::Rules,
    };
    let pace = Duration::from_millis(arguments.pace_ms);
    let server = Server::start(Options { bind: arguments.bind, brain, pace })
        .with_context(|| format!("cannot listen on {}", arguments.bind))?;
    let signals = Signals::listen();
    screen.data_line(&server.base_url())?;
    screen.note("serves until Ctrl-C or SIGTERM");
    setup::executor()?.block_on(async {
        tokio::select! {
            () = signals.interrupted() => {}
            () = server.stopped() => {}
        }
    });
    screen.note(&format!("{} requests served", server.requests()));
    Ok(Status::Done)
}
