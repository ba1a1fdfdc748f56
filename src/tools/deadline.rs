//! Sums of times that nothing overflows.

use std::time::Duration;

use tokio::time::Instant;

/// `limit` after `instant`; a limit beyond all reckoning is as good as none.
pub(crate) fn later(instant: Instant, limit: Duration) -> Instant {
    const AGES: Duration = Duration::from_secs(30 * 365 * 24 * 3600);
    instant.checked_add(limit.min(AGES)).unwrap_or(instant)
}
