//! Whether it lives, and whether it can take work.

use std::sync::Arc;
use std::time::Duration;

use actix_web::HttpResponse;
use actix_web::web::Data;
use serde_json::json;
use tokio::sync::{Mutex, oneshot};
use tokio::time::{Instant, timeout};

use super::Server;

/// How long the store may take to say that it is well.
const PATIENCE: Duration = Duration::from_secs(2);

/// For how long it is taken to be as it was.
const HOLDS: Duration = Duration::from_secs(1);

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
    match server.0.readiness.of(&server).await {
        true => HttpResponse::Ok().json(json!({"status": "ready"})),
        false => HttpResponse::ServiceUnavailable().json(json!({"status": "store_failed"})),
    }
}

/// Whether the store was well when it was last looked at. Anybody may ask, as often as they like, and a
/// check is work for it: there is one at a time, and what came of it holds for a second.
#[derive(Default)]
pub(super) struct Readiness(Arc<Mutex<Option<(Instant, bool)>>>);

impl Readiness {
    async fn of(&self, server: &Server) -> bool {
        let (last, store) = (Arc::clone(&self.0), Arc::clone(&server.0.store));
        let (tell, told) = oneshot::channel();
        // A check that was begun is known of, whether or not whoever asked is still there.
        server.0.runtime.spawn(async move {
            let mut last = last.lock().await;
            let is_well = match *last {
                Some((at, is_well)) if at.elapsed() < HOLDS => is_well,
                _ => {
                    let is_well = matches!(timeout(PATIENCE, store.check()).await, Ok(Ok(_)));
                    *last = Some((Instant::now(), is_well));
                    is_well
                }
            };
            let _ = tell.send(is_well);
        });
        told.await.unwrap_or(false)
    }
}
