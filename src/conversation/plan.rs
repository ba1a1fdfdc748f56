//! Which of a reply's calls may run.

use std::borrow::Cow;
use std::sync::Arc;
use std::time::Duration;

use serde::{Deserialize, Serialize};

use super::wrapper::{Unwrapped, unwrapped};
use super::{Approval, AskedCall, Effects, Outcome, OutcomeKind};
use crate::sabotage;
use crate::wire::{Arguments, Call, Certainty};

/// Whether the calls of a round run at the same time.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Mode {
    /// All at once.
    #[default]
    Parallel,
    /// One after another, in the order of the calls.
    Sequential,
}

impl Mode {
    /// The name used in settings and reports.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Parallel => "parallel",
            Self::Sequential => "sequential",
        }
    }
}

/// What a turn may cost. Zero allows nothing; `Duration::MAX` is as good as no limit.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Limits {
    /// Parallel or sequential.
    pub mode: Mode,
    /// Whether calls may begin while the model still writes ([`Catalogue::begins`]); in parallel
    /// mode only.
    pub early_dispatch: bool,
    /// Rounds of one turn. A reply that asks for one more ends the turn as failed.
    pub max_rounds: u32,
    /// Calls of one reply; the rest is answered `denied`.
    pub max_calls_per_round: u32,
    /// For a call whose tool sets no limit of its own.
    pub call_time_limit: Duration,
    /// From the first dispatch, or from the end of the reply where calls began before it, to the last
    /// result.
    pub round_time_limit: Duration,
    /// From the question to the answer.
    pub turn_time_limit: Duration,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            mode: Mode::Parallel,
            early_dispatch: true,
            max_rounds: 16,
            max_calls_per_round: 128,
            call_time_limit: Duration::from_secs(30),
            round_time_limit: Duration::from_secs(120),
            turn_time_limit: Duration::from_secs(600),
        }
    }
}

/// Why a tool set does not take a call.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Refusal {
    /// There is no tool of that name; the names there are, for the model to choose again.
    UnknownTool {
        /// In the order the model was shown them.
        known: Vec<Arc<str>>,
    },
    /// The arguments break the schema; says where and how.
    BadArguments {
        /// One line.
        message: String,
    },
}

/// The tools as far as a plan needs to know them.
pub trait Catalogue {
    /// Says whether a model that writes `name` means a tool, and whether `arguments`, the text of a
    /// JSON object, fit its schema. The answer is the tool's own name, which many calls can share.
    ///
    /// # Errors
    /// The [`Refusal`] that the model is told.
    fn check(&self, name: &str, arguments: &str) -> Result<Arc<str>, Refusal>;

    /// How certain the arguments of a call of `tool` must be for it to begin while its reply goes
    /// on; `None` if it waits for the end.
    fn begins(&self, tool: &str) -> Option<Certainty>;

    /// What running `tool` twice would do.
    fn effects(&self, tool: &str) -> Effects;

    /// Whether a person has to approve the calls of `tool`; nobody, if it is not said.
    fn approval(&self, _tool: &str) -> Approval {
        Approval::Never
    }

    /// The own name of the tool that a model means by `written`, if there is one.
    fn own_name(&self, written: &str) -> Option<Arc<str>>;

    /// The name under which a call of `written` goes back to the model: that of the tool on the
    /// wire, or, if there is none, one that providers take. Empty for an empty one.
    fn wire_name<'a>(&'a self, written: &'a str) -> Cow<'a, str>;
}

/// Judges the `calls` of a reply, in order. `rounds_left` is what remains of
/// [`Limits::max_rounds`] before this round.
///
/// In place of a `multi_tool_use.parallel`, if no tool is called so, come the calls within it. Where
/// several reasons fit, the first of these is given: truncated, not an object, unknown tool, schema;
/// limits come last.
pub fn plan(
    calls: Vec<Call>,
    catalogue: &dyn Catalogue,
    limits: &Limits,
    rounds_left: u32,
) -> Arc<[AskedCall]> {
    let judge = |(ordinal, unwrapped): (usize, Unwrapped)| {
        let Unwrapped { call, part_of, refused } = unwrapped;
        let verdict = |text: &str| match refused {
            Some(outcome) => Err(outcome),
            None => {
                catalogue.check(&call.name, text).map_err(|refusal| refusal.outcome(&call.name))
            }
        };
        let (text, verdict) = match sabotage::mended(call.arguments) {
            Arguments::Object(text) => {
                let verdict = verdict(&text);
                (text, verdict)
            }
            Arguments::NotAnObject { raw } => {
                (raw, Err(bad("the arguments are not a JSON object")))
            }
            Arguments::Malformed { raw } => (raw, Err(bad("the arguments are not valid JSON"))),
            Arguments::Truncated { raw } => (raw, Err(truncated())),
        };
        let (tool, refused) = match verdict {
            Ok(name) => (name, over_a_limit(ordinal, limits, rounds_left)),
            Err(outcome) => {
                let own_name = catalogue.own_name(&call.name);
                (own_name.unwrap_or_else(|| call.name.into()), Some(outcome))
            }
        };
        // Nobody is asked about what is not run anyway.
        let approval = match refused {
            None => catalogue.approval(&tool),
            Some(_) => Approval::Never,
        };
        let (id, arguments, begun) = (call.id, text.into(), None);
        AskedCall { id, tool, arguments, refused, begun, approval, part_of }
    };
    unwrapped(calls, catalogue).into_iter().enumerate().map(judge).collect()
}

fn bad(message: &str) -> Outcome {
    Outcome::failed(OutcomeKind::BadArguments, message)
}

fn truncated() -> Outcome {
    Outcome::failed(
        OutcomeKind::Truncated,
        "the reply was cut off before this call's arguments were complete; it was not run",
    )
}

fn over_a_limit(ordinal: usize, limits: &Limits, rounds_left: u32) -> Option<Outcome> {
    if rounds_left == 0 {
        let message = format!("the turn has used its {} rounds; not run", limits.max_rounds);
        return Some(Outcome::failed(OutcomeKind::Denied, message));
    }
    (ordinal >= limits.max_calls_per_round as usize).then(|| {
        let most = limits.max_calls_per_round;
        let message = format!("a reply may ask for {most} calls at most; not run, ask again");
        Outcome::failed(OutcomeKind::Denied, message)
    })
}

impl Refusal {
    fn outcome(&self, name: &str) -> Outcome {
        match self {
            Self::UnknownTool { known } if known.is_empty() => {
                let message = format!("no tool named `{name}`; there are no tools");
                Outcome::failed(OutcomeKind::UnknownTool, message)
            }
            Self::UnknownTool { known } => {
                let message =
                    format!("no tool named `{name}`; the tools are: {}", known.join(", "));
                Outcome::failed(OutcomeKind::UnknownTool, message)
            }
            Self::BadArguments { message } => {
                Outcome::failed(OutcomeKind::BadArguments, message.as_str())
            }
        }
    }
}
