//! Runs the codec over what real servers sent and accepted. The recordings lie outside of the repository: set
//! `CALLSHEET_WIRE_CAPTURES` to their folder. Without it these tests pass without a look at anything.
//!
//! | in the folder | what | test |
//! |---|---|---|
//! | `index.csv`, `captures/`, `expected/` | replies of hosted providers and what they mean | `replies` |
//! | `llama-server/` | requests to a local server and its replies | `llama_server` |
//! | `requests/` | bodies that providers accepted | `requests` |

mod llama_server;
mod replies;
mod requests;

use std::path::PathBuf;

use super::chat::decode_reply;
use super::{Error, Reply, StreamDecoder};

/// The folder of the recordings, if there is one.
fn folder() -> Option<PathBuf> {
    let folder = std::env::var_os("CALLSHEET_WIRE_CAPTURES").map(PathBuf::from);
    if folder.is_none() {
        println!("skipped: CALLSHEET_WIRE_CAPTURES is not set");
    }
    folder
}

/// How a body is given to a decoder.
const CUTS: [&str; 3] = ["whole", "7 bytes", "1 byte"];

/// The reply in `body`, given to the decoder of streams in pieces. It reads a body that is no stream, too.
fn decode(body: &[u8], cut: &str) -> Result<Reply, Error> {
    let size = match cut {
        "7 bytes" => 7,
        "1 byte" => 1,
        _ => body.len().max(1),
    };
    let mut decoder = StreamDecoder::new();
    let mut events = Vec::new();
    for piece in body.chunks(size) {
        if let Err(error) = decoder.feed(piece, &mut events) {
            return match (error, decoder.finish()) {
                (Error::Api(_), Err(cut)) => Err(cut),
                (error, _) => Err(error),
            };
        }
    }
    decoder.finish()
}

/// As [`decode`]; a body without events is also read by the decoder of whole replies.
fn decode_file(file: &str, body: &[u8], cut: &str) -> Result<Reply, Error> {
    match file.ends_with(".json") && cut == "whole" {
        true => decode_reply(body),
        false => decode(body, cut),
    }
}

fn same<T: PartialEq + std::fmt::Debug>(what: &str, expected: T, found: T) -> Result<(), String> {
    match expected == found {
        true => Ok(()),
        false => Err(format!("{what}: expected {expected:?}, found {found:?}")),
    }
}
