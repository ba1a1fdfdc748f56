//! Points at which a test has the process end as if it were killed. Without the feature `testing`
//! there are none.

#[cfg(feature = "testing")]
use std::sync::LazyLock;
#[cfg(feature = "testing")]
use std::sync::atomic::{AtomicI64, Ordering};
#[cfg(feature = "testing")]
use std::time::Duration;

/// What names the point: `before:N`, `after:N` or `during:N:US`, of the Nth append of the process,
/// counted from 0. The last one ends the process so many microseconds after it was handed over.
#[cfg(feature = "testing")]
const VARIABLE: &str = "CALLSHEET_ABORT_AT";

/// Where an append is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Append {
    /// The journal was not asked yet.
    Before,
    /// The journal was asked.
    During,
    /// The journal has answered, and nobody knows.
    After,
}

#[cfg(feature = "testing")]
struct Point {
    at: Append,
    left: AtomicI64,
    rest: Duration,
}

#[cfg(feature = "testing")]
static POINT: LazyLock<Option<Point>> = LazyLock::new(|| {
    let text = std::env::var(VARIABLE).ok()?;
    let mut parts = text.split(':');
    let at = match parts.next()? {
        "before" => Append::Before,
        "during" => Append::During,
        "after" => Append::After,
        _ => return None,
    };
    let left = AtomicI64::new(parts.next()?.parse().ok()?);
    let rest = Duration::from_micros(parts.next().and_then(|us| us.parse().ok()).unwrap_or(0));
    Some(Point { at, left, rest })
});

/// Ends the process if this is the point.
#[cfg(feature = "testing")]
pub(crate) fn append(at: Append) {
    let Some(point) = POINT.as_ref().filter(|point| point.at == at) else { return };
    if point.left.fetch_sub(1, Ordering::Relaxed) != 0 {
        return;
    }
    if at != Append::During {
        std::process::abort();
    }
    std::thread::spawn(|| {
        std::thread::sleep(point.rest);
        std::process::abort();
    });
}

/// Nothing happens.
#[cfg(not(feature = "testing"))]
pub(crate) const fn append(_: Append) {}
