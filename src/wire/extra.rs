//! Fields we do not know, kept to be sent back: a provider may refuse a history without them.

use std::borrow::Cow;

use serde_json::value::RawValue;

/// How many unknown fields of one object are kept: more than any provider has, and few enough to search.
pub(super) const MAX_FIELDS: usize = 256;

/// Unknown fields, still borrowed from the input. None of them is `null`.
pub(super) type Fields<'a> = Vec<(Cow<'a, str>, &'a RawValue)>;

/// How many bytes the fields are.
pub(super) fn size(fields: &Fields<'_>) -> usize {
    fields.iter().map(|(name, raw)| name.len() + raw.get().len()).sum()
}

/// Unknown JSON fields in the order they came, each value's text byte for byte.
#[derive(Clone, Debug, Default)]
pub struct Extra(Vec<(Box<str>, Box<RawValue>)>);

impl Extra {
    /// The fields in the order they came.
    pub fn iter(&self) -> impl Iterator<Item = (&str, &RawValue)> {
        self.0.iter().map(|(name, value)| (&**name, &**value))
    }

    /// The value of the field `name`.
    pub fn get(&self, name: &str) -> Option<&RawValue> {
        self.iter().find(|(known, _)| *known == name).map(|(_, value)| value)
    }

    /// True when there is no field at all.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// Sets the field `name`. A field that is known already keeps its place and loses its old value;
    /// one more than 256 is dropped.
    pub fn insert(&mut self, name: &str, value: Box<RawValue>) {
        if let Some((_, old)) = self.0.iter_mut().find(|(known, _)| **known == *name) {
            *old = value;
        } else if self.0.len() < MAX_FIELDS {
            self.0.push((name.into(), value));
        }
    }

    /// Takes over fields that are still borrowed; of the same field the last value wins.
    pub(super) fn keep(&mut self, fields: Fields<'_>) {
        for (name, value) in fields {
            self.insert(&name, value.to_owned());
        }
    }

    /// Appends every field to a JSON object that has at least one field already and is not closed yet.
    pub(super) fn write_fields(&self, out: &mut Vec<u8>) {
        for (name, value) in self.iter() {
            out.push(b',');
            super::chat::write_string(out, name);
            out.push(b':');
            out.extend_from_slice(value.get().as_bytes());
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn raw(text: &str) -> Box<RawValue> {
        RawValue::from_string(text.to_owned()).unwrap()
    }

    #[test]
    fn fields_keep_their_order_and_their_bytes() {
        let mut extra = Extra::default();
        extra.insert("b", raw(r#"{"x" : 1.50}"#));
        extra.insert("a\"", raw("[1, 2]"));
        let mut out = Vec::new();
        extra.write_fields(&mut out);
        assert_eq!(out, br#","b":{"x" : 1.50},"a\"":[1, 2]"#);
    }

    #[test]
    fn the_last_value_of_a_field_wins_and_keeps_the_first_place() {
        let mut extra = Extra::default();
        for (name, value) in [("a", "1"), ("b", "2"), ("a", "3")] {
            extra.insert(name, raw(value));
        }
        let fields: Vec<_> = extra.iter().map(|(name, value)| (name, value.get())).collect();
        assert_eq!(fields, [("a", "3"), ("b", "2")]);
        assert!(extra.get("c").is_none() && !extra.is_empty());
    }
}
