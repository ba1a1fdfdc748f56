//! `doctor`: what a question needs, looked at piece by piece without asking one.

use std::time::Duration;

use futures_util::future::join_all;
use serde::Serialize;
use tokio::time::timeout;

use crate::cli::args::{Common, Output};
use crate::cli::draw::list::columns;
use crate::cli::screen::Screen;
use crate::cli::status::Status;
use crate::cli::toolbox::{self, Toolbox, Wait};
use crate::cli::{logging, setup, store};
use crate::config::{self, Config, Provider, ResolvedProvider, Source, ToolWork};
#[cfg(feature = "mcp")]
use crate::mcp::{Condition, ServerStatus};
use crate::model::{self, ApiKey, HttpModel};
use crate::tools::http::HttpTool;

/// How long the endpoint may take to answer.
const REACH: Duration = Duration::from_secs(3);

/// What was looked at, and what was found: an element of `doctor --json`.
#[derive(Debug, PartialEq, Eq, Serialize)]
struct Check {
    check: &'static str,
    status: Finding,
    message: String,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
enum Finding {
    Ok,
    /// It works, but perhaps not as was meant.
    Warn,
    Fail,
}

impl Finding {
    fn as_str(self) -> &'static str {
        match self {
            Self::Ok => "ok",
            Self::Warn => "warn",
            Self::Fail => "fail",
        }
    }

    fn of(self, check: &'static str, message: impl Into<String>) -> Check {
        Check { check, status: self, message: message.into() }
    }
}

pub(in crate::cli) fn run(common: &Common, screen: &Screen) -> anyhow::Result<Status> {
    let mut checks = vec![panic_strategy(cfg!(panic = "abort"))];
    let status = match setup::load(common) {
        Ok(config) => {
            logging::start(&config, common, screen);
            checks.extend([settings(&config), arbiters(&config)]);
            match Toolbox::for_model(&config, None, Wait::ForAll) {
                Ok(toolbox) => {
                    checks.push(tools(&toolbox));
                    #[cfg(feature = "mcp")]
                    checks.extend(servers(&toolbox));
                    checks.extend(http_hosts(&config, &toolbox));
                }
                Err(error) => checks.push(failed("tools", error)),
            }
            #[cfg(unix)]
            checks.extend(programs(&config));
            checks.push(store(&config));
            checks.extend(answerer(&config));
            let failed = checks.iter().any(|check| check.status == Finding::Fail);
            if failed { Status::Failed } else { Status::Done }
        }
        Err(error) => {
            checks.push(failed("settings", error));
            Status::Usage
        }
    };
    show(&checks, screen)?;
    Ok(status)
}

fn show(checks: &[Check], screen: &Screen) -> anyhow::Result<()> {
    if screen.output != Output::Text {
        screen.data_line(&serde_json::to_string(checks)?)?;
        return Ok(());
    }
    let mut rows = vec![["CHECK", "STATUS", "MESSAGE"].map(str::to_owned)];
    let row =
        |check: &Check| [check.check, check.status.as_str(), &check.message].map(str::to_owned);
    rows.extend(checks.iter().map(row));
    for line in columns(&rows) {
        screen.foreign_line(&line)?;
    }
    Ok(())
}

fn failed(check: &'static str, error: impl Into<anyhow::Error>) -> Check {
    Finding::Fail.of(check, format!("{:#}", error.into()))
}

/// Whether a panic can be caught in this build.
fn panic_strategy(aborts: bool) -> Check {
    let (finding, message) = if aborts {
        let message = "abort: a tool that panics ends the process; build with panic = \"unwind\"";
        (Finding::Warn, message)
    } else {
        (Finding::Ok, "unwind: a tool that panics is answered for")
    };
    finding.of("panic_strategy", message)
}

/// Where the settings come from. That they can be read is known by now.
fn settings(config: &Config) -> Check {
    let mut sources: Vec<String> = Vec::new();
    for row in config.rows() {
        let source = match &row.source {
            Source::Default => continue,
            Source::File { path, .. } => path.display().to_string(),
            source @ (Source::Environment(_) | Source::Set) => source.to_string(),
        };
        if !sources.contains(&source) {
            sources.push(source);
        }
    }
    sources.push("the defaults".to_owned());
    Finding::Ok.of("settings", format!("from {}", sources.join(", ")))
}

