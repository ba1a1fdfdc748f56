//! Servers of the Model Context Protocol: `[[mcp]]`, and the files of other programs that list them.

use std::path::Path;
use std::time::Duration;

use serde_json::{Map, Value as Json};

use super::choice::McpProtocol;
use super::error::Error;
use super::kind;
use super::reader::Section;
use super::reference::Text;
use crate::conversation::{Approval, Effects};

/// A server as it is set. What it refers to is not filled in yet.
#[derive(Clone, Debug, PartialEq)]
pub struct McpServer {
    /// Where it is set, for messages.
    pub place: String,
    /// Its name, the beginning of the names of its tools.
    pub name: String,
    /// The program that is the server.
    pub command: Option<Text>,
    /// Its arguments.
    pub args: Vec<Text>,
    /// Its environment, besides `PATH`, `HOME` and `LANG`.
    pub env: Vec<(String, Text)>,
    /// Where it works.
    pub cwd: Option<Text>,
    /// The URL of the server, if it is no program.
    pub url: Option<Text>,
    /// Headers of every request.
    pub headers: Vec<(String, Text)>,
    /// Whether its hints are believed.
    pub trusted: bool,
    /// The tools that are offered, by its own names; `None` = all.
    pub allow: Option<Vec<String>>,
    /// Those that are not.
    pub deny: Vec<String>,
    /// Which revision of the protocol is spoken.
    pub protocol: McpProtocol,
    /// How many tools are offered at most.
    pub max_tools: u32,
    /// The most bytes of one message.
    pub max_message_bytes: u64,
    /// From its start to its list of tools.
    pub startup_time_limit: Duration,
    /// How long a command waits for it at the start.
    pub start_wait: Duration,
    /// What holds for all its tools.
    pub terms: McpTerms,
    /// What holds for one of them.
    pub tools: Vec<(String, McpTerms)>,
}

/// What is said of a server's tools; `None` where nothing is.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct McpTerms {
    /// What running it twice would do.
    pub effects: Option<Effects>,
    /// Whether a person has to approve a call.
    pub approval: Option<Approval>,
    /// The limit of one call.
    pub time_limit: Option<Duration>,
    /// How long a call may go without a sign of progress.
    pub silence_time_limit: Option<Duration>,
    /// Further tries.
    pub retries: Option<u32>,
    /// Calls of a tool that run at a time.
    pub max_concurrency: Option<u32>,
}

/// How long a server may take to start.
const STARTUP: Duration = Duration::from_secs(30);

/// How long a command waits for it.
const START_WAIT: Duration = Duration::from_secs(5);

impl McpServer {
    fn new(name: String, place: String) -> Self {
        Self {
            place,
            name,
            command: None,
            args: Vec::new(),
            env: Vec::new(),
            cwd: None,
            url: None,
            headers: Vec::new(),
            trusted: false,
            allow: None,
            deny: Vec::new(),
            protocol: McpProtocol::Auto,
            max_tools: 100,
            max_message_bytes: 4_000_000,
            startup_time_limit: STARTUP,
            start_wait: START_WAIT,
            terms: McpTerms::default(),
            tools: Vec::new(),
        }
    }

    /// Reads `[[mcp]]`.
    pub(super) fn read_all(root: &mut Section<'_>) -> Result<Vec<McpServer>, Error> {
        let mut places: Vec<(String, String)> = Vec::new();
        root.tables("mcp", |section| {
            let server = McpServer::read(section)?;
            let place = section.place("name");
            if let Some((name, first)) = places.iter().find(|(name, _)| *name == server.name) {
                let (name, first) = (name.clone(), first.clone());
                return Err(Error::DuplicateServer { name, first, second: place });
            }
            places.push((server.name.clone(), place));
            Ok(server)
        })
    }

