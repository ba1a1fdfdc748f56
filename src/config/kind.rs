//! The kinds of values: what a setting accepts, what it expects instead, how it is shown.

use std::ops::RangeInclusive;
use std::time::Duration;

use ::config::{Value, ValueKind};
use serde_json::Value as Json;

use super::choice::Choice;
use super::endpoint::BaseUrl;
use super::layer::parse_inline;

/// The longest time that can be set: 365 days, far from where clocks overflow.
const MAX_MILLIS: u64 = 365 * 24 * 60 * 60 * 1000;

/// A value as found. One from the environment or a flag is text that may stand for another type.
pub(super) struct Input<'a> {
    /// The value.
    pub value: &'a Value,
    /// Whether it is text that may stand for another type.
    pub is_text: bool,
}

impl Input<'_> {
    /// Returns the string, if it is one.
    fn string(&self) -> Option<&str> {
        match &self.value.kind {
            ValueKind::String(text) => Some(text),
            _ => None,
        }
    }

    /// Returns the string only if it may stand for another type.
    fn text(&self) -> Option<&str> {
        self.string().filter(|_| self.is_text).map(str::trim)
    }

    /// Returns the value with text of a table or an array replaced by what it stands for.
    pub(super) fn structured(&self) -> Value {
        let structured = self.text().and_then(|text| parse_inline(text, None));
        structured.unwrap_or_else(|| self.value.clone())
    }
}

/// What a kind makes of an input; the error says what it expects.
pub(super) type Parsed<T> = Result<T, String>;

/// Any string.
pub(super) fn string(input: &Input<'_>) -> Parsed<String> {
    input.string().map(str::to_owned).ok_or_else(|| "a string".to_owned())
}

/// A string that is not empty.
pub(super) fn filled(input: &Input<'_>) -> Parsed<String> {
    let text = input.string().filter(|text| !text.trim().is_empty());
    text.map(str::to_owned).ok_or_else(|| "a string that is not empty".to_owned())
}

/// The only store of this version.
pub(super) fn store_url(input: &Input<'_>) -> Parsed<String> {
    let text = input.string().filter(|text| *text == "memory:");
    text.map(str::to_owned).ok_or_else(|| "\"memory:\", the only store of this version".to_owned())
}

/// The name of an environment variable.
pub(super) fn variable_name(input: &Input<'_>) -> Parsed<String> {
    let is_name = |text: &&str| {
        text.starts_with(|first: char| first.is_ascii_alphabetic() || first == '_')
            && text.chars().all(|letter| letter.is_ascii_alphanumeric() || letter == '_')
    };
    let text = input.string().filter(is_name);
    text.map(str::to_owned)
        .ok_or_else(|| "the name of an environment variable, not the key".to_owned())
}

/// A name that every provider takes for a tool.
pub(super) fn tool_name(input: &Input<'_>) -> Parsed<String> {
    let is_name = |text: &&str| {
        (1..=64).contains(&text.len())
            && text.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"_-".contains(&byte))
    };
    let text = input.string().filter(is_name);
    text.map(str::to_owned).ok_or_else(|| "1 to 64 letters, digits, `_` and `-`".to_owned())
}

/// The URL of an endpoint.
pub(super) fn base_url(input: &Input<'_>) -> Parsed<BaseUrl> {
    let expected = "a URL with a host, http:// or https://, without `?` and `#`";
    input.string().and_then(BaseUrl::new).ok_or_else(|| expected.to_owned())
}

/// `true` or `false`.
pub(super) fn flag(input: &Input<'_>) -> Parsed<bool> {
    match (&input.value.kind, input.text()) {
        (ValueKind::Boolean(flag), _) => Ok(*flag),
        (_, Some("true" | "1")) => Ok(true),
        (_, Some("false" | "0")) => Ok(false),
        _ => Err("true or false".to_owned()),
    }
}

/// `true`, `false`, or `"unset"` (also `""`) for none.
pub(super) fn flag_or_unset(input: &Input<'_>) -> Parsed<Option<bool>> {
    match input.string() {
        Some("" | "unset") => Ok(None),
        _ => flag(input).map(Some).map_err(|_| "true, false or \"unset\"".to_owned()),
    }
}

/// A whole number within `range`.
pub(super) fn whole(range: RangeInclusive<u64>) -> impl Fn(&Input<'_>) -> Parsed<u64> {
    move |input| {
        let number = match (&input.value.kind, input.text()) {
            (ValueKind::I64(number), _) => u64::try_from(*number).ok(),
            (ValueKind::U64(number), _) => Some(*number),
            (_, Some(text)) => text.replace('_', "").parse().ok(),
            _ => None,
        };
        let (least, most) = (range.start(), range.end());
        number.filter(|number| range.contains(number)).ok_or_else(|| match most {
            &u64::MAX => format!("a whole number, {least} or more"),
            most => format!("a whole number from {least} to {most}"),
        })
    }
}

/// A whole number within `range`, of things there are never many of.
pub(super) fn count(range: RangeInclusive<u32>) -> impl Fn(&Input<'_>) -> Parsed<u32> {
    let (least, most) = (*range.start(), *range.end());
    move |input| {
        let number = whole(least.into()..=most.into())(input)?;
        Ok(u32::try_from(number).unwrap_or(most))
    }
}

