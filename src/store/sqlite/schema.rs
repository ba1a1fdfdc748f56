//! The schema in SQLite's words.

use crate::store::sql::Schema;

pub(in crate::store) const SCHEMA: Schema = Schema {
    is_there: "SELECT 1 FROM sqlite_master WHERE type = 'table' AND name = 'schema_version'",
    begin: "BEGIN IMMEDIATE",
    prepare: "CREATE TABLE IF NOT EXISTS schema_version (version INTEGER PRIMARY KEY)",
    steps: &[FIRST, SECOND],
};

/// Numbers of sessions are never used again: a late owner of one that was removed finds nothing.
const FIRST: &str = "
CREATE TABLE instances (
    id INTEGER PRIMARY KEY AUTOINCREMENT,
    host TEXT NOT NULL,
    host_key TEXT NOT NULL,
    pid INTEGER NOT NULL,
    started INTEGER NOT NULL,
    beat_at_ms INTEGER NOT NULL
);
CREATE TABLE sessions (
    id INTEGER PRIMARY KEY AUTOINCREMENT,
    name TEXT NOT NULL UNIQUE,
    epoch INTEGER NOT NULL,
    owner INTEGER,
    last_seq INTEGER NOT NULL,
    created_at_us INTEGER,
    updated_at_us INTEGER,
    title TEXT NOT NULL,
    turns INTEGER NOT NULL,
    is_open INTEGER NOT NULL,
    forked_from TEXT
);
CREATE INDEX sessions_by_time ON sessions (is_open, updated_at_us, name);
CREATE INDEX sessions_by_owner ON sessions (owner) WHERE owner IS NOT NULL;
CREATE TABLE journal (
    session INTEGER NOT NULL,
    first_seq INTEGER NOT NULL,
    last_seq INTEGER NOT NULL,
    epoch INTEGER NOT NULL,
    records TEXT NOT NULL,
    PRIMARY KEY (session, first_seq)
) WITHOUT ROWID;
CREATE TABLE results (
    id TEXT PRIMARY KEY,
    content BLOB NOT NULL
);
CREATE TABLE session_results (
    session INTEGER NOT NULL,
    result TEXT NOT NULL,
    PRIMARY KEY (session, result)
) WITHOUT ROWID;
CREATE INDEX session_results_by_result ON session_results (result);
";

/// The journal is kept in the order in which it is written: what many sessions append lands in the
/// same few pages.
const SECOND: &str = "
ALTER TABLE journal RENAME TO journal_1;
CREATE TABLE journal (
    session INTEGER NOT NULL,
    first_seq INTEGER NOT NULL,
    last_seq INTEGER NOT NULL,
    epoch INTEGER NOT NULL,
    records TEXT NOT NULL,
    UNIQUE (session, first_seq)
);
INSERT INTO journal (session, first_seq, last_seq, epoch, records)
    SELECT session, first_seq, last_seq, epoch, records FROM journal_1 ORDER BY session, first_seq;
DROP TABLE journal_1;
";
