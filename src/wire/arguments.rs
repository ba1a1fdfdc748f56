//! Judges a call's arguments: one whole JSON object, or a reason not to run the call.

use std::borrow::Cow;

use serde_json::Value;

use super::closing::end_of_value;
use super::json::{Array, Object, Unread, read};
use super::shape::{Number, Shape};

/// The arguments of one call, judged once, when they are complete.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Arguments {
    /// The text of one JSON object, whole and strictly valid: `serde_json` reads it without an error.
    Object(String),
    /// Valid JSON of another type.
    NotAnObject {
        /// The text as it came.
        raw: String,
    },
    /// All of it arrived, but it is no JSON.
    Malformed {
        /// The text as it came.
        raw: String,
    },
    /// Not all of it arrived: never run.
    Truncated {
        /// The text as far as it came.
        raw: String,
    },
}

impl Arguments {
    /// Judges a text that arrived whole, mending only what keeps its meaning.
    ///
    /// Nothing at all and `null` mean `{}`; an object written into a string is that object; a placeholder `{}`
    /// before the real object is dropped. Everything else must be strictly valid.
    pub fn from_text(raw: String) -> Self {
        judge(raw, Tail::Whole, 0)
    }

    /// The input of a custom tool: any text, and no object even if it looks like one.
    pub(super) fn of_input(input: &str) -> Self {
        Arguments::NotAnObject { raw: Value::from(input).to_string() }
    }

    /// The text of the object, if it is one.
    pub fn object(&self) -> Option<&str> {
        match self {
            Arguments::Object(text) => Some(text),
            _ => None,
        }
    }
}

/// What is known about the end of a text.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Tail {
    /// It arrived.
    Whole,
    /// The reply was cut off, but another call followed this one.
    Followed,
    /// The reply was cut off, and this was its last call.
    Doubtful,
}

/// Judges `raw`. `last_piece` is the offset at which its last piece began: some servers end by sending all of it again.
pub(super) fn judge(raw: String, tail: Tail, last_piece: usize) -> Arguments {
    let text = raw.trim_ascii();
    if text.is_empty() {
        return match tail {
            Tail::Doubtful => Arguments::Truncated { raw },
            Tail::Whole | Tail::Followed => Arguments::Object("{}".to_owned()),
        };
    }
    match kind(text) {
        Some(Kind::Object) if text.len() == raw.len() => Arguments::Object(raw),
        Some(Kind::Object) => Arguments::Object(text.to_owned()),
        Some(Kind::Text) => match object_in_string(text) {
            Some(object) => Arguments::Object(object),
            None => other_json(raw, tail),
        },
        Some(Kind::Null) if tail != Tail::Doubtful => Arguments::Object("{}".to_owned()),
        Some(Kind::Null | Kind::Other) => other_json(raw, tail),
        None => match behind_placeholders(text).or_else(|| sent_again(&raw, tail, last_piece)) {
            Some(object) => Arguments::Object(object.to_owned()),
            None if tail == Tail::Doubtful => Arguments::Truncated { raw },
            None if tail == Tail::Followed && end_of_value(&raw).is_none() => {
                Arguments::Truncated { raw }
            }
            None => Arguments::Malformed { raw },
        },
    }
}

/// A scalar that may be the beginning of a longer one is not trusted at a doubtful end.
fn other_json(raw: String, tail: Tail) -> Arguments {
    match tail {
        Tail::Doubtful => Arguments::Truncated { raw },
        Tail::Whole | Tail::Followed => Arguments::NotAnObject { raw },
    }
}

/// `"{\"a\":1}"`: the object inside a string.
fn object_in_string(text: &str) -> Option<String> {
    let inner: String = serde_json::from_str(text).ok()?;
    let object = inner.trim_ascii();
    (kind(object) == Some(Kind::Object)).then(|| object.to_owned())
}

/// `{}{"a":1}`: the object behind one or more empty ones.
fn behind_placeholders(text: &str) -> Option<&str> {
    let mut rest = text;
    while let Some(behind) =
        rest.strip_prefix('{').and_then(|rest| rest.trim_ascii_start().strip_prefix('}'))
    {
        rest = behind.trim_ascii_start();
    }
    match rest {
        "" => Some("{}"),
        _ => (rest.len() < text.len() && kind(rest) == Some(Kind::Object)).then_some(rest),
    }
}

/// `{"a":{"a":1}`: an unclosed beginning, then the whole object in one last piece.
fn sent_again(raw: &str, tail: Tail, last_piece: usize) -> Option<&str> {
    let (before, last) = raw.split_at_checked(last_piece)?;
    let last = last.trim_ascii();
    let repeats = !before.is_empty() && starts_with_loosely(last, before);
    (tail == Tail::Whole && repeats && kind(last) == Some(Kind::Object)).then_some(last)
}

/// True when the JSON `text` starts with `beginning`, blanks between its tokens left aside.
pub(super) fn starts_with_loosely(text: &str, beginning: &str) -> bool {
    let mut rest = without_blanks(text);
    without_blanks(beginning).all(|byte| rest.next() == Some(byte))
}

/// The bytes of a JSON text but for the blanks that are in no string.
fn without_blanks(text: &str) -> impl Iterator<Item = u8> {
    let (mut in_string, mut escaped) = (false, false);
    text.bytes().filter(move |byte| {
        match byte {
            _ if escaped => escaped = false,
            b'\\' => escaped = in_string,
            b'"' => in_string = !in_string,
            _ => return in_string || !byte.is_ascii_whitespace(),
        }
        true
    })
}

/// The kind of one JSON value.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
enum Kind {
    Object,
    Text,
    #[default]
    Null,
    Other,
}

