//! `POST …/messages`: a question, and its answer as it comes or when it is there.

use std::convert::Infallible;
use std::time::Duration;

use actix_web::http::StatusCode;
use actix_web::http::header::LOCATION;
use actix_web::web::{Bytes, BytesMut, Data, Path, ReqData};
use actix_web::{HttpRequest, HttpResponse};
use futures_util::stream;
use serde::Deserialize;
use tokio::time::timeout;
use utoipa::ToSchema;

use super::access::Owner;
use super::follow::{Following, Next, closed, ends, stream_of, word, written, written_unkept};
use super::json::Json;
use super::problem::Problem;
use super::sessions::is_cut;
use super::{Server, prefer};
use crate::conversation::{Event, Record, SessionId};
use crate::document::Document;
use crate::document::past::Past;
use crate::session::{Answer, Asked, Cause, Error, Question};

/// How long the answer of a turn whose end was heard may take to arrive.
const AT_ONCE: Duration = Duration::from_secs(5);

/// A question.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct Message {
    /// Its text.
    #[schema(min_length = 1, pattern = r"\S")]
    content: String,
}

/// A turn that has begun.
struct Begun {
    following: Following,
    turn: u64,
    /// Whoever has begun it has its answer; others read it.
    asked: Option<Asked>,
}

/// Asks a question. The answer is a stream of the turn's events, and at last an event `done` with its
/// document; with `Prefer: wait` it is the document, or with `wait=SECONDS` what there is of it then (202).
/// The turn goes on whether or not the client stays. With an `Idempotency-Key` the same question in the
/// same session is asked once: a repetition gets the same turn.
#[utoipa::path(post, path = "/v1/sessions/{id}/messages", tag = "sessions",
    params(("id" = String, Path),
           ("Prefer" = Option<String>, Header, description = "`wait` or `wait=SECONDS`: no stream"),
           ("Idempotency-Key" = Option<String>, Header, pattern = "^[!#-~]{1,255}$",
            description = "What the question is called, so that it is asked once")),
    request_body = Message,
    responses((status = 200, description = "Events, or with `Prefer: wait` the document",
               content((String = "text/event-stream"), (Object = "application/json"))),
              (status = 202, description = "It is under way; the document so far", body = Object),
              (status = 404, description = "There is no such session", body = Problem),
              (status = 409, description = "Another turn is under way, or elsewhere", body = Problem),
              (status = 422, description = "No question, or the key is that of another one", body = Problem)))]
pub(super) async fn ask(
    server: Data<Server>,
    owner: ReqData<Owner>,
    id: Path<String>,
    request: HttpRequest,
    Json(Message { content }): Json<Message>,
) -> Result<HttpResponse, Problem> {
    server.begins()?;
    let wait = prefer::wait(request.headers());
    let key = prefer::idempotency_key(request.headers())?;
    let used = server.session(&owner, &id).await?;
    let Some(key) = key else {
        let following = Following::new(&server, used.clone(), 0, false)?;
        let asked = used.session.begin(question(content, &request))?;
        return respond(begun(following, asked).await?, wait, &request).await;
    };
    // Of those with a key one at a time looks whether it was asked, and asks.
    let _one = used.keys.lock().await;
    let records = server.records(used.session.id(), 0).await?;
    let same = records.iter().rev().find_map(|record| match &record.event {
        Event::TurnStarted { turn, prompt, key: Some(of), .. } if *of == key => {
            Some((record.seq, *turn, prompt))
        }
        _ => None,
    });
    let begun = match same {
        Some((_, _, prompt)) if **prompt != *content => {
            let detail = "the Idempotency-Key is that of another question";
            return Err(Problem::new(StatusCode::UNPROCESSABLE_ENTITY, "key_reused", detail));
        }
        Some((seq, turn, _)) => {
            let following = Following::new(&server, used.clone(), seq - 1, true)?;
            // One that nobody runs would not end.
            let summary = server.0.store.find(used.session.id()).await?;
            let is_cut = summary
                .is_some_and(|summary| summary.digest.turns == turn && is_cut(&server, &summary));
            let asked = is_cut.then(|| used.session.begin_resume());
            Begun { following, turn, asked }
        }
        None => {
            let following = Following::new(&server, used.clone(), 0, false)?;
            let asked = used.session.begin(question(content, &request).key(key))?;
            begun(following, asked).await?
        }
    };
    drop(_one);
    respond(begun, wait, &request).await
}

