//! One turn that is under way, as spans.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use opentelemetry::trace::{
    Event as SpanEvent, SpanContext, SpanId, SpanKind, Status, TraceFlags, TraceId, TraceState,
};
use opentelemetry::{InstrumentationScope, KeyValue};
use opentelemetry_sdk::trace::{IdGenerator, RandomIdGenerator, SpanData, SpanEvents, SpanLinks};

use super::attributes::{asked, list, number, said, seconds, text, times, usage};
use crate::conversation::{
    AskedCall, CallTimes, Decision, Event, Outcome, Place, Record, SessionId, TraceParent, TurnEnd,
};
use crate::session::TurnBegun;
use crate::supervision::RoundReport;
use crate::telemetry::gen_ai as name;
use crate::wire::Usage;

/// So many rounds and restarts are noted on the span of a turn.
const MAX_EVENTS: usize = 128;

/// A turn that is under way.
pub(super) struct Turn {
    pub number: u64,
    session: SessionId,
    captures: bool,
    own: TraceParent,
    parent: Option<TraceParent>,
    /// The session's first model, and who provides it.
    model: Arc<str>,
    provider: &'static str,
    began_us: Option<u64>,
    last_us: u64,
    request: Option<Request>,
    calls: HashMap<Place, Call>,
    /// The calls of the last reply and what people made of them, where that is captured.
    asked: Option<(u32, Arc<[AskedCall]>)>,
    edits: HashMap<Place, Arc<str>>,
    usage: Usage,
    attributes: Vec<KeyValue>,
    events: SpanEvents,
}

/// What the model was asked, and has not answered.
struct Request {
    at_us: u64,
    model: Arc<str>,
    round: u64,
    attempt: u32,
}

/// A call that has begun.
struct Call {
    span_id: u64,
    at_us: u64,
    arguments: Option<Arc<str>>,
}

fn new_span_id() -> u64 {
    u64::from_be_bytes(RandomIdGenerator::default().new_span_id().to_bytes())
}

fn at(micros: u64) -> SystemTime {
    UNIX_EPOCH + Duration::from_micros(micros)
}

impl Turn {
    pub fn new(begun: &TurnBegun<'_>, captures: bool) -> Self {
        let root = || TraceParent {
            trace_id: u128::from_be_bytes(RandomIdGenerator::default().new_trace_id().to_bytes()),
            span_id: 0,
            flags: TraceFlags::SAMPLED.to_u8(),
        };
        let parent = begun.trace_parent.copied();
        let own = TraceParent { span_id: new_span_id(), ..parent.unwrap_or_else(root) };
        Self {
            number: begun.turn,
            session: begun.session.clone(),
            captures,
            own,
            parent,
            model: begun.model.into(),
            provider: name::provider(begun.dialect),
            began_us: None,
            last_us: 0,
            request: None,
            calls: HashMap::new(),
            asked: None,
            edits: HashMap::new(),
            usage: Usage::default(),
            attributes: Vec::new(),
            events: SpanEvents::default(),
        }
    }

    /// The span of the call at `place`, for what it calls itself.
    pub fn trace_parent(&self, place: Place) -> Option<TraceParent> {
        Some(TraceParent { span_id: self.calls.get(&place)?.span_id, ..self.own })
    }

