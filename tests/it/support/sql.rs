//! Databases of a test's own.

use std::path::PathBuf;
use std::process::{Command, Stdio};
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};

use callsheet::store::{self, Store, StoreOptions};

/// An empty database, removed at the end.
pub struct Database {
    kind: &'static str,
    url: String,
    directory: Option<PathBuf>,
    /// What removes it from its server.
    server: Option<(String, String)>,
}

impl Database {
    /// A file in a directory of its own.
    pub fn sqlite() -> Self {
        static DATABASES: AtomicU32 = AtomicU32::new(0);
        let number = DATABASES.fetch_add(1, Ordering::Relaxed);
        let name = format!("callsheet-database-{}-{number}", std::process::id());
        let directory = std::env::temp_dir().join(name);
        std::fs::create_dir_all(&directory).expect("a directory for temporary files");
        let url = format!("sqlite:{}", directory.join("sessions.db").display());
        Self { kind: "SQLite", url, directory: Some(directory), server: None }
    }

    /// A database on the server that `CALLSHEET_POSTGRES` has the URL of; `None` if it has none.
    #[cfg(feature = "postgres")]
    pub fn postgres() -> Option<Self> {
        let server = std::env::var("CALLSHEET_POSTGRES").ok()?;
        let name = format!("killing_{}", callsheet::SessionId::random().as_str().replace('-', "_"));
        psql(&server, &format!("CREATE DATABASE {name} TEMPLATE template0"));
        let mut url = reqwest::Url::parse(&server).expect("CALLSHEET_POSTGRES is a URL");
        url.set_path(&name);
        let server = Some((server, name));
        Some(Self { kind: "PostgreSQL", url: url.into(), directory: None, server })
    }

    pub fn kind(&self) -> &'static str {
        self.kind
    }

    pub fn url(&self) -> &str {
        &self.url
    }

    pub fn open(&self) -> Arc<dyn Store> {
        now(store::open(&self.url, &StoreOptions::default())).expect("it can be opened")
    }
}

impl Drop for Database {
    fn drop(&mut self) {
        if let Some(directory) = &self.directory {
            drop(std::fs::remove_dir_all(directory));
        }
        if let Some((server, name)) = &self.server {
            psql(server, &format!("DROP DATABASE {name} WITH (FORCE)"));
        }
    }
}

fn psql(server: &str, statement: &str) {
    let mut psql = Command::new("psql");
    psql.args(["--no-psqlrc", "--quiet", "--set=ON_ERROR_STOP=1", "--command", statement, server]);
    let done = psql.stdout(Stdio::null()).status();
    assert!(done.expect("psql is there where the server is").success(), "{statement}");
}

/// Waits for an answer on this thread.
pub fn now<T>(answer: impl Future<Output = T>) -> T {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
    runtime.expect("a thread can wait").block_on(answer)
}
