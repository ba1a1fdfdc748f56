//! From settings to a runtime with sessions in it.

use std::sync::Arc;

use super::args::{Choice, Common};
use super::screen::Screen;
use super::status::UsageError;
use crate::config::{self, Config, ResolvedProvider, Sources};
use crate::conversation::{Budgets, ContextBudget, Limits, SessionId};
use crate::mock_model::{self, Brain, Server};
use crate::model::{ApiKey, Endpoint, HttpModel, Model, TimeLimits};
#[cfg(feature = "otel")]
use crate::observe::{TraceSettings, Traces};
use crate::session::{ModelRetries, Runtime, RuntimeBuilder, SessionOptions};
use crate::store::{MemoryStore, Store};
use crate::supervision::{Backoff, RestartLimits};
use crate::tools::{Secrets, ToolSet};

/// Everything that can be set, from everywhere it can be set.
pub(super) fn load(common: &Common) -> Result<Config, config::Error> {
    let sources = Sources::from_process(common.config.clone(), common.set.clone())?;
    Config::load(sources.with_dotenv()?)
}

/// A model, and the stand-in behind it if it is one.
pub(super) struct Answerer {
    pub model: Arc<dyn Model>,
    /// Those that are asked where it fails.
    fallbacks: Vec<Arc<dyn Model>>,
    /// Serves as long as it is held.
    _stand_in: Option<Server>,
}

/// The model of the settings. Says on standard error when it is only the stand-in.
pub(super) fn answerer(
    config: &Config,
    choice: &Choice,
    screen: &Screen,
) -> anyhow::Result<Answerer> {
    let model = &config.model;
    let provider = config.resolved_provider()?;
    config.check_cost_budget(choice.model.as_deref())?;
    match provider {
        ResolvedProvider::OpenAi => {
            let key = config.api_key()?;
            let name = choice.model.as_ref().unwrap_or(&model.name);
            let mut endpoint = endpoint(config, key)?;
            if *name != model.name {
                endpoint.price = None; // The price is that of the model in the settings.
            }
            let model = HttpModel::new(endpoint, name)?;
            let fallback = |name: &String| Arc::new(model.with_name(name)) as Arc<dyn Model>;
            let fallbacks = config.model.fallbacks.iter().map(fallback).collect();
            Ok(Answerer { model: Arc::new(model), fallbacks, _stand_in: None })
        }
        ResolvedProvider::Offline => {
            let options = mock_model::Options {
                brain: Brain::Rules,
                pace: model.offline_pace,
                ..mock_model::Options::default()
            };
            let server = Server::start(options)?;
            screen.note(&format!(
                "offline: a rule-based stand-in answers; for a model set {} or model.base_url",
                config.key_place()
            ));
            let mut endpoint = stand_in(config, &server.base_url());
            if config.has_cost_budget() {
                endpoint.price = model.price; // The budget is rehearsed.
            }
            let model = HttpModel::new(endpoint, "offline-stand-in")?;
            let fallbacks = Vec::new();
            Ok(Answerer { model: Arc::new(model), fallbacks, _stand_in: Some(server) })
        }
    }
}

impl Answerer {
    /// What a session is made of, by the settings and the choices, with everybody who may answer.
    pub fn options(&self, config: &Config, choice: &Choice, tools: Arc<ToolSet>) -> SessionOptions {
        let options = options(config, choice, Arc::clone(&self.model), tools);
        self.fallbacks.iter().fold(options, |options, model| options.fallback(Arc::clone(model)))
    }
}

/// The endpoint of the settings.
pub(super) fn endpoint(config: &Config, key: Option<ApiKey>) -> Result<Endpoint, config::Error> {
    let model = &config.model;
    let (headers, price) = (config.headers()?, model.price);
    Ok(Endpoint { key, headers, price, ..stand_in(config, model.base_url.as_str()) })
}

/// What is at `base_url`, spoken to as the settings say, but for what is the endpoint's own: its key,
/// its headers and its price.
fn stand_in(config: &Config, base_url: &str) -> Endpoint {
    let model = &config.model;
    let time_limits = TimeLimits {
        connect: model.connect_time_limit,
        first_token: model.first_token_time_limit,
        silence: model.silence_time_limit,
    };
    Endpoint {
        stream: model.stream,
        parallel_tool_calls: model.parallel_tool_calls,
        time_limits,
        dialect: model.dialect_at(base_url),
        settings: model.request.clone(),
        ..Endpoint::new(base_url)
    }
}

/// What a session is made of, by the settings and the choices.
pub(super) fn options(
    config: &Config,
    choice: &Choice,
    model: Arc<dyn Model>,
    tools: Arc<ToolSet>,
) -> SessionOptions {
    let options = plain_options(config, model, tools);
    match choice.system.as_ref().unwrap_or(&config.model.system) {
        system if system.is_empty() => options,
        system => options.system(&**system),
    }
}

