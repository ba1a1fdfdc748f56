//! The time that events are stamped with.

use std::time::{Duration, SystemTime, UNIX_EPOCH};

use tokio::time::Instant;

/// A wall clock that never runs backwards: read once, then carried on by the monotonic clock, which
/// tests may pause.
#[derive(Clone, Copy, Debug)]
pub struct Clock {
    base_us: u64,
    origin: Instant,
}

impl Clock {
    /// The machine's time.
    #[must_use]
    pub fn system() -> Self {
        let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
        Self::at(since)
    }

    /// A clock that shows `since_1970` now.
    #[must_use]
    pub fn at(since_1970: Duration) -> Self {
        Self { base_us: micros(since_1970), origin: Instant::now() }
    }

    /// The same clock, put forward if it shows less than `at_us` now: a session that was recorded by
    /// another clock does not run backwards.
    #[must_use]
    pub(super) fn not_before(self, at_us: u64) -> Self {
        let behind_us = at_us.saturating_sub(self.micros_at(Instant::now()));
        Self { base_us: self.base_us + behind_us, ..self }
    }

    /// Microseconds since 1970 at `instant`.
    #[must_use]
    pub fn micros_at(&self, instant: Instant) -> u64 {
        self.base_us + micros(instant.saturating_duration_since(self.origin))
    }
}

/// `duration` in whole microseconds.
pub(super) fn micros(duration: Duration) -> u64 {
    u64::try_from(duration.as_micros()).unwrap_or(u64::MAX)
}
