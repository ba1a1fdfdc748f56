//! Processes that a test has not started itself: whether they are there.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::{Duration, Instant};

/// How long the system may take to do away with a process that was killed.
const PATIENCE: Duration = Duration::from_secs(10);

/// Says what the process is doing, in the system's letter; `None` if there is none.
fn state(id: &str) -> Option<char> {
    let stat = fs::read_to_string(format!("/proc/{id}/stat")).ok()?;
    stat.rsplit_once(')')?.1.trim_start().chars().next() // A name may have anything in it.
}

/// Says whether the process runs.
pub fn runs(id: &str) -> bool {
    state(id).is_some_and(|state| !"ZX".contains(state))
}

/// Waits until the process runs no more. One of ours leaves nothing behind, either; an orphan may, for
/// the system to tidy up.
#[track_caller]
pub fn ends(id: &str, is_ours: bool) {
    assert!(id.parse::<u32>().is_ok(), "`{id}` is no process");
    let began = Instant::now();
    while if is_ours { state(id).is_some() } else { runs(id) } {
        assert!(began.elapsed() < PATIENCE, "process {id} is there: {:?}", state(id));
        std::thread::yield_now();
    }
}

/// A pipe with a name, through which a process that somebody else has started says something.
pub struct Pipe(PathBuf);

impl Pipe {
    pub fn new(path: PathBuf) -> Self {
        let mut mkfifo = Command::new("mkfifo");
        assert!(mkfifo.arg(&path).status().expect("mkfifo").success());
        Self(path)
    }

    pub fn path(&self) -> &Path {
        &self.0
    }

    /// Waits until somebody has opened it, and for all that is written until it is closed.
    pub fn read(&self) -> String {
        fs::read_to_string(&self.0).expect("text").trim().to_owned()
    }
}
