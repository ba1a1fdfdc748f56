//! The account of a round: a fold over the session's events.

use std::collections::{HashMap, HashSet};
use std::sync::Arc;
use std::time::Duration;

use super::asked_about::{Asked, AskedAbout};
use crate::conversation::{
    Approval, AskedCall, CallTimes, Event, Mode, OutcomeKind, Place, Problem, Reused,
};

/// Where the time of one round went. `clock` = `model` + `wall` − `overlap` + `overhead`.
#[derive(Clone, Debug, PartialEq)]
pub struct RoundReport {
    /// Counts through the session's life.
    pub round: u64,
    /// Whether the calls ran at the same time.
    pub mode: Mode,
    /// From the request to the end of the reply; where a summary was asked for before it, from there.
    pub model: Duration,
    /// From the request to the first content of the reply.
    pub first_token: Option<Duration>,
    /// From the request to the first dispatch of a call; absent where nothing ran.
    pub dispatched: Option<Duration>,
    /// The whole round: from its request to the next one, or to the end of the turn.
    pub clock: Duration,
    /// The time during which at least one call was unfinished.
    pub wall: Duration,
    /// The calls' running times added up.
    pub sum: Duration,
    /// What running at the same time saved: `sum` − `wall`, not below zero.
    pub saved: Duration,
    /// `sum` / `wall`; 0 where nothing ran.
    pub speedup: f64,
    /// The part of `wall` before the end of the reply.
    pub overlap: Duration,
    /// What the runtime itself took.
    pub overhead: Duration,
    /// The id of the call that ended last.
    pub critical_call: Option<Arc<str>>,
    /// How often workers were rebuilt during the round.
    pub restarts: u32,
    /// In the order of the calls.
    pub calls: Vec<CallReport>,
    /// Calls that began before the reply had ended, and that it then did not ask for.
    pub discarded: Vec<CallReport>,
    /// Why the model was asked again for the reply, time after time.
    pub retries: Vec<ModelRetry>,
}

/// A try of a reply that came to nothing, and the rest after it. Where the reply led to a round, both
/// are part of its [`model`](RoundReport::model) time.
#[derive(Clone, Debug, PartialEq)]
pub struct ModelRetry {
    /// The model that was asked, by its configured name.
    pub model: Arc<str>,
    /// What went wrong.
    pub error: Problem,
    /// From the first request for the reply to the failure.
    pub failed: Duration,
    /// The rest before the next try, or what the turn's end left of it.
    pub waited: Duration,
}

/// Where the time of one call went.
#[derive(Clone, Debug, PartialEq)]
pub struct CallReport {
    /// The id on the wire.
    pub id: Arc<str>,
    /// The tool's own name; if there is none that the model could mean, the name in the message.
    pub tool: Arc<str>,
    /// The text of a JSON object: the model's, or what a person made of it; absent when what arrived is
    /// none.
    pub arguments: Option<Arc<str>>,
    /// How it ended; absent while it has not.
    pub outcome: Option<OutcomeKind>,
    /// What the model was told.
    pub result: Option<Arc<str>>,
    /// Tries; 0 if it never began.
    pub attempts: u32,
    /// How often the worker had been rebuilt.
    pub worker_generation: u32,
    /// Waiting behind other work.
    pub queued: Duration,
    /// From the round's first dispatch to this call's. Of a call that waited for a person, here and
    /// there, to the beginning of that.
    pub started: Duration,
    /// It began before the reply had ended.
    pub early: bool,
    /// Waiting for the worker's first start.
    pub startup: Duration,
    /// Waiting for a failed worker to come back.
    pub backoff: Duration,
    /// Waiting for a person; comes before everything else.
    pub waited: Duration,
    /// It still does.
    pub awaits_approval: bool,
    /// Running.
    pub ran: Duration,
    /// Whose result it has; absent if it is its own.
    pub reused: Option<Reused>,
    /// Absent when the call ended well.
    pub error: Option<Problem>,
}

