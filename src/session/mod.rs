//! A conversation as an actor, and the handles that others hold.
//!
//! [`Runtime`] is a place for sessions to live, [`Session`] is one of them. Nothing outside this
//! folder holds an address.

mod answer;
mod approving;
mod asked;
mod asking;
mod cancelling;
mod clock;
mod compacting;
mod coordinator;
mod dispatching;
mod draining;
mod drive;
mod early;
mod ending;
mod error;
mod flight;
mod handle;
mod home;
mod host;
mod keeper;
mod line;
mod observer;
mod offer;
mod opening;
mod options;
mod past_turn;
mod pulse;
mod recording;
mod recovery;
mod replying;
mod restarting;
mod resting;
mod result_keeper;
mod resuming;
mod retrying;
mod roster;
mod runtime;
mod shutdown;
mod slot;
mod subscribers;
mod ticket;
mod turn;
mod vigil;
mod watchdog;

pub use answer::{Answer, TurnReport};
pub use asked::Asked;
pub use clock::Clock;
pub use error::{Cause, DecideError, Error, FailedTurn};
pub use handle::{Question, Session, Status};
pub use observer::{Appended, Observer, Presence, TurnBegun};
pub use options::SessionOptions;
pub use pulse::StuckArbiter;
pub use retrying::ModelRetries;
pub use runtime::{Runtime, RuntimeBuilder, StartError};
pub use shutdown::{CutTurn, ShutdownReport};
pub use subscribers::{EventStream, Heard, SessionEvent, Watch};