/// Whether the threads that run sessions can be had.
fn arbiters(config: &Config) -> Check {
    match setup::runtime(config) {
        Ok(runtime) => {
            let why =
                if config.runtime.arbiters == 0 { "one for each core" } else { "runtime.arbiters" };
            Finding::Ok.of("arbiters", format!("{} ({why})", runtime.arbiters()))
        }
        Err(error) => failed("arbiters", error),
    }
}

/// Whether all tools of the settings can be offered.
fn tools(toolbox: &Toolbox) -> Check {
    let (tools, left_out) = (toolbox.tools(), &toolbox.left_out);
    if !left_out.is_empty() {
        let lines: Vec<_> = left_out.iter().map(ToString::to_string).collect();
        return Finding::Fail.of("tools", lines.join("; "));
    }
    if tools.is_empty() {
        return Finding::Warn.of("tools", "none: the model has nothing to call");
    }
    let names: Vec<_> = tools.iter().map(|tool| &**tool.name()).collect();
    Finding::Ok.of("tools", format!("{}: {}", names.len(), names.join(", ")))
}

/// Whether each MCP server starts, lists its tools and answers.
#[cfg(feature = "mcp")]
fn servers(toolbox: &Toolbox) -> Vec<Check> {
    let tools = toolbox.tools();
    let check = |server: &ServerStatus| {
        let ServerStatus { name, condition, revision, startup, last_failure, .. } = server;
        let count = tools.iter().filter(|tool| tool.origin().server.as_ref() == Some(name)).count();
        match (condition, revision, startup) {
            (Condition::Ready, Some(revision), Some(startup)) => Finding::Ok.of(
                "mcp_server",
                format!("{name}: {revision}, {count} tools, in {} ms", startup.as_millis()),
            ),
            _ => {
                let why = last_failure.as_deref().unwrap_or("it is still starting");
                Finding::Fail.of("mcp_server", format!("{name}: {}: {why}", condition.as_str()))
            }
        }
    };
    toolbox.servers().iter().map(check).collect()
}

/// Whether the host of each tool that is an HTTP endpoint has addresses, and such as it may reach. None is
/// called. Of those that are left out, [`tools`] tells.
fn http_hosts(config: &Config, toolbox: &Toolbox) -> Vec<Check> {
    let endpoint = |tool: &config::Tool| match &tool.work {
        _ if toolbox.left_out.iter().any(|left_out| left_out.tool == tool.name) => None,
        ToolWork::Http(http) => Some((tool.name.clone(), http.tool(config.variables()).ok()?)),
        ToolWork::Demo(_) | ToolWork::Command(_) => None,
    };
    let endpoints: Vec<_> = config.tools.iter().filter_map(endpoint).collect();
    if endpoints.is_empty() {
        return Vec::new();
    }
    let executor = match setup::executor() {
        Ok(executor) => executor,
        Err(error) => return vec![failed("http_host", error)],
    };
    let look = async |(name, endpoint): &(String, HttpTool)| {
        let (finding, found) = match timeout(REACH, endpoint.resolve_host()).await {
            Ok(Ok((host, addresses))) => {
                let addresses: Vec<_> = addresses.iter().map(ToString::to_string).collect();
                (Finding::Ok, format!("{host} is at {}", addresses.join(", ")))
            }
            Ok(Err(error)) => (Finding::Fail, error.to_string()),
            Err(_) => (Finding::Fail, format!("no address within {} ms", REACH.as_millis())),
        };
        finding.of("http_host", format!("{name}: {found}"))
    };
    let checks = executor.block_on(join_all(endpoints.iter().map(look)));
    executor.shutdown_background(); // A name server that is slow is not waited for any longer.
    checks
}

/// Whether the program of each tool that runs one is there.
#[cfg(unix)]
fn programs(config: &Config) -> Vec<Check> {
    let located = config.tools.iter().filter_map(|tool| {
        let ToolWork::Command(command) = &tool.work else { return None };
        // What cannot be made has been told of.
        let program = toolbox::program(command, config.variables()).ok()?;
        Some(match (command.argv.is_empty(), program.locate()) {
            (true, _) => return None,
            (_, Ok(path)) => {
                Finding::Ok.of("program", format!("{}: {}", tool.name, path.display()))
            }
            (_, Err(error)) => Finding::Fail.of("program", format!("{}: {error}", tool.name)),
        })
    });
    located.collect()
}

/// Whether the store can be read and written.
fn store(config: &Config) -> Check {
    let checked = || {
        let check = async { Ok::<_, anyhow::Error>(store::open(config).await?.check().await?) };
        setup::executor()?.block_on(check)
    };
    match checked() {
        Ok(message) => Finding::Ok.of("store", message),
        Err(error) => failed("store", error),
    }
}

