//! Bodies of requests that providers accepted: their history is read, and what we would send in its place is valid.

use std::fs;

use serde::Deserialize;
use serde_json::Value;
use serde_json::value::RawValue;

use super::super::chat::{
    Message, Request, Role, decode_messages, write_system, write_tool_result, write_user,
};
use super::super::{Extra, Finish, Reply};
use super::{folder, same};

#[test]
fn accepted_histories_are_read_and_written_again() {
    let Some(folder) = folder().map(|folder| folder.join("requests")) else { return };
    let (mut files, mut failures) = (0, Vec::new());
    for entry in fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        if path.extension().is_none_or(|ending| ending != "json") {
            continue;
        }
        files += 1;
        if let Err(failure) = check_messages(&fs::read(&path).unwrap()) {
            failures.push(format!("{}: {failure}", path.display()));
        }
    }
    println!("{}/{files} accepted histories are read and written again", files - failures.len());
    assert!(files > 0 && failures.is_empty(), "{}", failures.join("\n"));
}

#[derive(Deserialize)]
struct Body {
    messages: Box<RawValue>,
    tools: Option<Box<RawValue>>,
}

/// Checks the history of the request in `body`.
pub(super) fn check_messages(body: &[u8]) -> Result<(), String> {
    let body: Body = serde_json::from_slice(body).map_err(|error| error.to_string())?;
    let given =
        body.messages.get().trim().strip_prefix('[').and_then(|list| list.strip_suffix(']'));
    let messages = decode_messages(given.unwrap().as_bytes()).map_err(|error| error.to_string())?;
    let given: Vec<Value> = serde_json::from_str(body.messages.get()).unwrap();
    same("messages", given.len(), messages.len())?;
    for (given, message) in given.iter().zip(&messages) {
        compare(given, message)?;
    }

    let written = write(&messages);
    let tools = body.tools.as_ref().map_or("", |tools| tools.get()).as_bytes();
    let fields = br#""model":"m","stream":true"#;
    let request = Request { fields, tools, tool_fields: b"", messages: &written };
    let request: Value = serde_json::from_slice(&request.write()).map_err(|e| e.to_string())?;
    check_history(request["messages"].as_array().unwrap())?;
    let again = decode_messages(&written).map_err(|error| error.to_string())?;
    same("written again", format!("{messages:?}"), format!("{again:?}"))
}

/// Checks that nothing of a message was lost.
fn compare(given: &Value, message: &Message) -> Result<(), String> {
    let role = match message.role {
        Role::System if given["role"] == "developer" => "developer",
        Role::System => "system",
        Role::User => "user",
        Role::Assistant => "assistant",
        Role::Tool => "tool",
    };
    same("role", given["role"].as_str(), Some(role))?;
    let text: String = match &given["content"] {
        Value::Array(parts) => parts.iter().filter_map(|part| part["text"].as_str()).collect(),
        content => content.as_str().unwrap_or_default().to_owned(),
    };
    same("text", &text, &message.text)?;
    same("answered call", given["tool_call_id"].as_str(), message.tool_call_id.as_deref())?;
    let calls = given["tool_calls"].as_array().map_or(&[][..], Vec::as_slice);
    same("calls", calls.len(), message.calls.len())?;
    for (given, call) in calls.iter().zip(&message.calls) {
        same("id", given["id"].as_str(), Some(&*call.id))?;
        same("name", given["function"]["name"].as_str(), Some(call.name.as_str()))?;
        let given: Value =
            serde_json::from_str(given["function"]["arguments"].as_str().unwrap()).unwrap();
        let read: Value = serde_json::from_str(call.arguments.object().unwrap()).unwrap();
        let nothing = given.is_null() && read == serde_json::json!({});
        same("arguments", true, nothing || given == read)?;
    }
    Ok(())
}

fn write(messages: &[Message]) -> Vec<u8> {
    let mut out = Vec::new();
    for message in messages {
        if !out.is_empty() {
            out.push(b',');
        }
        match message.role {
            Role::System => write_system(&mut out, &message.text),
            Role::User => write_user(&mut out, &message.text),
            Role::Tool => {
                let id = message.tool_call_id.as_deref().unwrap_or_default();
                write_tool_result(&mut out, id, &message.text);
            }
            Role::Assistant => {
                let reply = Reply {
                    text: message.text.clone(),
                    reasoning: String::new(),
                    calls: message.calls.clone(),
                    finish: Finish::Stop,
                    truncated: false,
                    usage: None,
                    model: None,
                    id: None,
                    extra: Extra::default(),
                };
                reply.write_message(&mut out);
            }
        }
    }
    out
}

/// Checks what every provider asks of a history: contents are text, arguments are objects written as text, and the
/// calls of a message are answered right behind it, in their order, and by nothing else.
fn check_history(messages: &[Value]) -> Result<(), String> {
    let mut open = Vec::new().into_iter();
    for message in messages {
        if message["role"] == "tool" {
            same("the answered call", open.next().as_deref(), message["tool_call_id"].as_str())?;
        } else {
            same("a call without an answer", None, open.next())?;
        }
        let calls = message["tool_calls"].as_array().map_or(&[][..], Vec::as_slice);
        let may_be_absent = !calls.is_empty();
        same("content is text", true, message["content"].is_string() || may_be_absent)?;
        for call in calls {
            same("type", Some("function"), call["type"].as_str())?;
            let name = call["function"]["name"].as_str().unwrap_or_default();
            same("a call without a name", false, name.is_empty())?;
            let arguments = call["function"]["arguments"].as_str().unwrap_or_default();
            let object: Value = serde_json::from_str(arguments).map_err(|e| e.to_string())?;
            same("arguments are an object", true, object.is_object())?;
        }
        let ids: Vec<String> =
            calls.iter().map(|call| call["id"].as_str().unwrap_or_default().to_owned()).collect();
        if !ids.is_empty() {
            open = ids.into_iter();
        }
    }
    same("a call without an answer", None, open.next())
}
