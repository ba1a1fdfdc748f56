//! The arguments of one call, each as the model wrote it.

use std::borrow::Cow;
use std::collections::BTreeMap;

use serde_json::value::RawValue;

use crate::tools::Error;

/// The arguments of one call, by name.
pub(super) struct Arguments<'a>(BTreeMap<String, &'a RawValue>);

impl<'a> Arguments<'a> {
    /// Reads the text of a JSON object.
    pub fn read(text: &'a str) -> Result<Self, Error> {
        let fields = serde_json::from_str(text);
        fields.map(Self).map_err(|_| Error::bad_arguments("the arguments are no JSON object"))
    }

    /// The value of `name` as it is written outside of JSON: the text of a string, all else as JSON
    /// writes it. `None` if it is left out, or null.
    pub fn text(&self, name: &str) -> Option<Cow<'a, str>> {
        let json = self.0.get(name)?.get();
        match json.as_bytes().first()? {
            b'n' => None,
            b'"' => serde_json::from_str(json).ok().map(Cow::Owned),
            b'{' | b'[' => Some(Cow::Owned(without_blanks(json))),
            _ => Some(Cow::Borrowed(json)),
        }
    }

    /// The value of `name` in JSON; `None` if it is left out.
    pub fn json(&self, name: &str) -> Option<&'a str> {
        self.0.get(name).map(|json| json.get())
    }

    /// All arguments but `without`, as one JSON object.
    pub fn object(&self, without: &[String]) -> String {
        let rest = self.0.iter().filter(|(name, _)| !without.contains(name));
        serde_json::to_string(&rest.collect::<BTreeMap<_, _>>()).unwrap_or_default()
    }
}

/// JSON without the blanks between its parts.
fn without_blanks(json: &str) -> String {
    let (mut in_text, mut escaped) = (false, false);
    let is_part = |character: &char| {
        match character {
            _ if escaped => escaped = false,
            '\\' => escaped = true,
            '"' => in_text = !in_text,
            _ => {}
        }
        in_text || !matches!(character, ' ' | '\t' | '\r' | '\n')
    };
    json.chars().filter(is_part).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_value_is_what_the_model_wrote() {
        let text = r#"{"s": "a\u0062\"", "n": 12345678901234567890123, "f": 1.10, "b": true,
            "o": {"a": [1, " \" x "]}, "z": null, "s2": ""}"#;
        let arguments = Arguments::read(text).unwrap();
        for (name, expected) in [
            ("s", Some("ab\"")),
            ("n", Some("12345678901234567890123")),
            ("f", Some("1.10")),
            ("b", Some("true")),
            ("o", Some(r#"{"a":[1," \" x "]}"#)),
            ("z", None),
            ("none", None),
            ("s2", Some("")),
        ] {
            assert_eq!(arguments.text(name).as_deref(), expected, "{name}");
        }
        let without = ["o", "s", "f"].map(str::to_owned);
        let rest = r#"{"b":true,"n":12345678901234567890123,"s2":"","z":null}"#;
        assert_eq!(arguments.object(&without), rest);
        assert!(Arguments::read("[1]").is_err());
    }
}
