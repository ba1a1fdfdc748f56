//! The statements that both databases understand, but for a few words.

use std::sync::Arc;

/// The words in which they differ.
#[derive(Clone, Copy, Debug)]
pub(in crate::store) struct Words {
    /// Begins a transaction that writes.
    pub begin: &'static str,
    /// The time by the database's clock, in milliseconds since 1970.
    pub now_ms: &'static str,
    /// The number of the last event of session `s`; 0 if it has none.
    pub last_seq: &'static str,
    /// Holds the row `s` until the end of the transaction.
    pub hold: &'static str,
    /// What becomes of a large result that is there already: it must not vanish meanwhile.
    pub keep: &'static str,
}

/// The statements.
#[derive(Debug)]
pub(in crate::store) struct Statements {
    pub begin: Arc<str>,
    pub register: Arc<str>,
    pub beat: Arc<str>,
    pub idle_instances: Arc<str>,
    pub claim: Arc<str>,
    /// Whether session `$1`, which is open under epoch `$2`, would be nothing when it is closed.
    pub is_nothing: Arc<str>,
    /// The sessions of owner `$1` that would.
    pub own_nothings: Arc<str>,
    pub find: Arc<str>,
    pub list: Arc<str>,
    pub list_open: Arc<str>,
    pub old: Arc<str>,
    pub keep_result: Arc<str>,
    /// Why an append was refused.
    pub standing: Arc<str>,
}

/// The columns of an owner, of which there may be none.
const OWNER: &str = "o.id, o.host, o.host_key, o.pid, o.started";

/// The columns of a summary, but for its last event and its owner.
const SUMMARY: &str =
    "s.name, s.created_at_us, s.updated_at_us, s.title, s.turns, s.is_open, s.forked_from";

impl Statements {
    pub fn new(words: Words) -> Self {
        let Words { begin, now_ms, last_seq, hold, keep } = words;
        let owner = format!("{OWNER}, {now_ms} - o.beat_at_ms");
        let joined = "LEFT JOIN instances o ON o.id = s.owner";
        let part = |is_open: u8| {
            format!(
                "SELECT * FROM (SELECT * FROM sessions WHERE is_open = {is_open} \
                 AND (updated_at_us, name) < ($1, $2) \
                 AND substr(name, 1, length($4)) = $4 \
                 ORDER BY updated_at_us DESC, name DESC LIMIT $3) AS part_{is_open}"
            )
        };
        let list = |found: &str| {
            format!(
                "SELECT {SUMMARY}, {last_seq}, {owner} FROM ({found}) AS s {joined} \
                 ORDER BY s.updated_at_us DESC, s.name DESC LIMIT $3"
            )
        };
        Self {
            begin: begin.into(),
            register: format!(
                "INSERT INTO instances (host, host_key, pid, started, beat_at_ms) \
                 VALUES ($1, $2, $3, $4, {now_ms}) RETURNING id"
            )
            .into(),
            beat: format!(
                "INSERT INTO instances (id, host, host_key, pid, started, beat_at_ms) \
                 VALUES ($5, $1, $2, $3, $4, {now_ms}) \
                 ON CONFLICT (id) DO UPDATE SET beat_at_ms = excluded.beat_at_ms"
            )
            .into(),
            idle_instances: format!(
                "SELECT {owner} FROM instances o \
                 WHERE NOT EXISTS (SELECT 1 FROM sessions s WHERE s.owner = o.id)"
            )
            .into(),
            claim: format!(
                "SELECT s.id, s.epoch, {last_seq}, s.title, s.turns, s.is_open, s.created_at_us, \
                 {owner} \
                 FROM sessions s {joined} WHERE s.name = $1{hold}"
            )
            .into(),
            is_nothing: format!(
                "SELECT s.id FROM sessions s \
                 WHERE s.id = $1 AND s.epoch = $2 AND s.created_at_us IS NULL{hold}"
            )
            .into(),
            own_nothings: format!(
                "SELECT s.id FROM sessions s WHERE s.owner = $1 AND s.created_at_us IS NULL{hold}"
            )
            .into(),
            find: format!(
                "SELECT {SUMMARY}, {last_seq}, {owner} FROM sessions s {joined} \
                 WHERE s.name = $1 AND s.created_at_us IS NOT NULL"
            )
            .into(),
            list: list(&format!("{} UNION ALL {}", part(0), part(1))).into(),
            list_open: list(&part(1)).into(),
            old: format!(
                "SELECT s.id, s.name, {owner} FROM sessions s {joined} \
                 WHERE s.updated_at_us < $1 AND s.id > $2 ORDER BY s.id LIMIT $3{hold}"
            )
            .into(),
            keep_result: format!(
                "INSERT INTO results (id, content) VALUES ($1, $2) ON CONFLICT (id) DO {keep}"
            )
            .into(),
            standing: format!(
                "SELECT s.epoch, {last_seq}, s.owner FROM sessions s WHERE s.id = $1"
            )
            .into(),
        }
    }
}

pub(in crate::store) const CREATE: &str = "INSERT INTO sessions (name, epoch, owner, last_seq, title, turns, is_open) \
     VALUES ($1, $3, $2, 0, '', 0, 0) ON CONFLICT (name) DO NOTHING RETURNING id";

