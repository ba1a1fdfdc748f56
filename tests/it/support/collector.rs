//! An OTLP receiver in this process, that decodes what it is sent.

use std::io::{BufRead, BufReader, Read, Write};
use std::net::{TcpListener, TcpStream};
use std::sync::{Arc, Mutex};
use std::thread;

use opentelemetry_proto::tonic::collector::trace::v1::ExportTraceServiceRequest;
use opentelemetry_proto::tonic::common::v1::{KeyValue, any_value::Value};
use opentelemetry_proto::tonic::trace::v1::Span;
use prost::Message;

/// Receives as long as the process lives.
pub struct Collector {
    pub url: String,
    received: Arc<Mutex<Received>>,
}

#[derive(Clone, Default)]
pub struct Received {
    pub spans: Vec<Span>,
    /// The attributes of the resources.
    pub resource: Vec<KeyValue>,
    /// The path and the headers of each request.
    pub heads: Vec<String>,
}

impl Collector {
    /// Answers every request with `status`.
    pub fn start(status: &'static str) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").expect("a port is free");
        let url = format!("http://{}", listener.local_addr().expect("it has an address"));
        let received = Arc::new(Mutex::new(Received::default()));
        let taker = Arc::clone(&received);
        thread::spawn(move || {
            for stream in listener.incoming().flatten() {
                let mut reader = BufReader::new(stream);
                if let Some((head, request)) = take(&mut reader) {
                    taker.lock().expect("no test panics with it").add(head, request);
                }
                // Whoever is answered may look at what was received.
                let head = format!("HTTP/1.1 {status}\r\ncontent-length: 0\r\n");
                let answer = format!("{head}connection: close\r\n\r\n");
                let _ = reader.get_mut().write_all(answer.as_bytes());
            }
        });
        Self { url, received }
    }

    pub fn received(&self) -> Received {
        self.received.lock().expect("no test panics with it").clone()
    }
}

impl Received {
    fn add(&mut self, head: String, request: ExportTraceServiceRequest) {
        self.heads.push(head);
        for of_resource in request.resource_spans {
            let resource = of_resource.resource.unwrap_or_default();
            self.resource.extend(resource.attributes);
            let scopes = of_resource.scope_spans.into_iter();
            self.spans.extend(scopes.flat_map(|scope| scope.spans));
        }
    }
}

fn take(reader: &mut BufReader<TcpStream>) -> Option<(String, ExportTraceServiceRequest)> {
    let (mut head, mut length) = (String::new(), 0);
    loop {
        let mut line = String::new();
        reader.read_line(&mut line).ok().filter(|read| *read > 0)?;
        let line = line.trim_end().to_ascii_lowercase();
        if let Some(value) = line.strip_prefix("content-length:") {
            length = value.trim().parse().ok()?;
        }
        if line.is_empty() {
            break;
        }
        head.push_str(&line);
        head.push('\n');
    }
    let mut body = vec![0; length];
    reader.read_exact(&mut body).ok()?;
    Some((head, ExportTraceServiceRequest::decode(&*body).expect("it is protobuf")))
}

/// The value of the attribute `key`, as text.
pub fn attribute(attributes: &[KeyValue], key: &str) -> Option<String> {
    let found = attributes.iter().find(|attribute| attribute.key == key)?;
    Some(match found.value.clone()?.value? {
        Value::StringValue(text) => text,
        Value::IntValue(number) => number.to_string(),
        Value::DoubleValue(number) => number.to_string(),
        Value::BoolValue(is) => is.to_string(),
        other => format!("{other:?}"),
    })
}
