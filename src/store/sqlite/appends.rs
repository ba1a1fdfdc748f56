//! The statement that writes the appends of many sessions.

use std::sync::Arc;

use crate::store::sql::{Answer, Entry, Failure, Value};

/// What the check is given, row by row, then the journal, and then the list of sessions.
const CHECK: &str = "session, epoch, expected";
const JOURNAL: &str = "session, epoch, expected, first_seq, last_seq, records";
const SESSIONS: &str = "session, epoch, expected, last_seq, began_us, at_us, title, turns, is_open";

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

    /// The statement that writes `entries`, and its values. [`Appends::written`] reads its answer.
    pub fn of(&self, entries: &[&Entry], is_alone: bool) -> (Arc<str>, Vec<Value>) {
        let size = entries.len().next_power_of_two();
        let power = usize::try_from(size.trailing_zeros()).unwrap_or_default();
        let statements = if is_alone { &self.alone } else { &self.within };
        let all = columns(CHECK) + columns(JOURNAL) + columns(SESSIONS);
        let mut values = Vec::with_capacity(size * all);
        for entry in entries {
            values.extend([entry.session, entry.epoch, entry.expected].map(Value::int));
        }
        values.resize(size * columns(CHECK), Value::Int(None));
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
        values.resize(size * (columns(CHECK) + columns(JOURNAL)), Value::Int(None));
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
        values.resize(size * all, Value::Int(None));
        (Arc::clone(&statements[power]), values)
    }
}

impl Appends {
    /// The sessions of those that were written.
    pub fn written(answer: Answer) -> Result<Vec<u64>, Failure> {
        let row = answer.into_row();
        let sessions = row.map(|mut row| row.text()).transpose()?.unwrap_or_default();
        Ok(sessions.split(',').filter_map(|session| session.parse().ok()).collect())
    }
}

/// Says who is still the owner and knows the last event; writes the batches of those; and then what
/// changes with them in the list of sessions. All three have the same condition, and the first two do
/// not touch what it looks at. The answer is one row: each is a message from thread to thread.
fn statement(size: usize) -> String {
    let (check, journal, sessions) =
        (given(CHECK, size), given(JOURNAL, size), given(SESSIONS, size));
    let owned = "s.id = given.session AND s.epoch = given.epoch \
                 AND s.last_seq = given.expected AND s.owner IS NOT NULL";
    format!(
        "{check} SELECT group_concat(given.session) FROM given CROSS JOIN sessions AS s ON {owned}; \
         {journal} INSERT INTO journal (session, first_seq, last_seq, epoch, records) \
         SELECT given.session, given.first_seq, given.last_seq, given.epoch, given.records \
         FROM given CROSS JOIN sessions AS s ON {owned}; \
         {sessions} UPDATE sessions AS s SET last_seq = given.last_seq, \
         created_at_us = coalesce(s.created_at_us, given.began_us), updated_at_us = given.at_us, \
         title = coalesce(given.title, s.title), turns = given.turns, is_open = given.is_open \
         FROM given WHERE {owned}"
    )
}

/// The values of `size` rows as a table. Places for values have no names: to look for one by name
/// takes SQLite a walk through all of them.
fn given(names: &str, size: usize) -> String {
    let row = format!("({})", vec!["?"; columns(names)].join(", "));
    format!("WITH given ({names}) AS (VALUES {})", vec![&*row; size].join(", "))
}

fn columns(names: &str) -> usize {
    names.split(',').count()
}
