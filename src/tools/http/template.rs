//! A text with places for arguments: `{name}` for one of the call's, `${env:NAME}` for a secret,
//! `{{` and `}}` for braces.

use super::arguments::Arguments;
use crate::model::ApiKey;
use crate::tools::places::{self, Misplaced, Places};

/// What begins the name of a secret, after `${`.
const SECRET: &str = "env:";

/// The secrets of a tool, by name.
pub(super) type Secrets = [(String, ApiKey)];

/// A text with places for arguments.
#[derive(Clone, Default)]
pub(super) struct Template(pub Vec<Piece>);

/// A piece of a template.
#[derive(Clone)]
pub(super) enum Piece {
    /// Stands there as it is.
    Text(String),
    /// A secret, by its name and value. It is data, as arguments are.
    Secret(String, String),
    /// The argument of this name.
    Argument(String),
}

/// What comes of a template.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Filled {
    Text(String),
    /// It is nothing but an argument, which the call leaves out.
    LeftOut,
    /// The call leaves this argument out, and there is text round it.
    Lacks(String),
}

impl Template {
    /// Reads a template. Errors never quote a secret, for they quote nothing but names.
    pub fn read(text: &str, secrets: &Secrets) -> Result<Self, String> {
        let places = Places::read(text).map_err(|misplaced| match misplaced {
            Misplaced::Close => "a `}` stands alone: write `}}`",
            Misplaced::Open => "a `{` has no `}`",
            Misplaced::NoName => "a `{` has no name and `}` after it: write `{{` for a brace",
        })?;
        let mut pieces = Vec::new();
        for piece in places.into_pieces() {
            match piece {
                places::Piece::Text(text) => pieces.push(Piece::Text(text)),
                places::Piece::Argument(name) => {
                    let secret_name =
                        name.strip_prefix(SECRET).filter(|_| drop_dollar(&mut pieces));
                    pieces.push(match secret_name {
                        Some(name) => secret(name, secrets)?,
                        None => Piece::Argument(name),
                    });
                }
            }
        }
        Ok(Self(pieces))
    }

    /// The names of its arguments.
    pub fn arguments(&self) -> impl Iterator<Item = &str> {
        self.0.iter().filter_map(|piece| match piece {
            Piece::Argument(name) => Some(&**name),
            Piece::Text(_) | Piece::Secret(..) => None,
        })
    }

    /// Says whether there is a secret in it.
    pub fn has_secret(&self) -> bool {
        self.0.iter().any(|piece| matches!(piece, Piece::Secret(..)))
    }

    /// The argument that it consists of, if it is nothing else.
    pub fn sole_argument(&self) -> Option<&str> {
        match &self.0[..] {
            [Piece::Argument(name)] => Some(name),
            _ => None,
        }
    }

    /// Puts in what the call says, with what is data written by `data`.
    pub fn fill(&self, arguments: &Arguments<'_>, data: impl Fn(&str) -> String) -> Filled {
        let mut filled = String::new();
        for piece in &self.0 {
            match piece {
                Piece::Text(text) => filled.push_str(text),
                Piece::Secret(_, value) => filled.push_str(&data(value)),
                Piece::Argument(name) => match arguments.text(name) {
                    Some(value) => filled.push_str(&data(&value)),
                    None if self.0.len() == 1 => return Filled::LeftOut,
                    None => return Filled::Lacks(name.clone()),
                },
            }
        }
        Filled::Text(filled)
    }

    /// The same with its text written by `data`, as if it were an argument.
    pub fn with_text_as_data(mut self, data: impl Fn(&str) -> String) -> Self {
        for piece in &mut self.0 {
            if let Piece::Text(text) = piece {
                *text = data(text);
            }
        }
        self
    }

    /// Splits it where `separator` stands in its text.
    pub fn split(self, separator: char) -> Vec<Template> {
        let (mut parts, mut part) = (Vec::new(), Template::default());
        for piece in self.0 {
            let Piece::Text(text) = piece else {
                part.0.push(piece);
                continue;
            };
            let mut rest = &*text;
            while let Some((before, after)) = rest.split_once(separator) {
                part.push_text(before);
                parts.push(std::mem::take(&mut part));
                rest = after;
            }
            part.push_text(rest);
        }
        parts.push(part);
        parts
    }

    fn push_text(&mut self, text: &str) {
        if !text.is_empty() {
            self.0.push(Piece::Text(text.to_owned()));
        }
    }
}

/// Takes the `$` off that the last of `pieces` ends with. Says whether there was one.
fn drop_dollar(pieces: &mut Vec<Piece>) -> bool {
    let Some(Piece::Text(text)) = pieces.last_mut() else { return false };
    let dropped = text.ends_with('$');
    if dropped {
        text.pop();
    }
    if text.is_empty() {
        pieces.pop();
    }
    dropped
}

fn secret(name: &str, secrets: &Secrets) -> Result<Piece, String> {
    let known = secrets.iter().find(|(known, _)| known == name);
    let (_, value) = known.ok_or_else(|| format!("`${{env:{name}}}` is not set"))?;
    Ok(Piece::Secret(name.to_owned(), value.expose().to_owned()))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn filled(template: &str, arguments: &str) -> Filled {
        let secrets = [("KEY".to_owned(), ApiKey::new("sk{1}"))];
        let template = Template::read(template, &secrets).unwrap();
        template.fill(&Arguments::read(arguments).unwrap(), |data| format!("<{data}>"))
    }

    #[test]
    fn places_are_filled_and_braces_can_be_written() {
        for (template, expected) in [
            ("", ""),
            ("plain", "plain"),
            ("{a}", "<1>"),
            ("x{a}{b}y", "x<1><two>y"),
            ("{{a}}", "{a}"),
            ("{{{a}}}", "{<1>}"),
            ("Bearer ${env:KEY}", "Bearer <sk{1}>"),
            ("${a} ${env:KEY}${{env:KEY}}", "$<1> <sk{1}>${env:KEY}"),
        ] {
            let expected = Filled::Text(expected.to_owned());
            assert_eq!(filled(template, r#"{"a": 1, "b": "two"}"#), expected, "{template}");
        }
    }

    #[test]
    fn an_argument_that_is_left_out_leaves_its_template_out_if_that_is_nothing_else() {
        assert_eq!(filled("{a}", "{}"), Filled::LeftOut);
        assert_eq!(filled("{a}", r#"{"a": null}"#), Filled::LeftOut);
        assert_eq!(filled("x{a}", "{}"), Filled::Lacks("a".to_owned()));
    }

    #[test]
    fn what_is_no_template_is_told_without_a_secret() {
        for (text, expected) in [
            ("{a", "a `{` has no `}`"),
            ("a}", "a `}` stands alone: write `}}`"),
            ("{}", "a `{` has no name and `}` after it: write `{{` for a brace"),
            ("{a{b}", "a `{` has no name and `}` after it: write `{{` for a brace"),
            ("${env:NONE}", "`${env:NONE}` is not set"),
        ] {
            assert_eq!(Template::read(text, &[]).err().as_deref(), Some(expected), "{text}");
        }
    }
}
