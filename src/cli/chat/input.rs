//! The lines of a conversation: typed into an editor on a terminal, else read as they are.

use std::io::{self, BufRead, IsTerminal};
use std::path::{Path, PathBuf};

use anyhow::Context;
use rustyline::Editor;
use rustyline::config::{Behavior, Config};
use rustyline::error::ReadlineError;
use rustyline::history::FileHistory;

use crate::cli::status::UsageError;

/// The most lines that are remembered.
const HISTORY: usize = 1000;

/// What stands before a line that is typed.
const PROMPT: &str = "> ";

/// Where lines come from.
pub enum Input {
    /// A person types, with a history that is kept in a file if there is a place for it.
    Typed(Box<Editor<(), FileHistory>>, Option<PathBuf>),
    /// Standard input, which is no terminal.
    Piped,
}

/// A line, or why there is none.
#[derive(Debug, PartialEq, Eq)]
pub enum Line {
    Text(String),
    /// Ctrl-C at the prompt.
    Interrupted,
    /// Ctrl-D, or the end of what is piped in.
    End,
}

impl Input {
    /// Opens the editor if standard input is a terminal, with the lines of earlier conversations in
    /// `history`.
    pub fn open(history: Option<PathBuf>) -> anyhow::Result<Self> {
        if !io::stdin().is_terminal() {
            return Ok(Self::Piped);
        }
        let mut editor = editor().context("cannot read the terminal")?;
        let history = history.filter(|path| match make_room(path) {
            Ok(()) => true,
            Err(error) => {
                tracing::warn!("no history is kept in {}: {error}", path.display());
                false
            }
        });
        if let Some(path) = &history {
            let _ = editor.load_history(path); // There is none the first time.
        }
        Ok(Self::Typed(Box::new(editor), history))
    }

    /// Says whether a person types.
    pub fn is_typed(&self) -> bool {
        matches!(self, Self::Typed(..))
    }

    /// Waits for the next line.
    pub fn next(&mut self) -> anyhow::Result<Line> {
        match self {
            Self::Typed(editor, history) => match editor.readline(PROMPT) {
                Ok(line) => {
                    remember(editor, history.as_deref(), &line);
                    Ok(Line::Text(line))
                }
                Err(ReadlineError::Interrupted) => Ok(Line::Interrupted),
                Err(ReadlineError::Eof) => Ok(Line::End),
                Err(error) => Err(error).context("cannot read the terminal"),
            },
            Self::Piped => {
                let mut line = Vec::new();
                let read = io::stdin().lock().read_until(b'\n', &mut line);
                if read.context("cannot read standard input")? == 0 {
                    return Ok(Line::End);
                }
                let line = String::from_utf8(line);
                line.map(Line::Text)
                    .map_err(|_| UsageError("standard input is not UTF-8 text".into()).into())
            }
        }
    }
}

/// A line editor on the terminal, with no history yet.
pub fn editor() -> Result<Editor<(), FileHistory>, ReadlineError> {
    // The answer may go elsewhere; what is typed does not.
    let behavior = match io::stdout().is_terminal() {
        true => Behavior::Stdio,
        false => Behavior::PreferTerm,
    };
    let config = Config::builder().max_history_size(HISTORY)?.behavior(behavior).build();
    Editor::with_config(config)
}

/// Makes the directory for the file at `path`, for its user's eyes only.
fn make_room(path: &Path) -> io::Result<()> {
    let Some(directory) = path.parent() else { return Ok(()) };
    let mut builder = std::fs::DirBuilder::new();
    builder.recursive(true);
    #[cfg(unix)]
    std::os::unix::fs::DirBuilderExt::mode(&mut builder, 0o700);
    builder.create(directory)
}

/// Keeps the line at once: the process may be killed. The file is its user's own, mode 0600.
fn remember(editor: &mut Editor<(), FileHistory>, history: Option<&Path>, line: &str) {
    if line.trim().is_empty() || !matches!(editor.add_history_entry(line), Ok(true)) {
        return;
    }
    if let Some(path) = history
        && let Err(error) = editor.append_history(path)
    {
        tracing::warn!("the line is not kept in {}: {error}", path.display());
    }
}
