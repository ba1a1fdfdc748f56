//! What can be typed.

mod sessions;

use std::net::SocketAddr;
use std::path::PathBuf;

use clap::{Args, Parser, Subcommand, ValueEnum};
use clap_complete::Shell;

pub(super) use sessions::{
    Export, ExportFormat, Fork, List, Prune, Remove, Resume, Sessions, SessionsCommand, Show,
};

/// A question that needs each of the demo tools.
const THREE_TOOLS: &str =
    "What's the weather in Tokyo, what's AAPL's stock price, and what's the latest news about AI?";

/// An actor runtime for an LLM's tool calls: parallel, supervised, timed.
///
/// Exit codes: 0 done, 1 the turn failed, 2 usage or settings, 4 the provider refused the key,
/// 124 deadline, 130 interrupted.
#[derive(Debug, Parser)]
#[command(name = "callsheet", version)]
pub(super) struct Arguments {
    #[command(flatten)]
    pub common: Common,
    #[command(subcommand)]
    pub command: Command,
}

/// What every command takes.
#[derive(Debug, Args)]
pub(super) struct Common {
    /// Reads this file in place of ./config.toml or the user's own
    #[arg(long, global = true, value_name = "FILE")]
    pub config: Option<PathBuf>,
    /// Sets any key of the settings, as in --set model.base_url=http://127.0.0.1:11434/v1
    #[arg(long, global = true, value_name = "KEY=VALUE")]
    pub set: Vec<String>,
    /// How results are printed
    #[arg(long, global = true, value_name = "FORMAT", default_value = "text")]
    output: Output,
    /// The same as --output json
    #[arg(long, global = true, conflicts_with = "output")]
    json: bool,
    /// Says more on standard error; twice for still more
    #[arg(long, short, global = true, action = clap::ArgAction::Count)]
    pub verbose: u8,
    /// Leaves out reports and notes on standard error
    #[arg(long, short, global = true, conflicts_with = "verbose")]
    pub quiet: bool,
}

impl Common {
    pub fn output(&self) -> Output {
        if self.json { Output::Json } else { self.output }
    }
}

/// How results are printed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(super) enum Output {
    /// For people
    Text,
    /// One document
    Json,
    /// The session's events as they happen, one a line
    Jsonl,
}

#[derive(Debug, Subcommand)]
pub(super) enum Command {
    /// Asks a question and prints the answer
    Ask(Ask),
    /// Asks question after question in one session, with a line editor on a terminal
    ///
    /// Ctrl-C cancels the turn, and leaves (exit code 130) if it comes again within two seconds; Ctrl-D
    /// leaves. Off a terminal each line of standard input is a question.
    Chat(Chat),
    /// Lists, shows, resumes, copies and removes stored sessions
    Sessions(Sessions),
    /// Runs the same calls in parallel and in sequence, side by side
    Compare(Compare),
    /// Puts load on a model: many sessions at once, timed, and checked for lost calls
    ///
    /// Exit code 1 if the endpoint refused a history (400, 422) or a call is unaccounted for; questions
    /// that fail for other reasons are listed.
    Bench(Bench),
    /// Lists, describes and calls the tools of the settings
    Tools(Tools),
    /// Serves the tools of the settings to clients of the Model Context Protocol
    ///
    /// Over standard input and output, until the input ends, or over HTTP.
    #[cfg(feature = "mcp")]
    Mcp(Mcp),
    /// Serves sessions over HTTP, with a page to look at them, until Ctrl-C or SIGTERM
    ///
    /// What it listens on and who may use it is in the settings, under `[server]`. The first signal ends it
    /// in good order: turns that are under way wait for the next start.
    #[cfg(feature = "server")]
    Serve(Serve),
    /// Shows or checks the settings
    Config(Config),
    /// Checks what a question needs, from the settings to the endpoint, without asking one
    Doctor,
    /// Serves scripted or rule-made replies to programs that are tested
    MockModel(MockModel),
    /// Prints completions for a shell
    Completions(Completions),
}

#[derive(Debug, Args)]
pub(super) struct Ask {
    /// The question; text on standard input is added to it, and `-` stands for that alone
    pub prompt: Option<String>,
    #[command(flatten)]
    pub place: Which,
    #[command(flatten)]
    pub choice: Choice,
}

#[derive(Debug, Args)]
pub(super) struct Chat {
    #[command(flatten)]
    pub place: Which,
    #[command(flatten)]
    pub choice: Choice,
}

/// Which session is asked; a new one if nothing is said.
#[derive(Debug, Args)]
pub(super) struct Which {
    /// Goes on with this session, or makes it under this id
    #[arg(long, value_name = "ID", group = "which")]
    pub session: Option<String>,
    /// Goes on with the session that was last active
    #[arg(long, group = "which")]
    pub last: bool,
    /// Takes the session over from the process that has it open
    #[arg(long, requires = "which")]
    pub take_over: bool,
}

