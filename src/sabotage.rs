//! Ways to break the runtime on purpose, so that a test of its promises can show that it would
//! notice. Without the feature `testing` there are none, and what asks for one is compiled away.

#[cfg(feature = "testing")]
use std::cell::Cell;

/// A way to break the runtime.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Sabotage {
    /// A worker is watched as by actix's own `Supervisor`: a panic is its end, and a failure that
    /// it reports is nobody's business.
    StockSupervisor,
    /// A call that panics or fails gives up its siblings in flight.
    SiblingsCancelled,
    /// The history lacks the answers of calls that did not end well.
    AnswerMissing,
    /// A call that has ended keeps its permit.
    PermitsKept,
    /// Answers enter the history in the order in which they came.
    CompletionOrder,
    /// A tool that was withdrawn stays so: a probe that goes well opens its circuit again.
    CircuitNeverCloses,
}

#[cfg(feature = "testing")]
thread_local! {
    static CURRENT: Cell<Option<Sabotage>> = const { Cell::new(None) };
}

/// Breaks the runtime on this thread from now on; `None` mends it.
#[cfg(feature = "testing")]
pub fn set(sabotage: Option<Sabotage>) {
    CURRENT.set(sabotage);
}

/// Says whether the runtime is broken in this way on this thread.
#[cfg(feature = "testing")]
pub(crate) fn is(sabotage: Sabotage) -> bool {
    CURRENT.get() == Some(sabotage)
}

/// Nothing is broken.
#[cfg(not(feature = "testing"))]
pub(crate) const fn is(_: Sabotage) -> bool {
    false
}
