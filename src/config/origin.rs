//! Where a setting came from.

use std::fmt;
use std::path::PathBuf;

/// Where the value of a setting came from.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Source {
    /// The shipped `config.toml`.
    Default,
    /// A line of a file, counted from 1.
    File {
        /// The file, as the user would name it.
        path: PathBuf,
        /// The line.
        line: usize,
    },
    /// The environment variable of this name, of the process or of `.env`.
    Environment(String),
    /// A `--set` flag.
    Set,
}

impl Source {
    /// Says whether values from here are bare text, not typed like those of a file.
    pub(super) fn is_text(&self) -> bool {
        matches!(self, Source::Environment(_) | Source::Set)
    }

    /// The place in the order of layers: what is higher replaces what is lower.
    pub(super) fn strength(&self) -> u8 {
        match self {
            Source::Default => 0,
            Source::File { .. } => 1,
            Source::Environment(_) => 2,
            Source::Set => 3,
        }
    }

    /// Writes the source as the one string that the `config` crate keeps beside a value.
    pub(super) fn encode(&self) -> String {
        match self {
            Source::Default => "default".to_owned(),
            Source::File { path, line } => format!("file:{line}:{}", path.display()),
            Source::Environment(variable) => format!("env:{variable}"),
            Source::Set => "set".to_owned(),
        }
    }

    /// Reads back what [`Source::encode`] wrote; `None` for anything else.
    pub(super) fn decode(text: &str) -> Option<Source> {
        match text.split_once(':') {
            None if text == "default" => Some(Source::Default),
            None if text == "set" => Some(Source::Set),
            Some(("env", variable)) => Some(Source::Environment(variable.to_owned())),
            Some(("file", place)) => {
                let (line, path) = place.split_once(':')?;
                Some(Source::File { path: path.into(), line: line.parse().ok()? })
            }
            _ => None,
        }
    }
}

impl fmt::Display for Source {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Source::Default => write!(out, "the defaults"),
            Source::File { path, line } => write!(out, "{}:{line}", path.display()),
            Source::Environment(variable) => write!(out, "the environment ({variable})"),
            Source::Set => write!(out, "--set"),
        }
    }
}

/// One setting as it stands: a line of `config show`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Row {
    /// The key with its levels, such as `tools[0].simulate.latency_ms`.
    pub key: String,
    /// The value in TOML notation; what is secret in it is masked.
    pub value: String,
    /// Where the value came from.
    pub source: Source,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_source_survives_the_trip_through_the_config_crate() {
        for source in [
            Source::Default,
            Source::File { path: "C:\\a b\\config.toml".into(), line: 12 },
            Source::Environment("CALLSHEET__MODEL__NAME".to_owned()),
            Source::Set,
        ] {
            assert_eq!(Source::decode(&source.encode()), Some(source));
        }
    }
}
