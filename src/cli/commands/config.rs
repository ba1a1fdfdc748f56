//! `config`: what is set, and where.

use serde_json::json;

use crate::cli::args::{Common, Config as Arguments, ConfigCommand, Output};
use crate::cli::screen::Screen;
use crate::cli::setup;
use crate::cli::status::{Status, UsageError};
use crate::cli::toolbox::{Toolbox, Wait};
use crate::config::{Config, ResolvedProvider, Row};

pub(in crate::cli) fn run(
    common: &Common,
    arguments: &Arguments,
    screen: &Screen,
) -> anyhow::Result<Status> {
    let config = setup::load(common)?;
    match arguments.command {
        ConfigCommand::Show => show(&config, screen)?,
        ConfigCommand::Check => check(&config, screen)?,
    }
    Ok(Status::Done)
}

fn show(config: &Config, screen: &Screen) -> anyhow::Result<()> {
    if screen.output != Output::Text {
        let row = |row: &Row| {
            let source = row.source.to_string();
            let mut shown = json!({"key": row.key, "value": row.value, "source": source});
            if let Some(resolved) = resolved(config, row) {
                shown["resolved"] = resolved.into();
            }
            shown
        };
        let rows: Vec<_> = config.rows().iter().map(row).collect();
        screen.data_line(&serde_json::to_string(&rows)?)?;
        return Ok(());
    }
    let setting = |row: &Row| format!("{} = {}", row.key, row.value);
    let width = config.rows().iter().map(|row| setting(row).chars().count()).max();
    let width = width.unwrap_or_default().min(60);
    for row in config.rows() {
        let resolved = resolved(config, row).map(|resolved| format!(": {resolved}"));
        let (setting, resolved) = (setting(row), resolved.unwrap_or_default());
        screen.foreign_line(&format!("{setting:<width$}  # {}{resolved}", row.source))?;
    }
    Ok(())
}

/// What comes of a setting that leaves the decision to us.
fn resolved<'a>(config: &'a Config, row: &Row) -> Option<&'a str> {
    let model = &config.model;
    let resolved = match &*row.key {
        "model.dialect" if model.dialect.is_none() => model.resolved_dialect().name,
        "model.api_key_env" => config.key_variable().unwrap_or("none, as the host is unknown"),
        _ => return None,
    };
    Some(resolved).filter(|resolved| *resolved != row.value.trim_matches('"'))
}

/// Everything that `ask` would trip over before it asks.
fn check(config: &Config, screen: &Screen) -> anyhow::Result<()> {
    let provider = config.resolved_provider()?;
    config.api_key()?;
    config.check_cost_budget(None)?;
    if provider == ResolvedProvider::OpenAi {
        config.headers()?;
    }
    let toolbox = Toolbox::for_model(config, None, Wait::ForAll)?;
    if !toolbox.left_out.is_empty() {
        let lines: Vec<_> = toolbox.left_out.iter().map(ToString::to_string).collect();
        return Err(UsageError(lines.join("\n")).into());
    }
    let tools = toolbox.tools();
    let answers = match provider {
        ResolvedProvider::OpenAi => format!("{} at {}", config.model.name, config.model.base_url),
        ResolvedProvider::Offline => "the offline stand-in".to_owned(),
    };
    screen.data_line(&format!("ok: {answers} answers, with {} tools", tools.len()))?;
    Ok(())
}
