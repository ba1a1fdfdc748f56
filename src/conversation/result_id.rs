//! The name of a result that is too large for the model, made from its content.

use std::fmt;
use std::sync::Arc;

use serde::{Deserialize, Serialize};

/// How many bytes of the hash are in the name: 2^64 results until two are likely to share one.
const BYTES: usize = 16;

/// The name of a large result: a hash of its content, in hexadecimal. Who holds it can ask for the
/// result where the session has it.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(transparent)]
pub struct ResultId(Arc<str>);

impl ResultId {
    /// The name of `result`: the first half of its SHA-256.
    #[must_use]
    pub fn of(result: &str) -> Self {
        let hash = ring::digest::digest(&ring::digest::SHA256, result.as_bytes());
        let mut name = String::with_capacity(2 * BYTES);
        for byte in &hash.as_ref()[..BYTES] {
            name.push_str(&format!("{byte:02x}"));
        }
        Self(name.into())
    }

    /// Takes `name` as it is: it may name nothing.
    pub fn new(name: impl Into<Arc<str>>) -> Self {
        Self(name.into())
    }

    /// The name.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for ResultId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_same_text_has_the_same_name() {
        assert_eq!(ResultId::of("abc").as_str(), "ba7816bf8f01cfea414140de5dae2223");
        assert_ne!(ResultId::of("abc"), ResultId::of("abd"));
    }
}
