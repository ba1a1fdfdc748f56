//! What can be wrong with the settings.

use std::io;
use std::path::PathBuf;

use super::origin::Source;

/// Why the settings cannot be used. Each text is one line for the person who wrote them.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// Nothing is called that.
    #[error("unknown key `{key}` in {origin}; nearest known key: `{nearest}`")]
    UnknownKey {
        /// The key as written.
        key: String,
        /// Where it is.
        origin: Source,
        /// The known key with the fewest letters to change.
        nearest: String,
    },
    /// The value is of the wrong type or out of range.
    #[error("`{key}` in {origin}: expected {expected}, found {found}")]
    Value {
        /// The key.
        key: String,
        /// Where its value came from.
        origin: Source,
        /// What would be right.
        expected: String,
        /// What is there, with what is secret in it masked.
        found: String,
    },
    /// A tool lacks something it cannot do without.
    #[error("`{key}` is missing in {origin}")]
    Missing {
        /// The key.
        key: String,
        /// The table it should be in.
        origin: Source,
    },
    /// The model could not tell two tools apart.
    #[error("two tools named `{name}`: {first} and {second}")]
    DuplicateTool {
        /// The name.
        name: String,
        /// The first tool's key and place.
        first: String,
        /// The second tool's key and place.
        second: String,
    },
    /// Nobody could tell the tools of two servers apart.
    #[error("two MCP servers named `{name}`: {first} and {second}")]
    DuplicateServer {
        /// The name.
        name: String,
        /// The first server's key and place.
        first: String,
        /// The second server's key and place.
        second: String,
    },
    /// A `--set` flag without `=`, or with an index out of reach.
    #[error("`--set {text}`: expected {expected}")]
    Assignment {
        /// The part that can be shown: never the value.
        text: String,
        /// What would be right.
        expected: &'static str,
    },
    /// The file is not TOML, or `.env` is not a list of `NAME=value`.
    #[error("{}:{line}: {message}", path.display())]
    Syntax {
        /// The file.
        path: PathBuf,
        /// The line, counted from 1.
        line: usize,
        /// What is wrong there.
        message: String,
    },
    /// A file with settings cannot be read.
    #[error("cannot read {}", path.display())]
    Read {
        /// The file.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
    /// The layers cannot be merged.
    #[error("cannot merge the settings")]
    Merge(#[from] ::config::ConfigError),
    /// The endpoint needs a key and there is none.
    #[error(
        "no key for {endpoint}: {} or `model.api_key_file`, give it in `model.extra_headers`, or work \
         without a network: --set model.provider=offline",
        match variable {
            Some(variable) => format!("set the environment variable `{variable}`"),
            None => "set `model.api_key_env` to the environment variable that holds it,".to_owned(),
        }
    )]
    NoKey {
        /// The endpoint, masked.
        endpoint: String,
        /// The variable that was looked at; `None` = nobody knows which.
        variable: Option<String>,
    },
    /// The model would refuse a request that lists all tools.
    #[error(
        "{count} tools, and one request may list {most} ({whose}): offer fewer, or set \
         `model.quirks.max_tools`"
    )]
    TooManyTools {
        /// How many there are.
        count: usize,
        /// How many there may be.
        most: u32,
        /// Where that limit comes from.
        whose: String,
    },
    /// Nobody would say what a reply has cost.
    #[error(
        "{budget} needs to know what replies cost, and {who} does not say: set {missing}{}",
        if *may_say { ", or `model.quirks.reports_cost` if it does say" } else { "" }
    )]
    NoCost {
        /// The key of the budget, and its place.
        budget: String,
        /// Who answers.
        who: String,
        /// What would help.
        missing: &'static str,
        /// It may be otherwise than is known here.
        may_say: bool,
    },
    /// A value refers to a variable that is missing or empty.
    #[error("`{key}` needs the environment variable `{variable}`, which is not set")]
    NoVariable {
        /// The key.
        key: String,
        /// The variable.
        variable: String,
    },
    /// What is there cannot be a key: it is empty, or no header could carry it.
    #[error("the key in {place} is empty or has characters that a key cannot have")]
    BadKey {
        /// The variable or file, never the key.
        place: String,
    },
}
