//! `serve`: sessions over HTTP.

use std::convert::Infallible;
use std::net::SocketAddr;
use std::num::NonZeroU32;
use std::sync::Arc;

use crate::cli::args::{Common, Serve};
use crate::cli::screen::Screen;
use crate::cli::signals::Signals;
use crate::cli::status::{Status, UsageError};
use crate::cli::toolbox::Toolbox;
use crate::cli::{approver, logging, setup, store};
use crate::config::{self, Config};
use crate::observe::Overview;
use crate::server::{Hosts, Listener, Rate, Server, ServerLimits, Token, listen};
use crate::session::{Runtime, SessionOptions};
use crate::store::Store;

pub(in crate::cli) fn run(
    common: &Common,
    serve: Serve,
    screen: &Screen,
) -> anyhow::Result<Status> {
    let config = setup::load(common)?;
    logging::start(&config, common, screen);
    let Serve { bind, no_resume, choice } = serve;
    let bind = bind.unwrap_or(config.server.bind);
    let tokens = tokens(&config, bind)?;
    let signals = Signals::listen();
    let toolbox = Toolbox::open(&config, choice.tools.as_deref(), screen)?;
    let executor = setup::executor()?;
    let store = executor.block_on(store::open(&config))?;
    let answerer = setup::answerer(&config, &choice, screen)?;
    let tools = toolbox.tools();
    approver::check(&choice, &tools, screen);
    let options = toolbox.equip(answerer.options(&config, &choice, Arc::clone(&tools)));
    let options = options.approve_tools(choice.approve.iter().flatten());
    let overview = Arc::new(Overview::new());
    let builder = setup::runtime_builder(&config, store.share())?;
    let runtime = builder.observe(overview.clone()).start()?;
    let server = server(&config, runtime, store.share(), options, (tokens, overview))?;
    let config::Server { workers, max_connections, drain, .. } = config.server;
    let (workers, max_connections) = (usize::try_from(workers)?, usize::try_from(max_connections)?);
    let report = executor.block_on(async {
        let listening = listen(&server, &Listener { bind, workers, max_connections })?;
        screen.data_line(&format!("http://{}", listening.addr()))?;
        screen.note("serves until Ctrl-C or SIGTERM");
        let resuming = async {
            if !no_resume {
                let tell = |resumed| screen.note(&format!("goes on with {resumed} that were cut"));
                server.keep_resuming(config.store.lease, tell).await;
            }
            std::future::pending::<Infallible>().await
        };
        tokio::select! {
            served = listening.serve(signals.interrupted(), drain) => anyhow::Ok(served?),
            never = resuming => match never {},
        }
    })?;
    match report.cut.len() {
        0 => {}
        left => screen.note(&format!("{left} left for the next start")),
    }
    Ok(Status::Done)
}

fn server(
    config: &Config,
    runtime: Runtime,
    store: Arc<dyn Store>,
    options: SessionOptions,
    (tokens, overview): (Vec<Token>, Arc<Overview>),
) -> anyhow::Result<Server> {
    let set = &config.server;
    let hosts = match tokens.is_empty() || !set.hosts.is_empty() {
        true => Hosts::Local(set.hosts.clone()),
        false => Hosts::Any, // No page knows a token.
    };
    let rate = set.rate.and_then(NonZeroU32::new).zip(NonZeroU32::new(set.burst));
    let limits = ServerLimits {
        max_body_bytes: usize::try_from(set.max_body_bytes)?,
        max_sessions: usize::try_from(set.max_sessions)?,
        max_streams: usize::try_from(set.max_streams)?,
        max_streams_per_token: set.max_streams_per_token.map(usize::try_from).transpose()?,
        rate: rate.map(|(per_second, burst)| Rate { per_second, burst }),
        pending: set.pending,
    };
    let server =
        Server::builder(runtime, store, options).tokens(tokens).hosts(hosts).limits(limits);
    let server = server.overview(overview);
    server.build().map_err(|error| UsageError(format!("`server.tokens`: {error}")).into())
}

/// Who is admitted at `bind`; where others than the machine's own may come, there must be somebody.
fn tokens(config: &Config, bind: SocketAddr) -> anyhow::Result<Vec<Token>> {
    let tokens = config.server.tokens.iter().map(|config::ServerToken { name, env }| {
        let value = config.variables().get(env).map(str::trim).filter(|value| !value.is_empty());
        let missing = || UsageError(format!("the token `{name}`: the variable {env} is not set"));
        let secret = value.ok_or_else(missing)?.to_owned().into();
        Ok(Token { name: name.clone(), secret })
    });
    let tokens: Vec<Token> = tokens.collect::<Result<_, UsageError>>()?;
    if tokens.is_empty() && !bind.ip().is_loopback() {
        let message =
            format!("{bind} can be reached from elsewhere: it needs a token, [[server.tokens]]");
        return Err(UsageError(message).into());
    }
    Ok(tokens)
}
