//! What settings are read from: everything comes in from outside, so tests never touch the process.

use std::fmt;
use std::io;
use std::path::{Path, PathBuf};

use super::error::Error;
use super::layer::Layer;
use super::secret::Variables;

/// The inputs of [`Config::load`](super::Config::load).
#[derive(Clone, Default)]
pub struct Sources {
    /// The file asked for with `--config`; without one the usual places are looked at.
    pub file: Option<PathBuf>,
    /// Where relative paths start.
    pub working_dir: PathBuf,
    /// The environment.
    pub env: Variables,
    /// The `key=value` of each `--set`; the later wins.
    pub set: Vec<String>,
}

impl Sources {
    /// Takes the working directory and the environment of this process.
    ///
    /// # Errors
    /// [`Error::Read`] if the process has no working directory.
    pub fn from_process(file: Option<PathBuf>, set: Vec<String>) -> Result<Sources, Error> {
        let working_dir = std::env::current_dir()
            .map_err(|source| Error::Read { path: PathBuf::from("."), source })?;
        let readable = |(name, value): (std::ffi::OsString, std::ffi::OsString)| {
            Some((name.into_string().ok()?, value.into_string().ok()?))
        };
        let env = std::env::vars_os().filter_map(readable).collect();
        Ok(Sources { file, working_dir, env, set })
    }

    /// Adds the variables of `.env` in the working directory; those of the environment win.
    ///
    /// The environment of the process stays as it is.
    ///
    /// # Errors
    /// [`Error::Read`] or [`Error::Syntax`]; a missing file is none.
    pub fn with_dotenv(mut self) -> Result<Sources, Error> {
        let path = Path::new(".env");
        let Some(text) = read_if_there(&self.working_dir.join(path), path)? else {
            return Ok(self);
        };
        let text = text.strip_prefix('\u{feff}').unwrap_or(&text);
        for variable in dotenvy::from_read_iter(text.as_bytes()) {
            let (name, value) = variable.map_err(|error| Error::Syntax {
                path: path.to_owned(),
                line: line_of(text, &error),
                message: "expected NAME=value".to_owned(),
            })?;
            self.env.add(name, value);
        }
        Ok(self)
    }

    /// Returns every layer, the weakest first. `file` is what [`Sources::read_file`] found.
    pub(super) fn layers(&self, file: Option<(PathBuf, String)>) -> Result<Vec<Layer>, Error> {
        let mut layers = vec![Layer::defaults(super::SHIPPED)?];
        if let Some((path, text)) = file {
            layers.push(Layer::file(&text, &path)?);
        }
        let mut variables: Vec<_> = self.env.iter().collect();
        variables.sort_unstable(); // The shorter key first, in whatever order the process has them.
        for (name, value) in variables {
            layers.extend(Layer::variable(name, value)?);
        }
        for assignment in &self.set {
            layers.push(Layer::flag(assignment)?);
        }
        Ok(layers)
    }

    /// Reads the file asked for, else the first that is there; with the path a user knows it by.
    pub(super) fn read_file(&self) -> Result<Option<(PathBuf, String)>, Error> {
        if let Some(path) = &self.file {
            let full_path = self.working_dir.join(path);
            let text = std::fs::read_to_string(full_path)
                .map_err(|source| Error::Read { path: path.clone(), source })?;
            return Ok(Some((path.clone(), text)));
        }
        let usual = [Some(PathBuf::from("config.toml")), self.user_file()];
        for path in usual.into_iter().flatten() {
            if let Some(text) = read_if_there(&self.working_dir.join(&path), &path)? {
                return Ok(Some((path, text)));
            }
        }
        Ok(None)
    }

    /// Returns the file in the user's own directory for settings.
    fn user_file(&self) -> Option<PathBuf> {
        let directory = |variable: &str| {
            let path = PathBuf::from(self.env.get(variable)?);
            path.is_absolute().then_some(path)
        };
        let usual = || match std::env::consts::OS {
            "windows" => directory("APPDATA"),
            "macos" => Some(directory("HOME")?.join("Library/Application Support")),
            _ => Some(directory("HOME")?.join(".config")),
        };
        Some(directory("XDG_CONFIG_HOME").or_else(usual)?.join("callsheet").join("config.toml"))
    }
}

/// A flag may carry a password, so its value is left out.
impl fmt::Debug for Sources {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        let keys: Vec<_> = self.set.iter().filter_map(|flag| flag.split('=').next()).collect();
        out.debug_struct("Sources")
            .field("file", &self.file)
            .field("working_dir", &self.working_dir)
            .field("env", &self.env)
            .field("set", &keys)
            .finish()
    }
}

/// Reads a file; `None` if there is none. An error names it as `shown`.
fn read_if_there(path: &Path, shown: &Path) -> Result<Option<String>, Error> {
    match std::fs::read_to_string(path) {
        Ok(text) => Ok(Some(text)),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
        Err(source) => Err(Error::Read { path: shown.to_owned(), source }),
    }
}

/// Finds the line an error of `.env` is about. The error's own text would show the secret in it.
fn line_of(text: &str, error: &dotenvy::Error) -> usize {
    let dotenvy::Error::LineParse(content, _) = error else { return 1 };
    let first = content.lines().next().unwrap_or_default().trim();
    text.lines().position(|line| line.trim() == first).map_or(1, |index| index + 1)
}
