//! Sessions as such: made, listed, shown, cancelled, removed.

use std::time::Duration;

use actix_web::http::header::LOCATION;
use actix_web::web::{Data, Path, Query, ReqData};
use actix_web::{HttpRequest, HttpResponse};
use serde::{Deserialize, Serialize};
use tokio::time::{Instant, sleep};
use utoipa::{IntoParams, ToSchema};

use super::Server;
use super::access::Owner;
use super::json::Json;
use super::overview::{Failure, Overview, Waiting};
use super::problem::Problem;
use crate::conversation::SessionId;
use crate::document::past::Past;
use crate::document::{Document, exact};
use crate::store::{Access, Cursor, Listing, Summary};

/// How long a session that is to be removed may take to fall asleep, and how often that is looked at.
const FALLS_ASLEEP: Duration = Duration::from_secs(1);
const LOOK: Duration = Duration::from_millis(1);

/// The most that are listed at once.
const MOST: usize = 200;

/// A session to be made.
#[derive(Debug, Default, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct NewSession {
    /// Its id: 1 to 128 letters, digits, `-`, `_`, `.` and `:`, the first one no
    /// dot. A new one if it is left out. With a token
    /// the ids of all its sessions begin with the token's name and a colon, which is put there.
    #[serde(default)]
    #[schema(pattern = "^[A-Za-z0-9_:-][A-Za-z0-9_.:-]{0,127}$")]
    id: Option<String>,
}

/// A session that was made.
#[derive(Debug, Serialize, ToSchema)]
pub(super) struct Made {
    /// Its id.
    session: String,
}

#[derive(Debug, Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
#[serde(deny_unknown_fields)]
pub(super) struct Wanted {
    /// At most so many, 1 to 200; 50 if it is left out.
    #[param(minimum = 1, maximum = 200)]
    limit: Option<usize>,
    /// Those behind this place: `next` of the page before.
    #[param(pattern = r"^[0-9]{1,19}-[^\u0000-\u001f\u007f-\u009f]+$")]
    after: Option<String>,
}

/// A page of sessions, the last active one first.
#[derive(Debug, Serialize, ToSchema)]
pub(super) struct Listed {
    sessions: Vec<Line>,
    /// Where the next page begins; null if there is none.
    next: Option<String>,
}

/// A session in a list.
#[derive(Debug, Serialize, ToSchema)]
struct Line {
    session: String,
    /// The beginning of the first question.
    title: String,
    /// `idle`, `running`, `waiting` (for a person), `cut` (to be resumed) or `elsewhere` (another process
    /// has it open).
    state: &'static str,
    turns: u64,
    rounds: u64,
    /// Turns that failed.
    failed: u64,
    created_at: String,
    updated_at: String,
    /// The number of its last event.
    last_seq: u64,
    /// Why the last turn failed, if it did.
    last_error: Option<Failure>,
}

/// Whether there was something to cancel.
#[derive(Debug, Serialize, ToSchema)]
pub(super) struct Cancelled {
    cancelled: bool,
}

/// What is to be cancelled: the turn that is under way, or one call of it.
#[derive(Debug, Default, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct ToCancel {
    /// The call's id on the wire; the turn if it is left out.
    #[serde(default)]
    call: Option<String>,
}

/// Makes a session. One that is there already is refused.
#[utoipa::path(post, path = "/v1/sessions", tag = "sessions", request_body = NewSession,
    responses((status = 201, description = "It is made", body = Made),
              (status = 400, description = "No such id can be", body = Problem),
              (status = 409, description = "There is one of this id", body = Problem)))]
pub(super) async fn create(
    server: Data<Server>,
    owner: ReqData<Owner>,
    request: HttpRequest,
    Json(NewSession { id }): Json<NewSession>,
) -> Result<HttpResponse, Problem> {
    server.begins()?;
    let id = match id {
        None => owner.new_id(),
        Some(id) => owner.id_of(checked(&id)?),
    };
    server.0.store.make(&id, server.0.clock.micros_at(Instant::now())).await?;
    // As it was asked for: the server may be mounted under a prefix.
    let place = format!("{}/{id}", request.path().trim_end_matches('/'));
    let made = Made { session: id.to_string() };
    Ok(HttpResponse::Created().insert_header((LOCATION, place)).json(made))
}

/// Those of the token, the last active one first, in pages.
#[utoipa::path(get, path = "/v1/sessions", tag = "sessions", params(Wanted),
    responses((status = 200, description = "A page", body = Listed),
              (status = 400, description = "No such page", body = Problem)))]
