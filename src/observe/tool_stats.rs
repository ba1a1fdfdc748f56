//! How each tool is: its calls, its failures, its restarts, its circuits.

use std::collections::HashMap;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use tokio::time::Instant;

use super::facts::Fact;
use super::lock;
use super::window::{Percentiles, Window};
use crate::conversation::{CallTimes, Outcome, OutcomeKind, SessionId};
use crate::tools::{ToolHealth, later};

/// What stands for all tools beyond the first 256, and for those that do not exist.
pub const OTHER: &str = "other";

const MAX_TOOLS: usize = 256;

/// So many open circuits of one tool are remembered.
const MAX_CIRCUITS: usize = 1_000;

/// In the order of [`ToolSnapshot::outcomes`].
const KINDS: [OutcomeKind; 12] = [
    OutcomeKind::Ok,
    OutcomeKind::ToolError,
    OutcomeKind::Panicked,
    OutcomeKind::TimedOut,
    OutcomeKind::Cancelled,
    OutcomeKind::UnknownTool,
    OutcomeKind::BadArguments,
    OutcomeKind::Truncated,
    OutcomeKind::Unavailable,
    OutcomeKind::Overloaded,
    OutcomeKind::Denied,
    OutcomeKind::UnknownOutcome,
];

/// How a tool is, over all sessions, since the process began.
#[derive(Clone, Debug, PartialEq)]
#[non_exhaustive]
pub struct ToolSnapshot {
    /// The tool's name.
    pub name: Arc<str>,
    /// Calls that were answered, also those that were not run.
    pub calls: u64,
    /// Those of them that ended neither `ok` nor `cancelled` nor `denied`.
    pub failed: u64,
    /// The calls by how they ended; how none ended is left out.
    pub outcomes: Vec<(OutcomeKind, u64)>,
    /// Calls that were handed to their workers, and are not answered.
    pub in_flight: u64,
    /// Tries besides the first of each call.
    pub retries: u64,
    /// How often workers were rebuilt.
    pub restarts: u64,
    /// The last time one was.
    pub last_restart: Option<LastRestart>,
    /// Whether it is withdrawn.
    pub circuit: CircuitView,
    /// How long the last calls ran; of those that had a result of their own. `None` if there was none.
    pub ran: Option<Percentiles>,
    /// The last of the failed calls.
    pub last_error: Option<LastError>,
}

/// When a worker failed and was rebuilt, and why.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LastRestart {
    /// Microseconds since 1970.
    pub at_us: u64,
    /// What became of the last one.
    pub cause: Arc<str>,
}

/// How a call failed last.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LastError {
    /// Microseconds since 1970.
    pub at_us: u64,
    /// Stable, in `snake_case`.
    pub code: Arc<str>,
    /// One line.
    pub message: Arc<str>,
}

/// The circuits of a tool: that of the process, and those of sessions. The one that stays open for
/// longest counts.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct CircuitView {
    /// Those that are open: the tool is not offered there.
    pub open: usize,
    /// Those whose cool-down is over, and where the next call finds out.
    pub probing: usize,
    /// One of them is that of the process.
    pub everywhere: bool,
    /// Why the one that counts opened.
    pub cause: Option<Arc<str>>,
    /// For how long it stays open; `None` if none is open.
    pub retry_after: Option<Duration>,
}

impl CircuitView {
    fn of<'a>(circuits: impl Iterator<Item = (bool, &'a Open)> + Clone, now: Instant) -> Self {
        let is_open = |open: &&Open| open.until > now;
        let all = || circuits.clone().map(|(_, open)| open);
        let last = all().max_by_key(|open| open.until);
        let open = all().filter(is_open).count();
        Self {
            open,
            probing: all().count() - open,
            everywhere: circuits.clone().any(|(everywhere, _)| everywhere),
            cause: last.map(|open| Arc::clone(&open.cause)),
            retry_after: last.filter(is_open).map(|open| open.until - now),
        }
    }

    /// `closed`, `open` or `probing`.
    #[must_use]
    pub fn state(&self) -> &'static str {
        match (self.open, self.probing) {
            (0, 0) => "closed",
            (0, _) => "probing",
            _ => "open",
        }
    }
}

/// How each tool is that was called, or is withdrawn. Of more than 256 tools the rest is [`OTHER`].
#[derive(Default)]
pub struct ToolStats {
    accounts: Mutex<HashMap<Arc<str>, Account>>,
    health: Mutex<Option<Arc<Health>>>,
}

type Health = dyn Fn() -> Vec<ToolHealth> + Send + Sync;

