//! A client that says and hears every message itself.

use std::io::{BufRead, BufReader, Write};
use std::process::{Child, ChildStdin, Stdio};
use std::sync::mpsc::{Receiver, channel};
use std::time::Duration;

use serde_json::{Value, json};

use crate::support::cli::{Ended, Place, ends_soon};

/// More than anything here takes.
const PATIENCE: Duration = Duration::from_secs(20);

/// `callsheet mcp`, and what it has said that nobody has asked for yet.
pub struct Client {
    child: Child,
    stdin: ChildStdin,
    lines: Receiver<String>,
    heard: Vec<Value>,
    last_id: u64,
}

impl Client {
    /// Starts it, and shakes hands.
    pub fn start(place: &Place, arguments: &[&str]) -> Self {
        let mut client = Self::without_handshake(place, arguments);
        let info = json!({"name": "test", "version": "1"});
        let asked =
            json!({"protocolVersion": "2025-11-25", "capabilities": {}, "clientInfo": info});
        let id = client.request("initialize", asked);
        let answer = client.answer(id);
        assert_eq!(answer["result"]["protocolVersion"], "2025-11-25", "{answer}");
        client.notify("notifications/initialized", json!({}));
        client
    }

    pub fn without_handshake(place: &Place, arguments: &[&str]) -> Self {
        let arguments = [&["mcp"], arguments].concat();
        let mut command = place.command(&arguments);
        let mut child = command.stdin(Stdio::piped()).spawn().expect("the binary runs");
        let stdin = child.stdin.take().expect("standard input is a pipe");
        let stdout = BufReader::new(child.stdout.take().expect("standard output is a pipe"));
        let (tell, lines) = channel();
        std::thread::spawn(move || {
            for line in stdout.lines().map_while(Result::ok) {
                let _ = tell.send(line);
            }
        });
        Self { child, stdin, lines, heard: Vec::new(), last_id: 0 }
    }

    /// Asks for something; gives the request's id.
    pub fn request(&mut self, method: &str, params: Value) -> u64 {
        self.last_id += 1;
        let id = self.last_id;
        self.say(&json!({"jsonrpc": "2.0", "id": id, "method": method, "params": params}));
        id
    }

    pub fn notify(&mut self, method: &str, params: Value) {
        self.say(&json!({"jsonrpc": "2.0", "method": method, "params": params}));
    }

    /// Asks for a call; gives the request's id.
    pub fn call(&mut self, tool: &str, arguments: Value) -> u64 {
        self.request("tools/call", json!({"name": tool, "arguments": arguments}))
    }

    /// The result of a call.
    pub fn called(&mut self, tool: &str, arguments: Value) -> Value {
        let id = self.call(tool, arguments);
        self.answer(id)["result"].take()
    }

    /// Waits for the answer to a request.
    #[track_caller]
    pub fn answer(&mut self, id: u64) -> Value {
        self.hear(|message| message["id"] == id && message["method"].is_null())
    }

    /// Waits for a notification.
    #[track_caller]
    pub fn notified(&mut self, method: &str) -> Value {
        self.hear(|message| message["method"] == method)
    }

    /// What was said before that nobody has waited for.
    pub fn heard(&self) -> &[Value] {
        &self.heard
    }

    #[track_caller]
    fn hear(&mut self, is_it: impl Fn(&Value) -> bool) -> Value {
        if let Some(place) = self.heard.iter().position(&is_it) {
            return self.heard.remove(place);
        }
        loop {
            let line = self.lines.recv_timeout(PATIENCE).expect("it says something in time");
            let message: Value = serde_json::from_str(&line).expect("nothing but messages");
            if is_it(&message) {
                return message;
            }
            self.heard.push(message);
        }
    }

    fn say(&mut self, message: &Value) {
        self.say_raw(&message.to_string());
    }

    pub fn say_raw(&mut self, line: &str) {
        self.stdin.write_all(format!("{line}\n").as_bytes()).expect("it listens");
    }

    pub fn process(&self) -> &Child {
        &self.child
    }

    /// Closes its standard input, and waits for its end.
    #[track_caller]
    pub fn end(self) -> (Ended, Vec<String>) {
        drop(self.stdin);
        let ended = ends_soon(self.child);
        (ended, self.lines.into_iter().collect())
    }
}

/// The text of a result, and whether it is an error.
pub fn told(result: &Value) -> (&str, bool) {
    let text = result["content"][0]["text"].as_str().unwrap_or_default();
    (text, result["isError"] == true)
}

/// How the call ended, and its error's code, as the report in the result has it.
pub fn outcome<'a>(result: &'a Value) -> (&'a str, &'a str) {
    let report = &result["_meta"]["callsheet/report"];
    let text = |value: &'a Value| value.as_str().unwrap_or_default();
    (text(&report["outcome"]), text(&report["error"]["code"]))
}