    /// Takes in what happened. Gives the span that ends with it.
    pub fn on(&mut self, record: &Record) -> Option<SpanData> {
        let at_us = record.at_us;
        self.began_us.get_or_insert(at_us);
        self.last_us = self.last_us.max(at_us);
        match &record.event {
            Event::TurnStarted { prompt, .. } if self.captures => {
                self.attributes.push(asked(prompt));
            }
            Event::TurnResumed { .. } => {
                self.attributes.push(KeyValue::new(name::RESUMED, true));
            }
            Event::ModelAsked { round, attempt, model } => {
                self.ask(at_us, model.as_ref(), *round, *attempt);
            }
            Event::SummaryAsked { round, model } => self.ask(at_us, model.as_ref(), *round, 1),
            Event::ContextCompacted { problem, usage: counted, .. } => {
                self.count(counted.as_ref());
                // Without a request nothing was summed up.
                let mut span = self.end_request(at_us, counted.as_ref())?;
                span.attributes.push(text(name::PURPOSE, "summary"));
                if let Some(problem) = problem {
                    fail(&mut span, &problem.code);
                }
                return self.kept(span);
            }
            Event::ModelFailed { error, usage: counted, .. } => {
                self.count(counted.as_ref());
                let mut span = self.end_request(at_us, counted.as_ref())?;
                fail(&mut span, &error.code);
                return self.kept(span);
            }
            Event::Replied { .. } => return self.on_reply(at_us, &record.event),
            Event::CallStarted { reply_attempt, ordinal, arguments, .. } => {
                let place = Place { reply_attempt: *reply_attempt, ordinal: *ordinal };
                let arguments = arguments.clone().or_else(|| self.arguments_of(place));
                let arguments = arguments.filter(|_| self.captures);
                let call = Call { span_id: new_span_id(), at_us, arguments };
                let is_new = |known: &mut Call| known.at_us = at_us; // Begun anew: the same span.
                self.calls.entry(place).and_modify(is_new).or_insert(call);
            }
            Event::CallEnded { round, reply_attempt, ordinal, id, tool, outcome, times } => {
                let place = Place { reply_attempt: *reply_attempt, ordinal: *ordinal };
                let call = self.calls.remove(&place)?; // One that did not begin was not executed.
                return self.end_call(at_us, call, (*round, id, tool), (outcome, times));
            }
            Event::ApprovalDecided {
                reply_attempt,
                ordinal,
                decision: Decision::Edited { arguments },
                ..
            } if self.captures => {
                let place = Place { reply_attempt: *reply_attempt, ordinal: *ordinal };
                self.edits.insert(place, Arc::clone(arguments));
            }
            Event::WorkerRestarted { tool, generation, .. } => {
                let generation = number(name::WORKER_GENERATION, (*generation).into());
                self.note(at_us, "worker_restarted", vec![text(name::TOOL_NAME, tool), generation]);
            }
            Event::CircuitOpened { tool, .. } => {
                self.note(at_us, "circuit_opened", vec![text(name::TOOL_NAME, tool)]);
            }
            Event::TurnEnded { turn, end, usage: counted, .. } if *turn == self.number => {
                self.count(counted.as_ref());
                return self.end(at_us, end);
            }
            _ => {}
        }
        None
    }

    /// The request that the end of the turn, if `record` is that, leaves without an answer.
    pub fn end_unanswered(&mut self, record: &Record) -> Option<SpanData> {
        let Event::TurnEnded { turn, end, usage: counted, .. } = &record.event else { return None };
        if *turn != self.number {
            return None;
        }
        let mut span = self.end_request(record.at_us, counted.as_ref())?;
        fail(&mut span, code_of(end).unwrap_or("no_answer"));
        self.kept(span)
    }

    /// Notes what a round came to.
    pub fn on_round(&mut self, report: &RoundReport) {
        let attributes = vec![
            number(name::ROUND, report.round),
            seconds(name::ROUND_DURATION, report.clock),
            seconds(name::ROUND_MODEL, report.model),
            seconds(name::ROUND_WALL, report.wall),
            seconds(name::ROUND_SUM, report.sum),
            number(name::ROUND_CALLS, report.calls.len() as u64),
            number(name::ROUND_RESTARTS, report.restarts.into()),
        ];
        self.note(self.last_us, "round_ended", attributes);
    }

