//! The file of a database: made for its owner alone, and known again.

use std::fs;
use std::io::{self, Read};
use std::path::{Path, PathBuf};

/// What a database begins with.
const MAGIC: &[u8] = b"SQLite format 3\0";

/// Makes the file and its directory where they are missing, for nobody else to read.
pub(super) fn create(path: &Path) -> Result<(), String> {
    let made = make_directory(path.parent()).and_then(|()| {
        let mut options = fs::OpenOptions::new();
        options.write(true).create_new(true);
        #[cfg(unix)]
        std::os::unix::fs::OpenOptionsExt::mode(&mut options, 0o600);
        options.open(path).map(drop)
    });
    match made {
        Ok(()) => Ok(()),
        Err(error) if error.kind() == io::ErrorKind::AlreadyExists => be_database(path),
        Err(error) => Err(error.to_string()),
    }
}

/// Makes sure that nothing else is in the file: SQLite takes a short one for an empty database, and
/// overwrites it.
fn be_database(path: &Path) -> Result<(), String> {
    let mut begin = Vec::new();
    let read =
        fs::File::open(path).and_then(|file| file.take(MAGIC.len() as u64).read_to_end(&mut begin));
    read.map_err(|error| error.to_string())?;
    match begin.is_empty() || begin == MAGIC {
        true => Ok(()),
        false => Err("the file is no SQLite database".to_owned()),
    }
}

fn make_directory(path: Option<&Path>) -> io::Result<()> {
    let Some(path) = path.filter(|path| !path.as_os_str().is_empty()) else { return Ok(()) };
    let mut builder = fs::DirBuilder::new();
    builder.recursive(true);
    #[cfg(unix)]
    std::os::unix::fs::DirBuilderExt::mode(&mut builder, 0o700);
    builder.create(path)
}

/// What tells the files of an open database from others of the same names.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct File {
    database: Identity,
    /// Everything that was written last is in it.
    wal: Identity,
}

#[cfg(unix)]
type Identity = (u64, u64);
#[cfg(not(unix))]
type Identity = ();

impl File {
    pub fn of(path: &Path) -> Result<Self, String> {
        Ok(Self { database: identity(path)?, wal: identity(&wal(path))? })
    }

    /// Says what is wrong if these are no longer the files of an open database.
    pub fn check(&self, path: &Path) -> Result<(), String> {
        let there = |path: &Path, known: &Identity| match identity(path) {
            Ok(found) if found == *known => Ok(()),
            Ok(_) => Err("the file was replaced while it was in use".to_owned()),
            Err(error) => Err(format!("the file was removed while it was in use: {error}")),
        };
        there(path, &self.database)?;
        there(&wal(path), &self.wal).map_err(|reason| format!("of its write-ahead log, {reason}"))
    }
}

/// Device and inode.
#[cfg(unix)]
fn identity(path: &Path) -> Result<Identity, String> {
    use std::os::unix::fs::MetadataExt;
    let found = fs::metadata(path).map_err(|error| error.to_string())?;
    Ok((found.dev(), found.ino()))
}

/// Where an open file cannot be removed, there is nothing to tell.
#[cfg(not(unix))]
fn identity(path: &Path) -> Result<Identity, String> {
    fs::metadata(path).map(drop).map_err(|error| error.to_string())
}

fn wal(path: &Path) -> PathBuf {
    let mut name = path.as_os_str().to_owned();
    name.push("-wal");
    name.into()
}
