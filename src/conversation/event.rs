//! The one event type: what the journal keeps, what subscribers hear, what `--output jsonl` prints.
//! How it is written down is the [record](super::Record)'s business.

use std::borrow::Cow;
use std::sync::Arc;

use serde::{Deserialize, Serialize};

use super::{
    Approval, CallKey, Decision, Mode, Orphan, Outcome, Place, Problem, SessionId, Span, Unknown,
};
use crate::wire::Usage;

/// Something that happened in a session, in the past tense. There will be more kinds.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(tag = "type", rename_all = "snake_case")]
#[non_exhaustive]
pub enum Event {
    /// The session was made.
    SessionOpened {
        /// The system prompt, if there is one.
        system: Option<Arc<str>>,
        /// The messages that stand before its first turn, if it was made with any: JSON text, an array
        /// ([`GivenHistory`](super::GivenHistory)).
        #[serde(default, skip_serializing_if = "Option::is_none")]
        history: Option<Arc<str>>,
    },
    /// The user asked.
    TurnStarted {
        /// Counts the session's turns from 1.
        turn: u64,
        /// The question; empty if the turn `goes_on`.
        prompt: Arc<str>,
        /// The user said nothing new: the history ends with what is to be answered.
        #[serde(default, skip_serializing_if = "std::ops::Not::not")]
        goes_on: bool,
        /// What whoever asked calls the question, so that it is not asked twice
        /// ([`Question::key`](crate::Question::key)).
        #[serde(default, skip_serializing_if = "Option::is_none")]
        key: Option<Arc<str>>,
    },
    /// The model was asked for a summary of the oldest messages, which are about to leave the history.
    /// [`Event::ContextCompacted`] says what came of it.
    SummaryAsked {
        /// The round that the next reply belongs to if it asks for tools.
        round: u64,
        /// As in [`Event::ModelAsked`].
        #[serde(default, skip_serializing_if = "Option::is_none")]
        model: Option<Arc<str>>,
    },
    /// The history had become too long for the model: its oldest messages have left it. The record has
    /// them still.
    ContextCompacted {
        /// These messages of the history, by their numbers before any of them left.
        dropped: Arc<[Span]>,
        /// What takes their place, behind the system prompt, in a message of the user's.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        summary: Option<Arc<str>>,
        /// Why there is no summary, where one was asked for.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        problem: Option<Problem>,
        /// The tokens of the summary, where its provider has counted them.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        usage: Option<Usage>,
        /// The tokens of a request with these messages, estimated.
        tokens_before: u64,
        /// And of one without them and without the summary.
        tokens_after: u64,
    },
    /// The model was asked to go on.
    ModelAsked {
        /// The round that begins if the reply asks for tools.
        round: u64,
        /// Which try of this reply, from 1.
        attempt: u32,
        /// The model that is asked, by its configured name, where it is not the session's first.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        model: Option<Arc<str>>,
    },
    /// A try of the reply came to nothing, and there will be another. What it had said is void; its
    /// calls that have begun go on, until it is known whether the next try asks for them too. The
    /// last failure is that of the turn, [`Event::TurnEnded`].
    ModelFailed {
        /// As in [`Event::ModelAsked`].
        round: u64,
        /// As in [`Event::ModelAsked`].
        attempt: u32,
        /// The model that was asked, by its configured name.
        model: Arc<str>,
        /// What went wrong.
        error: Problem,
        /// The rest before the model is asked again, or another one.
        retry_in_us: u64,
        /// Some of its text was streamed already, and will not be taken back.
        text_was_shown: bool,
        /// The tokens of the failed try, where its provider had counted them by then.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        usage: Option<Usage>,
    },
    /// A piece of the answer's text. Not kept: [`Event::Replied`] holds the whole.
    TextStreamed {
        /// The piece.
        text: String,
    },
    /// A piece of the model's reasoning. Not kept.
    ReasoningStreamed {
        /// The piece.
        text: String,
    },
    /// The model's reply has ended.
    Replied {
        /// As in [`Event::ModelAsked`].
        round: u64,
        /// As in [`Event::ModelAsked`].
        attempt: u32,
        /// The assistant message as it stands in the history: JSON text, byte for byte.
        message: Arc<str>,
        /// The text of the message.
        text: Arc<str>,
        /// The calls it asks for, in order; empty in a final answer.
        calls: Arc<[AskedCall]>,
        /// How these calls will be run.
        mode: Mode,
        /// Why the model stopped, in its provider's word.
        finish: Cow<'static, str>,
        /// The model's name as its provider gives it.
        model: Option<Arc<str>>,
        /// Who understands the unknown fields of `message`
        /// ([`Model::origin`](crate::Model::origin)); absent in old records.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        origin: Option<Arc<str>>,
        /// Tokens, where the provider counts them.
        usage: Option<Usage>,
        /// When the first byte of the reply's content came.
        first_token_at_us: Option<u64>,
        /// Calls with effects that began early and that it does not ask for. They have ended, and stand
        /// in the history before `message`.
        #[serde(default, skip_serializing_if = "are_none")]
        orphans: Arc<[Orphan]>,
    },
    /// A call waits for a person's approval. Until [`Event::ApprovalDecided`] it does not begin, and
    /// the time limits of its round and its turn stand still. Its siblings go on.
    ApprovalAsked {
        /// The round.
        round: u64,
        /// Which try of the reply asked for the call.
        reply_attempt: u32,
        /// The call's place in the reply.
        ordinal: u32,
        /// The call's id on the wire.
        id: Arc<str>,
        /// The tool's name.
        tool: Arc<str>,
    },
    /// Somebody has decided about a call that waited for approval. In the journal before it begins.
    ApprovalDecided {
        /// The round.
        round: u64,
        /// As in [`Event::ApprovalAsked`].
        reply_attempt: u32,
        /// The call's place in the reply.
        ordinal: u32,
        /// The call's id on the wire.
        id: Arc<str>,
        /// The tool's name.
        tool: Arc<str>,
        /// What.
        #[serde(flatten)]
        decision: Decision,
        /// It stands for all later calls of the tool in the session.
        #[serde(default)]
        for_session: bool,
    },
    /// A call is about to be handed to its worker. In the journal before it begins.
    ///
    /// One that has `arguments` begins before its reply has ended. [`AskedCall::begun`] then says
    /// which call of the finished reply it is, if it is one.
    CallStarted {
        /// The round.
        round: u64,
        /// Which try of the reply asked for the call.
        #[serde(default = "first")]
        reply_attempt: u32,
        /// The call's place in the reply.
        ordinal: u32,
        /// The call's id on the wire; of one that begins early as far as it is known.
        id: Arc<str>,
        /// The tool's name.
        tool: Arc<str>,
        /// The text of a JSON object, where [`Event::Replied`] is still to come.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        arguments: Option<Arc<str>>,
        /// Its tool's effects are [`Effects::Once`](super::Effects::Once) at this moment: it is never run
        /// again, whatever is said of the tool later.
        #[serde(default, skip_serializing_if = "std::ops::Not::not")]
        once: bool,
    },
    /// A tool said how far it is. Not kept.
    CallProgressed {
        /// The round.
        round: u64,
        /// As in [`Event::CallStarted`].
        #[serde(default = "first")]
        reply_attempt: u32,
        /// The call's place in the reply.
        ordinal: u32,
        /// What the tool said.
        message: String,
    },
    /// A call waits for its turn among those of its tool. Not kept.
    CallQueued {
        /// The round.
        round: u64,
        /// As in [`Event::CallStarted`].
        #[serde(default = "first")]
        reply_attempt: u32,
        /// The call's place in the reply.
        ordinal: u32,
        /// How many calls of the tool wait longer, in the whole process.
        ahead: u64,
    },
    /// A try of a call failed; after a rest there will be another. Not kept.
    CallRetried {
        /// The round.
        round: u64,
        /// As in [`Event::CallStarted`].
        #[serde(default = "first")]
        reply_attempt: u32,
        /// The call's place in the reply.
        ordinal: u32,
        /// The try that failed, from 1.
        attempt: u32,
        /// How it failed.
        cause: String,
        /// How long the call rests before the next one.
        backoff_us: u64,
    },
    /// A call has ended. In the journal before the model sees the result. One that began early
    /// ends with the numbers and the tool that it began with.
    CallEnded {
        /// The round.
        round: u64,
        /// As in [`Event::CallStarted`].
        #[serde(default = "first")]
        reply_attempt: u32,
        /// The call's place in the reply.
        ordinal: u32,
        /// The call's id on the wire.
        id: Arc<str>,
        /// The tool's name.
        tool: Arc<str>,
        /// How it ended.
        #[serde(flatten)]
        outcome: Outcome,
        /// Where its time went.
        #[serde(flatten)]
        times: CallTimes,
    },
    /// A worker failed, or somebody wanted it made anew, and is rebuilt behind its address.
    WorkerRestarted {
        /// The tool's name.
        tool: Arc<str>,
        /// The generation that begins.
        generation: u32,
        /// What became of the last one.
        cause: String,
        /// How long the worker rests before it is rebuilt.
        backoff_us: u64,
    },
    /// A tool failed too often: its calls are answered at once, and the model is not offered it.
    CircuitOpened {
        /// The tool's name.
        tool: Arc<str>,
        /// The last failure.
        cause: String,
        /// How long it is out of service.
        cool_down_us: u64,
        /// In all sessions of the process, and not in this one alone.
        everywhere: bool,
    },
    /// A tool that was out of service works again.
    CircuitClosed {
        /// The tool's name.
        tool: Arc<str>,
    },
    /// A turn that was cut goes on, in another process or at another place. Calls that had begun and
    /// have no end do not run any more: those that may run again begin anew, and say so.
    ///
    /// Between the event before it and this one the turn's time stands still.
    TurnResumed {
        /// As in [`Event::TurnStarted`].
        turn: u64,
    },
    /// The turn is over; every call it asked for is answered.
    TurnEnded {
        /// As in [`Event::TurnStarted`].
        turn: u64,
        /// How.
        #[serde(flatten)]
        end: TurnEnd,
        /// The tokens of the reply that the end cut or that failed the turn, where its provider had
        /// counted them by then.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        usage: Option<Usage>,
        /// Calls with effects that began early, where the reply that would ask for them did not come.
        /// They have ended, and stand at the end of the history.
        #[serde(default, skip_serializing_if = "are_none")]
        orphans: Arc<[Orphan]>,
    },
    /// Something that a later version of the program wrote down. It is kept as it is, and tells
    /// this one nothing.
    #[serde(skip)]
    Unknown(Unknown),
}

