//! Who a client is: the token it shows, and what belongs to whom.

use std::fmt;
use std::num::NonZeroU32;
use std::sync::Arc;

use governor::clock::{Clock, MonotonicClock};
use governor::middleware::NoOpMiddleware;
use governor::state::{InMemoryState, NotKeyed};
use governor::{Quota, RateLimiter};
use ring::digest::{Digest, SHA256, digest};
use secrecy::{ExposeSecret, SecretString};
use subtle::ConstantTimeEq;

use crate::conversation::SessionId;

/// What stands between an owner and the rest of a session's id.
const SEPARATOR: char = ':';

type Limiter =
    RateLimiter<NotKeyed, InMemoryState, MonotonicClock, NoOpMiddleware<std::time::Instant>>;

/// A token that admits a client, under a name.
#[derive(Clone)]
pub struct Token {
    /// Whose sessions those are that are made with it: letters, digits, `-`, `_` and `.`.
    pub name: String,
    /// What the client sends as `Authorization: Bearer …`.
    pub secret: SecretString,
}

impl fmt::Debug for Token {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Token").field("name", &self.name).finish_non_exhaustive()
    }
}

/// Why tokens are refused.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum TokenError {
    /// A session's id begins with it.
    #[error("`{0}` is no name of a token: letters, digits, `-`, `_` and `.`, at most 64")]
    BadName(String),
    /// Nobody could tell whose a session is.
    #[error("two tokens named `{0}`")]
    TwoOfOneName(String),
    /// A short one can be guessed.
    #[error("the token `{0}` has less than 16 characters")]
    TooShort(String),
}

/// So many requests.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Rate {
    /// In a second, in the long run.
    pub per_second: NonZeroU32,
    /// At once.
    pub burst: NonZeroU32,
}

/// Those that are known, and how fast each may come.
pub(super) struct Tokens {
    known: Vec<Known>,
    /// Of everybody, where there are no tokens.
    open: Option<Limiter>,
    clock: MonotonicClock,
}

struct Known {
    owner: Owner,
    hash: Digest,
    limiter: Option<Limiter>,
}

/// Who is admitted.
pub(super) enum Admission {
    As(Owner),
    /// It shows no token that is known.
    Refused,
    /// It comes too often: again after so many seconds.
    TooOften(u64),
}

impl Tokens {
    pub fn new(tokens: &[Token], rate: Option<Rate>) -> Result<Self, TokenError> {
        let clock = MonotonicClock;
        let limiter = || {
            let Rate { per_second, burst } = rate?;
            let quota = Quota::per_second(per_second).allow_burst(burst);
            Some(RateLimiter::direct_with_clock(quota, clock.clone()))
        };
        let mut known: Vec<Known> = Vec::new();
        for Token { name, secret } in tokens {
            let fits = |c: char| c.is_ascii_alphanumeric() || "-_.".contains(c);
            if name.is_empty() || name.len() > 64 || !name.chars().all(fits) {
                return Err(TokenError::BadName(name.clone()));
            }
            let owner = Owner(Some(name.as_str().into()));
            if known.iter().any(|known| known.owner == owner) {
                return Err(TokenError::TwoOfOneName(name.clone()));
            }
            if secret.expose_secret().len() < 16 {
                return Err(TokenError::TooShort(name.clone()));
            }
            let hash = digest(&SHA256, secret.expose_secret().as_bytes());
            known.push(Known { owner, hash, limiter: limiter() });
        }
        let open = if known.is_empty() { limiter() } else { None };
        Ok(Self { known, open, clock })
    }

    /// Says whether there are any: then clients need one.
    pub fn are_some(&self) -> bool {
        !self.known.is_empty()
    }

    /// Says whether one client may be another than another.
    pub fn are_several(&self) -> bool {
        self.known.len() > 1
    }

    /// How many of `most` one client can have, so that each of the others can have as many: an equal part.
    pub fn part_of(&self, most: usize) -> usize {
        (most / self.known.len().max(1)).max(1)
    }

    /// Whose the session `id` is; everybody's if it belongs to no token that is known.
    pub fn owner_of(&self, id: &str) -> Owner {
        let owner = self.known.iter().map(|known| &known.owner).find(|owner| owner.owns(id));
        owner.cloned().unwrap_or(Owner(None))
    }

    /// Judges a client by its `Authorization` header. Every known token is compared, and takes as long
    /// whatever was sent.
    pub fn admit(&self, authorization: Option<&[u8]>) -> Admission {
        if self.known.is_empty() {
            return self.in_time(self.open.as_ref(), &Owner(None));
        }
        let Some(shown) = authorization.and_then(bearer) else { return Admission::Refused };
        let shown = digest(&SHA256, shown);
        let mut found = None;
        for known in &self.known {
            if bool::from(known.hash.as_ref().ct_eq(shown.as_ref())) {
                found = Some(known);
            }
        }
        match found {
            Some(known) => self.in_time(known.limiter.as_ref(), &known.owner),
            None => Admission::Refused,
        }
    }

    fn in_time(&self, limiter: Option<&Limiter>, owner: &Owner) -> Admission {
        match limiter.map(|limiter| limiter.check()) {
            None | Some(Ok(())) => Admission::As(owner.clone()),
            Some(Err(not_yet)) => {
                let wait = not_yet.wait_time_from(self.clock.now());
                Admission::TooOften(wait.as_secs() + 1)
            }
        }
    }
}

