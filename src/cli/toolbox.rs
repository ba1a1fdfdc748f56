//! From settings to the tools of a session.

#[cfg(feature = "mcp")]
mod servers;

use std::fmt;
use std::path::Path;
use std::sync::Arc;

use serde_json::json;

use super::screen::Screen;
use super::status::UsageError;
use crate::config::{self, Config, Http, Simulate, ToolWork, Variables};
#[cfg(feature = "mcp")]
use crate::mcp::{ServerStatus, Servers};
use crate::session::SessionOptions;
use crate::tools::{Demo, RateLimit, Simulation, ToolSet, ToolType};
#[cfg(unix)]
use crate::tools::{Program, Stdin};
#[cfg(feature = "mcp")]
use crate::{
    model::ApiKey,
    tools::{Secrets, ToolSource},
};

/// How long a command waits for servers.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Wait {
    /// As long as the settings of each say.
    AWhile,
    /// Until each has started or failed.
    ForAll,
}

/// The tools of the settings. MCP servers run as long as it is held.
pub(super) struct Toolbox {
    tools: Arc<ToolSet>,
    /// Each tool and each server that there is not, though the settings name it.
    pub left_out: Vec<LeftOut>,
    #[cfg(feature = "mcp")]
    servers: Option<Servers>,
    /// What no result may repeat.
    #[cfg(feature = "mcp")]
    secrets: Secrets,
}

/// A tool or a server that there is not.
#[derive(Clone, Debug)]
pub(super) struct LeftOut {
    pub tool: String,
    /// What it is, and why it is not there.
    line: String,
}

impl fmt::Display for LeftOut {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.line)
    }
}

impl Toolbox {
    /// The tools that a model is offered: those of the settings, or those of them that `only` names.
    /// Says on standard error which are left out.
    pub fn open(config: &Config, only: Option<&[String]>, screen: &Screen) -> anyhow::Result<Self> {
        let toolbox = Self::for_model(config, only, Wait::AWhile)?;
        toolbox.left_out.iter().for_each(|left| screen.foreign_note(&left.to_string()));
        Ok(toolbox)
    }

    /// The same, without a word of those that are left out.
    pub fn for_model(config: &Config, only: Option<&[String]>, wait: Wait) -> anyhow::Result<Self> {
        let most = config.max_tools().and_then(|most| usize::try_from(most).ok());
        let toolbox = Self::with(config, (only, most), wait)?;
        config.check_tool_count(toolbox.tools.len())?;
        Ok(toolbox)
    }

    /// The same for no model, which might take fewer, and with every server that starts at all.
    pub fn of(config: &Config, only: Option<&[String]>) -> anyhow::Result<Self> {
        Self::with(config, (only, None), Wait::ForAll)
    }

    /// The same for clients that will hear of it when tools come later.
    #[cfg(feature = "mcp")]
    pub fn to_serve(config: &Config, only: Option<&[String]>) -> anyhow::Result<Self> {
        Self::with(config, (only, None), Wait::AWhile)
    }

    fn with(
        config: &Config,
        (only, most): (Option<&[String]>, Option<usize>),
        wait: Wait,
    ) -> anyhow::Result<Self> {
        let wanted = |tool: &&config::Tool| only.is_none_or(|only| only.contains(&tool.name));
        let (mut tools, mut left_out) = (Vec::new(), Vec::new());
        for tool in config.tools.iter().filter(wanted) {
            let made = made(tool, config.variables()).map(|made| with_settings(made, tool));
            let fits = |made: ToolType| match ToolSet::new([made.clone()]) {
                Ok(_) => Ok(made),
                Err(error) => Err(error.to_string()),
            };
            match made.and_then(fits) {
                Ok(made) => tools.push(made),
                Err(why) => {
                    let config::Tool { name, place, .. } = tool;
                    let line = format!("the tool `{name}` is left out: {why} ({place})");
                    left_out.push(LeftOut { tool: name.clone(), line });
                }
            }
        }
        let fixed = Arc::new(ToolSet::with_most(tools.iter().cloned(), usize::MAX)?);
        let toolbox = Self::with_servers(config, (fixed, tools), (only, most), wait, left_out)?;
        toolbox.check_names(config, only)?;
        Ok(toolbox)
    }

