//! `tools health`: the condition of each tool, its limits, and whether it can be made; and how each MCP
//! server is.

#[cfg(feature = "mcp")]
use std::sync::Arc;
use std::time::Duration;

use serde::Serialize;

use crate::cli::args::Output;
#[cfg(feature = "mcp")]
use crate::cli::draw::health::count;
use crate::cli::draw::health::{condition, limits};
use crate::cli::draw::list::columns;
use crate::cli::draw::width::one_line;
use crate::cli::screen::Screen;
use crate::cli::status::Status;
use crate::cli::toolbox::Toolbox;
use crate::config::Config;
#[cfg(feature = "mcp")]
use crate::mcp::{Address, Condition, ServerStatus};
#[cfg(any(feature = "mcp", test))]
use crate::tools::ToolSet;
use crate::tools::{CallLimits, RateLimit, ToolHealth, ToolType};

/// What is said of a tool: an element of `tools health --json`. Its shape is a promise.
#[derive(Debug, Serialize)]
struct Examined {
    #[serde(flatten)]
    health: ToolHealth,
    effects: &'static str,
    made: bool,
    /// Why it cannot be made.
    make_error: Option<String>,
    limits: Limits,
}

/// What is said of a server: an element of `tools health --json`, behind the tools. Its shape is a promise.
#[cfg(feature = "mcp")]
#[derive(Debug, Serialize)]
struct ExaminedServer {
    server: Arc<str>,
    state: &'static str,
    revision: Option<String>,
    pid: Option<u32>,
    /// Without what may be secret.
    url: Option<String>,
    /// How many of its tools are offered.
    tools: usize,
    startup_ms: Option<u64>,
    restarts: u64,
    last_failure: Option<String>,
}

