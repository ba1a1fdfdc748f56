//! Fields that we do not know and must give back.

use std::borrow::Cow;

use serde_json::value::RawValue;

/// Unknown fields of an object, in the order they came, each value's text byte for byte.
#[derive(Clone, Debug, Default)]
pub struct Extra(Vec<(Box<str>, Box<RawValue>)>);

impl Extra {
    /// Says whether there are none.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// The fields in order.
    pub fn iter(&self) -> impl Iterator<Item = (&str, &RawValue)> {
        self.0.iter().map(|(name, value)| (&**name, &**value))
    }

    /// The value of `name`.
    #[must_use]
    pub fn get(&self, name: &str) -> Option<&RawValue> {
        self.iter().find(|(known, _)| *known == name).map(|(_, value)| value)
    }

    /// Sets `name`, in its old place if it has one.
    pub(super) fn set(&mut self, name: &str, value: Box<RawValue>) {
        match self.0.iter_mut().find(|(known, _)| &**known == name) {
            Some((_, old)) => *old = value,
            None => self.0.push((name.into(), value)),
        }
    }

    /// Takes in the fields of one piece of a stream. Pieces of a reasoning text and of lists are
    /// put together; of anything else the last one that is not null counts.
    pub(super) fn merge(&mut self, fields: &[(Cow<'_, str>, &RawValue)]) {
        for (name, value) in fields {
            if value.get() == "null" {
                continue;
            }
            let joined = self.get(name).and_then(|old| join(name, old.get(), value.get()));
            self.set(name, joined.unwrap_or_else(|| (*value).to_owned()));
        }
    }

    /// Writes `,"name":value` for each field.
    pub(super) fn write(&self, out: &mut Vec<u8>) {
        for (name, value) in self.iter() {
            out.push(b',');
            super::chat::write_string(out, name);
            out.push(b':');
            out.extend_from_slice(value.get().as_bytes());
        }
    }
}

impl From<Vec<(Cow<'_, str>, &RawValue)>> for Extra {
    fn from(fields: Vec<(Cow<'_, str>, &RawValue)>) -> Self {
        let own = |(name, value): (Cow<'_, str>, &RawValue)| (Box::from(&*name), value.to_owned());
        Self(fields.into_iter().map(own).collect())
    }
}

/// The names under which providers stream a model's reasoning as text.
pub(super) const REASONING: [&str; 3] = ["reasoning_content", "reasoning", "thinking"];

fn join(name: &str, old: &str, new: &str) -> Option<Box<RawValue>> {
    let inner = |text: &str, open: char, close: char| {
        text.trim().strip_prefix(open)?.strip_suffix(close).map(str::to_owned)
    };
    let text = if REASONING.contains(&name) {
        format!("\"{}{}\"", inner(old, '"', '"')?, inner(new, '"', '"')?)
    } else {
        let (old, new) = (inner(old, '[', ']')?, inner(new, '[', ']')?);
        let comma = if old.trim().is_empty() || new.trim().is_empty() { "" } else { "," };
        format!("[{old}{comma}{new}]")
    };
    RawValue::from_string(text).ok()
}
