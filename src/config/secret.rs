//! What must never be shown: the key, and the environment it is looked up in.

use std::fmt;

use crate::model::ApiKey;

/// What stands in the place of a secret.
pub(super) const MASK: &str = "[secret]";

/// The key in `text`, without the blanks around it; `None` unless a header can carry it.
pub(super) fn key_in(text: &str) -> Option<ApiKey> {
    let text = text.trim();
    let fits = !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_graphic());
    fits.then(|| ApiKey::new(text))
}

/// The environment's variables, those of `.env` included. Its `Debug` tells only how many.
#[derive(Clone, Default)]
pub struct Variables(Vec<(String, String)>);

impl Variables {
    /// Returns the value of the variable, also when it is empty.
    pub fn get(&self, name: &str) -> Option<&str> {
        self.0.iter().find(|(known, _)| known == name).map(|(_, value)| value.as_str())
    }

    /// Returns every variable and its value.
    pub fn iter(&self) -> impl Iterator<Item = (&str, &str)> {
        self.0.iter().map(|(name, value)| (name.as_str(), value.as_str()))
    }

    /// Adds a variable unless there is one of that name.
    pub(super) fn add(&mut self, name: String, value: String) {
        if self.get(&name).is_none() {
            self.0.push((name, value));
        }
    }
}

impl<N: Into<String>, V: Into<String>> FromIterator<(N, V)> for Variables {
    fn from_iter<I: IntoIterator<Item = (N, V)>>(variables: I) -> Self {
        Variables(variables.into_iter().map(|(name, value)| (name.into(), value.into())).collect())
    }
}

impl fmt::Debug for Variables {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(out, "Variables({})", self.0.len())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_key_and_the_environment_show_nothing() {
        let key = key_in(" sk-1 \n").unwrap();
        let variables: Variables = [("OPENROUTER_API_KEY", "sk-1")].into_iter().collect();
        assert_eq!(key.expose(), "sk-1");
        let shown = format!("{key:?} {variables:?}");
        assert!(shown.ends_with("Variables(1)") && !shown.contains("sk-1"), "{shown}");
    }

    #[test]
    fn what_no_header_can_carry_is_no_key() {
        for text in ["", "  ", "sk\n1", "sk 1", "ключ"] {
            assert!(key_in(text).is_none(), "{text:?}");
        }
    }
}
