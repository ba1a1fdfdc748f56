//! Reading JSON that may have any shape: a value of an unexpected type reads as absent instead of failing the reply.

use std::borrow::Cow;
use std::fmt;

use serde_json::value::RawValue;

use super::json::{Array, Object, Unread, raw};

/// A value read as far as it has the expected shape; any other shape reads as the default.
pub(crate) trait Shape<'de>: Default {
    /// A JSON string, borrowed from the input where it has no escapes.
    fn text(_: Cow<'de, str>) -> Self {
        Self::default()
    }

    /// A JSON number.
    fn number(_: Number) -> Self {
        Self::default()
    }

    /// `true` or `false`.
    fn flag(_: bool) -> Self {
        Self::default()
    }

    /// A JSON array. Whoever overrides it must read all of it.
    fn items(mut items: Array<'_, 'de>) -> Result<Self, Unread> {
        while items.skip()?.is_some() {}
        Ok(Self::default())
    }

    /// A JSON object. Whoever overrides it must read all of it.
    fn fields(mut fields: Object<'_, 'de>) -> Result<Self, Unread> {
        while fields.name()?.is_some() {
            fields.skip()?;
        }
        Ok(Self::default())
    }
}

/// A JSON number.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Number {
    /// Not negative, whole.
    Unsigned(u64),
    /// Negative, whole.
    Signed(i64),
    /// Any other.
    Float(f64),
}

impl fmt::Display for Number {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Number::Unsigned(number) => number.fmt(f),
            Number::Signed(number) => number.fmt(f),
            Number::Float(number) => number.fmt(f),
        }
    }
}

/// The text of `bytes`; what is no UTF-8 is replaced. Checking first is faster than replacing nothing.
pub(super) fn text_of(bytes: &[u8]) -> Cow<'_, str> {
    match std::str::from_utf8(bytes) {
        Ok(text) => Cow::Borrowed(text),
        Err(_) => String::from_utf8_lossy(bytes),
    }
}

/// A text, or a number in its place; anything else is absent.
#[derive(Debug, Default)]
pub(super) struct Text<'de>(pub Option<Cow<'de, str>>);

impl<'de> Shape<'de> for Text<'de> {
    fn text(text: Cow<'de, str>) -> Self {
        Text(Some(text))
    }

    fn number(number: Number) -> Self {
        Text(Some(Cow::Owned(number.to_string())))
    }
}

/// A whole number, or one written as text; anything else is absent.
#[derive(Debug, Default)]
pub(super) struct Whole(pub Option<i64>);

impl<'de> Shape<'de> for Whole {
    fn text(text: Cow<'de, str>) -> Self {
        Whole(text.parse().ok())
    }

    fn number(number: Number) -> Self {
        Whole(match number {
            Number::Unsigned(number) => i64::try_from(number).ok(),
            Number::Signed(number) => Some(number),
            Number::Float(_) => None,
        })
    }
}

/// The text of any JSON value but `null`, which counts as absent.
#[derive(Debug, Default)]
pub(super) struct Raw<'de>(pub Option<&'de RawValue>);

impl<'de> Raw<'de> {
    /// Reads the value of the field whose name was just read.
    pub fn value(fields: &mut Object<'_, 'de>) -> Result<Self, Unread> {
        raw(fields.skip()?).map(Raw)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check<'de, T: Shape<'de> + fmt::Debug>(json: &'de str, expected: &str) {
        let value = super::super::json::read::<T>(json).unwrap();
        assert_eq!(format!("{value:?}"), expected, "{json}");
    }

    #[test]
    fn a_text_may_be_a_number_and_nothing_else() {
        check::<Text<'_>>(r#""a\n""#, r#"Text(Some("a\n"))"#);
        check::<Text<'_>>("502", r#"Text(Some("502"))"#);
        for json in ["null", "true", r#"{"a":[1]}"#, r#"[{"a":1}]"#] {
            check::<Text<'_>>(json, "Text(None)");
        }
    }

    #[test]
    fn a_whole_number_may_be_written_as_text() {
        check::<Whole>("3", "Whole(Some(3))");
        check::<Whole>("-1", "Whole(Some(-1))");
        check::<Whole>(r#""7""#, "Whole(Some(7))");
        for json in ["1.5", r#""x""#, "{}", "18446744073709551615"] {
            check::<Whole>(json, "Whole(None)");
        }
    }
}
