//! `GET /v1/models`: the model that answers, as OpenAI lists its own.

use actix_web::HttpResponse;
use actix_web::web::{Data, Path};
use serde_json::{Value, json};

use super::super::Server;
use super::super::problem::Problem;

/// The models that answer: the configured one, and those that are asked where it fails.
#[utoipa::path(get, path = "/v1/models", tag = "chat",
    responses((status = 200, description = "The models", body = Object)))]
pub(in crate::server) async fn list(server: Data<Server>) -> HttpResponse {
    let models: Vec<Value> = server.0.options.model_names().map(model).collect();
    HttpResponse::Ok().json(json!({"object": "list", "data": models}))
}

/// One of them.
#[utoipa::path(get, path = "/v1/models/{model}", tag = "chat", params(("model" = String, Path)),
    responses((status = 200, description = "The model", body = Object),
              (status = 404, description = "There is no such model", body = Object)))]
pub(in crate::server) async fn show(
    server: Data<Server>,
    name: Path<String>,
) -> Result<HttpResponse, Problem> {
    let known = server.0.options.model_names().find(|known| **known == **name);
    let known = known.ok_or_else(|| Problem::not_found("model"))?;
    Ok(HttpResponse::Ok().json(model(known)))
}

fn model(name: &str) -> Value {
    json!({"id": name, "object": "model", "created": 0, "owned_by": "callsheet"})
}
