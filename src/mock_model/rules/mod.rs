//! The stand-in for a model: it matches words and reads results out. It does not think, and says so.
//!
//! ```text
//! question ─► token ─► plan: clauses ─► profile: which tool? ─► fill: with which arguments?
//! results  ─► results: a line for each call
//! ```
//!
//! It works for any tools, knows none of them by name, and gives the same answer to the same
//! request. `words` and `synonyms` are all it knows of English; `schema` is what it understands of
//! JSON Schema. Its arguments fit the schema also when the question says too little.

mod candidates;
mod fill;
mod fitting;
mod leftover;
mod plan;
mod profile;
mod results;
mod schema;
mod score;
mod synonyms;
#[cfg(test)]
mod tests;
mod token;
mod words;

use super::reply::{Call, Reply};
use super::request::{Function, Message, Request, Role, ToolCall, ToolChoice};

/// The reply to `request`.
pub(super) fn reply(request: &Request) -> Reply {
    let messages = &request.messages;
    let asked = messages.iter().rposition(|message| message.role == Role::User);
    let question = asked.and_then(|at| messages[at].content.as_deref()).unwrap_or_default();
    let since = &messages[asked.map_or(0, |at| at + 1)..];
    let done: Vec<&ToolCall> = since.iter().flat_map(|message| &message.tool_calls).collect();
    let one_by_one = request.parallel_tool_calls == Some(false);
    let mut calls = Vec::new();
    if done.is_empty() || one_by_one {
        calls = wanted(request, question);
        calls.retain(|call| !done.iter().any(|done| is_same(call, done)));
        calls.truncate(if one_by_one { 1 } else { usize::MAX });
    }
    if !calls.is_empty() {
        Reply { calls, ..Reply::default() }
    } else if done.is_empty() {
        Reply::text(excuse(request))
    } else {
        Reply::text(told(&done, since))
    }
}

/// The calls that the question asks for and `tool_choice` allows.
fn wanted(request: &Request, question: &str) -> Vec<Call> {
    let offered: Vec<&Function> = request.tools.iter().map(|tool| &tool.function).collect();
    match &request.tool_choice {
        ToolChoice::Mode(mode) if mode == "none" => Vec::new(),
        ToolChoice::Mode(mode) if mode == "required" => {
            let calls = plan::calls(question, &offered);
            let first = offered.first().filter(|_| calls.is_empty());
            calls.into_iter().chain(first.map(|tool| plan::forced_call(question, tool))).collect()
        }
        ToolChoice::Named { function: named } => {
            let named = offered.into_iter().filter(|tool| tool.name == named.name);
            named.map(|tool| plan::forced_call(question, tool)).collect()
        }
        ToolChoice::Mode(_) | ToolChoice::Unset => plan::calls(question, &offered),
    }
}

/// Says whether `done` is `call`, however a client has written its arguments since.
fn is_same(call: &Call, done: &ToolCall) -> bool {
    let value = |text: &str| serde_json::from_str::<serde_json::Value>(text).ok();
    call.name == done.function.name && value(&call.arguments) == value(&done.function.arguments)
}

/// A line for each call that was answered.
fn told(done: &[&ToolCall], since: &[Message]) -> String {
    let result = |call: &ToolCall| {
        since.iter().find(|message| message.tool_call_id.as_ref() == Some(&call.id))
    };
    let lines = done.iter().map(|call| {
        let result = result(call).and_then(|message| message.content.as_deref());
        results::line(&call.function.name, &call.function.arguments, result.unwrap_or_default())
    });
    lines.collect::<Vec<_>>().join("\n")
}

/// Why there is no better answer.
fn excuse(request: &Request) -> String {
    let names: Vec<&str> = request.tools.iter().map(|tool| tool.function.name.as_str()).collect();
    let known = match names.as_slice() {
        [] => "This request offers no tools.".to_owned(),
        [only] => format!("The tool I know is {only}."),
        _ => format!("The tools I know are {}.", names.join(", ")),
    };
    format!(
        "I am the offline stand-in for a model: I can only match the words of a question with \
         tools, and none was asked for. {known}"
    )
}
