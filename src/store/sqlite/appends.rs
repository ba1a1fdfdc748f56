//! The statement that writes the appends of many sessions.

use std::sync::Arc;

use crate::store::sql::{Entry, Value};

/// What the list of sessions is given, row by row, and then the journal.
const SESSIONS: &str = "session, epoch, expected, last_seq, began_us, at_us, title, turns, is_open";
const JOURNAL: &str = "session, epoch, expected, first_seq, last_seq, records";

/// The statements, one of each kind for each power of two of appends, so that they stay prepared.
/// What is left over is filled up with appends to no session.
#[derive(Debug)]
pub(in crate::store) struct Appends {
    journal: Vec<Arc<str>>,
    /// The list of sessions, too, in a transaction that others have begun.
    both: Vec<Arc<str>>,
    /// The same with a transaction of their own, in one go: each statement is a way to another
    /// thread.
    both_alone: Vec<Arc<str>>,
}

impl Appends {
    /// The statements for up to `most` appends.
    pub fn new(most: usize) -> Self {
        let sizes = (0..).map(|power| 1_usize << power).take_while(|size| *size < 2 * most);
        let sizes: Vec<usize> = sizes.collect();
        let journal: Vec<String> = sizes.iter().map(|size| to_journal(*size)).collect();
        let both = sizes.iter().zip(&journal);
        let both: Vec<String> =
            both.map(|(size, journal)| format!("{}; {journal}", to_sessions(*size))).collect();
        let both_alone = both.iter().map(|both| format!("BEGIN IMMEDIATE; {both}; COMMIT"));
        Self {
            both_alone: both_alone.map(Arc::from).collect(),
            both: both.into_iter().map(Arc::from).collect(),
            journal: journal.into_iter().map(Arc::from).collect(),
        }
    }

    /// The statement that writes `entries`, and its values.
    pub fn of(&self, entries: &[&Entry], is_alone: bool) -> (Arc<str>, Vec<Value>) {
        let size = entries.len().next_power_of_two();
        let power = usize::try_from(size.trailing_zeros()).unwrap_or_default();
        let are_listed = entries.iter().any(|entry| entry.is_listed);
        let statements = match (are_listed, is_alone) {
            (false, _) => &self.journal,
            (true, false) => &self.both,
            (true, true) => &self.both_alone,
        };
        let listed = if are_listed { size * columns(SESSIONS) } else { 0 };
        let all = listed + size * columns(JOURNAL);
        let mut values = Vec::with_capacity(all);
        for entry in entries.iter().filter(|entry| entry.is_listed) {
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
        values.resize(listed, Value::Int(None));
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
        values.resize(all, Value::Int(None));
        (Arc::clone(&statements[power]), values)
    }
}

/// The rows of `given` whose writer is still the owner of the session `s` and knows its last event.
/// Both statements have the same condition, and the first does not touch what it looks at.
const OWNED: &str = "s.id = given.session AND s.epoch = given.epoch AND s.owner IS NOT NULL \
                     AND given.expected = coalesce((SELECT j.last_seq FROM journal j \
                     WHERE j.session = s.id ORDER BY j.first_seq DESC LIMIT 1), 0)";

/// Writes what changes in the list of sessions. In the middle of a turn that is nothing for a second
/// at a time, and the journal is ahead of the list: a row here and its place by time are two more
/// pages to write.
fn to_sessions(size: usize) -> String {
    format!(
        "{given} UPDATE sessions AS s SET last_seq = given.last_seq, \
         created_at_us = coalesce(s.created_at_us, given.began_us), updated_at_us = given.at_us, \
         title = coalesce(given.title, s.title), turns = given.turns, is_open = given.is_open \
         FROM given WHERE {OWNED}",
        given = given(SESSIONS, size)
    )
}

/// Writes the batches. How many it wrote is all that it says: each row of an answer is a message from
/// thread to thread.
fn to_journal(size: usize) -> String {
    format!(
        "{given} INSERT INTO journal (session, first_seq, last_seq, epoch, records) \
         SELECT given.session, given.first_seq, given.last_seq, given.epoch, given.records \
         FROM given CROSS JOIN sessions AS s ON {OWNED}",
        given = given(JOURNAL, size)
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