pub(super) async fn list(
    server: Data<Server>,
    owner: ReqData<Owner>,
    wanted: Query<Wanted>,
) -> Result<HttpResponse, Problem> {
    let limit = wanted.limit.unwrap_or(50);
    if !(1..=MOST).contains(&limit) {
        let detail = format!("limit is a number from 1 to {MOST}");
        return Err(Problem::bad_request("bad_limit", detail));
    }
    let after = wanted.after.as_deref().map(cursor).transpose()?;
    let prefix = owner.prefix().unwrap_or_default().into();
    let listing = Listing { limit, after, prefix, ..Listing::default() };
    let page = server.0.store.list(&listing).await?;
    let mut sessions = Vec::with_capacity(page.sessions.len());
    for summary in &page.sessions {
        let overview = server.0.overviews.of(&*server.0.store, summary).await?;
        sessions.push(Line::of(&server, summary, &overview));
    }
    let next =
        page.next.map(|Cursor { updated_at_us, session }| format!("{updated_at_us}-{session}"));
    Ok(HttpResponse::Ok().json(Listed { sessions, next }))
}

/// What a session was so far, its rounds among it.
#[utoipa::path(get, path = "/v1/sessions/{id}", tag = "sessions", params(("id" = String, Path)),
    responses((status = 200, description = "The document of `sessions show --json`", body = Object),
              (status = 404, description = "There is none", body = Problem)))]
pub(super) async fn show(
    server: Data<Server>,
    owner: ReqData<Owner>,
    id: Path<String>,
) -> Result<HttpResponse, Problem> {
    #[derive(Serialize)]
    struct Shown<'a> {
        #[serde(flatten)]
        document: Document<'a>,
        last_seq: u64,
        waiting: Vec<&'a Waiting>,
    }
    let summary = server.find(&owner, &id).await?;
    let records = server.records(&summary.session, 0).await?;
    let past = Past::of_known(&summary, &records);
    let past = past.ok_or_else(|| Problem::not_found("session"))?;
    let overview = server.0.overviews.of(&*server.0.store, &summary).await?;
    let document = Document::of_session(&past, state(&server, &summary, &overview));
    let last_seq = records.last().map_or(0, |record| record.seq);
    let waiting = overview.waiting.values().collect();
    Ok(HttpResponse::Ok().json(Shown { document, last_seq, waiting }))
}

/// Removes a session and all that is on record of it. One whose turn is under way is refused.
#[utoipa::path(delete, path = "/v1/sessions/{id}", tag = "sessions", params(("id" = String, Path)),
    responses((status = 204, description = "It is gone"),
              (status = 404, description = "There is none", body = Problem),
              (status = 409, description = "It is in use", body = Problem)))]
pub(super) async fn remove(
    server: Data<Server>,
    owner: ReqData<Owner>,
    id: Path<String>,
) -> Result<HttpResponse, Problem> {
    let summary = server.find(&owner, &id).await?;
    let id = &summary.session;
    let runs = matches!(summary.state(), "running" | "cut") && !is_cut(&server, &summary);
    let runtime = &server.0.runtime;
    let busy = || Problem::conflict("busy", "a turn of the session is under way");
    if runs || !runtime.release(id) {
        return Err(busy());
    }
    // Whoever makes one of this id from now on is to find it gone.
    let until = Instant::now() + FALLS_ASLEEP;
    while runtime.is_awake(id) && Instant::now() < until {
        sleep(LOOK).await;
    }
    // Somebody may have asked meanwhile, or do so from now on: then it is theirs.
    let access = match (runtime.is_awake(id), runtime.is_busy(id)) {
        (_, true) => return Err(busy()),
        (true, false) => Access::TakeOver, // It is stuck, and fenced.
        (false, false) => Access::IfFree,
    };
    server.0.store.remove(id, access).await?;
    server.0.registry.forget(&owner, id);
    server.0.overviews.forget(id);
    Ok(HttpResponse::NoContent().finish())
}

/// Cancels the turn that is under way, or one call of it. That is all that does: a client that goes away
/// cancels nothing.
#[utoipa::path(post, path = "/v1/sessions/{id}/cancel", tag = "sessions",
    params(("id" = String, Path)), request_body = ToCancel,
    responses((status = 200, description = "Whether there was something to cancel", body = Cancelled),
              (status = 404, description = "There is no such session", body = Problem)))]
