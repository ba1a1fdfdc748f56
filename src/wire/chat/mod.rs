//! Chat Completions: the JSON of requests, replies, chunks and errors.
//!
//! Reading is lenient, since every provider has its own idea of the protocol: each field is optional, each may have
//! any type, unknown ones are kept. Writing is strict, and copies bytes: no JSON tree is built in either direction.

pub(super) mod chunk;
mod error_body;
mod error_parts;
mod given;
mod message;
mod reply;
mod request;
mod usage;

pub use error_body::error_in;
pub(super) use error_body::{error_beside, error_in_text};
pub use given::{Given, read_given};
pub(super) use message::write_string;
pub use message::{
    Message, Role, decode_messages, write_assistant, write_named_result, write_system,
    write_tool_result, write_user,
};
pub use reply::{decode_reply, usage_in};
pub use request::{Fields, Request, ToolSpec, write_tools};