    #[cfg(feature = "mcp")]
    fn with_servers(
        config: &Config,
        (fixed, tools): (Arc<ToolSet>, Vec<ToolType>),
        choice: (Option<&[String]>, Option<usize>),
        wait: Wait,
        mut left_out: Vec<LeftOut>,
    ) -> anyhow::Result<Self> {
        let mut secrets = config.secrets();
        let servers = servers::start(config, tools, choice, wait, (&mut left_out, &mut secrets))?;
        let secrets = Secrets::new(secrets.iter().map(ApiKey::expose));
        let tools = servers.as_ref().map_or(fixed, |servers| servers.source().current());
        Ok(Self { tools, left_out, servers, secrets })
    }

    #[cfg(not(feature = "mcp"))]
    fn with_servers(
        config: &Config,
        (tools, _): (Arc<ToolSet>, Vec<ToolType>),
        _: (Option<&[String]>, Option<usize>),
        _: Wait,
        mut left_out: Vec<LeftOut>,
    ) -> anyhow::Result<Self> {
        if !config.mcp.is_empty() || config.mcp_config.is_some() {
            let line = "the MCP servers are left out: built without the feature `mcp`".to_owned();
            left_out.push(LeftOut { tool: "mcp".to_owned(), line });
        }
        Ok(Self { tools, left_out })
    }

    /// Refuses what is asked for by name and is not there.
    fn check_names(&self, config: &Config, only: Option<&[String]>) -> Result<(), UsageError> {
        let is_set = |name: &str| config.tools.iter().any(|tool| tool.name == name);
        let is_there = |name: &str| is_set(name) || self.tools.get(name).is_some();
        let Some(unknown) = only.into_iter().flatten().find(|name| !is_there(name)) else {
            return Ok(());
        };
        let known = config.tools.iter().map(|tool| &*tool.name);
        let others = self.tools.iter().map(|tool| &**tool.name()).filter(|name| !is_set(name));
        let known: Vec<_> = known.chain(others).collect();
        let mut message = format!("no tool named `{unknown}`; the tools are: {}", known.join(", "));
        for left in &self.left_out {
            message = format!("{message}\n{left}");
        }
        Err(UsageError(message))
    }

    /// Those of this moment.
    pub fn tools(&self) -> Arc<ToolSet> {
        #[cfg(feature = "mcp")]
        if let Some(servers) = &self.servers {
            return servers.source().current();
        }
        Arc::clone(&self.tools)
    }

    /// Has sessions use them, also as they change.
    pub fn equip(&self, options: SessionOptions) -> SessionOptions {
        #[cfg(feature = "mcp")]
        if let Some(servers) = &self.servers {
            return options.tool_source(servers.source()).secrets(self.secrets.clone());
        }
        options
    }

    /// Where they change, if they can.
    #[cfg(feature = "mcp")]
    pub fn source(&self) -> Option<ToolSource> {
        self.servers.as_ref().map(Servers::source)
    }

    /// How each MCP server is.
    #[cfg(feature = "mcp")]
    pub fn servers(&self) -> Vec<ServerStatus> {
        self.servers.as_ref().map(Servers::status).unwrap_or_default()
    }
}

/// The tool that the settings describe, as its kind has it, or why there is none.
fn made(tool: &config::Tool, variables: &Variables) -> Result<ToolType, String> {
    match &tool.work {
        ToolWork::Demo(simulate) => Ok(demo_tool(&tool.name, simulate)),
        ToolWork::Http(http) => http_tool(tool, http, variables),
        ToolWork::Command(command) => command_tool(tool, command, variables),
    }
}

fn http_tool(tool: &config::Tool, http: &Http, variables: &Variables) -> Result<ToolType, String> {
    let endpoint = http.tool(variables).map_err(|error| error.to_string())?;
    let none = || json!({"type": "object", "properties": {}});
    let parameters = tool.parameters.clone().unwrap_or_else(none);
    let description = tool.description.clone().unwrap_or_default();
    let made = ToolType::http(&*tool.name, description, parameters, &endpoint);
    made.map_err(|error| error.to_string())
}