    /// The session has ended in the middle of it.
    pub fn lost(mut self) -> Option<SpanData> {
        let mut span = self.span(SpanKind::Internal, name::INVOKE_AGENT.into(), self.own.span_id);
        (span.start_time, span.end_time) = (at(self.began_us?), at(self.last_us));
        fail(&mut span, "lost");
        self.finish(span)
    }

    /// The arguments that the call at `place` begins with, where they are captured.
    fn arguments_of(&self, place: Place) -> Option<Arc<str>> {
        if let Some(edited) = self.edits.get(&place) {
            return Some(Arc::clone(edited));
        }
        let (attempt, calls) = self.asked.as_ref()?;
        let own = calls.get(place.ordinal as usize).filter(|_| *attempt == place.reply_attempt);
        Some(Arc::clone(&own?.arguments))
    }

    fn ask(&mut self, at_us: u64, model: Option<&Arc<str>>, round: u64, attempt: u32) {
        let model = Arc::clone(model.unwrap_or(&self.model));
        self.edits.clear();
        self.request = Some(Request { at_us, model, round, attempt });
    }

    fn count(&mut self, counted: Option<&Usage>) {
        self.usage += counted.copied().unwrap_or_default();
    }

    fn on_reply(&mut self, at_us: u64, event: &Event) -> Option<SpanData> {
        let Event::Replied { attempt, text: words, calls, finish, model, usage: counted, .. } =
            event
        else {
            return None;
        };
        if self.captures {
            self.asked = Some((*attempt, Arc::clone(calls)));
        }
        self.count(counted.as_ref());
        let asked_at = self.request.as_ref().map(|request| request.at_us);
        let mut span = self.end_request(at_us, counted.as_ref())?;
        span.attributes.push(list(name::FINISH_REASONS, finish));
        span.attributes.extend(model.as_ref().map(|model| text(name::RESPONSE_MODEL, model)));
        if let Event::Replied { first_token_at_us: Some(first), .. } = event
            && let Some(asked_at) = asked_at
        {
            let waited = Duration::from_micros(first.saturating_sub(asked_at));
            span.attributes.push(seconds(name::FIRST_CHUNK, waited));
        }
        if self.captures {
            span.attributes.push(said(words, calls, finish));
        }
        self.kept(span)
    }

    fn end_request(&mut self, at_us: u64, counted: Option<&Usage>) -> Option<SpanData> {
        let Request { at_us: asked_us, model, round, attempt } = self.request.take()?;
        let mut span =
            self.span(SpanKind::Client, format!("{} {model}", name::CHAT), new_span_id());
        (span.start_time, span.end_time) = (at(asked_us), at(at_us));
        span.attributes.extend([
            text(name::OPERATION, name::CHAT),
            text(name::PROVIDER, self.provider),
            text(name::REQUEST_MODEL, &model),
            number(name::ROUND, round),
            number(name::REPLY_ATTEMPT, attempt.into()),
        ]);
        span.attributes.extend(counted.into_iter().flat_map(usage));
        Some(span)
    }

    fn end_call(
        &mut self,
        at_us: u64,
        call: Call,
        (round, id, tool): (u64, &Arc<str>, &Arc<str>),
        (outcome, spent): (&Outcome, &CallTimes),
    ) -> Option<SpanData> {
        let kind = SpanKind::Internal;
        let mut span = self.span(kind, format!("{} {tool}", name::EXECUTE_TOOL), call.span_id);
        // Of one whose process was lost only the record knows.
        let is_known = spent.dispatched_at_us > 0;
        let from = if is_known { spent.dispatched_at_us + spent.waited_us } else { call.at_us };
        let until = if is_known { spent.ended_at_us() } else { at_us };
        (span.start_time, span.end_time) = (at(from), at(until));
        span.attributes.extend([
            text(name::OPERATION, name::EXECUTE_TOOL),
            text(name::TOOL_NAME, tool),
            text(name::TOOL_CALL_ID, id),
            text(name::TOOL_TYPE, "function"),
            text(name::OUTCOME, outcome.kind.as_str()),
            number(name::ROUND, round),
        ]);
        span.attributes.extend(times(spent));
        if self.captures {
            let arguments = call.arguments.as_ref().map(|given| text(name::ARGUMENTS, given));
            span.attributes.extend(arguments);
            span.attributes.push(text(name::RESULT, &outcome.content));
        }
        if !outcome.is_ok() {
            let code = outcome.problem.as_ref().map(|problem| &*problem.code);
            fail(&mut span, code.unwrap_or(outcome.kind.as_str()));
        }
        self.kept(span)
    }

