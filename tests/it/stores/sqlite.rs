//! What is special about a store in a file.

use std::fs;
use std::io::{BufRead, BufReader, Write};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::Arc;

use callsheet::SessionId;
use callsheet::conversation::Record;
use callsheet::store::{Access, Error, Store, StoreOptions, SyncMode, open};
use callsheet::testing::store::{Place, check, wait};

use super::{Directory, one, refused};

impl Directory {
    fn path(&self) -> PathBuf {
        self.0.join("callsheet.db")
    }
}

fn in_directory(directory: &Path) -> StoreOptions {
    StoreOptions { directory: directory.to_owned(), ..StoreOptions::default() }
}

impl Place for Directory {
    fn store(&self) -> Arc<dyn Store> {
        wait(open("sqlite:callsheet.db", &in_directory(&self.0))).expect("it opens")
    }

    /// As `callsheet ask` left it before there was a second version of the schema.
    fn make_first_schema(&self) -> Option<Vec<Record>> {
        fs::write(self.path(), include_bytes!("first_schema/callsheet.db")).expect("written");
        let lines = include_str!("first_schema/session.jsonl").lines();
        Some(lines.map(|line| serde_json::from_str(line).expect("a record")).collect())
    }
}

#[test]
fn the_sqlite_store_does_what_a_store_must() {
    check(|| Box::new(Directory::new()));
}

#[test]
fn a_store_that_does_not_wait_for_the_disk_keeps_what_it_was_given() {
    let directory = Directory::new();
    let options = StoreOptions { sync: SyncMode::Normal, ..in_directory(&directory.0) };
    let session = SessionId::new("s");
    {
        let store = wait(open("sqlite:callsheet.db", &options)).unwrap();
        assert!(wait(store.check()).unwrap().contains("sync normal"));
        let epoch = wait(store.open(&session, Access::IfFree)).unwrap();
        wait(store.append(&session, 0, epoch, one(&session, 1))).unwrap();
    }
    assert_eq!(wait(directory.store().read(&session, 0)).unwrap().len(), 1);
}

#[cfg(unix)]
#[test]
fn nobody_else_can_read_the_file_or_the_directory_that_was_made_for_it() {
    use std::os::unix::fs::PermissionsExt;
    let directory = Directory::new();
    let store = wait(open("sqlite:a/b/c.db", &in_directory(&directory.0))).unwrap();
    let mode =
        |path: &str| fs::metadata(directory.0.join(path)).unwrap().permissions().mode() & 0o777;
    assert_eq!((mode("a"), mode("a/b")), (0o700, 0o700));
    assert_eq!((mode("a/b/c.db"), mode("a/b/c.db-wal")), (0o600, 0o600));
    drop(store);
    assert!(!directory.0.join("a/b/c.db-wal").exists(), "all of it was written back");
}

#[cfg(target_os = "linux")]
#[test]
fn where_nothing_can_be_written_is_said_in_one_line() {
    let directory = Directory::new();
    fs::write(directory.0.join("file"), "x").unwrap();
    for path in ["/proc/callsheet/x.db", "file/x.db", "."] {
        let error = refused(&format!("sqlite:{path}"), &in_directory(&directory.0));
        let text = error.to_string();
        assert!(matches!(error, Error::Unavailable { .. }), "{error:?}");
        assert!(text.contains(path) && !text.contains('\n'), "{text}");
    }
    let error = refused("sqlite:file", &in_directory(&directory.0)).to_string();
    assert!(error.ends_with("file: the file is no SQLite database"), "{error}");
    assert_eq!(fs::read(directory.0.join("file")).unwrap(), b"x");
}

