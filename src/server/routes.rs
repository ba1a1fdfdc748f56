//! Which path is what.

use actix_web::guard::{Any, Get, Head};
use actix_web::http::Method;
use actix_web::http::header::ALLOW;
use actix_web::middleware::from_fn;
use actix_web::web::{self, Data, ServiceConfig};
use actix_web::{HttpResponse, Resource, Route};

use super::problem::Problem;
use super::{
    Server, approvals, chat, events, export, guard, health, messages, metrics, openapi, page,
    sessions, tools,
};

/// Mounts `server` in an app: its page at `/`, `/v1/…`, `/healthz`, `/readyz`, `/metrics` and
/// `/openapi.json`. Under a
/// prefix, mount it in a scope of that name.
///
/// The app's own middleware, settings and other routes stay as they are. A request that is cancelled by
/// closing it (`/v1/chat/completions`) is noticed at once only where the app's `HttpServer` has
/// `h1_allow_half_closed(false)`, which is not what actix-web does by itself.
pub fn configure(config: &mut ServiceConfig, server: &Server) {
    let data = Data::new(server.clone());
    let v1 = web::scope("/v1")
        .app_data(data.clone())
        .wrap(from_fn(guard::closed))
        .service(at("/sessions", [get(sessions::list), post(sessions::create)]))
        .service(at("/sessions/{id}", [get(sessions::show), delete(sessions::remove)]))
        .service(at("/sessions/{id}/messages", [post(messages::ask)]))
        .service(at("/sessions/{id}/resume", [post(messages::resume)]))
        .service(at("/sessions/{id}/events", [get(events::follow)]))
        .service(at("/sessions/{id}/cancel", [post(sessions::cancel)]))
        .service(at("/sessions/{id}/approvals/{call}", [post(approvals::decide)]))
        .service(at("/sessions/{id}/rounds/{round}", [get(sessions::round)]))
        .service(at("/sessions/{id}/export", [get(export::export)]))
        .service(at("/chat/completions", [post(chat::complete)]))
        .service(at("/models", [get(chat::models)]))
        .service(at("/models/{model:.+}", [get(chat::model)]))
        .service(at("/tools", [get(tools::list)]))
        .service(at("/tools/{name}/call", [post(tools::call)]))
        .service(at("/tools/{name}/restart", [post(tools::restart)]))
        .default_service(web::to(nothing));
    config.service(v1);
    let open = |resource: Resource| resource.app_data(data.clone()).wrap(from_fn(guard::public));
    config.service(open(at("/healthz", [get(health::live)])));
    config.service(open(at("/readyz", [get(health::ready)])));
    for file in page::FILES {
        let show = move || async move { page::answer(file) };
        config.service(open(at(file.path, [get(show)])));
    }
    let shut = |resource: Resource| resource.app_data(data.clone()).wrap(from_fn(guard::closed));
    config.service(shut(at("/metrics", [get(metrics::show)])));
    config.service(shut(at("/openapi.json", [get(openapi::document)])));
}

/// The same where the app is nobody else's: what is under no path of ours is refused as anything else is.
pub(super) fn configure_alone(config: &mut ServiceConfig, server: &Server) {
    configure(config, server);
    let nowhere = web::to(nothing).wrap(from_fn(guard::public));
    config.app_data(Data::new(server.clone())).default_service(nowhere);
}

/// What is at `path`, by method; others are refused.
fn at<const N: usize>(path: &str, routes: [(Method, Route); N]) -> Resource {
    let allowed: Vec<_> = routes.iter().map(|(method, _)| allowed(method)).collect();
    let allowed = allowed.join(", ");
    let refuse = move || {
        let allowed = allowed.clone();
        async move {
            let status = actix_web::http::StatusCode::METHOD_NOT_ALLOWED;
            let problem = Problem::new(status, "method_not_allowed", format!("allowed: {allowed}"));
            let mut response: HttpResponse = problem.response();
            if let Ok(allowed) = allowed.parse() {
                response.headers_mut().insert(ALLOW, allowed);
            }
            response
        }
    };
    let resource = routes.into_iter().fold(web::resource(path), |at, (_, route)| at.route(route));
    resource.default_service(web::to(refuse))
}

/// How a route of `method` is named among those that are allowed.
fn allowed(method: &Method) -> &str {
    match *method {
        Method::GET => "GET, HEAD",
        _ => method.as_str(),
    }
}

/// `HEAD` is answered as well: the guard leaves the body out.
fn get<F, A>(handler: F) -> (Method, Route)
where
    F: actix_web::Handler<A>,
    A: actix_web::FromRequest + 'static,
    F::Output: actix_web::Responder + 'static,
{
    (Method::GET, web::route().guard(Any(Get()).or(Head())).to(handler))
}

fn post<F, A>(handler: F) -> (Method, Route)
where
    F: actix_web::Handler<A>,
    A: actix_web::FromRequest + 'static,
    F::Output: actix_web::Responder + 'static,
{
    (Method::POST, web::post().to(handler))
}

fn delete<F, A>(handler: F) -> (Method, Route)
where
    F: actix_web::Handler<A>,
    A: actix_web::FromRequest + 'static,
    F::Output: actix_web::Responder + 'static,
{
    (Method::DELETE, web::delete().to(handler))
}

async fn nothing() -> Result<String, Problem> {
    Err(Problem::not_found("path"))
}
