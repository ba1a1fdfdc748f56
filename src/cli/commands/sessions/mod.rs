//! `sessions`: what is stored, and what can be done with it.

mod export;
mod fork;
mod list;
mod prune;
mod remove;
mod resume;
mod show;

use crate::cli::args::{Common, Sessions, SessionsCommand};
use crate::cli::screen::Screen;
use crate::cli::status::Status;
use crate::cli::{logging, setup, store};

pub(in crate::cli) fn run(
    common: &Common,
    arguments: Sessions,
    screen: &Screen,
) -> anyhow::Result<Status> {
    let config = setup::load(common)?;
    logging::start(&config, common, screen);
    let executor = setup::executor()?;
    let store = executor.block_on(store::open(&config))?;
    match arguments.command {
        SessionsCommand::List(list) => executor.block_on(list::run(&*store, &list, screen)),
        SessionsCommand::Show(show) => executor.block_on(show::run(&*store, &show, screen)),
        SessionsCommand::Resume(resume) => resume::run(&config, store, resume, screen),
        SessionsCommand::Fork(fork) => executor.block_on(fork::run(&*store, &fork, screen)),
        SessionsCommand::Export(export) => executor.block_on(export::run(&*store, &export, screen)),
        SessionsCommand::Rm(remove) => executor.block_on(remove::run(&*store, &remove, screen)),
        SessionsCommand::Prune(prune) => executor.block_on(prune::run(&*store, &prune, screen)),
    }
}
