//! The statement that writes the appends of many sessions.

use std::sync::Arc;

use crate::store::sql::{Entry, Value};

/// What the batches are written from.
const BATCH: [&str; 6] = ["session", "epoch", "expected", "first_seq", "last_seq", "records"];

/// What the list of sessions is changed by.
const CHANGE: [&str; 9] =
    ["session", "epoch", "expected", "last_seq", "began_us", "at_us", "title", "turns", "is_open"];

/// The statements, one for each power of two of appends, so that they stay prepared. What is left
/// over is filled up with appends to no session.
#[derive(Debug)]
pub(in crate::store) struct Appends {
    /// In a transaction that others have begun.
    within: Vec<Arc<str>>,
    /// With a transaction of their own, in one go: each statement is a way to another thread.
    alone: Vec<Arc<str>>,
}

impl Appends {
    /// The statements for up to `most` appends.
    pub fn new(most: usize) -> Self {
        let sizes = || (0..).map(|power| 1_usize << power);
        let within: Vec<String> =
            sizes().take_while(|size| *size < 2 * most).map(statement).collect();
        let alone = within.iter().map(|within| format!("BEGIN IMMEDIATE; {within}; COMMIT"));
        Self {
            alone: alone.map(Arc::from).collect(),
            within: within.into_iter().map(Arc::from).collect(),
        }
    }

    /// The statement that writes `entries`, and its values. It answers with the sessions of those
    /// that were written.
    pub fn of(&self, entries: &[&Entry], is_alone: bool) -> (Arc<str>, Vec<Value>) {
        let size = entries.len().next_power_of_two();
        let power = usize::try_from(size.trailing_zeros()).unwrap_or_default();
        let statements = if is_alone { &self.alone } else { &self.within };
        // The places have no names: those would be looked up one by one, each time.
        let mut values = Vec::with_capacity(size * (BATCH.len() + CHANGE.len()));
        for entry in entries {
            values.extend([
                Value::int(entry.session),
                Value::int(entry.epoch),
                Value::int(entry.expected),
                Value::int(entry.first_seq),
                Value::int(entry.last_seq),
                Value::Text(Some(Arc::clone(&entry.records))),
            ]);
        }
        values.resize(size * BATCH.len(), Value::Int(None));
        for entry in entries {
            values.extend([
                Value::int(entry.session),
                Value::int(entry.epoch),
                Value::int(entry.expected),
                Value::int(entry.last_seq),
                Value::int(entry.began_us),
                Value::int(entry.at_us),
                Value::Text(entry.title.clone()),
                Value::int(entry.turns),
                Value::int(entry.is_open.into()),
            ]);
        }
        values.resize(size * (BATCH.len() + CHANGE.len()), Value::Int(None));
        (Arc::clone(&statements[power]), values)
    }
}

/// Writes the batches of those who are still the owners and know the last event, and then what
/// changes with them in the list of sessions. Both parts have the same condition, and the first one
/// does not touch what it looks at.
fn statement(size: usize) -> String {
    let given = |columns: &[&str]| {
        let row = format!("({})", vec!["?"; columns.len()].join(", "));
        let rows = vec![row; size].join(", ");
        format!("WITH given ({}) AS (VALUES {rows})", columns.join(", "))
    };
    let (batch, change) = (given(&BATCH), given(&CHANGE));
    let owned = "s.id = given.session AND s.epoch = given.epoch \
                 AND s.last_seq = given.expected AND s.owner IS NOT NULL";
    format!(
        "{batch} INSERT INTO journal (session, first_seq, last_seq, epoch, records) \
         SELECT given.session, given.first_seq, given.last_seq, given.epoch, given.records \
         FROM given CROSS JOIN sessions AS s ON {owned} RETURNING session; \
         {change} UPDATE sessions AS s SET last_seq = given.last_seq, \
         created_at_us = coalesce(s.created_at_us, given.began_us), updated_at_us = given.at_us, \
         title = coalesce(given.title, s.title), turns = given.turns, is_open = given.is_open \
         FROM given WHERE {owned}"
    )
}
