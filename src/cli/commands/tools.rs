//! `tools`: what the model may call.

use std::sync::Arc;
use std::time::Duration;

use serde_json::json;

use super::health::{self, Limits, limits_of};
use crate::cli::args::{Common, Output, Tools, ToolsCommand};
use crate::cli::draw::list::columns;
use crate::cli::fixed_round::round;
use crate::cli::screen::Screen;
use crate::cli::signals::Signals;
use crate::cli::status::{Status, UsageError};
use crate::cli::toolbox::Toolbox;
use crate::cli::{live, logging, setup};
use crate::config::Config;
use crate::conversation::{Approval, Mode, OutcomeKind};
use crate::model::FixedModel;
use crate::session::Cause;
use crate::tools::{ToolSet, ToolType};
use crate::wire::Arguments;

pub(in crate::cli) fn run(
    common: &Common,
    arguments: Tools,
    screen: &Screen,
) -> anyhow::Result<Status> {
    let config = setup::load(common)?;
    logging::start(&config, common, screen);
    let toolbox = Toolbox::of(&config, None)?;
    toolbox.left_out.iter().for_each(|left| screen.foreign_note(&left.to_string()));
    let tools = toolbox.tools();
    match arguments.command {
        ToolsCommand::List => list(&config, &tools, screen)?,
        ToolsCommand::Describe { name } => describe(find(&tools, &name)?, screen)?,
        ToolsCommand::Health => return health::run(&config, &toolbox, screen),
        ToolsCommand::Call { name, arguments } => {
            find(&tools, &name)?;
            return call(&config, tools, &name, &arguments, screen);
        }
    }
    Ok(Status::Done)
}

fn find<'a>(tools: &'a ToolSet, name: &str) -> Result<&'a Arc<ToolType>, UsageError> {
    tools.get(name).ok_or_else(|| {
        let known: Vec<_> = tools.iter().map(|tool| &**tool.name()).collect();
        UsageError(format!("no tool named `{name}`; the tools are: {}", known.join(", ")))
    })
}

fn list(config: &Config, tools: &ToolSet, screen: &Screen) -> anyhow::Result<()> {
    if screen.output != Output::Text {
        let describe = |tool: &Arc<ToolType>| {
            json!({"name": tool.name(), "kind": tool.origin().kind, "server": tool.origin().server,
                "effects": tool.declared_effects().as_str(),
                "approval": tool.declared_approval().as_str(),
                "time_limit_ms": limit(config, tool).as_millis(),
                "limits": Limits::of(tool.limits(), config.turn.call_time_limit),
                "circuit": tool.health().circuit,
                "description": tool.description()})
        };
        let list: Vec<_> = tools.iter().map(describe).collect();
        screen.data_line(&serde_json::to_string(&list)?)?;
        return Ok(());
    }
    for line in table(config, tools) {
        screen.data_line(&line)?;
    }
    Ok(())
}

/// What each tool is and may do, a line each under a heading. Where no tool is of a server, or needs
/// approval, there is no such column.
pub(super) fn table(config: &Config, tools: &ToolSet) -> Vec<String> {
    let has_servers = tools.iter().any(|tool| tool.origin().server.is_some());
    let asks = tools.iter().any(|tool| tool.declared_approval() != Approval::Never);
    let row = |[name, kind, server, effects, approval, limits, circuit, about]: [String; 8]| {
        let server = has_servers.then_some(server);
        let approval = asks.then_some(approval);
        let all = [Some(name), Some(kind), server, Some(effects), approval, Some(limits)];
        all.into_iter().chain([Some(circuit), Some(about)]).flatten().collect::<Vec<String>>()
    };
    let heading =
        ["NAME", "KIND", "SERVER", "EFFECTS", "APPROVAL", "LIMITS", "CIRCUIT", "DESCRIPTION"];
    let mut rows = vec![row(heading.map(str::to_owned))];
    rows.extend(tools.iter().map(|tool| {
        let origin = tool.origin();
        row([
            tool.name().to_string(),
            origin.kind.to_owned(),
            origin.server.as_deref().unwrap_or_default().to_owned(),
            tool.declared_effects().as_str().to_owned(),
            tool.declared_approval().as_str().to_owned(),
            limits_of(tool, config.turn.call_time_limit),
            tool.health().circuit.to_owned(),
            first_line(tool.description()),
        ])
    }));
    columns(&rows)
}

/// Descriptions of servers may be pages.
fn first_line(text: &str) -> String {
    const MOST: usize = 100;
    let line = text.lines().next().unwrap_or_default().trim();
    match line.char_indices().nth(MOST) {
        Some((end, _)) => format!("{}…", line[..end].trim_end()),
        None => line.to_owned(),
    }
}

fn limit(config: &Config, tool: &ToolType) -> Duration {
    tool.declared_time_limit().unwrap_or(config.turn.call_time_limit)
}

/// The tool as a request shows it to the model.
fn describe(tool: &ToolType, screen: &Screen) -> anyhow::Result<()> {
    let shown = json!({"type": "function", "function": {"name": tool.name(),
        "description": tool.description(), "parameters": tool.parameters()}});
    let text = match screen.output {
        Output::Text => serde_json::to_string_pretty(&shown)?,
        Output::Json | Output::Jsonl => serde_json::to_string(&shown)?,
    };
    screen.json(&(text + "\n"))?;
    Ok(())
}

fn call(
    config: &Config,
    tools: Arc<ToolSet>,
    name: &str,
    arguments: &str,
    screen: &Screen,
) -> anyhow::Result<Status> {
    let arguments = match Arguments::from_text(arguments.to_owned()) {
        arguments @ Arguments::Object(_) => arguments,
        _ => return Err(UsageError("the arguments must be a JSON object".into()).into()),
    };
    let runtime = setup::runtime(config)?;
    let signals = Signals::listen();
    let model = FixedModel::new(1, name, &arguments);
    let limits = setup::limits(config);
    let round = round(model, config, &runtime, tools, limits, Mode::Parallel, &signals);
    let (round, cause) = setup::executor()?.block_on(round)?;
    let Some(call) = round.calls.first() else { return Ok(Status::Failed) };
    if screen.output == Output::Text {
        screen.note(&live::draw(screen, &round));
    }
    let result = call.result.as_deref().unwrap_or_default();
    match screen.output {
        Output::Text => screen.foreign_line(result)?,
        Output::Json | Output::Jsonl => {
            let outcome = call.outcome.map(OutcomeKind::as_str);
            let ran_ms = crate::document::millis(call.ran);
            let line = json!({"tool": name, "outcome": outcome, "result": result, "ran_ms": ran_ms,
                "error": call.error});
            screen.data_line(&serde_json::to_string(&line)?)?;
        }
    }
    Ok(match (call.outcome, cause) {
        (Some(OutcomeKind::Ok), _) => Status::Done,
        (_, Some(Cause::Cancelled | Cause::ShutDown)) => Status::Interrupted,
        _ => Status::Failed,
    })
}
