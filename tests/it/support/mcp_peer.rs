//! A server of the Model Context Protocol for the tests: this very test binary, started again, with
//! a `serve` in its arguments. What it does is in the names of its tools; what it was told, in a file.

use std::fs::OpenOptions;
use std::io::{BufRead, Write, stdin, stdout};
use std::path::{Path, PathBuf};
use std::process::{Command, exit};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};
use std::thread;
use std::time::Duration;

use callsheet::mcp::{Program, Reach, ServerSettings, ToolTerms};
use callsheet::{Approval, Effects};
use serde_json::{Value, json};

/// What the server is like. Its tools are, by name: `echo`, `error`, `hang`, `die`, `die_once`,
/// `hang_up` (it closes its output and lives on), `close_stdin`, `deaf` (it reads no more), `slow` (`ms`), `big` (`bytes`), `progress` (`times`, every `ms`), `env`, `fork`, `change`, `image`; any
/// other answers its own name.
#[derive(Clone, Debug)]
pub struct Peer {
    pub tools: Vec<Value>,
    /// Knows the revision without a handshake, too.
    pub modern: bool,
    /// Before it hears anything.
    pub start_ms: u64,
    pub never_starts: bool,
    /// Ends when it is asked what it does not know.
    pub is_old: bool,
    /// Says what is no message before, and between its answers.
    pub babbles: bool,
    pub directory: PathBuf,
}

impl Peer {
    /// A server with these tools, that notes what it is told in `directory`.
    pub fn new(tools: &[&str], directory: &Path) -> Self {
        let tool = |name: &&str| {
            json!({"name": name, "description": format!("does {name}"),
            "inputSchema": {"type": "object"}})
        };
        Self {
            tools: tools.iter().map(tool).collect(),
            modern: false,
            start_ms: 0,
            never_starts: false,
            is_old: false,
            babbles: false,
            directory: directory.to_owned(),
        }
    }

    /// How it is started, under `name`. All its tools read only, and nobody has to approve them.
    pub fn settings(&self, name: &str) -> ServerSettings {
        let plan = json!({"tools": self.tools, "modern": self.modern, "start_ms": self.start_ms,
            "never_starts": self.never_starts, "babbles": self.babbles, "is_old": self.is_old,
            "directory": self.directory});
        let program = std::env::current_exe().expect("a test has a binary");
        let args = ["support::mcp_peer::serve", "--exact", "--ignored", "--nocapture"];
        let reach = Reach::Stdio(Program {
            command: program.to_string_lossy().into_owned(),
            args: args.map(str::to_owned).to_vec(),
            env: vec![("MCP_PEER".to_owned(), plan.to_string().into())],
            cwd: None,
        });
        let terms = ToolTerms {
            effects: Some(Effects::None),
            approval: Some(Approval::Never),
            ..ToolTerms::default()
        };
        ServerSettings { terms, ..ServerSettings::new(name, reach) }
    }

    /// What it noted so far: `started`, `call TOOL KEY`, `cancelled`.
    pub fn notes(&self) -> Vec<String> {
        let text = std::fs::read_to_string(self.directory.join("notes")).unwrap_or_default();
        text.lines().map(str::to_owned).collect()
    }
}

/// The server. Not a test: it is run by those that need one.
#[test]
#[ignore = "it is a server for other tests"]
fn serve() {
    let Ok(plan) = std::env::var("MCP_PEER") else { return };
    let plan: Value = serde_json::from_str(&plan).expect("the plan is JSON");
    let served = Served {
        tools: Mutex::new(plan["tools"].as_array().cloned().unwrap_or_default()),
        modern: plan["modern"] == true,
        is_old: plan["is_old"] == true,
        babbles: plan["babbles"] == true,
        directory: plan["directory"].as_str().unwrap_or_default().into(),
        stays: AtomicBool::new(false),
        is_deaf: AtomicBool::new(false),
        listener: Mutex::new(Value::Null),
    };
    served.note("started");
    if plan["never_starts"] == true {
        thread::sleep(Duration::from_secs(3600));
    }
    thread::sleep(Duration::from_millis(plan["start_ms"].as_u64().unwrap_or_default()));
    let served = Arc::new(served);
    Arc::clone(&served).run();
    if served.stays.load(Ordering::Relaxed) {
        thread::sleep(Duration::from_secs(3600));
    }
    exit(0);
}

struct Served {
    tools: Mutex<Vec<Value>>,
    modern: bool,
    is_old: bool,
    babbles: bool,
    directory: PathBuf,
    /// It lives on without its input.
    stays: AtomicBool,
    /// It reads no more.
    is_deaf: AtomicBool,
    /// The request for news of its tools.
    listener: Mutex<Value>,
}

impl Served {
    fn run(self: Arc<Self>) {
        if self.babbles {
            self.say_raw("Welcome to the server!\n{\"almost\": ");
            self.say_raw("\n\u{1b}[31mnot a message\n");
        }
        for line in stdin().lock().lines() {
            let Ok(line) = line else { return };
            while self.is_deaf.load(Ordering::Relaxed) {
                thread::sleep(Duration::from_secs(3600));
            }
            let Ok(message) = serde_json::from_str::<Value>(&line) else { continue };
            let served = Arc::clone(&self);
            match message["method"].as_str() {
                Some("tools/call") => drop(thread::spawn(move || served.call(&message))),
                Some("notifications/cancelled") => {
                    self.note("cancelled");
                }
                Some(method) if !message["id"].is_null() => self.answer(method, &message),
                _ => {}
            }
        }
    }

