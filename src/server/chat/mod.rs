//! `POST /v1/chat/completions` and `GET /v1/models`, as OpenAI has them: any client of theirs gets our tools
//! run on the server by changing its base URL.
//!
//! A request is a turn of a session of its own, that leaves no trace. Its messages are the session's history
//! as the client has it; the calls of our tools and their results are not among them, and are not shown.
//! The tools that the client names itself are the client's: a reply that calls them ends the response, the
//! client runs them and comes again with their results. Our own calls of that reply go on meanwhile, and the
//! turn waits ([`pending`]). Closing the request cancels the turn.
//!
//! - `model` is the configured one, whatever is sent.
//! - For this turn: `temperature`, `top_p`, `max_tokens` or `max_completion_tokens` (of each reply of the
//!   model), `stop`, `seed`, `presence_penalty`, `frequency_penalty`, `logit_bias`, `response_format`,
//!   `reasoning_effort`, `verbosity`, `user`, `tool_choice` and `parallel_tool_calls`.
//! - Refused, for the answer would not be what was asked for: `n` above 1, `logprobs`, `top_logprobs`,
//!   `audio`, `modalities` other than text, `web_search_options`, `functions`, `function_call`, tools that are
//!   not functions.
//! - Without effect: all other fields, and `strict` of a function: arguments are held to its schema anyway.
//!
//! What a request says beside its messages holds for the whole turn: where it brings the results of calls that
//! were returned, the tools and the settings of the request that began the turn count, and its own do not.
//!
//! A system message of the client's takes the place of the configured system prompt. A call of ours that
//! needs approval is denied, and so is one of a tool of ours that does not run here
//! ([`Approval::Outside`](crate::Approval::Outside)): only those that the client sent are the client's.

pub(super) mod models;
mod pending;
mod reply;
mod request;
mod run;
mod stream;

use std::sync::Arc;

use actix_web::web::{Data, ReqData};
use actix_web::{HttpRequest, HttpResponse};

pub(super) use self::models::{list as models, show as model};
pub(super) use self::pending::Pending;
use self::request::{Body, Request};
use self::run::Run;
use super::access::Owner;
use super::json::Json;
use super::problem::Problem;
use super::streams::Permit;
use super::{Server, prefer};
use crate::conversation::GivenHistory;
use crate::session::{Question, Runtime, SessionOptions};

/// What the turns of clients are made of.
pub(super) struct Chat {
    options: SessionOptions,
    pub pending: Arc<Pending>,
}

impl Chat {
    /// As `options` say of sessions, but that nothing of these is kept and nobody is there to approve.
    pub fn new(options: &SessionOptions, runtime: &Runtime, pending: std::time::Duration) -> Self {
        let options = options.clone().ephemeral().deny_unasked();
        Self { options, pending: Pending::start(runtime, pending) }
    }
}

/// One response to a client.
struct Response {
    run: Run,
    model: Arc<str>,
    owner: Owner,
    pending: Arc<Pending>,
    _permit: Permit,
}

/// Answers a conversation, as OpenAI does. Our tools are run here; those that the client sends are called by
/// the response, and go on with the client's next request.
#[utoipa::path(post, path = "/v1/chat/completions", tag = "chat", request_body = Object,
    responses((status = 200, description = "A completion, or with `stream` its chunks",
               content((Object = "application/json"), (String = "text/event-stream"))),
              (status = 400, description = "It cannot be answered so", body = Object),
              (status = 429, description = "Too much at a time", body = Object),
              (status = 502, description = "The model gave no answer", body = Object)))]
pub(super) async fn complete(
    server: Data<Server>,
    owner: ReqData<Owner>,
    http: HttpRequest,
    Json(body): Json<Body>,
) -> Result<HttpResponse, Problem> {
    server.begins()?;
    let request = Request::read(body)?;
    let owner = owner.into_inner();
    let too_many = || Problem::overloaded("too many requests are under way", 1);
    let permit = server.0.streams.open(&owner).ok_or_else(too_many)?;
    let chat = &server.0.chat;
    let run = match chat.pending.take(&owner, &request.messages)? {
        Some(run) => run,
        None => begin(&server, &owner, &request, prefer::trace_parent(http.headers()))?,
    };
    let (model, pending) = (chat.options.model_name().into(), Arc::clone(&chat.pending));
    let response = Response { run, model, owner, pending, _permit: permit };
    match request.stream {
        None => reply::whole(response).await,
        Some(streamed) => stream::respond(response, streamed).await,
    }
}

/// Begins a turn that answers the client's messages.
fn begin(
    server: &Server,
    owner: &Owner,
    request: &Request,
    trace_parent: Option<&str>,
) -> Result<Run, Problem> {
    let history = GivenHistory::new(request.messages.iter().map(|message| message.get()));
    let history = history.map_err(|error| {
        Problem::bad_request("bad_messages", error.to_string())
            .about(format!("messages[{}]", error.index))
    })?;
    let mut options = server.0.chat.options.clone().id(owner.new_id()).history(history);
    let tools = options.first_tools();
    request.check_choice(&tools)?;
    if let Some(tools) = request.tools_beside(&tools)? {
        options = options.tools(Arc::new(tools));
    }
    if let Some(settings) = &request.settings {
        options = options.request_settings(settings);
    }
    let session = server.0.runtime.session(options);
    // A client that is gone before the session is there is passed over.
    let question = Question::go_on().wait_in_line();
    let question = match trace_parent {
        Some(parent) => question.trace_parent(parent),
        None => question,
    };
    Ok(Run::begin(session, question, request.tool_names())?)
}
