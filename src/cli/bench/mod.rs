//! Load: many sessions at once ask an endpoint, and what comes back is counted and checked.
//!
//! `load` asks, `witness` sees what the replies ask for, `tally` counts and checks, `process` reads
//! what it cost, `report` is all of it together.

pub mod document;
pub mod load;
pub mod percentile;
pub mod process;
pub mod progress;
pub mod report;
pub mod tally;
pub mod witness;
