//! A quick look at arguments: most schemas of tools say no more than which properties there are, of
//! what types, and which are required. For those a single pass over the text, without building
//! anything, tells that arguments fit. Whatever it cannot tell is left to the full validator.

use std::fmt;

use serde::de::{DeserializeSeed, Deserializer, IgnoredAny, MapAccess, Visitor};
use serde_json::Value;

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

/// Keywords that ask for nothing.
const ANNOTATIONS: [&str; 7] =
    ["title", "description", "default", "examples", "$schema", "format", "deprecated"];

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

    /// Says whether `arguments` surely fit. `false` says nothing.
    pub fn surely_fits(&self, arguments: &str) -> bool {
        let mut json = serde_json::Deserializer::from_str(arguments);
        let seen = json.deserialize_map(Object(self));
        seen.is_ok_and(|seen| seen & self.required == self.required) && json.end().is_ok()
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
}

/// Reads the object and answers which properties it has, a bit for each.
struct Object<'a>(&'a QuickCheck);

impl<'de> Visitor<'de> for Object<'_> {
    type Value = u64;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("an object")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<u64, A::Error> {
        let mut seen = 0;
        while let Some(place) = map.next_key_seed(Name(self.0))? {
            match place {
                Some(place) => {
                    map.next_value_seed(Of(self.0.properties[place].kind))?;
                    seen |= 1 << place;
                }
                None => drop(map.next_value::<IgnoredAny>()?),
            }
        }
        Ok(seen)
    }
}

/// Finds the property that a key names.
struct Name<'a>(&'a QuickCheck);

impl<'de> DeserializeSeed<'de> for Name<'_> {
    type Value = Option<usize>;

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<Self::Value, D::Error> {
        deserializer.deserialize_str(self)
    }
}

impl Visitor<'_> for Name<'_> {
    type Value = Option<usize>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a key")
    }

    fn visit_str<E>(self, name: &str) -> Result<Self::Value, E> {
        Ok(self.0.properties.iter().position(|property| property.name == name))
    }
}

/// Reads a value of one kind; a value of another is an error, which leaves the verdict open.
struct Of(Kind);

impl<'de> DeserializeSeed<'de> for Of {
    type Value = ();

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<(), D::Error> {
        match self.0 {
            Kind::Anything => deserializer.deserialize_ignored_any(IgnoredAny).map(drop),
            Kind::Text => deserializer.deserialize_str(self),
            Kind::Integer { .. } | Kind::Number | Kind::Flag => deserializer.deserialize_any(self),
        }
    }
}

impl<'de> Visitor<'de> for Of {
    type Value = ();

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:?}", self.0)
    }

    fn visit_str<E: serde::de::Error>(self, _: &str) -> Result<(), E> {
        surely(self.0 == Kind::Text)
    }

    fn visit_u64<E: serde::de::Error>(self, number: u64) -> Result<(), E> {
        surely(match self.0 {
            Kind::Integer { min, max } => i128::from(number) >= i128::from(min) && number <= max,
            kind => kind == Kind::Number,
        })
    }

    fn visit_i64<E: serde::de::Error>(self, number: i64) -> Result<(), E> {
        surely(match self.0 {
            Kind::Integer { min, max } => number >= min && i128::from(number) <= i128::from(max),
            kind => kind == Kind::Number,
        })
    }

    fn visit_f64<E: serde::de::Error>(self, _: f64) -> Result<(), E> {
        surely(self.0 == Kind::Number) // 1.0 is an integer to a schema: not for us to say.
    }

    fn visit_bool<E: serde::de::Error>(self, _: bool) -> Result<(), E> {
        surely(self.0 == Kind::Flag)
    }
}

fn surely<E: serde::de::Error>(fits: bool) -> Result<(), E> {
    if fits { Ok(()) } else { Err(E::custom("not surely")) }
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
