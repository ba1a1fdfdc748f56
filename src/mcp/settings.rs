//! What there is to say of a server.

use std::collections::HashMap;
use std::fmt;
use std::path::PathBuf;
use std::time::Duration;

use secrecy::SecretString;

use crate::conversation::{Approval, Effects};
use crate::model::Header;
use crate::tools::Secrets;

/// A server, how it is reached, and what its tools may do.
#[derive(Clone, Debug)]
pub struct ServerSettings {
    /// Its name, the beginning of the names of its tools: `{name}__{tool}`.
    pub name: String,
    /// How it is reached.
    pub reach: Reach,
    /// Which revision of the protocol is spoken.
    pub protocol: Protocol,
    /// Whether its hints set effects and approval. Those of others only tighten them.
    pub trusted: bool,
    /// Its own names of the tools that are offered; `None` = all of them. `*` at the end stands for
    /// anything.
    pub allow: Option<Vec<String>>,
    /// Its own names of the tools that are not offered, also if they are allowed.
    pub deny: Vec<String>,
    /// How many of its tools are offered at most, in its order.
    pub max_tools: usize,
    /// From its start to its list of tools. Then it counts as failed.
    pub startup_time_limit: Duration,
    /// The most bytes of one message. A larger one is the failure of its call.
    pub max_message_bytes: usize,
    /// A file that its list of tools is kept in: a program that starts anew offers them before the
    /// server has started. `None` = it is kept nowhere.
    pub memory: Option<PathBuf>,
    /// What it is told in confidence: taken out of what it says before it is logged or told.
    pub secrets: Secrets,
    /// What holds for all of its tools.
    pub terms: ToolTerms,
    /// What holds for some of them, by its own names.
    pub tool_terms: HashMap<String, ToolTerms>,
}

impl ServerSettings {
    /// The server `name`, with nothing said of its tools: those of a server that is not trusted have
    /// effects [`Effects::Once`] and need approval.
    #[must_use]
    pub fn new(name: impl Into<String>, reach: Reach) -> Self {
        Self {
            name: name.into(),
            reach,
            protocol: Protocol::Auto,
            trusted: false,
            allow: None,
            deny: Vec::new(),
            max_tools: 100,
            startup_time_limit: Duration::from_secs(30),
            max_message_bytes: 4_000_000,
            memory: None,
            secrets: Secrets::default(),
            terms: ToolTerms::default(),
            tool_terms: HashMap::new(),
        }
    }

    /// Says whether the tool that the server calls `tool` is offered.
    pub(super) fn offers(&self, tool: &str) -> bool {
        let fits = |pattern: &String| match pattern.strip_suffix('*') {
            Some(beginning) => tool.starts_with(beginning),
            None => pattern == tool,
        };
        let allowed = self.allow.as_ref().is_none_or(|allow| allow.iter().any(fits));
        allowed && !self.deny.iter().any(fits)
    }
}

/// How a server is reached. Its `Debug` shows neither arguments nor the URL: both may hold a secret.
#[derive(Clone)]
pub enum Reach {
    /// A process of ours, over its standard input and output.
    Stdio(Program),
    /// An endpoint, over streamable HTTP.
    Http {
        /// Its URL.
        url: String,
        /// Headers of every request.
        headers: Vec<Header>,
    },
}

impl Reach {
    /// Scheme, host and port of an endpoint: what of its URL cannot be secret.
    pub(super) fn origin(&self) -> Option<String> {
        match self {
            Self::Stdio(_) => None,
            Self::Http { url, .. } => {
                Some(reqwest::Url::parse(url).ok()?.origin().ascii_serialization())
            }
        }
    }
}

/// A program that is a server.
#[derive(Clone)]
pub struct Program {
    /// A path, or a name that is looked for where `PATH` says.
    pub command: String,
    /// Its arguments.
    pub args: Vec<String>,
    /// Its environment besides `PATH`, `HOME` and `LANG`, which are those of this process.
    pub env: Vec<(String, SecretString)>,
    /// Where it works; `None` = where this process does.
    pub cwd: Option<PathBuf>,
}

impl fmt::Debug for Reach {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Stdio(program) => f.debug_tuple("Stdio").field(program).finish(),
            Self::Http { headers, .. } => {
                let names: Vec<_> = headers.iter().map(|header| &header.name).collect();
                f.debug_struct("Http").field("headers", &names).finish_non_exhaustive()
            }
        }
    }
}

impl fmt::Debug for Program {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let names: Vec<_> = self.env.iter().map(|(name, _)| name).collect();
        f.debug_struct("Program")
            .field("command", &self.command)
            .field("args", &self.args.len())
            .field("env", &names)
            .finish_non_exhaustive()
    }
}

/// Which revision of the protocol is spoken with a server.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Protocol {
    /// 2026-07-28 if the server knows it, else an older one, from 2025-11-25 down.
    #[default]
    Auto,
    /// 2026-07-28, without a handshake.
    Stateless,
    /// 2025-11-25 or older, with a handshake.
    Handshake,
}

/// What is said of tools; `None` where nothing is.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct ToolTerms {
    /// What running it twice would do.
    pub effects: Option<Effects>,
    /// Whether a person has to approve calls.
    pub approval: Option<Approval>,
    /// The limit of one call.
    pub time_limit: Option<Duration>,
    /// How long a call may go without a sign of progress.
    pub silence_limit: Option<Duration>,
    /// Further tries.
    pub retries: Option<u32>,
    /// Calls that run at a time, of each tool.
    pub max_concurrency: Option<usize>,
}

impl ToolTerms {
    /// These, and where they say nothing, `others`.
    pub(super) fn or(&self, others: &Self) -> Self {
        Self {
            effects: self.effects.or(others.effects),
            approval: self.approval.or(others.approval),
            time_limit: self.time_limit.or(others.time_limit),
            silence_limit: self.silence_limit.or(others.silence_limit),
            retries: self.retries.or(others.retries),
            max_concurrency: self.max_concurrency.or(others.max_concurrency),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn deny_goes_before_allow_and_a_star_stands_for_any_end() {
        let list = |names: &[&str]| names.iter().map(|name| (*name).to_owned()).collect();
        let mut settings = ServerSettings::new(
            "s",
            Reach::Http { url: "http://localhost".into(), headers: Vec::new() },
        );
        assert!(settings.offers("anything"));
        settings.allow = Some(list(&["read_*", "list"]));
        settings.deny = list(&["read_secret"]);
        let offered = ["read_file", "read_", "list", "listen", "write", "read_secret"]
            .map(|tool| settings.offers(tool));
        assert_eq!(offered, [true, true, true, false, false, false]);
        settings.allow = None;
        settings.deny = list(&["*"]);
        assert!(!settings.offers("list"));
    }
}
