//! What is said between us and a model: values, and the codec of Chat Completions.
//!
//! Bytes in, values out, and back. Absent: IO, clocks, randomness, and any opinion on what a call
//! means. Every field is optional, unknown ones are kept.

mod arguments;
mod assembler;
pub mod chat;
mod envelope;
mod error;
mod extra;
mod reply;
mod sse;
pub mod stream;

pub use arguments::Arguments;
pub use error::{ApiError, Error};
pub use extra::Extra;
pub use reply::{Call, Finish, Reply, Usage};