/// The token in an `Authorization` header.
fn bearer(header: &[u8]) -> Option<&[u8]> {
    let (scheme, token) = header.split_at_checked(7)?;
    scheme.eq_ignore_ascii_case(b"bearer ").then(|| token.trim_ascii())
}

/// Whose a session is: that of the token it was made with; everybody's where there are no tokens.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(super) struct Owner(Option<Arc<str>>);

impl Owner {
    /// Says whether the session `id` is its own.
    pub fn owns(&self, id: &str) -> bool {
        match &self.0 {
            None => true,
            Some(name) => id.strip_prefix(&**name).is_some_and(|rest| rest.starts_with(SEPARATOR)),
        }
    }

    /// A new id of its own.
    pub fn new_id(&self) -> SessionId {
        let id = SessionId::random();
        match &self.0 {
            None => id,
            Some(name) => SessionId::new(format!("{name}{SEPARATOR}{id}")),
        }
    }

    /// The id of its own that a client means by `id`, which it has chosen.
    pub fn id_of(&self, id: &str) -> SessionId {
        match &self.0 {
            Some(name) if !self.owns(id) => SessionId::new(format!("{name}{SEPARATOR}{id}")),
            _ => SessionId::new(id),
        }
    }

    /// What the ids of all its sessions begin with.
    pub fn prefix(&self) -> Option<String> {
        self.0.as_ref().map(|name| format!("{name}{SEPARATOR}"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn token(name: &str, secret: &str) -> Token {
        Token { name: name.to_owned(), secret: secret.to_owned().into() }
    }

    fn admitted(tokens: &Tokens, header: Option<&str>) -> Option<Owner> {
        match tokens.admit(header.map(str::as_bytes)) {
            Admission::As(owner) => Some(owner),
            Admission::Refused | Admission::TooOften(_) => None,
        }
    }

    #[test]
    fn a_client_is_who_its_token_says() {
        let tokens =
            [token("ann", "a-secret-of-some-length"), token("bob", "another-secret-of-it")];
        let tokens = Tokens::new(&tokens, None).unwrap();
        let ann = admitted(&tokens, Some("Bearer a-secret-of-some-length")).unwrap();
        assert_eq!(ann.prefix().as_deref(), Some("ann:"));
        let bob = admitted(&tokens, Some("bearer  another-secret-of-it")).unwrap();
        assert!(ann.owns("ann:1") && !bob.owns("ann:1") && !ann.owns("anna:1") && !ann.owns("ann"));
        for wrong in [
            None,
            Some(""),
            Some("Bearer "),
            Some("Bearer a-secret-of-some-lengt"),
            Some("Bearer a-secret-of-some-lengthx"),
            Some("Basic a-secret-of-some-length"),
            Some("a-secret-of-some-length"),
        ] {
            assert_eq!(admitted(&tokens, wrong), None, "{wrong:?}");
        }
    }

    #[test]
    fn each_client_has_an_equal_part_and_something_of_it() {
        let names = ["ann", "bob", "cid"];
        let tokens = names.map(|name| token(name, &format!("the long secret of {name}")));
        for (count, most, part) in [(0, 10, 10), (1, 10, 10), (2, 10, 5), (3, 10, 3), (3, 2, 1)] {
            let tokens = Tokens::new(&tokens[..count], None).unwrap();
            assert_eq!(tokens.part_of(most), part, "{count} of {most}");
        }
        let tokens = Tokens::new(&tokens, None).unwrap();
        assert_eq!(tokens.owner_of("bob:x").prefix().as_deref(), Some("bob:"));
        assert_eq!(tokens.owner_of("bobby:x").prefix(), None);
    }

    #[test]
    fn without_tokens_everything_is_everybodys() {
        let tokens = Tokens::new(&[], None).unwrap();
        let anybody = admitted(&tokens, None).unwrap();
        assert!(anybody.owns("ann:1") && anybody.prefix().is_none());
        assert_eq!(anybody.id_of("demo").as_str(), "demo");
    }

    #[test]
    fn an_id_is_made_its_owners_own() {
        let ann = Owner(Some("ann".into()));
        assert_eq!(ann.id_of("demo").as_str(), "ann:demo");
        assert_eq!(ann.id_of("ann:demo").as_str(), "ann:demo");
        assert_eq!(ann.id_of("bob:demo").as_str(), "ann:bob:demo");
        assert!(ann.owns(ann.new_id().as_str()));
    }

    #[test]
    fn tokens_that_would_not_do_are_refused() {
        let long = "long enough to be one";
        for (tokens, why) in [
            (vec![token("a:b", long)], "`a:b` is no name of a token"),
            (vec![token("", long)], "`` is no name of a token"),
            (vec![token("a", long), token("a", long)], "two tokens named `a`"),
            (vec![token("a", "short")], "the token `a` has less than 16 characters"),
        ] {
            let refused = Tokens::new(&tokens, None).err().map(|error| error.to_string());
            assert!(refused.as_ref().is_some_and(|it| it.starts_with(why)), "{refused:?}");
        }
        assert!(!format!("{:?}", token("a", long)).contains("enough"));
    }

    #[test]
    fn who_comes_too_often_is_told_when_to_come_again() {
        let one = NonZeroU32::MIN;
        let tokens = Tokens::new(&[], Some(Rate { per_second: one, burst: one })).unwrap();
        assert!(matches!(tokens.admit(None), Admission::As(_)));
        assert!(matches!(tokens.admit(None), Admission::TooOften(1..=2)));
    }
}
