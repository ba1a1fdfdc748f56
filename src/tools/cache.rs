//! Results of calls without effects, kept for a while: the same call then need not run again.

use std::collections::{HashMap, VecDeque};
use std::sync::Arc;
use std::time::Duration;

use tokio::time::Instant;

use super::later;
use crate::conversation::{Outcome, SessionId, are_same, fingerprint};

/// How many results of one tool are kept.
const MAX_ENTRIES: usize = 1_000;

/// How many bytes of them, with their arguments.
const MAX_BYTES: usize = 16_000_000;

/// A larger result would drive too many others out.
const MAX_ENTRY_BYTES: usize = MAX_BYTES / 16;

/// What an entry takes besides its texts.
const ENTRY_BYTES: usize = 256;

/// Who may be answered with a result that was kept ([`super::ToolType::cache_for`]).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum CacheScope {
    /// The session whose call it was.
    #[default]
    Session,
    /// Any session of the process that uses the tool.
    Process,
}

impl CacheScope {
    /// Each of them.
    pub const ALL: &'static [Self] = &[Self::Session, Self::Process];

    /// The name used in settings.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Session => "session",
            Self::Process => "process",
        }
    }
}

/// How the results of a tool are kept.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Caching {
    /// For so long.
    pub lifetime: Duration,
    pub scope: CacheScope,
}

/// Which call a result is of, in its tool's cache.
#[derive(Clone, Debug)]
pub(crate) struct CacheKey {
    /// Whose call it was; `None` = anybody's.
    session: Option<SessionId>,
    arguments: Arc<str>,
    /// That stands for the arguments.
    number: u64,
}

impl CacheKey {
    pub fn new(session: Option<SessionId>, arguments: &Arc<str>) -> Self {
        Self { session, arguments: Arc::clone(arguments), number: fingerprint(arguments) }
    }

    fn place(&self) -> Place {
        (self.session.clone(), self.number)
    }
}

type Place = (Option<SessionId>, u64);

/// The results of one tool that are kept.
#[derive(Debug, Default)]
pub(super) struct Cache {
    kept: HashMap<Place, Kept>,
    /// The places in the order in which they were filled, each with the number of its filling.
    order: VecDeque<(u64, Place)>,
    fillings: u64,
    bytes: usize,
}

#[derive(Debug)]
struct Kept {
    arguments: Arc<str>,
    outcome: Outcome,
    until: Instant,
    filling: u64,
    bytes: usize,
}

impl Cache {
    /// The result of the call `key`, if it is kept.
    pub fn get(&mut self, key: &CacheKey, now: Instant) -> Option<Outcome> {
        self.let_go_of_old(now);
        let kept = self.kept.get(&key.place()).filter(|kept| now < kept.until)?;
        are_same(&kept.arguments, &key.arguments).then(|| kept.outcome.clone())
    }

    /// Keeps the result of the call `key`. One that is kept already stays; of many, or of large ones, the
    /// oldest go.
    pub fn put(&mut self, key: CacheKey, outcome: Outcome, lifetime: Duration, now: Instant) {
        self.let_go_of_old(now);
        let bytes = ENTRY_BYTES + key.arguments.len() + outcome.content.len();
        let place = key.place();
        if bytes > MAX_ENTRY_BYTES || self.kept.contains_key(&place) {
            return;
        }
        while self.order.len() >= MAX_ENTRIES || self.bytes + bytes > MAX_BYTES {
            self.let_go_of_first();
        }
        self.fillings += 1;
        let (filling, until, arguments) = (self.fillings, later(now, lifetime), key.arguments);
        self.bytes += bytes;
        self.order.push_back((filling, place.clone()));
        self.kept.insert(place, Kept { arguments, outcome, until, filling, bytes });
    }

    /// The first to be filled are the first to be old: all are kept equally long.
    fn let_go_of_old(&mut self, now: Instant) {
        while let Some((_, place)) = self.order.front()
            && self.kept.get(place).is_none_or(|kept| kept.until <= now)
        {
            self.let_go_of_first();
        }
    }

