//! Text that may refer to variables of the environment: `${env:NAME}`, `${NAME}`, `${NAME:-default}`.

use std::fmt;

use secrecy::{ExposeSecret, SecretString};

use super::secret::{MASK, Variables};

/// A text as it is set. What it refers to is filled in by [`Text::resolve`].
#[derive(Clone, PartialEq, Eq)]
pub struct Text(String);

/// A text with everything filled in, which may hold secrets.
#[derive(Clone, Debug)]
pub struct Filled {
    /// The text.
    pub text: SecretString,
    /// The values of the variables in it.
    pub secrets: Vec<SecretString>,
}

impl Filled {
    /// The text, for the one place that uses it.
    pub fn expose(&self) -> &str {
        self.text.expose_secret()
    }
}

impl Text {
    /// The text as it is written.
    pub fn new(text: &str) -> Self {
        Self(text.to_owned())
    }

    /// The text as it is written.
    pub fn as_written(&self) -> &str {
        &self.0
    }

    /// The text as it may be shown where it may be a secret: only if all of it is a reference.
    pub(super) fn masked(&self) -> &str {
        let is_reference = self.0.starts_with("${") && self.0.ends_with('}');
        let is_reference = is_reference && !self.0.contains(":-"); // A default is a value.
        if is_reference && self.0.matches("${").count() == 1 { &self.0 } else { MASK }
    }

    /// Fills in the variables.
    ///
    /// # Errors
    /// What is wrong, in a line: a variable that is not set, or a reference that is none.
    pub fn resolve(&self, variables: &Variables) -> Result<Filled, String> {
        let (mut text, mut secrets) = (String::new(), Vec::new());
        let mut rest = self.0.as_str();
        while let Some((before, after)) = rest.split_once("${") {
            let Some((reference, behind)) = after.split_once('}') else {
                return Err("a reference that begins with `${` does not end".to_owned());
            };
            text.push_str(before);
            let value = value(reference, variables)?;
            text.push_str(&value);
            secrets.push(value.into());
            rest = behind;
        }
        text.push_str(rest);
        Ok(Filled { text: text.into(), secrets })
    }
}

fn value(reference: &str, variables: &Variables) -> Result<String, String> {
    let (name, default) = match reference.split_once(":-") {
        Some((name, default)) => (name, Some(default)),
        None => (reference, None),
    };
    let name = name.strip_prefix("env:").unwrap_or(name);
    let is_name = |name: &str| {
        let fits = |byte: u8| byte.is_ascii_alphanumeric() || byte == b'_';
        !name.is_empty() && name.bytes().all(fits)
    };
    if !is_name(name) {
        return Err(format!("`${{{reference}}}` names no environment variable"));
    }
    let value = variables.get(name).filter(|value| !value.is_empty()).or(default);
    let missing = || format!("it needs the environment variable `{name}`, which is not set");
    value.map(str::to_owned).ok_or_else(missing)
}

impl fmt::Debug for Text {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(out, "{:?}", self.masked())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn resolved(text: &str) -> Result<String, String> {
        let variables = [("KEY", "sk-1"), ("EMPTY", "")].into_iter().collect();
        Ok(Text::new(text).resolve(&variables)?.expose().to_owned())
    }

    #[test]
    fn references_of_every_spelling_are_filled_in() {
        for (text, expected) in [
            ("plain", "plain"),
            ("${KEY}", "sk-1"),
            ("a ${env:KEY} b ${KEY}", "a sk-1 b sk-1"),
            ("${NONE:-x}${EMPTY:-y}${KEY:-z}", "xysk-1"),
            ("$KEY {KEY} $", "$KEY {KEY} $"),
        ] {
            assert_eq!(resolved(text).as_deref(), Ok(expected), "{text}");
        }
    }

    #[test]
    fn a_reference_to_nothing_says_to_what() {
        for (text, part) in [
            ("${NONE}", "variable `NONE`"),
            ("${env:EMPTY}", "variable `EMPTY`"),
            ("${input:key}", "`${input:key}`"),
            ("${KEY", "does not end"),
            ("${}", "`${}`"),
        ] {
            assert!(resolved(text).unwrap_err().contains(part), "{text}");
        }
    }

    #[test]
    fn only_references_are_shown_where_secrets_may_stand() {
        for (text, shown) in
            [("${KEY}", "${KEY}"), ("sk-1", MASK), ("a${KEY}", MASK), ("${KEY:-sk-1}", MASK)]
        {
            assert_eq!(Text::new(text).masked(), shown);
            assert_eq!(format!("{:?}", Text::new(text)), format!("{shown:?}"));
        }
        let filled = Text::new("a${KEY}").resolve(&[("KEY", "sk-1")].into_iter().collect());
        assert!(!format!("{filled:?}").contains("sk-1"));
    }
}
