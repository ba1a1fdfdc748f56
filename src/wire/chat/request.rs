//! The body of a request: parts that are bytes already, put side by side.

use serde_json::value::RawValue;

use super::message::write_string;

/// One tool as the model is told of it.
#[derive(Clone, Copy, Debug)]
pub struct ToolSpec<'a> {
    /// The name the model calls it by.
    pub name: &'a str,
    /// What it does, for the model.
    pub description: &'a str,
    /// The JSON schema of its arguments.
    pub parameters: &'a RawValue,
}

/// Appends the JSON array of `tools`.
pub fn write_tools<'a>(out: &mut Vec<u8>, tools: impl IntoIterator<Item = ToolSpec<'a>>) {
    out.push(b'[');
    for (at, tool) in tools.into_iter().enumerate() {
        out.extend_from_slice(if at == 0 { b"" } else { b"," });
        out.extend_from_slice(br#"{"type":"function","function":{"name":"#);
        write_string(out, tool.name);
        out.extend_from_slice(br#","description":"#);
        write_string(out, tool.description);
        out.extend_from_slice(br#","parameters":"#);
        out.extend_from_slice(tool.parameters.get().as_bytes());
        out.extend_from_slice(b"}}");
    }
    out.push(b']');
}

/// A request to the model. The order of its fields is that of a provider's prompt cache: what changes least comes first.
#[derive(Clone, Copy, Debug)]
pub struct Request<'a> {
    /// The model's name.
    pub model: &'a str,
    /// Whether the reply is to come as a stream.
    pub stream: bool,
    /// The JSON array of tools, from [`write_tools`]; empty, or an empty array, for none.
    pub tools: &'a [u8],
    /// The message objects, with commas between them.
    pub messages: &'a [u8],
    /// Whether several calls may come in one reply. Said only together with tools, and only if set: some models refuse the field.
    pub parallel_tool_calls: Option<bool>,
    /// `auto`, `none`, `required`, or a JSON object that names a tool. Said only together with tools.
    pub tool_choice: Option<&'a str>,
}

impl Request<'_> {
    /// Room for field names and punctuation, and a few escapes in the model's name.
    const FRAME: usize = 256;

    /// Writes the body. Copies `tools` and `messages` as they are; allocates once.
    pub fn write(&self) -> Vec<u8> {
        let choice = self.tool_choice.unwrap_or_default();
        let parts = self.model.len() + self.tools.len() + self.messages.len() + choice.len();
        let mut out = Vec::with_capacity(Self::FRAME + parts);
        out.extend_from_slice(br#"{"model":"#);
        write_string(&mut out, self.model);
        out.extend_from_slice(match self.stream {
            true => br#","stream":true,"stream_options":{"include_usage":true}"#,
            false => br#","stream":false"#,
        });
        if !matches!(self.tools, b"" | b"[]") {
            out.extend_from_slice(br#","tools":"#);
            out.extend_from_slice(self.tools);
            if let Some(parallel) = self.parallel_tool_calls {
                out.extend_from_slice(br#","parallel_tool_calls":"#);
                out.extend_from_slice(if parallel { b"true" } else { b"false" });
            }
            if let Some(choice) = self.tool_choice {
                out.extend_from_slice(br#","tool_choice":"#);
                match choice.starts_with('{') {
                    true => out.extend_from_slice(choice.as_bytes()),
                    false => write_string(&mut out, choice),
                }
            }
        }
        out.extend_from_slice(br#","messages":["#);
        out.extend_from_slice(self.messages);
        out.extend_from_slice(b"]}");
        out
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const PLAIN: Request<'static> = Request {
        model: "m",
        stream: false,
        tools: b"",
        messages: br#"{"role":"user","content":"hi"}"#,
        parallel_tool_calls: Some(true),
        tool_choice: Some("auto"),
    };

    fn check(request: Request<'_>, expected: &str) {
        let body = request.write();
        assert_eq!(String::from_utf8(body.clone()).unwrap(), expected);
        assert!(serde_json::from_slice::<serde_json::Value>(&body).is_ok());
    }

    #[test]
    fn without_tools_nothing_is_said_about_them() {
        let expected =
            r#"{"model":"m","stream":false,"messages":[{"role":"user","content":"hi"}]}"#;
        check(PLAIN, expected);
        check(Request { tools: b"[]", ..PLAIN }, expected);
    }

    #[test]
    fn a_stream_asks_for_its_usage() {
        check(
            Request { stream: true, tools: br#"[{"x":1}]"#, tool_choice: None, ..PLAIN },
            r#"{"model":"m","stream":true,"stream_options":{"include_usage":true},"tools":[{"x":1}],"parallel_tool_calls":true,"messages":[{"role":"user","content":"hi"}]}"#,
        );
    }

    #[test]
    fn a_choice_is_a_word_or_an_object() {
        let tools = Request { tools: b"[1]", parallel_tool_calls: None, ..PLAIN };
        for (choice, written) in
            [("required", r#""required""#), (r#"{"type":"function"}"#, r#"{"type":"function"}"#)]
        {
            check(
                Request { tool_choice: Some(choice), ..tools },
                &format!(
                    r#"{{"model":"m","stream":false,"tools":[1],"tool_choice":{written},"messages":[{{"role":"user","content":"hi"}}]}}"#
                ),
            );
        }
    }

    #[test]
    fn tools_keep_the_bytes_of_their_schemas() {
        let parameters = RawValue::from_string(r#"{"type" : "object"}"#.to_owned()).unwrap();
        let tool = |name| ToolSpec { name, description: "says \"x\"", parameters: &parameters };
        let mut out = Vec::new();
        write_tools(&mut out, [tool("a"), tool("b")]);
        let one = |name: &str| {
            format!(
                r#"{{"type":"function","function":{{"name":"{name}","description":"says \"x\"","parameters":{{"type" : "object"}}}}}}"#
            )
        };
        assert_eq!(String::from_utf8(out).unwrap(), format!("[{},{}]", one("a"), one("b")));
        let mut none = Vec::new();
        write_tools(&mut none, []);
        assert_eq!(none, b"[]");
    }

    #[test]
    fn the_body_is_allocated_once() {
        let messages = vec![b' '; 100_000];
        let body = Request { messages: &messages, ..PLAIN }.write();
        assert_eq!(body.capacity(), Request::FRAME + 1 + 4 + messages.len());
    }
}
