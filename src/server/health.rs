//! Whether it lives, and whether it can take work.

use std::time::Duration;

use actix_web::HttpResponse;
use actix_web::web::Data;
use serde_json::json;
use tokio::time::timeout;

use super::Server;

/// How long the store may take to say that it is well.
const PATIENCE: Duration = Duration::from_secs(2);

/// The process lives.
#[utoipa::path(get, path = "/healthz", tag = "operation", security(()),
    responses((status = 200, description = "It lives")))]
pub(super) async fn live() -> HttpResponse {
    HttpResponse::Ok().json(json!({"status": "ok"}))
}

/// It can take work: it is not shutting down, and its store answers.
#[utoipa::path(get, path = "/readyz", tag = "operation", security(()),
    responses((status = 200, description = "It is ready"), (status = 503, description = "Not now")))]
pub(super) async fn ready(server: Data<Server>) -> HttpResponse {
    if server.is_closing() {
        return HttpResponse::ServiceUnavailable().json(json!({"status": "draining"}));
    }
    match timeout(PATIENCE, server.0.store.check()).await {
        Ok(Ok(_)) => HttpResponse::Ok().json(json!({"status": "ready"})),
        _ => HttpResponse::ServiceUnavailable().json(json!({"status": "store_failed"})),
    }
}
