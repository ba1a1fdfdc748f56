//! What happens to a worker that failed, and the account of each round.
//!
//! The policy and the report are pure; [`Supervisor`] carries out the one and tells the other.
//! `rebuild` catches a worker's panic; the coordinator's is its keeper's, in `session`.

mod asked_about;
mod crew;
mod policy;
mod rebuild;
mod report;
mod reports;
mod supervisor;

pub use policy::{Decision, RestartLimits, RestartPolicy};
pub use rebuild::WorkerFailed;
pub use report::{CallReport, ModelRetry, RoundReport, Rounds};
pub use reports::RoundReports;
pub use supervisor::{Listen, RoundReported, Supervisor, WorkerChange, WorkerNews};

pub use crate::tools::{Backoff, Failure};

pub(crate) use crew::{Crew, IdleWorkers};
pub(crate) use supervisor::Seat;
