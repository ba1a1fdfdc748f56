//! The store on a server, if there is one: `CALLSHEET_POSTGRES` has its URL.

use std::io::Write;
use std::process::{Command, Stdio};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::Duration;

use callsheet::SessionId;
use callsheet::store::{Access, Error, Listing, Store, StoreOptions, open};
use callsheet::testing::store::{Place, check, wait};
use reqwest::Url;

use super::{Directory, one, refused};

/// A database of its own, gone afterwards.
struct Database {
    server: Url,
    name: String,
}

/// The server; says that the test is skipped if there is none.
fn server() -> Option<Url> {
    let url = std::env::var("CALLSHEET_POSTGRES").ok();
    if url.is_none() {
        skip("CALLSHEET_POSTGRES is not set");
    }
    Some(Url::parse(&url?).expect("CALLSHEET_POSTGRES is a URL"))
}

/// Past what holds the output of tests back.
fn skip(why: &str) {
    writeln!(std::io::stderr(), "skipped: PostgreSQL, {why}").expect("stderr is there");
}

fn psql(server: &Url, statement: &str) {
    let done = Command::new("psql")
        .args(["--no-psqlrc", "--quiet", "--set=ON_ERROR_STOP=1", "--command", statement])
        .arg(server.as_str())
        .stdout(Stdio::null())
        .status();
    assert!(done.expect("psql is there where the server is").success(), "{statement}");
}

impl Database {
    fn new(server: &Url) -> Self {
        let name = format!("callsheet_{}", SessionId::random().as_str().replace('-', "_"));
        psql(server, &format!("CREATE DATABASE {name} TEMPLATE template0"));
        Self { server: server.clone(), name }
    }

    fn url(&self) -> String {
        let mut url = self.server.clone();
        url.set_path(&self.name);
        url.into()
    }
}

impl Drop for Database {
    fn drop(&mut self) {
        if !thread::panicking() {
            psql(&self.server, &format!("DROP DATABASE {} WITH (FORCE)", self.name));
        }
    }
}

impl Place for Database {
    fn store(&self) -> Arc<dyn Store> {
        wait(open(&self.url(), &StoreOptions::default())).expect("it opens")
    }
}

#[test]
fn the_postgres_store_does_what_a_store_must() {
    let Some(server) = server() else { return };
    check(|| Box::new(Database::new(&server)));
}

#[test]
fn a_password_is_shown_by_no_error_and_no_check() {
    let Some(server) = server() else { return };
    let password = server.password().expect("the server asks for one").to_owned();
    let database = Database::new(&server);
    let said = wait(database.store().check()).unwrap();
    assert!(said.starts_with("PostgreSQL ") && said.contains(&database.name), "{said}");
    assert!(!said.contains(&password), "{said}");
    let mut wrong = Url::parse(&database.url()).unwrap();
    wrong.set_password(Some("wr0ng")).unwrap();
    let error = refused(wrong.as_str(), &StoreOptions::default());
    assert!(!format!("{error} {error:?}").contains("wr0ng"), "{error:?}");
    assert!(error.to_string().contains("password authentication failed"), "{error}");
}

#[test]
fn a_newer_schema_is_refused_and_left_as_it_is() {
    let Some(server) = server() else { return };
    let database = Database::new(&server);
    drop(database.store());
    let own = Url::parse(&database.url()).unwrap();
    psql(&own, "INSERT INTO callsheet.schema_version VALUES (99)");
    let error = refused(own.as_str(), &StoreOptions::default());
    assert!(matches!(error, Error::Newer { found: 99, .. }), "{error:?}");
}

#[test]
fn a_server_that_is_away_is_said_in_one_line() {
    if server().is_none() {
        return;
    }
    let error = refused("postgres://ann:s3cret@127.0.0.1:1/x", &StoreOptions::default());
    let text = error.to_string();
    assert!(matches!(error, Error::Unavailable { .. }), "{error:?}");
    assert!(text.contains("127.0.0.1:1/x") && !text.contains("s3cret"), "{text}");
}

/// Runs `.ci/postgres` for a server in `directory`.
fn control(command: &str, directory: &Directory) -> Option<String> {
    let script = concat!(env!("CARGO_MANIFEST_DIR"), "/.ci/postgres");
    let done = Command::new(script)
        .args([command, directory.0.to_str().expect("a plain name")])
        .stderr(Stdio::null())
        .output()
        .expect("the script is there");
    done.status.success().then(|| String::from_utf8_lossy(&done.stdout).trim().to_owned())
}

/// Ends the appending, however the test ends.
struct Ends<'a>(&'a AtomicBool);

impl Drop for Ends<'_> {
    fn drop(&mut self) {
        self.0.store(true, Ordering::Relaxed);
    }
}

/// Sessions append without a rest while the server is stopped and started, gently and not.
#[test]
fn appends_survive_a_server_that_is_stopped_and_started() {
    if server().is_none() {
        return;
    }
    let directory = Directory::new();
    let Some(url) = control("start", &directory) else { return skip("no second server") };
    let store = wait(open(&url, &StoreOptions::default())).unwrap();
    let is_over = AtomicBool::new(false);
    let append = |number: u64| {
        let session = SessionId::new(format!("s{number}"));
        let epoch = wait(store.open(&session, Access::IfFree)).unwrap();
        let mut seq = 0;
        while !is_over.load(Ordering::Relaxed) {
            seq += 1;
            wait(store.append(&session, seq - 1, epoch, one(&session, seq))).unwrap();
        }
        (session, seq)
    };
    let append = &append;
    thread::scope(|scope| {
        let ends = Ends(&is_over);
        let writers: Vec<_> = (0..8).map(|number| scope.spawn(move || append(number))).collect();
        for command in ["stop", "restart", "kill", "restart", "stop", "restart"] {
            // Some appends in between: so many more than there were.
            let last = || {
                let page = wait(store.list(&Listing { limit: 9, ..Listing::default() })).unwrap();
                page.sessions.iter().map(|summary| summary.last_seq).sum::<u64>()
            };
            if command != "restart" {
                let before = last();
                while last() < before + 100 {
                    thread::yield_now();
                }
            }
            control(command, &directory).unwrap();
        }
        let after = wait(store.find(&SessionId::new("s0"))).unwrap().unwrap().last_seq;
        while wait(store.find(&SessionId::new("s0"))).unwrap().unwrap().last_seq <= after {
            thread::yield_now();
        }
        drop(ends);
        for writer in writers {
            let (session, last) = writer.join().unwrap();
            let records = wait(store.read(&session, 0)).unwrap();
            assert!(records.iter().zip(1..).all(|(record, seq)| record.seq == seq));
            assert_eq!(records.len() as u64, last, "all that were answered, once");
        }
    });
    control("stop", &directory).unwrap();
    let impatient = StoreOptions { retry: Duration::ZERO, ..StoreOptions::default() };
    assert!(matches!(refused(&url, &impatient), Error::Unavailable { .. }));
}
