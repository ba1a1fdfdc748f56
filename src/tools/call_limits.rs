//! The limits of one tool's calls.

use std::num::NonZeroU32;
use std::time::Duration;

use super::cache::Caching;

/// How many calls of a tool may wait for their turn, where nothing else is said.
const MAX_QUEUE: usize = 1000;

/// How many calls of a tool may begin in a time ([`super::ToolType::rate_limit`]).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct RateLimit {
    /// So many, all at once if nobody has called for a while.
    pub calls: NonZeroU32,
    /// In this time. With no time at all it is as good as no limit.
    pub per: Duration,
}

/// What a tool type says of its calls; see the methods of [`super::ToolType`].
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct CallLimits {
    pub time_limit: Option<Duration>,
    pub retries: u32,
    pub attempt_time_limit: Option<Duration>,
    pub silence_limit: Option<Duration>,
    pub max_concurrency: Option<usize>,
    pub exclusive: bool,
    pub serial_by: Option<String>,
    pub rate: Option<RateLimit>,
    pub max_queue: usize,
    /// Identical calls of one round run once.
    pub single_flight: bool,
    pub caching: Option<Caching>,
}

impl Default for CallLimits {
    fn default() -> Self {
        Self {
            time_limit: None,
            retries: 0,
            attempt_time_limit: None,
            silence_limit: None,
            max_concurrency: None,
            exclusive: false,
            serial_by: None,
            rate: None,
            max_queue: MAX_QUEUE,
            single_flight: false,
            caching: None,
        }
    }
}

impl CallLimits {
    /// The name of a limit that no call could keep.
    pub fn impossible(&self) -> Option<&'static str> {
        let limits = [
            ("time limit of one try", self.attempt_time_limit),
            ("silence limit", self.silence_limit),
            ("period of the rate limit", self.rate.map(|rate| rate.per)),
            ("lifetime of the cache", self.caching.map(|caching| caching.lifetime)),
        ];
        limits.into_iter().find(|(_, limit)| *limit == Some(Duration::ZERO)).map(|(name, _)| name)
    }

    /// The name of what has calls answered that have not run.
    pub fn reuse(&self) -> Option<&'static str> {
        let cache = self.caching.map(|_| "a cache");
        cache.or(self.single_flight.then_some("a single flight for identical calls"))
    }

    /// Says whether a call may have to wait for others before it runs.
    pub fn has_gate(&self) -> bool {
        self.max_concurrency.is_some()
            || self.exclusive
            || self.serial_by.is_some()
            || self.rate.is_some()
    }

    /// Says whether a call may be tried twice, or end before its time limit.
    pub fn has_tries(&self) -> bool {
        self.retries > 0 || self.attempt_time_limit.is_some() || self.silence_limit.is_some()
    }
}
