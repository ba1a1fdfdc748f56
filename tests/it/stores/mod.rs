//! Every store does what a store must do, and says what it is not.

#[cfg(feature = "postgres")]
mod postgres;
#[cfg(feature = "sqlite")]
mod sqlite;

#[cfg(feature = "sql")]
use std::path::PathBuf;
use std::sync::Arc;

#[cfg(feature = "sql")]
use callsheet::SessionId;
#[cfg(feature = "sql")]
use callsheet::conversation::{Batch, Event, Record};
#[cfg(feature = "sql")]
use callsheet::store::{Error, StoreOptions, open};
use callsheet::store::{MemoryStore, Store};
#[cfg(feature = "sql")]
use callsheet::testing::store::wait;
use callsheet::testing::store::{Place, check};

struct Memory(Arc<MemoryStore>);

impl Place for Memory {
    fn store(&self) -> Arc<dyn Store> {
        self.0.clone()
    }
}

#[test]
fn the_memory_store_does_what_a_store_must() {
    check(|| Box::new(Memory(Arc::new(MemoryStore::keeping()))));
}

/// A directory that is gone afterwards.
#[cfg(feature = "sql")]
struct Directory(PathBuf);

#[cfg(feature = "sql")]
impl Directory {
    fn new() -> Self {
        let path = std::env::temp_dir().join(format!("callsheet-{}", SessionId::random()));
        std::fs::create_dir(&path).expect("a fresh directory");
        Self(path)
    }
}

#[cfg(feature = "sql")]
impl Drop for Directory {
    fn drop(&mut self) {
        drop(std::fs::remove_dir_all(&self.0));
    }
}

/// An append of one event.
#[cfg(feature = "sql")]
fn one(session: &SessionId, seq: u64) -> Batch {
    let event = Event::SessionOpened { system: Some("x".into()), history: None };
    Arc::new(vec![Record { v: 1, seq, at_us: seq, session: session.clone(), event }])
}

/// Why the store cannot be opened.
#[cfg(feature = "sql")]
fn refused(url: &str, options: &StoreOptions) -> Error {
    match wait(open(url, options)) {
        Ok(_) => panic!("{url} was opened"),
        Err(error) => error,
    }
}

#[cfg(feature = "sql")]
#[test]
fn a_url_of_no_store_is_refused_without_its_password() {
    let options = StoreOptions::default();
    for url in
        ["mysql://ann:s3cret@db/x", "s3cret", "sqlite:", "sqlite::memory:", "postgres:s3cret"]
    {
        let error = refused(url, &options);
        assert!(matches!(error, Error::BadUrl { .. }), "{url}: {error:?}");
        assert!(!format!("{error} {error:?}").contains("s3cret"), "{error:?}");
    }
    assert!(wait(wait(open("memory:", &options)).unwrap().check()).is_ok());
    if !cfg!(feature = "postgres") {
        let error = refused("postgres://ann:s3cret@db/x", &options).to_string();
        assert!(error.ends_with("PostgreSQL is not built in: build with the feature `postgres`"));
    }
}
