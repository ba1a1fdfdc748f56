//! A random session: tools, limits, what the model will say and who will meddle with it.

use std::time::Duration;

use callsheet::supervision::{Backoff, RestartLimits};
use callsheet::{Effects, Limits, Mode, ModelRetries};

use super::behaviour::{Behaviour, Fault, UNKNOWN_TOOL};
use crate::support::dice::Dice;

/// A session as its seed says. All times are whole milliseconds.
#[derive(Clone, Debug)]
pub struct Scenario {
    pub tools: Vec<ToolPlan>,
    pub limits: Limits,
    /// So many calls of the session at a time.
    pub max_concurrency: Option<usize>,
    pub supervision: RestartLimits,
    pub model_retries: ModelRetries,
    /// Where the first model fails for good, another one is asked.
    pub has_fallback: bool,
    /// How many tokens a request may have; 0 = any number.
    pub context_tokens: u64,
    pub turns: Vec<TurnPlan>,
}

#[derive(Clone, Debug, Default)]
pub struct ToolPlan {
    pub name: &'static str,
    pub effects: Effects,
    pub time_limit: Option<Duration>,
    pub retries: u32,
    /// Of one try.
    pub try_limit: Option<Duration>,
    pub silence_limit: Option<Duration>,
    pub max_concurrency: Option<usize>,
    pub exclusive: bool,
    pub max_queue: Option<usize>,
    /// So many times it cannot be made, before it can.
    pub failed_makes: u32,
    /// Whether it says itself if its calls begin before their reply has ended.
    pub early: Option<bool>,
}

#[derive(Clone, Debug)]
pub struct TurnPlan {
    /// What the models say, try after try. The last one has no calls, unless the turn is to fail.
    pub replies: Vec<ReplyPlan>,
    /// In the order of time.
    pub meddling: Vec<Meddling>,
}

#[derive(Clone, Debug)]
pub struct ReplyPlan {
    pub delay: Duration,
    pub says: Says,
    /// Set if it is streamed.
    pub pace: Option<Pace>,
}

/// How calls are streamed: two chunks for each, and one that ends the reply.
#[derive(Clone, Copy, Debug)]
pub struct Pace {
    /// Before each chunk.
    pub pause: Duration,
    /// The model's closing braces cannot be trusted.
    pub doubtful: bool,
    /// The reply breaks off after so many chunks.
    pub broken_off_after: Option<usize>,
}

#[derive(Clone, Debug)]
pub enum Says {
    Calls(Vec<CallPlan>),
    Text,
    /// The model's request fails, in a way that may pass.
    Failure,
    /// The model refuses, for good.
    Refusal,
    /// The model never answers.
    Silence,
}

#[derive(Clone, Copy, Debug)]
pub struct CallPlan {
    pub tool: &'static str,
    pub behaviour: Behaviour,
    /// Makes its arguments its own.
    pub number: u64,
}

/// Something done from outside, so long after the question.
#[derive(Clone, Copy, Debug)]
pub struct Meddling {
    pub after: Duration,
    pub what: Meddle,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Meddle {
    Cancel,
    AskForStatus,
}

const TOOLS: [(&str, Effects); 4] = [
    ("read", Effects::None),
    ("put", Effects::Idempotent),
    ("pay", Effects::Once),
    ("look", Effects::None),
];

impl Scenario {
    /// The session of `seed`: of every two seeds one is calm, its workers are always rebuilt and its
    /// calls are tried once; one is troubled. Of every three of each kind one is streamed.
    pub fn new(seed: u64) -> Self {
        let dice = &mut Dice::new(seed);
        let mut scenario = match seed % 2 {
            0 => Self::calm(dice),
            _ => Self::troubled(dice),
        };
        if seed / 2 % 3 == 1 {
            scenario.stream(dice);
        }
        let dice = &mut Dice::new(!seed); // What else there is stays as it is.
        if dice.percent(30) {
            scenario.context_tokens = dice.between(40, 400);
        }
        scenario
    }

