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
    last_seq: "s.last_seq",
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

/// The parameters that sqlx knows. Of others it would log the value.
const PARAMETERS: [&str; 18] = [
    "sslmode",
    "ssl-mode",
    "sslrootcert",
    "ssl-root-cert",
    "ssl-ca",
    "sslcert",
    "ssl-cert",
    "sslkey",
    "ssl-key",
    "statement-cache-capacity",
    "host",
    "hostaddr",
    "port",
    "dbname",
    "user",
    "password",
    "application_name",
    "options",
];

/// `url` without the parameters that nobody heeds.
///
/// # Errors
/// If a password was written such that a part of it is read as something else, which would be shown.
fn heeded(url: &str) -> Result<String, Error> {
    let Ok(mut parsed) = reqwest::Url::parse(url) else { return Ok(url.to_owned()) };
    let pairs = parsed.query_pairs();
    let is_torn = parsed.fragment().is_some()
        || parsed.path().contains('@')
        || pairs.into_iter().any(|(name, _)| name.contains('@'));
    if is_torn {
        let reason = "in a user's name or a password, /, ?, # and @ are written %2F, %3F, %23, %40";
        return Err(Error::BadUrl { reason: reason.to_owned() });
    }
    let is_known = |name: &str| PARAMETERS.contains(&name) || name.starts_with("options[");
    let pairs: Vec<(String, String)> = parsed.query_pairs().into_owned().collect();
    let (known, unknown): (Vec<_>, Vec<_>) =
        pairs.into_iter().partition(|(name, _)| is_known(name));
    for (name, _) in &unknown {
        tracing::warn!(parameter = %name, "ignored in the url of the store");
    }
    if !unknown.is_empty() {
        parsed.set_query(None);
        parsed.query_pairs_mut().extend_pairs(known);
    }
    Ok(parsed.into())
}

impl Postgres {
    /// A database that is at `url`.
    ///
    /// # Errors
    /// [`Error::BadUrl`].
    pub fn new(url: &str, sync: SyncMode) -> Result<Self, Error> {
        let url = &*heeded(url)?;
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

    #[test]
    fn a_password_that_is_torn_by_a_mark_is_refused_and_not_shown() {
        for url in ["postgres://u:1/s3t@h/d", "postgres://u:1#s3t@h/d", "postgres://u:1?s3t@h/d"] {
            let error = Postgres::new(url, SyncMode::Full).unwrap_err().to_string();
            assert!(error.contains("%2F") && !error.contains("s3t"), "{error}");
        }
    }

    #[test]
    fn a_parameter_that_nobody_heeds_is_left_out_before_its_value_can_be_logged() {
        let same = |url: &str| assert_eq!(heeded(url).unwrap(), url);
        same("postgres://u:s%2F3@h:5433/d?sslmode=require&options[a]=b%20c&password=x%40y");
        same("postgres:///d?host=/run/postgresql");
        let url = "postgres://u@h/d?passwd=s3t&sslmode=require&channel_binding=require";
        assert_eq!(heeded(url).unwrap(), "postgres://u@h/d?sslmode=require");
    }
}
