//! What a tool of the kind `command` has settings for, and the variables of its environment.

use std::fmt;

use ::config::ValueKind;

use super::error::Error;
use super::header::{self, Piece, pieces};
use super::kind::{self, Input, Notation, Parsed};
use super::reader::Section;
use super::secret::Variables;

/// A program that answers calls, as it is set.
#[derive(Clone, Debug, PartialEq)]
pub struct Command {
    /// The program and its arguments, with `{name}` for the call's.
    pub argv: Vec<String>,
    /// What it reads: `"json"` or a text with `{name}` for the call's arguments; `None` = nothing.
    pub stdin: Option<String>,
    /// What its environment has besides `PATH`, `HOME`, `LANG` and the call's key.
    pub env: Vec<EnvVariable>,
    /// Where it runs; `None` = where we do.
    pub cwd: Option<String>,
    /// How much it may write to its standard output; `None` = the library's own number.
    pub max_output_bytes: Option<u32>,
}

impl Command {
    pub(super) fn read(section: &mut Section<'_>) -> Result<Command, Error> {
        Ok(Command {
            argv: section.optional("argv", kind::texts)?.unwrap_or_default(),
            stdin: section.optional("stdin", kind::string)?,
            env: section.optional("env", environment)?.unwrap_or_default(),
            cwd: section.optional("cwd", kind::filled)?,
            max_output_bytes: section
                .optional("max_output_bytes", kind::count(1..=1_000_000_000))?,
        })
    }
}

/// A variable of a program's environment. It shows its references in place of what they stand for, and
/// nothing that is written beside a name that looks like a secret's.
#[derive(Clone, PartialEq, Eq)]
pub struct EnvVariable {
    name: String,
    value: Vec<Piece>,
}

impl EnvVariable {
    /// Its name.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// Its value as it is written, but for a secret that stands in it.
    pub fn shown(&self) -> String {
        header::shown_under(&self.name, &self.value)
    }

    /// Says whether its name is that of a secret.
    pub(super) fn looks_secret(&self) -> bool {
        header::looks_secret(&self.name)
    }

    /// Fills in the variables; the error names the one that is not set.
    pub fn resolve(&self, variables: &Variables) -> Result<String, String> {
        let filled = self.value.iter().map(|piece| match piece {
            Piece::Text(text) => Ok(text.as_str()),
            Piece::Variable(variable) => variables.get(variable).ok_or_else(|| {
                let name = &self.name;
                format!(
                    "`env.{name}` needs the environment variable `{variable}`, which is not set"
                )
            }),
        });
        filled.collect()
    }
}

impl fmt::Debug for EnvVariable {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(out, "{}={:?}", self.name, self.shown())
    }
}

/// A table of variables.
fn environment(input: &Input<'_>) -> Parsed<Vec<EnvVariable>> {
    let expected = || "a table of variables, each a string".to_owned();
    let ValueKind::Table(fields) = input.structured().kind else { return Err(expected()) };
    let mut variables = Vec::new();
    for (name, value) in fields {
        let ValueKind::String(value) = &value.kind else { return Err(expected()) };
        let value = pieces(value)
            .ok_or_else(|| format!("a value of `{name}` with references as ${{env:NAME}}"))?;
        variables.push(EnvVariable { name, value });
    }
    variables.sort_by(|one, other| one.name.cmp(&other.name));
    Ok(variables)
}

impl Notation for Vec<EnvVariable> {
    fn notation(&self) -> String {
        kind::table(self.iter().map(|variable| (variable.name(), kind::quoted(&variable.shown()))))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn variable(name: &str, value: &str) -> EnvVariable {
        EnvVariable { name: name.to_owned(), value: pieces(value).unwrap() }
    }

    #[test]
    fn a_value_is_filled_in_and_not_shown() {
        let variables: Variables = [("KEY", "sk-1"), ("EMPTY", "")].into_iter().collect();
        let own = variable("API_TOKEN", "x-${env:KEY}");
        assert_eq!(own.resolve(&variables).as_deref(), Ok("x-sk-1"));
        assert_eq!(format!("{own:?}"), "API_TOKEN=\"[secret]${env:KEY}\"");
        assert_eq!(variable("X", "${env:EMPTY}").resolve(&variables).as_deref(), Ok(""));
        let missing = variable("X", "${env:NONE}").resolve(&variables).unwrap_err();
        assert_eq!(missing, "`env.X` needs the environment variable `NONE`, which is not set");
    }
}
