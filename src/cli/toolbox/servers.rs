//! From settings to MCP servers.

use std::collections::HashSet;
use std::path::PathBuf;
use std::time::Duration;

use secrecy::ExposeSecret;

use super::{LeftOut, Wait};
use crate::cli::data_dir::data_dir;
use crate::cli::setup;
use crate::config::{
    Config, Filled, McpProtocol, McpServer, McpTerms, Text, Variables, looks_secret,
};
use crate::mcp::{
    Choice, Condition, LastStart, Left, Program, Protocol, Reach, ServerSettings, ServerStatus,
    Servers, ToolTerms,
};
use crate::model::{ApiKey, Header, secrets_in};
use crate::tools::{Secrets, ToolType, stable_hash};

/// Starts the servers of the settings, those of them that `only` names tools of. A line for each that
/// cannot be had is added to `left_out`, what they are told in confidence to `secrets`.
pub(super) fn start(
    config: &Config,
    fixed: Vec<ToolType>,
    (only, most): (Option<&[String]>, Option<usize>),
    wait: Wait,
    (left_out, secrets): (&mut Vec<LeftOut>, &mut Vec<ApiKey>),
) -> anyhow::Result<Option<Servers>> {
    let (mut settings, mut waits) = (Vec::new(), Vec::new());
    for server in servers(config, left_out) {
        let prefix = format!("{}__", server.name);
        let is_wanted = only.is_none_or(|only| only.iter().any(|name| name.starts_with(&prefix)));
        if !is_wanted {
            continue;
        }
        match resolved(config, &server, secrets) {
            Ok(resolved) => {
                settings.push(resolved);
                waits.push((server.name, server.start_wait));
            }
            Err(why) => {
                let McpServer { name, place, .. } = server;
                let line = format!("the MCP server `{name}` is left out: {why} ({place})");
                left_out.push(LeftOut { tool: name, line });
            }
        }
    }
    if settings.is_empty() {
        return Ok(None);
    }
    let is_any = only.is_none();
    let only = only.map(|only| only.iter().cloned().collect::<HashSet<_>>());
    let limits = setup::supervision(config);
    let servers = Servers::start(settings, fixed, Choice { only, most }, &limits)?;
    // What is asked for by its name is waited for.
    let needs_no_wait = |last| last != LastStart::Unknown && is_any;
    let patience = |settings: &ServerSettings, last| match wait {
        Wait::ForAll => Duration::MAX,
        Wait::AWhile if needs_no_wait(last) => Duration::ZERO,
        Wait::AWhile => {
            let own = waits.iter().find(|(name, _)| *name == settings.name);
            own.map_or(Duration::ZERO, |(_, wait)| *wait)
        }
    };
    setup::executor()?.block_on(servers.settled(patience));
    left_out.extend(servers.status().iter().filter_map(trouble));
    let tools = servers.left_out().into_iter();
    left_out.extend(tools.map(|Left { tool, why }| {
        let line = format!("the tool `{tool}` is left out: {why}");
        LeftOut { tool, line }
    }));
    Ok(Some(servers))
}

/// A line about a server that is not there.
fn trouble(status: &ServerStatus) -> Option<LeftOut> {
    let name = &status.name;
    let line = match status.condition {
        Condition::Ready => return None,
        Condition::Starting if status.last_failure.is_none() => match status.last_start {
            LastStart::Listed => return None, // Its tools are there, and their calls wait for it.
            LastStart::Unknown => {
                format!("the MCP server `{name}` is still starting: its tools come later")
            }
            LastStart::Failed => format!(
                "the MCP server `{name}` did not start the last time and is not waited for: \
                 its tools come when it has started"
            ),
        },
        _ => {
            let why = status.last_failure.as_deref().unwrap_or("it was stopped");
            format!("the MCP server `{name}` is not there: {why}")
        }
    };
    Some(LeftOut { tool: name.to_string(), line })
}

/// Those of `[[mcp]]`, then those of the file besides. Where both name one, the file may say how to
/// reach it.
fn servers(config: &Config, left_out: &mut Vec<LeftOut>) -> Vec<McpServer> {
    let mut others = in_file(config, left_out);
    let mut servers = Vec::new();
    for server in config.mcp.iter().cloned() {
        let place = others.iter().position(|other| other.name == server.name);
        let other = place.map(|place| others.remove(place));
        servers.push(match other {
            Some(other) if !server.is_reachable() => server.reached_as(other),
            _ => server,
        });
    }
    servers.extend(others);
    servers
}