/// The rounds of a session so far.
#[derive(Clone, Debug, Default)]
pub struct Rounds {
    done: Vec<Arc<RoundReport>>,
    /// Those of replies that led to no round.
    retries: Vec<ModelRetry>,
    open: Option<Open>,
    /// The generations of workers that were lost, so that each counts once: in the round of the
    /// call that took it down, though the news of its rebuilding comes later.
    lost: HashSet<(Arc<str>, u32)>,
    /// When the last event happened.
    last_at_us: u64,
    /// How long the process was down while a turn was open.
    stood_still_us: u64,
}

/// A round that has not ended.
#[derive(Clone, Debug, Default)]
struct Open {
    round: u64,
    mode: Mode,
    asked_at: u64,
    first_token_at: Option<u64>,
    replied_at: Option<u64>,
    reply_attempt: u32,
    calls: Option<Arc<[AskedCall]>>,
    /// Calls that began before the reply had ended, in the order they began.
    early: Vec<Begun>,
    /// When calls were handed to their workers, by the record.
    started: HashMap<Place, u64>,
    /// Those that a person was asked about.
    asked: AskedAbout,
    ends: HashMap<Place, End>,
    restarts: u32,
    retries: Vec<ModelRetry>,
}

/// A call that began before the reply had ended.
#[derive(Clone, Debug)]
struct Begun {
    place: Place,
    id: Arc<str>,
    tool: Arc<str>,
    arguments: Arc<str>,
}

#[derive(Clone, Debug, Default)]
struct End {
    /// Absent of a call that has not ended, in an account of the round so far.
    kind: Option<OutcomeKind>,
    content: Option<Arc<str>>,
    problem: Option<Box<Problem>>,
    awaits_approval: bool,
    times: CallTimes,
}

impl Rounds {
    /// Takes in an event that happened at `at_us`. Answers with the round's account when the event
    /// ends a round.
    pub fn on(&mut self, at_us: u64, event: &Event) -> Option<Arc<RoundReport>> {
        if matches!(event, Event::TurnResumed { .. }) {
            self.stood_still_us += at_us.saturating_sub(self.last_at_us);
            self.lost.clear(); // A new process counts anew.
        }
        self.last_at_us = at_us;
        self.on_clock(at_us.saturating_sub(self.stood_still_us), event)
    }