/// A question that is a part of the trace that the client says.
fn question(content: String, request: &HttpRequest) -> Question {
    match prefer::trace_parent(request.headers()) {
        Some(parent) => Question::new(content).trace_parent(parent),
        None => Question::new(content),
    }
}

/// Goes on with a turn that was cut when a process ended, and answers as to a question.
#[utoipa::path(post, path = "/v1/sessions/{id}/resume", tag = "sessions",
    params(("id" = String, Path),
           ("Prefer" = Option<String>, Header, description = "`wait` or `wait=SECONDS`: no stream")),
    responses((status = 200, description = "Events, or with `Prefer: wait` the document",
               content((String = "text/event-stream"), (Object = "application/json"))),
              (status = 202, description = "It is under way; the document so far", body = Object),
              (status = 404, description = "There is no such session", body = Problem),
              (status = 409, description = "There is nothing to resume", body = Problem)))]
pub(super) async fn resume(
    server: Data<Server>,
    owner: ReqData<Owner>,
    id: Path<String>,
    request: HttpRequest,
) -> Result<HttpResponse, Problem> {
    server.begins()?;
    let wait = prefer::wait(request.headers());
    let summary = server.find(&owner, &id).await?;
    match summary.state() {
        _ if is_cut(&server, &summary) => {}
        "running" | "cut" => return Err(Error::Busy.into()),
        _ => return Err(Error::NoAnswer.into()),
    }
    let following = Following::new(&server, server.enter(&summary.session)?, 0, false)?;
    let asked = following.session().begin_resume();
    respond(begun(following, asked).await?, wait, &request).await
}

/// Waits until the turn has begun, or is refused: then nothing was sent yet.
async fn begun(mut following: Following, mut asked: Asked) -> Result<Begun, Problem> {
    loop {
        let next = tokio::select! {
            biased;
            next = following.next() => next,
            // Refused, or over before anybody heard of it.
            answer = &mut asked => return Err(match answer {
                Ok(_) => Error::NoAnswer.into(), // Somebody else had it gone on with, and it is over.
                Err(error) => error.into(),
            }),
        };
        match next {
            Next::Event(record) => match record.event {
                Event::TurnStarted { turn, .. } | Event::TurnResumed { turn }
                    if asked.turn() == Some(turn) =>
                {
                    following.put_back(record);
                    return Ok(Begun { following, turn, asked: Some(asked) });
                }
                _ => {}
            },
            Next::Unkept(_) | Next::Heartbeat => {}
            // One that has begun stays, and is gone on with: who would ask anew would ask twice.
            Next::Closed("shutting_down") => match asked.turn() {
                Some(turn) => return Ok(Begun { following, turn, asked: Some(asked) }),
                None => return Err(Problem::shutting_down()),
            },
            Next::Closed(_) => return Err(Error::Closed.into()),
        }
    }
}

/// Answers with the document, if the client would rather `wait`, or with what happens.
async fn respond(
    begun: Begun,
    wait: Option<Duration>,
    request: &HttpRequest,
) -> Result<HttpResponse, Problem> {
    let Some(wait) = wait else { return Ok(stream_of(events(begun))) };
    let Begun { mut following, turn, asked } = begun;
    let (server, id) = (following.server().clone(), following.session().id().clone());
    let place = request.path().rsplit_once('/').unwrap_or_default().0.to_owned();
    // The document, if whoever asked has it; not ended where the server does.
    let over = async {
        if let Some(mut asked) = asked {
            let answer = (&mut asked).await;
            match has_answered(&asked, &answer, turn) {
                _ if is_left(&answer) => return None,
                true => return Some(Some(document_of(answer))),
                false => {} // Somebody else was quicker to go on with it.
            }
        }
        loop {
            match following.next().await {
                Next::Event(record) | Next::Unkept(record) if ends(&record.event, turn) => {
                    break Some(None);
                }
                Next::Closed(_) => break None,
                Next::Event(_) | Next::Unkept(_) | Next::Heartbeat => {}
            }
        }
    };
    let (status, known) = match timeout(wait, over).await {
        Ok(Some(document)) => (StatusCode::OK, document),
        Ok(None) | Err(_) => (StatusCode::ACCEPTED, None),
    };
    let document = match known {
        Some(document) => document?,
        None => on_record(&server, &id, turn).await?,
    };
    let mut response = HttpResponse::build(status);
    if status == StatusCode::ACCEPTED {
        response.insert_header((LOCATION, place));
    }
    Ok(response.content_type("application/json").body(document))
}

