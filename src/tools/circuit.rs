//! Whether a tool may be called: closed while all is well, open after too many failures, then one
//! call to find out. A pure state machine: the time comes from outside.
//!
//! The names are those of M. Nygard's circuit breaker (Release It!, 2007).

use std::sync::Arc;
use std::time::Duration;

use tokio::time::Instant;

use super::later;
use crate::sabotage::{self, Sabotage};

/// One tool's circuit.
#[derive(Clone, Debug, Default, PartialEq)]
pub(crate) enum Circuit {
    /// Calls run.
    #[default]
    Closed,
    /// No call runs before `until`; the first one after it is the probe.
    Open { until: Instant, again: Trip },
    /// The probe is under way. One that has not ended by `until` is followed by another: its thread
    /// may be stuck.
    HalfOpen { until: Instant, again: Trip },
}

/// What a circuit opened for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Trip {
    pub cause: Arc<str>,
    pub cool_down: Duration,
    pub blame: Blame,
}

/// Who is to blame that a tool is out of service.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Blame {
    Tool,
    /// The server that it is of. Once that is back nothing is to be found out any more.
    #[cfg(feature = "mcp")]
    Server,
}

/// What a circuit says to a call.
#[derive(Clone, Debug, PartialEq)]
pub(crate) enum Verdict {
    Run,
    /// Run, and tell the circuit what came of it.
    Probe,
    /// Do not run: for the reason `cause`. `None`: until the probe ends.
    Refuse {
        cause: Arc<str>,
        retry_after: Option<Duration>,
    },
}

/// What came of a probe.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Probed {
    Well,
    Badly,
    /// It ended without having shown anything.
    Nothing,
}

impl Circuit {
    /// Takes the tool out of service, until `trip.cool_down` after `now`.
    pub fn open(&mut self, now: Instant, trip: Trip) {
        let until = later(now, trip.cool_down);
        *self = Self::Open { until, again: trip };
    }

    /// What becomes of a call that would begin at `now`. Changes nothing.
    pub fn judge(&self, now: Instant) -> Verdict {
        match self {
            Self::Closed => Verdict::Run,
            Self::Open { until, .. } | Self::HalfOpen { until, .. } if *until <= now => {
                Verdict::Probe
            }
            Self::Open { until, again } => Verdict::Refuse {
                cause: Arc::clone(&again.cause),
                retry_after: Some(until.saturating_duration_since(now)),
            },
            Self::HalfOpen { again, .. } => {
                Verdict::Refuse { cause: Arc::clone(&again.cause), retry_after: None }
            }
        }
    }

    /// The call that was judged a [`Verdict::Probe`] begins. It ends by `until`.
    pub fn begin_probe(&mut self, until: Instant) {
        if let Self::Open { again, .. } | Self::HalfOpen { again, .. } = self {
            *self = Self::HalfOpen { until, again: again.clone() };
        }
    }

    /// The probe has ended. Says whether the circuit closed.
    pub fn end_probe(&mut self, now: Instant, probed: Probed) -> bool {
        let Self::HalfOpen { again, .. } = self else { return false };
        let again = again.clone();
        let probed = match probed {
            Probed::Well if sabotage::is(Sabotage::CircuitNeverCloses) => Probed::Badly,
            probed => probed,
        };
        match probed {
            Probed::Well => *self = Self::Closed,
            Probed::Badly => self.open(now, again),
            Probed::Nothing => *self = Self::Open { until: now, again }, // The next one finds out.
        }
        probed == Probed::Well
    }

    /// Somebody says that the tool works again. Says whether it was out of service.
    pub fn close(&mut self) -> bool {
        std::mem::take(self) != Self::Closed
    }

    /// The server that the tool is of is back. Says whether the circuit closed: not one that opened for
    /// the tool's own failures.
    #[cfg(feature = "mcp")]
    pub fn on_server_back(&mut self) -> bool {
        let closes = match self {
            Self::Closed => false,
            Self::Open { again, .. } | Self::HalfOpen { again, .. } => again.blame == Blame::Server,
        };
        if closes {
            *self = Self::Closed;
        }
        closes
    }

