//! The numbers for Prometheus: `callsheet_…`, times in seconds. What is said of tools is read from the
//! [`ToolStats`] when it is asked for, so that page and metrics cannot disagree.
//!
//! Labels have few values: of more than 256 tools the rest is `other`, of model failures those with more
//! than 64 different codes. Sessions and calls are no labels.

mod accept;
mod per_tool;

use std::sync::{Arc, Mutex};
use std::time::Duration;

use prometheus_client::encoding::{prometheus_text, text};
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::gauge::Gauge;
use prometheus_client::metrics::histogram::Histogram;
use prometheus_client::registry::{Registry, Unit};

use self::accept::wants_open_metrics;
use self::per_tool::PerTool;
use super::facts::Fact;
use super::{OTHER, ToolStats, lock};
use crate::conversation::{Mode, TurnEnd};
use crate::session::{Appended, Presence};
use crate::supervision::RoundReport;
use crate::telemetry::metric as name;

/// The media type of OpenMetrics.
const OPEN_METRICS: &str = "application/openmetrics-text; version=1.0.0; charset=utf-8";

/// The buckets' upper ends, in seconds, of what takes as long as tools and models do.
const WORK: [f64; 18] = [
    0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0, 60.0,
    120.0, 300.0, 600.0,
];

/// And of what should take no time.
const WAIT: [f64; 14] = [
    0.000_01, 0.000_1, 0.000_25, 0.000_5, 0.001, 0.002_5, 0.005, 0.01, 0.025, 0.1, 0.5, 1.0, 5.0,
    30.0,
];

/// So many codes of model failures are told apart.
const MAX_CODES: usize = 64;

