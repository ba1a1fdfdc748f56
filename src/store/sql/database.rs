//! The kinds of databases, and in what they differ.

use std::sync::Arc;

use super::{Connection, Entry, Failure, Value, Words};
#[cfg(feature = "postgres")]
use crate::store::postgres::{self, Postgres};
#[cfg(feature = "sqlite")]
use crate::store::sqlite::{self, Sqlite};

/// A database that can be connected to.
#[derive(Debug)]
pub(in crate::store) enum Database {
    #[cfg(feature = "sqlite")]
    Sqlite(Sqlite, sqlite::Appends),
    #[cfg(feature = "postgres")]
    Postgres(Box<Postgres>),
}

impl Database {
    /// Connects for the first time, and brings the database to the present schema.
    pub async fn first(&mut self) -> Result<Connection, Failure> {
        match self {
            #[cfg(feature = "sqlite")]
            Self::Sqlite(sqlite, _) => sqlite.first().await,
            #[cfg(feature = "postgres")]
            Self::Postgres(postgres) => postgres.first().await,
        }
    }

    /// Connects once more.
    pub async fn again(&self) -> Result<Connection, Failure> {
        match self {
            #[cfg(feature = "sqlite")]
            Self::Sqlite(sqlite, _) => sqlite.again().await,
            #[cfg(feature = "postgres")]
            Self::Postgres(postgres) => postgres.connect().await,
        }
    }

    pub fn words(&self) -> Words {
        match self {
            #[cfg(feature = "sqlite")]
            Self::Sqlite(..) => sqlite::WORDS,
            #[cfg(feature = "postgres")]
            Self::Postgres(_) => postgres::WORDS,
        }
    }

    /// The statement that writes `entries` in one go, and its values; its answer says how many it has
    /// written. `is_alone`: nobody has begun a transaction.
    #[cfg_attr(not(feature = "sqlite"), expect(unused_variables, reason = "SQLite's alone"))]
    pub fn appends(&self, entries: &[&Entry], is_alone: bool) -> (Arc<str>, Vec<Value>) {
        match self {
            #[cfg(feature = "sqlite")]
            Self::Sqlite(_, appends) => appends.of(entries, is_alone),
            #[cfg(feature = "postgres")]
            Self::Postgres(_) => postgres::appends(entries),
        }
    }

    /// Sees whether what was committed can be found again.
    pub fn check(&self) -> Result<(), Failure> {
        match self {
            #[cfg(feature = "sqlite")]
            Self::Sqlite(sqlite, _) => sqlite.check(),
            #[cfg(feature = "postgres")]
            Self::Postgres(_) => Ok(()),
        }
    }

    /// What it is and where, without a secret.
    pub fn describe(&self) -> String {
        match self {
            #[cfg(feature = "sqlite")]
            Self::Sqlite(sqlite, _) => sqlite.describe(),
            #[cfg(feature = "postgres")]
            Self::Postgres(postgres) => postgres.describe(),
        }
    }
}