fn demo_tool(name: &str, simulate: &Simulate) -> ToolType {
    let Simulate { latency, jitter, error_rate, panic_rate, hang_rate, crash_after, seed, ref log } =
        *simulate;
    let simulation = Simulation {
        latency,
        jitter,
        error_rate,
        panic_rate,
        hang_rate,
        crash_after: crash_after.unwrap_or_default(),
        seed: seed.unwrap_or_else(any_seed),
        log: log.as_deref().map(|file| Path::new(file).into()),
    };
    Demo::named(name).tool_type(name, simulation)
}

#[cfg(unix)]
fn command_tool(
    tool: &config::Tool,
    command: &config::Command,
    variables: &Variables,
) -> Result<ToolType, String> {
    let runs = format!("Runs the program {}", command.argv.first().map_or("", String::as_str));
    let parameters = tool.parameters.clone();
    let parameters = parameters.unwrap_or_else(|| json!({"type": "object", "properties": {}}));
    let program = program(command, variables)?;
    program.tool_type(&*tool.name, runs, parameters).map_err(|error| error.to_string())
}

#[cfg(not(unix))]
fn command_tool(_: &config::Tool, _: &config::Command, _: &Variables) -> Result<ToolType, String> {
    Err("programs are tools on Unix only".to_owned())
}

/// The program that the settings describe, or what is missing for it.
#[cfg(unix)]
pub(super) fn program(command: &config::Command, variables: &Variables) -> Result<Program, String> {
    let mut program = Program::new(command.argv.iter().map(String::as_str));
    program = program.stdin(match command.stdin.as_deref() {
        None => Stdin::Nothing,
        Some("json") => Stdin::Json,
        Some(text) => Stdin::Text(text.to_owned()),
    });
    for variable in &command.env {
        program = program.env(variable.name(), variable.resolve(variables)?);
    }
    if let Some(cwd) = &command.cwd {
        program = program.cwd(cwd);
    }
    Ok(match command.max_output_bytes {
        Some(bytes) => program.max_output_bytes(usize::try_from(bytes).unwrap_or(usize::MAX)),
        None => program,
    })
}

/// Puts on a tool what the settings of every kind may say.
fn with_settings(mut made: ToolType, tool: &config::Tool) -> ToolType {
    made = made.effects(tool.effects).approval(tool.approval);
    if let Some(limit) = tool.time_limit {
        made = made.time_limit(limit);
    }
    if let Some(early) = tool.early {
        made = made.early(early);
    }
    made = limited(made, tool);
    if let Some(description) = &tool.description {
        made = made.with_description(&**description);
    }
    match &tool.parameters {
        Some(parameters) => made.with_parameters(parameters.clone()),
        None => made,
    }
}

/// Puts the limits of the settings on a tool.
fn limited(mut made: ToolType, tool: &config::Tool) -> ToolType {
    made = made.retries(tool.retries);
    if let Some(limit) = tool.attempt_time_limit {
        made = made.attempt_time_limit(limit);
    }
    if let Some(limit) = tool.silence_time_limit {
        made = made.silence_limit(limit);
    }
    if let Some(calls) = tool.max_concurrency {
        made = made.max_concurrency(usize::try_from(calls).unwrap_or(usize::MAX));
    }
    if tool.exclusive {
        made = made.exclusive();
    }
    if let Some(argument) = &tool.serial_by {
        made = made.serial_by(&**argument);
    }
    if let Some(config::Rate { calls, per }) = tool.rate_limit {
        made = made.rate_limit(RateLimit { calls, per });
    }
    if tool.single_flight {
        made = made.single_flight();
    }
    if let Some(lifetime) = tool.cache {
        made = made.cache_for(lifetime).cache_scope(tool.cache_scope);
    }
    match tool.max_queue {
        Some(calls) => made.max_queue(usize::try_from(calls).unwrap_or(usize::MAX)),
        None => made,
    }
}

/// A seed nobody chose.
fn any_seed() -> u64 {
    uuid::Uuid::now_v7().as_u64_pair().1
}