type Label<V> = [(&'static str, V); 1];
type Counts<V> = Family<Label<V>, Counter>;
type ToolTimes = Family<Label<Arc<str>>, Histogram, fn() -> Histogram>;

/// The numbers for Prometheus. Reading them resets nothing.
pub struct Metrics {
    registry: Registry,
    tools: Arc<ToolStats>,
    turns: Counts<&'static str>,
    rounds: Counts<&'static str>,
    round_duration: Histogram,
    call_duration: ToolTimes,
    call_queue: ToolTimes,
    reply_duration: Histogram,
    first_token: Histogram,
    tokens: Counts<&'static str>,
    model_retries: Counts<Arc<str>>,
    codes: Mutex<Vec<Arc<str>>>,
    sessions: Family<Label<&'static str>, Gauge>,
    batches: Counts<&'static str>,
    batch_records: Counter,
    batch_duration: Histogram,
}

impl Metrics {
    pub(super) fn new(tools: &Arc<ToolStats>) -> Self {
        let times: fn() -> Histogram = || Histogram::new(WORK);
        let waits: fn() -> Histogram = || Histogram::new(WAIT);
        let mut metrics = Self {
            registry: Registry::with_prefix(name::PREFIX),
            tools: Arc::clone(tools),
            turns: Family::default(),
            rounds: Family::default(),
            round_duration: times(),
            call_duration: Family::new_with_constructor(times),
            call_queue: Family::new_with_constructor(waits),
            reply_duration: times(),
            first_token: times(),
            tokens: Family::default(),
            model_retries: Family::default(),
            codes: Mutex::default(),
            sessions: Family::default(),
            batches: Family::default(),
            batch_records: Counter::default(),
            batch_duration: waits(),
        };
        metrics.register();
        metrics
    }

    fn register(&mut self) {
        let Self { registry, .. } = self;
        registry.register(
            name::TURNS,
            "Turns that are over, by how they ended",
            self.turns.clone(),
        );
        registry.register(
            name::ROUNDS,
            "Rounds that are over, by how their calls ran",
            self.rounds.clone(),
        );
        registry.register(
            name::MODEL_TOKENS,
            "Tokens that providers counted; cached is a part of input, reasoning one of output",
            self.tokens.clone(),
        );
        registry.register(
            name::MODEL_RETRIES,
            "Tries of a reply that came to nothing and were followed by another, by what went wrong",
            self.model_retries.clone(),
        );
        registry.register(
            name::SESSIONS,
            "Sessions that a coordinator runs, and those that rest and that somebody has a handle of",
            self.sessions.clone(),
        );
        registry.register(
            name::JOURNAL_BATCHES,
            "Batches of records that were handed to the journal, by what came of them",
            self.batches.clone(),
        );
        registry.register(
            name::JOURNAL_RECORDS,
            "Records that the journal took",
            self.batch_records.clone(),
        );
        let mut seconds = |name, help, histogram: Histogram| {
            registry.register_with_unit(name, help, Unit::Seconds, histogram);
        };
        seconds(
            name::ROUND_DURATION,
            "From a request to the next, or to the turn's end",
            self.round_duration.clone(),
        );
        seconds(
            name::MODEL_REPLY_DURATION,
            "From the first request for a reply to its end, failed tries included",
            self.reply_duration.clone(),
        );
        seconds(
            name::MODEL_FIRST_TOKEN,
            "From the first request for a reply to its first content",
            self.first_token.clone(),
        );
        seconds(
            name::JOURNAL_BATCH_DURATION,
            "How long the journal took for a batch",
            self.batch_duration.clone(),
        );
        registry.register_with_unit(
            name::CALL_DURATION,
            "How long calls ran",
            Unit::Seconds,
            self.call_duration.clone(),
        );
        registry.register_with_unit(
            name::CALL_QUEUE,
            "How long calls waited behind other work before they ran",
            Unit::Seconds,
            self.call_queue.clone(),
        );
        registry.register_collector(Box::new(PerTool(Arc::clone(&self.tools))));
    }

    /// The answer to a request for the metrics, given its `Accept` header: the content type, and the
    /// text. OpenMetrics where it is asked for, else the text format of Prometheus (0.0.4).
    #[must_use]
    pub fn encode(&self, accept: Option<&str>) -> (&'static str, String) {
        let mut page = String::new();
        let (content_type, written) = match accept.is_some_and(wants_open_metrics) {
            true => (OPEN_METRICS, text::encode(&mut page, &self.registry)),
            false => {
                (prometheus_text::CONTENT_TYPE, prometheus_text::encode(&mut page, &self.registry))
            }
        };
        written.expect("a string takes whatever is written");
        (content_type, page)
    }

    pub(super) fn on(&self, fact: &Fact<'_>) {
        match fact {
            Fact::TurnEnded { end } => {
                let end = match end {
                    TurnEnd::Answered => "answered",
                    TurnEnd::Cancelled => "cancelled",
                    TurnEnd::TimedOut => "timed_out",
                    TurnEnd::Failed { .. } => "failed",
                };
                count(&self.turns, ("end", end), 1);
            }
            Fact::Replied { took, first_token } => {
                self.reply_duration.observe(took.as_secs_f64());
                if let Some(first_token) = first_token {
                    self.first_token.observe(first_token.as_secs_f64());
                }
            }
            Fact::ModelFailed { code } => {
                count(&self.model_retries, ("code", self.code(code)), 1);
            }
            Fact::Counted { usage } => {
                count(&self.tokens, ("type", "input"), usage.input_tokens);
                count(&self.tokens, ("type", "output"), usage.output_tokens);
                count(&self.tokens, ("type", "cached"), usage.cached_tokens);
                count(&self.tokens, ("type", "reasoning"), usage.reasoning_tokens);
            }
            Fact::CallEnded { tool, times: Some(times), .. } => {
                let is_own = times.attempts > 0 && times.reused.is_none();
                let label = [("tool", self.tools.label(tool))];
                let micros = |micros| Duration::from_micros(micros).as_secs_f64();
                if is_own {
                    self.call_duration.get_or_create(&label).observe(micros(times.ran_us));
                    self.call_queue.get_or_create(&label).observe(micros(times.queued_us));
                }
            }
            Fact::CallEnded { times: None, .. }
            | Fact::CallBegan { .. }
            | Fact::CallLost { .. }
            | Fact::WorkerRestarted { .. }
            | Fact::CircuitOpened { .. }
            | Fact::CircuitClosed { .. } => {} // The tools know.
        }
    }

    pub(super) fn on_round(&self, report: &RoundReport) {
        let mode = match report.mode {
            Mode::Parallel => "parallel",
            Mode::Sequential => "sequential",
        };
        count(&self.rounds, ("mode", mode), 1);
        self.round_duration.observe(report.clock.as_secs_f64());
    }

    pub(super) fn on_presence(&self, before: Presence, now: Presence) {
        let gauge = |presence| {
            let state = match presence {
                Presence::Awake => "awake",
                Presence::Asleep => "asleep",
                Presence::Away | Presence::Ended => return None,
            };
            Some(self.sessions.get_or_create_owned(&[("state", state)]))
        };
        gauge(before).map(|gauge| gauge.dec());
        gauge(now).map(|gauge| gauge.inc());
    }

    pub(super) fn on_append(&self, Appended { records, took, failed }: Appended) {
        count(&self.batches, ("result", if failed { "failed" } else { "ok" }), 1);
        if !failed {
            self.batch_records.inc_by(u64::try_from(records).unwrap_or(u64::MAX));
        }
        self.batch_duration.observe(took.as_secs_f64());
    }

    /// The label for a model's failure.
    fn code(&self, code: &str) -> Arc<str> {
        let mut codes = lock(&self.codes);
        if let Some(known) = codes.iter().find(|known| &***known == code) {
            return Arc::clone(known);
        }
        if codes.len() >= MAX_CODES {
            return OTHER.into();
        }
        let code: Arc<str> = code.into();
        codes.push(Arc::clone(&code));
        code
    }
}

fn count<V>(counts: &Counts<V>, label: (&'static str, V), by: u64)
where
    V: Clone + std::hash::Hash + Eq,
{
    counts.get_or_create(&[label]).inc_by(by);
}
