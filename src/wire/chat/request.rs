//! The body of a request: parts that are bytes already, put side by side.

use std::borrow::Cow;

use serde_json::value::RawValue;

use super::super::json::{Object, Unread, read};
use super::super::shape::{Shape, text_of};
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

/// Fields of a body and their JSON, each once, in the order in which they were first set.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Fields(Vec<(String, String)>);

impl Fields {
    /// The fields of a whole `body`; `None` if that is no JSON object.
    pub fn of(body: &[u8]) -> Option<Self> {
        let text = text_of(body);
        let Members(members) = read(&text).ok()?;
        let mut fields = Self::default();
        for (name, json) in members? {
            fields.set(&name, json.to_owned());
        }
        Some(fields)
    }

    /// Sets a field to a value that is `json`, in the place of one of the same name.
    pub fn set(&mut self, name: &str, json: String) {
        match self.0.iter_mut().find(|(known, _)| known == name) {
            Some((_, value)) => *value = json,
            None => self.0.push((name.to_owned(), json)),
        }
    }

    /// Takes a field out, and gives its JSON.
    pub fn remove(&mut self, name: &str) -> Option<String> {
        let at = self.0.iter().position(|(known, _)| known == name)?;
        Some(self.0.remove(at).1)
    }

    /// The names of all fields.
    pub fn names(&self) -> impl Iterator<Item = &str> {
        self.0.iter().map(|(name, _)| name.as_str())
    }

    /// Writes the fields with commas between them and no braces round them.
    pub fn join(&self) -> Vec<u8> {
        let mut out = Vec::new();
        for (at, (name, json)) in self.0.iter().enumerate() {
            out.extend_from_slice(if at == 0 { b"" } else { b"," });
            write_string(&mut out, name);
            out.push(b':');
            out.extend_from_slice(json.as_bytes());
        }
        out
    }

    /// Writes the body that has these fields.
    pub fn body(&self) -> Vec<u8> {
        [b"{", &*self.join(), b"}"].concat()
    }
}

impl IntoIterator for Fields {
    type Item = (String, String);
    type IntoIter = std::vec::IntoIter<(String, String)>;

    fn into_iter(self) -> Self::IntoIter {
        self.0.into_iter()
    }
}

/// The members of an object; `None` of anything else.
#[derive(Default)]
struct Members<'de>(Option<Vec<(Cow<'de, str>, &'de str)>>);

impl<'de> Shape<'de> for Members<'de> {
    fn fields(mut fields: Object<'_, 'de>) -> Result<Self, Unread> {
        let mut members = Vec::new();
        while let Some(name) = fields.name()? {
            members.push((name, fields.skip()?));
        }
        Ok(Members(Some(members)))
    }
}

/// A request to the model. The order of its fields is that of a provider's prompt cache: what changes least comes first.
#[derive(Clone, Copy, Debug)]
pub struct Request<'a> {
    /// The fields that are the same in every request, the model's name among them: from [`Fields::join`].
    pub fields: &'a [u8],
    /// The JSON array of tools, from [`write_tools`]; empty, or an empty array, for none.
    pub tools: &'a [u8],
    /// The fields that are said only together with tools, from [`Fields::join`]; empty for none.
    pub tool_fields: &'a [u8],
    /// The message objects, with commas between them.
    pub messages: &'a [u8],
}

impl Request<'_> {
    /// Writes the body. Copies all parts as they are; allocates once.
    pub fn write(&self) -> Vec<u8> {
        const TOOLS: &[u8] = br#","tools":"#;
        const MESSAGES: &[u8] = br#","messages":["#;
        let has_tools = !matches!(self.tools, b"" | b"[]");
        let tools: [&[u8]; 4] = match (has_tools, self.tool_fields) {
            (false, _) => [b"", b"", b"", b""],
            (true, b"") => [TOOLS, self.tools, b"", b""],
            (true, fields) => [TOOLS, self.tools, b",", fields],
        };
        let [name, tools, comma, tool_fields] = tools;
        let (fields, messages) = (self.fields, self.messages);
        [b"{", fields, name, tools, comma, tool_fields, MESSAGES, messages, b"]}"].concat()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const PLAIN: Request<'static> = Request {
        fields: br#""model":"m","stream":false"#,
        tools: b"",
        tool_fields: br#""tool_choice":"auto""#,
        messages: br#"{"role":"user","content":"hi"}"#,
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
    fn tools_come_with_the_fields_about_them() {
        let tools = Request { tools: br#"[{"x":1}]"#, ..PLAIN };
        check(
            tools,
            r#"{"model":"m","stream":false,"tools":[{"x":1}],"tool_choice":"auto","messages":[{"role":"user","content":"hi"}]}"#,
        );
        check(
            Request { tool_fields: b"", ..tools },
            r#"{"model":"m","stream":false,"tools":[{"x":1}],"messages":[{"role":"user","content":"hi"}]}"#,
        );
    }

    #[test]
    fn a_field_is_there_once_at_the_place_where_it_was_first() {
        let mut fields = Fields::default();
        assert_eq!(fields.join(), b"");
        for (name, json) in [("a", "1"), ("b\"", "[2]"), ("a", "\"3\"")] {
            fields.set(name, json.to_owned());
        }
        assert_eq!(String::from_utf8(fields.join()).unwrap(), r#""a":"3","b\"":[2]"#);
        assert_eq!((fields.remove("a"), fields.remove("a")), (Some("\"3\"".to_owned()), None));
        assert_eq!(fields.names().collect::<Vec<_>>(), ["b\""]);
    }

    #[test]
    fn a_body_is_taken_apart_and_put_together_again() {
        let body = Request { tools: br#"[{"a" : "}"}]"#, ..PLAIN }.write();
        let mut fields = Fields::of(&body).unwrap();
        assert_eq!(fields.body(), body);
        fields.remove("tool_choice");
        let expected = Request { tools: br#"[{"a" : "}"}]"#, tool_fields: b"", ..PLAIN }.write();
        assert_eq!(fields.body(), expected);
        assert_eq!((Fields::of(b"[1]"), Fields::of(b"{")), (None, None));
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
        assert_eq!(body.capacity(), body.len());
    }
}