pub(super) async fn cancel(
    server: Data<Server>,
    owner: ReqData<Owner>,
    id: Path<String>,
    Json(ToCancel { call }): Json<ToCancel>,
) -> Result<HttpResponse, Problem> {
    let used = server.session(&owner, &id).await?;
    let cancelled = match call {
        None => used.session.cancel().await,
        Some(call) => used.session.cancel_call(&call).await,
    };
    Ok(HttpResponse::Ok().json(Cancelled { cancelled }))
}

/// The account of a round: what waited, what ran, what was restarted, what parallelism saved.
#[utoipa::path(get, path = "/v1/sessions/{id}/rounds/{round}", tag = "sessions",
    params(("id" = String, Path), ("round" = u64, Path)),
    responses((status = 200, description = "The round", body = Object),
              (status = 404, description = "There is none", body = Problem)))]
pub(super) async fn round(
    server: Data<Server>,
    owner: ReqData<Owner>,
    path: Path<(String, String)>,
) -> Result<HttpResponse, Problem> {
    let (id, number) = path.into_inner();
    let id = server.find(&owner, &id).await?.session;
    let none = || Problem::not_found("round");
    let number: u64 = number.parse().map_err(|_| none())?;
    let records = server.records(&id, 0).await?;
    let past = Past::of(&records).ok_or_else(none)?;
    let round = past.turns.iter().flat_map(|turn| &turn.rounds).find(|round| round.round == number);
    Ok(HttpResponse::Ok().json(crate::document::Round::of(round.ok_or_else(none)?)))
}

impl Line {
    fn of(server: &Server, summary: &Summary, overview: &Overview) -> Self {
        Self {
            session: summary.session.to_string(),
            title: summary.digest.title.to_string(),
            state: state(server, summary, overview),
            turns: summary.digest.turns,
            rounds: overview.rounds,
            failed: overview.failed,
            created_at: exact(summary.created_at_us),
            updated_at: exact(summary.updated_at_us),
            last_seq: summary.last_seq,
            last_error: overview.last_error.clone(),
        }
    }
}

fn state(server: &Server, summary: &Summary, overview: &Overview) -> &'static str {
    match summary.state() {
        "running" | "cut" if is_cut(server, summary) => "cut",
        "cut" => "running", // It is just gone on with.
        "running" if !is_here(summary) => "elsewhere",
        "running" if !overview.waiting.is_empty() => "waiting",
        state => state,
    }
}

/// A turn is open, and nobody runs it. The session may be awake here all the same: somebody follows it.
pub(super) fn is_cut(server: &Server, summary: &Summary) -> bool {
    let is_busy = || server.0.runtime.is_busy(&summary.session);
    match summary.state() {
        "cut" => !is_busy(),
        "running" => is_here(summary) && !is_busy(),
        _ => false,
    }
}

fn is_here(summary: &Summary) -> bool {
    summary.owner.as_ref().is_some_and(|holder| holder.is_here)
}

/// The place in the list that was written as `text`.
fn cursor(text: &str) -> Result<Cursor, Problem> {
    let text = Some(text).filter(|text| !text.chars().any(char::is_control));
    let place = text.and_then(|text| text.split_once('-')).and_then(|(time, session)| {
        Some(Cursor { updated_at_us: time.parse().ok()?, session: SessionId::new(session) })
    });
    place.ok_or_else(|| Problem::bad_request("bad_cursor", "after is the `next` of another page"))
}

/// An id that a client has chosen.
fn checked(id: &str) -> Result<&str, Problem> {
    let fits = |c: char| c.is_ascii_alphanumeric() || "-_.:".contains(c);
    // A path of dots leads elsewhere, and a file of such a name is hidden.
    match (1..=128).contains(&id.len()) && id.chars().all(fits) && !id.starts_with('.') {
        true => Ok(id),
        false => {
            let detail =
                "an id has 1 to 128 letters, digits, `-`, `_`, `.` and `:`, and begins with no dot";
            Err(Problem::bad_request("bad_id", detail))
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_id_leads_nowhere_else() {
        for good in ["a", "ann:demo-1", "0192.x_Y"] {
            assert!(checked(good).is_ok(), "{good}");
        }
        let long = "x".repeat(129);
        for bad in ["", ".", "..", "a/b", "a b", "a%2Fb", "ä", "a\n", &long] {
            assert!(checked(bad).is_err(), "{bad}");
        }
    }

    #[test]
    fn a_cursor_reads_back() {
        let place = cursor("17-ann:a-b").unwrap();
        assert_eq!((place.updated_at_us, place.session.as_str()), (17, "ann:a-b"));
        assert!(cursor("x-ann").is_err() && cursor("17").is_err());
    }
}