impl Event {
    /// Says whether the journal keeps the event. What it does not keep is only news.
    #[must_use]
    pub fn is_durable(&self) -> bool {
        match self {
            Self::TextStreamed { .. }
            | Self::ReasoningStreamed { .. }
            | Self::CallProgressed { .. }
            | Self::CallQueued { .. }
            | Self::CallRetried { .. } => false,
            Self::SessionOpened { .. }
            | Self::TurnStarted { .. }
            | Self::SummaryAsked { .. }
            | Self::ContextCompacted { .. }
            | Self::ModelAsked { .. }
            | Self::ModelFailed { .. }
            | Self::Replied { .. }
            | Self::ApprovalAsked { .. }
            | Self::ApprovalDecided { .. }
            | Self::CallStarted { .. }
            | Self::CallEnded { .. }
            | Self::WorkerRestarted { .. }
            | Self::CircuitOpened { .. }
            | Self::CircuitClosed { .. }
            | Self::TurnResumed { .. }
            | Self::TurnEnded { .. }
            | Self::Unknown(_) => true,
        }
    }

    /// The kind of event, as it is written down in `type`.
    #[must_use]
    pub fn kind(&self) -> &str {
        match self {
            Self::SessionOpened { .. } => "session_opened",
            Self::TurnStarted { .. } => "turn_started",
            Self::SummaryAsked { .. } => "summary_asked",
            Self::ContextCompacted { .. } => "context_compacted",
            Self::ModelAsked { .. } => "model_asked",
            Self::ModelFailed { .. } => "model_failed",
            Self::TextStreamed { .. } => "text_streamed",
            Self::ReasoningStreamed { .. } => "reasoning_streamed",
            Self::Replied { .. } => "replied",
            Self::ApprovalAsked { .. } => "approval_asked",
            Self::ApprovalDecided { .. } => "approval_decided",
            Self::CallStarted { .. } => "call_started",
            Self::CallProgressed { .. } => "call_progressed",
            Self::CallQueued { .. } => "call_queued",
            Self::CallRetried { .. } => "call_retried",
            Self::CallEnded { .. } => "call_ended",
            Self::WorkerRestarted { .. } => "worker_restarted",
            Self::CircuitOpened { .. } => "circuit_opened",
            Self::CircuitClosed { .. } => "circuit_closed",
            Self::TurnResumed { .. } => "turn_resumed",
            Self::TurnEnded { .. } => "turn_ended",
            Self::Unknown(unknown) => unknown.kind(),
        }
    }