    fn answer(&self, method: &str, message: &Value) {
        let capabilities = json!({"tools": {"listChanged": true}});
        let info = json!({"name": "peer", "version": "1"});
        let result = match method {
            "initialize" => json!({"protocolVersion": "2025-11-25", "capabilities": capabilities,
                "serverInfo": info}),
            "server/discover" if self.modern => {
                json!({"resultType": "complete", "supportedVersions": ["2026-07-28"],
                    "capabilities": capabilities, "serverInfo": info, "ttlMs": 0,
                    "cacheScope": "private"})
            }
            "tools/list" => {
                json!({"resultType": "complete", "tools": *self.tools.lock().expect("nobody panics with it")})
            }
            "subscriptions/listen" if self.modern => {
                *self.listener.lock().expect("nobody panics with it") = message["id"].clone();
                return self.tell("notifications/subscriptions/acknowledged", &message["params"]);
            }
            _ if self.is_old => exit(9),
            _ => {
                let error = json!({"code": -32601, "message": "no such method"});
                return self.say(&json!({"jsonrpc": "2.0", "id": message["id"], "error": error}));
            }
        };
        self.say(&json!({"jsonrpc": "2.0", "id": message["id"], "result": result}));
    }

    fn call(&self, message: &Value) {
        let params = &message["params"];
        let (name, arguments) = (params["name"].as_str().unwrap_or_default(), &params["arguments"]);
        let key = params["_meta"]["callsheet/idempotency-key"].as_str().unwrap_or("none");
        self.note(&format!("call {name} {key}"));
        if let Some(parent) = params["_meta"]["traceparent"].as_str() {
            self.note(&format!("part of {parent}"));
        }
        let number = |name: &str| arguments[name].as_u64().unwrap_or_default();
        let mut is_error = false;
        let mut content = None;
        let text = match name {
            "echo" => arguments.to_string(),
            "error" => {
                is_error = true;
                "the disk is full".to_owned()
            }
            "hang" => loop {
                thread::sleep(Duration::from_secs(3600));
            },
            "die" => exit(3),
            "hang_up" => {
                for _ in 0..2 {
                    self.say(
                        &json!({"jsonrpc": "2.0", "method": "notifications/tools/list_changed"}),
                    );
                    thread::sleep(Duration::from_millis(25));
                }
                nix::unistd::close(1).expect("standard output is open");
                loop {
                    thread::sleep(Duration::from_secs(3600));
                }
            }
            "close_stdin" => {
                self.stays.store(true, Ordering::Relaxed);
                nix::unistd::close(0).expect("standard input is open");
                "closed".to_owned()
            }
            "deaf" => {
                self.is_deaf.store(true, Ordering::Relaxed);
                "deaf".to_owned()
            }
            "die_once" => {
                let mark = self.directory.join(format!("died {arguments}").replace('/', "_"));
                if OpenOptions::new().create_new(true).write(true).open(mark).is_ok() {
                    let _ = std::io::stderr().write_all(b"out of memory\n");
                    exit(4);
                }
                "alive".to_owned()
            }
            "slow" => {
                thread::sleep(Duration::from_millis(number("ms")));
                "done".to_owned()
            }
            "big" => "x".repeat(usize::try_from(number("bytes")).unwrap_or_default()),
            "progress" => {
                for step in 0..number("times") {
                    thread::sleep(Duration::from_millis(number("ms")));
                    let progress = json!({"progressToken": params["_meta"]["progressToken"],
                        "progress": step + 1, "total": number("times"), "message": "working"});
                    self.say(&json!({"jsonrpc": "2.0", "method": "notifications/progress",
                        "params": progress}));
                }
                "done".to_owned()
            }
            "env" => {
                let mut names: Vec<_> = std::env::vars().map(|(name, _)| name).collect();
                names.sort();
                names.join(" ")
            }
            "fork" => {
                let shell = Command::new("sh")
                    .args(["-c", "sleep 1000 >/dev/null 2>&1 & echo $!"])
                    .output();
                String::from_utf8_lossy(&shell.expect("there is `sh`").stdout).trim().to_owned()
            }
            "change" => {
                let added = json!({"name": "added", "inputSchema": {"type": "object"}});
                *self.tools.lock().expect("nobody panics with it") = vec![added];
                self.tell("notifications/tools/list_changed", &json!({}));
                "changed".to_owned()
            }
            "image" => {
                content = Some(json!([{"type": "image", "data": "aGVsbG8h",
                    "mimeType": "image/png"}]));
                String::new()
            }
            name => name.to_owned(),
        };
        let content = content.unwrap_or_else(|| json!([{"type": "text", "text": text}]));
        let result = json!({"resultType": "complete", "content": content, "isError": is_error});
        self.say(&json!({"jsonrpc": "2.0", "id": message["id"], "result": result}));
    }

    /// Tells all, or in the revision without a handshake whoever asked for news; it waits for that.
    fn tell(&self, method: &str, params: &Value) {
        let mut params = params.clone();
        if self.modern {
            let listener = || self.listener.lock().expect("nobody panics with it").clone();
            while listener().is_null() {
                thread::sleep(Duration::from_millis(5));
            }
            params["_meta"] = json!({"io.modelcontextprotocol/subscriptionId": listener()});
        }
        self.say(&json!({"jsonrpc": "2.0", "method": method, "params": params}));
    }

    fn say(&self, message: &Value) {
        if self.babbles {
            self.say_raw("[debug] about to answer\n");
        }
        self.say_raw(&format!("{message}\n"));
    }

    fn say_raw(&self, text: &str) {
        let mut out = stdout().lock();
        let _ = out.write_all(text.as_bytes()).and_then(|()| out.flush());
    }

    fn note(&self, line: &str) {
        let file = self.directory.join("notes");
        let mut file = OpenOptions::new().create(true).append(true).open(file).expect("it opens");
        file.write_all(format!("{line}\n").as_bytes()).expect("it is written");
    }
}
