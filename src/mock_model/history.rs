//! The rules a strict provider has for a history, and its words when one is broken.

use super::refusal::Refusal;
use super::request::{Message, Request, Role};

/// A user message of more bytes than this does not fit into the model's context.
const MAX_USER_MESSAGE: usize = 1_000_000;

/// Says whether a strict provider would take `request`: every call of an assistant message is
/// answered by exactly one tool message, right behind it, before any other role speaks.
pub(super) fn check(request: &Request) -> Result<(), Refusal> {
    if request.messages.is_empty() {
        let message = "Invalid 'messages': empty array. Expected an array with minimum length 1.";
        return Err(Refusal::invalid(message).at("messages").code("empty_array"));
    }
    // The call ids of the last assistant message that have no answer yet.
    let mut unanswered: Vec<&str> = Vec::new();
    let mut answered: Vec<&str> = Vec::new();
    for (index, message) in request.messages.iter().enumerate() {
        if message.role == Role::Tool {
            answer(message, index, &mut unanswered, &mut answered)?;
            continue;
        }
        refuse_unanswered(&unanswered, index)?;
        answered.clear();
        check_content(message, index)?;
        for call in &message.tool_calls {
            if unanswered.contains(&call.id.as_str()) {
                return Err(Refusal::invalid(format!("Duplicate tool call id '{}'.", call.id))
                    .at(format!("messages.[{index}].tool_calls")));
            }
            unanswered.push(&call.id);
        }
    }
    refuse_unanswered(&unanswered, request.messages.len())
}

/// Takes in the tool message at `index`.
fn answer<'a>(
    message: &'a Message,
    index: usize,
    unanswered: &mut Vec<&'a str>,
    answered: &mut Vec<&'a str>,
) -> Result<(), Refusal> {
    let Some(id) = message.tool_call_id.as_deref() else {
        return Err(Refusal::invalid(
            "Missing parameter 'tool_call_id': messages with role 'tool' \
             must have a 'tool_call_id'.",
        )
        .at(format!("messages.[{index}].tool_call_id")));
    };
    if message.content.is_none() {
        return Err(Refusal::invalid("Invalid value for 'content': expected a string, got null.")
            .at(format!("messages.[{index}].content")));
    }
    if let Some(place) = unanswered.iter().position(|open| *open == id) {
        answered.push(unanswered.remove(place));
        return Ok(());
    }
    let problem = if answered.contains(&id) {
        format!("Duplicate tool message: tool_call_id '{id}' was already answered.")
    } else {
        format!(
            "Invalid parameter: messages with role 'tool' must be a response to a preceding \
             message with 'tool_calls'. No such call: {id}"
        )
    };
    Err(Refusal::invalid(problem).at(format!("messages.[{index}].role")))
}

fn refuse_unanswered(unanswered: &[&str], index: usize) -> Result<(), Refusal> {
    if unanswered.is_empty() {
        return Ok(());
    }
    Err(Refusal::invalid(format!(
        "An assistant message with 'tool_calls' must be followed by tool messages responding to \
         each 'tool_call_id'. The following tool_call_ids did not have response messages: {}",
        unanswered.join(", ")
    ))
    .at(format!("messages.[{index}].role")))
}

fn check_content(message: &Message, index: usize) -> Result<(), Refusal> {
    let place = || format!("messages.[{index}].content");
    match &message.content {
        None if message.tool_calls.is_empty() => {
            Err(Refusal::invalid("Invalid value for 'content': expected a string, got null.")
                .at(place()))
        }
        Some(text) if message.role == Role::User && text.len() > MAX_USER_MESSAGE => {
            Err(Refusal::invalid(format!(
                "This model's maximum context length is {} tokens. However, your messages \
                 resulted in {} tokens. Please reduce the length of the messages.",
                MAX_USER_MESSAGE / 4,
                text.len() / 4
            ))
            .at("messages")
            .code("context_length_exceeded"))
        }
        _ => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::{Value, json};

    fn refusal(messages: Value) -> Option<Refusal> {
        let request = serde_json::from_value(json!({"messages": messages})).expect("a request");
        check(&request).err()
    }

    fn calls(ids: &[&str]) -> Value {
        let calls: Vec<Value> = ids
            .iter()
            .map(|id| json!({"id": id, "function": {"name": "f", "arguments": "{}"}}))
            .collect();
        json!({"role": "assistant", "content": null, "tool_calls": calls})
    }

    fn result(id: &str) -> Value {
        json!({"role": "tool", "tool_call_id": id, "content": "ok"})
    }

    fn user(text: &str) -> Value {
        json!({"role": "user", "content": text})
    }

    #[test]
    fn results_may_come_in_any_order() {
        let messages = json!([user("go"), calls(&["a", "b"]), result("b"), result("a")]);
        assert_eq!(refusal(messages), None);
    }

    #[test]
    fn a_call_without_a_result_is_named() {
        for messages in [
            json!([user("go"), calls(&["a", "b"]), result("a")]),
            json!([user("go"), calls(&["a", "b"]), result("a"), user("well?"), result("b")]),
        ] {
            let refusal = refusal(messages).expect("refused");
            assert!(refusal.message.ends_with("response messages: b"), "{refusal:?}");
            assert_eq!(refusal.param.as_deref(), Some("messages.[3].role"));
        }
    }

    #[test]
    fn a_result_nobody_asked_for_is_named() {
        let said = |messages| refusal(messages).expect("refused").message;
        assert!(said(json!([user("go"), result("x")])).ends_with("No such call: x"));
        let twice = json!([user("go"), calls(&["a"]), result("a"), result("a")]);
        assert!(said(twice).contains("'a' was already answered"));
        let late = json!([user("go"), calls(&["a"]), result("a"), user("?"), result("a")]);
        assert!(said(late).ends_with("No such call: a"));
        assert!(said(json!([user("go"), calls(&["a", "a"])])).contains("Duplicate tool call id"));
    }

    #[test]
    fn a_history_without_messages_or_content_is_refused() {
        assert_eq!(refusal(json!([])).expect("refused").code, Some("empty_array"));
        let silent = json!([user("go"), {"role": "assistant", "content": null}]);
        assert_eq!(
            refusal(silent).expect("refused").param.as_deref(),
            Some("messages.[1].content")
        );
        let parts = json!([{"role": "user", "content": [{"type": "text", "text": "go"}]}]);
        assert_eq!(refusal(parts), None);
    }

    #[test]
    fn a_user_message_beyond_the_context_is_refused() {
        assert_eq!(refusal(json!([user(&"x".repeat(1_000_000))])), None);
        let refusal = refusal(json!([user(&"x".repeat(1_000_001))])).expect("refused");
        assert_eq!(refusal.code, Some("context_length_exceeded"));
    }
}
