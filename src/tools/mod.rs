//! What the model may call: the trait, typed tools from plain async functions, and the worker actor
//! that runs the calls of one tool type for one session.
//!
//! A tool never sees arguments that break its schema, and nothing it does (an error, a panic, a
//! call that never ends) reaches its siblings: each call runs guarded, apart from its worker.
//! Absent: restart decisions, which are the supervisor's.

mod admission;
mod backoff;
mod binary;
mod bound;
mod breadcrumb;
mod cache;
mod call_limits;
mod care;
mod circuit;
#[cfg(unix)]
mod command;
mod completion;
mod context;
mod crash_log;
mod deadline;
mod demo;
#[cfg(feature = "cli")]
mod ending;
mod error;
mod failure;
mod failure_rate;
#[cfg(unix)]
mod group;
mod guard;
mod health;
pub mod http;
mod large_result;
mod names;
mod places;
mod probe;
mod quick_check;
mod read_result;
mod result_limit;
mod running;
mod secrets;
mod set;
mod shared;
mod source;
mod spec;
mod stable_hash;
mod terms;
mod threads;
mod tries;
mod typed;
mod worker;

pub use backoff::Backoff;
pub use cache::CacheScope;
pub use call_limits::RateLimit;
#[cfg(unix)]
pub use command::{Program, ProgramError, Stdin};
pub use context::{CallContext, TypedContext};
pub use demo::{Demo, Simulation, demo_tools};
pub use error::Error;
pub use failure::Failure;
pub use secrets::Secrets;
pub use set::{SetError, ToolSet};
pub use shared::ToolHealth;
pub use source::{ToolPublisher, ToolSource};
pub use spec::{Make, Origin, Tool, ToolFuture, ToolType};

pub(crate) use backoff::uniform;
pub(crate) use bound::Bound;
pub(crate) use breadcrumb::{Breadcrumb, Mark};
pub(crate) use cache::{CacheKey, Caching};
pub(crate) use call_limits::CallLimits;
pub(crate) use circuit::{Blame, Trip};
pub(crate) use completion::{Completer, Completion, Completions};
pub(crate) use context::{CallNews, Facts, News};
pub(crate) use crash_log::{Crash, CrashLog, Ends};
pub(crate) use deadline::later;
#[cfg(feature = "cli")]
pub(crate) use ending::end_processes;
pub(crate) use failure_rate::MaxFailureRate;
#[cfg(all(feature = "mcp", unix))]
pub(crate) use group::Group;
pub(crate) use guard::message_of;
pub(crate) use health::{Health, Tolerance};
pub(crate) use large_result::LargeResults;
pub(crate) use running::{Begun, Running};
pub(crate) use stable_hash::stable_hash;
pub(crate) use terms::{Capacity, Rules, Terms};
#[cfg(feature = "mcp")]
pub(crate) use tries::Absent;
pub(crate) use tries::Spent;
pub(crate) use worker::{Assignment, Ended, Order, Post, RunCall, ToolWorker, Waits};
