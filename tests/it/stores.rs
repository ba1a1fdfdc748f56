//! Every store does what a store must do.

use std::path::PathBuf;
use std::sync::Arc;

use callsheet::store::{MemoryStore, Store};
#[cfg(feature = "sqlite")]
use callsheet::store::{StoreOptions, open};
#[cfg(feature = "sqlite")]
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
struct Directory(PathBuf);

impl Directory {
    fn new() -> Self {
        let path = std::env::temp_dir().join(format!("callsheet-{}", uuid()));
        std::fs::create_dir(&path).expect("a fresh directory");
        Self(path)
    }
}

fn uuid() -> String {
    callsheet::SessionId::random().to_string()
}

impl Drop for Directory {
    fn drop(&mut self) {
        drop(std::fs::remove_dir_all(&self.0));
    }
}

#[cfg(feature = "sqlite")]
impl Place for Directory {
    fn store(&self) -> Arc<dyn Store> {
        let options = StoreOptions { directory: self.0.clone(), ..StoreOptions::default() };
        wait(open("sqlite:callsheet.db", &options)).expect("it opens")
    }
}

#[cfg(feature = "sqlite")]
#[test]
fn the_sqlite_store_does_what_a_store_must() {
    check(|| Box::new(Directory::new()));
}