/// Reads `text` as one JSON value as strictly as `serde_json::Value` would, building nothing. `None` if it is none.
fn kind(text: &str) -> Option<Kind> {
    read(text).ok()
}

impl<'de> Shape<'de> for Kind {
    fn text(_: Cow<'de, str>) -> Self {
        Kind::Text
    }

    fn number(_: Number) -> Self {
        Kind::Other
    }

    fn items(mut items: Array<'_, 'de>) -> Result<Self, Unread> {
        while items.item::<Kind>()?.is_some() {}
        Ok(Kind::Other)
    }

    fn fields(mut fields: Object<'_, 'de>) -> Result<Self, Unread> {
        while fields.name()?.is_some() {
            fields.value::<Kind>()?;
        }
        Ok(Kind::Object)
    }

    fn flag(_: bool) -> Self {
        Kind::Other
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(raw: &str, expected: &str) {
        assert_eq!(show(judge(raw.to_owned(), Tail::Whole, 0)), expected, "{raw}");
    }

    fn check_cut(raw: &str, expected: &str) {
        assert_eq!(show(judge(raw.to_owned(), Tail::Doubtful, 0)), expected, "{raw}");
    }

    fn show(arguments: Arguments) -> String {
        match arguments {
            Arguments::Object(text) => text,
            Arguments::NotAnObject { .. } => "not an object".to_owned(),
            Arguments::Malformed { .. } => "malformed".to_owned(),
            Arguments::Truncated { .. } => "truncated".to_owned(),
        }
    }

    #[test]
    fn an_object_keeps_its_bytes() {
        check(r#"{"b": 1.50, "a" : "\u00e9"}"#, r#"{"b": 1.50, "a" : "\u00e9"}"#);
        check(" {\"a\":1}\n", r#"{"a":1}"#);
    }

    #[test]
    fn d17_nothing_means_an_empty_object_unless_the_reply_was_cut() {
        for raw in ["", " ", "null", "{}"] {
            check(raw, "{}");
        }
        for raw in ["", " ", "null"] {
            check_cut(raw, "truncated");
        }
        check_cut("{}", "{}");
        assert_eq!(judge(String::new(), Tail::Followed, 0), Arguments::Object("{}".to_owned()));
    }

    #[test]
    fn d19_a_placeholder_before_the_object_is_dropped() {
        check(r#"{}{"a":1}"#, r#"{"a":1}"#);
        check(r#"{ } {} {"a":1}"#, r#"{"a":1}"#);
        check("{}{}", "{}");
        check("{}{", "malformed");
        check("{}x", "malformed");
    }

    #[test]
    fn d20_a_last_piece_that_is_all_of_it_again_counts() {
        let again = |before: &str, last: &str, tail| {
            show(judge(format!("{before}{last}"), tail, before.len()))
        };
        assert_eq!(again(r#"{"a": 1, "b"#, r#"{"a":1,"b":2}"#, Tail::Whole), r#"{"a":1,"b":2}"#);
        assert_eq!(again(r#"{"a":1}"#, r#"{"a":1}"#, Tail::Whole), r#"{"a":1}"#);
        assert_eq!(again(r#"{"a":1"#, r#"{"b":1}"#, Tail::Whole), "malformed");
        assert_eq!(again(r#"{"a":1"#, r#"{"a":1}"#, Tail::Doubtful), "truncated");
    }

    #[test]
    fn d21_more_text_behind_the_closing_brace_is_malformed() {
        check(r#"{"query": "test"}, "limit": 10}"#, "malformed");
    }

    #[test]
    fn d22_a_missing_brace_is_never_added() {
        check(r#"{"a":1"#, "malformed");
        check_cut(r#"{"a":1"#, "truncated");
        assert_eq!(show(judge(r#"{"a":1"#.to_owned(), Tail::Followed, 0)), "truncated");
        assert_eq!(show(judge(r#"{"a":x}"#.to_owned(), Tail::Followed, 0)), "malformed");
    }

    #[test]
    fn d23_an_object_inside_a_string_is_that_object() {
        check(r#""{\"a\": \"b\"}""#, r#"{"a": "b"}"#);
        check(r#""plain""#, "not an object");
        check(r#""[1]""#, "not an object");
    }

    #[test]
    fn d24_json_of_another_type_is_not_an_object() {
        for raw in ["1", "[]", "true", "[{\"a\":1}]"] {
            check(raw, "not an object");
        }
        check_cut("1", "truncated");
    }

    #[test]
    fn d25_what_only_looks_like_json_is_malformed() {
        for raw in [
            r#"{"a":1,}"#,
            "{'a':1}",
            r#"{"a":True}"#,
            r#"{"p":"C:\path"}"#,
            "{\"a\":\"x\ny\"}",
            "```json\n{}\n```",
            r#"{"a":1} and that is it"#,
            "{a:1}",
            r#"{{"a":1}}"#,
            r#"{"a":"\ud800"}"#,
            r#"{"a":1e999}"#,
        ] {
            check(raw, "malformed");
        }
    }

    #[test]
    fn what_we_call_an_object_serde_json_reads() {
        let nested =
            |depth: usize| format!(r#"{}1{}"#, r#"{"a":"#.repeat(depth), "}".repeat(depth));
        for raw in [
            nested(100),
            nested(200),
            r#"{"a":1e400}"#.to_owned(),
            r#"{"\ud83d\ude00":-0.0}"#.to_owned(),
        ] {
            let ours = Arguments::from_text(raw.clone()).object().is_some();
            assert_eq!(ours, serde_json::from_str::<Value>(&raw).is_ok(), "{raw}");
        }
    }
}