    /// Says whether the model should not be offered the tool at `now`.
    pub fn withdraws(&self, now: Instant) -> bool {
        matches!(self, Self::Open { until, .. } if now < *until)
    }

    /// The name used in listings.
    pub fn as_str(&self) -> &'static str {
        match self {
            Self::Closed => "closed",
            Self::Open { .. } => "open",
            Self::HalfOpen { .. } => "half-open",
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn trip() -> Trip {
        Trip { cause: "boom".into(), cool_down: Duration::from_secs(30), blame: Blame::Tool }
    }

    #[tokio::test(start_paused = true)]
    async fn after_the_cool_down_one_call_finds_out_and_the_others_wait_for_it() {
        let now = Instant::now();
        let at = |s| now + Duration::from_secs(s);
        let mut circuit = Circuit::default();
        assert_eq!(circuit.judge(now), Verdict::Run);
        circuit.open(now, trip());
        let (cause, retry_after) = ("boom".into(), Some(Duration::from_secs(29)));
        assert_eq!(circuit.judge(at(1)), Verdict::Refuse { cause, retry_after });
        assert!(circuit.withdraws(at(29)) && !circuit.withdraws(at(30)));
        assert_eq!(circuit.judge(at(30)), Verdict::Probe);
        circuit.begin_probe(at(35));
        assert!(matches!(circuit.judge(at(31)), Verdict::Refuse { retry_after: None, .. }));
        assert!(!circuit.withdraws(at(31)), "it is offered again while it is probed");
        assert!(circuit.end_probe(at(32), Probed::Well));
        assert_eq!(circuit.judge(at(32)), Verdict::Run);
    }

    #[tokio::test(start_paused = true)]
    async fn a_bad_probe_opens_it_again_and_one_without_a_result_leaves_it_to_the_next() {
        let now = Instant::now();
        let at = |s| now + Duration::from_secs(s);
        let mut circuit = Circuit::default();
        circuit.open(now, trip());
        circuit.begin_probe(at(45));
        assert!(!circuit.end_probe(at(40), Probed::Nothing));
        assert_eq!(circuit.judge(at(40)), Verdict::Probe);
        circuit.begin_probe(at(55));
        assert!(!circuit.end_probe(at(50), Probed::Badly));
        assert!(circuit.withdraws(at(79)));
        assert_eq!(circuit.judge(at(80)), Verdict::Probe);
    }

    #[tokio::test(start_paused = true)]
    async fn a_probe_that_never_ends_is_followed_by_another() {
        let now = Instant::now();
        let at = |s| now + Duration::from_secs(s);
        let mut circuit = Circuit::default();
        circuit.open(now, trip());
        circuit.begin_probe(at(40));
        assert!(matches!(circuit.judge(at(39)), Verdict::Refuse { .. }));
        assert_eq!(circuit.judge(at(40)), Verdict::Probe);
        circuit.begin_probe(at(50));
        assert!(matches!(circuit.judge(at(49)), Verdict::Refuse { .. }));
        assert!(circuit.end_probe(at(49), Probed::Well));
    }

    #[cfg(feature = "mcp")]
    #[tokio::test(start_paused = true)]
    async fn a_server_that_is_back_closes_what_its_fall_opened_and_nothing_else() {
        let now = Instant::now();
        for (blame, closes) in [(Blame::Server, true), (Blame::Tool, false)] {
            let mut circuit = Circuit::default();
            assert!(!circuit.on_server_back(), "it was closed");
            circuit.open(now, Trip { blame, ..trip() });
            assert_eq!(circuit.clone().on_server_back(), closes);
            circuit.begin_probe(now + Duration::from_secs(1));
            assert_eq!(circuit.on_server_back(), closes, "nor is a probe waited for");
            assert_eq!(circuit == Circuit::Closed, closes);
        }
    }

    #[test]
    fn nothing_comes_of_a_probe_that_nobody_asked_for() {
        let mut circuit = Circuit::default();
        circuit.begin_probe(Instant::now());
        assert!(!circuit.end_probe(Instant::now(), Probed::Badly));
        assert_eq!(circuit, Circuit::Closed);
    }
}
