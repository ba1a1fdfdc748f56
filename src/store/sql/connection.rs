//! One connection to whichever database it is: values in, rows out.

use std::sync::Arc;

use futures_util::TryStreamExt;
use sqlx::{AssertSqlSafe, Connection as _, Executor, Row as _, TypeInfo, ValueRef};

use super::Failure;

/// A connection, and with it what is prepared on it.
#[derive(Debug)]
pub(in crate::store) enum Connection {
    #[cfg(feature = "sqlite")]
    Sqlite(sqlx::SqliteConnection),
    #[cfg(feature = "postgres")]
    Postgres(Box<sqlx::PgConnection>),
}

/// What a statement is given.
#[derive(Clone, Debug)]
pub(in crate::store) enum Value {
    Int(Option<i64>),
    Text(Option<Arc<str>>),
    Bytes(Arc<[u8]>),
    #[cfg(feature = "postgres")]
    Ints(Vec<i64>),
    #[cfg(feature = "postgres")]
    Texts(Vec<Option<Arc<str>>>),
}

impl Value {
    /// A number; one that no database holds is as good as the largest that it does.
    pub fn int(number: u64) -> Self {
        Self::Int(Some(i64::try_from(number).unwrap_or(i64::MAX)))
    }

    pub fn text(text: impl Into<Arc<str>>) -> Self {
        Self::Text(Some(text.into()))
    }
}

/// What is in one place of a row.
#[derive(Clone, Debug, PartialEq)]
enum Cell {
    Null,
    Int(i64),
    Text(String),
    Bytes(Vec<u8>),
}

/// One row of an answer. Its columns are taken from the left.
#[derive(Debug)]
pub(in crate::store) struct Row(std::vec::IntoIter<Cell>);

impl Row {
    /// The next number; an absent one is 0.
    pub fn int(&mut self) -> Result<u64, Failure> {
        self.optional_int().map(Option::unwrap_or_default)
    }

    pub fn optional_int(&mut self) -> Result<Option<u64>, Failure> {
        match self.0.next() {
            Some(Cell::Int(number)) => Ok(Some(u64::try_from(number).unwrap_or_default())),
            Some(Cell::Null) => Ok(None),
            other => Err(misfit("a number", other.as_ref())),
        }
    }

    /// The next text; an absent one is empty.
    pub fn text(&mut self) -> Result<String, Failure> {
        self.optional_text().map(Option::unwrap_or_default)
    }

    pub fn optional_text(&mut self) -> Result<Option<String>, Failure> {
        match self.0.next() {
            Some(Cell::Text(text)) => Ok(Some(text)),
            Some(Cell::Null) => Ok(None),
            other => Err(misfit("a text", other.as_ref())),
        }
    }

    /// The next bytes; absent ones are none: a part of nothing is absent in SQLite.
    pub fn bytes(&mut self) -> Result<Vec<u8>, Failure> {
        match self.0.next() {
            Some(Cell::Null) => Ok(Vec::new()),
            Some(Cell::Bytes(bytes)) => Ok(bytes),
            other => Err(misfit("bytes", other.as_ref())),
        }
    }
}

fn misfit(expected: &str, found: Option<&Cell>) -> Failure {
    let found = match found {
        None => "nothing",
        Some(Cell::Null) => "null",
        Some(Cell::Int(_)) => "a number",
        Some(Cell::Text(_)) => "a text",
        Some(Cell::Bytes(_)) => "bytes",
    };
    Failure::damaged(format!("a column holds {found} where {expected} was expected"))
}

/// The answer to a statement.
#[derive(Debug, Default)]
pub(in crate::store) struct Answer {
    pub rows: Vec<Row>,
    /// How many rows the last one of its statements that writes wrote or removed.
    pub changed: u64,
}

impl Answer {
    pub fn into_row(self) -> Option<Row> {
        self.rows.into_iter().next()
    }
}

impl Connection {
    /// Runs `statement`, which stays prepared. The whole of its answer is read, so that nothing is
    /// left half done.
    pub async fn run(
        &mut self,
        statement: impl Into<Arc<str>>,
        values: Vec<Value>,
    ) -> Result<Answer, Failure> {
        let statement = AssertSqlSafe(statement.into()); // Of our own making: values go apart.
        let mut answer = Answer::default();
        match self {
            #[cfg(feature = "sqlite")]
            Self::Sqlite(connection) => {
                let query = sqlx::query_with(statement, of_sqlite(values)?);
                let mut found = connection.fetch_many(query);
                while let Some(part) = found.try_next().await? {
                    match part {
                        // Of one that does not write, it is that of the one before.
                        sqlx::Either::Left(done) => answer.changed = done.rows_affected(),
                        sqlx::Either::Right(row) => answer.rows.push(sqlite_row(&row)?),
                    }
                }
            }
            #[cfg(feature = "postgres")]
            Self::Postgres(connection) => {
                let query = sqlx::query_with(statement, of_postgres(values)?);
                let mut found = connection.fetch_many(query);
                while let Some(part) = found.try_next().await? {
                    match part {
                        sqlx::Either::Left(done) => answer.changed = done.rows_affected(),
                        sqlx::Either::Right(row) => answer.rows.push(postgres_row(&row)?),
                    }
                }
            }
        }
        Ok(answer)
    }

