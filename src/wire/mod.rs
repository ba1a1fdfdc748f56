//! The vocabulary of a model's reply, neutral to its provider, and the codec of Chat Completions: bytes to values and back.
//!
//! Absent here on purpose: IO, a clock, randomness, tokio. Everything is a function of the bytes given,
//! so any cutting of a stream gives the same values, and a test needs no server.
//!
//! | to do this | use |
//! |---|---|
//! | read a reply that came whole | [`chat::decode_reply`] |
//! | read a reply while it is written | [`StreamDecoder`] |
//! | read the body of a refused request | [`chat::error_in`] |
//! | write the next request | [`chat::Request`], [`chat::write_user`], [`Reply::write_message`], … |

mod arguments;
mod assembler;
pub mod chat;
mod closing;
mod error;
mod extra;
mod finish;
mod gather;
mod ids;
pub(crate) mod json;
pub(crate) mod names;
mod reasoning;
mod reply;
mod shape;
pub mod sse;
mod stream;

pub use arguments::Arguments;
pub use assembler::CallView;
pub use error::{ApiError, Error};
pub use extra::Extra;
pub use finish::Finish;
pub use reply::{Call, Reply, Usage};
pub use stream::{Certainty, StreamDecoder, StreamEvent};

/// How many calls one reply may hold: more than a model can mean, and few enough to hold.
pub(crate) const MAX_CALLS: usize = 10_000;

/// How many bytes one reply may hold in all, its text, reasoning, calls and unknown fields together:
/// 32 MiB, some ten times what the longest replies have. What a reply takes in memory is at most a few
/// times as much.
pub const MAX_REPLY_BYTES: usize = 32 << 20;

#[cfg(test)]
mod captures;
