//! What is kept of a server from one program to the next: its last list of tools, so that they can be
//! offered before it has started, or that it did not start, so that nobody waits for it again.

use std::path::{Path, PathBuf};
use std::{fs, io, process};

use rmcp::model::{JsonObject, ToolAnnotations};
use serde::{Deserialize, Serialize};
use tracing::debug;

use super::listing::Listed;
use super::server::Listing;

/// What became of a server's last start, as far as it is on record.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum LastStart {
    /// Nothing is known of it.
    Unknown,
    /// It listed its tools. They are offered until it lists others.
    Listed,
    /// It did not list them, or not in the time that one was ready to wait.
    Failed,
}

/// The file that it is kept in, if any.
pub(super) struct Memory(Option<PathBuf>);

/// Its content.
#[derive(Deserialize, Serialize)]
#[serde(rename_all = "snake_case")]
enum Kept {
    Tools(Vec<Tool>),
    Failed {},
}

#[derive(Deserialize, Serialize)]
struct Tool {
    name: String,
    description: String,
    schema: JsonObject,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    hints: Option<ToolAnnotations>,
}

impl Memory {
    pub fn new(file: Option<PathBuf>) -> Self {
        Self(file)
    }

    /// How the last start went, and the tools that were listed then. A file that says nothing of use
    /// is none.
    pub fn recall(&self) -> (LastStart, Listing) {
        let text = self.0.as_deref().and_then(|file| fs::read(file).ok());
        match text.and_then(|text| serde_json::from_slice(&text).ok()) {
            None => (LastStart::Unknown, Vec::new()),
            Some(Kept::Failed {}) => (LastStart::Failed, Vec::new()),
            Some(Kept::Tools(tools)) => {
                let listed = |tool| {
                    let Tool { name, description, schema, hints } = tool;
                    Ok(Listed { name, description, schema, hints })
                };
                (LastStart::Listed, tools.into_iter().map(listed).collect())
            }
        }
    }

    /// Keeps what a server has listed.
    pub fn keep(&self, listing: &Listing) {
        let tool = |listed: &Listed| {
            let Listed { name, description, schema, hints } = listed.clone();
            Tool { name, description, schema, hints }
        };
        self.write(&Kept::Tools(listing.iter().flatten().map(tool).collect()));
    }

    /// Keeps that a server did not start.
    pub fn keep_failure(&self) {
        self.write(&Kept::Failed {});
    }

    /// That it cannot be kept is no failure of anything: next time one waits.
    fn write(&self, kept: &Kept) {
        let Some(file) = &self.0 else { return };
        if let Err(error) = replace(file, kept) {
            debug!(file = %file.display(), %error, "a server's tools are not kept");
        }
    }
}

/// Others see the old content or the new one, never a part.
fn replace(file: &Path, kept: &Kept) -> io::Result<()> {
    if let Some(directory) = file.parent() {
        fs::create_dir_all(directory)?;
    }
    let mut name = file.as_os_str().to_owned();
    name.push(format!(".{}", process::id()));
    let besides = PathBuf::from(name);
    let written = fs::write(&besides, serde_json::to_vec(kept)?);
    let renamed = written.and_then(|()| fs::rename(&besides, file));
    if renamed.is_err() {
        let _ = fs::remove_file(&besides);
    }
    renamed
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn what_is_kept_comes_back_and_nonsense_is_nothing() {
        let directory = std::env::temp_dir().join(format!("callsheet-memory-{}", process::id()));
        let file = directory.join("deeper/s.json");
        let memory = Memory::new(Some(file.clone()));
        assert_eq!(memory.recall(), (LastStart::Unknown, Vec::new()));
        let hints = serde_json::from_value(json!({"readOnlyHint": true})).expect("they are hints");
        let listed = Listed {
            name: "a".into(),
            description: "does a".into(),
            schema: JsonObject::from_iter([("type".to_owned(), json!("object"))]),
            hints: Some(hints),
        };
        memory.keep(&vec![Ok(listed.clone()), Err(("b".into(), "malformed".into()))]);
        assert_eq!(memory.recall(), (LastStart::Listed, vec![Ok(listed)]));
        memory.keep_failure();
        assert_eq!(memory.recall(), (LastStart::Failed, Vec::new()));
        let files = fs::read_dir(directory.join("deeper")).expect("it is there").count();
        assert_eq!(files, 1, "nothing is left beside it");
        fs::write(&file, "{\"tools\": 7").expect("it can be written");
        assert_eq!(memory.recall(), (LastStart::Unknown, Vec::new()));
        fs::remove_dir_all(directory).expect("it is there");
        Memory::new(None).keep_failure();
    }
}