/// What has a time is a session, with records or without; what has none is only open.
pub(in crate::store) const MAKE: &str = "INSERT INTO sessions (name, epoch, last_seq, created_at_us, updated_at_us, title, turns, is_open) \
     VALUES ($1, $2, 0, $3, $3, '', 0, 0) ON CONFLICT (name) DO UPDATE \
     SET created_at_us = excluded.created_at_us, updated_at_us = excluded.updated_at_us \
     WHERE sessions.created_at_us IS NULL RETURNING id";

pub(in crate::store) const TAKE: &str = "UPDATE sessions SET epoch = epoch + 1, owner = $3 WHERE id = $1 AND epoch = $2 RETURNING epoch";

pub(in crate::store) const RELEASE: &str =
    "UPDATE sessions SET owner = NULL WHERE id = $1 AND epoch = $2 AND created_at_us IS NOT NULL";

pub(in crate::store) const RELEASE_ALL: &str = "UPDATE sessions SET owner = NULL WHERE owner = $1";

pub(in crate::store) const UNREGISTER: &str = "DELETE FROM instances WHERE id = $1";

/// Whether an append of which nobody knows how it ended was carried out, and not another one in its
/// place.
pub(in crate::store) const IS_KEPT: &str = "SELECT 1 FROM journal WHERE session = $1 AND first_seq = $2 AND last_seq = $3 AND epoch = $4 \
     AND records = $5";

pub(in crate::store) const READ: &str = "SELECT j.records FROM sessions s JOIN journal j ON j.session = s.id \
     WHERE s.name = $1 AND j.last_seq > $2 ORDER BY j.first_seq";

/// The first of them. Each has one record at least; only those that are answered with are read, and of the
/// others in question their lengths.
pub(in crate::store) const READ_SOME: &str = "WITH ahead AS (\
     SELECT j.session, j.first_seq, octet_length(j.records) AS bytes \
     FROM sessions s JOIN journal j ON j.session = s.id \
     WHERE s.name = $1 AND j.last_seq > $2 AND j.first_seq >= COALESCE((\
     SELECT MAX(k.first_seq) FROM journal k WHERE k.session = s.id AND k.first_seq <= $3), 0) \
     ORDER BY j.first_seq LIMIT $4), \
     counted AS (SELECT session, first_seq, SUM(bytes) OVER (ORDER BY first_seq) - bytes AS sooner \
     FROM ahead) \
     SELECT j.records FROM counted c \
     JOIN journal j ON j.session = c.session AND j.first_seq = c.first_seq \
     WHERE c.sooner < $5 ORDER BY j.first_seq";

pub(in crate::store) const SESSION: &str = "SELECT id FROM sessions WHERE name = $1";

pub(in crate::store) const REFER: &str =
    "INSERT INTO session_results (session, result) VALUES ($1, $2) ON CONFLICT DO NOTHING";

pub(in crate::store) const RESULT_PART: &str = "SELECT length(r.content), substr(r.content, CAST($3 AS INTEGER), CAST($4 AS INTEGER)) \
     FROM sessions s JOIN session_results k ON k.session = s.id \
     JOIN results r ON r.id = k.result WHERE s.name = $1 AND k.result = $2";

pub(in crate::store) const COPY_SESSION: &str = "INSERT INTO sessions (name, epoch, last_seq, title, turns, is_open, forked_from) \
     VALUES ($1, $3, 0, '', 0, 0, $2) RETURNING id";

pub(in crate::store) const COPY_JOURNAL: &str = "INSERT INTO journal (session, first_seq, last_seq, epoch, records) \
     SELECT $2, first_seq, last_seq, 0, records FROM journal \
     WHERE session = $1 AND last_seq <= $3";

pub(in crate::store) const CUT_BATCH: &str = "SELECT first_seq, records FROM journal \
     WHERE session = $1 AND first_seq <= $2 AND last_seq > $2";

pub(in crate::store) const COPY_BATCH: &str =
    "INSERT INTO journal (session, first_seq, last_seq, epoch, records) VALUES ($1, $2, $3, 0, $4)";

pub(in crate::store) const COPY_RESULTS: &str = "INSERT INTO session_results (session, result) \
     SELECT $2, result FROM session_results WHERE session = $1";

pub(in crate::store) const DESCRIBE_COPY: &str = "UPDATE sessions SET created_at_us = $2, updated_at_us = $3, last_seq = $4, title = $5, \
     turns = $6, is_open = $7 WHERE id = $1";

pub(in crate::store) const RESULTS_OF: &str =
    "SELECT result FROM session_results WHERE session = $1";

/// Everything of a session, the last of it first.
pub(in crate::store) const FORGET: [&str; 3] = [
    "DELETE FROM session_results WHERE session = $1",
    "DELETE FROM journal WHERE session = $1",
    "DELETE FROM sessions WHERE id = $1",
];

pub(in crate::store) const FORGET_RESULT: &str = "DELETE FROM results WHERE id = $1 \
     AND NOT EXISTS (SELECT 1 FROM session_results k WHERE k.result = results.id)";
