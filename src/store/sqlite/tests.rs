//! What can only be seen from within: transactions, full disks and other schemas.

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use super::super::sql::{Database, MAX_STEPS, Schema, SqlStore, Value, read_batches};
use super::super::{Access, Error, Journal, Pending, ReadLimit};
use super::*;
use crate::conversation::{Batch, Event, Record, SessionId};

struct Directory(PathBuf);

impl Directory {
    fn new() -> Self {
        let path = std::env::temp_dir().join(format!("callsheet-{}", SessionId::random()));
        std::fs::create_dir(&path).unwrap();
        Self(path)
    }

    fn path(&self) -> PathBuf {
        self.0.join("callsheet.db")
    }
}

impl Drop for Directory {
    fn drop(&mut self) {
        drop(std::fs::remove_dir_all(&self.0));
    }
}

fn sqlite(path: &Path) -> Sqlite {
    Sqlite::new(path.to_owned(), SyncMode::Normal, Duration::from_secs(30))
}

async fn store_of(sqlite: Sqlite) -> Result<Arc<SqlStore>, Error> {
    let database = Database::Sqlite(sqlite, Appends::new(MAX_STEPS));
    let lease = Duration::from_secs(30);
    SqlStore::open(database, lease, lease).await
}

/// Not the paused clock: the store's thread is not on it.
fn run<T>(test: impl Future<Output = T>) -> T {
    tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap().block_on(test)
}

fn said(session: &SessionId, seq: u64, text: &str) -> Batch {
    let event = Event::SessionOpened { system: Some(text.into()), history: None };
    Arc::new(vec![Record { v: 1, seq, at_us: seq, session: session.clone(), event }])
}

async fn all<T: Unpin>(answers: Vec<Pending<Result<T, Error>>>) -> Vec<Result<T, Error>> {
    futures_util::future::join_all(answers).await
}

#[test]
fn appends_that_wait_share_a_transaction() {
    run(async {
        let directory = Directory::new();
        let store = store_of(sqlite(&directory.path())).await.unwrap();
        let sessions: Vec<_> = (0..200).map(|n| SessionId::new(format!("s{n}"))).collect();
        let open = |session| store.open(session, Access::IfFree);
        let epochs = all(sessions.iter().map(open).collect()).await;
        let mut other = sqlite(&directory.path()).again().await.unwrap();
        other.run("BEGIN IMMEDIATE", Vec::new()).await.unwrap();
        let append = |(session, epoch): (&SessionId, &Result<u64, Error>)| {
            store.append(session, 0, *epoch.as_ref().unwrap(), said(session, 1, "x"))
        };
        let appended: Vec<_> = sessions.iter().zip(&epochs).map(append).collect();
        other.run("COMMIT", Vec::new()).await.unwrap();
        assert!(all(appended).await.iter().all(Result::is_ok));
        let (appends, transactions) = store.counts();
        assert_eq!(appends, 200);
        assert!(
            transactions <= 2,
            "{transactions}: those that came before it was held up, and the rest"
        );
        other.close().await;
    });
}

#[test]
fn of_a_long_journal_no_more_is_read_than_was_asked_for() {
    run(async {
        let directory = Directory::new();
        let store = store_of(sqlite(&directory.path())).await.unwrap();
        let session = SessionId::new("s");
        let epoch = store.open(&session, Access::IfFree).await.unwrap();
        let text = "x".repeat(1000);
        let appended = (1..=300)
            .map(|seq| store.append(&session, seq - 1, epoch, said(&session, seq, &text)))
            .collect();
        assert!(all(appended).await.iter().all(Result::is_ok));
        let mut other = sqlite(&directory.path()).again().await.unwrap();
        let most = usize::MAX;
        for (after, records, bytes, batches) in [
            (0, 10, most, 10),
            (0, most, 1, 1),
            (0, most, 2500, 3),
            (150, 400, most, 150),
            (295, most, most, 5),
            (300, most, most, 0),
        ] {
            let limit = Some(ReadLimit { records, bytes });
            let read = read_batches(&mut other, &session, after, limit).await.unwrap();
            assert_eq!(read.len(), batches, "{limit:?} after {after}");
        }
        other.close().await;
    });
}

#[test]
fn an_owner_that_is_fenced_in_a_transaction_fails_alone() {
    // A second later there is something new for the list of sessions: another statement.
    for at_us in [2, 1_000_001] {
        run(fence_one_of_three(at_us));
    }
}

