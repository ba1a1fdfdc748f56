//! The one event type: what the journal keeps, what subscribers hear, what `--output jsonl` prints.

use std::borrow::Cow;
use std::sync::Arc;

use serde::de::Error as _;
use serde::{Deserialize, Deserializer, Serialize, Serializer};
use serde_json::value::RawValue;

use super::{Mode, Orphan, Outcome, Place, Problem, SessionId, Span};
use crate::wire::Usage;

/// The version written into every [`Record`]. Raised when a reader of the last version would
/// misread an event; new events and new optional fields do not raise it.
pub const VERSION: u32 = 1;

/// An event with its place in the session's life.
///
/// Read from JSON, an event of a kind that is not known here, or of a later [`VERSION`], is an
/// [`Event::Unknown`], and is written as it was.
#[derive(Clone, Debug, PartialEq)]
pub struct Record {
    /// [`VERSION`] at the time of writing.
    pub v: u32,
    /// Counts the session's durable events from 1. An event that is not kept carries the number of
    /// the last one that is.
    pub seq: u64,
    /// When it happened: microseconds since 1970, never running backwards within a process.
    pub at_us: u64,
    /// The conversation.
    pub session: SessionId,
    /// What happened.
    pub event: Event,
}

/// The kinds of events that are known here, as in their `type`.
const KINDS: [&str; 19] = [
    "session_opened",
    "turn_started",
    "summary_asked",
    "context_compacted",
    "model_asked",
    "model_failed",
    "text_streamed",
    "reasoning_streamed",
    "replied",
    "call_started",
    "call_progressed",
    "call_queued",
    "call_retried",
    "call_ended",
    "worker_restarted",
    "circuit_opened",
    "circuit_closed",
    "turn_resumed",
    "turn_ended",
];

/// The records of one step: kept all of them or none. Shared by the journal, the session and its
/// reports.
pub type Batch = Arc<Vec<Record>>;

/// Something that happened in a session, in the past tense. There will be more kinds.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(tag = "type", rename_all = "snake_case")]
#[non_exhaustive]
pub enum Event {
    /// The session was made.
    SessionOpened {
        /// The system prompt, if there is one.
        system: Option<Arc<str>>,
    },
    /// The user asked.
    TurnStarted {
        /// Counts the session's turns from 1.
        turn: u64,
        /// The question.
        prompt: Arc<str>,
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
    /// A worker failed and is rebuilt behind its address.
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
}

/// An event of a kind that is not known here: its fields, `type` among them.
#[derive(Clone, Debug, PartialEq)]
pub struct Unknown(serde_json::Map<String, serde_json::Value>);

/// A record as it is written.
#[derive(Serialize)]
struct Written<'a, E> {
    v: u32,
    seq: u64,
    at_us: u64,
    #[serde(skip_serializing_if = "Option::is_none")]
    session: Option<&'a SessionId>,
    #[serde(flatten)]
    event: &'a E,
}

impl Serialize for Record {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        self.write(Some(&self.session), serializer)
    }
}

impl Record {
    fn write<S: Serializer>(
        &self,
        session: Option<&SessionId>,
        serializer: S,
    ) -> Result<S::Ok, S::Error> {
        let Self { v, seq, at_us, ref event, .. } = *self;
        match event {
            Event::Unknown(Unknown(event)) => {
                Written { v, seq, at_us, session, event }.serialize(serializer)
            }
            event => Written { v, seq, at_us, session, event }.serialize(serializer),
        }
    }

    /// Writes it as JSON to the end of `text`, without the session, which all its records share.
    #[cfg(feature = "sql")]
    pub(crate) fn write_kept(&self, text: &mut Vec<u8>) -> Result<(), serde_json::Error> {
        self.write(None, &mut serde_json::Serializer::new(text))
    }

    /// Reads what [`Record::write_kept`] wrote for `session`.
    #[cfg(feature = "sql")]
    pub(crate) fn read_kept(session: &SessionId, json: &str) -> Result<Self, serde_json::Error> {
        Self::read(Some(session), json)
    }

