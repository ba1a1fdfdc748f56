//! A store by its URL.

use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use super::{Error, MemoryStore, Store};

/// What a commit is safe from. Either way it is there after a `kill -9` of this process.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum SyncMode {
    /// From a loss of power too, as far as the disk tells the truth. SQLite waits for the disk at
    /// each commit (`synchronous = FULL`); appends that wait at the same time share one. PostgreSQL
    /// does so by itself, also where its settings would not (`synchronous_commit = on`).
    #[default]
    Full,
    /// A loss of power may cost the last commits, and never more than that. SQLite does not wait for
    /// the disk (`synchronous = NORMAL`). PostgreSQL is left as its settings have it.
    Normal,
}

impl SyncMode {
    /// The word that stands for it in settings.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Full => "full",
            Self::Normal => "normal",
        }
    }
}

/// How a store is opened.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct StoreOptions {
    /// Where relative paths begin.
    pub directory: PathBuf,
    /// What a commit is safe from.
    pub sync: SyncMode,
    /// How long an owner on another host may give no sign of life until its sessions are free. One
    /// on this host is known to live or not. No event is lost if an owner was wrongly taken for
    /// dead: it is fenced.
    pub lease: Duration,
    /// How long a database that does not answer, or is locked, is tried again.
    pub retry: Duration,
}

impl Default for StoreOptions {
    fn default() -> Self {
        Self {
            directory: PathBuf::from("."),
            sync: SyncMode::default(),
            lease: Duration::from_secs(30),
            retry: Duration::from_secs(30),
        }
    }
}

/// Opens the store at `url`: `memory:`, `sqlite:PATH`, or `postgres://USER:PASSWORD@HOST/DATABASE`.
/// A database that is not there yet is made, and one of an earlier version is brought up to date.
///
/// It may be called on any thread, within any runtime or none.
///
/// # Errors
/// [`Error::BadUrl`], also for a store that is not built in; [`Error::Newer`] if a later version of
/// the program has made it; [`Error::Unavailable`] if it cannot be reached or written.
pub async fn open(url: &str, options: &StoreOptions) -> Result<Arc<dyn Store>, Error> {
    if url == "memory:" {
        return Ok(Arc::new(MemoryStore::keeping()));
    }
    match url.split_once(':') {
        Some(("sqlite", path)) => sqlite(path, options).await,
        Some(("postgres" | "postgresql", rest)) if rest.starts_with("//") => {
            postgres(url, options).await
        }
        // Not the rest, which may hold a password.
        Some((scheme, _)) if scheme.bytes().all(|byte| byte.is_ascii_alphanumeric()) => {
            Err(bad_url(format!("`{scheme}:` is none of memory:, sqlite:PATH and postgres://…")))
        }
        _ => Err(bad_url("it is none of memory:, sqlite:PATH and postgres://…".to_owned())),
    }
}

fn bad_url(reason: String) -> Error {
    Error::BadUrl { reason }
}

#[cfg(feature = "sqlite")]
async fn sqlite(path: &str, options: &StoreOptions) -> Result<Arc<dyn Store>, Error> {
    use super::sql::{Database, MAX_STEPS, SqlStore};
    use super::sqlite::{Appends, Sqlite};

    let path = path.strip_prefix("//").unwrap_or(path);
    if path.is_empty() || path == ":memory:" {
        let reason = "sqlite: needs the path of a file; memory: keeps nothing".to_owned();
        return Err(bad_url(reason));
    }
    let path = options.directory.join(path);
    let sqlite = Sqlite::new(path, options.sync, options.retry);
    let database = Database::Sqlite(sqlite, Appends::new(MAX_STEPS));
    Ok(SqlStore::open(database, options.lease, options.retry).await?)
}

#[cfg(not(feature = "sqlite"))]
#[expect(clippy::unused_async, reason = "as where it is built in")]
async fn sqlite(_: &str, _: &StoreOptions) -> Result<Arc<dyn Store>, Error> {
    Err(bad_url("SQLite is not built in: build with the feature `sqlite`".to_owned()))
}

#[cfg(feature = "postgres")]
async fn postgres(url: &str, options: &StoreOptions) -> Result<Arc<dyn Store>, Error> {
    use super::postgres::Postgres;
    use super::sql::{Database, SqlStore};

    let database = Database::Postgres(Box::new(Postgres::new(url, options.sync)?));
    Ok(SqlStore::open(database, options.lease, options.retry).await?)
}

#[cfg(not(feature = "postgres"))]
#[expect(clippy::unused_async, reason = "as where it is built in")]
async fn postgres(_: &str, _: &StoreOptions) -> Result<Arc<dyn Store>, Error> {
    Err(bad_url("PostgreSQL is not built in: build with the feature `postgres`".to_owned()))
}
