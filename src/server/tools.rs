//! The tools: what they are, how they are, and a call of one without a model.

use std::sync::Arc;
use std::time::Duration;

use actix_web::web::{Data, Path, ReqData};
use actix_web::{HttpRequest, HttpResponse};
use serde::{Deserialize, Serialize};
use serde_json::Value;
use tokio::sync::oneshot;
use utoipa::ToSchema;

use super::Server;
use super::access::Owner;
use super::json::{Json, ObjectText};
use super::prefer;
use super::problem::Problem;
use crate::conversation::{Budgets, Limits};
use crate::document::{Call, exact, millis};
use crate::model::FixedModel;
use crate::observe::{CircuitView, ToolSnapshot};
use crate::session::{Error, Question};
use crate::tools::ToolType;
use crate::wire::Arguments;

/// The tools of this moment.
#[derive(Debug, Serialize, ToSchema)]
pub(super) struct Tools {
    tools: Vec<Tool>,
}

/// A tool, and its condition.
#[derive(Debug, Serialize, ToSchema)]
struct Tool {
    name: String,
    /// `demo`, `http`, `command`, `mcp` or `rust`.
    kind: &'static str,
    /// The server that it is a tool of.
    server: Option<String>,
    description: String,
    /// What running it twice would do: `none`, `idempotent` or `once`.
    effects: &'static str,
    /// Whether a person has to approve a call: `never`, `once_per_session` or `always`.
    approval: &'static str,
    time_limit_ms: f64,
    max_concurrency: Option<usize>,
    /// The JSON Schema of its arguments.
    #[schema(value_type = Object)]
    parameters: Value,
    /// `ready`; `open`: it is withdrawn; `probing`: its next call finds out whether it works again.
    state: &'static str,
    circuit: Circuit,
    /// Calls that are not answered.
    in_flight: u64,
    /// Calls that were answered, since the server began.
    calls: u64,
    /// Those of them that failed.
    failed: u64,
    /// How often workers were rebuilt.
    restarts: u64,
    last_restart: Option<Restart>,
    /// How long the last calls ran.
    ran_ms: Option<Quantiles>,
    last_error: Option<ErrorThen>,
}

/// Whether a tool is withdrawn, in a session or in all of them.
#[derive(Debug, Serialize, ToSchema)]
struct Circuit {
    /// `closed`, `open` or `probing`.
    state: &'static str,
    /// Absent where there are several tokens, as of a restart.
    cause: Option<String>,
    /// For how long it stays open.
    for_ms: Option<f64>,
    /// It is withdrawn in the whole process.
    everywhere: bool,
}

#[derive(Debug, Serialize, ToSchema)]
struct Restart {
    at: String,
    /// Absent where there are several tokens: it may say what another one's call was about.
    cause: Option<String>,
}

/// Milliseconds that so many in a hundred took at most.
#[derive(Debug, Serialize, ToSchema)]
struct Quantiles {
    p50: f64,
    p95: f64,
    p99: f64,
}

#[derive(Debug, Serialize, ToSchema)]
struct ErrorThen {
    at: String,
    code: String,
    /// Absent where there are several tokens: it may be another one's call.
    message: Option<String>,
}

impl Tool {
    fn of(tool: &ToolType, seen: Option<&ToolSnapshot>, time_limit: Duration, tells: bool) -> Self {
        let circuit =
            Circuit::of(seen.map_or(&CircuitView::default(), |seen| &seen.circuit), tells);
        Self {
            name: tool.name().to_string(),
            kind: tool.origin().kind,
            server: tool.origin().server.as_ref().map(ToString::to_string),
            description: tool.description().to_owned(),
            effects: tool.declared_effects().as_str(),
            approval: tool.declared_approval().as_str(),
            time_limit_ms: millis(tool.declared_time_limit().unwrap_or(time_limit)),
            max_concurrency: tool.limits().max_concurrency,
            parameters: tool.parameters().clone(),
            state: if circuit.state == "closed" { "ready" } else { circuit.state },
            circuit,
            in_flight: seen.map_or(0, |seen| seen.in_flight),
            calls: seen.map_or(0, |seen| seen.calls),
            failed: seen.map_or(0, |seen| seen.failed),
            restarts: seen.map_or(0, |seen| seen.restarts),
            last_restart: seen.and_then(|seen| seen.last_restart.as_ref()).map(|last| Restart {
                at: exact(last.at_us),
                cause: tells.then(|| last.cause.to_string()),
            }),
            ran_ms: seen.and_then(|seen| seen.ran).map(|ran| Quantiles {
                p50: millis(ran.p50),
                p95: millis(ran.p95),
                p99: millis(ran.p99),
            }),
            last_error: seen.and_then(|seen| seen.last_error.as_ref()).map(|last| ErrorThen {
                at: exact(last.at_us),
                code: last.code.to_string(),
                message: tells.then(|| last.message.to_string()),
            }),
        }
    }
}

