//! From settings to the tools of a session.

use std::fmt;
use std::path::Path;
use std::sync::Arc;

use super::screen::Screen;
use super::status::UsageError;
use crate::config::{self, Config, Simulate, ToolWork};
use crate::tools::{Demo, RateLimit, Simulation, ToolSet, ToolType};

/// The tools of the settings.
pub(super) struct Toolbox {
    tools: Arc<ToolSet>,
    /// What cannot be offered, and is not.
    pub left_out: Vec<LeftOut>,
}

/// A tool that cannot be offered, and why.
#[derive(Clone, Debug)]
pub(super) struct LeftOut {
    pub tool: String,
    pub place: String,
    pub problem: String,
}

impl fmt::Display for LeftOut {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { tool, place, problem } = self;
        write!(f, "the tool `{tool}` is left out: {problem} ({place})")
    }
}

impl Toolbox {
    /// The tools that a model is offered: those of the settings, or those of them that `only` names.
    /// Says on standard error which are left out.
    pub fn open(config: &Config, only: Option<&[String]>, screen: &Screen) -> anyhow::Result<Self> {
        let toolbox = Self::for_model(config, only)?;
        toolbox.left_out.iter().for_each(|tool| screen.note(&tool.to_string()));
        Ok(toolbox)
    }

    /// The same, without a word of those that are left out.
    pub fn for_model(config: &Config, only: Option<&[String]>) -> anyhow::Result<Self> {
        let toolbox = Self::of(config, only)?;
        config.check_tool_count(toolbox.tools.len())?;
        Ok(toolbox)
    }

    /// The same for no model, which might take fewer.
    pub fn of(config: &Config, only: Option<&[String]>) -> anyhow::Result<Self> {
        let named = |name: &str| config.tools.iter().any(|tool| tool.name == name);
        if let Some(unknown) = only.into_iter().flatten().find(|name| !named(name)) {
            let known: Vec<_> = config.tools.iter().map(|tool| &*tool.name).collect();
            let known = known.join(", ");
            let message = format!("no tool named `{unknown}`; the tools are: {known}");
            return Err(UsageError(message).into());
        }
        let wanted = |tool: &&config::Tool| only.is_none_or(|only| only.contains(&tool.name));
        let (mut tools, mut left_out) = (Vec::new(), Vec::new());
        for tool in config.tools.iter().filter(wanted) {
            match made(tool) {
                Ok(made) => tools.push(with_settings(made, tool)),
                Err(problem) => left_out.push(LeftOut {
                    tool: tool.name.clone(),
                    place: tool.place.clone(),
                    problem,
                }),
            }
        }
        Ok(Self { tools: Arc::new(ToolSet::with_most(tools, usize::MAX)?), left_out })
    }

    /// Those that can be offered.
    pub fn tools(&self) -> Arc<ToolSet> {
        Arc::clone(&self.tools)
    }
}

/// The tool that the settings describe, as its kind has it, or why there is none.
fn made(tool: &config::Tool) -> Result<ToolType, String> {
    match &tool.work {
        ToolWork::Demo(simulate) => Ok(demo_tool(&tool.name, simulate)),
    }
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
    match tool.max_queue {
        Some(calls) => made.max_queue(usize::try_from(calls).unwrap_or(usize::MAX)),
        None => made,
    }
}

/// A seed nobody chose.
fn any_seed() -> u64 {
    uuid::Uuid::now_v7().as_u64_pair().1
}