    /// The tool `name`.
    pub fn tool(&self, name: &str) -> Option<&ToolPlan> {
        self.tools.iter().find(|tool| *tool.name == *name)
    }

    fn calm(dice: &mut Dice) -> Self {
        let tools = TOOLS.map(|(name, effects)| ToolPlan::new(dice, name, effects));
        let limits = Limits {
            early_dispatch: true,
            mode: if dice.percent(70) { Mode::Parallel } else { Mode::Sequential },
            max_rounds: if dice.percent(15) { dice.between(0, 4) as u32 } else { 16 },
            max_calls_per_round: if dice.percent(15) { dice.between(0, 9) as u32 } else { 128 },
            max_calls: u32::MAX,
            max_identical_calls: 0,
            call_time_limit: millis(dice, 500, 4_000),
            round_time_limit: millis(dice, 500, 8_000),
            turn_time_limit: millis(dice, 1_000, 25_000),
        };
        let min = millis(dice, 10, 300);
        let backoff = Backoff { min, max: min + millis(dice, 0, 3_000) };
        let turns = (0..dice.between(1, 4)).map(|_| TurnPlan::new(dice, &[])).collect();
        // As if there were no circuits.
        let supervision = RestartLimits {
            max_restarts: u32::MAX,
            max_time_outs: 0,
            max_failure_rate: 1.0,
            backoff,
            ..RestartLimits::default()
        };
        Self {
            tools: tools.into(),
            limits,
            max_concurrency: None,
            supervision,
            model_retries: ModelRetries::none(),
            has_fallback: false,
            context_tokens: 0,
            turns,
        }
    }

    /// Has replies streamed, so that calls begin while they are written, and some of them break off or
    /// fail before, and are asked for again.
    fn stream(&mut self, dice: &mut Dice) {
        self.limits.early_dispatch = dice.percent(95);
        let min = millis(dice, 10, 100);
        let backoff = Backoff { min, max: min + millis(dice, 0, 200) };
        self.model_retries = ModelRetries { retries: dice.one_of(&[0, 1, 2, 2, 3]), backoff };
        self.has_fallback = dice.percent(40);
        for tool in &mut self.tools {
            tool.early = match tool.effects {
                Effects::None => dice.percent(10).then(|| dice.percent(50)),
                Effects::Idempotent | Effects::Once => dice.percent(50).then_some(true),
            };
        }
        for turn in &mut self.turns {
            let replies = std::mem::take(&mut turn.replies).into_iter();
            turn.replies = replies.flat_map(|reply| reply.streamed(dice)).collect();
        }
    }

    fn troubled(dice: &mut Dice) -> Self {
        let mut scenario = Self::calm(dice);
        scenario.tools.iter_mut().for_each(|tool| tool.trouble(dice));
        scenario.max_concurrency = dice.percent(40).then(|| dice.between(1, 6) as usize);
        scenario.supervision = RestartLimits {
            max_restarts: dice.between(0, 4) as u32,
            within: millis(dice, 2_000, 20_000),
            backoff: scenario.supervision.backoff,
            cool_down: millis(dice, 500, 6_000),
            max_time_outs: dice.between(0, 3) as u32,
            max_failure_rate: dice.between(30, 100) as f64 / 100.0,
            failure_rate_min_calls: dice.between(3, 10) as u32,
        };
        // Some calls come again and again: what crashes twice is poison.
        let again: Vec<_> = (0..4).map(|_| CallPlan::that_crashes(dice)).collect();
        let turns = (0..dice.between(1, 4)).map(|_| TurnPlan::new(dice, &again));
        scenario.turns = turns.collect();
        scenario
    }
}

impl ToolPlan {
    fn new(dice: &mut Dice, name: &'static str, effects: Effects) -> Self {
        Self {
            name,
            effects,
            time_limit: dice.percent(60).then(|| millis(dice, 50, 3_000)),
            failed_makes: if dice.percent(10) { dice.between(1, 3) as u32 } else { 0 },
            ..Self::default()
        }
    }