fn in_file(config: &Config, left_out: &mut Vec<LeftOut>) -> Vec<McpServer> {
    let Some(name) = &config.mcp_config else { return Vec::new() };
    let path = config.path_of(name);
    let text = std::fs::read_to_string(&path);
    let text = text.map_err(|error| format!("cannot read {}: {error}", path.display()));
    match text.and_then(|text| McpServer::in_file(&path, &text)) {
        Ok(servers) => {
            let good = servers.into_iter().filter_map(|server| match server {
                Ok(server) => Some(server),
                Err(line) => {
                    left_out.push(LeftOut { tool: name.clone(), line });
                    None
                }
            });
            good.collect()
        }
        Err(line) => {
            let line = format!("`mcp_config`: {line}");
            left_out.push(LeftOut { tool: name.clone(), line });
            Vec::new()
        }
    }
}

fn resolved(
    config: &Config,
    server: &McpServer,
    secrets: &mut Vec<ApiKey>,
) -> Result<ServerSettings, String> {
    let variables = config.variables();
    let mut own = Vec::new();
    let pairs = server.env.iter().chain(&server.headers);
    let texts = [&server.command, &server.cwd, &server.url].into_iter().flatten();
    let texts = texts.chain(&server.args).chain(pairs.clone().map(|(_, text)| text));
    for text in texts {
        let filled = text.resolve(variables)?;
        own.extend(filled.secrets.iter().flat_map(|value| secrets_in(value.expose_secret())));
    }
    for (_, text) in pairs.filter(|(name, _)| looks_secret(name)) {
        own.extend(secrets_in(text.resolve(variables)?.expose()));
    }
    secrets.extend(own.iter().cloned());
    let text = |text: &Text| text.resolve(variables).map(|filled| filled.expose().to_owned());
    let reach = match (&server.command, &server.url) {
        (Some(_), Some(_)) => return Err("it has both `command` and `url`".to_owned()),
        (None, None) => return Err("it has neither `command` nor `url`".to_owned()),
        (Some(command), None) => Reach::Stdio(Program {
            command: text(command)?,
            args: server.args.iter().map(text).collect::<Result<_, _>>()?,
            env: named(&server.env, variables)?
                .into_iter()
                .map(|(name, filled)| (name, filled.text))
                .collect(),
            cwd: server.cwd.as_ref().map(text).transpose()?.map(PathBuf::from),
        }),
        (None, Some(url)) => Reach::Http {
            url: text(url)?,
            headers: named(&server.headers, variables)?
                .into_iter()
                .map(|(name, filled)| Header::new(name, filled.expose()))
                .collect(),
        },
    };
    let count = |count: u32| usize::try_from(count).unwrap_or(usize::MAX);
    Ok(ServerSettings {
        protocol: match server.protocol {
            McpProtocol::Auto => Protocol::Auto,
            McpProtocol::Stateless => Protocol::Stateless,
            McpProtocol::Handshake => Protocol::Handshake,
        },
        trusted: server.trusted,
        allow: server.allow.clone(),
        deny: server.deny.clone(),
        max_tools: count(server.max_tools),
        startup_time_limit: server.startup_time_limit,
        max_message_bytes: usize::try_from(server.max_message_bytes).unwrap_or(usize::MAX),
        terms: terms(&server.terms),
        memory: memory(config, &server.name, &reach),
        secrets: Secrets::new(own.iter().map(ApiKey::expose)),
        tool_terms: server.tools.iter().map(|(name, own)| (name.clone(), terms(own))).collect(),
        ..ServerSettings::new(&*server.name, reach)
    })
}

/// The file in the user's own directory that a server's list of tools is kept in. Two of one name, in
/// different places or reached otherwise, have different ones. (`Debug` shows nothing in confidence.)
fn memory(config: &Config, name: &str, reach: &Reach) -> Option<PathBuf> {
    let which = stable_hash(&(config.path_of(""), name, format!("{reach:?}")));
    let file = format!("{name}-{which:016x}.json");
    Some(data_dir(config.variables())?.join("mcp").join(file))
}

fn named(texts: &[(String, Text)], variables: &Variables) -> Result<Vec<(String, Filled)>, String> {
    let resolve = |(name, text): &(String, Text)| Ok((name.clone(), text.resolve(variables)?));
    texts.iter().map(resolve).collect()
}

fn terms(terms: &McpTerms) -> ToolTerms {
    ToolTerms {
        effects: terms.effects,
        approval: terms.approval,
        time_limit: terms.time_limit,
        silence_limit: terms.silence_time_limit,
        retries: terms.retries,
        max_concurrency: terms.max_concurrency.and_then(|calls| usize::try_from(calls).ok()),
    }
}
