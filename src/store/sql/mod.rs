//! What the stores in SQL databases have in common: a thread of their own, one transaction for all
//! that wait, and who has which session.
//!
//! ```text
//! store ──job──► worker: a group of jobs ──► one transaction ──► answers
//!                   └─► readers, beside it
//! ```

mod connection;
mod database;
mod encoding;
mod failure;
mod group;
mod job;
mod owner;
mod process;
mod readers;
mod schema;
mod sessions;
mod statements;
mod store;
mod task;
mod worker;

pub(super) use connection::{Connection, Row, Value};
pub(super) use database::Database;
pub(super) use failure::{Failure, Kind};
#[cfg(feature = "sqlite")]
pub(super) use group::MAX_STEPS;
pub(super) use owner::{Holder, Instance};
pub(super) use process::Process;
#[cfg(feature = "sqlite")]
pub(super) use readers::Backoff;
pub(super) use schema::Schema;
#[cfg(all(test, feature = "sqlite"))]
pub(super) use sessions::read as read_batches;
pub(super) use statements::{Statements, Words};
pub(super) use store::SqlStore;
pub(super) use task::Entry;
