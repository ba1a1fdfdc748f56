//! What can be typed after `sessions`.

use std::path::PathBuf;

use clap::{Args, Subcommand, ValueEnum};
use jiff::Span;

use crate::cli::when;

#[derive(Debug, Args)]
pub(in crate::cli) struct Sessions {
    #[command(subcommand)]
    pub command: SessionsCommand,
}

#[derive(Debug, Subcommand)]
pub(in crate::cli) enum SessionsCommand {
    /// Lists the sessions, the last active one first
    List(List),
    /// Shows a session: its questions, calls and answers
    Show(Show),
    /// Goes on with a turn that was cut, and prints its answer as `ask` does
    ///
    /// Calls whose results are on record do not run again. Where no turn was cut, the last answer is
    /// printed.
    Resume(Resume),
    /// Copies a session up to the end of a turn, and prints the id of the copy
    Fork(Fork),
    /// Writes a session as events, as text to be read, or as a trace for Perfetto
    Export(Export),
    /// Removes sessions
    Rm(Remove),
    /// Removes sessions that were last active long ago
    Prune(Prune),
}

#[derive(Debug, Args)]
pub(in crate::cli) struct List {
    /// At most so many
    #[arg(long, value_name = "N", default_value_t = 20, value_parser = clap::value_parser!(u32).range(1..=100_000))]
    pub limit: u32,
    /// Those behind this place, which the list before it has named
    #[arg(long, value_name = "CURSOR")]
    pub after: Option<String>,
    /// Only those whose last turn has not ended: it is under way, or was cut
    #[arg(long)]
    pub open: bool,
}

#[derive(Debug, Args)]
pub(in crate::cli) struct Show {
    /// The session
    pub id: String,
    /// Draws the waterfall of each round
    #[arg(long)]
    pub timing: bool,
}

#[derive(Debug, Args)]
pub(in crate::cli) struct Resume {
    /// The session
    pub id: String,
    /// Prints what would be done, and does nothing
    #[arg(long)]
    pub plan: bool,
    /// Takes the session over from the process that has it open
    #[arg(long, conflicts_with = "plan")]
    pub take_over: bool,
    /// The model to ask
    #[arg(long, value_name = "NAME")]
    pub model: Option<String>,
    /// The tools the model may call, separated by commas; all others are left out
    #[arg(long, value_name = "NAMES", value_delimiter = ',')]
    pub tools: Option<Vec<String>>,
    /// Tools whose calls need no approval, separated by commas; without a terminal to ask at, calls of
    /// others that need it are denied
    #[arg(long, value_name = "NAMES", value_delimiter = ',')]
    pub approve: Option<Vec<String>>,
}

#[derive(Debug, Args)]
pub(in crate::cli) struct Fork {
    /// The session
    pub id: String,
    /// The last turn that is copied; the last one that has ended, if it is not said
    #[arg(long, value_name = "N")]
    pub at_turn: Option<u64>,
    /// The id of the copy; a fresh one if it is not said
    #[arg(long = "id", value_name = "NEW")]
    pub copy: Option<String>,
}

#[derive(Debug, Args)]
pub(in crate::cli) struct Export {
    /// The session
    pub id: String,
    /// What is written
    #[arg(long, value_name = "FORMAT", default_value = "jsonl")]
    pub format: ExportFormat,
    /// Writes into this file in place of standard output
    #[arg(short, value_name = "FILE")]
    pub out: Option<PathBuf>,
}

/// What a session is written as.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(in crate::cli) enum ExportFormat {
    /// Its events, one a line
    Jsonl,
    /// Text for people
    Markdown,
    /// A trace that Perfetto and Chrome open
    ChromeTrace,
}

#[derive(Debug, Args)]
pub(in crate::cli) struct Remove {
    /// The sessions
    #[arg(required = true, value_name = "ID")]
    pub ids: Vec<String>,
    /// Also those that another process has open; it begins nothing more in them
    #[arg(long)]
    pub take_over: bool,
}

#[derive(Debug, Args)]
pub(in crate::cli) struct Prune {
    /// Those that were last active longer ago than this, such as 30d, 12h or 6 months
    #[arg(long, value_name = "AGE", value_parser = when::age)]
    pub older_than: Span,
    /// Lists them, and removes nothing
    #[arg(long)]
    pub dry_run: bool,
}