async fn fence_one_of_three(at_us: u64) {
    let directory = Directory::new();
    let store = store_of(sqlite(&directory.path())).await.unwrap();
    let sessions = ["a", "b", "c"].map(SessionId::new);
    let open = |session| store.open(session, Access::IfFree);
    let epochs = all(sessions.iter().map(open).collect()).await;
    let append = |seq: u64, at_us: u64| {
        let append = |(session, epoch): (&SessionId, &Result<u64, Error>)| {
            let event =
                Event::TurnStarted { turn: 1, prompt: "x".into(), goes_on: false, key: None };
            let mut records = said(session, seq, "x");
            let record = &mut Arc::make_mut(&mut records)[0];
            record.at_us = at_us;
            if seq == 1 {
                record.event = event; // In the middle of a turn a list may be late.
            }
            store.append(session, seq - 1, *epoch.as_ref().unwrap(), records)
        };
        sessions.iter().zip(&epochs).map(append).collect::<Vec<_>>()
    };
    assert_eq!(all(append(1, 1)).await, [Ok(()), Ok(()), Ok(())]);
    let mut other = sqlite(&directory.path()).again().await.unwrap();
    other.run("BEGIN IMMEDIATE", Vec::new()).await.unwrap();
    let appended = append(2, at_us);
    let fence = "UPDATE sessions SET epoch = epoch + 1 WHERE name = 'b'";
    other.run(fence, Vec::new()).await.unwrap();
    other.run("COMMIT", Vec::new()).await.unwrap();
    let fenced = Err(Error::Fenced { session: sessions[1].clone() });
    assert_eq!(all(appended).await, [Ok(()), fenced, Ok(())]);
    for (session, records) in sessions.iter().zip([2, 1, 2]) {
        assert_eq!(store.read(session, 0).await.unwrap().len(), records, "{session}");
    }
    let listed = found(&mut other, "SELECT sum(updated_at_us) FROM sessions").await;
    assert_eq!(listed, Some(if at_us == 2 { 3 } else { 2 * at_us + 1 }));
    other.close().await;
}