    /// Takes in an event by the clock that stands still while the process is down.
    fn on_clock(&mut self, at_us: u64, event: &Event) -> Option<Arc<RoundReport>> {
        let stood_still_us = self.stood_still_us;
        match event {
            // What leads to a reply is one wait for the model: its request, and what comes before it.
            Event::ModelAsked { round, .. } | Event::SummaryAsked { round, .. } => {
                if self.open.as_ref().is_some_and(|open| open.round == *round) {
                    return None; // The same round, asked again: its clock goes on.
                }
                let ended = self.close(at_us);
                self.open = Some(Open { round: *round, asked_at: at_us, ..Open::default() });
                return ended;
            }
            Event::Replied { attempt, calls, mode, first_token_at_us, .. } => {
                if let Some(open) = &mut self.open {
                    open.replied_at = Some(at_us);
                    let on_clock = |at_us: u64| at_us.saturating_sub(stood_still_us);
                    open.first_token_at = first_token_at_us.map(on_clock);
                    open.mode = *mode;
                    open.reply_attempt = *attempt;
                    open.ends.reserve(calls.len());
                    open.calls = Some(Arc::clone(calls));
                }
            }
            Event::CallStarted { reply_attempt, ordinal, id, tool, arguments, .. } => {
                let Some(open) = &mut self.open else { return None };
                let place = Place { reply_attempt: *reply_attempt, ordinal: *ordinal };
                open.started.insert(place, at_us);
                let is_new = !open.early.iter().any(|begun| begun.place == place);
                if let Some(arguments) = arguments.as_ref().filter(|_| is_new) {
                    open.early.push(Begun {
                        place,
                        id: Arc::clone(id),
                        tool: Arc::clone(tool),
                        arguments: Arc::clone(arguments),
                    });
                }
            }
            Event::CallEnded { reply_attempt, ordinal, tool, outcome, times, .. } => {
                if outcome.kind == OutcomeKind::Panicked {
                    self.on_lost(tool, times.worker_generation);
                }
                if let Some(open) = &mut self.open {
                    let place = Place { reply_attempt: *reply_attempt, ordinal: *ordinal };
                    let dispatched_at_us = times.dispatched_at_us.saturating_sub(stood_still_us);
                    open.ends.entry(place).or_insert_with(|| End {
                        kind: Some(outcome.kind),
                        content: Some(Arc::clone(&outcome.content)),
                        problem: outcome.problem.clone(),
                        awaits_approval: false,
                        times: CallTimes { dispatched_at_us, ..*times },
                    });
                }
            }
            Event::ApprovalAsked { .. } | Event::ApprovalDecided { .. } => {
                if let Some(open) = &mut self.open {
                    open.asked.on(at_us, event);
                }
            }
            Event::ModelFailed { model, error, retry_in_us, .. } => {
                if let Some(open) = &mut self.open {
                    open.retries.push(ModelRetry {
                        model: Arc::clone(model),
                        error: error.clone(),
                        failed: micros(at_us.saturating_sub(open.asked_at)),
                        waited: micros(*retry_in_us),
                    });
                }
            }
            Event::WorkerRestarted { tool, generation, .. } => {
                self.on_lost(tool, generation.saturating_sub(1));
            }
            Event::TurnEnded { .. } => {
                return self.close(at_us);
            }
            Event::TurnStarted { .. } => self.lost.clear(), // A new process counts anew.
            Event::SessionOpened { .. }
            | Event::ContextCompacted { .. }
            | Event::TextStreamed { .. }
            | Event::ReasoningStreamed { .. }
            | Event::CallProgressed { .. }
            | Event::CallQueued { .. }
            | Event::CallRetried { .. }
            | Event::CircuitOpened { .. }
            | Event::CircuitClosed { .. }
            | Event::TurnResumed { .. }
            | Event::Unknown(_) => {}
        }
        None
    }

    /// The accounts of the rounds that have ended, the oldest first.
    #[must_use]
    pub fn done(&self) -> &[Arc<RoundReport>] {
        &self.done
    }

    /// The account of the round that has not ended, as far as the last event: calls without an end
    /// have run until then, and have no outcome. `None` between rounds, and before the model has asked
    /// for a call.
    #[must_use]
    pub fn so_far(&self) -> Option<RoundReport> {
        let mut open = self.open.clone()?;
        let now = self.last_at_us.saturating_sub(self.stood_still_us);
        for (place, started) in std::mem::take(&mut open.started) {
            let dispatched_at_us = open.asked.since(place).unwrap_or(started);
            open.ends.entry(place).or_insert_with(|| {
                let ran_us = now.saturating_sub(started);
                let (waited_us, attempts) = (started.saturating_sub(dispatched_at_us), 1);
                let times = CallTimes {
                    dispatched_at_us,
                    waited_us,
                    ran_us,
                    attempts,
                    ..CallTimes::default()
                };
                End { times, ..End::default() }
            });
        }
        for &Asked { place, since, is_decided, .. } in open.asked.iter() {
            open.ends.entry(place).or_insert_with(|| {
                let (dispatched_at_us, waited_us) = (since, now.saturating_sub(since));
                let times = CallTimes { dispatched_at_us, waited_us, ..CallTimes::default() };
                End { awaits_approval: !is_decided, times, ..End::default() }
            });
        }
        let calls = open.calls.clone().unwrap_or_default();
        let is_none = calls.is_empty() && open.early.is_empty();
        (!is_none).then(|| open.report(&calls, now))
    }

    /// The retries so far of the reply that is awaited, where it has asked for no call yet.
    #[must_use]
    pub fn retries_so_far(&self) -> &[ModelRetry] {
        match &self.open {
            Some(open) if open.calls.is_none() && open.early.is_empty() => &open.retries,
            _ => &self.retries,
        }
    }

    /// Takes the accounts out.
    #[must_use]
    pub fn take(&mut self) -> Vec<Arc<RoundReport>> {
        std::mem::take(&mut self.done)
    }