    /// Runs `statements` without preparing them.
    pub async fn script(&mut self, statements: &'static str) -> Result<(), Failure> {
        match self {
            #[cfg(feature = "sqlite")]
            Self::Sqlite(connection) => {
                connection.execute(sqlx::raw_sql(statements)).await?;
            }
            #[cfg(feature = "postgres")]
            Self::Postgres(connection) => {
                connection.execute(sqlx::raw_sql(statements)).await?;
            }
        }
        Ok(())
    }

    /// Gives up the transaction that is under way, if there is one.
    pub async fn roll_back(&mut self) -> Result<(), Failure> {
        match self.run("ROLLBACK", Vec::new()).await {
            // What SQLite says where PostgreSQL only warns: the failure ended it already.
            Err(failure) if failure.error.to_string().contains("no transaction is active") => {
                Ok(())
            }
            done => done.map(drop),
        }
    }

    pub async fn close(self) {
        let closed = match self {
            #[cfg(feature = "sqlite")]
            Self::Sqlite(connection) => connection.close().await,
            #[cfg(feature = "postgres")]
            Self::Postgres(connection) => connection.close().await,
        };
        if let Err(error) = closed {
            tracing::debug!(error = &error as &dyn std::error::Error, "connection not closed");
        }
    }
}

#[cfg(feature = "sqlite")]
fn of_sqlite(values: Vec<Value>) -> Result<sqlx::sqlite::SqliteArguments, Failure> {
    use sqlx::Arguments;
    let mut arguments = sqlx::sqlite::SqliteArguments::default();
    arguments.reserve(values.len(), 0);
    for value in values {
        match value {
            Value::Int(number) => arguments.add(number),
            Value::Text(text) => arguments.add(text),
            Value::Bytes(bytes) => arguments.add(bytes),
            #[cfg(feature = "postgres")]
            Value::Ints(_) | Value::Texts(_) => Err("no lists in SQLite".into()),
        }
        .map_err(sqlx::Error::Encode)?;
    }
    Ok(arguments)
}

#[cfg(feature = "sqlite")]
fn sqlite_row(row: &sqlx::sqlite::SqliteRow) -> Result<Row, sqlx::Error> {
    let cell = |index| {
        let value = row.try_get_raw(index)?;
        Ok(match value.type_info().name() {
            _ if value.is_null() => Cell::Null,
            "TEXT" => Cell::Text(row.try_get(index)?),
            "BLOB" => Cell::Bytes(row.try_get(index)?),
            _ => Cell::Int(row.try_get(index)?),
        })
    };
    let cells: Result<Vec<Cell>, sqlx::Error> = (0..row.len()).map(cell).collect();
    Ok(Row(cells?.into_iter()))
}

#[cfg(feature = "postgres")]
fn of_postgres(values: Vec<Value>) -> Result<sqlx::postgres::PgArguments, Failure> {
    use sqlx::Arguments;
    let mut arguments = sqlx::postgres::PgArguments::default();
    arguments.reserve(values.len(), 0);
    for value in values {
        match value {
            Value::Int(number) => arguments.add(number),
            Value::Text(text) => arguments.add(text),
            Value::Bytes(bytes) => arguments.add(&*bytes),
            Value::Ints(numbers) => arguments.add(numbers),
            Value::Texts(texts) => {
                let texts: Vec<Option<&str>> = texts.iter().map(Option::as_deref).collect();
                arguments.add(texts)
            }
        }
        .map_err(sqlx::Error::Encode)?;
    }
    Ok(arguments)
}

#[cfg(feature = "postgres")]
fn postgres_row(row: &sqlx::postgres::PgRow) -> Result<Row, sqlx::Error> {
    let cell = |index| {
        let value = row.try_get_raw(index)?;
        Ok(match value.type_info().name() {
            _ if value.is_null() => Cell::Null,
            "TEXT" => Cell::Text(row.try_get(index)?),
            "BYTEA" => Cell::Bytes(row.try_get(index)?),
            "INT4" => Cell::Int(row.try_get::<i32, _>(index)?.into()),
            _ => Cell::Int(row.try_get(index)?),
        })
    };
    let cells: Result<Vec<Cell>, sqlx::Error> = (0..row.len()).map(cell).collect();
    Ok(Row(cells?.into_iter()))
}
