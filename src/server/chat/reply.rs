//! An answer in one document, and the shapes that it shares with the streamed one.

use std::sync::Arc;

use actix_web::HttpResponse;
use serde::Serialize;

use super::run::{BETWEEN, Call, Step, new_id};
use super::{Problem, Response};
use crate::wire;

/// A whole answer.
#[derive(Serialize)]
struct Completion<'a> {
    id: &'a str,
    object: &'static str,
    created: u64,
    model: &'a str,
    choices: [Choice<'a>; 1],
    usage: Usage,
}

#[derive(Serialize)]
struct Choice<'a> {
    index: u32,
    message: Message<'a>,
    logprobs: Option<()>,
    finish_reason: &'static str,
}

#[derive(Serialize)]
struct Message<'a> {
    role: &'static str,
    content: Option<&'a str>,
    refusal: Option<()>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    tool_calls: Vec<ToolCall<'a>>,
}

/// A call for the client to run.
#[derive(Serialize)]
pub(super) struct ToolCall<'a> {
    /// Its place, where it is streamed.
    #[serde(skip_serializing_if = "Option::is_none")]
    index: Option<usize>,
    id: &'a str,
    #[serde(rename = "type")]
    kind: &'static str,
    function: Function<'a>,
}

#[derive(Serialize)]
struct Function<'a> {
    name: &'a str,
    arguments: &'a str,
}

impl<'a> ToolCall<'a> {
    pub fn of(call: &'a Call) -> Self {
        let function = Function { name: &call.tool, arguments: &call.arguments };
        Self { index: None, id: &call.id, kind: "function", function }
    }

    /// The same at this place of a streamed message.
    pub fn at(self, index: usize) -> Self {
        Self { index: Some(index), ..self }
    }
}

/// The tokens of all replies that an answer took.
#[derive(Clone, Copy, Serialize)]
pub(super) struct Usage {
    prompt_tokens: u64,
    completion_tokens: u64,
    total_tokens: u64,
    prompt_tokens_details: Cached,
    completion_tokens_details: Reasoning,
}

#[derive(Clone, Copy, Serialize)]
struct Cached {
    cached_tokens: u64,
}

#[derive(Clone, Copy, Serialize)]
struct Reasoning {
    reasoning_tokens: u64,
}

impl Usage {
    pub fn of(usage: &wire::Usage) -> Self {
        Self {
            prompt_tokens: usage.input_tokens,
            completion_tokens: usage.output_tokens,
            total_tokens: usage.input_tokens.saturating_add(usage.output_tokens),
            prompt_tokens_details: Cached { cached_tokens: usage.cached_tokens },
            completion_tokens_details: Reasoning { reasoning_tokens: usage.reasoning_tokens },
        }
    }
}

impl Response {
    /// When it began, in seconds since 1970.
    pub(super) fn created(&self) -> u64 {
        self.run.began_at_us.unwrap_or_default() / 1_000_000
    }

    /// The client is about to be told of `calls`: keeps the round for their results.
    pub(super) fn keep(self, calls: &[Call]) {
        let ids: Vec<Arc<str>> = calls.iter().map(|call| Arc::clone(&call.id)).collect();
        self.pending.keep(self.owner, ids, self.run);
    }
}

/// Answers when all is said. A client that goes away before drops this future, and with it the turn.
pub(super) async fn whole(mut response: Response) -> Result<HttpResponse, Problem> {
    let (mut text, mut calls) = (String::new(), Vec::new());
    let finish_reason = loop {
        match response.run.next().await {
            // What was void stood first: nothing stands between it and what comes.
            Step::Text(piece) if text.is_empty() => {
                text.push_str(piece.strip_prefix(BETWEEN).unwrap_or(&piece));
            }
            Step::Text(piece) => text.push_str(&piece),
            Step::Void(told) => text.truncate(text.len().saturating_sub(told)),
            Step::Calls(theirs) => {
                calls = theirs;
                break "tool_calls";
            }
            Step::Done(finish) => break finish,
            Step::Failed(problem) => return Err(problem),
        }
    };
    let id = new_id("chatcmpl-");
    let completion = Completion {
        id: &id,
        object: "chat.completion",
        created: response.created(),
        model: &response.model,
        choices: [Choice {
            index: 0,
            message: Message {
                role: "assistant",
                content: Some(text.as_str()).filter(|text| !text.is_empty() || calls.is_empty()),
                refusal: None,
                tool_calls: calls.iter().map(ToolCall::of).collect(),
            },
            logprobs: None,
            finish_reason,
        }],
        usage: Usage::of(&response.run.usage),
    };
    let answer = HttpResponse::Ok().json(completion);
    if !calls.is_empty() {
        response.keep(&calls);
    }
    Ok(answer)
}