    fn read(section: &mut Section<'_>) -> Result<McpServer, Error> {
        let name = section.required("name", kind::server_name)?;
        let server = McpServer::new(name, section.own_place());
        Ok(McpServer {
            command: section.optional("command", kind::text)?,
            args: section.optional("args", kind::references)?.unwrap_or_default(),
            env: section.optional("env", kind::named_texts)?.unwrap_or_default(),
            cwd: section.optional("cwd", kind::text)?,
            url: section.optional("url", kind::text)?,
            headers: section.optional("headers", kind::named_texts)?.unwrap_or_default(),
            trusted: section.optional("trusted", kind::flag)?.unwrap_or_default(),
            allow: section.optional("allow", kind::list)?,
            deny: section.optional("deny", kind::list)?.unwrap_or_default(),
            protocol: section.or("protocol", kind::choice, server.protocol)?,
            max_tools: section.or("max_tools", kind::count(1..=10_000), server.max_tools)?,
            max_message_bytes: section.or(
                "max_message_bytes",
                kind::whole(1000..=1_000_000_000),
                server.max_message_bytes,
            )?,
            startup_time_limit: section.or(
                "startup_time_limit_ms",
                kind::time_limit,
                server.startup_time_limit,
            )?,
            start_wait: section.or("start_wait_ms", kind::millis, server.start_wait)?,
            terms: McpTerms::read(section)?,
            tools: section.tables("tools", |section| {
                Ok((section.required("name", kind::filled)?, McpTerms::read(section)?))
            })?,
            ..server
        })
    }

    /// Reads the servers in the file of another program, `path`, which holds `text`: `.mcp.json`, with
    /// `mcpServers`, or the one of VS Code, with `servers`. What it says besides is not looked at. A
    /// server that cannot be had is told with the reason.
    ///
    /// # Errors
    /// What is wrong with the file as a whole.
    pub fn in_file(path: &Path, text: &str) -> Result<Vec<Result<McpServer, String>>, String> {
        let wrong = |why: String| format!("{}: {why}", path.display());
        let file: Json = serde_json::from_str(text).map_err(|error| wrong(error.to_string()))?;
        let lists = [file.get("mcpServers"), file.get("servers")];
        let Some(Json::Object(servers)) = lists.into_iter().flatten().next() else {
            return Err(wrong("there is neither `mcpServers` nor `servers` in it".to_owned()));
        };
        let enabled = |fields: &Json| fields.get("disabled") != Some(&Json::Bool(true));
        let each = servers.iter().filter(|(_, fields)| enabled(fields)).map(|(name, fields)| {
            let place = format!("`{name}` in {}", path.display());
            let server = McpServer::new(name.clone(), place.clone());
            let left_out =
                |why: String| format!("the MCP server `{name}` is left out: {why} ({place})");
            let Json::Object(fields) = fields else {
                return Err(left_out("it is no JSON object".to_owned()));
            };
            server.with(fields).map_err(left_out)
        });
        Ok(each.collect())
    }

    fn with(mut self, fields: &Map<String, Json>) -> Result<McpServer, String> {
        let kind = fields.get("type").and_then(Json::as_str);
        if kind == Some("sse") {
            return Err("it speaks SSE, which has been replaced by streamable HTTP".to_owned());
        }
        self.command = string(fields, "command")?;
        self.url = string(fields, "url")?.or(string(fields, "serverUrl")?);
        self.cwd = string(fields, "cwd")?;
        self.env = strings_by_name(fields, "env")?;
        self.headers = strings_by_name(fields, "headers")?;
        self.args = match fields.get("args") {
            None => Vec::new(),
            Some(Json::Array(args)) => {
                let args = args.iter().map(|arg| arg.as_str().map(Text::new));
                args.collect::<Option<_>>().ok_or("`args` are not all strings")?
            }
            Some(_) => return Err("`args` is no array".to_owned()),
        };
        if fields.contains_key("envFile") {
            return Err("`envFile` is not read: set the variables in `env`".to_owned());
        }
        Ok(self)
    }