impl Circuit {
    fn of(seen: &CircuitView, tells: bool) -> Self {
        Self {
            state: seen.state(),
            cause: seen.cause.as_ref().filter(|_| tells).map(ToString::to_string),
            for_ms: seen.retry_after.map(millis),
            everywhere: seen.everywhere,
        }
    }
}

/// What a tool is to be called with.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct ToCall {
    #[serde(default)]
    #[schema(value_type = Object)]
    arguments: ObjectText,
}

/// The tools that a session is offered now.
#[utoipa::path(get, path = "/v1/tools", tag = "tools",
    responses((status = 200, description = "The tools", body = Tools)))]
pub(super) async fn list(server: Data<Server>) -> HttpResponse {
    let options = &server.0.options;
    let seen = server.0.overview.tools().snapshot();
    let of = |tool: &Arc<ToolType>| {
        let seen = seen.iter().find(|seen| seen.name == *tool.name());
        Tool::of(tool, seen, options.call_time_limit(), !server.tokens().are_several())
    };
    HttpResponse::Ok().json(Tools { tools: options.first_tools().iter().map(of).collect() })
}

/// Calls a tool once, through the same worker, guard and report as a call of a model's. It stands in no
/// session. Whoever calls approves of it. A client that goes away cancels nothing; as long as the call runs
/// it counts as a stream of its token.
#[utoipa::path(post, path = "/v1/tools/{name}/call", tag = "tools", params(("name" = String, Path)),
    request_body = ToCall,
    responses((status = 200, description = "The call, whatever became of it", body = Object),
              (status = 404, description = "There is no such tool", body = Problem),
              (status = 429, description = "Too much is under way", body = Problem)))]
pub(super) async fn call(
    server: Data<Server>,
    owner: ReqData<Owner>,
    name: Path<String>,
    request: HttpRequest,
    Json(ToCall { arguments }): Json<ToCall>,
) -> Result<HttpResponse, Problem> {
    server.begins()?;
    let options = server.0.options.clone();
    let Some(tool) = options.first_tools().get(&name).cloned() else {
        return Err(Problem::not_found("tool"));
    };
    let arguments = Arguments::from_text(arguments.get().to_owned());
    let model = FixedModel::new(1, tool.name(), &arguments);
    let limits = Limits { max_calls_per_round: 1, ..options.turn_limits().clone() };
    let options = options.model(model).limits(limits).budgets(Budgets::default());
    let options = options.approve_tools([tool.name().to_string()]).ephemeral();
    let session = server.0.runtime.session(options);
    let question = Question::new("call the tool");
    let question = match prefer::trace_parent(request.headers()) {
        Some(parent) => question.trace_parent(parent),
        None => question,
    };
    let too_many = || Problem::overloaded("too many streams and calls are under way", 1);
    let permit = server.0.streams.open(&owner).ok_or_else(too_many)?;
    let (tell, answer) = oneshot::channel();
    server.0.runtime.spawn(async move {
        let answer = session.ask(question).await;
        drop(permit);
        let _ = tell.send(answer); // Nobody may be there.
    });
    let answer = answer.await.unwrap_or(Err(Error::Closed));
    let (report, failed) = match answer {
        Ok(answer) => (answer.report, None),
        Err(Error::Turn(failed)) => (failed.report.clone(), Some(Error::Turn(failed))),
        Err(error) => return Err(error.into()),
    };
    match report.rounds.last().and_then(|round| round.calls.first()) {
        Some(call) => Ok(HttpResponse::Ok().json(Call::of(call))),
        None => Err(failed.map_or_else(Problem::internal, Problem::from)),
    }
}

/// Whose workers were made anew.
#[derive(Debug, Serialize, ToSchema)]
pub(super) struct Restarted {
    /// How many.
    restarted: usize,
}

/// Has the workers of a tool made anew, in all sessions that are awake, and closes its circuits. Calls that
/// run go on.
#[utoipa::path(post, path = "/v1/tools/{name}/restart", tag = "tools", params(("name" = String, Path)),
    responses((status = 200, description = "They are", body = Restarted),
              (status = 404, description = "There is no such tool", body = Problem)))]
pub(super) async fn restart(
    server: Data<Server>,
    name: Path<String>,
) -> Result<HttpResponse, Problem> {
    if server.0.options.first_tools().get(&name).is_none() {
        return Err(Problem::not_found("tool"));
    }
    let restarted = server.0.runtime.restart_tool(&name).await;
    server.0.overview.tools().close_circuits(&name);
    Ok(HttpResponse::Ok().json(Restarted { restarted }))
}