#[test]
fn what_another_try_has_written_in_its_place_is_not_taken_for_an_append() {
    run(async {
        let directory = Directory::new();
        let small = Sqlite { max_pages: Some(64), ..sqlite(&directory.path()) };
        let store = store_of(small).await.unwrap();
        let session = SessionId::new("s");
        let epoch = store.open(&session, Access::IfFree).await.unwrap();
        let large = said(&session, 1, &"x".repeat(1_000_000));
        assert!(store.append(&session, 0, epoch, large).await.is_err());
        // As if it had been written all the same: nobody knows of an append that failed.
        let mut other = sqlite(&directory.path()).again().await.unwrap();
        let values = [1, 1, 1, epoch].map(Value::int).to_vec();
        let written = format!("[{}]", r#"{"v":1,"seq":1,"at_us":1,"type":"moon_rose"}"#);
        let insert = "INSERT INTO journal (session, first_seq, last_seq, epoch, records) \
                      VALUES ($1, $2, $3, $4, $5)";
        other.run(insert, [values, vec![Value::text(written)]].concat()).await.unwrap();
        let conflict = Err(Error::Conflict { session: session.clone(), expected: 0, found: 1 });
        assert_eq!(store.append(&session, 0, epoch, said(&session, 1, "y")).await, conflict);
        store.append(&session, 1, epoch, said(&session, 2, "z")).await.unwrap();
        assert_eq!(store.read(&session, 0).await.unwrap().len(), 2);
        other.close().await;
    });
}

#[test]
fn a_full_disk_fails_what_does_not_fit_and_nothing_else() {
    run(async {
        let directory = Directory::new();
        let small = Sqlite { max_pages: Some(64), ..sqlite(&directory.path()) };
        let store = store_of(small).await.unwrap();
        let (large, other) = (SessionId::new("large"), SessionId::new("other"));
        let (one, two) = (
            store.open(&large, Access::IfFree).await.unwrap(),
            store.open(&other, Access::IfFree).await.unwrap(),
        );
        let text = "x".repeat(1_000_000);
        // Together, so that one could fail for the other's sake.
        let appended = vec![
            store.append(&large, 0, one, said(&large, 1, &text)),
            store.append(&other, 0, two, said(&other, 1, "y")),
        ];
        let appended = all(appended).await;
        let Err(Error::Unavailable { reason }) = &appended[0] else { panic!("{appended:?}") };
        assert!(reason.contains("full") && !reason.contains('\n'), "{reason}");
        assert_eq!(appended[1], Ok(()));
        assert_eq!(store.read(&large, 0).await.unwrap(), []);
        let conflict = Err(Error::Conflict { session: large.clone(), expected: 4, found: 0 });
        assert_eq!(store.append(&large, 4, one, said(&large, 5, "z")).await, conflict);
        store.append(&large, 0, one, said(&large, 1, "z")).await.unwrap();
        assert_eq!(store.read(&large, 0).await.unwrap().len(), 1);
    });
}

#[test]
fn the_schema_of_a_later_program_is_refused_and_nothing_is_touched() {
    run(async {
        let directory = Directory::new();
        drop(store_of(sqlite(&directory.path())).await.unwrap());
        let mut connection = sqlite(&directory.path()).again().await.unwrap();
        let insert = "INSERT INTO schema_version (version) VALUES (99)";
        connection.run(insert, Vec::new()).await.unwrap();
        connection.close().await;
        let before = std::fs::read(directory.path()).unwrap();
        let error = store_of(sqlite(&directory.path())).await.unwrap_err();
        let known = SCHEMA.latest();
        let what = "the schema of the store".to_owned();
        assert_eq!(error, Error::Newer { what, found: 99, known });
        assert!(std::fs::read(directory.path()).unwrap() == before);
    });
}

/// A schema as it was, and as a later program has it.
const OLD: Schema = Schema { steps: &["CREATE TABLE t (a); INSERT INTO t VALUES (1)"], ..SCHEMA };
const NEW: Schema = Schema {
    steps: &[OLD.steps[0], "ALTER TABLE t ADD COLUMN b; UPDATE t SET b = a + 1"],
    ..SCHEMA
};
const BROKEN: Schema =
    Schema { steps: &[OLD.steps[0], "UPDATE t SET a = 7", "ALTER TABLE nothing ADD b"], ..SCHEMA };

async fn found(connection: &mut Connection, statement: &'static str) -> Option<u64> {
    let mut row = connection.run(statement, Vec::<Value>::new()).await.ok()?.into_row()?;
    row.optional_int().unwrap()
}

#[test]
fn a_database_of_an_earlier_version_is_brought_up_to_date_once() {
    run(async {
        let directory = Directory::new();
        std::fs::write(directory.path(), "").unwrap();
        let mut connection = sqlite(&directory.path()).again().await.unwrap();
        OLD.migrate(&mut connection).await.unwrap();
        NEW.migrate(&mut connection).await.unwrap();
        NEW.migrate(&mut connection).await.unwrap();
        assert_eq!(found(&mut connection, "SELECT b FROM t").await, Some(2));
        assert_eq!(
            found(&mut connection, "SELECT max(version) FROM schema_version").await,
            Some(2)
        );
        let newer = OLD.migrate(&mut connection).await.unwrap_err().error;
        assert!(matches!(newer, Error::Newer { found: 2, known: 1, .. }), "{newer:?}");
        connection.close().await;
    });
}

#[test]
fn a_step_that_fails_leaves_the_schema_as_it_was() {
    run(async {
        let directory = Directory::new();
        std::fs::write(directory.path(), "").unwrap();
        let mut connection = sqlite(&directory.path()).again().await.unwrap();
        OLD.migrate(&mut connection).await.unwrap();
        assert!(BROKEN.migrate(&mut connection).await.is_err());
        assert_eq!(found(&mut connection, "SELECT a FROM t").await, Some(1));
        assert_eq!(
            found(&mut connection, "SELECT max(version) FROM schema_version").await,
            Some(1)
        );
        connection.close().await;
    });
}

#[test]
fn an_owner_renews_what_an_earlier_try_has_renewed_unheard() {
    run(async {
        let directory = Directory::new();
        let store = store_of(sqlite(&directory.path())).await.unwrap();
        let session = SessionId::new("s");
        let epoch = store.open(&session, Access::IfFree).await.unwrap();
        store.append(&session, 0, epoch, said(&session, 1, "x")).await.unwrap();
        let mut other = sqlite(&directory.path()).again().await.unwrap();
        // As a commit leaves it whose answer was lost.
        let raise = "UPDATE sessions SET epoch = epoch + 1";
        other.run(raise, Vec::new()).await.unwrap();
        let renewed = store.open(&session, Access::Renew { epoch }).await.unwrap();
        assert_eq!(renewed, epoch + 2);
        store.append(&session, 1, renewed, said(&session, 2, "y")).await.unwrap();
        let late = store.append(&session, 2, epoch, said(&session, 3, "z")).await;
        assert!(matches!(late, Err(Error::Fenced { .. })), "{late:?}");
        // Somebody may have been there in between.
        other.run(raise, Vec::new()).await.unwrap();
        other.run(raise, Vec::new()).await.unwrap();
        let refused = store.open(&session, Access::Renew { epoch: renewed }).await;
        assert!(matches!(refused, Err(Error::Fenced { .. })), "{refused:?}");
        other.close().await;
    });
}