#[derive(Default)]
struct Account {
    outcomes: [u64; KINDS.len()],
    in_flight: u64,
    retries: u64,
    restarts: u64,
    last_restart: Option<LastRestart>,
    /// Of sessions, and without one that of the process.
    circuits: HashMap<Option<SessionId>, Open>,
    ran: Window,
    last_error: Option<LastError>,
}

#[derive(Clone)]
struct Open {
    until: Instant,
    cause: Arc<str>,
}

impl Open {
    /// The circuit of the process, of which an event may have told why it opened.
    fn of(health: &ToolHealth, told: Option<&Self>, now: Instant) -> Option<Self> {
        let rest = Duration::from_millis(health.retry_after_ms.unwrap_or_default());
        // What was told of one that is over says nothing of this one.
        let told = told.filter(|told| told.until > now).map(|told| &told.cause);
        let cause = told.or(health.last_failure.as_ref()).cloned();
        let open =
            Self { until: later(now, rest), cause: cause.unwrap_or_else(|| "unknown".into()) };
        Some(open).filter(|_| health.circuit != "closed")
    }
}

impl ToolStats {
    /// All tools that were called or are withdrawn, by name.
    #[must_use]
    pub fn snapshot(&self) -> Vec<ToolSnapshot> {
        let health = lock(&self.health).clone().map_or_else(Vec::new, |health| health());
        let now = Instant::now();
        let mut health: HashMap<_, _> = health.iter().map(|tool| (&*tool.tool, tool)).collect();
        let accounts = lock(&self.accounts);
        let known = accounts.iter();
        let known =
            known.map(|(name, account)| account.snapshot(name, health.remove(&**name), now));
        let mut all: Vec<_> = known.collect();
        drop(accounts); // All sessions wait for it.
        let rest = health.into_values().filter(|tool| tool.circuit != "closed");
        all.extend(rest.map(|tool| Account::default().snapshot(&tool.tool, Some(tool), now)));
        let mut all: Vec<_> = all.into_iter().map(with_percentiles).collect();
        all.sort_unstable_by(|one, other| one.name.cmp(&other.name));
        all
    }

    /// The tool `name`; `None` if it was not called and is not withdrawn.
    #[must_use]
    pub fn of(&self, name: &str) -> Option<ToolSnapshot> {
        self.snapshot().into_iter().find(|tool| &*tool.name == name)
    }

    /// Has the circuits of the process read from `health` whenever they are asked for. Some of them open
    /// and close without an event of a session: a server of tools is down, or is back. Without this only
    /// those are known that a call has found open.
    ///
    /// It is called by whoever reads the numbers, and must not read them itself.
    pub fn read_health(&self, health: impl Fn() -> Vec<ToolHealth> + Send + Sync + 'static) {
        *lock(&self.health) = Some(Arc::new(health));
    }

    /// Its circuits were closed by hand.
    pub fn close_circuits(&self, tool: &str) {
        if let Some(account) = lock(&self.accounts).get_mut(tool) {
            account.circuits.clear();
        }
    }

    /// The name that the numbers of `tool` are kept under.
    #[cfg(feature = "server")]
    pub(super) fn label(&self, tool: &str) -> Arc<str> {
        let known = lock(&self.accounts).get_key_value(tool).map(|(name, _)| Arc::clone(name));
        known.unwrap_or_else(|| OTHER.into())
    }

    /// The circuits of `session` went with its workers.
    pub(super) fn forget_circuits_of(&self, session: &SessionId) {
        let session = Some(session.clone());
        for account in
            lock(&self.accounts).values_mut().filter(|account| !account.circuits.is_empty())
        {
            account.circuits.remove(&session);
        }
    }

    pub(super) fn on(&self, at_us: u64, fact: &Fact<'_>) {
        match fact {
            Fact::CallBegan { tool } => self.with(tool, |account| account.in_flight += 1),
            Fact::CallLost { tool } => self.with(tool, |account| account.land()),
            Fact::CallEnded { tool, outcome, times, was_in_flight } => {
                // The name of one that does not exist is the model's invention.
                let is_unknown = outcome.kind == OutcomeKind::UnknownTool;
                let tool = if is_unknown { &OTHER.into() } else { *tool };
                self.with(tool, |account| {
                    if *was_in_flight {
                        account.land();
                    }
                    account.on_end(at_us, outcome, *times);
                });
            }
            Fact::WorkerRestarted { tool, cause } => self.with(tool, |account| {
                account.restarts += 1;
                account.last_restart = Some(LastRestart { at_us, cause: (*cause).into() });
            }),
            Fact::CircuitOpened { session, tool, cause, cool_down } => {
                self.with(tool, |account| {
                    let whose = session.cloned();
                    let is_known = account.circuits.contains_key(&whose);
                    if is_known || account.circuits.len() < MAX_CIRCUITS {
                        let until = later(Instant::now(), *cool_down);
                        account.circuits.insert(whose, Open { until, cause: (*cause).into() });
                    }
                });
            }
            Fact::CircuitClosed { session, tool } => self.with(tool, |account| {
                account.circuits.remove(&Some(SessionId::clone(session)));
                account.circuits.remove(&None);
            }),
            Fact::TurnEnded { .. }
            | Fact::Replied { .. }
            | Fact::ModelFailed { .. }
            | Fact::Counted { .. } => {}
        }
    }