    fn on_lost(&mut self, tool: &Arc<str>, generation: u32) {
        let Some(open) = &mut self.open else { return };
        if self.lost.insert((Arc::clone(tool), generation)) {
            open.restarts += 1;
        }
    }

    /// Takes the retries of replies that led to no round: why the model was asked again for an answer,
    /// or for what then failed the turn. They are here once the turn has ended.
    pub fn take_retries(&mut self) -> Vec<ModelRetry> {
        std::mem::take(&mut self.retries)
    }

    /// Ends the open round. A reply without calls is no round, unless some had begun before it turned
    /// out to have none.
    fn close(&mut self, at_us: u64) -> Option<Arc<RoundReport>> {
        let mut open = self.open.take()?;
        if let Some(last) = open.retries.last_mut() {
            // The end may have come in the middle of the rest.
            let clock = micros(at_us.saturating_sub(open.asked_at));
            last.waited = last.waited.min(clock.saturating_sub(last.failed));
        }
        let calls = open.calls.as_deref().unwrap_or_default();
        if calls.is_empty() && open.early.is_empty() {
            self.retries.extend(open.retries);
            return None;
        }
        let report = Arc::new(open.report(calls, at_us));
        self.done.push(Arc::clone(&report));
        Some(report)
    }
}

impl Open {
    fn report(&self, calls: &[AskedCall], ended_at: u64) -> RoundReport {
        let ran = || {
            let times = self.ends.values().map(|end| &end.times);
            times.filter(|times| times.dispatched_at_us > 0)
        };
        let dispatched = ran().map(|times| times.dispatched_at_us).min();
        let first = dispatched.unwrap_or_default();
        let replied_at = self.replied_at.unwrap_or(ended_at);
        let (wall, overlap) = covered(ran(), replied_at);
        let sum = ran().map(|times| times.ran_us).sum();
        let model = replied_at.saturating_sub(self.asked_at);
        let clock = ended_at.saturating_sub(self.asked_at);
        let asked = || {
            (0u32..).zip(calls).map(|(ordinal, call)| {
                let own = Place { reply_attempt: self.reply_attempt, ordinal };
                let place = call.begun.unwrap_or(own);
                // What had begun and then changed is not what was asked for.
                let end = self.ends.get(&place).filter(|_| call.refused.is_none());
                (call, end)
            })
        };
        let critical = asked()
            .filter_map(|(call, end)| Some((call, end?.times)))
            .filter(|(_, times)| times.dispatched_at_us > 0)
            .max_by_key(|(_, times)| (times.ended_at_us(), times.reused.is_none()));
        let is_discarded = |begun: &&Begun| {
            let recognized = |call: &AskedCall| call.begun == Some(begun.place);
            !calls.iter().any(recognized)
        };
        let mut reports: Vec<_> =
            asked().map(|(call, end)| call_report(call, end, first)).collect();
        for (place, arguments) in self.asked.edits() {
            let is_it = |call: &AskedCall| call.begun.is_none();
            let ordinal = place.ordinal as usize;
            let is_own = place.reply_attempt == self.reply_attempt;
            if is_own && calls.get(ordinal).is_some_and(is_it) {
                reports[ordinal].arguments = Some(Arc::clone(arguments));
            }
        }
        let discarded = |begun: &Begun| begun.report(self.ends.get(&begun.place), first);
        RoundReport {
            round: self.round,
            mode: self.mode,
            model: micros(model),
            first_token: self.first_token_at.map(|at| micros(at.saturating_sub(self.asked_at))),
            dispatched: dispatched.map(|at| micros(at.saturating_sub(self.asked_at))),
            clock: micros(clock),
            wall: micros(wall),
            sum: micros(sum),
            saved: micros(sum.saturating_sub(wall)),
            speedup: if wall == 0 { 0.0 } else { micros(sum).div_duration_f64(micros(wall)) },
            overlap: micros(overlap),
            overhead: micros((clock + overlap).saturating_sub(model + wall)),
            critical_call: critical.map(|(call, _)| Arc::clone(&call.id)),
            restarts: self.restarts,
            calls: reports,
            discarded: self.early.iter().filter(is_discarded).map(discarded).collect(),
            retries: self.retries.clone(),
        }
    }
}