/// The same without a system prompt.
pub(super) fn plain_options(
    config: &Config,
    model: Arc<dyn Model>,
    tools: Arc<ToolSet>,
) -> SessionOptions {
    let session = &config.session;
    let options = SessionOptions::new(model, tools)
        .limits(limits(config))
        .budgets(budgets(config))
        .supervision(supervision(config))
        .model_retries(model_retries(config))
        .max_result_bytes(session.max_result_bytes)
        .secrets(Secrets::new(config.secrets().iter().map(ApiKey::expose)))
        .context_budget(ContextBudget {
            tokens: session.context_tokens,
            compaction: session.compaction,
        });
    match session.max_concurrency {
        Some(calls) => options.max_concurrency(calls),
        None => options,
    }
}

/// How what fails is dealt with.
pub(super) fn supervision(config: &Config) -> RestartLimits {
    let supervision = &config.supervision;
    RestartLimits {
        max_restarts: supervision.max_restarts,
        within: supervision.within,
        backoff: Backoff { min: supervision.backoff_min, max: supervision.backoff_max },
        cool_down: supervision.cool_down,
        max_time_outs: supervision.max_time_outs,
        max_failure_rate: supervision.max_failure_rate,
        failure_rate_min_calls: supervision.failure_rate_min_calls,
    }
}

fn model_retries(config: &Config) -> ModelRetries {
    let config::Model { retries, retry_min, retry_max, .. } = config.model;
    ModelRetries { retries, backoff: Backoff { min: retry_min, max: retry_max } }
}

pub(super) fn limits(config: &Config) -> Limits {
    let turn = &config.turn;
    Limits {
        mode: turn.mode,
        early_dispatch: turn.early_dispatch,
        max_rounds: turn.max_rounds,
        max_calls_per_round: turn.max_calls_per_round,
        max_calls: turn.max_calls.unwrap_or(u32::MAX),
        max_identical_calls: turn.max_identical_calls,
        call_time_limit: turn.call_time_limit,
        round_time_limit: turn.round_time_limit,
        turn_time_limit: turn.turn_time_limit,
    }
}

pub(super) fn budgets(config: &Config) -> Budgets {
    Budgets { turn: config.turn.budget, session: config.session.budget }
}

/// The id that was typed.
pub(super) fn session_id(id: &str) -> Result<SessionId, UsageError> {
    let fits = !id.trim().is_empty() && id.len() <= 200 && !id.chars().any(char::is_control);
    if fits {
        Ok(SessionId::new(id))
    } else {
        Err(UsageError("a session id has 1 to 200 bytes and no control characters".into()))
    }
}

/// A runtime of its own, that keeps sessions in memory.
pub(super) fn runtime(config: &Config) -> anyhow::Result<Runtime> {
    runtime_with(config, Arc::new(MemoryStore::new()))
}

/// A runtime of its own, that keeps sessions in `store`.
pub(super) fn runtime_with(config: &Config, store: Arc<dyn Store>) -> anyhow::Result<Runtime> {
    Ok(runtime_builder(config, store)?.start()?)
}

/// The settings of such a runtime.
pub(super) fn runtime_builder(
    config: &Config,
    store: Arc<dyn Store>,
) -> anyhow::Result<RuntimeBuilder> {
    let config::Runtime { arbiters, max_concurrency, blocking_threads } = config.runtime;
    let builder = traced(config, Runtime::builder())?
        .arbiters(usize::try_from(arbiters)?)
        .max_concurrency(usize::try_from(max_concurrency)?)
        .blocking_threads(usize::try_from(blocking_threads)?)
        .sleep_after(config.session.sleep_after)
        .journal(store);
    Ok(builder)
}

/// A runtime that sends traces where the settings, or the usual variables, say.
#[cfg(feature = "otel")]
fn traced(config: &Config, builder: RuntimeBuilder) -> anyhow::Result<RuntimeBuilder> {
    let config::Telemetry { otlp_endpoint, service_name, capture_content } = &config.telemetry;
    let is_set = |name: &str| std::env::var_os(name).is_some_and(|value| !value.is_empty());
    let by_variable =
        is_set("OTEL_EXPORTER_OTLP_ENDPOINT") || is_set("OTEL_EXPORTER_OTLP_TRACES_ENDPOINT");
    if otlp_endpoint.is_none() && !by_variable {
        return Ok(builder);
    }
    let traces = Traces::start(&TraceSettings {
        endpoint: otlp_endpoint.as_ref().map(|url| url.as_str().to_owned()),
        service_name: service_name.clone(),
        capture_content: *capture_content,
    })?;
    Ok(builder.observe(traces))
}

#[cfg(not(feature = "otel"))]
#[expect(clippy::unnecessary_wraps, reason = "with the feature it may fail")]
fn traced(_: &Config, builder: RuntimeBuilder) -> anyhow::Result<RuntimeBuilder> {
    Ok(builder) // An endpoint in the settings was refused.
}

/// The executor that waits for sessions and signals.
pub(super) fn executor() -> anyhow::Result<tokio::runtime::Runtime> {
    Ok(tokio::runtime::Builder::new_current_thread().enable_all().build()?)
}
