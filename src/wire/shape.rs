//! Reading JSON that may have any shape: a value of an unexpected type reads as absent instead of failing the reply.

use std::borrow::Cow;
use std::fmt;
use std::marker::PhantomData;

use serde::de::{Deserialize, Deserializer, IgnoredAny, MapAccess, SeqAccess, Visitor};
use serde_json::value::RawValue;

/// A value read as far as it has the expected shape; any other shape reads as the default.
pub(super) trait Shape<'de>: Default {
    /// A JSON string, borrowed from the input where it has no escapes.
    fn text(_: Cow<'de, str>) -> Self {
        Self::default()
    }

    /// A JSON number.
    fn number(_: Number) -> Self {
        Self::default()
    }

    /// A JSON array. Whoever overrides it must read all of it.
    fn items<A: SeqAccess<'de>>(mut items: A) -> Result<Self, A::Error> {
        while items.next_element::<IgnoredAny>()?.is_some() {}
        Ok(Self::default())
    }

    /// A JSON object. Whoever overrides it must read all of it.
    fn fields<A: MapAccess<'de>>(mut fields: A) -> Result<Self, A::Error> {
        while fields.next_entry::<IgnoredAny, IgnoredAny>()?.is_some() {}
        Ok(Self::default())
    }
}

/// A JSON number as `serde_json` gives it.
#[derive(Clone, Copy, Debug)]
pub(super) enum Number {
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

/// Lets serde read a [`Shape`].
pub(super) struct Shaped<T>(pub T);

/// Reads the value of the field whose name was just read.
pub(super) fn value<'de, T: Shape<'de>, A: MapAccess<'de>>(fields: &mut A) -> Result<T, A::Error> {
    Ok(fields.next_value::<Shaped<T>>()?.0)
}

/// Passes over the value of the field whose name was just read.
pub(super) fn skip<'de, A: MapAccess<'de>>(fields: &mut A) -> Result<(), A::Error> {
    fields.next_value::<IgnoredAny>().map(drop)
}

/// Reads the next field's name.
pub(super) fn name<'de, A: MapAccess<'de>>(
    fields: &mut A,
) -> Result<Option<Cow<'de, str>>, A::Error> {
    Ok(fields.next_key::<Shaped<Text<'de>>>()?.map(|Shaped(Text(name))| name.unwrap_or_default()))
}

/// Reads the next item of an array.
pub(super) fn item<'de, T: Shape<'de>, A: SeqAccess<'de>>(
    items: &mut A,
) -> Result<Option<T>, A::Error> {
    Ok(items.next_element::<Shaped<T>>()?.map(|Shaped(item)| item))
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
    pub fn value<A: MapAccess<'de>>(fields: &mut A) -> Result<Self, A::Error> {
        let value = fields.next_value::<&RawValue>()?;
        Ok(Raw(Some(value).filter(|value| value.get() != "null")))
    }
}

impl<'de, T: Shape<'de>> Deserialize<'de> for Shaped<T> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(ShapeVisitor(PhantomData)).map(Shaped)
    }
}

struct ShapeVisitor<T>(PhantomData<T>);

impl<'de, T: Shape<'de>> Visitor<'de> for ShapeVisitor<T> {
    type Value = T;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("any JSON value")
    }

    fn visit_bool<E>(self, _: bool) -> Result<T, E> {
        Ok(T::default())
    }

    fn visit_i64<E>(self, number: i64) -> Result<T, E> {
        Ok(T::number(Number::Signed(number)))
    }

    fn visit_u64<E>(self, number: u64) -> Result<T, E> {
        Ok(T::number(Number::Unsigned(number)))
    }

    fn visit_f64<E>(self, number: f64) -> Result<T, E> {
        Ok(T::number(Number::Float(number)))
    }

    fn visit_borrowed_str<E>(self, text: &'de str) -> Result<T, E> {
        Ok(T::text(Cow::Borrowed(text)))
    }

    fn visit_str<E>(self, text: &str) -> Result<T, E> {
        Ok(T::text(Cow::Owned(text.to_owned())))
    }

    fn visit_unit<E>(self) -> Result<T, E> {
        Ok(T::default())
    }

    fn visit_seq<A: SeqAccess<'de>>(self, items: A) -> Result<T, A::Error> {
        T::items(items)
    }

    fn visit_map<A: MapAccess<'de>>(self, fields: A) -> Result<T, A::Error> {
        T::fields(fields)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check<'de, T: Shape<'de> + fmt::Debug>(json: &'de str, expected: &str) {
        let Shaped(value) = serde_json::from_str::<Shaped<T>>(json).unwrap();
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