    /// The key of the call of `session` that waits for approval, if the event says that one does: what
    /// a decision about it is told with ([`Session::decide`](crate::Session::decide)).
    #[must_use]
    pub fn waiting_call(&self, session: &SessionId) -> Option<CallKey> {
        let Self::ApprovalAsked { round, reply_attempt, ordinal, .. } = *self else { return None };
        Some(CallKey { session: session.clone(), round, attempt: reply_attempt, ordinal })
    }
}

/// A call as the model asked for it, and whether it may run.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct AskedCall {
    /// The id on the wire, unique within the reply; made up for a call from within a wrapper.
    pub id: Arc<str>,
    /// The tool's own name; if there is none that the model could mean, the name in the message.
    pub tool: Arc<str>,
    /// The arguments: the text of a JSON object, or whatever arrived.
    pub arguments: Arc<str>,
    /// Set when the call is answered without being run. Decided once and kept, so that a replay
    /// does not depend on the tools of the day.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub refused: Option<Outcome>,
    /// Set when the call began before its reply had ended: the numbers that it began with, which it
    /// keeps. They may be those of an earlier try of the reply.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub begun: Option<Place>,
    /// Whether a person has to approve it before it begins. Kept for the same reason.
    #[serde(default, skip_serializing_if = "is_never")]
    pub approval: Approval,
    /// The wire id of the wrapper (`multi_tool_use.parallel`) that the model wrote the call into.
    /// All its calls follow each other, and are answered together under this id.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub part_of: Option<Arc<str>>,
}