#[cfg(unix)]
#[test]
fn a_file_that_is_removed_or_replaced_is_noticed_before_an_append_is_called_kept() {
    let remove = |path: &Path| fs::remove_file(path).unwrap();
    let replace = |path: &Path| {
        let other = path.with_extension("other");
        fs::copy(path, &other).unwrap();
        fs::rename(other, path).unwrap();
    };
    let remove_wal = |path: &Path| fs::remove_file(path.with_extension("db-wal")).unwrap();
    type Harm = fn(&Path);
    let harm: [(&str, Harm); 3] =
        [("removed", remove), ("replaced", replace), ("write-ahead log", remove_wal)];
    for (word, harm) in harm {
        let directory = Directory::new();
        let store = directory.store();
        let session = SessionId::new("s");
        let epoch = wait(store.open(&session, Access::IfFree)).unwrap();
        wait(store.append(&session, 0, epoch, one(&session, 1))).unwrap();
        harm(&directory.path());
        for _ in 0..2 {
            let error = wait(store.append(&session, 1, epoch, one(&session, 2))).unwrap_err();
            let Error::Unavailable { reason } = error else { panic!("{error:?}") };
            assert!(reason.contains(word), "{reason}");
        }
        assert!(wait(store.check()).is_err());
    }
}

/// Not a test of its own: the process that the next one kills. It appends until then, and says what
/// is kept.
#[test]
fn a_process_that_appends() {
    let Some(directory) = std::env::var_os("CALLSHEET_TEST_APPENDS_IN") else { return };
    let store = wait(open("sqlite:callsheet.db", &in_directory(Path::new(&directory)))).unwrap();
    let session = SessionId::new("s");
    let epoch = wait(store.open(&session, Access::IfFree)).unwrap();
    for seq in 1.. {
        wait(store.append(&session, seq - 1, epoch, one(&session, seq))).unwrap();
        writeln!(std::io::stdout(), "\nkept {seq}").unwrap();
    }
}

#[cfg(target_os = "linux")]
#[test]
fn what_a_killed_process_was_told_is_kept_is_there_and_its_session_is_free() {
    let directory = Directory::new();
    let mut child = Command::new(std::env::current_exe().unwrap())
        .args(["--exact", "stores::sqlite::a_process_that_appends", "--nocapture"])
        .env("CALLSHEET_TEST_APPENDS_IN", &directory.0)
        .stdout(Stdio::piped())
        .stderr(Stdio::null())
        .spawn()
        .unwrap();
    let told = BufReader::new(child.stdout.take().unwrap()).lines();
    let kept = told
        .map_while(Result::ok)
        .filter_map(|line| line.strip_prefix("kept ").and_then(|seq| seq.parse::<u64>().ok()));
    let mut last = 0;
    for seq in kept {
        if last == 0 {
            let busy = wait(directory.store().open(&SessionId::new("s"), Access::IfFree));
            let Err(Error::Busy { owner, .. }) = busy else { panic!("{busy:?}") };
            assert_eq!(owner.pid, child.id());
        }
        last = seq;
        if seq == 20 {
            child.kill().unwrap();
        }
    }
    child.wait().unwrap();
    assert!(last >= 20);
    let (store, session) = (directory.store(), SessionId::new("s"));
    let found = wait(store.find(&session)).unwrap().unwrap();
    assert!(found.owner.is_none() && found.last_seq >= last, "{found:?}");
    let epoch = wait(store.open(&session, Access::IfFree)).unwrap();
    let records = wait(store.read(&session, 0)).unwrap();
    assert!(records.iter().zip(1..).all(|(record, seq)| record.seq == seq));
    let next = found.last_seq + 1;
    wait(store.append(&session, next - 1, epoch, one(&session, next))).unwrap();
}

#[test]
fn a_store_that_is_dropped_has_done_what_it_was_asked_for_and_has_nothing_open() {
    let (directory, session) = (Directory::new(), SessionId::new("s"));
    {
        let store = directory.store();
        let epoch = wait(store.open(&session, Access::IfFree)).unwrap();
        for seq in 1..=50 {
            drop(store.append(&session, seq - 1, epoch, one(&session, seq)));
        }
        drop(store.open(&SessionId::new("empty"), Access::IfFree));
    }
    let store = directory.store();
    assert_eq!(wait(store.read(&session, 0)).unwrap().len(), 50);
    assert!(wait(store.find(&session)).unwrap().unwrap().owner.is_none());
    wait(store.open(&session, Access::IfFree)).unwrap();
    wait(store.open(&SessionId::new("empty"), Access::IfFree)).unwrap();
}
