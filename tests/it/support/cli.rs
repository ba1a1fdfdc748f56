//! The real binary, in a directory and an environment of its own.

use std::fs;
use std::io::{BufRead, BufReader, Read, Write};
use std::net::TcpListener;
use std::path::PathBuf;
use std::process::{Child, Command, Output, Stdio};
use std::sync::atomic::{AtomicU32, Ordering};
use std::thread::JoinHandle;
use std::time::Duration;

use serde::de::{Deserialize, Deserializer, IgnoredAny, MapAccess, Visitor};
use serde_json::Value;
use serde_json::value::RawValue;

/// A working directory, removed at the end. What runs in it sees no variable but `PATH`, and keeps its
/// data in it.
pub struct Place {
    directory: PathBuf,
    variables: Vec<(String, String)>,
}

/// How a command ended, and what it said.
#[derive(Debug)]
pub struct Ended {
    pub code: Option<i32>,
    pub stdout: String,
    pub stderr: String,
}

impl Place {
    pub fn new() -> Self {
        static PLACES: AtomicU32 = AtomicU32::new(0);
        let number = PLACES.fetch_add(1, Ordering::Relaxed);
        let name = format!("callsheet-test-{}-{number}", std::process::id());
        let directory = std::env::temp_dir().join(name);
        fs::create_dir_all(&directory).expect("a directory for temporary files");
        Self { directory, variables: Vec::new() }
    }

    /// Writes a file into the working directory.
    pub fn file(self, name: &str, text: &str) -> Self {
        fs::write(self.directory.join(name), text).expect("the directory can be written");
        self
    }

    /// Where a file of the working directory is.
    pub fn path(&self, name: &str) -> PathBuf {
        self.directory.join(name)
    }

    /// Sets a variable of the environment.
    pub fn variable(mut self, name: &str, value: &str) -> Self {
        self.variables.push((name.to_owned(), value.to_owned()));
        self
    }

    /// Starts a server, which says where it is in its first line.
    pub fn serve(&self, arguments: &[&str]) -> (Child, String) {
        let mut command = self.command(arguments);
        let mut child = command.stderr(Stdio::null()).spawn().expect("the binary runs");
        let stdout = child.stdout.as_mut().expect("standard output is a pipe");
        let mut url = String::new();
        BufReader::new(stdout).read_line(&mut url).expect("a first line");
        (child, url.trim_end().to_owned())
    }

    /// Reads a file of the working directory.
    pub fn read(&self, name: &str) -> String {
        fs::read_to_string(self.directory.join(name)).expect("the file is there")
    }

    /// Every file of the working directory and below, with what is in it.
    pub fn files(&self) -> Vec<(String, Vec<u8>)> {
        let (mut files, mut directories) = (Vec::new(), vec![self.directory.clone()]);
        while let Some(directory) = directories.pop() {
            for entry in fs::read_dir(directory).expect("a directory") {
                let path = entry.expect("it is there").path();
                if path.is_dir() {
                    directories.push(path);
                } else {
                    let bytes = fs::read(&path).expect("a file");
                    files.push((path.display().to_string(), bytes));
                }
            }
        }
        files
    }

    /// A command that has not been started; it reads nothing.
    pub fn command(&self, arguments: &[&str]) -> Command {
        let mut command = Command::new(env!("CARGO_BIN_EXE_callsheet"));
        let path = std::env::var_os("PATH").unwrap_or_default();
        command.args(arguments).current_dir(&self.directory).env_clear().env("PATH", path);
        command.env("XDG_DATA_HOME", self.directory.join("data"));
        command.envs(self.variables.iter().map(|(name, value)| (name, value)));
        command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped());
        command
    }

    /// Runs a command to its end.
    pub fn run(&self, arguments: &[&str]) -> Ended {
        Ended::of(self.command(arguments).output().expect("the binary runs"))
    }

    /// Runs a command that reads `input`.
    pub fn run_with(&self, input: &str, arguments: &[&str]) -> Ended {
        let mut child = self.command(arguments).stdin(Stdio::piped()).spawn().expect("it starts");
        let mut stdin = child.stdin.take().expect("standard input is a pipe");
        let input = input.to_owned();
        let writer = std::thread::spawn(move || stdin.write_all(input.as_bytes()));
        let ended = Ended::of(child.wait_with_output().expect("the binary runs"));
        // A command that does not want all of it closes the pipe.
        let _ = writer.join().expect("writing does not panic");
        ended
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        let _ = fs::remove_dir_all(&self.directory);
    }
}

impl Ended {
    pub fn of(output: Output) -> Self {
        let text = |bytes| String::from_utf8(bytes).expect("UTF-8");
        let Output { status, stdout, stderr } = output;
        Self { code: status.code(), stdout: text(stdout), stderr: text(stderr) }
    }

    /// The command ended with `code`, without a panic that nobody rehearsed and without an escape
    /// sequence.
    #[track_caller]
    pub fn with(self, code: i32) -> Self {
        assert_eq!(self.code, Some(code), "{self:#?}");
        let rehearsed = |line: &str| line.ends_with(": simulated panic");
        let panics = self.stderr.lines().filter(|line| line.contains("panicked at"));
        assert!(panics.into_iter().all(rehearsed), "{self:#?}");
        assert!(!self.stderr.contains('\u{1b}'), "{self:#?}");
        self
    }

    /// The command ended with `code` and one line of complaint, which holds each of `words`.
    #[track_caller]
    pub fn complains(self, code: i32, words: &[&str]) -> Self {
        let ended = self.with(code);
        let complaints = ended.stderr.lines().filter(|line| line.starts_with("error: "));
        let complaints: Vec<_> = complaints.collect();
        let [complaint] = complaints[..] else { panic!("one line of complaint: {ended:#?}") };
        for word in words {
            assert!(complaint.contains(word), "`{word}` is not in: {complaint}");
        }
        assert!(complaint.len() < 600, "{complaint}");
        ended
    }

