//! What each command does.

pub mod ask;
pub mod bench;
pub mod chat;
pub mod compare;
pub mod completions;
pub mod config;
pub mod doctor;
mod health;
#[cfg(feature = "mcp")]
pub mod mcp;
pub mod mock_model;
#[cfg(feature = "server")]
pub mod serve;
pub mod sessions;
pub mod tools;
