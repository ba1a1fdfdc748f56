//! A random session: its tools, its limits, and what its models stream.

use std::time::Duration;

use callsheet::{Effects, Limits, Mode};

use super::hostile::Sent;
use super::wish::{NAMES, Wish, again};
use crate::support::dice::Dice;

/// A session as its seed says. All times are whole milliseconds.
#[derive(Debug)]
pub struct Scenario {
    pub tools: Vec<ToolPlan>,
    pub limits: Limits,
    /// So many further tries of each reply with each model.
    pub retries: u32,
    /// Where the first model fails for good, another one is asked.
    pub has_fallback: bool,
    pub turns: Vec<TurnPlan>,
}

#[derive(Clone, Debug)]
pub struct ToolPlan {
    pub name: &'static str,
    pub effects: Effects,
    pub early: Option<bool>,
    pub exclusive: bool,
    pub time_limit: Option<Duration>,
}

#[derive(Debug)]
pub struct TurnPlan {
    /// What each model streams, reply after reply; and then it says that it is done.
    pub scripts: [Vec<Sent>; 2],
    pub cancel_after: Option<Duration>,
    /// Somebody cancels one call, by its id.
    pub cancel_call: Option<(Duration, &'static str)>,
}

const EFFECTS: [Effects; 6] = [
    Effects::None,
    Effects::None,
    Effects::Idempotent,
    Effects::Idempotent,
    Effects::Once,
    Effects::Once,
];

impl Scenario {
    pub fn new(seed: u64) -> Self {
        let dice = &mut Dice::new(seed);
        let is_eager = dice.percent(40);
        let tools = NAMES.iter().zip(EFFECTS).map(|(name, effects)| ToolPlan {
            name,
            effects,
            early: match effects {
                Effects::None => dice.percent(10).then(|| dice.percent(50)),
                _ => (is_eager && dice.percent(50)).then_some(true),
            },
            exclusive: dice.percent(10),
            time_limit: dice.percent(40).then(|| millis(dice, 100, 2_000)),
        });
        let tools = tools.collect();
        let limits = Limits {
            mode: if dice.percent(92) { Mode::Parallel } else { Mode::Sequential },
            early_dispatch: dice.percent(95),
            max_rounds: if dice.percent(8) { dice.between(0, 2) as u32 } else { 16 },
            max_calls_per_round: if dice.percent(8) { dice.between(0, 4) as u32 } else { 128 },
            max_calls: u32::MAX,
            max_identical_calls: 0,
            call_time_limit: millis(dice, 500, 3_000),
            round_time_limit: match dice.percent(8) {
                true => millis(dice, 200, 2_000),
                false => Duration::from_secs(10_000),
            },
            turn_time_limit: match dice.percent(8) {
                true => millis(dice, 500, 6_000),
                false => Duration::from_secs(100_000),
            },
        };
        let retries = if dice.percent(15) { 0 } else { dice.between(1, 3) as u32 };
        let has_fallback = dice.percent(25);
        let mut numbers = 1..;
        let mut fresh = |dice: &mut Dice| {
            let mut wish = || Wish::new(dice, numbers.next().expect("there are many"));
            let wishes = [(); 3].map(|()| wish());
            if dice.percent(4) {
                let parts = wishes[..dice.between(1, 3) as usize].to_vec();
                return Wish::wrapper(dice, parts);
            }
            let [wish, ..] = wishes;
            wish
        };
        let turns = (0..dice.between(1, 3))
            .map(|_| TurnPlan::new(dice, &mut fresh, has_fallback))
            .collect();
        Self { tools, limits, retries, has_fallback, turns }
    }

    /// The tool `name`.
    pub fn tool(&self, name: &str) -> Option<&ToolPlan> {
        self.tools.iter().find(|tool| *tool.name == *name)
    }
}

impl TurnPlan {
    fn new(dice: &mut Dice, fresh: &mut impl FnMut(&mut Dice) -> Wish, has_fallback: bool) -> Self {
        let mut wishes: Vec<Wish> = Vec::new();
        let mut script = |dice: &mut Dice, count: u64| -> Vec<Sent> {
            let mut script = Vec::new();
            for _ in 0..count {
                wishes = match dice.percent(80) && !wishes.is_empty() {
                    true => again(dice, &wishes, &mut *fresh),
                    false => {
                        let count = if dice.percent(8) { 0 } else { dice.between(1, 6) };
                        (0..count).map(|_| fresh(dice)).collect()
                    }
                };
                script.push(Sent::new(dice, &wishes));
            }
            script
        };
        let first = dice.between(1, 6);
        let second = if has_fallback { dice.between(0, 3) } else { 0 };
        let scripts = [script(dice, first), script(dice, second)];
        let cancel_after = dice.percent(12).then(|| millis(dice, 0, 3_000));
        let id = dice.one_of(&["id", "id_0", "id_1", "id_2", "call_0", "call_1"]);
        let cancel_call = dice.percent(15).then(|| (millis(dice, 0, 3_000), id));
        Self { scripts, cancel_after, cancel_call }
    }
}

fn millis(dice: &mut Dice, from: u64, to: u64) -> Duration {
    Duration::from_millis(dice.between(from, to))
}