    fn with(&self, tool: &Arc<str>, change: impl FnOnce(&mut Account)) {
        let mut accounts = lock(&self.accounts);
        if let Some(account) = accounts.get_mut(tool) {
            return change(account);
        }
        let name = if accounts.len() < MAX_TOOLS { Arc::clone(tool) } else { OTHER.into() };
        change(accounts.entry(name).or_default());
    }
}

impl Account {
    fn land(&mut self) {
        self.in_flight = self.in_flight.saturating_sub(1);
    }

    fn on_end(&mut self, at_us: u64, outcome: &Outcome, times: Option<&CallTimes>) {
        for (kind, count) in KINDS.iter().zip(&mut self.outcomes) {
            *count += u64::from(*kind == outcome.kind);
        }
        let times = times.copied().unwrap_or_default();
        self.retries += u64::from(times.attempts.saturating_sub(1));
        if times.attempts > 0 && times.reused.is_none() {
            self.ran.push(times.ran_us);
        }
        if let Some(problem) = outcome.problem.as_ref().filter(|_| is_failure(outcome.kind)) {
            let (code, message) = ((*problem.code).into(), problem.message.as_str().into());
            self.last_error = Some(LastError { at_us, code, message });
        }
    }

    /// How it is, but for its percentiles, and what they are made of. What `health` says of the circuit of
    /// the process counts, and not what events have told of it.
    fn snapshot(
        &self,
        name: &Arc<str>,
        health: Option<&ToolHealth>,
        now: Instant,
    ) -> (ToolSnapshot, Window) {
        let told = self.circuits.get(&None);
        let process = match health {
            Some(health) => Open::of(health, told, now),
            None => told.cloned(),
        };
        let of_sessions = self.circuits.iter().filter(|(whose, _)| whose.is_some());
        let circuits = of_sessions.map(|(_, open)| (false, open));
        let circuits = circuits.chain(process.as_ref().map(|open| (true, open)));

        let all = || KINDS.into_iter().zip(self.outcomes).filter(|(_, count)| *count > 0);
        let failed = all().filter(|(kind, _)| is_failure(*kind));
        let snapshot = ToolSnapshot {
            name: Arc::clone(name),
            calls: all().map(|(_, count)| count).sum(),
            failed: failed.map(|(_, count)| count).sum(),
            outcomes: all().collect(),
            in_flight: self.in_flight,
            retries: self.retries,
            restarts: self.restarts,
            last_restart: self.last_restart.clone(),
            circuit: CircuitView::of(circuits, now),
            ran: None,
            last_error: self.last_error.clone(),
        };
        (snapshot, self.ran.clone())
    }
}

fn with_percentiles((snapshot, ran): (ToolSnapshot, Window)) -> ToolSnapshot {
    ToolSnapshot { ran: ran.percentiles(), ..snapshot }
}

