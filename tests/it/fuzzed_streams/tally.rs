//! What streams came to, counted.

use std::fmt;
use std::sync::atomic::{AtomicU64, Ordering};

use callsheet::Event;

use super::ledger::Ledger;
use super::scenario::Scenario;
use super::truth::Fate;
use super::world::Run;

/// What is counted.
const NAMES: [&str; 17] = [
    "sessions",
    "streams",
    "ended well",
    "too long",
    "filtered",
    "failed",
    "damaged",
    "calls asked for",
    "calls cut or contradicted",
    "refused",
    "executions",
    "with effects",
    "early",
    "early of an earlier try",
    "contradicted after they began",
    "discarded",
    "told though nobody asks for them",
];

/// Counts, under the names of [`NAMES`].
#[derive(Default)]
pub struct Tally([AtomicU64; NAMES.len()]);

impl Tally {
    pub const fn new() -> Self {
        Self([const { AtomicU64::new(0) }; NAMES.len()])
    }

    fn add(&self, name: &str, count: usize) {
        let place = NAMES.iter().position(|known| *known == name).expect("it is counted");
        self.0[place].fetch_add(count as u64, Ordering::Relaxed);
    }

    /// The count under `name`.
    pub fn of(&self, name: &str) -> u64 {
        let place = NAMES.iter().position(|known| *known == name).expect("it is counted");
        self.0[place].load(Ordering::Relaxed)
    }

    pub fn take_in(&self, scenario: &Scenario, run: &Run) {
        let ledger = Ledger::new(&run.heard, scenario);
        self.add("sessions", 1);
        for ask in &ledger.asks {
            let Some(sent) = ask.sent else { continue };
            self.add("streams", 1);
            self.add(
                match sent.truth.as_ref().map(|truth| truth.fate) {
                    Some(Fate::Good) => "ended well",
                    Some(Fate::TooLong) => "too long",
                    Some(Fate::Filtered) => "filtered",
                    Some(Fate::Failed) => "failed",
                    None => "damaged",
                },
                1,
            );
            let meant = sent.truth.iter().flat_map(|truth| &truth.calls);
            self.add("calls cut or contradicted", meant.filter(|call| !call.stands).count());
            let calls = ask.reply.iter().flat_map(|reply| reply.calls.iter());
            let before =
                |attempt: Option<u32>| attempt.is_some_and(|attempt| attempt < ask.attempt);
            for call in calls {
                self.add("calls asked for", 1);
                self.add("refused", usize::from(call.refused.is_some()));
                let attempt = call.begun.map(|begun| begun.reply_attempt);
                self.add("early of an earlier try", usize::from(before(attempt)));
            }
        }
        self.add("executions", run.executions.len());
        let reads = |tool: &str| matches!(tool, "read" | "scan");
        let effects = run.executions.iter().filter(|execution| !reads(execution.tool)).count();
        self.add("with effects", effects);
        let early = ledger.calls.iter().filter(|call| call.arguments.is_some());
        self.add("early", early.clone().count());
        let changed = early.filter(|call| {
            call.ends.iter().any(|(_, outcome)| outcome.content.contains("arguments changed"))
        });
        self.add("contradicted after they began", changed.count());
        let orphans = run.heard.iter().map(|record| match &record.event {
            Event::Replied { orphans, .. } | Event::TurnEnded { orphans, .. } => orphans.len(),
            _ => 0,
        });
        self.add("told though nobody asks for them", orphans.sum());
        let rounds = run.turns.iter().flat_map(|turn| &turn.rounds);
        self.add("discarded", rounds.map(|round| round.discarded.len()).sum());
    }
}

impl fmt::Display for Tally {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let counts = NAMES.iter().map(|name| format!("{name}: {}", self.of(name)));
        f.write_str(&counts.collect::<Vec<_>>().join(", "))
    }
}