    fn trouble(&mut self, dice: &mut Dice) {
        self.retries = if dice.percent(60) { dice.between(1, 3) as u32 } else { 0 };
        self.try_limit = dice.percent(30).then(|| millis(dice, 50, 1_500));
        self.silence_limit = dice.percent(25).then(|| millis(dice, 50, 1_000));
        self.max_concurrency = dice.percent(40).then(|| dice.between(1, 3) as usize);
        self.exclusive = dice.percent(15);
        self.max_queue = dice.percent(35).then(|| dice.between(0, 5) as usize);
    }
}

impl TurnPlan {
    /// A turn, troubled if there are calls that come `again`.
    fn new(dice: &mut Dice, again: &[CallPlan]) -> Self {
        let rounds = (0..dice.between(1, 5)).map(|_| calls(dice, again));
        let says: Vec<_> = rounds.collect();
        let last = match dice.between(1, 100) {
            1..=4 => Says::Silence,
            5..=8 => Says::Failure,
            _ => Says::Text,
        };
        let longest = if again.is_empty() { 400 } else { 1_500 }; // Cool-downs pass meanwhile.
        let reply = |says| ReplyPlan { delay: millis(dice, 0, longest), says, pace: None };
        let replies = says.into_iter().chain([last]).map(reply).collect();
        let mut meddling: Vec<_> = (0..dice.between(0, 4))
            .map(|_| Meddling { after: millis(dice, 0, 6_000), what: Meddle::AskForStatus })
            .collect();
        if dice.percent(30) {
            let after = millis(dice, 0, 6_000);
            meddling.push(Meddling { after, what: Meddle::Cancel });
        }
        meddling.sort_by_key(|meddling| meddling.after);
        Self { replies, meddling }
    }
}

impl ReplyPlan {
    /// The tries that it takes: those that come to nothing, and it, streamed.
    fn streamed(mut self, dice: &mut Dice) -> Vec<Self> {
        let Says::Calls(calls) = &self.says else { return vec![self] };
        let mut tries = Vec::new();
        while dice.percent(35) && tries.len() < 4 {
            let (delay, mut says) = (millis(dice, 0, 300), Says::Calls(varied(dice, calls)));
            let calls = calls.len() as u64;
            let at_least = if dice.percent(80) { calls } else { 0 };
            let chunks = dice.between(at_least, 2 * calls) as usize;
            let mut pace = Some(Pace::new(dice, Some(chunks)));
            if dice.percent(20) {
                pace = None;
                says = if dice.percent(70) { Says::Failure } else { Says::Refusal };
            }
            tries.push(Self { delay, says, pace });
        }
        self.pace = dice.percent(85).then(|| Pace::new(dice, None));
        tries.push(self);
        tries
    }

    /// The model will not say anything else if it is asked again.
    pub fn is_refused(&self) -> bool {
        matches!(self.says, Says::Refusal)
    }

    /// It comes to nothing.
    pub fn fails(&self) -> bool {
        let is_broken_off = self.pace.is_some_and(|pace| pace.broken_off_after.is_some());
        is_broken_off || matches!(self.says, Says::Failure | Says::Refusal)
    }

