//! The sections of the settings, and how each key of them is read.

use std::path::PathBuf;
use std::time::Duration;

use super::choice::{LogFormat, LogLevel, Provider};
use super::endpoint::BaseUrl;
use super::error::Error;
use super::header::ExtraHeader;
use super::kind;
use super::reader::{Section, nearest};
use super::store_url::StoreUrl;
use super::tool::Tool;
use crate::conversation::{Budget, Compaction, Mode};
use crate::model::{Dialect, Price, Quirks, RequestSettings, ToolChoice};
use crate::store::SyncMode;

/// The largest budget of tokens.
const MAX_TOKENS: u64 = 1_000_000_000_000;

/// Who answers.
#[derive(Clone, Debug, PartialEq)]
pub struct Model {
    /// As set; [`Config::resolved_provider`](super::Config::resolved_provider) says what comes of it.
    pub provider: Provider,
    /// Where requests go, without `/chat/completions` and without a slash at its end.
    pub base_url: BaseUrl,
    /// The model, as the endpoint calls it.
    pub name: String,
    /// Further models of the endpoint, to be asked in this order when the one before has failed.
    pub fallbacks: Vec<String>,
    /// The variable that holds the key, as set; [`Config::key_variable`](super::Config::key_variable)
    /// says which one is looked at.
    pub api_key_env: String,
    /// The file that holds the key, as set: [`Config::api_key`](super::Config::api_key) reads it.
    pub api_key_file: Option<PathBuf>,
    /// The system prompt; empty = none.
    pub system: String,
    /// Whether the reply is read as it is written.
    pub stream: bool,
    /// What the request says about parallel calls; `None` = nothing.
    pub parallel_tool_calls: Option<bool>,
    /// What else requests say: `temperature`, `max_tokens`, `tool_choice`, `response_format`,
    /// `reasoning_effort` and `extra_body`.
    pub request: RequestSettings,
    /// Further headers, as set: [`Config::headers`](super::Config::headers) fills them in.
    pub extra_headers: Vec<ExtraHeader>,
    /// To connect to the endpoint.
    pub connect_time_limit: Duration,
    /// From the request to the first piece of the reply; if it is not streamed, to its end.
    pub first_token_time_limit: Duration,
    /// Between two pieces of the reply.
    pub silence_time_limit: Duration,
    /// Further tries of a request that failed in a way worth it.
    pub retries: u32,
    /// Before the first further try.
    pub retry_min: Duration,
    /// What the rest grows to, also where the provider asks for a longer one; never below `retry_min`.
    pub retry_max: Duration,
    /// What the model costs; `None` = only the provider says what a reply has cost.
    pub price: Option<Price>,
    /// What the offline stand-in waits before each piece of its reply.
    pub offline_pace: Duration,
    /// The dialect as set; `None` = by the host. [`Model::resolved_dialect`] says what comes of it.
    pub dialect: Option<Dialect>,
    /// Flags that are set in place of the dialect's.
    pub quirks: Quirks,
}

/// The course of a turn and its limits.
#[derive(Clone, Debug, PartialEq)]
pub struct Turn {
    /// How the calls of a round run.
    pub mode: Mode,
    /// Whether calls may start while the model still writes.
    pub early_dispatch: bool,
    /// Rounds of one turn; at least 1.
    pub max_rounds: u32,
    /// Calls of one round, the rest is answered `denied`; at least 1.
    pub max_calls_per_round: u32,
    /// Calls of one turn, the rest is answered `denied`; `None` = any number.
    pub max_calls: Option<u32>,
    /// How often in a row a call may be made with the same result; 0 = any number of times.
    pub max_identical_calls: u32,
    /// What one turn may spend.
    pub budget: Budget,
    /// For one call of a tool without a limit of its own.
    pub call_time_limit: Duration,
    /// For all calls of one round.
    pub round_time_limit: Duration,
    /// From the question to the final answer.
    pub turn_time_limit: Duration,
}

/// What one session may do.
#[derive(Clone, Debug, PartialEq)]
pub struct Session {
    /// Calls that run at a time, of all tools together; `None` = any number.
    pub max_concurrency: Option<usize>,
    /// How much of a result the model is told.
    pub max_result_bytes: usize,
    /// How many tokens a request may have; 0 = as many as the model takes.
    pub context_tokens: u64,
    /// What is done about a history that has become too long.
    pub compaction: Compaction,
    /// What all its turns together may spend.
    pub budget: Budget,
    /// How long it is kept awake while nothing is asked of it; `None` = as long as somebody has it.
    pub sleep_after: Option<Duration>,
}