    /// Says whether it is said how to reach it.
    pub fn is_reachable(&self) -> bool {
        self.command.is_some() || self.url.is_some()
    }

    /// The same terms for a server that another file says how to reach.
    #[must_use]
    pub fn reached_as(self, other: McpServer) -> McpServer {
        let McpServer { command, args, env, cwd, url, headers, .. } = other;
        McpServer { command, args, env, cwd, url, headers, ..self }
    }
}

fn string(fields: &Map<String, Json>, name: &str) -> Result<Option<Text>, String> {
    match fields.get(name) {
        None | Some(Json::Null) => Ok(None),
        Some(Json::String(text)) => Ok(Some(Text::new(text))),
        Some(_) => Err(format!("`{name}` is no string")),
    }
}

fn strings_by_name(fields: &Map<String, Json>, name: &str) -> Result<Vec<(String, Text)>, String> {
    let Some(value) = fields.get(name) else { return Ok(Vec::new()) };
    let wrong = || format!("`{name}` is no object of strings");
    let all = value.as_object().ok_or_else(wrong)?.iter().map(|(key, value)| {
        let text = match value {
            Json::String(text) => Text::new(text),
            Json::Number(_) | Json::Bool(_) => Text::new(&value.to_string()),
            _ => return Err(wrong()),
        };
        Ok((key.clone(), text))
    });
    all.collect()
}

impl McpTerms {
    fn read(section: &mut Section<'_>) -> Result<McpTerms, Error> {
        Ok(McpTerms {
            effects: section.optional("effects", kind::choice)?,
            approval: section.optional("approval", kind::choice)?,
            time_limit: section.optional("time_limit_ms", kind::time_limit)?,
            silence_time_limit: section.optional("silence_time_limit_ms", kind::time_limit)?,
            retries: section.optional("retries", kind::count(0..=1000))?,
            max_concurrency: section.optional("max_concurrency", kind::count(1..=1_000_000))?,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn servers(text: &str) -> Vec<Result<McpServer, String>> {
        McpServer::in_file(Path::new("x/.mcp.json"), text).expect("it is a file of servers")
    }

    #[test]
    fn both_files_are_read_as_they_are() {
        let claude = r#"{"mcpServers": {
            "time": {"command": "uvx", "args": ["mcp-server-time"], "env": {"TZ": "${TZ}", "N": 1}},
            "web": {"type": "http", "url": "https://x/mcp", "headers": {"Authorization": "Bearer ${env:K}"}},
            "off": {"command": "x", "disabled": true}}, "other": 7}"#;
        let read: Vec<_> = servers(claude).into_iter().map(Result::unwrap).collect();
        assert_eq!(read.len(), 2);
        assert_eq!(read[0].place, "`time` in x/.mcp.json");
        assert_eq!(read[0].env.len(), 2);
        assert!(read.iter().all(|server| !server.trusted && server.is_reachable()));
        let code = r#"{"inputs": [], "servers": {"a": {"type": "stdio", "command": "a"}}}"#;
        assert_eq!(servers(code)[0].as_ref().unwrap().name, "a");
    }

    #[test]
    fn a_server_that_cannot_be_had_costs_no_other() {
        let text = r#"{"mcpServers": {"a": {"command": 7}, "b": [], "c": {"command": "c"},
            "d": {"type": "sse", "url": "http://x"}, "e": {"command": "e", "args": [1]}}}"#;
        let read = servers(text);
        assert_eq!(read.iter().filter(|server| server.is_ok()).count(), 1);
        let told = read[0].as_ref().unwrap_err();
        assert_eq!(
            told,
            "the MCP server `a` is left out: `command` is no string (`a` in x/.mcp.json)"
        );
        assert!(McpServer::in_file(Path::new("y"), "{}").unwrap_err().starts_with("y: "));
        assert!(McpServer::in_file(Path::new("y"), "{").unwrap_err().starts_with("y: "));
    }
}