    /// Standard output as one JSON document.
    #[track_caller]
    pub fn json(&self) -> Value {
        assert_eq!(self.stdout.lines().count(), 1, "{self:#?}");
        serde_json::from_str(&self.stdout).expect("JSON")
    }

    /// Standard output as JSON, line by line.
    #[track_caller]
    pub fn json_lines(&self) -> Vec<Value> {
        self.stdout.lines().map(|line| serde_json::from_str(line).expect("JSON")).collect()
    }
}

/// Sends a signal, such as `INT`.
#[cfg(unix)]
pub fn signal(child: &Child, name: &str) {
    // The shell's own `kill`: a bare machine has no other.
    let mut kill = Command::new("sh");
    kill.args(["-c", "kill -\"$1\" \"$0\"", &child.id().to_string(), name]);
    assert!(kill.status().expect("a shell").success());
}

/// Waits for the end of a command that is to end soon; kills it if it does not.
#[track_caller]
pub fn ends_soon(mut child: Child) -> Ended {
    let (tell, ended) = std::sync::mpsc::channel();
    let id = child.id();
    drop(child.stdin.take());
    let waiter = std::thread::spawn(move || tell.send(child.wait_with_output()));
    let Ok(output) = ended.recv_timeout(Duration::from_secs(20)) else {
        let kill = format!("kill -KILL {id}");
        let _ = Command::new("sh").args(["-c", &kill]).status();
        panic!("it does not end");
    };
    drop(waiter.join());
    Ended::of(output.expect("the binary runs"))
}

/// `callsheet mock-model` on a free port; ends with the test.
pub struct MockModel {
    child: Child,
    pub url: String,
}

impl MockModel {
    /// Serves replies made by rules, or those of a script in `place`.
    pub fn start(place: &Place, script: Option<&str>) -> Self {
        let mut arguments = vec!["mock-model", "--bind", "127.0.0.1:0"];
        arguments.extend(script.iter().flat_map(|script| ["--script", script]));
        let (child, url) = place.serve(&arguments);
        Self { child, url }
    }

    /// The setting that sends requests here.
    pub fn setting(&self) -> String {
        format!("model.base_url={}", self.url)
    }
}

impl Drop for MockModel {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// Answers one request on a thread of its own.
pub struct OneReply {
    url: String,
    request: JoinHandle<String>,
}

impl OneReply {
    /// Answers with `body`, of the type `content_type`.
    pub fn start(content_type: &'static str, body: &'static str) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").expect("a free port");
        let address = listener.local_addr().expect("it listens");
        let request = std::thread::spawn(move || {
            let (stream, _) = listener.accept().expect("a connection");
            let mut reader = BufReader::new(stream);
            let (mut request, mut length) = (String::new(), 0);
            loop {
                let mut line = String::new();
                reader.read_line(&mut line).expect("a line of the head");
                let header = line.trim_end().to_ascii_lowercase();
                if let Some(("content-length", value)) = header.split_once(": ") {
                    length = value.parse().expect("a number");
                }
                request += &line;
                if header.is_empty() {
                    break;
                }
            }
            // All of it is read: a connection closed with unread bytes in it is a reset.
            reader.by_ref().take(length).read_to_string(&mut request).expect("the body");
            let head = format!("HTTP/1.1 200 OK\r\ncontent-type: {content_type}\r\n");
            let length = body.len();
            let reply =
                format!("{head}connection: close\r\ncontent-length: {length}\r\n\r\n{body}");
            reader.get_mut().write_all(reply.as_bytes()).expect("somebody listens");
            request
        });
        Self { url: format!("http://{address}/v1"), request }
    }

    /// The setting that sends requests here.
    pub fn setting(&self) -> String {
        format!("model.base_url={}", self.url)
    }

    /// The request that was answered: head and body.
    pub fn request(self) -> String {
        self.request.join().expect("the request was read")
    }
}

/// A URL where nobody listens.
pub fn nobody() -> String {
    let listener = TcpListener::bind("127.0.0.1:0").expect("a free port");
    let address = listener.local_addr().expect("it listens");
    drop(listener);
    format!("http://{address}/v1")
}

/// The names of an object's members, in the order in which they are written.
pub fn names(object: &str) -> Vec<String> {
    struct Names(Vec<String>);
    struct Members;
    impl<'de> Visitor<'de> for Members {
        type Value = Names;

        fn expecting(&self, out: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
            out.write_str("an object")
        }

        fn visit_map<M: MapAccess<'de>>(self, mut members: M) -> Result<Names, M::Error> {
            let mut names = Vec::new();
            while let Some((name, IgnoredAny)) = members.next_entry()? {
                names.push(name);
            }
            Ok(Names(names))
        }
    }
    impl<'de> Deserialize<'de> for Names {
        fn deserialize<D: Deserializer<'de>>(text: D) -> Result<Self, D::Error> {
            text.deserialize_map(Members)
        }
    }
    serde_json::from_str::<Names>(object).expect("an object").0
}

/// A member of an object as it is written.
pub fn member<'a>(object: &'a str, name: &str) -> &'a str {
    let members: std::collections::HashMap<&str, &'a RawValue> =
        serde_json::from_str(object).expect("an object");
    members[name].get()
}

/// The first element of an array as it is written.
pub fn first(array: &str) -> &str {
    let elements: Vec<&RawValue> = serde_json::from_str(array).expect("an array");
    elements.first().expect("it is not empty").get()
}
