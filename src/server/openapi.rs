//! The API's own description.

use actix_web::HttpResponse;
use actix_web::web::Data;
use utoipa::OpenApi;
use utoipa::openapi::path::{Operation, PathItem};
use utoipa::openapi::security::{Http, HttpAuthScheme, SecurityRequirement, SecurityScheme};
use utoipa::openapi::{Content, Ref, RefOr, Required, ResponseBuilder};

use super::{
    Server, approvals, chat, events, export, health, messages, metrics, problem, sessions, tools,
};

/// How problems are written (RFC 9457).
const PROBLEM: &str = "application/problem+json";

const STREAM: &str = "text/event-stream";

/// Operations that may have no body, which then is `{}`.
const NO_BODY: [&str; 3] = ["create", "cancel", "call"];

/// All that there is under a path.
#[derive(OpenApi)]
#[openapi(
    info(title = "Callsheet", description = "Sessions of a model with tools, over HTTP"),
    paths(
        sessions::create,
        sessions::list,
        sessions::show,
        sessions::remove,
        sessions::cancel,
        sessions::round,
        messages::ask,
        messages::resume,
        events::follow,
        approvals::decide,
        export::export,
        tools::list,
        tools::call,
        tools::restart,
        chat::complete,
        chat::models::list,
        chat::models::show,
        metrics::show,
        health::live,
        health::ready,
        document,
    ),
    components(schemas(problem::Problem, export::Format))
)]
struct Api;

/// This description.
#[utoipa::path(get, path = "/openapi.json", tag = "operation",
    responses((status = 200, description = "An OpenAPI 3.1 document", body = Object)))]
pub(super) async fn document(server: Data<Server>) -> HttpResponse {
    HttpResponse::Ok().json(described(server.tokens().are_some()))
}

/// The description, as far as it does not stand with each path.
fn described(needs_token: bool) -> utoipa::openapi::OpenApi {
    let mut api = Api::openapi();
    if needs_token {
        let components = api.components.get_or_insert_default();
        let scheme = SecurityScheme::Http(Http::new(HttpAuthScheme::Bearer));
        components.add_security_scheme("bearer", scheme);
        let none: [&str; 0] = [];
        api.security = Some(vec![SecurityRequirement::new("bearer", none)]);
    }
    api.paths.paths.values_mut().flat_map(operations).for_each(complete);
    api
}

fn operations(item: &mut PathItem) -> impl Iterator<Item = &mut Operation> {
    [&mut item.get, &mut item.post, &mut item.delete].into_iter().flatten()
}

/// Says what holds for every answer: problems are of a type of their own, there may be others than those
/// that are named, and a stream has no schema as a whole.
fn complete(operation: &mut Operation) {
    let is_optional = operation.operation_id.as_deref().is_some_and(|id| NO_BODY.contains(&id));
    if let Some(RefOr::T(body)) = operation.request_body.as_mut().filter(|_| is_optional) {
        body.required = Some(Required::False);
    }
    // Among operations of one kind the name of a function says it; a client needs one name for each.
    if let (Some(id), Some(tag)) =
        (&mut operation.operation_id, operation.tags.iter().flatten().next())
    {
        *id = format!("{tag}_{id}");
    }
    // OpenAI's API has problems of its own shape.
    let is_theirs = operation.tags.iter().flatten().any(|tag| tag == "chat");
    let responses = &mut operation.responses.responses;
    for (status, response) in responses.iter_mut() {
        let RefOr::T(response) = response else { continue };
        if status.starts_with(['4', '5'])
            && !is_theirs
            && let Some(content) = response.content.swap_remove("application/json")
        {
            response.content.insert(PROBLEM.to_owned(), content);
        }
        if let Some(RefOr::T(stream)) = response.content.get_mut(STREAM) {
            stream.schema = None;
        }
    }
    let schema = Content::new(Some(Ref::from_schema_name("Problem")));
    let (kind, schema) = match is_theirs {
        true => ("application/json", Content::default()),
        false => (PROBLEM, schema),
    };
    let problem = ResponseBuilder::new().description("A problem").content(kind, schema);
    responses.entry("default".to_owned()).or_insert_with(|| problem.build().into());
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_path_is_described_and_a_token_only_where_one_is_needed() {
        let api = serde_json::to_value(described(true)).unwrap();
        let paths = api["paths"].as_object().unwrap();
        assert_eq!(paths.len(), 19, "{:?}", paths.keys());
        assert!(api["security"][0]["bearer"].is_array());
        let operations = paths.values().flat_map(|path| path.as_object().unwrap().values());
        let ids: Vec<_> =
            operations.map(|operation| operation["operationId"].as_str().unwrap()).collect();
        let unique: std::collections::BTreeSet<_> = ids.iter().collect();
        assert_eq!(unique.len(), ids.len(), "{ids:?}");
        let refused = &paths["/v1/sessions"]["post"]["responses"]["409"]["content"];
        assert!(refused[PROBLEM].is_object() && refused["application/json"].is_null(), "{refused}");
        let refused = &paths["/v1/chat/completions"]["post"]["responses"]["400"]["content"];
        assert!(refused[PROBLEM].is_null() && refused["application/json"].is_object(), "{refused}");
        let open = serde_json::to_value(described(false)).unwrap();
        assert!(open["security"].is_null() && open["components"]["securitySchemes"].is_null());
    }
}
