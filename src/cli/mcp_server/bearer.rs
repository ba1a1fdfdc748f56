//! The token that clients show.

use ring::hmac;
use ring::rand::SystemRandom;

/// Knows a token when it sees it, in a time that tells nothing of it: what is compared are digests under
/// a key of this process.
pub(in crate::cli) struct Bearer {
    key: hmac::Key,
    digest: hmac::Tag,
}

impl Bearer {
    /// Admits whoever shows `token`. `None` if the operating system gives no random bytes.
    pub fn new(token: &str) -> Option<Self> {
        let key = hmac::Key::generate(hmac::HMAC_SHA256, &SystemRandom::new()).ok()?;
        let digest = hmac::sign(&key, token.as_bytes());
        Some(Self { key, digest })
    }

    /// Says whether the value of a header `Authorization` shows the token.
    pub fn admits(&self, authorization: &[u8]) -> bool {
        let Some((scheme, token)) = authorization.split_at_checked(7) else { return false };
        let is_bearer = scheme.eq_ignore_ascii_case(b"bearer ");
        is_bearer && hmac::verify(&self.key, token.trim_ascii(), self.digest.as_ref()).is_ok()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nothing_but_the_token_is_admitted() {
        let bearer = Bearer::new("sesame").unwrap();
        for (shown, admitted) in [
            ("Bearer sesame", true),
            ("bearer  sesame ", true),
            ("Bearer sesam", false),
            ("Bearer sesame2", false),
            ("Bearer ", false),
            ("Basic sesame", false),
            ("sesame", false),
            ("", false),
        ] {
            assert_eq!(bearer.admits(shown.as_bytes()), admitted, "{shown:?}");
        }
    }
}
