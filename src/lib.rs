//! Callsheet: an actor runtime for an LLM's tool calls.

#[cfg(feature = "cli")]
pub mod cli;
#[cfg(feature = "cli")]
pub mod config;
pub mod conversation;
#[cfg(feature = "mock-model")]
pub mod mock_model;

pub mod model;
pub mod session;
pub mod store;
pub mod supervision;
pub mod tools;
pub mod wire;

pub use conversation::{
    CallKey, Effects, Event, Limits, Mode, Outcome, OutcomeKind, Record, SessionId,
};
pub use model::{ApiKey, Endpoint, HttpModel, Model};
pub use session::{
    Answer, Error, EventStream, Question, Runtime, Session, SessionEvent, SessionOptions,
};
pub use supervision::{CallReport, RoundReport};
pub use tools::{CallContext, Tool, ToolSet, ToolType};
#[cfg(feature = "testing")]
pub mod testing;
