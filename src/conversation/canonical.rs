//! When two calls have the same arguments: the order of fields and blanks do not matter.

use std::fmt;
use std::hash::{DefaultHasher, Hash, Hasher};

use serde::de::{DeserializeSeed, Deserializer, MapAccess, SeqAccess, Visitor};
use serde_json::Value;

/// Says whether two texts are the same JSON, the order of fields and blanks left aside. Numbers that
/// a double does not tell apart are the same only if they are written alike.
pub(crate) fn are_same(left: &str, right: &str) -> bool {
    let read = |text| serde_json::from_str::<Value>(text).ok();
    let are_equal =
        || matches!((read(left), read(right)), (Some(left), Some(right)) if left == right);
    left == right || (are_equal() && long_numbers(left) == long_numbers(right))
}

/// The numbers in a JSON text that have more digits than a double holds, sorted.
fn long_numbers(text: &str) -> Vec<&str> {
    const DIGITS: usize = 15;
    let is_part = |c: char| c.is_ascii_digit() || matches!(c, '.' | 'e' | 'E' | '+' | '-');
    let mut long: Vec<&str> =
        text.split(|c| !is_part(c)).filter(|number| number.len() > DIGITS).collect();
    long.sort_unstable();
    long
}

/// A number that stands for `arguments`, however the object is written: the same in every run of the
/// same build. Others may have it, too; [`are_same`] says.
pub(crate) fn fingerprint(arguments: &str) -> u64 {
    let mut deserializer = serde_json::Deserializer::from_str(arguments);
    let read = Print.deserialize(&mut deserializer).ok();
    let read = read.filter(|_| deserializer.end().is_ok());
    read.unwrap_or_else(|| hash_of(&arguments))
}

fn hash_of(thing: &impl Hash) -> u64 {
    let mut hasher = DefaultHasher::new();
    thing.hash(&mut hasher);
    hasher.finish()
}

/// Makes the number of a value as it is read, so that nothing is built of it.
#[derive(Clone, Copy)]
struct Print;

impl<'de> DeserializeSeed<'de> for Print {
    type Value = u64;

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<u64, D::Error> {
        deserializer.deserialize_any(self)
    }
}

impl<'de> Visitor<'de> for Print {
    type Value = u64;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("JSON")
    }

    fn visit_unit<E>(self) -> Result<u64, E> {
        Ok(0)
    }

    fn visit_bool<E>(self, value: bool) -> Result<u64, E> {
        Ok(hash_of(&value))
    }

    fn visit_u64<E>(self, value: u64) -> Result<u64, E> {
        Ok(hash_of(&(1u8, value)))
    }

    fn visit_i64<E>(self, value: i64) -> Result<u64, E> {
        Ok(hash_of(&(2u8, value)))
    }

    fn visit_f64<E>(self, value: f64) -> Result<u64, E> {
        Ok(hash_of(&(3u8, value.to_bits())))
    }

    fn visit_str<E>(self, value: &str) -> Result<u64, E> {
        Ok(hash_of(&value))
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut items: A) -> Result<u64, A::Error> {
        let mut all = 4u64;
        while let Some(item) = items.next_element_seed(Print)? {
            all = hash_of(&(all, item));
        }
        Ok(all)
    }

    fn visit_map<A: MapAccess<'de>>(self, mut fields: A) -> Result<u64, A::Error> {
        let mut all = 5u64;
        while let Some(name) = fields.next_key_seed(Print)? {
            // A sum: in whatever order they come.
            all = all.wrapping_add(hash_of(&(name, fields.next_value_seed(Print)?)));
        }
        Ok(all)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_beyond_a_double_are_told_apart() {
        assert!(are_same(r#"{"a":1, "b":1.50}"#, r#"{"b":1.5,"a":1}"#));
        assert!(!are_same(r#"{"id":123456789012345678901}"#, r#"{"id":123456789012345678902}"#));
        assert!(are_same(r#"{"id":123456789012345678901}"#, r#"{ "id": 123456789012345678901 }"#));
    }

    #[test]
    fn the_same_arguments_written_otherwise_are_the_same() {
        let written = [
            (r#"{"a":1,"b":[2]}"#, r#" { "b" : [2], "a" : 1 } "#),
            (r#"{"a":{"x":"é","y":null}}"#, r#"{"a":{"y":null,"x":"\u00e9"}}"#),
            (r#"{"a":[{"b":1,"c":true}]}"#, r#"{"a":[{"c":true,"b":1}]}"#),
            ("{broken", "{broken"),
        ];
        for (one, other) in written {
            assert_eq!(fingerprint(one), fingerprint(other), "{one}");
        }
    }

    #[test]
    fn what_differs_has_another_number() {
        let all = [
            r#"{"a":1}"#,
            r#"{"a":2}"#,
            r#"{"a":-1}"#,
            r#"{"a":"1"}"#,
            r#"{"a":1.5}"#,
            r#"{"a":[1]}"#,
            r#"{"a":[1,2]}"#,
            r#"{"a":[2,1]}"#,
            r#"{"b":1}"#,
            r#"{"a":null}"#,
            r#"{"a":true}"#,
            "{}",
            r#"{"a":1,"b":2}"#,
            r#"{"a":2,"b":1}"#,
            "{",
            "",
        ];
        let mut numbers: Vec<u64> = all.iter().map(|text| fingerprint(text)).collect();
        numbers.sort_unstable();
        numbers.dedup();
        assert_eq!(numbers.len(), all.len());
    }
}