/// An element of `tools health --json`.
#[derive(Debug, Serialize)]
#[serde(untagged)]
enum Row<'a> {
    Tool(&'a Examined),
    #[cfg(feature = "mcp")]
    Server(&'a ExaminedServer),
}

/// The limits of its calls, by the names of their settings.
#[derive(Debug, Serialize)]
pub(super) struct Limits {
    time_limit_ms: u64,
    retries: u32,
    attempt_time_limit_ms: Option<u64>,
    silence_time_limit_ms: Option<u64>,
    max_concurrency: Option<usize>,
    exclusive: bool,
    serial_by: Option<String>,
    rate_limit: Option<Rate>,
    max_queue: usize,
    /// These where they are set.
    #[serde(skip_serializing_if = "Option::is_none")]
    single_flight: Option<bool>,
    #[serde(skip_serializing_if = "Option::is_none")]
    cache_ms: Option<u64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    cache_scope: Option<&'static str>,
}

#[derive(Debug, Serialize)]
struct Rate {
    calls: u32,
    per_ms: u64,
}

pub(super) fn run(config: &Config, toolbox: &Toolbox, screen: &Screen) -> anyhow::Result<Status> {
    let (time_limit, tools) = (config.turn.call_time_limit, toolbox.tools());
    let examined: Vec<_> = tools.iter().map(|tool| Examined::of(tool, time_limit)).collect();
    #[cfg(feature = "mcp")]
    let servers: Vec<_> =
        toolbox.servers().into_iter().map(|it| ExaminedServer::of(it, &tools)).collect();
    match screen.output {
        Output::Text => {
            let words = |tool| limits_of(tool, time_limit);
            let lines = table(&examined, tools.iter().map(|tool| words(tool)));
            #[cfg(feature = "mcp")]
            let lines = lines.into_iter().chain(server_table(&servers));
            for line in lines {
                screen.foreign_line(&line)?;
            }
        }
        Output::Json | Output::Jsonl => {
            let rows = examined.iter().map(Row::Tool);
            #[cfg(feature = "mcp")]
            let rows = rows.chain(servers.iter().map(Row::Server));
            screen.data_line(&serde_json::to_string(&rows.collect::<Vec<_>>())?)?;
        }
    }
    let all_well = examined.iter().all(|tool| tool.made);
    #[cfg(feature = "mcp")]
    let all_well =
        all_well && servers.iter().all(|server| server.state == Condition::Ready.as_str());
    Ok(if all_well { Status::Done } else { Status::Failed })
}

/// The limits of `tool` in words; `time_limit` is that of a call whose tool has none.
pub(super) fn limits_of(tool: &ToolType, time_limit: Duration) -> String {
    limits(tool.limits(), tool.declared_time_limit().unwrap_or(time_limit))
}

fn table(examined: &[Examined], limits: impl Iterator<Item = String>) -> Vec<String> {
    let mut rows = vec![["TOOL", "EFFECTS", "MADE", "LIMITS", "CONDITION"].map(str::to_owned)];
    rows.extend(examined.iter().zip(limits).map(|(tool, limits)| {
        let made = if tool.made { "yes" } else { "no" };
        let mut said = condition(&tool.health);
        if let Some(error) = &tool.make_error {
            said = format!("cannot be made: {}; {said}", one_line(error));
        }
        [&tool.health.tool, tool.effects, made, &limits, &said].map(str::to_owned)
    }));
    columns(&rows)
}

/// The servers, under an empty line; nothing without any.
#[cfg(feature = "mcp")]
fn server_table(servers: &[ExaminedServer]) -> Vec<String> {
    if servers.is_empty() {
        return Vec::new();
    }
    let mut rows = vec![["SERVER", "REVISION", "AT", "TOOLS", "CONDITION"].map(str::to_owned)];
    rows.extend(servers.iter().map(|server| {
        let ExaminedServer { restarts, tools, last_failure, .. } = server;
        let place = server.pid.map(|pid| format!("pid {pid}")).or_else(|| server.url.clone());
        let mut facts = vec![server.state.to_owned(), count(*restarts, "restart")];
        if let Some(startup) = server.startup_ms {
            facts.push(format!("started in {startup} ms"));
        }
        if let Some(failure) = last_failure {
            facts.push(format!("last failure: {}", one_line(failure)));
        }
        [
            server.server.to_string(),
            server.revision.clone().unwrap_or_default(),
            place.unwrap_or_default(),
            tools.to_string(),
            facts.join(", "),
        ]
    }));
    [String::new()].into_iter().chain(columns(&rows)).collect()
}

#[cfg(feature = "mcp")]
impl ExaminedServer {
    fn of(status: ServerStatus, tools: &ToolSet) -> Self {
        let ServerStatus {
            name,
            condition,
            revision,
            address,
            startup,
            restarts,
            last_failure,
            ..
        } = status;
        let (pid, url) = match address {
            Some(Address::Process(pid)) => (Some(pid), None),
            Some(Address::Endpoint(origin)) => (None, Some(origin)),
            None => (None, None),
        };
        let is_its = |tool: &&Arc<ToolType>| tool.origin().server.as_ref() == Some(&name);
        Self {
            tools: tools.iter().filter(is_its).count(),
            server: Arc::clone(&name),
            state: condition.as_str(),
            revision,
            pid,
            url,
            startup_ms: startup.map(millis),
            restarts,
            last_failure,
        }
    }
}

impl Examined {
    fn of(tool: &ToolType, time_limit: Duration) -> Self {
        let make_error = tool.try_make().err();
        Self {
            health: tool.health(),
            effects: tool.declared_effects().as_str(),
            made: make_error.is_none(),
            make_error,
            limits: Limits::of(tool.limits(), time_limit),
        }
    }
}

impl Limits {
    pub fn of(limits: &CallLimits, time_limit: Duration) -> Self {
        Self {
            time_limit_ms: millis(limits.time_limit.unwrap_or(time_limit)),
            retries: limits.retries,
            attempt_time_limit_ms: limits.attempt_time_limit.map(millis),
            silence_time_limit_ms: limits.silence_limit.map(millis),
            max_concurrency: limits.max_concurrency,
            exclusive: limits.exclusive,
            serial_by: limits.serial_by.clone(),
            rate_limit: limits.rate.map(Rate::of),
            max_queue: limits.max_queue,
            single_flight: limits.single_flight.then_some(true),
            cache_ms: limits.caching.map(|caching| millis(caching.lifetime)),
            cache_scope: limits.caching.map(|caching| caching.scope.as_str()),
        }
    }
}

impl Rate {
    fn of(RateLimit { calls, per }: RateLimit) -> Self {
        Self { calls: calls.get(), per_ms: millis(per) }
    }
}

/// Whole milliseconds, as they were set.
fn millis(time: Duration) -> u64 {
    u64::try_from(time.as_millis()).unwrap_or(u64::MAX)
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::tools::{CallContext, Demo, Simulation, ToolFuture};

    const LIMIT: Duration = Duration::from_secs(30);

    /// One that can be made and has limits of its own, and one that cannot be made.
    fn two() -> [ToolType; 2] {
        let good = Demo::Anything.tool_type("good", Simulation::default());
        let good = good.time_limit(Duration::from_secs(5)).retries(2).max_concurrency(8);
        let make = || -> fn(&str, CallContext) -> ToolFuture { panic!("no\nconnection") };
        [good, ToolType::new("bad", "cannot be made", json!({}), make)]
    }

    #[test]
    fn a_tool_that_cannot_be_made_is_told_from_one_that_can() {
        let examined = two().map(|tool| Examined::of(&tool, LIMIT));
        let limits = two().map(|tool| limits_of(&tool, LIMIT));
        let expected = [
            "TOOL  EFFECTS  MADE  LIMITS                                             CONDITION",
            "good  once     yes   5 s a call, 2 retries, 8 at a time, 1000 may wait  \
             closed, 0 restarts, 0 withdrawals",
            "bad   once     no    30 s a call, 1000 may wait                         \
             cannot be made: no connection; closed, 0 restarts, 0 withdrawals",
        ];
        assert_eq!(table(&examined, limits.into_iter()), expected);
    }

    #[test]
    fn the_document_of_a_tool_has_all_that_is_known() {
        let [good, bad] = two().map(|tool| Examined::of(&tool, LIMIT));
        let expected = r#"{"tool":"good","circuit":"closed","retry_after_ms":null,"restarts":0,
            "withdrawals":0,"last_failure":null,"waiting":0,"running":null,"abandoned_threads":0,
            "effects":"once","made":true,"make_error":null,"limits":{"time_limit_ms":5000,
            "retries":2,"attempt_time_limit_ms":null,"silence_time_limit_ms":null,
            "max_concurrency":8,"exclusive":false,"serial_by":null,"rate_limit":null,
            "max_queue":1000}}"#;
        let text = serde_json::to_string(&good).unwrap();
        assert_eq!(text, expected.split_whitespace().collect::<String>());
        let bad = serde_json::to_value(&bad).unwrap();
        assert_eq!((&bad["made"], &bad["make_error"]), (&json!(false), &json!("no\nconnection")));
        assert_eq!(bad["limits"]["time_limit_ms"], 30_000);
    }

    #[cfg(feature = "mcp")]
    #[test]
    fn a_server_says_how_and_where_it_is() {
        let status = |name: &str, condition, address, last_failure: Option<&str>| ServerStatus {
            name: name.into(),
            condition,
            revision: (condition == Condition::Ready).then(|| "2026-07-28".to_owned()),
            address,
            startup: (condition == Condition::Ready).then(|| Duration::from_millis(250)),
            restarts: last_failure.map_or(0, |_| 1),
            last_failure: last_failure.map(str::to_owned),
            last_start: crate::mcp::LastStart::Unknown,
        };
        let origin = crate::tools::Origin { kind: "mcp", server: Some("time".into()) };
        let [good, bad] = two();
        let tools = ToolSet::new([good.with_origin(origin), bad]).unwrap();
        let endpoint = Address::Endpoint("https://a.example".to_owned());
        let servers = [
            status("time", Condition::Ready, Some(Address::Process(4711)), None),
            status("far", Condition::Resting, Some(endpoint), Some("it\nended")),
        ]
        .map(|status| ExaminedServer::of(status, &tools));
        let expected = [
            "",
            "SERVER  REVISION    AT                 TOOLS  CONDITION",
            "time    2026-07-28  pid 4711           1      ready, 0 restarts, started in 250 ms",
            "far                 https://a.example  0      resting, 1 restart, last failure: it ended",
        ];
        assert_eq!(server_table(&servers), expected);
        let expected = r#"{"server":"time","state":"ready","revision":"2026-07-28","pid":4711,
            "url":null,"tools":1,"startup_ms":250,"restarts":0,"last_failure":null}"#;
        let text = serde_json::to_string(&Row::Server(&servers[0])).unwrap();
        assert_eq!(text, expected.split_whitespace().collect::<String>());
        assert!(server_table(&[]).is_empty());
    }
}
