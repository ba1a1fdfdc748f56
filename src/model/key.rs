//! A secret that does not show itself.

use secrecy::{ExposeSecret, SecretString};

/// A secret: the key of an endpoint, or what goes into a header. Neither `Debug` nor any error prints
/// it; it is wiped when dropped.
#[derive(Clone, Debug)]
pub struct ApiKey(SecretString);

impl ApiKey {
    /// Wraps `key`.
    pub fn new(key: impl Into<String>) -> Self {
        Self(SecretString::from(key.into()))
    }

    /// The key itself, for the one place that sends it.
    #[must_use]
    pub fn expose(&self) -> &str {
        self.0.expose_secret()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_key_does_not_show_itself() {
        let key = ApiKey::new("sk-very-secret");
        assert!(!format!("{key:?}").contains("very"));
        assert_eq!(key.expose(), "sk-very-secret");
    }
}
