//! A TCP server that answers HTTP requests with prepared bytes, also such as no HTTP library would
//! send. It runs on threads of its own, so that a test's runtime does not starve it.

use std::collections::VecDeque;
use std::io::{Read, Result, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::Receiver;
use std::sync::{Arc, Mutex};
use std::time::Duration;

/// Why no lock of the peer is ever poisoned.
const UNBROKEN: &str = "nobody panics with it";

/// What the peer does, one after another, once it has read a request. Afterwards it waits for the
/// next request on the same connection.
pub enum Step {
    /// Writes this.
    Send(String),
    /// Writes this `times` over, with a pause before each. Ends early when nobody reads any more.
    Drip { text: String, pause: Duration, times: usize },
    /// Waits for the test's word.
    Await(Receiver<()>),
    /// Says nothing more, and waits for the client to hang up.
    Stall,
    /// Closes the connection.
    Close,
    /// Resets the connection. Only as the first step: it needs a request body that was not read.
    Reset,
}

/// A request as it arrived.
#[derive(Clone, Debug)]
pub struct Heard {
    /// Counts the connections from 0.
    pub connection: usize,
    /// The request line and the headers.
    pub head: String,
    pub body: String,
}

#[derive(Default)]
struct State {
    script: Mutex<VecDeque<Vec<Step>>>,
    heard: Mutex<Vec<Heard>>,
    over: AtomicBool,
}

/// A listening peer. Dropping it closes its port.
pub struct Peer {
    addr: SocketAddr,
    state: Arc<State>,
}

impl Peer {
    /// A peer that answers the first request with the first steps, and so on. What goes beyond the
    /// script finds its connection closed.
    pub fn start(script: impl IntoIterator<Item = Vec<Step>>) -> Self {
        Self::start_at(|_| script)
    }

    /// The same with a script that knows where the peer is.
    pub fn start_at<S: IntoIterator<Item = Vec<Step>>>(
        script: impl FnOnce(SocketAddr) -> S,
    ) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").expect("loopback has a free port");
        let addr = listener.local_addr().expect("it is bound");
        let script = Mutex::new(script(addr).into_iter().collect());
        let state = Arc::new(State { script, ..State::default() });
        let shared = Arc::clone(&state);
        std::thread::spawn(move || {
            for (connection, stream) in listener.incoming().enumerate() {
                if shared.over.load(Ordering::Acquire) {
                    return;
                }
                let shared = Arc::clone(&shared);
                // A client that breaks off is what the test wants.
                std::thread::spawn(move || {
                    stream.and_then(|stream| serve(connection, stream, &shared))
                });
            }
        });
        Self { addr, state }
    }

    pub fn addr(&self) -> SocketAddr {
        self.addr
    }

    pub fn base_url(&self) -> String {
        format!("http://{}/v1", self.addr)
    }

    pub fn heard(&self) -> Vec<Heard> {
        self.state.heard.lock().expect(UNBROKEN).clone()
    }

    /// The connection that each request came on.
    pub fn connections(&self) -> Vec<usize> {
        self.heard().iter().map(|heard| heard.connection).collect()
    }
}

impl Drop for Peer {
    fn drop(&mut self) {
        self.state.over.store(true, Ordering::Release);
        drop(TcpStream::connect(self.addr)); // Wakes the thread that accepts.
    }
}

fn serve(connection: usize, mut stream: TcpStream, state: &State) -> Result<()> {
    stream.set_nodelay(true)?;
    loop {
        let head = read_head(&mut stream)?;
        let steps =
            state.script.lock().expect(UNBROKEN).pop_front().unwrap_or_else(|| vec![Step::Close]);
        if let Some(Step::Reset) = steps.first() {
            return Ok(()); // Closing a socket with unread bytes resets its connection.
        }
        let length = head.lines().find_map(|line| line.strip_prefix("content-length: "));
        let mut body =
            vec![0; length.map_or(0, |length| length.parse().expect("a length is a number"))];
        stream.read_exact(&mut body)?;
        let body = String::from_utf8(body).expect("JSON is UTF-8");
        state.heard.lock().expect(UNBROKEN).push(Heard { connection, head, body });
        for step in steps {
            match step {
                Step::Send(text) => stream.write_all(text.as_bytes())?,
                Step::Drip { text, pause, times } => {
                    for _ in 0..times {
                        std::thread::sleep(pause);
                        stream.write_all(text.as_bytes())?;
                    }
                }
                Step::Await(word) => drop(word.recv()),
                Step::Stall => drop(stream.read(&mut [0])?),
                Step::Close | Step::Reset => return Ok(()),
            }
        }
    }
}

/// Reads up to the blank line and not a byte further.
fn read_head(stream: &mut TcpStream) -> Result<String> {
    let mut head = Vec::new();
    while !head.ends_with(b"\r\n\r\n") {
        let mut byte = [0];
        stream.read_exact(&mut byte)?;
        head.push(byte[0]);
    }
    Ok(String::from_utf8_lossy(&head).into_owned())
}

/// A whole response with a body of the given type; `headers` end in `\r\n` each.
pub fn response(status: &str, content_type: &str, headers: &str, body: &str) -> Step {
    let length = body.len();
    Step::Send(format!(
        "HTTP/1.1 {status}\r\ncontent-type: {content_type}\r\n{headers}content-length: {length}\r\n\r\n{body}"
    ))
}

/// A response of 200 whose body is JSON.
pub fn json(body: &str) -> Step {
    response("200 OK", "application/json", "", body)
}

/// The head of a response whose body comes in chunks.
pub fn stream_head() -> Step {
    let head = "HTTP/1.1 200 OK\r\ncontent-type: text/event-stream\r\ntransfer-encoding: chunked";
    Step::Send(format!("{head}\r\n\r\n"))
}

/// One chunk of a body.
pub fn chunk(text: &str) -> String {
    format!("{:x}\r\n{text}\r\n", text.len())
}

/// One server-sent event, in a chunk of its own.
pub fn event(data: &str) -> String {
    chunk(&format!("data: {data}\n\n"))
}

/// The end of a body in chunks.
pub const LAST_CHUNK: &str = "0\r\n\r\n";
