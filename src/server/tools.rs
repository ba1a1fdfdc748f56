//! The tools: what they are, how they are, and a call of one without a model.

use std::sync::Arc;

use actix_web::HttpResponse;
use actix_web::web::{Data, Path, ReqData};
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};
use utoipa::ToSchema;

use super::Server;
use super::access::Owner;
use super::json::Json;
use super::problem::Problem;
use crate::conversation::{Budgets, Limits};
use crate::document::{Call, millis};
use crate::model::FixedModel;
use crate::session::Error;
use crate::tools::{ToolHealth, ToolType};
use crate::wire::Arguments;

/// The tools of this moment.
#[derive(Debug, Serialize, ToSchema)]
pub(super) struct Tools {
    #[schema(value_type = Vec<Object>)]
    tools: Vec<Tool>,
}

/// A tool, and its condition.
#[derive(Debug, Serialize)]
struct Tool {
    name: Arc<str>,
    kind: &'static str,
    server: Option<String>,
    description: String,
    effects: &'static str,
    approval: &'static str,
    time_limit_ms: f64,
    max_concurrency: Option<usize>,
    parameters: Value,
    health: ToolHealth,
}

/// What a tool is to be called with.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct ToCall {
    #[serde(default)]
    #[schema(value_type = Object)]
    arguments: Map<String, Value>,
}

/// The tools that a session is offered now.
#[utoipa::path(get, path = "/v1/tools", tag = "tools",
    responses((status = 200, description = "The tools", body = Tools)))]
pub(super) async fn list(server: Data<Server>) -> HttpResponse {
    let options = &server.0.options;
    let of = |tool: &Arc<ToolType>| {
        let limit = tool.declared_time_limit().unwrap_or_else(|| options.call_time_limit());
        Tool {
            name: Arc::clone(tool.name()),
            kind: tool.origin().kind,
            server: tool.origin().server.as_ref().map(ToString::to_string),
            description: tool.description().to_owned(),
            effects: tool.declared_effects().as_str(),
            approval: tool.declared_approval().as_str(),
            time_limit_ms: millis(limit),
            max_concurrency: tool.limits().max_concurrency,
            parameters: tool.parameters().clone(),
            health: tool.health(),
        }
    };
    HttpResponse::Ok().json(Tools { tools: options.first_tools().iter().map(of).collect() })
}

/// Calls a tool once, through the same worker, guard and report as a call of a model's. It stands in no
/// session. Whoever calls approves of it.
#[utoipa::path(post, path = "/v1/tools/{name}/call", tag = "tools", params(("name" = String, Path)),
    request_body = ToCall,
    responses((status = 200, description = "The call, whatever became of it", body = Object),
              (status = 404, description = "There is no such tool", body = Problem)))]
pub(super) async fn call(
    server: Data<Server>,
    _owner: ReqData<Owner>,
    name: Path<String>,
    Json(ToCall { arguments }): Json<ToCall>,
) -> Result<HttpResponse, Problem> {
    server.begins()?;
    let options = server.0.options.clone();
    let Some(tool) = options.first_tools().get(&name).cloned() else {
        return Err(Problem::not_found("tool"));
    };
    let arguments = Arguments::from_text(Value::Object(arguments).to_string());
    let model = FixedModel::new(1, tool.name(), &arguments);
    let limits = Limits { max_calls_per_round: 1, ..options.turn_limits().clone() };
    let options = options.model(model).limits(limits).budgets(Budgets::default());
    let options = options.approve_tools([tool.name().to_string()]).ephemeral();
    let session = server.0.runtime.session(options);
    let asked = session.ask("call the tool").await;
    let report = match asked {
        Ok(answer) => answer.report,
        Err(Error::Turn(failed)) => failed.report,
        Err(error) => return Err(error.into()),
    };
    let round = report.rounds.last().ok_or_else(Problem::internal)?;
    let call = round.calls.first().ok_or_else(Problem::internal)?;
    Ok(HttpResponse::Ok().json(Call::of(call)))
}
