//! Unknown fields of a streamed message, gathered from its chunks.

use serde_json::value::{RawValue, to_raw_value};

use super::extra::MAX_FIELDS;
use super::{Extra, reasoning};

/// Fields under construction, in the order they first came.
#[derive(Debug, Default)]
pub(super) struct Gather(Vec<(Box<str>, Value)>);

#[derive(Debug)]
enum Value {
    /// Pieces of one text.
    Text(String),
    /// The items of an array, with commas between them.
    Items(String),
    /// The last value that came.
    Last(Box<RawValue>),
}

impl Gather {
    /// Appends to the text in the field `name`.
    pub fn add_text(&mut self, name: &str, piece: &str) {
        match self.find(name) {
            Some(Value::Text(text)) => text.push_str(piece),
            Some(other) => *other = Value::Text(piece.to_owned()),
            None => self.open(name, Value::Text(piece.to_owned())),
        }
    }

    /// Takes in any value of the field `name`: items are appended to an array, anything else replaces what was there.
    pub fn add(&mut self, name: &str, raw: &RawValue) {
        let fresh = match items_of(raw.get()) {
            Some(items) => match self.find(name) {
                Some(Value::Items(all)) => {
                    if !all.is_empty() && !items.is_empty() {
                        all.push(',');
                    }
                    return all.push_str(items);
                }
                _ => Value::Items(items.to_owned()),
            },
            None => Value::Last(raw.to_owned()),
        };
        match self.find(name) {
            Some(old) => *old = fresh,
            None => self.open(name, fresh),
        }
    }

    fn open(&mut self, name: &str, value: Value) {
        if self.0.len() < MAX_FIELDS {
            self.0.push((name.into(), value));
        }
    }

    /// The fields as they go back.
    pub fn finish(self) -> Extra {
        let mut extra = Extra::default();
        for (name, value) in self.0 {
            let raw = match value {
                Value::Text(text) => to_raw_value(&text),
                Value::Items(items) => {
                    let joined = (*name == *reasoning::FIELD).then(|| reasoning::joined(&items));
                    let items = joined.flatten().unwrap_or(items);
                    RawValue::from_string(format!("[{items}]"))
                }
                Value::Last(raw) => Ok(raw),
            };
            extra.insert(&name, raw.expect("text and items of JSON are JSON"));
        }
        extra
    }

    fn find(&mut self, name: &str) -> Option<&mut Value> {
        self.0.iter_mut().find(|(known, _)| **known == *name).map(|(_, value)| value)
    }
}

/// What stands between the brackets of an array.
fn items_of(json: &str) -> Option<&str> {
    let items = json.trim_ascii().strip_prefix('[')?.strip_suffix(']')?;
    Some(items.trim_ascii())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn add(gather: &mut Gather, name: &str, json: &str) {
        gather.add(name, &RawValue::from_string(json.to_owned()).unwrap());
    }

    fn check(gather: Gather, expected: &[(&str, &str)]) {
        let extra = gather.finish();
        let fields: Vec<_> = extra.iter().map(|(name, value)| (name, value.get())).collect();
        assert_eq!(fields, expected);
    }

    #[test]
    fn texts_and_arrays_grow_and_other_values_are_replaced() {
        let mut gather = Gather::default();
        gather.add_text("reasoning", "a\"");
        add(&mut gather, "details", "[]");
        add(&mut gather, "x", "{\"a\" : 1}");
        gather.add_text("reasoning", "b");
        add(&mut gather, "details", "[ 1.0, [2] ]");
        add(&mut gather, "x", "{\"b\" : 2}");
        add(&mut gather, "details", "[3]");
        check(
            gather,
            &[("reasoning", "\"a\\\"b\""), ("details", "[1.0, [2],3]"), ("x", "{\"b\" : 2}")],
        );
    }

    #[test]
    fn a_field_that_changes_its_type_begins_anew() {
        let mut gather = Gather::default();
        add(&mut gather, "x", "[1]");
        add(&mut gather, "x", "7");
        add(&mut gather, "y", "7");
        gather.add_text("y", "t");
        check(gather, &[("x", "7"), ("y", "\"t\"")]);
    }
}
