//! `completions`: what a shell needs to complete the commands.

use clap::CommandFactory;

use crate::cli::args::{Arguments, Completions};
use crate::cli::screen::Screen;
use crate::cli::status::Status;

pub(in crate::cli) fn run(arguments: &Completions, screen: &Screen) -> anyhow::Result<Status> {
    let mut script = Vec::new();
    clap_complete::generate(arguments.shell, &mut Arguments::command(), "callsheet", &mut script);
    screen.data(&String::from_utf8(script)?)?;
    Ok(Status::Done)
}
