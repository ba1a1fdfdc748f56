//! The messages of a history: written for the next request, read back by tests and stand-ins.

use std::borrow::Cow;

use super::super::json::{Array, Object, Unread, explain, plain_length, read};
use super::super::shape::{Shape, Text, text_of};
use super::super::{Call, Error, Extra, Reply};
use super::chunk::{Content, Pieces};
use super::reply::finish_calls;

/// Stands in for the name of a call the model gave none: providers refuse an empty one.
const NAMELESS: &str = "invalid_tool_call";

/// Appends the message of a person: one JSON object, no comma.
pub fn write_user(out: &mut Vec<u8>, text: &str) {
    write_plain(out, "user", text);
}

/// Appends the system message: one JSON object, no comma.
pub fn write_system(out: &mut Vec<u8>, text: &str) {
    write_plain(out, "system", text);
}

/// Appends the result of the call with the wire id `id`: one JSON object, no comma.
pub fn write_tool_result(out: &mut Vec<u8>, id: &str, content: &str) {
    write_named_result(out, id, None, content);
}

/// As [`write_tool_result`], with the name of the tool for providers that want it.
pub fn write_named_result(out: &mut Vec<u8>, id: &str, tool: Option<&str>, content: &str) {
    out.extend_from_slice(br#"{"role":"tool","tool_call_id":"#);
    write_string(out, id);
    if let Some(tool) = tool {
        out.extend_from_slice(br#","name":"#);
        write_string(out, tool);
    }
    out.extend_from_slice(br#","content":"#);
    write_string(out, content);
    out.push(b'}');
}

fn write_plain(out: &mut Vec<u8>, role: &str, text: &str) {
    out.extend_from_slice(br#"{"role":"#);
    write_string(out, role);
    out.extend_from_slice(br#","content":"#);
    write_string(out, text);
    out.push(b'}');
}

/// Appends `text` as a JSON string, escaped as `serde_json` does.
pub(in super::super) fn write_string(out: &mut Vec<u8>, text: &str) {
    let mut rest = text.as_bytes();
    out.reserve(rest.len() + 2);
    out.push(b'"');
    loop {
        let at = plain_length(rest);
        out.extend_from_slice(&rest[..at]);
        let Some(byte) = rest.get(at) else { break };
        let escaped = match *byte {
            b'\n' => b'n',
            b'\t' => b't',
            b'\r' => b'r',
            0x08 => b'b',
            0x0c => b'f',
            byte @ ..0x20 => {
                const DIGITS: &[u8; 16] = b"0123456789abcdef";
                out.extend_from_slice(b"\\u00");
                out.push(DIGITS[usize::from(byte >> 4)]);
                out.push(DIGITS[usize::from(byte & 15)]);
                rest = &rest[at + 1..];
                continue;
            }
            byte => byte,
        };
        out.extend_from_slice(&[b'\\', escaped]);
        rest = &rest[at + 1..];
    }
    out.push(b'"');
}

impl Reply {
    /// Appends the assistant message as it goes back into the history: one JSON object, no comma.
    ///
    /// Content is left out when there are calls and no text. Arguments that could not be read are sent back as `{}`,
    /// since an invalid history is refused for ever. Unknown fields come last, unchanged.
    pub fn write_message(&self, out: &mut Vec<u8>) {
        self.write_message_with(out, None);
    }

    /// As [`write_message`](Self::write_message), with this JSON as the content of a message with calls and no text.
    pub fn write_message_with(&self, out: &mut Vec<u8>, empty: Option<&str>) {
        out.reserve(self.written_size());
        begin_assistant(out, &self.text, empty, &self.calls);
        self.extra.write_fields(out);
        out.push(b'}');
    }
}

/// Appends an assistant message that nobody's reply is: one JSON object, no comma. `empty` is the content, as JSON,
/// of a message with calls and no text; left out if there is none. The fields of `extra` come last.
pub fn write_assistant(
    out: &mut Vec<u8>,
    text: &str,
    empty: Option<&str>,
    calls: &[Call],
    extra: &Extra,
) {
    begin_assistant(out, text, empty, calls);
    extra.write_fields(out);
    out.push(b'}');
}

fn begin_assistant(out: &mut Vec<u8>, text: &str, empty: Option<&str>, calls: &[Call]) {
    out.extend_from_slice(br#"{"role":"assistant""#);
    if !text.is_empty() || calls.is_empty() {
        out.extend_from_slice(br#","content":"#);
        write_string(out, text);
    } else if let Some(empty) = empty {
        out.extend_from_slice(br#","content":"#);
        out.extend_from_slice(empty.as_bytes());
    }
    for (ordinal, call) in calls.iter().enumerate() {
        out.extend_from_slice(if ordinal == 0 { br#","tool_calls":["# } else { b"," });
        write_call(out, call);
    }
    if !calls.is_empty() {
        out.push(b']');
    }
}

impl Reply {
    /// About how many bytes the message will have: some more where nothing needs an escape.
    fn written_size(&self) -> usize {
        const FRAME: usize = 80; // Of the message, and of each call.
        let size = |call: &Call| {
            let arguments = call.arguments.object().map_or(2, str::len);
            FRAME + call.id.len() + call.name.len() + arguments + arguments / 4
        };
        FRAME + self.text.len() + self.text.len() / 16 + self.calls.iter().map(size).sum::<usize>()
    }
}

fn write_call(out: &mut Vec<u8>, call: &Call) {
    out.extend_from_slice(br#"{"id":"#);
    write_string(out, &call.id);
    if call.extra.get("type").is_none() {
        out.extend_from_slice(br#","type":"function""#);
    }
    // A call of another kind consists of unknown fields, unless it is a function whose type is called otherwise.
    let is_function = !call.name.is_empty() && call.extra.get("custom").is_none();
    if call.extra.get("type").is_none() || is_function {
        out.extend_from_slice(br#","function":{"name":"#);
        write_string(out, if call.name.is_empty() { NAMELESS } else { &call.name });
        out.extend_from_slice(br#","arguments":"#);
        write_string(out, call.arguments.object().unwrap_or("{}"));
        call.function_extra.write_fields(out);
        out.push(b'}');
    }
    call.extra.write_fields(out);
    out.push(b'}');
}

/// Who speaks.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Role {
    /// The operator, also under the newer name `developer`.
    System,
    /// The person.
    User,
    /// The model.
    Assistant,
    /// A tool, answering a call.
    Tool,
}

/// One message of a history, read back.
#[derive(Clone, Debug)]
pub struct Message {
    /// Who speaks.
    pub role: Role,
    /// The text; empty if there is none.
    pub text: String,
    /// The calls of an assistant message.
    pub calls: Vec<Call>,
    /// The call a tool message answers.
    pub tool_call_id: Option<String>,
}

/// Reads message objects with commas between them, as they stand in a request.
///
/// # Errors
/// [`Error::Malformed`] if they are no JSON, or one of them has no role we know.
pub fn decode_messages(bytes: &[u8]) -> Result<Vec<Message>, Error> {
    let text = text_of(bytes);
    let list = format!("[{text}]");
    let Drafts(drafts) = read(&list).map_err(|Unread| {
        Error::malformed(format_args!("expected messages, {}", explain(&list)), &text)
    })?;
    drafts.into_iter().map(|draft| draft.into_message(&text)).collect()
}

#[derive(Default)]
struct Drafts<'de>(Vec<Draft<'de>>);

impl<'de> Shape<'de> for Drafts<'de> {
    fn items(mut items: Array<'_, 'de>) -> Result<Self, Unread> {
        let mut drafts = Vec::new();
        while let Some(draft) = items.item()? {
            drafts.push(draft);
        }
        Ok(Self(drafts))
    }
}

/// A message whose role may be missing.
#[derive(Default)]
struct Draft<'de> {
    role: Option<Cow<'de, str>>,
    content: Content<'de>,
    calls: Pieces<'de>,
    tool_call_id: Option<Cow<'de, str>>,
}

impl<'de> Shape<'de> for Draft<'de> {
    fn fields(mut fields: Object<'_, 'de>) -> Result<Self, Unread> {
        let mut draft = Draft::default();
        while let Some(field) = fields.name()? {
            match &*field {
                "role" => draft.role = fields.value::<Text<'de>>()?.0,
                "content" => draft.content = fields.value()?,
                "tool_calls" => draft.calls = fields.value()?,
                "tool_call_id" => draft.tool_call_id = fields.value::<Text<'de>>()?.0,
                _ => _ = fields.skip()?,
            }
        }
        Ok(draft)
    }
}

impl Draft<'_> {
    fn into_message(self, all: &str) -> Result<Message, Error> {
        let role = match self.role.as_deref() {
            Some("system" | "developer") => Role::System,
            Some("user") => Role::User,
            Some("assistant") => Role::Assistant,
            Some("tool" | "function") => Role::Tool,
            other => {
                let role = other.unwrap_or("none");
                return Err(Error::malformed(
                    format_args!("expected a message, got role `{role}`"),
                    all,
                ));
            }
        };
        Ok(Message {
            role,
            text: self.content.text.into_owned(),
            calls: finish_calls(self.calls.0, false)?,
            tool_call_id: self.tool_call_id.map(Cow::into_owned),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::super::super::Arguments;
    use super::super::decode_reply;
    use super::*;

    proptest::proptest! {
        #[test]
        fn strings_are_written_as_serde_json_writes_them(text in "[\\x00-\\x7f\u{e9}\u{1f600}]{0,40}") {
            let mut out = Vec::new();
            write_string(&mut out, &text);
            assert_eq!(out, serde_json::to_vec(&text).unwrap());
        }
    }

    /// Reads a reply with this message and checks how it goes back.
    fn check(message: &str, finish: &str, expected: &str) {
        let body = format!(r#"{{"choices":[{{"message":{message},"finish_reason":"{finish}"}}]}}"#);
        let mut out = Vec::new();
        decode_reply(body.as_bytes()).unwrap().write_message(&mut out);
        assert_eq!(String::from_utf8(out).unwrap(), expected);
    }

    #[test]
    fn a_text_goes_back_as_content_also_an_empty_one() {
        check(
            r#"{"role":"assistant","content":"a\"b\u00e9"}"#,
            "stop",
            "{\"role\":\"assistant\",\"content\":\"a\\\"bé\"}",
        );
        check(r#"{"content":null}"#, "stop", r#"{"role":"assistant","content":""}"#);
    }

    #[test]
    fn calls_go_back_with_their_extras_and_without_an_empty_content() {
        check(
            r#"{"reasoning_details":[{"b" : 1}],"content":"","tool_calls":[
                {"id":"a","index":0,"extra_content":{"s" : "x"},"function":{"k":1.0,"name":"f","arguments":"{\"x\": 1}"}},
                {"id":"a","function":{"name":"f"}}],"reasoning":"r"}"#,
            "tool_calls",
            concat!(
                r#"{"role":"assistant","tool_calls":["#,
                r#"{"id":"a","type":"function","function":{"name":"f","arguments":"{\"x\": 1}","k":1.0},"extra_content":{"s" : "x"}},"#,
                r#"{"id":"a_2","type":"function","function":{"name":"f","arguments":"{}"}}],"#,
                r#""reasoning_details":[{"b" : 1}],"reasoning":"r"}"#
            ),
        );
        check(
            r#"{"content":"t","tool_calls":[{"id":"a","function":{"name":"f","arguments":"{}"}}]}"#,
            "stop",
            r#"{"role":"assistant","content":"t","tool_calls":[{"id":"a","type":"function","function":{"name":"f","arguments":"{}"}}]}"#,
        );
    }

    #[test]
    fn unreadable_arguments_and_names_never_poison_the_history() {
        for arguments in [r#""{\"x\"""#, r#""[1]""#, r#""nonsense""#, "null"] {
            check(
                &format!(
                    r#"{{"tool_calls":[{{"id":"a","function":{{"arguments":{arguments}}}}}]}}"#
                ),
                "length",
                r#"{"role":"assistant","tool_calls":[{"id":"a","type":"function","function":{"name":"invalid_tool_call","arguments":"{}"}}]}"#,
            );
        }
    }

    #[test]
    fn what_is_written_is_read_back() {
        let body = r#"{"choices":[{"message":{"content":"t","tool_calls":[{"id":"c1","function":{"name":"f","arguments":"{\"x\":1}"}}]}}]}"#;
        let mut out = Vec::new();
        write_system(&mut out, "be \"kind\"");
        out.push(b',');
        write_user(&mut out, "hi\n\u{1}");
        out.push(b',');
        decode_reply(body.as_bytes()).unwrap().write_message(&mut out);
        out.push(b',');
        write_tool_result(&mut out, "c1", "sunny \u{2028}");
        let messages = decode_messages(&out).unwrap();
        let seen: Vec<_> =
            messages.iter().map(|message| (message.role, message.text.as_str())).collect();
        let expected = [
            (Role::System, "be \"kind\""),
            (Role::User, "hi\n\u{1}"),
            (Role::Assistant, "t"),
            (Role::Tool, "sunny \u{2028}"),
        ];
        assert_eq!(seen, expected);
        assert_eq!(messages[2].calls[0].arguments, Arguments::Object(r#"{"x":1}"#.to_owned()));
        assert_eq!(
            (&*messages[2].calls[0].id, messages[3].tool_call_id.as_deref()),
            ("c1", Some("c1"))
        );
    }

    #[test]
    fn messages_without_a_known_role_are_refused() {
        assert!(decode_messages(b"").unwrap().is_empty());
        for bytes in
            [r#"{"content":"a"}"#, r#"{"role":"king"}"#, r#"{"role":"user"} {"role":"user"}"#, "{"]
        {
            assert!(
                matches!(decode_messages(bytes.as_bytes()), Err(Error::Malformed { .. })),
                "{bytes}"
            );
        }
    }
}
