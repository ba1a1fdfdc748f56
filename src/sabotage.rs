//! Ways to break the runtime on purpose, so that a test of its promises can show that it would
//! notice. Without the feature `testing` there are none, and what asks for one is compiled away.

#[cfg(feature = "testing")]
use std::cell::Cell;

use crate::wire::Arguments;

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
    /// A call is taken for complete as soon as what came of its arguments can be read.
    ReadableIsComplete,
    /// Calls with effects begin while the model still writes.
    EffectsBeginEarly,
    /// A call that was cut is given the brackets it lacks, and run.
    CutIsMended,
    /// A call that turned out to be another after it had begun is run again, as it is now.
    ChangedRunsAgain,
    /// That more came for a call is not heard before the end of the reply.
    ChangeUnheard,
    /// A call that an earlier try of the reply began is taken for any call of its tool.
    AnyTwinWillDo,
    /// A call that an earlier try of the reply began is begun again by the next.
    TwinsForgotten,
    /// A call that began when its brace closed begins again when it is sealed.
    BegunForgotten,
    /// That a reply has failed is not heard before its end.
    FailureUnheard,
    /// The calls of a reply that a filter cut are run.
    FilterIgnored,
    /// Calls that no finished reply asks for are not ended.
    DiscardedForgotten,
    /// A history that is too long is cut between any two messages.
    CutAnywhere,
    /// The model does not hear of calls with effects that no finished reply asks for.
    OrphansUntold,
    /// A turn that was cut runs the calls again that must not run twice.
    OnceRunsAgain,
    /// A session that is opened again does not know which calls have ended.
    ResultsForgotten,
    /// A session that is opened again does not know which calls have begun.
    StartsForgotten,
    /// A call that a person has to approve begins before they have.
    Unapproved,
    /// A session that is opened again does not know what a person has decided.
    ApprovalsForgotten,
    /// The time limits of a turn and its round run on while a person is awaited.
    ClockRunsOn,
    /// A session that was idle when it was asked to sleep goes, whatever was sent since.
    SleepsInOnePhase,
    /// A session that sleeps tells the store some time later.
    ClosesLater,
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

/// The arguments of a call, mended if sabotage says so.
pub(crate) fn mended(arguments: Arguments) -> Arguments {
    match arguments {
        Arguments::Truncated { raw } if is(Sabotage::CutIsMended) => {
            match Arguments::from_text(closed(&raw)) {
                Arguments::Object(text) => Arguments::Object(text),
                _ => Arguments::Truncated { raw },
            }
        }
        arguments => arguments,
    }
}

/// `json` with the quote and the brackets that it lacks.
fn closed(json: &str) -> String {
    let (mut open, mut in_text, mut escaped) = (Vec::new(), false, false);
    for character in json.chars() {
        match character {
            _ if escaped => escaped = false,
            '\\' => escaped = in_text,
            '"' => in_text = !in_text,
            '{' if !in_text => open.push('}'),
            '[' if !in_text => open.push(']'),
            '}' | ']' if !in_text => drop(open.pop()),
            _ => {}
        }
    }
    let quote = if in_text { "\"" } else { "" };
    format!("{json}{quote}{}", open.iter().rev().collect::<String>())
}
