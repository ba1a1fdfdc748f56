//! From a program and the arguments of a call to processes that run.

use std::ffi::OsString;
use std::io::{self, ErrorKind};
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::sync::Arc;

use secrecy::{ExposeSecret, SecretString};
use tokio::process::Child;

use crate::tools::group::Group;
use crate::tools::{CallContext, Error};

/// The variables of our own environment that a program gets.
const PASSED_ON: [&str; 3] = ["PATH", "HOME", "LANG"];

/// The variable that holds the call's key.
const KEY_VARIABLE: &str = "CALLSHEET_CALL_KEY";

/// The variable that holds its span, where there is one.
const TRACE_VARIABLE: &str = "TRACEPARENT";

/// Where programs are looked for if there is no `PATH`.
const USUAL_PATH: &str = "/usr/local/bin:/usr/bin:/bin";

/// Where and as what a program runs, whatever the call.
#[derive(Debug)]
pub(super) struct Surroundings {
    pub program: String,
    pub env: Vec<(String, SecretString)>,
    pub cwd: Option<PathBuf>,
}

/// What runs for a call. Dropping it kills the processes; their remains are tidied up later.
pub(super) struct Launched {
    /// Dropped first: as long as the leader is not reaped, nobody else gets its number.
    pub group: Group,
    pub child: Child,
}

impl Surroundings {
    /// Where the program is, as the call would find it.
    pub fn locate(&self) -> Result<PathBuf, Error> {
        let Self { program, cwd, .. } = self;
        if let Some(cwd) = cwd.as_ref().filter(|cwd| !cwd.is_dir()) {
            let cwd = cwd.display();
            return Err(missing(format!("`{program}` cannot run: there is no directory {cwd}")));
        }
        // The program begins in that directory, where a relative path would lead elsewhere.
        let here = cwd.as_ref().map(std::path::absolute).transpose();
        let here = here.map_err(|error| missing(format!("`{program}` cannot run: {error}")))?;
        let here = here.unwrap_or_default();
        if program.contains('/') {
            let path = here.join(program);
            return match runs(&path) {
                Some(true) => Ok(path),
                Some(false) => Err(missing(format!("`{program}` cannot be run"))),
                None => Err(missing(format!("there is no program `{program}`"))),
            };
        }
        let path = self.variable("PATH").unwrap_or_else(|| USUAL_PATH.into());
        let found =
            std::env::split_paths(&path).map(|directory| here.join(directory).join(program));
        found.into_iter().find(|path| runs(path) == Some(true)).ok_or_else(|| {
            missing(format!("there is no program `{program}` in the directories of PATH"))
        })
    }

    /// A variable of the program's environment.
    fn variable(&self, name: &str) -> Option<OsString> {
        let own = self.env.iter().rfind(|(own, _)| own == name);
        let own = own.map(|(_, value)| OsString::from(value.expose_secret()));
        own.or_else(|| std::env::var_os(name).filter(|_| PASSED_ON.contains(&name)))
    }

    /// Starts the program. Blocks until it has begun: a directory may be far away.
    fn start(
        &self,
        argv: &[String],
        reads: bool,
        context: &CallContext,
    ) -> Result<Launched, Error> {
        if context.is_over() {
            return Err(Error::unreachable("the call was given up before its program began"));
        }
        // Found here, it is not looked for in a copy of this process, which takes longer to make.
        let mut command = tokio::process::Command::new(self.locate()?);
        command.arg0(&self.program).args(argv).env_clear().process_group(0).kill_on_drop(true);
        for name in PASSED_ON {
            command.envs(std::env::var_os(name).map(|value| (name, value)));
        }
        command.envs(context.trace_parent().map(|parent| (TRACE_VARIABLE, parent.to_string())));
        command.envs(self.env.iter().map(|(name, value)| (name, value.expose_secret())));
        command.env(KEY_VARIABLE, context.key().to_string());
        if let Some(cwd) = &self.cwd {
            command.current_dir(cwd);
        }
        command.stdin(if reads { Stdio::piped() } else { Stdio::null() });
        command.stdout(Stdio::piped()).stderr(Stdio::piped());
        let child = command.spawn().map_err(|error| self.not_started(&error))?;
        let group = Group::led_by(child.id());
        let group = group.ok_or_else(|| Error::lost("the process ends"))?;
        Ok(Launched { group, child })
    }

    fn not_started(&self, error: &io::Error) -> Error {
        let message = format!("`{}` cannot be started: {error}", self.program);
        match error.kind() {
            ErrorKind::ArgumentListTooLong => Error::bad_arguments(message),
            _ => Error::unreachable(message),
        }
    }
}

/// Starts the program on a thread that may block. What is dropped before it has begun is killed as soon
/// as it has.
pub(super) async fn launch(
    surroundings: &Arc<Surroundings>,
    argv: Vec<String>,
    reads: bool,
    context: CallContext,
) -> Result<Launched, Error> {
    let surroundings = Arc::clone(surroundings);
    let start = move || surroundings.start(&argv, reads, &context);
    let started = tokio::task::spawn_blocking(start).await;
    started.unwrap_or_else(|error| Err(Error::unreachable(format!("no program can run: {error}"))))
}

/// Whether the file can be run; `None` if there is none.
fn runs(path: &Path) -> Option<bool> {
    let found = path.metadata().ok().filter(|found| found.is_file())?;
    Some(found.permissions().mode() & 0o111 != 0)
}

fn missing(message: String) -> Error {
    Error::unreachable(message).code("no_program")
}

/// Says whether a variable of the environment can have this name and this value.
pub(super) fn is_variable(name: &str, value: &SecretString) -> bool {
    let has_nul = |text: &str| text.contains('\0');
    !name.is_empty() && !name.contains('=') && !has_nul(name) && !has_nul(value.expose_secret())
}