fn is_never(approval: &Approval) -> bool {
    *approval == Approval::Never
}

fn are_none(orphans: &Arc<[Orphan]>) -> bool {
    orphans.is_empty()
}

/// The try that an event without a number speaks of.
fn first() -> u32 {
    1
}

/// Where the time of one call went. The parts follow each other without a gap.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct CallTimes {
    /// When the call was handed to its worker's mailbox; of one that waited for a person, when that
    /// began: it came before everything else.
    pub dispatched_at_us: u64,
    /// Waiting behind other work.
    pub queued_us: u64,
    /// Waiting for the first start of the worker, or of the server that the tool is of.
    pub startup_us: u64,
    /// Waiting for a failed worker or server to come back, or between attempts.
    pub backoff_us: u64,
    /// Waiting for a person.
    pub waited_us: u64,
    /// Running.
    pub ran_us: u64,
    /// Tries, the last one included; 0 if the call never began.
    pub attempts: u32,
    /// How often the worker had been rebuilt when the call ran.
    pub worker_generation: u32,
    /// Set where the call did not run, and has the result of another one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub reused: Option<Reused>,
}

/// Whose result a call has that did not run itself.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Reused {
    /// That of the same call of its round. It waited for it, which is in `queued_us`.
    Shared,
    /// That of the same call a while ago, which was kept.
    Cached,
}

impl Reused {
    /// The name used in JSON and on screen.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Shared => "shared",
            Self::Cached => "cached",
        }
    }
}

impl CallTimes {
    /// When the call ended.
    #[must_use]
    pub fn ended_at_us(&self) -> u64 {
        self.dispatched_at_us
            + self.queued_us
            + self.startup_us
            + self.backoff_us
            + self.waited_us
            + self.ran_us
    }
}

/// How a turn ended.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "end", rename_all = "snake_case")]
pub enum TurnEnd {
    /// The model answered.
    Answered,
    /// Somebody cancelled it.
    Cancelled,
    /// The turn's time limit passed.
    TimedOut,
    /// It cannot go on; asking again is safe.
    Failed {
        /// What was wrong.
        problem: Problem,
    },
}
