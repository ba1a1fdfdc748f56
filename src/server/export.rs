//! A session as a file.

use actix_web::HttpResponse;
use actix_web::http::header::{CONTENT_DISPOSITION, CONTENT_TYPE};
use actix_web::web::{Data, Path, Query, ReqData};
use serde::Deserialize;
use utoipa::{IntoParams, ToSchema};

use super::Server;
use super::access::Owner;
use super::problem::Problem;
use crate::conversation::SessionId;
use crate::document::lines;
use crate::document::trace::Trace;

#[derive(Debug, Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
#[serde(deny_unknown_fields)]
pub(super) struct Wanted {
    /// As what; `jsonl` if it is left out.
    #[serde(default)]
    format: Format,
}

/// A kind of file.
#[derive(Clone, Copy, Debug, Default, Deserialize, ToSchema)]
#[serde(rename_all = "kebab-case")]
pub(super) enum Format {
    /// Its events, a line each.
    #[default]
    Jsonl,
    /// For a browser's tracing page, or Perfetto.
    ChromeTrace,
}

/// A session as a file: its events, or a trace that a browser draws.
#[utoipa::path(get, path = "/v1/sessions/{id}/export", tag = "sessions",
    params(("id" = String, Path), Wanted),
    responses((status = 200, description = "The file", content((String = "application/jsonl"), (Object = "application/json"))),
              (status = 404, description = "There is no such session", body = Problem)))]
pub(super) async fn export(
    server: Data<Server>,
    owner: ReqData<Owner>,
    id: Path<String>,
    wanted: Query<Wanted>,
) -> Result<HttpResponse, Problem> {
    let id = server.find(&owner, &id).await?.session;
    let records = server.records(&id, 0).await?;
    let (kind, ending) = match wanted.format {
        Format::Jsonl => ("application/jsonl", "jsonl"),
        Format::ChromeTrace => ("application/json", "trace.json"),
    };
    let text = match wanted.format {
        Format::Jsonl => lines(&records),
        Format::ChromeTrace => serde_json::to_string(&Trace::of(&id, &records)),
    };
    let text = text.map_err(|_| Problem::internal())?;
    let name = format!("attachment; filename=\"{}.{ending}\"", file_name(&id));
    let mut response = HttpResponse::Ok();
    response.insert_header((CONTENT_TYPE, kind)).insert_header((CONTENT_DISPOSITION, name));
    Ok(response.body(text))
}

/// What every file system takes.
fn file_name(id: &SessionId) -> String {
    let safe = |c: char| if c.is_ascii_alphanumeric() || "-_.".contains(c) { c } else { '_' };
    id.as_str().chars().take(128).map(safe).collect()
}
