//! SQLite: one file, and who may read it.

mod appends;
mod file;
mod schema;
#[cfg(test)]
mod tests;

use std::path::PathBuf;
use std::time::Duration;

use sqlx::sqlite::{SqliteConnectOptions, SqliteJournalMode, SqliteSynchronous};
use sqlx::{ConnectOptions, SqliteConnection};

pub(in crate::store) use appends::Appends;
use file::File;
pub(in crate::store) use schema::SCHEMA;

use super::SyncMode;
use super::sql::{Backoff, Connection, Failure, Kind, Words};

/// How SQLite says it.
pub(in crate::store) const WORDS: Words = Words {
    begin: "BEGIN IMMEDIATE",
    now_ms: "CAST(unixepoch('subsec') * 1000 AS INTEGER)",
    last_seq: "coalesce((SELECT j.last_seq FROM journal j WHERE j.session = s.id \
               ORDER BY j.first_seq DESC LIMIT 1), 0)",
    hold: "", // Whoever writes is alone.
    keep: "NOTHING",
};

/// How many pages the write-ahead log may have before it is written back: 16 MB. A page that changes
/// often is written back once in that time; more would take longer to write back than anyone should
/// wait.
const WAL_PAGES: &str = "4000";

/// How much of the database is kept in memory for one connection, in KiB: the ends of the journals of
/// a few thousand sessions.
const CACHE_KIB: &str = "-16384";

/// A database in a file.
#[derive(Debug)]
pub(in crate::store) struct Sqlite {
    path: PathBuf,
    sync: SyncMode,
    busy: Duration,
    file: Option<File>,
    /// As full as the disk gets.
    #[cfg(test)]
    max_pages: Option<u32>,
}

impl Sqlite {
    pub fn new(path: PathBuf, sync: SyncMode, busy: Duration) -> Self {
        Self {
            path,
            sync,
            busy,
            file: None,
            #[cfg(test)]
            max_pages: None,
        }
    }

    /// Opens the database, makes it where there is none, and brings it to the present schema.
    pub async fn first(&mut self) -> Result<Connection, Failure> {
        let mut backoff = Backoff::new(self.busy);
        loop {
            match self.try_first().await {
                // Nobody can wait for the change to a write-ahead log, which is made once.
                Err(failure) if failure.kind == Kind::Crossed && backoff.wait().await => {}
                opened => return opened,
            }
        }
    }

    async fn try_first(&mut self) -> Result<Connection, Failure> {
        file::create(&self.path).map_err(|reason| self.failure(&reason))?;
        let mut connection = self.connect(None).await?;
        SCHEMA.migrate(&mut connection).await?;
        // Only now: a database of a later program is not touched.
        connection.close().await;
        let mut connection = self.connect(Some(SqliteJournalMode::Wal)).await?;
        SCHEMA.migrate(&mut connection).await?; // It reads, and with that the write-ahead log is there.
        self.file = Some(File::of(&self.path).map_err(|reason| self.failure(&reason))?);
        Ok(connection)
    }

    /// Opens the database once more, for one who reads or after a failure.
    pub async fn again(&self) -> Result<Connection, Failure> {
        self.check()?;
        let connection = self.connect(Some(SqliteJournalMode::Wal)).await?;
        self.check()?;
        Ok(connection)
    }

    async fn connect(&self, mode: Option<SqliteJournalMode>) -> Result<Connection, Failure> {
        let synchronous = match self.sync {
            SyncMode::Full => SqliteSynchronous::Full,
            SyncMode::Normal => SqliteSynchronous::Normal,
        };
        let mut options = SqliteConnectOptions::new()
            .filename(&self.path)
            .synchronous(synchronous)
            .busy_timeout(self.busy)
            .pragma("wal_autocheckpoint", WAL_PAGES)
            .pragma("cache_size", CACHE_KIB)
            .pragma("temp_store", "MEMORY")
            .command_buffer_size(8)
            .row_buffer_size(1024)
            .thread_name(|number| format!("callsheet-sqlite-{number}"))
            .disable_statement_logging();
        #[cfg(test)]
        if let Some(pages) = self.max_pages {
            options = options.pragma("max_page_count", pages.to_string());
        }
        if let Some(mode) = mode {
            options = options.journal_mode(mode);
        }
        let connection: SqliteConnection = options.connect().await.map_err(|error| {
            let Failure { error, kind } = Failure::from(error);
            Failure { kind, ..self.failure(&error.to_string()) }
        })?;
        Ok(Connection::Sqlite(connection))
    }

    /// Sees whether what was written is in the file of that name.
    ///
    /// # Errors
    /// If the file was deleted or replaced: what is written then is nowhere to be found again.
    pub fn check(&self) -> Result<(), Failure> {
        match self.file.as_ref().map_or(Ok(()), |file| file.check(&self.path)) {
            Ok(()) => Ok(()),
            Err(reason) => Err(self.failure(&reason)),
        }
    }

    pub fn describe(&self) -> String {
        let sync = self.sync.as_str();
        let (path, version) = (self.path.display(), SCHEMA.latest());
        format!("SQLite, {path}, sync {sync}, schema version {version}")
    }

    fn failure(&self, reason: &str) -> Failure {
        let reason = reason.strip_prefix("the store failed: ").unwrap_or(reason);
        Failure::unavailable(format!("{}: {reason}", self.path.display()))
    }
}
