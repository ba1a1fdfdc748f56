//! A history that somebody else has written: taken apart, each message as it stands.

use serde::Deserialize;
use serde::de::IgnoredAny;
use serde_json::value::RawValue;

use super::Role;

/// A message as it was given.
#[derive(Clone, Debug)]
pub struct Given<'a> {
    /// The message object as it stands.
    pub json: &'a str,
    /// Who speaks.
    pub role: Role,
    /// The ids of the calls of an assistant's message, in order.
    pub calls: Vec<String>,
    /// The call that a tool's message answers.
    pub answers: Option<String>,
}

#[derive(Deserialize)]
struct Draft<'a> {
    role: Option<String>,
    #[serde(borrow)]
    content: Option<&'a RawValue>,
    tool_calls: Option<Vec<DraftCall>>,
    function_call: Option<IgnoredAny>,
    tool_call_id: Option<String>,
}

#[derive(Deserialize)]
struct DraftCall {
    id: Option<String>,
}

/// Reads the message object `json`, which another program has written. What its content is made of is the
/// model's business.
///
/// # Errors
/// One line about why no provider would take it.
pub fn read_given(json: &str) -> Result<Given<'_>, String> {
    let draft: Draft<'_> = serde_json::from_str(json).map_err(|error| error.to_string())?;
    let role = match draft.role.as_deref() {
        Some("system" | "developer") => Role::System,
        Some("user") => Role::User,
        Some("assistant") => Role::Assistant,
        Some("tool") => Role::Tool,
        Some(other) => return Err(format!("the role `{other}` is not known")),
        None => return Err("it has no `role`".to_owned()),
    };
    if draft.function_call.is_some() {
        return Err("`function_call` is not taken any more; use `tool_calls`".to_owned());
    }
    match (draft.content.map(|content| content.get().as_bytes()[0]), role) {
        (Some(b'"' | b'['), _) | (None, Role::Assistant) => {}
        (None, _) => return Err("it has no `content`".to_owned()),
        (Some(_), _) => return Err("its `content` is neither a string nor a list".to_owned()),
    }
    let calls = draft.tool_calls.unwrap_or_default();
    if !calls.is_empty() && role != Role::Assistant {
        return Err("only the assistant has `tool_calls`".to_owned());
    }
    let id = |call: DraftCall| call.id.filter(|id| !id.is_empty());
    let calls: Option<Vec<String>> = calls.into_iter().map(id).collect();
    let calls = calls.ok_or("one of its `tool_calls` has no `id`")?;
    let answers = draft.tool_call_id.filter(|_| role == Role::Tool);
    if role == Role::Tool && answers.is_none() {
        return Err("it has no `tool_call_id`".to_owned());
    }
    Ok(Given { json, role, calls, answers })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_message_says_who_speaks_what_it_asks_for_and_what_it_answers() {
        let read = |json| {
            let Given { role, calls, answers, .. } = read_given(json).unwrap();
            (role, calls.join(" "), answers)
        };
        let none = String::new;
        let system = (Role::System, none(), None);
        assert_eq!(read(r#"{"role":"system","content":"a"}"#), system);
        assert_eq!(read(r#"{"role":"developer","content":[{"type":"text"}]}"#), system);
        assert_eq!(read(r#"{"role":"user","content":[]}"#), (Role::User, none(), None));
        let calls = r#"{"role":"assistant","content":null,"tool_calls":[{"id":"a"},{"id":"b"}]}"#;
        assert_eq!(read(calls), (Role::Assistant, "a b".to_owned(), None));
        assert_eq!(read(r#"{"role":"assistant"}"#), (Role::Assistant, none(), None));
        let result = r#"{"content":"x","role":"tool","tool_call_id":"a"}"#;
        assert_eq!(read(result), (Role::Tool, none(), Some("a".to_owned())));
    }

    #[test]
    fn what_no_provider_would_take_is_refused() {
        for (json, why) in [
            (r#"{"content":"a"}"#, "it has no `role`"),
            (r#"{"role":"king","content":"a"}"#, "the role `king` is not known"),
            (r#"{"role":"function","content":"a"}"#, "the role `function` is not known"),
            (r#"{"role":"user"}"#, "it has no `content`"),
            (r#"{"role":"user","content":null}"#, "it has no `content`"),
            (r#"{"role":"tool","content":"a"}"#, "it has no `tool_call_id`"),
            (r#"{"role":"user","content":7}"#, "its `content` is neither a string nor a list"),
            (r#"{"role":"user","content":"a","tool_calls":[{"id":"a"}]}"#, "only the assistant"),
            (r#"{"role":"assistant","tool_calls":[{}]}"#, "one of its `tool_calls` has no `id`"),
            (r#"{"role":"assistant","function_call":{}}"#, "`function_call` is not taken"),
            (r#"["role"]"#, "invalid"),
            (r#"{"role":5}"#, "invalid type"),
        ] {
            let refused = read_given(json).unwrap_err();
            assert!(refused.starts_with(why), "{json}: {refused}");
        }
    }
}
