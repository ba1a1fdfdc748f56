//! What became of a call's arguments, once no more of them will come.

use std::sync::Arc;

use serde::de::IgnoredAny;

/// A call's arguments.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Arguments {
    /// The text of one JSON object, whole and strictly valid.
    Object(Arc<str>),
    /// Valid JSON that is no object.
    NotAnObject {
        /// As it came.
        raw: Arc<str>,
    },
    /// It arrived whole and is no JSON.
    Malformed {
        /// As it came.
        raw: Arc<str>,
    },
    /// It did not arrive whole. Such a call never runs.
    Truncated {
        /// What had arrived.
        raw: Arc<str>,
    },
}

impl Arguments {
    /// Judges the text `raw`. `cut` says that the reply broke off here, so that text which does not
    /// parse, or is not there, was not written to its end. `last_piece` is where the last piece of
    /// a stream began.
    ///
    /// What is mended keeps its meaning: no arguments at all are an empty object, an object in a
    /// string is that object, a placeholder `{}` before the real object is dropped, and so is
    /// what precedes a last piece that repeats the whole.
    pub(super) fn settle(raw: &str, last_piece: usize, cut: bool) -> Self {
        let text = raw.trim();
        if text.is_empty() && cut {
            return Self::Truncated { raw: raw.into() };
        }
        if matches!(text, "" | "null" | "\"null\"" | "\"\"") {
            return Self::Object("{}".into());
        }
        if is_json(text) {
            return Self::of_json(text);
        }
        let without_placeholder = text.strip_prefix("{}").map(str::trim);
        let repeated = raw.get(last_piece..).map(str::trim).filter(|_| last_piece > 0);
        for whole in [without_placeholder, repeated].into_iter().flatten() {
            if whole.starts_with('{') && is_json(whole) {
                return Self::Object(whole.into());
            }
        }
        let raw = raw.into();
        if cut { Self::Truncated { raw } } else { Self::Malformed { raw } }
    }

    fn of_json(text: &str) -> Self {
        if text.starts_with('{') {
            return Self::Object(text.into());
        }
        match serde_json::from_str::<String>(text) {
            Ok(inner) if inner.trim_start().starts_with('{') && is_json(&inner) => {
                Self::Object(inner.trim().into())
            }
            _ => Self::NotAnObject { raw: text.into() },
        }
    }
}

fn is_json(text: &str) -> bool {
    serde_json::from_str::<IgnoredAny>(text).is_ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(raw: &str, whole: &Arguments, cut: &Arguments) {
        assert_eq!(&Arguments::settle(raw, 0, false), whole, "{raw}");
        assert_eq!(&Arguments::settle(raw, 0, true), cut, "{raw} cut");
    }

    #[test]
    fn every_way_to_write_arguments_is_judged() {
        let object = |text: &str| Arguments::Object(text.into());
        let truncated = |raw: &str| Arguments::Truncated { raw: raw.into() };
        let malformed = |raw: &str| Arguments::Malformed { raw: raw.into() };
        let other = |raw: &str| Arguments::NotAnObject { raw: raw.into() };
        check(r#"{"a":1}"#, &object(r#"{"a":1}"#), &object(r#"{"a":1}"#));
        check("", &object("{}"), &truncated(""));
        check("null", &object("{}"), &object("{}"));
        check(r#""null""#, &object("{}"), &object("{}"));
        check(r#""{\"a\":1}""#, &object(r#"{"a":1}"#), &object(r#"{"a":1}"#));
        check(r#"{}{"a":1}"#, &object(r#"{"a":1}"#), &object(r#"{"a":1}"#));
        check(r#"{"a":"#, &malformed(r#"{"a":"#), &truncated(r#"{"a":"#));
        check(r#"{"a":1,}"#, &malformed(r#"{"a":1,}"#), &truncated(r#"{"a":1,}"#));
        check("[1]", &other("[1]"), &other("[1]"));
        check("12", &other("12"), &other("12"));
    }

    #[test]
    fn a_last_piece_that_repeats_the_whole_replaces_what_came_before() {
        let raw = r#"{"a":1{"a":1}"#;
        let settled = Arguments::settle(raw, 6, false);
        assert_eq!(settled, Arguments::Object(r#"{"a":1}"#.into()));
    }
}
