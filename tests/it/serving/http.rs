//! A client that speaks HTTP by hand: it may stop, be slow, or say what no library would.

use std::process::Child;

use serde_json::Value;
use tokio::io::{AsyncBufReadExt, AsyncReadExt, AsyncWriteExt, BufReader};
use tokio::net::TcpStream;

use crate::support::cli::Place;

/// `callsheet serve` on a free port; killed with the test if it does not end before.
pub struct Served {
    pub child: Option<Child>,
    pub addr: String,
}

impl Served {
    /// Serves `place` with the offline stand-in, and with further `arguments`.
    pub fn start(place: &Place, arguments: &[&str]) -> Self {
        let mut all = vec!["serve", "--bind", "127.0.0.1:0", "--set", "model.provider=offline"];
        all.extend(arguments);
        let (child, url) = place.serve(&all);
        let addr = url.strip_prefix("http://").expect("it says where it is").to_owned();
        Self { child: Some(child), addr }
    }

    pub async fn connect(&self) -> TcpStream {
        TcpStream::connect(&self.addr).await.expect("it listens")
    }

    /// Sends a request, and reads the answer's head.
    pub async fn send(&self, method: &str, path: &str, headers: &str, body: &str) -> Answer {
        send(&self.addr, method, path, headers, body).await
    }

    pub async fn get(&self, path: &str) -> Answer {
        self.send("GET", path, "", "").await
    }

    pub async fn post(&self, path: &str, body: &Value) -> Answer {
        self.send("POST", path, "", &body.to_string()).await
    }

    /// Makes a session and asks in it; the answer is a stream.
    pub async fn ask(&self, session: &str, text: &str) -> Answer {
        let made = self.post("/v1/sessions", &serde_json::json!({"id": session})).await;
        assert_eq!(made.status, 201, "{session}");
        let path = format!("/v1/sessions/{session}/messages");
        self.post(&path, &serde_json::json!({"content": text})).await
    }

    /// Bytes of memory that the process holds.
    #[cfg(target_os = "linux")]
    pub fn memory(&self) -> u64 {
        let id = self.child.as_ref().expect("it runs").id();
        let status = std::fs::read_to_string(format!("/proc/{id}/status")).expect("it runs");
        let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:")).expect("a size");
        let kib: u64 = line.trim().trim_end_matches(" kB").trim().parse().expect("a number");
        kib * 1024
    }
}

impl Drop for Served {
    fn drop(&mut self) {
        if let Some(mut child) = self.child.take() {
            let _ = child.kill();
            let _ = child.wait();
        }
    }
}

/// Sends a request to `addr`, and reads the answer's head.
pub async fn send(addr: &str, method: &str, path: &str, headers: &str, body: &str) -> Answer {
    let mut stream = TcpStream::connect(addr).await.expect("it listens");
    let length = body.len();
    let request = format!(
        "{method} {path} HTTP/1.1\r\nhost: {addr}\r\ncontent-type: application/json\r\n{headers}content-length: {length}\r\n\r\n{body}"
    );
    stream.write_all(request.as_bytes()).await.expect("it reads");
    Answer::read(stream).await
}

/// An answer whose body may still be on its way.
pub struct Answer {
    pub status: u16,
    pub head: String,
    stream: BufReader<TcpStream>,
    is_chunked: bool,
    length: usize,
    read: Vec<u8>,
}

impl Answer {
    /// Reads the head of an answer.
    pub async fn read(stream: TcpStream) -> Self {
        let mut stream = BufReader::new(stream);
        let (mut head, mut line) = (String::new(), String::new());
        loop {
            line.clear();
            let count = stream.read_line(&mut line).await.expect("text");
            head.push_str(&line.to_ascii_lowercase());
            if count == 0 || line.trim().is_empty() {
                break;
            }
        }
        let status = head.split(' ').nth(1).and_then(|status| status.parse().ok()).unwrap_or(0);
        let is_chunked = head.contains("transfer-encoding: chunked");
        let length = head.lines().find_map(|line| line.strip_prefix("content-length:"));
        let length = length.and_then(|length| length.trim().parse().ok()).unwrap_or(0);
        Self { status, head, stream, is_chunked, length, read: Vec::new() }
    }

    async fn more(&mut self) -> bool {
        if !self.is_chunked {
            let mut rest = vec![0; std::mem::take(&mut self.length)];
            let is_there = !rest.is_empty() && self.stream.read_exact(&mut rest).await.is_ok();
            self.read.append(&mut rest);
            return is_there;
        }
        let mut line = String::new();
        if self.stream.read_line(&mut line).await.unwrap_or(0) == 0 {
            return false;
        }
        let size = usize::from_str_radix(line.trim(), 16).expect("the size of a chunk");
        let mut chunk = vec![0; size + 2];
        self.stream.read_exact(&mut chunk).await.expect("a whole chunk");
        self.read.extend_from_slice(&chunk[..size]);
        size > 0
    }

    pub async fn text(mut self) -> String {
        while self.more().await {}
        String::from_utf8(self.read).expect("text")
    }

    pub async fn json(self) -> Value {
        let text = self.text().await;
        serde_json::from_str(&text).unwrap_or_else(|error| panic!("{error}: {text}"))
    }

    /// The next event's name and data; `None` once the stream has ended.
    pub async fn event(&mut self) -> Option<(String, Value)> {
        loop {
            let end = self.read.windows(2).position(|two| two == b"\n\n");
            let Some(end) = end else {
                if self.more().await {
                    continue;
                }
                return None;
            };
            let block: Vec<u8> = self.read.drain(..end + 2).collect();
            let block = String::from_utf8(block).expect("text");
            let field = |name: &str| block.lines().find_map(|line| line.strip_prefix(name));
            if let Some(name) = field("event: ") {
                let data = serde_json::from_str(field("data: ").unwrap_or("null")).expect("JSON");
                return Some((name.to_owned(), data));
            }
        }
    }

    /// Reads up to the event `name`, and gives its data.
    pub async fn until(&mut self, name: &str) -> Value {
        loop {
            match self.event().await {
                Some((found, data)) if found == name => return data,
                Some(_) => {}
                None => panic!("the stream ended without {name}"),
            }
        }
    }
}

/// Runs a test with real time and real connections.
pub fn run<T>(test: impl Future<Output = T>) -> T {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
    runtime.expect("a runtime").block_on(test)
}
