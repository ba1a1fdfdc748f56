//! The command line: what the user typed, in; an answer on standard output, all else on standard
//! error, and an exit code.

mod approver;
mod args;
mod bench;
mod chat;
mod commands;
mod data_dir;
mod draw;
mod fixed_round;
mod going_on;
mod live;
mod logging;
mod margin;
mod markdown;
#[cfg(feature = "mcp")]
mod mcp_server;
mod running_text;
mod screen;
mod setup;
mod signals;
mod status;
mod store;
mod toolbox;
mod turn;
mod typed_line;
mod when;

use std::process::ExitCode;

use clap::Parser;

use args::{Arguments, Command};
use screen::Screen;
use status::Status;

use crate::{panic_hook, tools};

/// How many panics are shown in a second: a storm of them is one to read about, not to scroll by.
const PANICS_PER_SECOND: u32 = 5;

/// Parses the process's arguments, runs the command, and says how the process ends.
#[must_use]
pub fn main() -> ExitCode {
    let arguments = match Arguments::try_parse() {
        Ok(arguments) => arguments,
        Err(error) => {
            // `--help` and `--version` are no errors; clap knows where each goes.
            let status = if error.use_stderr() { Status::Usage } else { Status::Done };
            return match error.print() {
                Ok(()) => status.into(),
                Err(_) => Status::Failed.into(),
            };
        }
    };
    let screen = Screen::new(arguments.common.quiet, arguments.common.output());
    let panics = panic_hook::install(PANICS_PER_SECOND, screen.panics());
    let status = run(arguments, &screen).unwrap_or_else(|error| {
        screen.complain(&error);
        Status::of(&error)
    });
    panics.tell_rest();
    tools::end_processes(); // Of threads that are still at it, nothing is dropped any more.
    status.into()
}

fn run(arguments: Arguments, screen: &Screen) -> anyhow::Result<Status> {
    let Arguments { common, command } = arguments;
    match command {
        Command::Ask(ask) => commands::ask::run(&common, ask, screen),
        Command::Chat(chat) => commands::chat::run(&common, chat, screen),
        Command::Sessions(sessions) => commands::sessions::run(&common, sessions, screen),
        Command::Compare(compare) => commands::compare::run(&common, compare, screen),
        Command::Bench(bench) => commands::bench::run(&common, &bench, screen),
        Command::Tools(tools) => commands::tools::run(&common, tools, screen),
        #[cfg(feature = "mcp")]
        Command::Mcp(mcp) => commands::mcp::run(&common, mcp, screen),
        #[cfg(feature = "server")]
        Command::Serve(serve) => commands::serve::run(&common, serve, screen),
        Command::Config(config) => commands::config::run(&common, &config, screen),
        Command::Doctor => commands::doctor::run(&common, screen),
        Command::MockModel(mock) => commands::mock_model::run(&mock, screen),
        Command::Completions(completions) => commands::completions::run(&completions, screen),
    }
}
