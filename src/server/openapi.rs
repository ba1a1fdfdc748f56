//! The API's own description.

use actix_web::HttpResponse;
use utoipa::openapi::security::{Http, HttpAuthScheme, SecurityScheme};
use utoipa::{Modify, OpenApi};

use super::{approvals, events, export, health, messages, metrics, problem, sessions, tools};

/// All that there is under a path.
#[derive(OpenApi)]
#[openapi(
    info(title = "Callsheet", description = "Sessions of a model with tools, over HTTP"),
    paths(
        sessions::create, sessions::list, sessions::show, sessions::remove, sessions::cancel,
        sessions::round, messages::ask, messages::resume, events::follow, approvals::decide,
        export::export, tools::list, tools::call, metrics::show, health::live, health::ready, document,
    ),
    components(schemas(problem::Problem)),
    modifiers(&Bearer),
    security(("bearer" = []))
)]
struct Api;

struct Bearer;

impl Modify for Bearer {
    fn modify(&self, api: &mut utoipa::openapi::OpenApi) {
        let components = api.components.get_or_insert_default();
        let scheme = SecurityScheme::Http(Http::new(HttpAuthScheme::Bearer));
        components.add_security_scheme("bearer", scheme);
    }
}

/// This description.
#[utoipa::path(get, path = "/openapi.json", tag = "operation",
    responses((status = 200, description = "An OpenAPI 3.1 document", body = Object)))]
pub(super) async fn document() -> HttpResponse {
    HttpResponse::Ok().json(Api::openapi())
}