/// What a question may choose against the settings.
#[derive(Clone, Debug, Args)]
pub(super) struct Choice {
    /// The model to ask
    #[arg(long, value_name = "NAME")]
    pub model: Option<String>,
    /// The tools the model may call, separated by commas; all others are left out
    #[arg(long, value_name = "NAMES", value_delimiter = ',')]
    pub tools: Option<Vec<String>>,
    /// The system prompt
    #[arg(long, value_name = "TEXT")]
    pub system: Option<String>,
    /// Tools whose calls need no approval, separated by commas; without a terminal to ask at, calls of
    /// others that need it are denied
    #[arg(long, value_name = "NAMES", value_delimiter = ',')]
    pub approve: Option<Vec<String>>,
}

#[derive(Debug, Args)]
pub(super) struct Compare {
    /// The question to ask twice
    #[arg(required_unless_present = "calls")]
    pub prompt: Option<String>,
    /// Times this many calls of a tool that only waits, without a model
    #[arg(long, value_name = "N", conflicts_with = "prompt", requires = "latency_ms",
          value_parser = clap::value_parser!(u32).range(1..=100_000))]
    pub calls: Option<u32>,
    /// How long each of these calls takes
    #[arg(long, value_name = "MS", requires = "calls",
          value_parser = clap::value_parser!(u64).range(..=86_400_000))]
    pub latency_ms: Option<u64>,
    #[command(flatten)]
    pub choice: Choice,
}

#[derive(Debug, Args)]
pub(super) struct Bench {
    /// How many sessions ask at once
    #[arg(long, value_name = "S", value_parser = clap::value_parser!(u32).range(1..=100_000))]
    pub sessions: u32,
    /// How many questions each of them asks, one after another
    #[arg(long, value_name = "Q", value_parser = clap::value_parser!(u32).range(1..=100_000))]
    pub questions: u32,
    /// The question
    #[arg(long, value_name = "TEXT", default_value = THREE_TOOLS)]
    pub prompt: String,
    #[command(flatten)]
    pub choice: Choice,
}

#[derive(Debug, Args)]
pub(super) struct Tools {
    #[command(subcommand)]
    pub command: ToolsCommand,
}

#[derive(Debug, Subcommand)]
pub(super) enum ToolsCommand {
    /// Lists the tools
    List,
    /// Shows a tool as the model sees it
    Describe {
        /// The tool
        name: String,
    },
    /// Shows the condition and the limits of each tool, and whether it can be made; none is called
    ///
    /// Exit code 1 if one cannot be made.
    Health,
    /// Runs one call as a round would, without a model
    Call {
        /// The tool
        name: String,
        /// The arguments, a JSON object
        #[arg(default_value = "{}")]
        arguments: String,
    },
}

#[cfg(feature = "mcp")]
#[derive(Debug, Args)]
pub(super) struct Mcp {
    /// Serves streamable HTTP here, under /mcp; port 0 takes a free one
    #[arg(long, value_name = "ADDR")]
    pub http: Option<SocketAddr>,
    /// The environment variable with the token that HTTP clients send as `Authorization: Bearer …`;
    /// needed for any address but those of loopback
    #[arg(long, value_name = "NAME", requires = "http")]
    pub token_env: Option<String>,
    /// The tools to serve, separated by commas; all others are left out
    #[arg(long, value_name = "NAMES", value_delimiter = ',')]
    pub tools: Option<Vec<String>>,
    /// Tools whose calls need no approval, separated by commas; calls of others that need it are denied
    #[arg(long, value_name = "NAMES", value_delimiter = ',')]
    pub approve: Option<Vec<String>>,
}

#[cfg(feature = "server")]
#[derive(Debug, Args)]
pub(super) struct Serve {
    /// Where to listen, in place of `server.bind`; port 0 takes a free one
    #[arg(long, value_name = "ADDR")]
    pub bind: Option<SocketAddr>,
    /// Leaves turns that were cut as they are, in place of going on with them
    #[arg(long)]
    pub no_resume: bool,
    #[command(flatten)]
    pub choice: Choice,
}

#[derive(Debug, Args)]
pub(super) struct Config {
    #[command(subcommand)]
    pub command: ConfigCommand,
}

#[derive(Debug, Subcommand)]
pub(super) enum ConfigCommand {
    /// Shows each setting with where it came from; secrets are masked
    Show,
    /// Says whether the settings can be used
    Check,
}

#[derive(Debug, Args)]
pub(super) struct MockModel {
    /// Where to listen; port 0 takes a free one
    #[arg(long, value_name = "ADDR", default_value = "127.0.0.1:8080")]
    pub bind: SocketAddr,
    /// The replies to give, in order; without one they are made by rules
    #[arg(long, value_name = "FILE")]
    pub script: Option<PathBuf>,
    /// How long each token takes
    #[arg(long, value_name = "MS", default_value_t = 0)]
    pub pace_ms: u64,
}

#[derive(Debug, Args)]
pub(super) struct Completions {
    /// The shell
    pub shell: Shell,
}