    fn read(session: Option<&SessionId>, json: &str) -> Result<Self, serde_json::Error> {
        let head: Head<'_> = serde_json::from_str(json)?;
        let Head { v, seq, at_us, session: written, kind } = head;
        let session = session.cloned().or(written);
        let session = session.ok_or_else(|| serde_json::Error::missing_field("session"))?;
        let event = match v > VERSION || !KINDS.contains(&&*kind) {
            true => Unknown::read(json).map(Event::Unknown)?,
            false => serde_json::from_str(json)?,
        };
        Ok(Self { v, seq, at_us, session, event })
    }
}

/// What every record has.
#[derive(Deserialize)]
struct Head<'a> {
    v: u32,
    seq: u64,
    at_us: u64,
    session: Option<SessionId>,
    #[serde(borrow, rename = "type")]
    kind: Cow<'a, str>,
}

impl<'de> Deserialize<'de> for Record {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let json = Box::<RawValue>::deserialize(deserializer)?;
        Self::read(None, json.get()).map_err(D::Error::custom)
    }
}

impl Unknown {
    fn read(json: &str) -> Result<Self, serde_json::Error> {
        let mut fields: serde_json::Map<_, _> = serde_json::from_str(json)?;
        fields.retain(|name, _| !matches!(&**name, "v" | "seq" | "at_us" | "session"));
        Ok(Self(fields))
    }

