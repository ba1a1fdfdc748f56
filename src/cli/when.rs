//! Moments and spans of time as people and programs read them.

use jiff::tz::TimeZone;
use jiff::{Span, Timestamp, ZonedDateTime};

pub(super) use crate::document::exact;
use crate::document::timestamp;

/// After so many days a moment is a date.
const DAYS: u64 = 7;

/// The moment now, in microseconds since 1970, as events have theirs.
pub(super) fn now_us() -> u64 {
    u64::try_from(Timestamp::now().as_microsecond()).unwrap_or_default()
}

/// Writes a moment for people, by the clock on their wall.
pub(super) fn local(at_us: u64) -> String {
    local_in(at_us, TimeZone::system())
}

fn local_in(at_us: u64, zone: TimeZone) -> String {
    timestamp(at_us).to_zoned_datetime(zone).strftime("%Y-%m-%d %H:%M").to_string()
}

/// Writes how long ago a moment is, in at most ten columns; a date if it is long ago.
pub(super) fn ago(at_us: u64, now_us: u64) -> String {
    let seconds = now_us.saturating_sub(at_us) / 1_000_000;
    let (minutes, hours, days) = (seconds / 60, seconds / 3600, seconds / 86_400);
    match (days, hours, minutes) {
        (0, 0, 0) => format!("{seconds} s ago"),
        (0, 0, _) => format!("{minutes} min ago"),
        (0, _, _) => format!("{hours} h ago"),
        (1, _, _) => "1 day ago".to_owned(),
        (..DAYS, _, _) => format!("{days} days ago"),
        _ => local(at_us)[..10].to_owned(),
    }
}

/// Reads an age such as `30d`, `12h` or `6 months`.
pub(super) fn age(text: &str) -> Result<Span, String> {
    match text.parse::<Span>() {
        Ok(age) if !age.is_negative() => Ok(age),
        _ => Err("an age is a number and a unit, as in 30d, 12h or 6 months".to_owned()),
    }
}

/// The moment that is `age` before `now_us`, by the calendar.
pub(super) fn before(age: Span, now_us: u64) -> Result<u64, String> {
    let now: ZonedDateTime = timestamp(now_us).to_zoned_datetime(TimeZone::system());
    let before = now.checked_sub(age).map_err(|_| "nothing is as old as that".to_owned())?;
    Ok(u64::try_from(before.timestamp().as_microsecond()).unwrap_or_default())
}

#[cfg(test)]
mod tests {
    use super::*;

    const SECOND: u64 = 1_000_000;
    const DAY: u64 = 86_400 * SECOND;

    /// 2026-11-28 16:35:21.5 UTC.
    const NOW: u64 = 1_795_883_721_500_000;

    #[test]
    fn a_moment_is_written_for_programs_and_for_people() {
        assert_eq!(exact(NOW), "2026-11-28T16:35:21.5Z");
        assert_eq!(local_in(NOW, TimeZone::UTC), "2026-11-28 16:35");
        assert!(exact(u64::MAX).starts_with("9999-12-"), "{}", exact(u64::MAX));
    }

    #[test]
    fn how_long_ago_a_moment_is_takes_ten_columns_at_most() {
        let check = |before, expected: &str| {
            assert_eq!(ago(NOW - before, NOW), expected);
        };
        check(0, "0 s ago");
        check(59 * SECOND, "59 s ago");
        check(60 * SECOND, "1 min ago");
        check(59 * 60 * SECOND, "59 min ago");
        check(23 * 3600 * SECOND, "23 h ago");
        check(DAY, "1 day ago");
        check(6 * DAY, "6 days ago");
        assert_eq!(ago(NOW - 40 * DAY, NOW).len(), "2026-10-19".len());
        assert_eq!(ago(NOW + DAY, NOW), "0 s ago", "clocks differ");
    }

    #[test]
    fn an_age_is_a_number_and_a_unit() {
        let back = |text| before(age(text).unwrap(), NOW).unwrap();
        assert_eq!(back("12h"), NOW - DAY / 2);
        assert_eq!(back("0s"), NOW);
        let month = NOW - back("1 month");
        assert!((30 * DAY..=32 * DAY).contains(&month), "{month}");
        assert!((29 * DAY..=31 * DAY).contains(&(NOW - back("30d"))));
        for text in ["", "30", "-1d", "d", "soon"] {
            assert!(age(text).is_err(), "{text}");
        }
        assert!(before(age("9000 years").unwrap(), NOW).is_err() || back("9000 years") == 0);
    }
}
