//! A random session: tools, limits, what the model will say and who will meddle with it.

use std::time::Duration;

use callsheet::supervision::{Backoff, RestartLimits};
use callsheet::{Effects, Limits, Mode};

use super::behaviour::{Behaviour, UNKNOWN_TOOL};
use super::dice::Dice;

/// A session as its seed says. All times are whole milliseconds.
#[derive(Clone, Debug)]
pub struct Scenario {
    pub tools: Vec<ToolPlan>,
    pub limits: Limits,
    pub supervision: RestartLimits,
    pub turns: Vec<TurnPlan>,
}

#[derive(Clone, Debug)]
pub struct ToolPlan {
    pub name: &'static str,
    pub effects: Effects,
    pub time_limit: Option<Duration>,
    /// So many times it cannot be made, before it can.
    pub failed_makes: u32,
}

#[derive(Clone, Debug)]
pub struct TurnPlan {
    /// The last one has no calls, unless the turn is to fail.
    pub replies: Vec<ReplyPlan>,
    /// In the order of time.
    pub meddling: Vec<Meddling>,
}

#[derive(Clone, Debug)]
pub struct ReplyPlan {
    pub delay: Duration,
    pub says: Says,
}

#[derive(Clone, Debug)]
pub enum Says {
    Calls(Vec<CallPlan>),
    Text,
    /// The model's request fails.
    Failure,
    /// The model never answers.
    Silence,
}

#[derive(Clone, Debug)]
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
    pub fn new(seed: u64) -> Self {
        let mut dice = Dice::new(seed);
        let dice = &mut dice;
        let tools = TOOLS.map(|(name, effects)| ToolPlan {
            name,
            effects,
            time_limit: dice.percent(60).then(|| millis(dice, 50, 3_000)),
            failed_makes: if dice.percent(10) { dice.between(1, 3) as u32 } else { 0 },
        });
        let limits = Limits {
            mode: if dice.percent(70) { Mode::Parallel } else { Mode::Sequential },
            max_rounds: if dice.percent(15) { dice.between(0, 4) as u32 } else { 16 },
            max_calls_per_round: if dice.percent(15) { dice.between(0, 9) as u32 } else { 128 },
            call_time_limit: millis(dice, 500, 4_000),
            round_time_limit: millis(dice, 500, 8_000),
            turn_time_limit: millis(dice, 1_000, 25_000),
        };
        let min = millis(dice, 10, 300);
        let backoff = Backoff { min, max: min + millis(dice, 0, 3_000) };
        let turns = (0..dice.between(1, 4)).map(|_| TurnPlan::new(dice)).collect();
        // As if there were no circuits.
        let supervision = RestartLimits {
            max_restarts: u32::MAX,
            max_time_outs: 0,
            max_failure_rate: 1.0,
            backoff,
            ..RestartLimits::default()
        };
        Self { tools: tools.into(), limits, supervision, turns }
    }
}

impl TurnPlan {
    fn new(dice: &mut Dice) -> Self {
        let rounds = (0..dice.between(1, 5)).map(|_| calls(dice));
        let says: Vec<_> = rounds.collect();
        let last = match dice.between(1, 100) {
            1..=4 => Says::Silence,
            5..=8 => Says::Failure,
            _ => Says::Text,
        };
        let reply = |says| ReplyPlan { delay: millis(dice, 0, 400), says };
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

fn calls(dice: &mut Dice) -> Says {
    let mut calls: Vec<_> = (0..dice.between(1, 10)).map(|_| CallPlan::new(dice)).collect();
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
        Self { tool, behaviour, number: dice.between(0, 1 << 40) }
    }
}

fn millis(dice: &mut Dice, from: u64, to: u64) -> Duration {
    Duration::from_millis(dice.between(from, to))
}