    /// Its kind: what its `type` says.
    #[must_use]
    pub fn kind(&self) -> &str {
        self.0.get("type").and_then(|kind| kind.as_str()).unwrap_or_default()
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
    /// The wire id of the wrapper (`multi_tool_use.parallel`) that the model wrote the call into.
    /// All its calls follow each other, and are answered together under this id.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub part_of: Option<Arc<str>>,
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
    /// When the call was handed to its worker's mailbox.
    pub dispatched_at_us: u64,
    /// Waiting behind other work.
    pub queued_us: u64,
    /// Waiting for the worker's first start.
    pub startup_us: u64,
    /// Waiting for a failed worker to come back, or between attempts.
    pub backoff_us: u64,
    /// Waiting for a person.
    pub waited_us: u64,
    /// Running.
    pub ran_us: u64,
    /// Tries, the last one included; 0 if the call never began.
    pub attempts: u32,
    /// How often the worker had been rebuilt when the call ran.
    pub worker_generation: u32,
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

#[cfg(test)]
mod tests {
    use super::super::{Action, SessionState};
    use super::*;

    /// A turn as the first version of the journal has it, before calls began early: no attempts of
    /// calls, no origins, no wrappers, no usage but of finished replies.
    const OLD: [&str; 9] = [
        r#"{"v":1,"seq":1,"at_us":10,"session":"s","type":"session_opened","system":null}"#,
        r#"{"v":1,"seq":2,"at_us":20,"session":"s","type":"turn_started","turn":1,"prompt":"go"}"#,
        r#"{"v":1,"seq":3,"at_us":20,"session":"s","type":"model_asked","round":1,"attempt":1}"#,
        r#"{"v":1,"seq":4,"at_us":30,"session":"s","type":"replied","round":1,"attempt":1,"message":"{\"role\":\"assistant\"}","text":"","calls":[{"id":"a","tool":"t","arguments":"{}"},{"id":"b","tool":"u","arguments":"{","refused":{"kind":"truncated","content":"no"}}],"mode":"parallel","finish":"tool_calls","model":"m","usage":{"input_tokens":7,"output_tokens":3},"first_token_at_us":25}"#,
        r#"{"v":1,"seq":5,"at_us":30,"session":"s","type":"call_started","round":1,"ordinal":0,"id":"a","tool":"t"}"#,
        r#"{"v":1,"seq":6,"at_us":40,"session":"s","type":"call_ended","round":1,"ordinal":0,"id":"a","tool":"t","kind":"ok","content":"done","dispatched_at_us":30,"queued_us":1,"startup_us":2,"backoff_us":0,"waited_us":0,"ran_us":5,"attempts":1,"worker_generation":0}"#,
        r#"{"v":1,"seq":7,"at_us":40,"session":"s","type":"model_asked","round":2,"attempt":1}"#,
        r#"{"v":1,"seq":8,"at_us":45,"session":"s","type":"model_failed","round":2,"attempt":1,"model":"m","error":{"code":"stream_cut","message":"cut"},"retry_in_us":5,"text_was_shown":false}"#,
        r#"{"v":1,"seq":9,"at_us":50,"session":"s","type":"turn_ended","turn":1,"end":"cancelled"}"#,
    ];

    fn read(line: &str) -> Record {
        serde_json::from_str(line).unwrap_or_else(|error| panic!("{error}: {line}"))
    }

    #[test]
    fn a_journal_of_the_first_version_is_read_and_replayed() {
        let mut state = SessionState::new(16);
        let actions: Vec<_> = OLD.map(|line| state.on(&read(line).event)).into();
        let next = |round| Action::AskModel { round, attempt: 1 };
        assert_eq!(
            (&actions[1], &actions[3], &actions[5]),
            (&next(1), &Action::RunCalls(0..2), &next(2))
        );
        let history = concat!(
            r#"{"role":"user","content":"go"},{"role":"assistant"},"#,
            r#"{"role":"tool","tool_call_id":"a","content":"done"},"#,
            r#"{"role":"tool","tool_call_id":"b","content":"no"}"#
        );
        assert_eq!(String::from_utf8_lossy(state.transcript().as_bytes()), history);
        assert_eq!(state.transcript().author(0), None, "nobody wrote down who it was");
        assert_eq!((state.rounds(), state.usage().input_tokens, state.is_busy()), (1, 7, false));
    }

    #[test]
    fn what_a_later_version_wrote_is_kept_as_it_is() {
        for line in [
            r#"{"v":1,"seq":5,"at_us":1,"session":"s","type":"moon_rose","of":{"a":[1,2.5,null]}}"#,
            r#"{"v":2,"seq":5,"at_us":1,"session":"s","type":"turn_ended","turn":1,"in":"peace"}"#,
        ] {
            let record = read(line);
            let Event::Unknown(unknown) = &record.event else { panic!("{record:?}") };
            assert!(line.contains(&format!(r#""type":"{}""#, unknown.kind())));
            let again: serde_json::Value = serde_json::to_value(&record).unwrap();
            assert_eq!(again, serde_json::from_str::<serde_json::Value>(line).unwrap());
            let mut state = SessionState::new(16);
            assert_eq!(state.on(&record.event), Action::Wait);
        }
    }

    #[test]
    fn an_event_of_a_known_kind_that_makes_no_sense_is_an_error() {
        let line = r#"{"v":1,"seq":5,"at_us":1,"session":"s","type":"turn_ended","turn":"one"}"#;
        assert!(serde_json::from_str::<Record>(line).is_err());
    }

    #[test]
    fn every_kind_that_is_written_is_known() {
        let error = serde_json::from_str::<Event>(r#"{"type":"moon_rose"}"#).unwrap_err();
        let kinds = KINDS.map(|kind| format!("`{kind}`")).join(", ");
        let known = error.to_string();
        assert!(known.contains(&kinds), "{known} does not list {kinds}");
    }

    #[test]
    fn what_is_new_is_not_written_where_it_says_nothing() {
        for line in OLD {
            let now = serde_json::to_value(read(line)).unwrap();
            let serde_json::Value::Object(now) = now else { panic!("{now}") };
            let old: serde_json::Map<_, _> = serde_json::from_str(line).unwrap();
            let new: Vec<_> = now.keys().filter(|name| !old.contains_key(*name)).collect();
            let known =
                matches!(&*old["type"].to_string(), r#""call_started""# | r#""call_ended""#);
            let expected = if known { vec!["reply_attempt"] } else { vec![] };
            assert_eq!(new, expected, "{line}");
        }
    }

    #[test]
    fn news_of_the_first_version_is_read() {
        for line in [
            r#"{"v":1,"seq":5,"at_us":1,"session":"s","type":"call_progressed","round":1,"ordinal":2,"message":"half"}"#,
            r#"{"v":1,"seq":5,"at_us":1,"session":"s","type":"call_queued","round":1,"ordinal":2,"ahead":3}"#,
            r#"{"v":1,"seq":5,"at_us":1,"session":"s","type":"call_retried","round":1,"ordinal":2,"attempt":1,"cause":"c","backoff_us":9}"#,
        ] {
            let (Event::CallProgressed { reply_attempt, .. }
            | Event::CallQueued { reply_attempt, .. }
            | Event::CallRetried { reply_attempt, .. }) = read(line).event
            else {
                panic!("{line}")
            };
            assert_eq!(reply_attempt, 1);
        }
    }
}