impl Begun {
    fn report(&self, end: Option<&End>, first: u64) -> CallReport {
        let call = AskedCall {
            id: Arc::clone(&self.id),
            tool: Arc::clone(&self.tool),
            arguments: Arc::clone(&self.arguments),
            refused: None,
            begun: Some(self.place),
            approval: Approval::Never,
            part_of: None,
        };
        call_report(&call, end, first)
    }
}

fn call_report(call: &AskedCall, end: Option<&End>, first: u64) -> CallReport {
    let times = end.map(|end| end.times).unwrap_or_default();
    let refused = call.refused.as_ref();
    CallReport {
        id: Arc::clone(&call.id),
        tool: Arc::clone(&call.tool),
        arguments: is_readable(call).then(|| Arc::clone(&call.arguments)),
        outcome: end.and_then(|end| end.kind).or(refused.map(|refused| refused.kind)),
        result: end
            .and_then(|end| end.content.clone())
            .or(refused.map(|refused| Arc::clone(&refused.content))),
        attempts: times.attempts,
        worker_generation: times.worker_generation,
        queued: micros(times.queued_us),
        started: micros(times.dispatched_at_us.saturating_sub(first)),
        early: call.begun.is_some(),
        startup: micros(times.startup_us),
        backoff: micros(times.backoff_us),
        waited: micros(times.waited_us),
        awaits_approval: end.is_some_and(|end| end.awaits_approval),
        ran: micros(times.ran_us),
        reused: times.reused,
        error: end
            .and_then(|end| end.problem.as_deref().cloned())
            .or(refused.and_then(|refused| refused.problem.as_deref().cloned())),
    }
}

/// The time during which at least one call was unfinished, and the part of it before `replied_at`.
fn covered<'a>(calls: impl Iterator<Item = &'a CallTimes>, replied_at: u64) -> (u64, u64) {
    let mut spans: Vec<(u64, u64)> =
        calls.map(|times| (times.dispatched_at_us, times.ended_at_us())).collect();
    spans.sort_unstable();
    let (mut wall, mut overlap, mut until) = (0, 0, 0);
    for (from, to) in spans {
        let from = from.max(until);
        if to > from {
            wall += to - from;
            overlap += to.min(replied_at).saturating_sub(from);
            until = to;
        }
    }
    (wall, overlap)
}

/// Says whether the call's arguments are an object. Those of a call that ran are.
fn is_readable(call: &AskedCall) -> bool {
    let is_object = |text: &str| {
        text.starts_with('{') && serde_json::from_str::<serde::de::IgnoredAny>(text).is_ok()
    };
    call.refused.is_none() || is_object(&call.arguments)
}

fn micros(micros: u64) -> Duration {
    Duration::from_micros(micros)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn times(from: u64, ran: u64) -> CallTimes {
        CallTimes { dispatched_at_us: from, ran_us: ran, ..CallTimes::default() }
    }

    fn check(calls: &[CallTimes], replied_at: u64, wall: u64, overlap: u64) {
        assert_eq!(covered(calls.iter(), replied_at), (wall, overlap), "{calls:?}");
    }

    #[test]
    fn wall_is_the_time_with_a_call_under_way_and_gaps_are_not() {
        check(&[], 0, 0, 0);
        check(&[times(10, 5)], 10, 5, 0);
        check(&[times(10, 5), times(12, 5)], 10, 7, 0); // They overlap.
        check(&[times(10, 9), times(12, 2)], 10, 9, 0); // One within the other.
        check(&[times(10, 5), times(20, 5)], 10, 10, 0); // A gap between them.
        check(&[times(20, 5), times(10, 5)], 10, 10, 0); // In whatever order.
    }

    #[test]
    fn what_runs_before_the_replys_end_is_overlap() {
        check(&[times(10, 10)], 15, 10, 5);
        check(&[times(10, 2), times(14, 4)], 15, 6, 3);
        check(&[times(10, 2)], 100, 2, 2);
    }
}