    fn end(&mut self, at_us: u64, end: &TurnEnd) -> Option<SpanData> {
        let mut span = self.span(SpanKind::Internal, name::INVOKE_AGENT.into(), self.own.span_id);
        (span.start_time, span.end_time) = (at(self.began_us?), at(at_us));
        if let Some(code) = code_of(end) {
            fail(&mut span, code);
        }
        self.finish(span)
    }

    fn finish(&mut self, mut span: SpanData) -> Option<SpanData> {
        if let Some(parent) = self.parent {
            span.parent_span_id = SpanId::from_bytes(parent.span_id.to_be_bytes());
            span.parent_span_is_remote = true;
        } else {
            span.parent_span_id = SpanId::INVALID;
        }
        span.attributes.extend([
            text(name::OPERATION, name::INVOKE_AGENT),
            text(name::PROVIDER, self.provider),
            text(name::REQUEST_MODEL, &self.model),
            number(name::TURN, self.number),
        ]);
        span.attributes.extend(usage(&self.usage));
        span.attributes.append(&mut self.attributes);
        span.events = std::mem::take(&mut self.events);
        self.kept(span)
    }

    /// A span of the trace, within that of the turn.
    fn span(&self, span_kind: SpanKind, name: String, span_id: u64) -> SpanData {
        let context = SpanContext::new(
            TraceId::from_bytes(self.own.trace_id.to_be_bytes()),
            SpanId::from_bytes(span_id.to_be_bytes()),
            TraceFlags::new(self.own.flags),
            false,
            TraceState::default(),
        );
        SpanData {
            span_context: context,
            parent_span_id: SpanId::from_bytes(self.own.span_id.to_be_bytes()),
            parent_span_is_remote: false,
            span_kind,
            name: name.into(),
            start_time: UNIX_EPOCH,
            end_time: UNIX_EPOCH,
            attributes: vec![text(name::CONVERSATION, self.session.as_str())],
            dropped_attributes_count: 0,
            events: SpanEvents::default(),
            links: SpanLinks::default(),
            status: Status::Unset,
            instrumentation_scope: InstrumentationScope::builder(env!("CARGO_PKG_NAME"))
                .with_version(env!("CARGO_PKG_VERSION"))
                .build(),
        }
    }

    /// Whoever began the trace may not keep it.
    fn kept(&self, span: SpanData) -> Option<SpanData> {
        Some(span).filter(|_| self.own.is_sampled())
    }

    fn note(&mut self, at_us: u64, name: &'static str, attributes: Vec<KeyValue>) {
        if self.events.events.len() < MAX_EVENTS {
            self.events.events.push(SpanEvent::new(name, at(at_us), attributes, 0));
        } else {
            self.events.dropped_count += 1;
        }
    }
}

/// Why a turn did not end well.
fn code_of(end: &TurnEnd) -> Option<&str> {
    match end {
        TurnEnd::Answered => None,
        TurnEnd::Cancelled => Some("cancelled"),
        TurnEnd::TimedOut => Some("turn_timed_out"),
        TurnEnd::Failed { problem } => Some(&problem.code),
    }
}

/// The message may hold what was said; the code does not.
fn fail(span: &mut SpanData, code: &str) {
    span.attributes.push(text(name::ERROR_TYPE, code));
    span.status = Status::error(code.to_owned());
}
