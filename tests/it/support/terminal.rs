//! The real binary on a terminal of its own, as `script` of the operating system makes one.

use std::ffi::OsStr;
use std::io::{Read, Write};
use std::process::{Child, ChildStdin, Command, Stdio};
use std::sync::mpsc::{self, Receiver, RecvTimeoutError};
use std::time::{Duration, Instant};

use super::cli::Place;

/// How long a word may take to appear.
const PATIENCE: Duration = Duration::from_secs(30);

/// A command whose standard input, output and error are one terminal.
pub struct Terminal {
    child: Child,
    keyboard: ChildStdin,
    shown: Receiver<Vec<u8>>,
    /// All that was shown so far, and how much of it was looked at.
    text: String,
    seen: usize,
}

impl Terminal {
    /// Starts a command in `place`.
    pub fn start(place: &Place, arguments: &[&str]) -> Self {
        let plain = place.command(arguments);
        let quoted = |word: &OsStr| {
            let word = word.to_str().expect("UTF-8").replace('\'', r"'\''");
            format!("'{word}'")
        };
        let words: Vec<_> =
            std::iter::once(plain.get_program()).chain(plain.get_args()).map(quoted).collect();
        let line = format!("stty cols 100 rows 40; exec {}", words.join(" "));
        let mut command = Command::new("script");
        command.args(["-qefc", &line, "/dev/null"]).env_clear();
        command.envs(plain.get_envs().filter_map(|(name, value)| Some((name, value?))));
        command.env("TERM", "xterm").env("SHELL", "/bin/sh").env("NO_COLOR", "1");
        command.current_dir(plain.get_current_dir().expect("a place has a directory"));
        command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::null());
        let mut child = command.spawn().expect("`script` is a part of every system");
        let keyboard = child.stdin.take().expect("standard input is a pipe");
        let mut output = child.stdout.take().expect("standard output is a pipe");
        let (tell, shown) = mpsc::channel();
        std::thread::spawn(move || {
            let mut bytes = [0; 4096];
            while let Ok(read @ 1..) = output.read(&mut bytes) {
                let _ = tell.send(bytes[..read].to_vec());
            }
        });
        Self { child, keyboard, shown, text: String::new(), seen: 0 }
    }

    /// Waits until `words` are shown, and gives what was shown since this was last called.
    #[track_caller]
    pub fn wait_for(&mut self, words: &str) -> String {
        let until = Instant::now() + PATIENCE;
        loop {
            if let Some(at) = self.text[self.seen..].find(words) {
                let until = self.seen + at + words.len();
                let since = self.text[self.seen..until].to_owned();
                self.seen = until;
                return since;
            }
            match self.shown.recv_timeout(until.saturating_duration_since(Instant::now())) {
                Ok(bytes) => self.text += &String::from_utf8_lossy(&bytes),
                Err(_) => panic!("`{words}` is never shown: {:?}", self.text),
            }
        }
    }

    /// Types `keys`.
    pub fn types(&mut self, keys: &str) {
        self.keyboard.write_all(keys.as_bytes()).expect("it is read");
        self.keyboard.flush().expect("it is read");
    }

    /// Waits for the end of the command: its exit code, and all that was shown.
    #[track_caller]
    pub fn ends(mut self) -> (Option<i32>, String) {
        let until = Instant::now() + PATIENCE;
        loop {
            match self.shown.recv_timeout(until.saturating_duration_since(Instant::now())) {
                Ok(bytes) => self.text += &String::from_utf8_lossy(&bytes),
                Err(RecvTimeoutError::Disconnected) => break,
                Err(RecvTimeoutError::Timeout) => panic!("it does not end: {:?}", self.text),
            }
        }
        let code = self.child.wait().expect("it ends").code();
        (code, std::mem::take(&mut self.text))
    }

    /// Takes the terminal away from the command.
    pub fn hang_up(mut self) {
        self.child.kill().expect("it runs");
        let _ = self.child.wait();
        while self.shown.recv_timeout(PATIENCE).is_ok() {} // Until the command has gone as well.
    }
}

impl Drop for Terminal {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}
