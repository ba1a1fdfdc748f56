//! A model server that has no memory: what it says depends on the history that it is sent alone, so
//! that it goes on wherever a process was killed. It refuses what a strict provider refuses.

use std::io::{BufRead, BufReader, Read, Result, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use callsheet::testing;
use callsheet::wire::chat;
use serde::Deserialize;
use serde_json::value::RawValue;
use serde_json::{Value, json};

/// How many rounds of calls a turn has.
const ROUNDS: usize = 3;

/// Between two pieces of a reply.
const PAUSE: Duration = Duration::from_millis(8);

/// A server on a thread of its own, until the test process ends.
pub struct Model {
    address: SocketAddr,
    violations: Arc<Mutex<Vec<String>>>,
}

#[derive(Deserialize)]
struct Body {
    messages: Box<RawValue>,
}

impl Model {
    pub fn start() -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").expect("loopback has a free port");
        let address = listener.local_addr().expect("it is bound");
        let violations = Arc::<Mutex<Vec<String>>>::default();
        let found = Arc::clone(&violations);
        std::thread::spawn(move || {
            for stream in listener.incoming() {
                let found = Arc::clone(&found);
                // A client that is killed is what the test wants.
                std::thread::spawn(move || stream.and_then(|stream| serve(stream, &found)));
            }
        });
        Self { address, violations }
    }

    pub fn url(&self) -> String {
        format!("http://{}/v1", self.address)
    }

    pub fn violations(&self) -> Vec<String> {
        self.violations.lock().expect("nobody panics with it").clone()
    }
}

fn serve(stream: TcpStream, violations: &Mutex<Vec<String>>) -> Result<()> {
    stream.set_nodelay(true)?;
    let mut out = stream.try_clone()?;
    let mut reader = BufReader::new(stream);
    loop {
        let mut length = 0;
        loop {
            let mut line = String::new();
            if reader.read_line(&mut line)? == 0 {
                return Ok(());
            }
            let header = line.trim_end().to_ascii_lowercase();
            if let Some(value) = header.strip_prefix("content-length: ") {
                length = value.parse().unwrap_or_default();
            }
            if header.is_empty() {
                break;
            }
        }
        let mut body = vec![0; length];
        reader.read_exact(&mut body)?;
        let body: Body = serde_json::from_slice(&body)?;
        let list = body.messages.get().trim_start_matches('[').trim_end_matches(']');
        let messages = chat::decode_messages(list.as_bytes()).expect("a history");
        let found = testing::violations(&messages);
        violations.lock().expect("nobody panics with it").extend(found);
        let round = messages.iter().filter(|message| message.role == chat::Role::Assistant).count();
        reply(&mut out, round)?;
    }
}

/// Writes the reply of a round, piece by piece.
fn reply(out: &mut TcpStream, round: usize) -> Result<()> {
    out.write_all(
        b"HTTP/1.1 200 OK\r\ncontent-type: text/event-stream\r\ntransfer-encoding: chunked\r\n\r\n",
    )?;
    if round >= ROUNDS {
        for text in ["do", "ne"] {
            piece(out, &json!({"content": text}), None)?;
        }
        piece(out, &json!({}), Some("stop"))?;
    } else {
        for (index, tool) in ["read", "pay", "put", "pay", "read"].into_iter().enumerate() {
            let function = json!({"name": tool, "arguments": ""});
            let id = format!("r{round}c{index}");
            let call = json!({"index": index, "id": id, "type": "function", "function": function});
            piece(out, &json!({"tool_calls": [call]}), None)?;
            for arguments in [format!("{{\"round\": {round}, "), format!("\"call\": {index}}}")] {
                let call = json!({"index": index, "function": {"arguments": arguments}});
                piece(out, &json!({"tool_calls": [call]}), None)?;
            }
        }
        piece(out, &json!({}), Some("tool_calls"))?;
    }
    chunk(out, "data: [DONE]\n\n")?;
    out.write_all(b"0\r\n\r\n")
}

fn piece(out: &mut TcpStream, delta: &Value, finish: Option<&str>) -> Result<()> {
    std::thread::sleep(PAUSE);
    let choice = json!({"index": 0, "delta": delta, "finish_reason": finish});
    chunk(out, &format!("data: {}\n\n", json!({"id": "x", "model": "m", "choices": [choice]})))
}

fn chunk(out: &mut TcpStream, text: &str) -> Result<()> {
    out.write_all(format!("{:x}\r\n{text}\r\n", text.len()).as_bytes())
}
