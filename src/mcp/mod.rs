//! Servers of the Model Context Protocol, and their tools among a session's own.
//!
//! A server is a process or an endpoint that offers tools. Each is supervised: started, listed,
//! watched, and when it ends started again behind the same tools, with the rests of any worker's
//! restart. Its calls run like those of every tool: in a worker, guarded, within their limits.
//!
//! All connections live on a thread of their own: an arbiter that is held up stalls no server, and
//! no server an arbiter. What a server says is not trusted: not its size, not its schemas, and its
//! hints only where the settings say so.
//!
//! Absent: sampling, roots, elicitation and logging; resources and prompts other than in results.

mod call;
mod child;
mod connection;
mod content;
mod door;
mod hints;
mod http;
mod lines;
mod listing;
mod memory;
mod merge;
mod server;
mod servers;
mod settings;
mod stderr;
mod trouble;

pub use memory::LastStart;
pub use server::{Address, Condition, ServerStatus};
pub use servers::{Choice, Left, Servers};
pub use settings::{Program, Protocol, Reach, ServerSettings, ToolTerms};