/// Says whether `answer` is about `turn`: whoever wants to go on with one may find that somebody else does,
/// or did.
fn has_answered(asked: &Asked, answer: &Result<Answer, Error>, turn: u64) -> bool {
    match answer {
        Ok(_) | Err(Error::Turn(_)) => asked.turn() == Some(turn),
        Err(error) => !matches!(error, Error::Busy | Error::NoAnswer),
    }
}

/// The server ends, and the turn waits for the next one to go on with it.
fn is_left(answer: &Result<Answer, Error>) -> bool {
    matches!(answer, Err(Error::Turn(failed)) if matches!(failed.cause, Cause::ShutDown))
}

/// The turn's events, and at last its document.
fn events(begun: Begun) -> impl futures_util::Stream<Item = Result<Bytes, Infallible>> {
    stream::unfold(Some(begun), |begun| async {
        let mut begun = begun?;
        let (bytes, rest) = match begun.following.next().await {
            Next::Event(record) if ends(&record.event, begun.turn) => {
                let mut bytes = BytesMut::from(&*written(&record));
                bytes.extend_from_slice(&end(begun).await);
                (bytes.freeze(), None)
            }
            Next::Unkept(record) if ends(&record.event, begun.turn) => {
                let mut bytes = BytesMut::from(&*written_unkept(&record));
                bytes.extend_from_slice(&end(begun).await);
                (bytes.freeze(), None)
            }
            Next::Event(record) => (written(&record), Some(begun)),
            Next::Unkept(record) => (written_unkept(&record), Some(begun)),
            Next::Heartbeat => (Bytes::from_static(b": \n\n"), Some(begun)),
            Next::Closed(reason) => (closed(reason), None),
        };
        Some((Ok(bytes), rest))
    })
}

/// The last word of a turn that is over.
async fn end(Begun { following, turn, asked }: Begun) -> Bytes {
    let known = match asked {
        // It is on its way.
        Some(mut asked) => match timeout(AT_ONCE, &mut asked).await {
            Ok(answer) if has_answered(&asked, &answer, turn) => Some(document_of(answer)),
            _ => None,
        },
        None => None,
    };
    let document = match known {
        Some(document) => document,
        None => on_record(following.server(), following.session().id(), turn).await,
    };
    match document {
        Ok(document) => word("done", &document),
        Err(problem) => word("failed", &serde_json::to_string(&problem).unwrap_or_default()),
    }
}

/// The document of a turn that is over.
fn document_of(answer: Result<Answer, Error>) -> Result<String, Problem> {
    let text = match answer {
        Ok(answer) => serde_json::to_string(&Document::of_answer(&answer)),
        Err(Error::Turn(failed)) => serde_json::to_string(&Document::of_failure(&failed)),
        Err(error) => return Err(error.into()),
    };
    text.map_err(|_| Problem::internal())
}

/// The document of a turn, as far as it is on record.
async fn on_record(server: &Server, id: &SessionId, turn: u64) -> Result<String, Problem> {
    let records: Vec<Record> = server.records(id, 0).await?;
    let past = Past::of(&records).ok_or_else(|| Problem::not_found("session"))?;
    let found = past.turns.iter().find(|past| past.turn == turn);
    let found = found.ok_or_else(|| Problem::not_found("turn"))?;
    serde_json::to_string(&Document::of_turn(&past, found)).map_err(|_| Problem::internal())
}
