//! The arguments of one call, each as the model has written it.

use std::collections::BTreeMap;

use serde_json::Value;
use serde_json::value::RawValue;

use crate::tools::Error;
use crate::tools::places::{Piece, Places};

/// The arguments of one call. One that is `null` is not there.
pub(super) struct Arguments(BTreeMap<String, Box<RawValue>>);

impl Arguments {
    /// Reads the text of a JSON object.
    pub fn new(object: &str) -> Result<Self, Error> {
        let mut arguments: BTreeMap<String, Box<RawValue>> =
            serde_json::from_str(object).map_err(Error::bad_arguments)?;
        arguments.retain(|_, value| value.get() != "null");
        Ok(Self(arguments))
    }

    /// The value of `name` as text: a string as it is, anything else as JSON.
    pub fn text(&self, name: &str) -> Result<Option<String>, Error> {
        self.0.get(name).map(|value| text_of(name, value)).transpose()
    }

    /// The items of `name`, which must be a list, as text.
    pub fn items(&self, name: &str) -> Result<Vec<String>, Error> {
        let Some(value) = self.0.get(name) else { return Ok(Vec::new()) };
        let items: Vec<Box<RawValue>> = serde_json::from_str(value.get())
            .map_err(|_| Error::bad_arguments(format!("`{name}` must be a list")))?;
        items.iter().map(|item| text_of(name, item)).collect()
    }

    /// `template` with the arguments in it; nothing if it is one argument alone, and that is not there.
    pub fn fill(&self, template: &Places) -> Result<Option<String>, Error> {
        let mut filled = String::new();
        for piece in template.pieces() {
            match piece {
                Piece::Text(text) => filled.push_str(text),
                Piece::Argument(name) => match self.text(name)? {
                    Some(text) => filled.push_str(&text),
                    None if template.lone_argument().is_some() => return Ok(None),
                    None => return Err(Error::bad_arguments(format!("`{name}` is missing"))),
                },
            }
        }
        Ok(Some(filled))
    }
}

fn text_of(name: &str, value: &RawValue) -> Result<String, Error> {
    let text = value.get();
    if !text.starts_with('"') {
        return Ok(text.to_owned());
    }
    match serde_json::from_str(text) {
        Ok(Value::String(text)) => Ok(text),
        _ => Err(Error::bad_arguments(format!("`{name}` cannot be read"))),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn filled(template: &str, arguments: &str) -> Option<String> {
        Arguments::new(arguments).unwrap().fill(&Places::read(template).unwrap()).unwrap()
    }

    #[test]
    fn a_value_goes_in_as_the_model_has_written_it() {
        for (arguments, text) in [
            (r#"{"a":"x y"}"#, "x y"),
            (r#"{"a":"\u00e4\n"}"#, "ä\n"),
            (r#"{"a":12345678901234567890123}"#, "12345678901234567890123"),
            (r#"{"a":1.50}"#, "1.50"),
            (r#"{"a":true}"#, "true"),
            (r#"{"a":[1, "x"]}"#, r#"[1, "x"]"#),
            (r#"{"a":{"b":null}}"#, r#"{"b":null}"#),
            (r#"{"a":"{b}","b":1}"#, "{b}"),
        ] {
            assert_eq!(filled("{a}", arguments).as_deref(), Some(text));
        }
        assert_eq!(filled("{a}-{b}", r#"{"a":1,"b":"2"}"#).as_deref(), Some("1-2"));
    }

    #[test]
    fn an_argument_that_is_not_there_leaves_out_what_it_is_all_of() {
        assert_eq!(filled("{a}", "{}"), None);
        assert_eq!(filled("{a}", r#"{"a":null}"#), None);
        let mixed = Places::read("x{a}").unwrap();
        let error = Arguments::new("{}").unwrap().fill(&mixed).unwrap_err();
        assert_eq!(error, Error::bad_arguments("`a` is missing"));
    }
}
