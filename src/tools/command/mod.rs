//! Programs as tools: each call runs one, without a shell, in a process group of its own.

mod arguments;
mod argv;
mod error;
mod launch;
mod output;
mod run;

use std::path::PathBuf;
use std::sync::Arc;

use futures_util::FutureExt;
use secrecy::SecretString;
use serde_json::Value;

use super::{CallContext, Error, Origin, Tool, ToolFuture, ToolType};
use arguments::Arguments;
use argv::Argv;
use launch::{Surroundings, launch};

use crate::tools::places::Places;

pub use error::ProgramError;

/// How many bytes a program may write, unless it is told otherwise.
const MAX_OUTPUT_BYTES: usize = 1_000_000;

/// A program that answers the calls of a tool.
///
/// ```
/// use callsheet::tools::{Program, Stdin};
/// use serde_json::json;
///
/// let parameters = json!({"type": "object", "properties": {"text": {"type": "string"}}});
/// let tool = Program::new(["wc", "-w"])
///     .stdin(Stdin::Text("{text}".into()))
///     .tool_type("word_count", "Counts words of a text", parameters)?;
/// assert_eq!(tool.origin().kind, "command");
/// # Ok::<_, callsheet::tools::ProgramError>(())
/// ```
///
/// `{name}` in an element but the first stands for the argument `name`, and `{{` and `}}` for braces.
/// What stands for an argument stays within its element: text as it is, anything else as JSON. An
/// element that is one placeholder alone is left out if the call has no such argument (or `null`), and
/// is as many elements as the list has items where the schema says that it is a list of texts, numbers
/// or flags. A value that begins with `-` and an element with it is refused, unless the element stands
/// after one that is `--`.
///
/// What it writes to standard output is the result, without the end of the last line; what is not
/// text is described. An exit code that is not 0, or a signal, is the tool's failure, with the end of
/// its standard error.
///
/// Its processes are a group of their own. It is killed when the call is over: when the program ends,
/// whatever it has left behind, at the call's time limit, when the call is cancelled, when too much
/// was written, and when the runtime ends.
///
/// Its environment has `PATH`, `HOME` and `LANG` of ours, what [`Program::env`] says, and
/// `CALLSHEET_CALL_KEY`, the call's key ([`CallContext::key`]), and nothing else.
#[derive(Clone, Debug)]
pub struct Program {
    argv: Vec<String>,
    stdin: Stdin,
    env: Vec<(String, SecretString)>,
    cwd: Option<PathBuf>,
    max_output_bytes: usize,
}

/// What a program reads from its standard input.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub enum Stdin {
    /// Nothing: it ends at once.
    #[default]
    Nothing,
    /// The arguments, as one JSON object.
    Json,
    /// A text with places for arguments, as the elements of the argument vector have them.
    Text(String),
}

impl Program {
    /// The program `argv[0]` with the arguments that follow it.
    pub fn new<S: Into<String>>(argv: impl IntoIterator<Item = S>) -> Self {
        let argv = argv.into_iter().map(Into::into).collect();
        let (stdin, env, cwd) = Default::default();
        Self { argv, stdin, env, cwd, max_output_bytes: MAX_OUTPUT_BYTES }
    }

    /// What it reads; nothing, if it is not said.
    #[must_use]
    pub fn stdin(mut self, stdin: Stdin) -> Self {
        self.stdin = stdin;
        self
    }

    /// Adds a variable to its environment. The value is never shown.
    #[must_use]
    pub fn env(mut self, name: impl Into<String>, value: impl Into<String>) -> Self {
        self.env.push((name.into(), SecretString::from(value.into())));
        self
    }

    /// The directory it runs in, where its own path begins if that is a relative one with a `/`; ours,
    /// if it is not said.
    #[must_use]
    pub fn cwd(mut self, directory: impl Into<PathBuf>) -> Self {
        self.cwd = Some(directory.into());
        self
    }

    /// How much it may write to standard output before it is killed: 1,000,000 bytes, if it is not said.
    #[must_use]
    pub fn max_output_bytes(mut self, bytes: usize) -> Self {
        self.max_output_bytes = bytes;
        self
    }

    /// Where the program is, as a call would find it at this moment.
    ///
    /// # Errors
    /// What a call would be answered if it is not there.
    pub fn locate(&self) -> Result<PathBuf, Error> {
        let program = self.argv.first().cloned().unwrap_or_default();
        self.surroundings(program).locate()
    }

    /// The tool `name`, whose calls run the program. Its effects are [`crate::Effects::Once`] until it
    /// is said better.
    ///
    /// # Errors
    /// What is wrong with the description of the program. Whether it exists is looked at in each call.
    pub fn tool_type(
        &self,
        name: impl Into<Arc<str>>,
        description: impl Into<Arc<str>>,
        parameters: Value,
    ) -> Result<ToolType, ProgramError> {
        let argv = Argv::new(&self.argv, &parameters)?;
        let stdin = match &self.stdin {
            Stdin::Nothing => Input::Nothing,
            Stdin::Json => Input::Json,
            Stdin::Text(text) => Input::Text(argv::template_for("stdin", text, &parameters)?),
        };
        for (name, value) in &self.env {
            if !launch::is_variable(name, value) {
                return Err(ProgramError::BadVariable { name: name.clone() });
            }
        }
        let surroundings = self.surroundings(argv.program.clone());
        let command = Command { argv, stdin, surroundings, max_bytes: self.max_output_bytes };
        let command = Arc::new(command);
        let made = ToolType::new(name, description, parameters, move || Arc::clone(&command));
        Ok(made.with_origin(Origin::of("command")))
    }

    fn surroundings(&self, program: String) -> Arc<Surroundings> {
        Arc::new(Surroundings { program, env: self.env.clone(), cwd: self.cwd.clone() })
    }
}

/// A program that has been found in order.
struct Command {
    argv: Argv,
    stdin: Input,
    surroundings: Arc<Surroundings>,
    max_bytes: usize,
}

enum Input {
    Nothing,
    Json,
    Text(Places),
}

impl Input {
    /// What the program reads; `None` for nothing.
    fn bytes(&self, object: &str, arguments: &Arguments) -> Result<Option<Vec<u8>>, Error> {
        Ok(match self {
            Self::Nothing => None,
            Self::Json => Some(object.into()),
            Self::Text(template) => arguments.fill(template)?.map(Into::into),
        })
    }
}

impl Tool for Arc<Command> {
    fn call(&self, arguments: &str, context: CallContext) -> ToolFuture {
        let (command, object) = (Arc::clone(self), arguments.to_owned());
        async move {
            let Command { argv, stdin, surroundings, max_bytes } = &*command;
            let arguments = Arguments::new(&object)?;
            let (argv, input) = (argv.fill(&arguments)?, stdin.bytes(&object, &arguments)?);
            let launched = launch(surroundings, argv, input.is_some(), context).await?;
            let input = input.unwrap_or_default();
            run::attend(launched, &surroundings.program, input, *max_bytes).await
        }
        .boxed_local()
    }
}
