//! `mcp`: the tools of the settings, for others.

use std::net::SocketAddr;
use std::sync::Arc;

use anyhow::Context;

use crate::cli::args::{Choice, Common, Mcp};
use crate::cli::mcp_server::{Bearer, Listener, Served, serve_stdio};
use crate::cli::screen::Screen;
use crate::cli::signals::Signals;
use crate::cli::status::{Status, UsageError};
use crate::cli::toolbox::Toolbox;
use crate::cli::{approver, logging, setup};
use crate::config::Config;
use crate::model::FixedModel;
use crate::wire::Arguments;

pub(in crate::cli) fn run(common: &Common, mcp: Mcp, screen: &Screen) -> anyhow::Result<Status> {
    let config = setup::load(common)?;
    logging::start(&config, common, screen);
    let Mcp { http, token_env, tools, approve } = mcp;
    let place = http.map(|addr| Ok::<_, anyhow::Error>((addr, bearer(addr, token_env, &config)?)));
    let place = place.transpose()?;
    let toolbox = Toolbox::to_serve(&config, tools.as_deref())?;
    toolbox.left_out.iter().for_each(|left| screen.foreign_note(&left.to_string()));
    let choice = Choice { model: None, tools, system: None, approve };
    approver::check(&choice, &toolbox.tools(), screen);
    let served = served(&config, &toolbox, &choice)?;
    let signals = Signals::listen();
    let executor = setup::executor()?;
    let ended = executor.block_on(async {
        let Some((addr, bearer)) = place else { return serve_stdio(served, &signals).await };
        let listener = Listener::bind(addr, bearer).await;
        let listener = listener.with_context(|| format!("cannot listen on {addr}"))?;
        screen.data_line(&listener.url())?;
        screen.note("serves until Ctrl-C or SIGTERM");
        listener.serve(served, &signals).await;
        Ok(())
    });
    executor.shutdown_background(); // A thread may be waiting for standard input.
    ended.map(|()| Status::Done)
}

/// The tools, and what each call's session is made of.
fn served(config: &Config, toolbox: &Toolbox, choice: &Choice) -> anyhow::Result<Served> {
    let tools = toolbox.tools();
    let model = FixedModel::new(0, "", &Arguments::from_text("{}".to_owned()));
    let options = setup::plain_options(config, model, Arc::clone(&tools));
    let options = approver::settle_alone(toolbox.equip(options), choice);
    let runtime = Arc::new(setup::runtime(config)?);
    Ok(Served::new((tools, toolbox.source()), runtime, options))
}

/// What admits clients at `addr`; where others than the machine's own may come, there must be something.
fn bearer(
    addr: SocketAddr,
    token_env: Option<String>,
    config: &Config,
) -> anyhow::Result<Option<Bearer>> {
    let Some(name) = token_env else {
        return match addr.ip().is_loopback() {
            true => Ok(None),
            false => Err(UsageError(format!(
                "{addr} can be reached from elsewhere: name a variable with a token, --token-env NAME"
            ))
            .into()),
        };
    };
    let token = config.variables().get(&name).map(str::trim).filter(|token| !token.is_empty());
    let Some(token) = token else {
        return Err(UsageError(format!("--token-env {name}: the variable is not set")).into());
    };
    Ok(Some(Bearer::new(token).context("no random bytes")?))
}
