//! What a call is to do. It is written into the call's arguments, so that the tools need to know
//! nothing else and the oracle reads it off the record.

use callsheet::OutcomeKind;
use serde::{Deserialize, Serialize};

/// The name of a tool that is never there.
pub const UNKNOWN_TOOL: &str = "nobody";

/// What a call is to do. Times are in milliseconds since it began.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "do", rename_all = "snake_case")]
pub enum Behaviour {
    /// Answers.
    Succeed { ms: u64 },
    /// Says so many times how far it is, then answers.
    Report { ms: u64, steps: u64 },
    /// Says that it failed.
    Fail { ms: u64 },
    /// Panics before there is a future.
    PanicInCall,
    /// Panics when it is first polled.
    PanicAtOnce,
    /// Panics after a while.
    PanicLate { ms: u64 },
    /// Answers; its future panics when it is dropped, before its end or after it.
    PanicInDrop { ms: u64 },
    /// Works until it is told that it is over, and answers then: too late.
    Hang,
    /// Leaves its work to a task that never looks whether anybody waits.
    HangDeaf,
    /// The first `tries` end as `by` says; the next one answers.
    Recover { ms: u64, tries: u32, by: Fault },
    /// Asks for a tool that is not there.
    UnknownTool,
    /// Breaks the schema.
    BreakSchema,
    /// Writes no JSON.
    Malformed,
    /// Did not arrive whole.
    Truncated,
}

/// How a try ends that is to go wrong.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Fault {
    Fail,
    Panic,
    Hang,
}

/// How long the work of [`Behaviour::HangDeaf`] goes on: longer than any turn.
pub const DEAF_MS: u64 = 60_000;

/// The JSON Schema of every scripted tool.
pub fn schema() -> serde_json::Value {
    let properties = serde_json::json!({"do": {"type": "string"}}); // More would take its time.
    serde_json::json!({"type": "object", "required": ["do"], "properties": properties})
}

impl Behaviour {
    /// The arguments that ask for it. Those of calls with another `number` are others.
    pub fn arguments(self, number: u64) -> String {
        match self {
            Self::BreakSchema => r#"{"do": 1}"#.to_owned(),
            Self::Malformed => r#"{"do" "succeed"}"#.to_owned(),
            Self::Truncated => r#"{"do": "succ"#.to_owned(),
            runs => {
                let mut runs = serde_json::to_value(runs).expect("an enum of numbers is JSON");
                runs["number"] = number.into();
                runs.to_string()
            }
        }
    }

    /// Reads it off a call.
    pub fn read(tool: &str, arguments: &str) -> Self {
        let special = [Self::BreakSchema, Self::Malformed, Self::Truncated];
        if let Some(special) = special.into_iter().find(|it| it.arguments(0) == arguments) {
            return special;
        }
        if tool == UNKNOWN_TOOL {
            return Self::UnknownTool;
        }
        serde_json::from_str(arguments).expect("a scenario writes no other arguments")
    }

    /// What the try of this number does. Of most behaviours all tries are alike.
    pub fn at_try(self, number: u32) -> Self {
        match self {
            Self::Recover { ms, tries, .. } if tries < number => Self::Succeed { ms },
            Self::Recover { ms, by: Fault::Fail, .. } => Self::Fail { ms },
            Self::Recover { ms, by: Fault::Panic, .. } => Self::PanicLate { ms },
            Self::Recover { by: Fault::Hang, .. } => Self::Hang,
            same => same,
        }
    }

    /// How a try of it ends if nobody breaks it off, and when; `None` if it never does.
    pub fn natural_end(self, number: u32) -> Option<(OutcomeKind, u64)> {
        match self.at_try(number) {
            Self::Succeed { ms } | Self::Report { ms, .. } | Self::PanicInDrop { ms } => {
                Some((OutcomeKind::Ok, ms))
            }
            Self::Fail { ms } => Some((OutcomeKind::ToolError, ms)),
            Self::PanicInCall | Self::PanicAtOnce => Some((OutcomeKind::Panicked, 0)),
            Self::PanicLate { ms } => Some((OutcomeKind::Panicked, ms)),
            Self::Hang | Self::HangDeaf | Self::Recover { .. } => None,
            Self::UnknownTool | Self::BreakSchema | Self::Malformed | Self::Truncated => None,
        }
    }

    /// How it is refused, if it may not run whatever the limits are.
    pub fn refusal(self) -> Option<OutcomeKind> {
        match self {
            Self::UnknownTool => Some(OutcomeKind::UnknownTool),
            Self::BreakSchema | Self::Malformed => Some(OutcomeKind::BadArguments),
            Self::Truncated => Some(OutcomeKind::Truncated),
            _ => None,
        }
    }

    /// When it says how far it is.
    pub fn signs(self) -> impl Iterator<Item = u64> {
        let (ms, steps) = match self {
            Self::Report { ms, steps } => (ms, steps),
            _ => (0, 0),
        };
        (1..=steps).map(move |step| ms * step / steps)
    }
}
