//! The lanes of a trace: which call is drawn in which.

use serde_json::{Value, json};

use super::TraceEvent;
use crate::conversation::Place;

/// One call's time.
#[derive(Debug)]
pub(super) struct CallSpan {
    pub round: u64,
    pub place: Place,
    pub tool: String,
    pub from: u64,
    /// One after another, without a gap.
    pub parts: Vec<(&'static str, u64)>,
    pub args: Value,
}

impl CallSpan {
    /// The time of a call without an end of its own.
    pub fn open(
        (round, place): (u64, Place),
        (from, tool, args): (u64, String, Value),
        until: u64,
    ) -> Self {
        let parts = vec![("running", until.saturating_sub(from))];
        Self { round, place, tool, from, parts, args }
    }

    fn until(&self) -> u64 {
        self.from + self.parts.iter().map(|(_, time)| time).sum::<u64>()
    }
}

/// Draws the calls, and says how many lanes that took.
pub(super) fn draw_calls(events: &mut Vec<TraceEvent>, mut spans: Vec<CallSpan>) -> u32 {
    spans.sort_by_key(|span| (span.round, span.from, span.place));
    // Until when each lane is taken, and the last call that used it.
    let mut lanes: Vec<(u64, (u64, Place))> = Vec::new();
    for span in spans {
        let (until, call) = (span.until(), (span.round, span.place));
        // A call that runs again after a resume does so in its own lane.
        let is_free = |(busy, user): &(u64, (u64, Place))| {
            *busy <= span.from && (user.0 != span.round || *user == call)
        };
        let lane = lanes.iter().position(is_free).unwrap_or(lanes.len());
        match lanes.get_mut(lane) {
            Some(taken) => *taken = (until, call),
            None => lanes.push((until, call)),
        }
        let tid = u32::try_from(lane + 1).unwrap_or(u32::MAX);
        events.push(TraceEvent::span(span.tool, "call", (span.from, until), tid, span.args));
        let mut at = span.from;
        for (name, time) in span.parts.into_iter().filter(|(_, time)| *time > 0) {
            events.push(TraceEvent::span(name, "part", (at, at + time), tid, json!({})));
            at += time;
        }
    }
    u32::try_from(lanes.len()).unwrap_or(u32::MAX)
}
