//! The HTTP API, mounted in an app, on a paused clock.

mod access;
mod approvals;
mod chat;
mod chat_rounds;
mod ending;
mod events;
mod failing_stores;
mod questions;
mod sessions;
mod site;
mod tools;