/// What follows the failure of a worker.
#[derive(Clone, Debug, PartialEq)]
pub struct Supervision {
    /// Rebuilds within `within`; at least 1.
    pub max_restarts: u32,
    /// What is longer ago does not count.
    pub within: Duration,
    /// Before the first rebuild.
    pub backoff_min: Duration,
    /// What the wait grows to; never below `backoff_min`, never above `within`.
    pub backoff_max: Duration,
    /// How long a tool is withdrawn.
    pub cool_down: Duration,
    /// Calls in a row without a result after which a worker is rebuilt; 0 = never.
    pub max_time_outs: u32,
    /// The share of calls that may panic or time out, 0 to 1.
    pub max_failure_rate: f64,
    /// Fewer calls say nothing of it; at least 1.
    pub failure_rate_min_calls: u32,
}

/// Where sessions run.
#[derive(Clone, Debug, PartialEq)]
pub struct Runtime {
    /// Threads that run sessions; 0 = one per core.
    pub arbiters: u32,
    /// Calls that run at a time, of all sessions together; 0 = any number.
    pub max_concurrency: u32,
    /// Threads for tools that block; at least 1.
    pub blocking_threads: u32,
}

/// Where sessions are kept.
#[derive(Clone, Debug, PartialEq)]
pub struct Store {
    /// Which store, as set: [`Config::store_url`](super::Config::store_url) fills it in.
    pub url: StoreUrl,
    /// What a commit is safe from.
    pub sync: SyncMode,
    /// How long an owner on another host may give no sign of life.
    pub lease: Duration,
    /// How long a database that does not answer is tried again.
    pub retry: Duration,
}

/// What goes to stderr.
#[derive(Clone, Debug, PartialEq)]
pub struct Log {
    /// The least important events that are still logged.
    pub level: LogLevel,
    /// The shape of the lines.
    pub format: LogFormat,
}

/// What is told to tools that watch from outside.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Telemetry {
    /// Where traces go, over OTLP; `None` = where the variable `OTEL_EXPORTER_OTLP_ENDPOINT` says, and
    /// nowhere if it is not set.
    pub otlp_endpoint: Option<BaseUrl>,
    /// How the program is called in them.
    pub service_name: String,
    /// Whether they hold what people, models and tools say.
    pub capture_content: bool,
}

impl Model {
    pub(super) fn read(section: &mut Section<'_>) -> Result<Model, Error> {
        let model = Model {
            provider: section.required("provider", kind::choice)?,
            base_url: section.required("base_url", kind::base_url)?,
            name: section.required("name", kind::filled)?,
            fallbacks: section.required("fallbacks", kind::list)?,
            api_key_env: section.required("api_key_env", kind::variable_name)?,
            api_key_file: Some(section.required("api_key_file", kind::string)?)
                .filter(|path| !path.is_empty())
                .map(PathBuf::from),
            system: section.required("system", kind::string)?,
            stream: section.required("stream", kind::flag)?,
            parallel_tool_calls: section.required("parallel_tool_calls", kind::flag_or_unset)?,
            request: read_request(section)?,
            extra_headers: section.optional("extra_headers", kind::headers)?.unwrap_or_default(),
            connect_time_limit: section.required("connect_time_limit_ms", kind::time_limit)?,
            first_token_time_limit: section
                .required("first_token_time_limit_ms", kind::time_limit)?,
            silence_time_limit: section.required("silence_time_limit_ms", kind::time_limit)?,
            retries: section.required("retries", kind::count(0..=100))?,
            retry_min: section.required("retry_min_ms", kind::millis)?,
            retry_max: section.required("retry_max_ms", kind::millis)?,
            price: section.optional_table("price", read_price)?,
            offline_pace: section.required("offline_pace_ms", kind::millis)?,
            dialect: section.required("dialect", kind::dialect)?,
            quirks: section.table("quirks", read_quirks)?,
        };
        if model.retry_min > model.retry_max {
            let most = model.retry_max.as_millis();
            let expected = format!("at most `model.retry_max_ms`, {most}");
            return Err(section.misfit("retry_min_ms", expected));
        }
        Ok(model)
    }

