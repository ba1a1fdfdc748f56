//! `config`: what is set, and where.

use serde_json::json;

use crate::cli::args::{Common, Config as Arguments, ConfigCommand, Output};
use crate::cli::screen::Screen;
use crate::cli::setup;
use crate::cli::status::Status;
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
        let row = |row: &Row| json!({"key": row.key, "value": row.value, "source": row.source.to_string()});
        let rows: Vec<_> = config.rows().iter().map(row).collect();
        screen.data_line(&serde_json::to_string(&rows)?)?;
        return Ok(());
    }
    let setting = |row: &Row| format!("{} = {}", row.key, row.value);
    let width = config.rows().iter().map(|row| setting(row).chars().count()).max();
    let width = width.unwrap_or_default().min(60);
    for row in config.rows() {
        screen.data_line(&format!("{:<width$}  # {}", setting(row), row.source))?;
    }
    Ok(())
}

/// Everything that `ask` would trip over before it asks.
fn check(config: &Config, screen: &Screen) -> anyhow::Result<()> {
    let provider = config.resolved_provider()?;
    config.api_key()?;
    let tools = setup::tools(config, None)?;
    let answers = match provider {
        ResolvedProvider::OpenAi => format!("{} at {}", config.model.name, config.model.base_url),
        ResolvedProvider::Offline => "the offline stand-in".to_owned(),
    };
    screen.data_line(&format!("ok: {answers} answers, with {} tools", tools.len()))?;
    Ok(())
}
