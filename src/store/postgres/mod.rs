//! PostgreSQL: a schema `callsheet` in a database of others.

mod appends;
mod schema;

use std::str::FromStr;
use std::time::Duration;

use sqlx::postgres::PgConnectOptions;
use sqlx::{ConnectOptions, PgConnection};
use tokio::time::timeout;

pub(in crate::store) use appends::appends;
pub(in crate::store) use schema::SCHEMA;

use super::sql::{Connection, Failure, Words};
use super::{Error, SyncMode};

/// How PostgreSQL says it.
pub(in crate::store) const WORDS: Words = Words {
    begin: "BEGIN",
    now_ms: "CAST(extract(epoch FROM clock_timestamp()) * 1000 AS BIGINT)",
    hold: " FOR UPDATE OF s",
    keep: "UPDATE SET id = excluded.id", // Nobody removes it before this transaction has ended.
};

/// How long a server may take to let somebody in.
const CONNECT_TIME_LIMIT: Duration = Duration::from_secs(10);

/// What each connection begins with.
const SETTINGS: &str = "SET search_path TO callsheet";

/// Only where commits would not be safe: `remote_apply` promises more than `on`.
const FULL: &str = "SELECT set_config('synchronous_commit', 'on', false) \
                    WHERE current_setting('synchronous_commit') IN ('off', 'local')";

/// A database on a server.
pub(in crate::store) struct Postgres {
    options: PgConnectOptions,
    sync: SyncMode,
    /// Whom and where, without the password.
    place: String,
    secrets: Secrets,
    server: Option<String>,
}

/// What must not be shown, should the server or the library repeat it.
struct Secrets(Vec<String>);

/// Not the options, which hold the password.
impl std::fmt::Debug for Postgres {
    fn fmt(&self, out: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        out.write_str(&self.describe())
    }
}

impl Secrets {
    /// The passwords in `url`, as they are written and as they are meant.
    fn of(url: &str) -> Self {
        let Ok(mut url) = reqwest::Url::parse(url) else { return Self(Vec::new()) };
        let written = url.password().map(str::to_owned);
        if let Some(written) = &written {
            let query = url.query().unwrap_or_default();
            let query = format!("password={}&{query}", written.replace('+', "%2B"));
            url.set_query(Some(&query)); // Read as it is meant together with the others.
        }
        let pairs = url.query_pairs().filter(|(name, _)| name == "password");
        let set = pairs.map(|(_, value)| value.into_owned());
        let all = written.into_iter().chain(set);
        Self(all.filter(|secret| !secret.is_empty()).collect())
    }

    fn mask(&self, text: &str) -> String {
        self.0.iter().fold(text.to_owned(), |text, secret| text.replace(secret, "[secret]"))
    }
}

impl Postgres {
    /// A database that is at `url`.
    ///
    /// # Errors
    /// [`Error::BadUrl`].
    pub fn new(url: &str, sync: SyncMode) -> Result<Self, Error> {
        let secrets = Secrets::of(url);
        let options = PgConnectOptions::from_str(url)
            .map_err(|error| Error::BadUrl { reason: secrets.mask(&error.to_string()) })?
            .application_name("callsheet")
            .disable_statement_logging();
        let place = match options.get_socket() {
            Some(socket) => socket.display().to_string(),
            None => format!("{}:{}", options.get_host(), options.get_port()),
        };
        let database = options.get_database().unwrap_or_else(|| options.get_username());
        let place = format!("{place}/{database}");
        Ok(Self { options, sync, place, secrets, server: None })
    }

    /// Connects, and brings the database to the present schema.
    pub async fn first(&mut self) -> Result<Connection, Failure> {
        let mut connection = self.connect().await?;
        let migrated = SCHEMA.migrate(&mut connection).await;
        migrated.map_err(|failure| self.failure(failure))?;
        let version = connection.run("SELECT current_setting('server_version')", Vec::new());
        let version = version.await?.into_row().map(|mut row| row.text()).transpose()?;
        self.server = version;
        Ok(connection)
    }

    pub async fn connect(&self) -> Result<Connection, Failure> {
        let connected = async {
            let connection: PgConnection = self.options.connect().await?;
            let mut connection = Connection::Postgres(Box::new(connection));
            connection.script(SETTINGS).await?;
            if self.sync == SyncMode::Full {
                connection.run(FULL, Vec::new()).await?;
            }
            Ok(connection)
        };
        let connected = timeout(CONNECT_TIME_LIMIT, connected).await;
        let connected = connected.unwrap_or_else(|_| Err(Failure::lost("no answer in time")));
        connected.map_err(|failure| self.failure(failure))
    }

    pub fn describe(&self) -> String {
        let (server, version) = (self.server.as_deref().unwrap_or_default(), SCHEMA.latest());
        let sync = self.sync.as_str();
        format!("PostgreSQL {server}, {}, sync {sync}, schema version {version}", self.place)
    }

    fn failure(&self, failure: Failure) -> Failure {
        let Failure { error, kind } = failure;
        match error {
            Error::Unavailable { reason } => {
                let reason = format!("{}: {}", self.place, self.secrets.mask(&reason));
                Failure { error: Error::Unavailable { reason }, kind }
            }
            error => Failure { error, kind },
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_password_is_never_shown() {
        let url = "postgres://ann:s%40cret-1@db.example:5433/x?password=s-2";
        let postgres = Postgres::new(url, SyncMode::Full).unwrap();
        let failure = Failure::lost("no s@cret-1, s%40cret-1 or s-2 here");
        let shown =
            format!("{postgres:?} {} {}", postgres.describe(), postgres.failure(failure).error);
        for secret in ["s@cret-1", "s%40cret-1", "s-2"] {
            assert!(!shown.contains(secret), "{shown}");
        }
        assert!(postgres.describe().contains("db.example:5433/x"));
        let error = Postgres::new("postgres://ann:s3cret@db:port/x", SyncMode::Full).unwrap_err();
        assert!(!error.to_string().contains("s3cret"), "{error}");
    }
}
