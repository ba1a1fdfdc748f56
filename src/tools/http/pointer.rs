//! A JSON pointer (RFC 6901) into a reply.

use std::collections::BTreeMap;

use serde_json::value::RawValue;

/// How many names of keys an error tells.
const MAX_NAMES: usize = 20;

/// A JSON pointer, such as `/data/0`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Pointer(Vec<String>);

impl Pointer {
    pub fn read(text: &str) -> Result<Self, String> {
        match text.strip_prefix('/') {
            None if text.is_empty() => Ok(Self(Vec::new())),
            None => Err(format!("pointer: expected one such as \"/data/0\", found {text:?}")),
            Some(steps) => {
                let step = |step: &str| step.replace("~1", "/").replace("~0", "~");
                Ok(Self(steps.split('/').map(step).collect()))
            }
        }
    }

    /// The value it points to in `json`, as it is written there; a text without its quotes.
    ///
    /// # Errors
    /// What is not there, and what is there instead.
    pub fn follow(&self, json: &str) -> Result<String, String> {
        let whole = serde_json::from_str::<&RawValue>(json);
        let mut value = whole.map_err(|error| format!("the reply is not JSON: {error}"))?.get();
        let mut path = String::new();
        for step in &self.0 {
            let found = if let Ok(fields) =
                serde_json::from_str::<BTreeMap<String, &RawValue>>(value)
            {
                let names = || {
                    let names: Vec<_> = fields.keys().map(String::as_str).collect();
                    let more = if names.len() > MAX_NAMES { ", …" } else { "" };
                    let names = names.into_iter().take(MAX_NAMES).collect::<Vec<_>>().join(", ");
                    format!("an object with the keys {names}{more}")
                };
                fields.get(step).copied().ok_or_else(names)
            } else if let Ok(items) = serde_json::from_str::<Vec<&RawValue>>(value) {
                let is_index = step == "0" || !step.starts_with(['0', '+']);
                let index = step.parse::<usize>().ok().filter(|_| is_index);
                let item = index.and_then(|index| items.get(index).copied());
                item.ok_or_else(|| format!("an array of {} items", items.len()))
            } else {
                Err("neither an object nor an array".to_owned())
            };
            let found = found.map_err(|there| {
                let place = if path.is_empty() { "the reply" } else { &path };
                format!("there is nothing at `{}`: {place} is {there}", self.shown())
            });
            value = found?.get();
            path = format!("{path}/{step}");
        }
        match serde_json::from_str::<String>(value) {
            Ok(text) => Ok(text),
            Err(_) => Ok(value.to_owned()),
        }
    }

    fn shown(&self) -> String {
        let step = |step: &String| format!("/{}", step.replace('~', "~0").replace('/', "~1"));
        self.0.iter().map(step).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const REPLY: &str =
        r#"{"data": [{"n": 12345678901234567890123, "t": "a\nb"}], "a/b": {"~": null}}"#;

    fn follow(pointer: &str, json: &str) -> Result<String, String> {
        Pointer::read(pointer)?.follow(json)
    }

    #[test]
    fn a_pointer_leads_to_what_is_written_there() {
        for (pointer, expected) in [
            ("", REPLY),
            ("/data/0/n", "12345678901234567890123"),
            ("/data/0/t", "a\nb"),
            ("/data/0", r#"{"n": 12345678901234567890123, "t": "a\nb"}"#),
            ("/a~1b/~0", "null"),
        ] {
            assert_eq!(follow(pointer, REPLY).as_deref(), Ok(expected), "{pointer}");
        }
    }

    #[test]
    fn what_is_not_there_is_told_with_what_is() {
        for (pointer, expected) in [
            ("/x", "there is nothing at `/x`: the reply is an object with the keys a/b, data"),
            ("/data/1", "there is nothing at `/data/1`: /data is an array of 1 items"),
            ("/data/00", "there is nothing at `/data/00`: /data is an array of 1 items"),
            (
                "/data/0/t/x",
                "there is nothing at `/data/0/t/x`: /data/0/t is neither an object nor an array",
            ),
            ("data", "pointer: expected one such as \"/data/0\", found \"data\""),
        ] {
            assert_eq!(follow(pointer, REPLY), Err(expected.to_owned()), "{pointer}");
        }
        let no_json = follow("/x", "<html>").unwrap_err();
        assert!(no_json.starts_with("the reply is not JSON: "), "{no_json}");
        let many: Vec<_> = (0..30).map(|n| format!("\"k{n:02}\":1")).collect();
        let many = follow("/x", &format!("{{{}}}", many.join(","))).unwrap_err();
        assert!(many.ends_with("k18, k19, …"), "{many}");
    }
}
