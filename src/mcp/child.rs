//! The process of a server: started with a clean environment in a process group of its own, and
//! gone, with all that it started, when it is not needed any more.

use std::env;
use std::io;
use std::process::{ExitStatus, Stdio};
use std::time::Duration;

use secrecy::ExposeSecret;
use tokio::process::{Child as Process, ChildStderr, ChildStdin, ChildStdout, Command};
use tokio::time::timeout;

use super::Program;
use crate::tools::Group;

/// How long a process may take to end once its input has, and once it has been asked to.
const GRACE: Duration = Duration::from_millis(1000);

/// What a process gets of our environment.
const INHERITED: [&str; 3] = ["PATH", "HOME", "LANG"];

/// A process that runs. Dropping it kills its group.
pub(super) struct Child {
    /// Goes first: as long as the leader is not reaped, nobody else gets its number.
    group: Option<Group>,
    process: Process,
}

/// Its ends that are ours.
pub(super) struct Pipes {
    pub stdin: ChildStdin,
    pub stdout: ChildStdout,
    pub stderr: ChildStderr,
}

impl Child {
    /// Starts `program`, on a thread that may block: its file may be far away.
    pub async fn start(program: &Program) -> io::Result<(Self, Pipes)> {
        let program = program.clone();
        let started = tokio::task::spawn_blocking(move || Self::start_now(&program)).await;
        started.unwrap_or_else(|error| Err(io::Error::other(error)))
    }

    fn start_now(program: &Program) -> io::Result<(Self, Pipes)> {
        let mut command = Command::new(&program.command);
        command.args(&program.args).env_clear();
        for name in INHERITED {
            if let Some(value) = env::var_os(name) {
                command.env(name, value);
            }
        }
        command.envs(program.env.iter().map(|(name, value)| (name, value.expose_secret())));
        if let Some(cwd) = &program.cwd {
            command.current_dir(cwd);
        }
        command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
        let mut process = command.process_group(0).kill_on_drop(true).spawn()?;
        let group = Group::led_by(process.id());
        let group = Some(group.ok_or_else(|| io::Error::other("this process is ending"))?);
        let pipes = (process.stdin.take(), process.stdout.take(), process.stderr.take());
        let (Some(stdin), Some(stdout), Some(stderr)) = pipes else {
            return Err(io::Error::other("the process has no pipes"));
        };
        Ok((Self { group, process }, Pipes { stdin, stdout, stderr }))
    }

    /// Its number, until it has ended.
    pub fn pid(&self) -> Option<u32> {
        self.process.id()
    }

    /// How it ended, once it has.
    pub async fn exited(&mut self) -> Option<ExitStatus> {
        let status = self.process.wait().await.ok();
        self.group = None; // At once, for its number is free; what it has left behind goes.
        status
    }

    /// How it ended, if it has within a moment.
    pub async fn ended(&mut self) -> Option<ExitStatus> {
        timeout(Duration::from_millis(200), self.exited()).await.ok()?
    }

    /// Waits for its end once its input has ended, as the protocol has it: it is asked after a while,
    /// and killed after another. What it started and left behind is killed.
    pub async fn end(mut self) {
        if timeout(GRACE, self.exited()).await.is_err() {
            if let Some(group) = &self.group {
                group.ask_to_end();
            }
            let _ = timeout(GRACE, self.exited()).await;
        }
    }
}
