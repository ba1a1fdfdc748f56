//! Numbers to watch.

use actix_web::http::header::{ACCEPT, CONTENT_TYPE};
use actix_web::web::Data;
use actix_web::{HttpRequest, HttpResponse};

use super::Server;

/// The numbers of the process for Prometheus: OpenMetrics where it is asked for, else the text format
/// 0.0.4. They tell of all tokens' sessions.
#[utoipa::path(get, path = "/metrics", tag = "operation",
    responses((status = 200, description = "Numbers", content_type = "text/plain", body = String)))]
pub(super) async fn show(server: Data<Server>, request: HttpRequest) -> HttpResponse {
    let accept = request.headers().get(ACCEPT).and_then(|accept| accept.to_str().ok());
    let (kind, page) = server.0.overview.metrics().encode(accept);
    HttpResponse::Ok().insert_header((CONTENT_TYPE, kind)).body(page)
}
