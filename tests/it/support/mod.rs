//! What the tests share.

pub mod bounded;
#[cfg(feature = "cli")]
pub mod cli;
#[cfg(feature = "otel")]
pub mod collector;
#[cfg(feature = "server")]
pub mod counted;
pub mod dice;
pub mod echo;
pub mod journal;
pub mod listening;
#[cfg(all(feature = "mcp", unix))]
pub mod mcp_peer;
pub mod peer;
#[cfg(all(feature = "cli", target_os = "linux"))]
pub mod processes;
#[cfg(feature = "server")]
pub mod prometheus;
pub mod seeds;
#[cfg(feature = "sqlite")]
pub mod sql;
#[cfg(all(feature = "cli", unix))]
pub mod terminal;

use std::sync::Arc;
use std::time::Duration;

use callsheet::session::{Cause, FailedTurn};
use callsheet::testing::{self, Scripted, ScriptedModel};
use callsheet::{
    Answer, CallContext, Effects, Error, Limits, ModelRetries, RoundReport, Session,
    SessionOptions, ToolSet, ToolType,
};
use serde_json::json;

/// `seconds(n)` as a duration, to keep the tests' numbers readable.
pub fn seconds(seconds: u64) -> Duration {
    Duration::from_secs(seconds)
}

/// A tool that sleeps `{"s": seconds}` and answers `slept N`.
pub fn sleeper() -> ToolType {
    let parameters =
        json!({"type": "object", "properties": {"s": {"type": "integer"}}, "required": ["s"]});
    dynamic("sleep", parameters, |arguments, _| async move {
        let s = arguments["s"].as_u64().unwrap_or_default();
        tokio::time::sleep(seconds(s)).await;
        Ok(format!("slept {s}"))
    })
    .effects(Effects::None)
}

/// A tool that panics with the text `boom`.
pub fn bomb() -> ToolType {
    dynamic("bomb", json!({"type": "object"}), |_, _| async { panic!("boom") })
}

/// A tool that never answers.
pub fn hanger() -> ToolType {
    dynamic("hang", json!({"type": "object"}), |_, _| std::future::pending())
}

/// A tool that says that it failed.
pub fn failer() -> ToolType {
    dynamic("fail", json!({"type": "object"}), |_, _| async { Err("disk on fire".to_owned()) })
}

/// A tool from a function of untyped arguments.
pub fn dynamic<F, W>(name: &str, parameters: serde_json::Value, function: F) -> ToolType
where
    F: Fn(serde_json::Value, CallContext) -> W + Clone + Send + Sync + 'static,
    W: Future<Output = Result<String, String>> + 'static,
{
    ToolType::new(name, "for a test", parameters, move || {
        let function = function.clone();
        move |arguments: &str, context: CallContext| -> callsheet::tools::ToolFuture {
            let arguments = serde_json::from_str(arguments).expect("checked before");
            let work = function(arguments, context);
            Box::pin(async move { work.await.map_err(callsheet::tools::Error::new) })
        }
    })
}

/// A session with a scripted model, on a paused clock.
pub struct Stage {
    pub model: Arc<ScriptedModel>,
    pub session: Session,
}

/// Limits that no test reaches by accident.
pub fn limits() -> Limits {
    Limits {
        call_time_limit: seconds(1_000),
        round_time_limit: seconds(10_000),
        turn_time_limit: seconds(100_000),
        ..Limits::default()
    }
}

pub fn stage(
    script: impl IntoIterator<Item = Scripted>,
    tools: impl IntoIterator<Item = ToolType>,
) -> Stage {
    stage_with(script, tools, limits())
}

pub fn stage_with(
    script: impl IntoIterator<Item = Scripted>,
    tools: impl IntoIterator<Item = ToolType>,
    limits: Limits,
) -> Stage {
    let model = ScriptedModel::new(script);
    let tools = Arc::new(ToolSet::new(tools).expect("the tools are well formed"));
    let options = SessionOptions::new(model.clone(), tools).limits(limits);
    let options = options.model_retries(ModelRetries::none());
    Stage { session: testing::runtime().session(options), model }
}

impl Stage {
    /// Asks, and checks that every history the model saw was whole.
    pub async fn ask(&self) -> Answer {
        let answer = self.session.ask("go").await.expect("the turn ends well");
        self.assert_whole();
        answer
    }

    /// Asks a question whose turn fails.
    pub async fn ask_in_vain(&self) -> FailedTurn {
        let failed = match self.session.ask("go").await {
            Err(Error::Turn(failed)) => *failed,
            other => panic!("the turn was to fail: {other:?}"),
        };
        self.assert_whole();
        failed
    }

    pub fn assert_whole(&self) {
        assert_eq!(self.model.violations(), Vec::<String>::new());
    }

    /// The answers to calls in the last history that the model saw, in order.
    pub fn told(&self) -> Vec<String> {
        let history = self.model.requests().pop().unwrap_or_default();
        let answers = history.into_iter().filter(|message| message.tool_call_id.is_some());
        answers.map(|message| message.text).collect()
    }
}

/// The outcomes of a round, in the order of the calls.
pub fn outcomes(round: &RoundReport) -> Vec<&'static str> {
    let name =
        |outcome: Option<callsheet::OutcomeKind>| outcome.map_or("open", |kind| kind.as_str());
    round.calls.iter().map(|call| name(call.outcome)).collect()
}

pub fn is_cancelled(cause: &Cause) -> bool {
    matches!(cause, Cause::Cancelled)
}
