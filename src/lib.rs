//! Callsheet: an actor runtime for an LLM's tool calls.
//!
//! A model asks for several tools in one turn. Callsheet runs them at the same time on supervised
//! actors, links every result to its call, goes on with the conversation, and shows where each
//! millisecond went. Whatever a tool does (panic, hang, fail, lie), every call of a reply is
//! answered once, in order, so that no provider ever refuses the history.
//!
//! ```text
//! your program ─► Session ─► Coordinator ── asks ──► Model (HTTP, scripted, yours)
//!                               │  ▲  RunCall messages, gathered as futures
//!                               ▼  │
//!                            ToolWorker, one per tool type: call, call, call …
//!                               ▲
//!                            Supervisor: rebuilds what panicked, reports each round
//! ```
//!
//! # Where things are
//!
//! A folder may lean on what stands before it, never on what stands behind it.
//!
//! | folder | holds | absent from it |
//! |---|---|---|
//! | [`wire`] | the codec of Chat Completions: bytes ↔ values | IO, clocks, opinions |
//! | [`model`] | `trait Model`, the HTTP client, streaming, errors that say what to do next | what a reply means |
//! | [`conversation`] | the turn as a pure state machine, the one event type, the transcript | actix, tokio, clocks |
//! | [`tools`] | `trait Tool`, typed and blocking tools, HTTP endpoints and programs (Unix) as tools, the guard round each call, its limits, tries and circuit, the worker actor | restart decisions |
//! | [`supervision`] | the restart policy, when a tool is withdrawn, the future that rebuilds workers, the round's report | tools' results |
//! | `mcp` (feature) | servers of the Model Context Protocol, supervised, and their tools | what a session does with them |
//! | [`store`] | `trait Journal`, `trait Store` and the memory store | what happens next |
//! | [`session`] | the coordinator actor, the watchdog, the handles [`Runtime`] and [`Session`] | addresses outside |
//! | [`observe`] | what an operator watches: numbers of tools, sessions and rounds, made of what is told of sessions | what a session does |
//! | `server` (feature) | the HTTP API and the page, to be mounted in an actix-web app or served | what a question does |
//! | [`panic_hook`] | a panic hook that shows a few panics a second and counts the rest; yours to install | the rest of the crate |
//! | `mock_model` (feature) | a Chat Completions server on loopback: the stand-in, scripts | the rest of the crate |
//! | `cli`, `config` (feature `cli`) | the command and its settings; with `mcp`, our tools for others | |
//! | `testing` (feature) | a scripted model and the paused clock | |
//!
//! # Where to begin
//!
//! [`Runtime::builder`], [`ToolType::typed`], [`SessionOptions::new`] and [`Session::ask`] are a
//! whole program; `examples/` has two. Record, then act: a step is in the journal before its
//! effect begins, and a session's state is a fold over its [`Event`]s. [`Runtime::shutdown`] ends it
//! all in good order; [`Runtime::stuck_arbiters`] names a tool that blocks its thread, and
//! [`ToolType::health`] says how a tool is.
//!
//! # Sessions that outlive the process
//!
//! With a [`store`] that keeps them ([`session::RuntimeBuilder::journal`]), sessions can be opened
//! again by their ids ([`SessionOptions::id`]), here or in another process, by one owner at a time.
//! A turn that was cut when its process ended goes on with [`Session::resume`]; what becomes of each
//! of its calls is a [plan](conversation::ResumePlan) that can be looked at before. A session to
//! which nothing is sent sleeps, and wakes with the next question
//! ([`session::RuntimeBuilder::sleep_after`]).
//!
//! # Calls that a person approves
//!
//! A call of a tool with [`ToolType::approval`] does not begin before somebody has decided about it with
//! [`Session::decide`]. Which calls are asked about the state machine says; the question and the decision
//! are events, so that they outlive the process. While one waits, nothing else does, and the time limits of
//! its round and its turn stand still. Without anybody who decides a session simply waits;
//! [`SessionOptions::approve_tools`] and [`SessionOptions::deny_unasked`] decide beforehand.
//!
//! ```
//! # #[cfg(feature = "testing")] {
//! use callsheet::testing::{self, ScriptedModel, reply};
//! use callsheet::{Approval, CallContext, Decision, SessionOptions, ToolSet, ToolType};
//! use std::sync::Arc;
//!
//! #[derive(serde::Deserialize, schemars::JsonSchema)]
//! struct Payment { amount: u64 }
//!
//! async fn pay(payment: Payment, _: CallContext) -> Result<String, String> {
//!     Ok(format!("paid {}", payment.amount))
//! }
//!
//! testing::run(async {
//!     let model = ScriptedModel::new([reply().call("pay", r#"{"amount": 3}"#), reply().text("done")]);
//!     let tool = ToolType::typed("pay", "Pays", pay).approval(Approval::Always);
//!     let options = SessionOptions::new(model, Arc::new(ToolSet::new([tool])?));
//!     let session = testing::runtime().session(options);
//!     let mut events = session.events();
//!     let person = async {
//!         while let Some(record) = events.next().await {
//!             if let Some(call) = record.event.waiting_call(session.id()) {
//!                 return session.decide(&call, Decision::Approved).await;
//!             }
//!         }
//!         Ok(())
//!     };
//!     let (answer, decided) = tokio::join!(session.ask("Pay them 3"), person);
//!     decided?;
//!     assert_eq!(answer?.report.rounds[0].calls[0].result.as_deref(), Some("paid 3"));
//!     Ok::<_, Box<dyn std::error::Error>>(())
//! }).unwrap();
//! # }
//! ```

#[cfg(feature = "cli")]
pub mod cli;
#[cfg(feature = "cli")]
pub mod config;
pub mod conversation;
#[cfg(any(feature = "cli", feature = "server"))]
mod document;
mod failpoint;
#[cfg(feature = "mcp")]
pub mod mcp;
#[cfg(feature = "mock-model")]
pub mod mock_model;
pub mod model;
pub mod observe;
pub mod panic_hook;
mod sabotage;
#[cfg(feature = "server")]
pub mod server;
pub mod session;
pub mod store;
pub mod supervision;
mod telemetry;
#[cfg(feature = "testing")]
pub mod testing;
pub mod tools;
pub mod wire;

pub use conversation::{
    Approval, Budget, Budgets, CallKey, Decision, Effects, Event, GivenHistory, Limits, Mode,
    Outcome, OutcomeKind, Record, SessionId,
};
pub use model::{ApiKey, Endpoint, HttpModel, Model};
pub use session::{
    Answer, Asked, DecideError, Error, EventStream, ModelRetries, Question, Runtime, Session,
    SessionEvent, SessionOptions,
};
pub use supervision::{CallReport, RoundReport};
pub use tools::{CallContext, Tool, ToolSet, ToolType};

/// Keeps the README's code in step with the library.
#[cfg(doctest)]
#[doc = include_str!("../README.md")]
struct Readme;