    /// How long it takes to say what it says; `None` if it never ends.
    pub fn takes(&self) -> Option<Duration> {
        let chunks = match &self.says {
            Says::Silence => return None,
            Says::Calls(calls) => 2 * calls.len() + 1,
            Says::Text | Says::Failure | Says::Refusal => 0,
        };
        let writes = |Pace { pause, broken_off_after, .. }: Pace| {
            pause * broken_off_after.map_or(chunks, |after| chunks.min(after)) as u32
        };
        Some(self.delay + self.pace.map_or(Duration::ZERO, writes))
    }
}

impl Pace {
    fn new(dice: &mut Dice, broken_off_after: Option<usize>) -> Self {
        let (pause, doubtful) = (millis(dice, 0, 80), dice.percent(30));
        Self { pause, doubtful, broken_off_after }
    }
}

/// What another try of a reply asks for: much the same.
fn varied(dice: &mut Dice, calls: &[CallPlan]) -> Vec<CallPlan> {
    let mut varied: Vec<_> = calls.to_vec();
    let place = |dice: &mut Dice| dice.between(0, calls.len() as u64 - 1) as usize;
    if dice.percent(30) {
        let (one, other) = (place(dice), place(dice));
        varied.swap(one, other);
    }
    for _ in 0..dice.between(0, 3) {
        let place = place(dice);
        varied[place] = match dice.percent(50) {
            true => CallPlan::of(dice, "look", Behaviour::Succeed { ms: 1_500 }),
            false => CallPlan::new(dice),
        };
    }
    varied
}

fn calls(dice: &mut Dice, again: &[CallPlan]) -> Says {
    let count = dice.between(1, 10);
    let call = |_| match again {
        [] => CallPlan::new(dice),
        again if dice.percent(12) => dice.one_of(again),
        _ if dice.percent(15) => CallPlan::that_recovers(dice),
        _ => CallPlan::new(dice),
    };
    let mut calls: Vec<_> = (0..count).map(call).collect();
    if dice.percent(5) {
        calls.push(CallPlan { tool: "read", behaviour: Behaviour::Truncated, number: 0 }); // Always the last.
    }
    Says::Calls(calls)
}

impl CallPlan {
    fn new(dice: &mut Dice) -> Self {
        let ms = if dice.percent(15) { 0 } else { dice.between(1, 1_500) };
        let behaviour = match dice.between(1, 100) {
            1..=44 => Behaviour::Succeed { ms },
            45..=51 => Behaviour::Report { ms, steps: dice.between(1, 4) },
            52..=61 => Behaviour::Fail { ms },
            62..=64 => Behaviour::PanicInCall,
            65..=68 => Behaviour::PanicAtOnce,
            69..=75 => Behaviour::PanicLate { ms },
            76..=80 => Behaviour::PanicInDrop { ms },
            81..=85 => Behaviour::Hang,
            86..=90 => Behaviour::HangDeaf,
            91..=93 => Behaviour::UnknownTool,
            94..=97 => Behaviour::BreakSchema,
            _ => Behaviour::Malformed,
        };
        let tool = match behaviour {
            Behaviour::UnknownTool => UNKNOWN_TOOL,
            _ => dice.one_of(&TOOLS).0,
        };
        Self::of(dice, tool, behaviour)
    }

    fn that_crashes(dice: &mut Dice) -> Self {
        let ms = dice.between(0, 200);
        let behaviours = [
            Behaviour::PanicAtOnce,
            Behaviour::PanicLate { ms },
            Behaviour::PanicInDrop { ms },
            Behaviour::Recover { ms, tries: 1, by: Fault::Panic },
        ];
        let (tool, behaviour) = (dice.one_of(&TOOLS).0, dice.one_of(&behaviours));
        Self::of(dice, tool, behaviour)
    }

    fn that_recovers(dice: &mut Dice) -> Self {
        let (ms, tries) = (dice.between(0, 800), dice.between(1, 3) as u32);
        let by = dice.one_of(&[Fault::Fail, Fault::Fail, Fault::Panic, Fault::Hang]);
        let (tool, behaviour) = (dice.one_of(&TOOLS).0, Behaviour::Recover { ms, tries, by });
        Self::of(dice, tool, behaviour)
    }

    fn of(dice: &mut Dice, tool: &'static str, behaviour: Behaviour) -> Self {
        Self { tool, behaviour, number: dice.between(0, 1 << 40) }
    }
}

fn millis(dice: &mut Dice, from: u64, to: u64) -> Duration {
    Duration::from_millis(dice.between(from, to))
}
