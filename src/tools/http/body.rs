//! The body of a request: nothing, the arguments, or JSON with places for them.

use std::borrow::Cow;

use serde_json::Value;

use super::HttpBody;
use super::arguments::Arguments;
use super::template::{Filled, Secrets, Template};
use super::url::missing;
use crate::tools::Error;

/// The body of a request, with places for arguments.
pub(super) enum BodyTemplate {
    None,
    /// All arguments but these.
    Arguments {
        without: Vec<String>,
    },
    Json(Node),
}

/// A value of the body.
pub(super) enum Node {
    /// JSON that is always the same.
    Fixed(String),
    /// A text in which there is nothing but an argument: its value takes the text's place.
    Whole(String),
    Text(Template),
    Array(Vec<Node>),
    Object(Vec<(String, Node)>),
}

impl BodyTemplate {
    /// The body, `without` those arguments that stand elsewhere if it is all of them.
    pub fn read(body: &HttpBody, without: Vec<String>, secrets: &Secrets) -> Result<Self, String> {
        match body {
            HttpBody::None => Ok(Self::None),
            HttpBody::Arguments => Ok(Self::Arguments { without }),
            HttpBody::Json(value) => {
                let node = Node::read(value, secrets);
                node.map(Self::Json).map_err(|problem| format!("body: {problem}"))
            }
        }
    }

    /// The names of its arguments.
    pub fn arguments(&self) -> Vec<&str> {
        let mut names = Vec::new();
        if let Self::Json(node) = self {
            node.add_arguments(&mut names);
        }
        names
    }

    /// The body of a call, in JSON; `None` without one.
    pub fn fill(&self, arguments: &Arguments<'_>) -> Result<Option<String>, Error> {
        match self {
            Self::None => Ok(None),
            Self::Arguments { without } => Ok(Some(arguments.object(without))),
            Self::Json(node) => {
                let json = node.fill(arguments)?;
                Ok(json.map(Cow::into_owned))
            }
        }
    }
}

impl Node {
    fn read(value: &Value, secrets: &Secrets) -> Result<Self, String> {
        Ok(match value {
            Value::String(text) => {
                let template = Template::read(text, secrets)?;
                match template.sole_argument() {
                    Some(name) => Self::Whole(name.to_owned()),
                    None => Self::Text(template),
                }
            }
            Value::Array(items) => {
                let items = items.iter().map(|item| Self::read(item, secrets));
                Self::Array(items.collect::<Result<_, _>>()?)
            }
            Value::Object(fields) => {
                let field = |(name, value): (&String, &Value)| {
                    Ok::<_, String>((name.clone(), Self::read(value, secrets)?))
                };
                Self::Object(fields.iter().map(field).collect::<Result<_, _>>()?)
            }
            fixed => Self::Fixed(fixed.to_string()),
        })
    }

    fn add_arguments<'a>(&'a self, names: &mut Vec<&'a str>) {
        match self {
            Self::Fixed(_) => {}
            Self::Whole(name) => names.push(name),
            Self::Text(template) => names.extend(template.arguments()),
            Self::Array(items) => items.iter().for_each(|item| item.add_arguments(names)),
            Self::Object(fields) => {
                fields.iter().for_each(|(_, value)| value.add_arguments(names));
            }
        }
    }

    /// The value in JSON; `None` if it is an argument that the call leaves out.
    fn fill<'a>(&'a self, arguments: &Arguments<'a>) -> Result<Option<Cow<'a, str>>, Error> {
        Ok(Some(match self {
            Self::Fixed(json) => json.into(),
            Self::Whole(name) => return Ok(arguments.json(name).map(Cow::Borrowed)),
            Self::Text(template) => match template.fill(arguments, str::to_owned) {
                Filled::Text(text) => quoted(&text).into(),
                Filled::LeftOut => return Ok(None),
                Filled::Lacks(name) => return Err(missing(&name, "the body")),
            },
            Self::Array(items) => {
                let items = items.iter().filter_map(|item| item.fill(arguments).transpose());
                let items = items.collect::<Result<Vec<_>, _>>()?;
                format!("[{}]", items.join(",")).into()
            }
            Self::Object(fields) => {
                let mut members = Vec::new();
                for (name, value) in fields {
                    let value = value.fill(arguments)?;
                    members.extend(value.map(|value| format!("{}:{value}", quoted(name))));
                }
                format!("{{{}}}", members.join(",")).into()
            }
        }))
    }
}

fn quoted(text: &str) -> String {
    Value::from(text).to_string()
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::model::ApiKey;

    fn filled(body: HttpBody, arguments: &str) -> Result<Option<String>, String> {
        let secrets = [("KEY".to_owned(), ApiKey::new("s\"1"))];
        let body = BodyTemplate::read(&body, vec!["used".to_owned()], &secrets).unwrap();
        let filled = body.fill(&Arguments::read(arguments).unwrap());
        filled.map_err(|error| error.message().to_owned())
    }

    #[test]
    fn a_body_is_what_it_says() {
        let arguments =
            r#"{"used": 1, "n": 12345678901234567890123, "t": "a\"b", "o": {"x": [1]}}"#;
        let check = |body, expected: Option<&str>| {
            assert_eq!(filled(body, arguments), Ok(expected.map(str::to_owned)));
        };
        check(HttpBody::None, None);
        let all = r#"{"n":12345678901234567890123,"o":{"x": [1]},"t":"a\"b"}"#;
        check(HttpBody::Arguments, Some(all));
        let template = json!({"a": "{n}", "b": ["{o}", "{gone}", 1.5], "c": "x{t}", "d": "{gone}",
            "e": "{{n}}", "f": "${env:KEY}"});
        let expected = r#"{"a":12345678901234567890123,"b":[{"x": [1]},1.5],"c":"xa\"b","e":"{n}","f":"s\"1"}"#;
        check(HttpBody::Json(template), Some(expected));
    }

    #[test]
    fn an_argument_within_a_text_cannot_be_left_out() {
        let lacks = filled(HttpBody::Json(json!({"a": ["x{t}"]})), "{}");
        assert_eq!(lacks, Err("`t` is missing, and the body needs it".to_owned()));
        let null = filled(HttpBody::Json(json!({"a": "{t}"})), r#"{"t": null}"#);
        assert_eq!(null, Ok(Some(r#"{"a":null}"#.to_owned())));
    }

    #[test]
    fn what_is_no_template_is_told() {
        let bad = BodyTemplate::read(&HttpBody::Json(json!({"a": "{"})), Vec::new(), &[]).err();
        assert_eq!(bad.as_deref(), Some("body: a `{` has no `}`"));
    }
}
