//! The names of metrics, of spans and of their fields, in one place: session → turn → round → call.
//!
//! Every step of a session is also an event of the target `callsheet` at the level `debug`, within
//! the span it belongs to. Arguments and results are never recorded.

use tracing::{Span, debug, info, info_span};

use crate::conversation::{Event, SessionId};

/// The names of metrics, without their prefix, unit and `_total`.
#[cfg(feature = "server")]
pub(crate) mod metric {
    pub const PREFIX: &str = "callsheet";
    pub const TURNS: &str = "turns";
    pub const ROUNDS: &str = "rounds";
    pub const ROUND_DURATION: &str = "round_duration";
    pub const CALLS: &str = "calls";
    pub const CALLS_IN_FLIGHT: &str = "calls_in_flight";
    pub const CALL_DURATION: &str = "call_duration";
    pub const CALL_QUEUE: &str = "call_queue";
    pub const CALL_RETRIES: &str = "call_retries";
    pub const WORKER_RESTARTS: &str = "worker_restarts";
    pub const CIRCUITS: &str = "circuits";
    pub const SESSIONS: &str = "sessions";
    pub const MODEL_REPLY_DURATION: &str = "model_reply_duration";
    pub const MODEL_FIRST_TOKEN: &str = "model_first_token";
    pub const MODEL_TOKENS: &str = "model_tokens";
    pub const MODEL_RETRIES: &str = "model_retries";
    pub const JOURNAL_BATCHES: &str = "journal_batches";
    pub const JOURNAL_RECORDS: &str = "journal_records";
    pub const JOURNAL_BATCH_DURATION: &str = "journal_batch_duration";
}

/// The names of OpenTelemetry's spans and their attributes. Those that begin with `gen_ai` are of the
/// conventions for generative AI, which still change
/// (<https://github.com/open-telemetry/semantic-conventions-genai>, as of November 2026).
#[cfg(feature = "otel")]
pub(crate) mod gen_ai {
    pub const INVOKE_AGENT: &str = "invoke_agent";
    pub const CHAT: &str = "chat";
    pub const EXECUTE_TOOL: &str = "execute_tool";

    pub const OPERATION: &str = "gen_ai.operation.name";
    pub const PROVIDER: &str = "gen_ai.provider.name";
    pub const CONVERSATION: &str = "gen_ai.conversation.id";
    pub const REQUEST_MODEL: &str = "gen_ai.request.model";
    pub const RESPONSE_MODEL: &str = "gen_ai.response.model";
    pub const FINISH_REASONS: &str = "gen_ai.response.finish_reasons";
    pub const FIRST_CHUNK: &str = "gen_ai.response.time_to_first_chunk";
    pub const INPUT_TOKENS: &str = "gen_ai.usage.input_tokens";
    pub const OUTPUT_TOKENS: &str = "gen_ai.usage.output_tokens";
    pub const CACHED_TOKENS: &str = "gen_ai.usage.cache_read.input_tokens";
    pub const REASONING_TOKENS: &str = "gen_ai.usage.reasoning.output_tokens";
    pub const TOOL_NAME: &str = "gen_ai.tool.name";
    pub const TOOL_CALL_ID: &str = "gen_ai.tool.call.id";
    pub const TOOL_TYPE: &str = "gen_ai.tool.type";
    pub const ERROR_TYPE: &str = "error.type";

    // What people, models and tools say: only where it is asked for.
    pub const INPUT_MESSAGES: &str = "gen_ai.input.messages";
    pub const OUTPUT_MESSAGES: &str = "gen_ai.output.messages";
    pub const ARGUMENTS: &str = "gen_ai.tool.call.arguments";
    pub const RESULT: &str = "gen_ai.tool.call.result";

    // Our own. Times are in seconds.
    pub const TURN: &str = "callsheet.turn";
    pub const RESUMED: &str = "callsheet.turn.resumed";
    pub const ROUND: &str = "callsheet.round";
    pub const ROUND_DURATION: &str = "callsheet.round.duration";
    pub const ROUND_MODEL: &str = "callsheet.round.model";
    pub const ROUND_WALL: &str = "callsheet.round.wall";
    pub const ROUND_SUM: &str = "callsheet.round.sum";
    pub const ROUND_CALLS: &str = "callsheet.round.calls";
    pub const ROUND_RESTARTS: &str = "callsheet.round.restarts";
    pub const REPLY_ATTEMPT: &str = "callsheet.reply.attempt";
    pub const PURPOSE: &str = "callsheet.reply.purpose";
    pub const OUTCOME: &str = "callsheet.call.outcome";
    pub const CALL_RAN: &str = "callsheet.call.ran";
    pub const CALL_QUEUED: &str = "callsheet.call.queued";
    pub const CALL_STARTUP: &str = "callsheet.call.startup";
    pub const CALL_BACKOFF: &str = "callsheet.call.backoff";
    pub const CALL_WAITED: &str = "callsheet.call.waited";
    pub const CALL_ATTEMPTS: &str = "callsheet.call.attempts";
    pub const CALL_REUSED: &str = "callsheet.call.reused";
    pub const WORKER_GENERATION: &str = "callsheet.worker.generation";