/// Who answers, with which key, and whether anybody is there.
fn answerer(config: &Config) -> [Check; 3] {
    let place = config.key_place();
    match config.resolved_provider() {
        Ok(ResolvedProvider::Offline) => [
            if config.model.provider == Provider::Offline {
                Finding::Ok.of("provider", "the offline stand-in, as set")
            } else {
                let message = format!(
                    "the offline stand-in, which is no model: set {place} or model.base_url"
                );
                Finding::Warn.of("provider", message)
            },
            Finding::Ok.of("key", "the stand-in needs none"),
            Finding::Ok.of("endpoint", "the stand-in is a part of this process"),
        ],
        Ok(ResolvedProvider::OpenAi) => {
            let model = &config.model;
            let dialect = model.resolved_dialect().name;
            let provider = format!("{} at {}, dialect {dialect}", model.name, model.base_url);
            let (key, endpoint) = match config.api_key() {
                Ok(key) => (key_in_place(config, key.as_ref()), endpoint(config, key)),
                Err(error) => (failed("key", error), not_asked()),
            };
            [Finding::Ok.of("provider", provider), key, endpoint]
        }
        Err(error) => [
            failed("provider", error),
            Finding::Fail.of("key", format!("none in {place}")),
            not_asked(),
        ],
    }
}

/// Says where the key is, and never the key.
fn key_in_place(config: &Config, key: Option<&ApiKey>) -> Check {
    let model = &config.model;
    let message = match (key, &model.api_key_file) {
        (None, _) if config.has_key_header() => "in model.extra_headers".to_owned(),
        (None, _) => "none, which a local endpoint may not need".to_owned(),
        (Some(_), Some(path)) => format!("in {}", path.display()),
        (Some(_), None) => format!("in {}", config.key_place()),
    };
    Finding::Ok.of("key", message)
}

fn not_asked() -> Check {
    Finding::Warn.of("endpoint", "not asked, for want of a key")
}

/// Whether the endpoint answers.
fn endpoint(config: &Config, key: Option<ApiKey>) -> Check {
    let (url, has_key) = (&config.model.base_url, key.is_some() || config.has_key_header());
    let reached = || {
        let model = HttpModel::new(setup::endpoint(config, key)?, &*config.model.name)?;
        let executor = setup::executor()?;
        let reached = executor.block_on(model.reach(REACH));
        executor.shutdown_background(); // A name server that is slow is not waited for any longer.
        Ok::<_, anyhow::Error>(reached?)
    };
    match reached() {
        Ok(status) => {
            let (finding, message) = judge(status, has_key);
            finding.of("endpoint", format!("{url} {message}"))
        }
        Err(error) => match error.downcast_ref() {
            Some(model::Error::TimedOut { limit, .. }) => {
                let message = format!("{url} does not answer within {} ms", limit.as_millis());
                Finding::Fail.of("endpoint", message)
            }
            _ => failed("endpoint", error),
        },
    }
}

/// What an endpoint means by the HTTP status of its list of models.
fn judge(status: u16, has_key: bool) -> (Finding, String) {
    match status {
        200..300 => (Finding::Ok, "answers".to_owned()),
        401 | 403 if has_key => (Finding::Fail, format!("refuses the key ({status})")),
        401 | 403 => (Finding::Fail, format!("wants a key ({status})")),
        404 | 405 => (Finding::Warn, format!("answers, but has no list of models ({status})")),
        _ => (Finding::Warn, format!("answers with {status}")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_build_that_aborts_is_warned_of() {
        let aborts = panic_strategy(true);
        assert_eq!((aborts.check, aborts.status), ("panic_strategy", Finding::Warn));
        assert!(aborts.message.starts_with("abort: "), "{aborts:?}");
        assert_eq!(panic_strategy(false).status, Finding::Ok);
    }

    #[test]
    fn an_endpoint_that_answers_badly_is_no_failure_unless_it_is_the_key() {
        let check = |status, has_key, finding, message: &str| {
            assert_eq!(judge(status, has_key), (finding, message.to_owned()));
        };
        check(200, false, Finding::Ok, "answers");
        check(401, true, Finding::Fail, "refuses the key (401)");
        check(403, true, Finding::Fail, "refuses the key (403)");
        check(401, false, Finding::Fail, "wants a key (401)");
        check(404, true, Finding::Warn, "answers, but has no list of models (404)");
        check(302, true, Finding::Warn, "answers with 302");
        check(503, true, Finding::Warn, "answers with 503");
    }
}