/// Says whether the tool, or the call, is to blame.
fn is_failure(kind: OutcomeKind) -> bool {
    !matches!(kind, OutcomeKind::Ok | OutcomeKind::Cancelled | OutcomeKind::Denied)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn ended(stats: &ToolStats, tool: &str, kind: OutcomeKind) {
        let outcome = match kind {
            OutcomeKind::Ok => Outcome::ok("fine"),
            kind => Outcome::failed(kind, "why"),
        };
        let (tool, outcome) = (&tool.into(), &outcome);
        stats.on(7, &Fact::CallEnded { tool, outcome, times: None, was_in_flight: false });
    }

    #[test]
    fn what_nobody_but_the_caller_is_to_blame_for_is_no_failure() {
        let stats = ToolStats::default();
        for kind in KINDS {
            ended(&stats, "t", kind);
        }
        let of_t = stats.of("t").expect("it was called");
        assert_eq!((of_t.calls, of_t.failed), (11, 8), "unknown tools are not tools");
        assert_eq!(stats.of(OTHER).expect("one was unknown").calls, 1);
        assert_eq!(of_t.last_error.expect("some failed").code.as_ref(), "unknown_outcome");
    }

    #[test]
    fn however_many_tools_there_are_the_numbers_are_bounded_and_none_is_lost() {
        let stats = ToolStats::default();
        for tool in 0..1_000 {
            ended(&stats, &format!("tool-{tool}"), OutcomeKind::Ok);
            ended(&stats, &format!("invented-{tool}"), OutcomeKind::UnknownTool);
        }
        let all = stats.snapshot();
        assert!(all.len() <= MAX_TOOLS + 1, "{}", all.len());
        assert_eq!(all.iter().map(|tool| tool.calls).sum::<u64>(), 2_000);
    }

    #[tokio::test(start_paused = true)]
    async fn the_circuit_that_stays_open_longest_counts_and_goes_with_its_session() {
        let (stats, one, two) = (ToolStats::default(), SessionId::new("1"), SessionId::new("2"));
        let tool = &"t".into();
        let open = |session, cause, seconds| {
            let cool_down = Duration::from_secs(seconds);
            stats.on(0, &Fact::CircuitOpened { session, tool, cause, cool_down });
        };
        let view = || stats.of("t").expect("it is known").circuit;
        open(Some(&one), "boom", 10);
        open(Some(&two), "bang", 20);
        assert_eq!(
            (view().state(), view().open, view().cause.as_deref()),
            ("open", 2, Some("bang"))
        );
        tokio::time::advance(Duration::from_secs(10)).await;
        assert_eq!((view().state(), view().open, view().probing), ("open", 1, 1));
        assert_eq!(view().retry_after, Some(Duration::from_secs(10)));
        stats.forget_circuits_of(&two);
        assert_eq!((view().state(), view().retry_after), ("probing", None));
        stats.on(0, &Fact::CircuitClosed { session: &one, tool });
        assert_eq!(view(), CircuitView::default());
        open(None, "boom", 10);
        assert!(view().everywhere);
        stats.close_circuits("t");
        assert_eq!(view().state(), "closed");
    }

    #[tokio::test(start_paused = true)]
    async fn the_circuit_of_the_process_is_as_its_health_says() {
        let stats = ToolStats::default();
        let health = |tool: &str, circuit, retry_after_ms| ToolHealth {
            tool: tool.into(),
            circuit,
            retry_after_ms,
            restarts: 0,
            withdrawals: 0,
            last_failure: Some("the server is down".into()),
            waiting: 0,
            running: None,
            abandoned_threads: 0,
        };
        let cool_down = Duration::from_secs(10);
        let open = |session, tool: &str, cause| {
            stats.on(0, &Fact::CircuitOpened { session, tool: &tool.into(), cause, cool_down });
        };
        let one = SessionId::new("1");
        open(None, "back", "boom");
        open(Some(&one), "back", "bang");
        open(None, "told", "boom");
        open(Some(&one), "told", "bang");
        let all = [
            health("back", "closed", None),
            health("told", "open", Some(20_000)),
            health("untold", "open", Some(30_000)),
            health("found out", "half-open", None),
            health("well", "closed", None),
        ];
        stats.read_health(move || all.to_vec());
        let view = |tool| stats.of(tool).map(|tool| tool.circuit);
        let circuit = |open, probing, everywhere, cause: &str, seconds: Option<u64>| {
            let (cause, retry_after) = (Some(cause.into()), seconds.map(Duration::from_secs));
            Some(CircuitView { open, probing, everywhere, cause, retry_after })
        };
        assert_eq!(view("back"), circuit(1, 0, false, "bang", Some(10)));
        assert_eq!(view("told"), circuit(2, 0, true, "boom", Some(20)));
        assert_eq!(view("untold"), circuit(1, 0, true, "the server is down", Some(30)));
        assert_eq!(view("found out"), circuit(0, 1, true, "the server is down", None));
        assert_eq!(view("well"), None, "it was not called, and there is nothing to say of it");
        tokio::time::advance(cool_down).await;
        let cause = view("told").and_then(|circuit| circuit.cause);
        assert_eq!(cause.as_deref(), Some("the server is down"), "that boom is over");
        let names: Vec<_> = stats.snapshot().iter().map(|tool| tool.name.to_string()).collect();
        assert_eq!(names, ["back", "found out", "told", "untold"]);
    }
}
