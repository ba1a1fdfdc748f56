//! What is said and what happens next: the transcript, the turn as a pure state machine, and the
//! one event type of which a session's state is a fold.
//!
//! Absent from this folder: actix, tokio, clocks, randomness, IO. Every function here can be
//! replayed from a journal and gives the same answer.

mod approval;
mod budget;
mod canonical;
mod compaction;
mod consent;
mod early;
mod event;
mod given;
mod key;
mod orphan;
mod outcome;
mod plan;
mod record;
mod repetition;
mod result_id;
mod result_part;
mod resume;
mod round;
#[cfg(test)]
mod sample;
mod state;
mod trace_parent;
mod transcript;
mod wrapper;

pub use approval::{Approval, Decision, NOT_APPROVED, NotDecided};
pub use budget::{BUDGET, Budget, Budgets};
pub use compaction::{Compaction, ContextBudget, Cut, Span, TooLong};
pub use consent::Approved;
pub use early::{CHANGED, Claim, EarlyCall, EarlyCalls, Readiness, readiness, recognize};
pub use event::{AskedCall, CallTimes, Event, Reused, TurnEnd};
pub use given::{GivenHistory, HistoryError};
pub use key::{CallKey, Place, SessionId};
pub use orphan::{Finished, Orphan, orphans};
pub use outcome::{Effects, Outcome, OutcomeKind, Problem, StoredResult};
pub use plan::{Catalogue, Limits, Mode, Refusal, Room, plan, refuse_all};
pub use record::{Batch, Record, Unknown, VERSION};
pub use repetition::{LOOP, REPEATED_CALL, Repetition};
pub use result_id::ResultId;
pub use result_part::ResultPart;
pub use resume::{Fate, PlannedCall, ResumePlan, TimeUsed};
pub use state::{Action, Due, Expired, SessionState, timed_out};
pub use trace_parent::{NoTraceParent, TraceParent};
pub use transcript::Transcript;

pub(crate) use canonical::{are_same, fingerprint};
