//! The statement that writes the appends of many sessions.

use std::sync::Arc;

use crate::store::sql::{Entry, Value};

/// Moves the sessions on whose writer is still the owner and knows the last event, and writes the
/// batches of those that were moved. The update holds their rows: of an append and a take-over, or
/// of two appends, one comes first, and the other one looks again.
const STATEMENT: &str = "
WITH given AS (
    SELECT * FROM unnest($1::bigint[], $2::bigint[], $3::bigint[], $4::bigint[], $5::bigint[],
        $6::bigint[], $7::bigint[], $8::text[], $9::bigint[], $10::bigint[], $11::text[])
    AS given (session, epoch, expected, first_seq, last_seq, began_us, at_us, title, turns, is_open,
        records)
), moved AS (
    UPDATE sessions AS s SET last_seq = given.last_seq,
        created_at_us = coalesce(s.created_at_us, given.began_us), updated_at_us = given.at_us,
        title = coalesce(given.title, s.title), turns = given.turns, is_open = given.is_open
    FROM given
    WHERE s.id = given.session AND s.epoch = given.epoch AND s.last_seq = given.expected
        AND s.owner IS NOT NULL
    RETURNING s.id
)
INSERT INTO journal (session, first_seq, last_seq, epoch, records)
SELECT given.session, given.first_seq, given.last_seq, given.epoch, given.records
FROM given JOIN moved ON moved.id = given.session";

/// The statement that writes `entries`, and its values.
pub(in crate::store) fn appends(entries: &[&Entry]) -> (Arc<str>, Vec<Value>) {
    let numbers = |number: fn(&Entry) -> u64| {
        let numbers = entries.iter().map(|entry| i64::try_from(number(entry)).unwrap_or(i64::MAX));
        Value::Ints(numbers.collect())
    };
    let texts = |text: fn(&Entry) -> Option<Arc<str>>| {
        Value::Texts(entries.iter().map(|entry| text(entry)).collect())
    };
    let values = vec![
        numbers(|entry| entry.session),
        numbers(|entry| entry.epoch),
        numbers(|entry| entry.expected),
        numbers(|entry| entry.first_seq),
        numbers(|entry| entry.last_seq),
        numbers(|entry| entry.began_us),
        numbers(|entry| entry.at_us),
        texts(|entry| entry.title.clone()),
        numbers(|entry| entry.turns),
        numbers(|entry| entry.is_open.into()),
        texts(|entry| Some(Arc::clone(&entry.records))),
    ];
    (STATEMENT.into(), values)
}
