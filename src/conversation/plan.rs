//! Which of a reply's calls may run.

use std::borrow::Cow;
use std::sync::Arc;
use std::time::Duration;

use serde::{Deserialize, Serialize};

use super::wrapper::{Unwrapped, unwrapped};
use super::{Approval, AskedCall, BUDGET, Effects, Outcome, OutcomeKind, Problem, Repetition};
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
    /// Calls of one turn, those that are refused for other reasons left aside; the rest is answered
    /// `denied`.
    pub max_calls: u32,
    /// How often in a row, round after round, a call may be made with the same result: the last such
    /// result says so, one more call is answered `denied`, and if the model then asks for nothing but such
    /// calls the turn fails. A call whose result changes may go on. 0 = any number of times.
    ///
    /// 0 if it is not said, as polling has its place in a program of one's own; the command's is 5.
    pub max_identical_calls: u32,
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
            max_calls: u32::MAX,
            max_identical_calls: 0,
            call_time_limit: Duration::from_secs(30),
            round_time_limit: Duration::from_secs(120),
            turn_time_limit: Duration::from_secs(600),
        }
    }
}

/// What is left to a turn when a reply's calls are judged.
#[derive(Clone, Copy, Debug)]
pub struct Room<'a> {
    /// Of [`Limits::max_rounds`].
    pub rounds: u32,
    /// Of [`Limits::max_calls`].
    pub calls: u32,
    /// The calls so far that repeat themselves.
    pub repetition: Option<&'a Repetition>,
}

impl Room<'_> {
    /// So many rounds, and any number of calls.
    #[must_use]
    pub fn of_rounds(rounds: u32) -> Self {
        Self { rounds, calls: u32::MAX, repetition: None }
    }

    /// Why a call is not run once more.
    pub(super) fn refuses(&self, tool: &str, arguments: &str, limits: &Limits) -> Option<Outcome> {
        self.repetition?.refuses(tool, arguments, limits.max_identical_calls)
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

/// Judges the `calls` of a reply, in order. `room` is what the turn has left before this round.
///
/// In place of a `multi_tool_use.parallel`, if no tool is called so, come the calls within it. Where
/// several reasons fit, the first of these is given: truncated, not an object, unknown tool, schema;
/// limits come last.
pub fn plan(
    calls: Vec<Call>,
    catalogue: &dyn Catalogue,
    limits: &Limits,
    room: &Room<'_>,
) -> Arc<[AskedCall]> {
    let mut allowed = 0;
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
            Ok(name) => {
                let refused = over_a_limit(ordinal, allowed, limits, room);
                let refused = refused.or_else(|| room.refuses(&name, &text, limits));
                allowed += u32::from(refused.is_none());
                (name, refused)
            }
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

fn over_a_limit(ordinal: usize, allowed: u32, limits: &Limits, room: &Room<'_>) -> Option<Outcome> {
    if room.rounds == 0 {
        let message = format!("the turn has used its {} rounds; not run", limits.max_rounds);
        return Some(Outcome::failed(OutcomeKind::Denied, message));
    }
    if ordinal >= limits.max_calls_per_round as usize {
        let most = limits.max_calls_per_round;
        let message = format!("a reply may ask for {most} calls at most; not run, ask again");
        return Some(Outcome::failed(OutcomeKind::Denied, message));
    }
    (allowed >= room.calls).then(|| {
        let most = limits.max_calls;
        beyond_budget(&format!("the turn has used its {most} calls (`turn.max_calls`)"))
    })
}

fn beyond_budget(message: &str) -> Outcome {
    let mut outcome = Outcome::failed(OutcomeKind::Denied, format!("{message}; not run"));
    outcome.set_code(BUDGET);
    outcome
}

/// Refuses those of the `calls` that have not begun: with the reply that asks for them a budget is used
/// up, so that the model would never hear what comes of them.
#[must_use]
pub fn refuse_all(mut calls: Arc<[AskedCall]>, used_up: &Problem) -> Arc<[AskedCall]> {
    for call in Arc::make_mut(&mut calls) {
        if call.refused.is_none() && call.begun.is_none() {
            call.refused = Some(beyond_budget(&used_up.message));
        }
    }
    calls
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
