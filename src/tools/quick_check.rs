//! A quick look at arguments: most schemas of tools say no more than which properties there are, of
//! what types, and which are required. For those a single pass over the text, without building
//! anything, tells that arguments fit. Whatever it cannot tell is left to the full validator.

use serde_json::Value;

use crate::wire::json::{Reader, Unread};

/// What a simple schema asks for.
#[derive(Debug)]
pub(super) struct QuickCheck {
    properties: Vec<Property>,
    required: u64,
}

#[derive(Debug)]
struct Property {
    name: String,
    kind: Kind,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Kind {
    Anything,
    Text,
    /// With its bounds, which the schema of an unsigned Rust integer always has.
    Integer {
        min: i64,
        max: u64,
    },
    Number,
    Flag,
}

/// Keywords that ask for nothing. `format` does in older drafts, so a `$schema` is not among them.
const ANNOTATIONS: [&str; 6] =
    ["title", "description", "default", "examples", "format", "deprecated"];

impl QuickCheck {
    /// The check for `schema`, if it is as simple as that.
    pub fn new(schema: &Value) -> Option<Self> {
        let schema = schema.as_object()?;
        let (mut properties, mut required) = (Vec::new(), Vec::new());
        for (keyword, value) in schema {
            match keyword.as_str() {
                "type" if value == "object" => {}
                "properties" => {
                    for (name, property) in value.as_object()? {
                        let (name, kind) = (name.clone(), Kind::of(property)?);
                        properties.push(Property { name, kind });
                    }
                }
                "required" => {
                    required =
                        value.as_array()?.iter().map(Value::as_str).collect::<Option<_>>()?;
                }
                annotation if ANNOTATIONS.contains(&annotation) => {}
                _ => return None,
            }
        }
        if properties.len() > 64 {
            return None;
        }
        let mut bits = 0;
        for name in required {
            bits |= 1 << properties.iter().position(|property| property.name == name)?;
        }
        Some(Self { properties, required: bits })
    }

    /// Says whether `arguments`, which are JSON, surely fit. `false` says nothing.
    pub fn surely_fits(&self, arguments: &str) -> bool {
        self.seen(arguments).is_ok_and(|seen| seen & self.required == self.required)
    }

    /// Which properties the object has, a bit for each.
    fn seen(&self, arguments: &str) -> Result<u64, Unread> {
        let mut json = Reader::new(arguments);
        let (mut fields, mut seen) = (json.object()?, 0);
        while let Some(name) = fields.name()? {
            let place = self.properties.iter().position(|property| *property.name == *name);
            let value = fields.skip()?;
            if let Some(place) = place {
                if !self.properties[place].kind.surely_fits(value) {
                    return Err(Unread);
                }
                seen |= 1 << place;
            }
        }
        json.end()?;
        Ok(seen)
    }
}

impl Kind {
    fn of(property: &Value) -> Option<Self> {
        let property = property.as_object()?;
        let (min, max) = (property.get("minimum"), property.get("maximum"));
        let bounded = min.is_some() || max.is_some();
        let kind = match property.get("type").map(Value::as_str) {
            Some(Some("integer")) => Self::Integer {
                min: min.map_or(Some(i64::MIN), Value::as_i64)?,
                max: max.map_or(Some(u64::MAX), Value::as_u64)?,
            },
            _ if bounded => return None,
            None => Self::Anything,
            Some(Some("string")) => Self::Text,
            Some(Some("number")) => Self::Number,
            Some(Some("boolean")) => Self::Flag,
            Some(_) => return None,
        };
        let known = |keyword: &String| {
            matches!(&**keyword, "type" | "minimum" | "maximum")
                || ANNOTATIONS.contains(&&**keyword)
        };
        property.keys().all(known).then_some(kind)
    }

    /// Says whether `value`, which is JSON, is surely of this kind.
    fn surely_fits(self, value: &str) -> bool {
        let first = value.as_bytes()[0];
        match self {
            Self::Anything => true,
            Self::Text => first == b'"',
            // 1.0 is an integer to a schema: not for us to say.
            Self::Integer { min, max } => match first {
                b'-' => value.parse().is_ok_and(|number: i64| {
                    number >= min && i128::from(number) <= i128::from(max)
                }),
                _ => value.parse().is_ok_and(|number: u64| {
                    i128::from(number) >= i128::from(min) && number <= max
                }),
            },
            Self::Number => matches!(first, b'-' | b'0'..=b'9'),
            Self::Flag => matches!(first, b't' | b'f'),
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use serde_json::json;

    use super::*;

    fn schema() -> Value {
        json!({"type": "object", "title": "T", "required": ["s", "i"], "properties": {
            "s": {"type": "string", "description": "text"}, "i": {"type": "integer", "minimum": -3, "maximum": 9},
            "n": {"type": "number"}, "b": {"type": "boolean"}, "any": {}}})
    }

    #[test]
    fn what_fits_is_seen_in_one_pass() {
        let quick = QuickCheck::new(&schema()).unwrap();
        assert!(quick.surely_fits(
            r#"{"s": "x", "i": 3, "n": 1.5, "b": true, "any": [1, {}], "more": null}"#
        ));
        assert!(quick.surely_fits(r#" {"i": -3, "s": "\u0041"} "#));
        for text in [
            r#"{"s": "x"}"#,
            r#"{"s": 1, "i": 1}"#,
            r#"{"s": "x", "i": 1.0}"#,
            r#"{"s": "x", "i": 1} x"#,
            "[]",
        ] {
            assert!(!quick.surely_fits(text), "{text}");
        }
    }

    #[test]
    fn a_schema_that_asks_for_more_is_left_to_the_validator() {
        let with = |more: Value| {
            let mut schema = schema();
            for (keyword, value) in more.as_object().unwrap() {
                schema[keyword] = value.clone();
            }
            QuickCheck::new(&schema).is_some()
        };
        assert!(with(json!({})));
        assert!(!with(json!({"additionalProperties": false})));
        assert!(!with(json!({"$schema": "http://json-schema.org/draft-07/schema#"})));
        assert!(!with(json!({"properties": {"s": {"type": "string", "enum": ["a"]}}})));
        assert!(!with(json!({"properties": {"s": {"type": ["string", "null"]}}})));
        assert!(!with(json!({"properties": {"s": {"type": "string", "minLength": 1}}})));
        assert!(!with(json!({"required": ["missing"]})));
        assert!(!with(json!({"oneOf": []})));
    }

    proptest! {
        /// It never says yes where the validator says no.
        #[test]
        fn it_is_never_more_lenient_than_the_validator(
            fields in proptest::collection::vec(
                (prop_oneof!["s", "i", "n", "b", "any", "other"], prop_oneof![
                    Just(json!(1)), Just(json!(-2)), Just(json!(-4)), Just(json!(10)), Just(json!(1.5)), Just(json!(2.0)), Just(json!("x")),
                    Just(json!(true)), Just(json!(null)), Just(json!([1])), Just(json!({"a": 1})),
                ]), 0..6)
        ) {
            let text = serde_json::to_string(&fields.into_iter().collect::<serde_json::Map<_, _>>()).unwrap();
            let value: Value = serde_json::from_str(&text).unwrap();
            let valid = jsonschema::is_valid(&schema(), &value);
            if QuickCheck::new(&schema()).unwrap().surely_fits(&text) {
                prop_assert!(valid, "{text}");
            }
        }
    }
}