    /// The conventions' name of who provides what speaks `dialect`. Whoever has no row speaks as OpenAI does.
    pub fn provider(dialect: &'static str) -> &'static str {
        match dialect {
            "generic" => "openai",
            "azure" => "azure.ai.openai",
            "gemini" => "gcp.gemini",
            "mistral" => "mistral_ai",
            "moonshot" => "moonshot_ai",
            "xai" => "x_ai",
            other => other,
        }
    }
}

/// A conversation, as long as its coordinator lives.
pub(crate) fn session(id: &SessionId) -> Span {
    info_span!(parent: None, "session", session = %id)
}

/// From a question to its answer.
pub(crate) fn turn(session: &Span, turn: u64) -> Span {
    info_span!(parent: session, "turn", turn)
}

/// From a request to the model to the next one.
pub(crate) fn round(turn: &Span, round: u64) -> Span {
    info_span!(parent: turn, "round", round)
}

/// One call, while it runs.
pub(crate) fn call(round: &Span, id: &str, tool: &str) -> Span {
    info_span!(parent: round, "call", call = id, tool)
}

/// Something happened within `span`.
pub(crate) fn step(span: &Span, event: &Event) {
    match event {
        Event::SessionOpened { .. } => debug!(parent: span, "session opened"),
        Event::TurnStarted { turn, .. } => debug!(parent: span, turn, "turn started"),
        Event::ModelAsked { round, attempt, .. } => {
            debug!(parent: span, round, attempt, "model asked");
        }
        Event::SummaryAsked { round, .. } => debug!(parent: span, round, "summary asked for"),
        Event::ContextCompacted { problem, tokens_before, tokens_after, .. } => {
            let problem = problem.as_ref().map_or("", |problem| &problem.code);
            info!(parent: span, tokens_before, tokens_after, problem, "history compacted");
        }
        Event::ModelFailed { round, attempt, error, retry_in_us, .. } => {
            let code = &*error.code;
            debug!(parent: span, round, attempt, code, retry_in_us, "model failed");
        }
        Event::Replied { calls, finish, .. } => {
            debug!(parent: span, calls = calls.len(), finish = &**finish, "replied");
        }
        Event::ApprovalAsked { id, tool, .. } => {
            info!(parent: span, %id, %tool, "approval asked for");
        }
        Event::ApprovalDecided { id, tool, decision, for_session, .. } => {
            let decision = decision.as_str();
            info!(parent: span, %id, %tool, decision, for_session, "approval decided");
        }
        Event::CallStarted { id, tool, .. } => debug!(parent: span, %id, %tool, "call started"),
        Event::CallEnded { id, tool, outcome, times, .. } => {
            let (outcome, ran_us) = (outcome.kind.as_str(), times.ran_us);
            debug!(parent: span, %id, %tool, outcome, ran_us, "call ended");
        }
        Event::WorkerRestarted { tool, generation, .. } => {
            debug!(parent: span, %tool, generation, "worker restarted");
        }
        Event::CallRetried { ordinal, attempt, cause, .. } => {
            debug!(parent: span, ordinal, attempt, %cause, "call tried again");
        }
        Event::CircuitOpened { tool, cause, everywhere, .. } => {
            debug!(parent: span, %tool, %cause, everywhere, "circuit opened");
        }
        Event::CircuitClosed { tool } => debug!(parent: span, %tool, "circuit closed"),
        Event::TurnResumed { turn } => debug!(parent: span, turn, "turn resumed"),
        Event::TurnEnded { turn, end, .. } => debug!(parent: span, turn, ?end, "turn ended"),
        Event::TextStreamed { .. }
        | Event::ReasoningStreamed { .. }
        | Event::CallQueued { .. }
        | Event::CallProgressed { .. }
        | Event::Unknown(_) => {} // Too many to be of use.
    }
}