    fn let_go_of_first(&mut self) {
        let Some((filling, place)) = self.order.pop_front() else { return };
        if self.kept.get(&place).is_some_and(|kept| kept.filling == filling)
            && let Some(kept) = self.kept.remove(&place)
        {
            self.bytes -= kept.bytes;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const MINUTE: Duration = Duration::from_secs(60);

    fn key(session: Option<&str>, arguments: &str) -> CacheKey {
        CacheKey::new(session.map(SessionId::new), &arguments.into())
    }

    fn got(
        cache: &mut Cache,
        session: Option<&str>,
        arguments: &str,
        now: Instant,
    ) -> Option<String> {
        let outcome = cache.get(&key(session, arguments), now)?;
        Some(outcome.content.to_string())
    }

    #[tokio::test(start_paused = true)]
    async fn a_result_is_kept_for_its_time_whatever_its_arguments_look_like() {
        let (mut cache, now) = (Cache::default(), Instant::now());
        cache.put(key(None, r#"{"a":1,"b":2}"#), Outcome::ok("x"), MINUTE, now);
        let soon = now + MINUTE - Duration::from_millis(1);
        assert_eq!(got(&mut cache, None, r#"{ "b": 2, "a": 1 }"#, soon).as_deref(), Some("x"));
        assert_eq!(got(&mut cache, None, r#"{"a":1}"#, soon), None);
        assert_eq!(got(&mut cache, None, r#"{"a":1,"b":2}"#, now + MINUTE), None);
        assert_eq!((cache.kept.len(), cache.bytes), (0, 0), "what is old is gone");
    }

    #[tokio::test(start_paused = true)]
    async fn a_result_of_one_session_is_no_result_of_another() {
        let (mut cache, now) = (Cache::default(), Instant::now());
        cache.put(key(Some("a"), "{}"), Outcome::ok("x"), MINUTE, now);
        assert_eq!(got(&mut cache, Some("b"), "{}", now), None);
        assert_eq!(got(&mut cache, None, "{}", now), None);
        assert_eq!(got(&mut cache, Some("a"), "{}", now).as_deref(), Some("x"));
    }

    #[tokio::test(start_paused = true)]
    async fn the_oldest_of_too_many_and_of_too_large_ones_go() {
        let (mut cache, now) = (Cache::default(), Instant::now());
        let put = |cache: &mut Cache, n: usize, bytes: usize| {
            let outcome = Outcome::ok("x".repeat(bytes));
            cache.put(key(None, &format!(r#"{{"n":{n}}}"#)), outcome, MINUTE, now);
        };
        let has = |cache: &mut Cache, n: usize| {
            got(cache, None, &format!(r#"{{"n":{n}}}"#), now).is_some()
        };
        for n in 0..=MAX_ENTRIES {
            put(&mut cache, n, 1);
        }
        assert!(!has(&mut cache, 0) && has(&mut cache, 1) && has(&mut cache, MAX_ENTRIES));
        assert_eq!((cache.kept.len(), cache.order.len()), (MAX_ENTRIES, MAX_ENTRIES));
        for n in 2_000..2_040 {
            put(&mut cache, n, MAX_ENTRY_BYTES / 2);
            assert!(cache.bytes <= MAX_BYTES, "{}", cache.bytes);
        }
        assert!(!has(&mut cache, MAX_ENTRIES) && has(&mut cache, 2_039));
        put(&mut cache, 3_000, MAX_ENTRY_BYTES);
        assert!(!has(&mut cache, 3_000), "too large alone");
        let left: usize = cache.kept.values().map(|kept| kept.bytes).sum();
        assert_eq!(cache.bytes, left);
    }

    #[tokio::test(start_paused = true)]
    async fn what_is_kept_stays_until_it_is_old_and_can_then_be_kept_anew() {
        let (mut cache, now) = (Cache::default(), Instant::now());
        cache.put(key(None, "{}"), Outcome::ok("first"), MINUTE, now);
        cache.put(key(None, "{}"), Outcome::ok("second"), MINUTE, now);
        assert_eq!(got(&mut cache, None, "{}", now).as_deref(), Some("first"));
        let later = now + MINUTE;
        cache.put(key(None, "{}"), Outcome::ok("third"), MINUTE, later);
        assert_eq!(got(&mut cache, None, "{}", later).as_deref(), Some("third"));
        assert_eq!(cache.order.len(), 1);
    }
}