    /// Checks that the tool to be called is one of `tools`.
    pub(super) fn check_choice(&self, root: &Section<'_>, tools: &[Tool]) -> Result<(), Error> {
        let Some(ToolChoice::Tool(name)) = &self.request.tool_choice else { return Ok(()) };
        let names = || tools.iter().map(|tool| tool.name.as_str());
        if names().any(|known| known == name) {
            return Ok(());
        }
        let known = match nearest(name, names()) {
            Some(nearest) => format!(" (nearest: {})", kind::quoted(nearest)),
            None => ", of which there are none".to_owned(),
        };
        Err(root.misfit("model.tool_choice", format!("{}{known}", kind::TOOL_CHOICE)))
    }

    /// Returns the dialect spoken to the endpoint: the one that is set, else that of its host, with
    /// the flags that are set.
    pub fn resolved_dialect(&self) -> Dialect {
        self.dialect_at(self.base_url.as_str())
    }

    /// Returns the dialect spoken to an endpoint at `base_url`.
    pub(crate) fn dialect_at(&self, base_url: &str) -> Dialect {
        self.quirks.on(self.dialect.unwrap_or_else(|| Dialect::for_url(base_url)))
    }
}

fn read_request(section: &mut Section<'_>) -> Result<RequestSettings, Error> {
    Ok(RequestSettings {
        temperature: section.optional("temperature", kind::amount)?,
        max_tokens: section.optional("max_tokens", kind::count(1..=u32::MAX))?,
        tool_choice: section.optional("tool_choice", kind::tool_choice)?,
        response_format: section.optional("response_format", kind::response_format)?,
        reasoning_effort: section.optional("reasoning_effort", kind::filled)?,
        extra_body: section.optional("extra_body", kind::extra_body)?.unwrap_or_default(),
    })
}

fn read_price(section: &mut Section<'_>) -> Result<Price, Error> {
    Ok(Price {
        input: section.required("input", kind::amount)?,
        output: section.required("output", kind::amount)?,
        cached_input: section.optional("cached_input", kind::amount)?,
    })
}

fn read_quirks(section: &mut Section<'_>) -> Result<Quirks, Error> {
    Ok(Quirks {
        brace_close_trusted: section.optional("brace_close_trusted", kind::flag)?,
        stop_means_no_tools: section.optional("stop_means_no_tools", kind::flag)?,
        empty_content: section.optional("empty_content", kind::choice)?,
        parallel_tool_calls: section.optional("parallel_tool_calls", kind::flag)?,
        stream_usage: section.optional("stream_usage", kind::flag)?,
        id_rule: section.optional("id_rule", kind::choice)?,
        name_on_results: section.optional("name_on_results", kind::flag)?,
        assistant_after_results: section.optional("assistant_after_results", kind::flag)?,
        signed_calls: section.optional("signed_calls", kind::flag)?,
        reasoning_on_replies: section.optional("reasoning_on_replies", kind::flag)?,
        max_tools: section.optional("max_tools", kind::count(0..=1_000_000))?,
        token_limit_field: section.optional("token_limit_field", kind::choice)?,
        reports_cost: section.optional("reports_cost", kind::flag)?,
    })
}

/// 0 stands for no budget.
fn read_budget(section: &mut Section<'_>) -> Result<Budget, Error> {
    let tokens = section.required("token_budget", kind::whole(0..=MAX_TOKENS))?;
    let cost = section.required("cost_budget", kind::amount)?;
    Ok(Budget {
        tokens: Some(tokens).filter(|tokens| *tokens > 0),
        cost: Some(cost).filter(|cost| *cost > 0.0),
    })
}

