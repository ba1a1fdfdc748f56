//! `GET …/events`: a session as it happens.

use actix_web::web::{Data, Path, Query, ReqData};
use actix_web::{HttpRequest, HttpResponse};
use serde::Deserialize;
use utoipa::IntoParams;

use super::Server;
use super::access::Owner;
use super::follow::{Following, respond};
use super::problem::Problem;

#[derive(Debug, Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
#[serde(deny_unknown_fields)]
pub(super) struct Wanted {
    /// The number of the last event that is known already: those behind it are sent, then what happens.
    /// From the beginning if it is left out; `now` for what happens alone. A `Last-Event-ID` counts
    /// more. The number of an event that there is not is refused: whoever knows one has seen another
    /// session than this, and would miss what happens until it has as many.
    after: Option<String>,
}

/// The events of a session as server-sent events: those that are kept, then what happens, for as long as
/// the client stays. An event that is kept has its number as `id`, comes once, and in order.
#[utoipa::path(get, path = "/v1/sessions/{id}/events", tag = "sessions",
    params(("id" = String, Path), Wanted,
           ("Last-Event-ID" = Option<String>, Header, description = "The last `id` that was received")),
    responses((status = 200, description = "Events", content_type = "text/event-stream", body = String),
              (status = 400, description = "There is no event of that number", body = Problem),
              (status = 404, description = "There is no such session", body = Problem),
              (status = 429, description = "Too many streams are open", body = Problem)))]
pub(super) async fn follow(
    server: Data<Server>,
    owner: ReqData<Owner>,
    id: Path<String>,
    wanted: Query<Wanted>,
    request: HttpRequest,
) -> Result<HttpResponse, Problem> {
    server.begins()?;
    let last = request.headers().get("last-event-id").and_then(|value| value.to_str().ok());
    let after = last.filter(|last| !last.is_empty()).or(wanted.after.as_deref());
    let summary = server.find(&owner, &id).await?;
    let last = summary.last_seq;
    let bad = |why: String| Problem::bad_request("bad_number", why);
    let (told, has_past) = match after {
        None => (0, true),
        Some("now") => (last, false),
        Some(number) => match number.parse() {
            Err(_) => return Err(bad("after is the number of an event, or `now`".to_owned())),
            Ok(number) if number > last => {
                return Err(bad(format!("there is no event {number}; the last is {last}")));
            }
            Ok(number) => (number, true),
        },
    };
    let following = Following::new(&server, server.enter(&summary.session)?, told, has_past)?;
    Ok(respond(following.also_elsewhere()))
}
