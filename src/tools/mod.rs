//! What the model may call: the trait, typed tools from plain async functions, and the worker actor
//! that runs the calls of one tool type for one session.
//!
//! A tool never sees arguments that break its schema, and nothing it does (an error, a panic, a
//! call that never ends) reaches its siblings: each call runs guarded, apart from its worker.
//! Absent: restart decisions, which are the supervisor's.

mod completion;
mod context;

mod demo;
mod error;
mod guard;
mod health;
mod quick_check;
mod running;
mod set;
mod spec;
mod typed;
mod worker;

pub use context::{CallContext, TypedContext};

pub use demo::{Demo, Simulation, demo_tools};
pub use error::Error;
pub use set::{SetError, ToolSet};
pub use spec::{Make, Tool, ToolFuture, ToolType};

pub(crate) use completion::{Completer, Completion, Completions};
pub(crate) use context::Facts;
pub(crate) use guard::message_of;
pub(crate) use health::Health;
pub(crate) use running::{Begun, Running};
pub(crate) use worker::{
    Assignment, CallProgressed, Ended, Order, Post, RunCall, ToolWorker, Waits,
};