impl Turn {
    pub(super) fn read(section: &mut Section<'_>) -> Result<Turn, Error> {
        Ok(Turn {
            mode: section.required("mode", kind::choice)?,
            early_dispatch: section.required("early_dispatch", kind::flag)?,
            max_rounds: section.required("max_rounds", kind::count(1..=1_000_000))?,
            max_calls_per_round: section
                .required("max_calls_per_round", kind::count(1..=1_000_000))?,
            max_calls: Some(section.required("max_calls", kind::count(0..=1_000_000))?)
                .filter(|calls| *calls > 0),
            max_identical_calls: section
                .required("max_identical_calls", kind::count(0..=1_000_000))?,
            budget: read_budget(section)?,
            call_time_limit: section.required("call_time_limit_ms", kind::time_limit)?,
            round_time_limit: section.required("round_time_limit_ms", kind::time_limit)?,
            turn_time_limit: section.required("turn_time_limit_ms", kind::time_limit)?,
        })
    }
}

impl Session {
    pub(super) fn read(section: &mut Section<'_>) -> Result<Session, Error> {
        let max_concurrency = section.required("max_concurrency", kind::count(0..=1_000_000))?;
        let bytes = section.required("max_result_bytes", kind::count(100..=u32::MAX))?;
        Ok(Session {
            max_concurrency: usize::try_from(max_concurrency).ok().filter(|calls| *calls > 0),
            max_result_bytes: usize::try_from(bytes).unwrap_or(usize::MAX),
            context_tokens: section.required("context_tokens", kind::count(0..=u32::MAX))?.into(),
            compaction: section.required("compaction", kind::choice)?,
            budget: read_budget(section)?,
            sleep_after: Some(section.required("sleep_after_ms", kind::millis)?)
                .filter(|quiet| !quiet.is_zero()),
        })
    }
}

impl Supervision {
    pub(super) fn read(section: &mut Section<'_>) -> Result<Supervision, Error> {
        let max_restarts = section.required("max_restarts", kind::count(1..=1_000_000))?;
        let within = section.required("within_ms", kind::time_limit)?;
        let backoff_min = section.required("backoff_min_ms", kind::millis)?;
        let backoff_max = section.required("backoff_max_ms", kind::millis)?;
        if backoff_min > backoff_max {
            let most = backoff_max.as_millis();
            let expected = format!("at most `supervision.backoff_max_ms`, {most}");
            return Err(section.misfit("backoff_min_ms", expected));
        }
        if backoff_max > within {
            let most = within.as_millis();
            let expected = format!("at most `supervision.within_ms`, {most}");
            return Err(section.misfit("backoff_max_ms", expected));
        }
        Ok(Supervision {
            max_restarts,
            within,
            backoff_min,
            backoff_max,
            cool_down: section.required("cool_down_ms", kind::time_limit)?,
            max_time_outs: section.required("max_time_outs", kind::count(0..=1_000_000))?,
            max_failure_rate: section.required("max_failure_rate", kind::rate)?,
            failure_rate_min_calls: section
                .required("failure_rate_min_calls", kind::count(1..=1000))?,
        })
    }
}

impl Runtime {
    pub(super) fn read(section: &mut Section<'_>) -> Result<Runtime, Error> {
        Ok(Runtime {
            arbiters: section.required("arbiters", kind::count(0..=1024))?,
            max_concurrency: section.required("max_concurrency", kind::count(0..=1_000_000))?,
            blocking_threads: section.required("blocking_threads", kind::count(1..=10_000))?,
        })
    }
}

impl Store {
    pub(super) fn read(section: &mut Section<'_>) -> Result<Store, Error> {
        Ok(Store {
            url: section.required("url", kind::store_url)?,
            sync: section.required("sync", kind::choice)?,
            lease: section.required("lease_ms", kind::lease)?,
            retry: section.required("retry_ms", kind::millis)?,
        })
    }
}

impl Telemetry {
    pub(super) fn read(section: &mut Section<'_>) -> Result<Telemetry, Error> {
        let otlp_endpoint = section.required("otlp_endpoint", kind::base_url_or_none)?;
        if otlp_endpoint.is_some() && !cfg!(feature = "otel") {
            let expected = "\"\": this program was built without the feature `otel`".to_owned();
            return Err(section.misfit("otlp_endpoint", expected));
        }
        Ok(Telemetry {
            otlp_endpoint,
            service_name: section.required("service_name", kind::filled)?,
            capture_content: section.required("capture_content", kind::flag)?,
        })
    }
}

impl Log {
    pub(super) fn read(section: &mut Section<'_>) -> Result<Log, Error> {
        Ok(Log {
            level: section.required("level", kind::choice)?,
            format: section.required("format", kind::choice)?,
        })
    }
}