/// A time in whole milliseconds, zero included.
pub(super) fn millis(input: &Input<'_>) -> Parsed<Duration> {
    let millis = whole(0..=MAX_MILLIS)(input);
    millis
        .map(Duration::from_millis)
        .map_err(|_| "milliseconds, 0 or more, at most 365 days".to_owned())
}

/// A time in whole milliseconds after which something ends: not zero.
pub(super) fn time_limit(input: &Input<'_>) -> Parsed<Duration> {
    let limit = millis(input).ok().filter(|limit| !limit.is_zero());
    limit.ok_or_else(|| "milliseconds, 1 or more, at most 365 days".to_owned())
}

/// A share, from 0 to 1.
pub(super) fn rate(input: &Input<'_>) -> Parsed<f64> {
    let number = match (&input.value.kind, input.text()) {
        (ValueKind::Float(number), _) => Some(*number),
        (ValueKind::I64(0), _) => Some(0.0),
        (ValueKind::I64(1), _) => Some(1.0),
        (_, Some(text)) => text.parse().ok(),
        _ => None,
    };
    let number = number.filter(|number| (0.0..=1.0).contains(number));
    number.ok_or_else(|| "a number from 0.0 to 1.0".to_owned())
}

/// One word of a closed list.
pub(super) fn choice<C: Choice>(input: &Input<'_>) -> Parsed<C> {
    let found = input.string().and_then(|text| C::ALL.iter().find(|choice| choice.word() == text));
    found.copied().ok_or_else(|| {
        let words: Vec<_> = C::ALL.iter().map(|choice| format!("\"{}\"", choice.word())).collect();
        match words.split_last() {
            Some((only, [])) => format!("{only}, the only one of this version"),
            Some((last, rest)) => format!("{} or {last}", rest.join(", ")),
            None => "nothing".to_owned(),
        }
    })
}

/// A JSON schema, written as a table.
pub(super) fn schema(input: &Input<'_>) -> Parsed<Json> {
    let schema = input.structured().try_deserialize::<Json>().ok();
    schema.filter(Json::is_object).ok_or_else(|| "a table with a JSON schema".to_owned())
}

/// How a value is written in TOML, with what is secret in it masked.
pub(super) trait Notation {
    /// Returns the value in TOML notation.
    fn notation(&self) -> String;
}

impl Notation for String {
    fn notation(&self) -> String {
        quoted(self)
    }
}

impl Notation for BaseUrl {
    fn notation(&self) -> String {
        quoted(&self.to_string())
    }
}

impl Notation for bool {
    fn notation(&self) -> String {
        self.to_string()
    }
}

impl Notation for Option<bool> {
    fn notation(&self) -> String {
        self.map_or_else(|| quoted("unset"), |flag| flag.notation())
    }
}

impl Notation for u32 {
    fn notation(&self) -> String {
        self.to_string()
    }
}

impl Notation for u64 {
    fn notation(&self) -> String {
        self.to_string()
    }
}

impl Notation for f64 {
    fn notation(&self) -> String {
        format!("{self:?}") // With its point: `1.0`.
    }
}

impl Notation for Duration {
    fn notation(&self) -> String {
        self.as_millis().to_string()
    }
}

impl<C: Choice> Notation for C {
    fn notation(&self) -> String {
        quoted(self.word())
    }
}

impl Notation for Json {
    fn notation(&self) -> String {
        match self {
            Json::Array(items) => {
                let items: Vec<_> = items.iter().map(Notation::notation).collect();
                format!("[{}]", items.join(", "))
            }
            Json::Object(fields) if fields.is_empty() => "{}".to_owned(),
            Json::Object(fields) => {
                let is_bare = |name: &str| {
                    !name.is_empty()
                        && name
                            .bytes()
                            .all(|byte| byte.is_ascii_alphanumeric() || b"_-".contains(&byte))
                };
                let name = |name: &str| if is_bare(name) { name.to_owned() } else { quoted(name) };
                let fields: Vec<_> = fields
                    .iter()
                    .map(|(key, value)| format!("{} = {}", name(key), value.notation()))
                    .collect();
                format!("{{ {} }}", fields.join(", "))
            }
            _ => self.to_string(),
        }
    }
}

/// Writes a basic string: JSON's escapes are TOML's, but for DEL.
pub(super) fn quoted(text: &str) -> String {
    Json::from(text).to_string().replace('\u{7f}', "\\u007f")
}

/// Describes a value that was not expected, with a password in it masked.
pub(super) fn described(value: &Value) -> String {
    match &value.kind {
        ValueKind::Nil => "nothing".to_owned(),
        ValueKind::Boolean(flag) => flag.notation(),
        ValueKind::I64(number) => number.to_string(),
        ValueKind::I128(number) => number.to_string(),
        ValueKind::U64(number) => number.to_string(),
        ValueKind::U128(number) => number.to_string(),
        ValueKind::Float(number) => number.notation(),
        ValueKind::String(text) => quoted(&super::endpoint::masked(text)),
        ValueKind::Table(_) => "a table".to_owned(),
        ValueKind::Array(_) => "an array".to_owned(),
    }
}
