//! The user's own directory for what programs keep.

use std::path::PathBuf;

use crate::config::Variables;

/// The directory of this program in it, by the environment; `None` where that does not say.
pub(super) fn data_dir(variables: &Variables) -> Option<PathBuf> {
    let directory = |variable: &str| {
        let path = PathBuf::from(variables.get(variable)?);
        path.is_absolute().then_some(path)
    };
    let usual = || match std::env::consts::OS {
        "windows" => directory("LOCALAPPDATA"),
        "macos" => Some(directory("HOME")?.join("Library/Application Support")),
        _ => Some(directory("HOME")?.join(".local/share")),
    };
    Some(directory("XDG_DATA_HOME").or_else(usual)?.join("callsheet"))
}
