//! A person's word about a call that waits for it.

use actix_web::HttpResponse;
use actix_web::web::{Data, Path, ReqData};
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use super::Server;
use super::access::Owner;
use super::json::{Json, ObjectText};
use super::problem::Problem;
use crate::conversation::{CallKey, Decision, SessionId};

/// What somebody makes of a call that waits.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct Word {
    decision: Verdict,
    /// In place of the model's, with `approve`. They have to fit the tool's schema.
    #[serde(default)]
    #[schema(value_type = Option<Object>)]
    arguments: Option<ObjectText>,
    /// What the model is told of why, with `deny`.
    #[serde(default)]
    reason: Option<String>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize, ToSchema)]
#[serde(rename_all = "snake_case")]
enum Verdict {
    Approve,
    Deny,
}

/// What is on record now.
#[derive(Debug, Serialize, ToSchema)]
pub(super) struct Decided {
    /// `approved`, `edited` or `denied`.
    decision: &'static str,
}

/// Approves or denies a call that waits for it, named `ROUND-ATTEMPT-ORDINAL`.
#[utoipa::path(post, path = "/v1/sessions/{id}/approvals/{call}", tag = "sessions",
    params(("id" = String, Path), ("call" = String, Path)), request_body = Word,
    responses((status = 200, description = "It is on record", body = Decided),
              (status = 404, description = "No such call waits", body = Problem),
              (status = 409, description = "Somebody was faster", body = Problem),
              (status = 422, description = "The arguments do not fit; it still waits", body = Problem)))]
pub(super) async fn decide(
    server: Data<Server>,
    owner: ReqData<Owner>,
    path: Path<(String, String)>,
    Json(word): Json<Word>,
) -> Result<HttpResponse, Problem> {
    let (id, call) = path.into_inner();
    let used = server.session(&owner, &id).await?;
    let none = || {
        Problem::new(
            actix_web::http::StatusCode::NOT_FOUND,
            "not_waiting",
            "no such call waits for approval",
        )
    };
    let call = key(used.session.id(), &call).ok_or_else(none)?;
    let decision = match (word.decision, word.arguments, word.reason) {
        (Verdict::Approve, None, None) => Decision::Approved,
        (Verdict::Approve, Some(arguments), None) => {
            Decision::Edited { arguments: arguments.get().into() }
        }
        (Verdict::Deny, None, reason) => Decision::Denied { reason: reason.map(Into::into) },
        (Verdict::Approve, _, Some(_)) | (Verdict::Deny, Some(_), _) => {
            let detail = "arguments go with approve, a reason with deny";
            return Err(Problem::bad_request("bad_decision", detail));
        }
    };
    let said = decision.as_str();
    used.session.decide(&call, decision).await?;
    Ok(HttpResponse::Ok().json(Decided { decision: said }))
}

fn key(session: &SessionId, text: &str) -> Option<CallKey> {
    let mut parts = text.split('-');
    let (round, attempt, ordinal) = (parts.next()?, parts.next()?, parts.next()?);
    let key = CallKey {
        session: session.clone(),
        round: round.parse().ok()?,
        attempt: attempt.parse().ok()?,
        ordinal: ordinal.parse().ok()?,
    };
    parts.next().is_none().then_some(key)
}
