//! The cursor, held against `serde_json`.

use proptest::prelude::*;
use serde::de::IgnoredAny;

use super::*;

/// Reads every part of a value, and builds it again.
#[derive(Debug, Default, PartialEq)]
struct Whole(serde_json::Value);

impl<'de> Shape<'de> for Whole {
    fn text(text: Cow<'de, str>) -> Self {
        Self(text.into())
    }

    fn number(number: Number) -> Self {
        Self(match number {
            Number::Unsigned(number) => number.into(),
            Number::Signed(number) => number.into(),
            Number::Float(number) => number.into(),
        })
    }

    fn flag(flag: bool) -> Self {
        Self(flag.into())
    }

    fn items(mut items: Array<'_, 'de>) -> Result<Self, Unread> {
        let mut all = Vec::new();
        while let Some(Self(item)) = items.item()? {
            all.push(item);
        }
        Ok(Self(all.into()))
    }

    fn fields(mut fields: Object<'_, 'de>) -> Result<Self, Unread> {
        let mut all = serde_json::Map::new();
        while let Some(name) = fields.name()? {
            let Self(value) = fields.value()?;
            all.insert(name.into_owned(), value);
        }
        Ok(Self(all.into()))
    }
}

/// Reads and skips `text`, and holds both against `serde_json`.
fn check(text: &str) {
    let theirs: Result<serde_json::Value, _> = serde_json::from_str(text);
    let ours = read::<Whole>(text).map(|Whole(value)| value);
    assert_eq!(ours.ok(), theirs.ok(), "read {text}");
    let mut reader = Reader::new(text);
    let skipped = reader.skip().and_then(|value| reader.end().map(|()| value));
    let theirs = serde_json::from_str::<IgnoredAny>(text).map(|_| text.trim_ascii());
    assert_eq!(skipped.ok(), theirs.ok(), "skip {text}");
}

#[test]
fn every_kind_of_value_is_read_and_skipped() {
    for text in [
        "null",
        "true",
        " false ",
        "0",
        "-0",
        "-1",
        "18446744073709551615",
        "18446744073709551616",
        "-9223372036854775808",
        "-9223372036854775809",
        "1.5e3",
        "1E-2",
        "1e308",
        "[]",
        "[ ]",
        "{ }",
        r#"[1,"a",{"b":[null,{}]}]"#,
        r#"{"a":1,"a":2}"#,
        r#""\"\\\/\b\f\n\r\t\u00e9\ud83d\ude00""#,
        "\"é😀\u{7f}\"",
        "\t[\n1\r, 2]  ",
    ] {
        check(text);
    }
}

#[test]
fn what_is_no_json_is_not_read() {
    for text in [
        "",
        " ",
        "nul",
        "tru",
        "-",
        "01",
        "-01",
        "1.",
        ".5",
        "1e",
        "1e+",
        "+1",
        "\"",
        "\"a",
        "\"\\\"",
        "\"\\x\"",
        "\"\\u12\"",
        "\"\\u12g4\"",
        "\"\n\"",
        "\"\\ud800\"",
        "\"\\ud800\\u0041\"",
        "\"\\udc00\"",
        "[",
        "[1",
        "[1,",
        "[1,]",
        "[,1]",
        "[1 2]",
        "{",
        "{\"a\"",
        "{\"a\":",
        "{\"a\":1",
        "{\"a\":1,",
        "{\"a\":1,}",
        "{,}",
        "{a:1}",
        "{1:1}",
        "{\"a\" 1}",
        "[1}",
        "{\"a\":1]",
        "1 2",
        "{} {}",
        "[]]",
        "1e999",
        "nullx",
    ] {
        check(text);
    }
}

#[test]
fn depth_is_limited_only_where_it_is_read() {
    let nested = |depth: usize| format!("{}1{}", "[{\"a\":".repeat(depth), "}]".repeat(depth));
    for depth in [1, 63, 64, 65, 127, 128, 129, 300] {
        check(&nested(depth));
        let mut crossed = nested(depth);
        crossed.pop();
        crossed.push('}');
        check(&crossed);
    }
    assert!(Reader::new(&nested(100_000)).skip().is_ok());
}

#[test]
fn what_ends_a_plain_string_is_found_at_every_place() {
    for stop in (0..0x20).chain([b'"', b'\\']) {
        for before in 0..20 {
            let mut text = vec![b' '; before];
            text.extend([stop, 0x7f, 0x80, 0xff, b'!', stop, b'#', b'[']);
            text.extend([b']'; 9]);
            assert_eq!(plain_length(&text), before, "{stop} behind {before}");
        }
    }
    let plain: Vec<u8> = (0x20..=0xff).filter(|byte| !matches!(byte, b'"' | b'\\')).collect();
    for from in 0..16 {
        assert_eq!(plain_length(&plain[from..]), plain.len() - from);
    }
}

fn json() -> impl Strategy<Value = serde_json::Value> {
    let leaf = prop_oneof![
        Just(serde_json::Value::Null),
        any::<bool>().prop_map(Into::into),
        any::<i64>().prop_map(Into::into),
        any::<f64>().prop_map(Into::into),
        ".{0,8}".prop_map(Into::into),
    ];
    leaf.prop_recursive(4, 32, 4, |inner| {
        prop_oneof![
            proptest::collection::vec(inner.clone(), 0..4).prop_map(Into::into),
            proptest::collection::hash_map(".{0,4}", inner, 0..4)
                .prop_map(|fields| serde_json::Value::Object(fields.into_iter().collect())),
        ]
    })
}

proptest! {
    #[test]
    fn it_reads_what_serde_json_reads_and_nothing_else(
        value in json(), cut in any::<prop::sample::Index>(), by in "[\\x00-\\x7f]{0,2}", pretty in any::<bool>(),
    ) {
        let text = if pretty { format!("{value:#}") } else { value.to_string() };
        check(&text);
        // One place of it changed.
        let mut at = cut.index(text.len() + 1);
        while !text.is_char_boundary(at) {
            at -= 1;
        }
        check(&format!("{}{by}{}", &text[..at], text[at..].chars().skip(1).collect::<String>()));
    }
}
