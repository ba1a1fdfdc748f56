//! An answer as it comes.

use std::collections::VecDeque;
use std::convert::Infallible;
use std::sync::Arc;
use std::time::Duration;

use actix_web::HttpResponse;
use actix_web::web::Bytes;
use futures_util::stream;
use serde::Serialize;
use tokio::time::timeout;

use super::reply::{ToolCall, Usage};
use super::request::Streamed;
use super::run::{Call, Step, new_id};
use super::{Problem, Response};

/// After so long without a chunk, such as while tools run, a comment is sent: it keeps the connection open,
/// and finds out a client that is gone.
const HEARTBEAT: Duration = Duration::from_secs(15);

const COMMENT: &[u8] = b": keep-alive\n\n";
const DONE: &[u8] = b"data: [DONE]\n\n";

#[derive(Serialize)]
struct Chunk<'a> {
    id: &'a str,
    object: &'static str,
    created: u64,
    model: &'a str,
    choices: &'a [Choice<'a>],
    /// Said where it was asked for: null in all chunks but the last.
    #[serde(skip_serializing_if = "Option::is_none")]
    usage: Option<Option<Usage>>,
}

#[derive(Serialize)]
struct Choice<'a> {
    index: u32,
    delta: Delta<'a>,
    logprobs: Option<()>,
    finish_reason: Option<&'static str>,
}

#[derive(Default, Serialize)]
struct Delta<'a> {
    #[serde(skip_serializing_if = "Option::is_none")]
    role: Option<&'static str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    content: Option<&'a str>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    tool_calls: Vec<ToolCall<'a>>,
}

/// A stream that is under way. Dropping it cancels the turn, unless its calls are the client's to run.
struct Sending {
    /// `None` once all is said.
    response: Option<Response>,
    /// What is sent before anything else is waited for.
    ready: VecDeque<Bytes>,
    head: Head,
    streamed: Streamed,
}

/// What all chunks have in common.
struct Head {
    id: String,
    model: Arc<str>,
    created: u64,
    counts: bool,
}

impl Head {
    fn chunk(&self, choices: &[Choice<'_>], usage: Option<Usage>) -> Bytes {
        let Self { id, model, created, counts } = self;
        let usage = counts.then_some(usage);
        let (object, created) = ("chat.completion.chunk", *created);
        let chunk = Chunk { id, object, created, model, choices, usage };
        data(&chunk)
    }

    fn delta(&self, delta: Delta<'_>, finish_reason: Option<&'static str>) -> Bytes {
        self.chunk(&[Choice { index: 0, delta, logprobs: None, finish_reason }], None)
    }
}

fn data(value: &impl Serialize) -> Bytes {
    let mut text = Vec::with_capacity(256);
    text.extend_from_slice(b"data: ");
    // One line: JSON has no line's end in it.
    if serde_json::to_writer(&mut text, value).is_err() {
        tracing::error!("a chunk is no JSON");
    }
    text.extend_from_slice(b"\n\n");
    text.into()
}

/// Answers as it comes. What goes wrong before anything was said is a refusal like any other.
pub(super) async fn respond(
    mut response: Response,
    streamed: Streamed,
) -> Result<HttpResponse, Problem> {
    let first = match timeout(HEARTBEAT, response.run.next()).await {
        Ok(Step::Failed(problem)) => return Err(problem),
        Ok(step) => Some(step),
        Err(_) => None,
    };
    let (created, model) = (response.created(), Arc::clone(&response.model));
    let (id, counts) = (new_id("chatcmpl-"), streamed.include_usage);
    let head = Head { id, model, created, counts };
    let role = Delta { role: Some("assistant"), content: Some(""), ..Delta::default() };
    let ready = VecDeque::from([head.delta(role, None)]);
    let mut sending = Sending { response: Some(response), ready, head, streamed };
    match first {
        Some(step) => sending.on(step),
        None => sending.ready.push_back(Bytes::from_static(COMMENT)),
    }
    let chunks = stream::unfold(sending, |mut sending| async {
        let chunk = sending.next().await?;
        Some((Ok::<_, Infallible>(chunk), sending))
    });
    Ok(HttpResponse::Ok()
        .content_type("text/event-stream")
        .insert_header(("x-accel-buffering", "no"))
        .streaming(chunks))
}

impl Sending {
    async fn next(&mut self) -> Option<Bytes> {
        loop {
            if let Some(bytes) = self.ready.pop_front() {
                return Some(bytes);
            }
            let response = self.response.as_mut()?;
            match timeout(HEARTBEAT, response.run.next()).await {
                Ok(step) => self.on(step),
                Err(_) => return Some(Bytes::from_static(COMMENT)),
            }
        }
    }

    fn on(&mut self, step: Step) {
        match step {
            Step::Text(text) => {
                let delta = Delta { content: Some(&text), ..Delta::default() };
                self.ready.push_back(self.head.delta(delta, None));
            }
            Step::Void(_) => {} // What the client was told is not taken back.
            Step::Calls(calls) => self.end("tool_calls", &calls),
            Step::Done(finish) => self.end(finish, &[]),
            Step::Failed(problem) => {
                self.ready.push_back(data(&problem.open_ai()));
                self.response = None;
            }
        }
    }

    fn end(&mut self, finish: &'static str, calls: &[Call]) {
        for (index, call) in calls.iter().enumerate() {
            let call = ToolCall::of(call).at(index);
            let delta = Delta { tool_calls: vec![call], ..Delta::default() };
            self.ready.push_back(self.head.delta(delta, None));
        }
        self.ready.push_back(self.head.delta(Delta::default(), Some(finish)));
        let Some(response) = self.response.take() else { return };
        if self.streamed.include_usage {
            let usage = Usage::of(&response.run.usage);
            self.ready.push_back(self.head.chunk(&[], Some(usage)));
        }
        self.ready.push_back(Bytes::from_static(DONE));
        if !calls.is_empty() {
            response.keep(calls); // Before the client can know of them.
        }
    }
}
