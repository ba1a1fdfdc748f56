//! The numbered steps from an empty database to the present schema.

use super::{Connection, Failure, Value};
use crate::store::Error;

/// How one kind of database is brought to the present schema.
#[derive(Clone, Copy, Debug)]
pub(in crate::store) struct Schema {
    /// Answers with a row if there is a table of versions.
    pub is_there: &'static str,
    /// Begins a transaction in which nobody else migrates.
    pub begin: &'static str,
    /// What comes before the first step.
    pub prepare: &'static str,
    /// The steps. Those of released versions are never changed.
    pub steps: &'static [&'static str],
}

const VERSION: &str = "SELECT max(version) FROM schema_version";

impl Schema {
    /// The version that this program works with.
    pub fn latest(&self) -> u32 {
        u32::try_from(self.steps.len()).unwrap_or(u32::MAX)
    }

    /// Brings the database to the present schema, in one transaction. Two processes that start at
    /// once wait for each other.
    ///
    /// # Errors
    /// [`Error::Newer`] if the schema is that of a later program: nothing is touched.
    pub async fn migrate(&self, connection: &mut Connection) -> Result<(), Failure> {
        let is_there = !connection.run(self.is_there, Vec::new()).await?.rows.is_empty();
        if is_there && self.checked(connection).await? == self.latest() {
            return Ok(());
        }
        connection.script(self.begin).await?;
        let done = match self.climb(connection).await {
            Ok(()) => connection.script("COMMIT").await,
            Err(failure) => Err(failure),
        };
        if done.is_err() {
            drop(connection.roll_back().await); // What came before says more.
        }
        done
    }

    async fn climb(&self, connection: &mut Connection) -> Result<(), Failure> {
        connection.script(self.prepare).await?;
        let found = self.checked(connection).await?;
        for (version, step) in (1_u32..).zip(self.steps) {
            if version > found {
                connection.script(step).await?;
                let version = vec![Value::int(version.into())];
                let insert = "INSERT INTO schema_version (version) VALUES ($1)";
                connection.run(insert, version).await?;
            }
        }
        Ok(())
    }

    /// The version of the schema, which is none of a later program.
    async fn checked(&self, connection: &mut Connection) -> Result<u32, Failure> {
        let row = connection.run(VERSION, Vec::new()).await?.into_row();
        let found = row.map(|mut row| row.int()).transpose()?.unwrap_or_default();
        let found = u32::try_from(found).unwrap_or(u32::MAX);
        match found > self.latest() {
            true => {
                let what = "the schema of the store".to_owned();
                Err(Error::Newer { what, found, known: self.latest() }.into())
            }
            false => Ok(found),
        }
    }
}
