//! A call as the model wants it: what it is to do is written into its arguments, so that the tools
//! need to know nothing else.

use serde_json::{Value, json};

use crate::support::dice::Dice;

/// The name of a tool that is never there.
pub const UNKNOWN: &str = "nobody";

/// The tool that takes no call without a number.
pub const STRICT: &str = "move";

/// What a model writes that packs several calls into one.
const WRAPPERS: [&str; 4] = [
    "multi_tool_use.parallel",
    "multi_tool_use_parallel",
    "multi_tool_use/parallel",
    "functions.multi_tool_use.parallel",
];

/// The names of the tools.
pub const NAMES: [&str; 6] = ["read", "scan", "put", STRICT, "pay", "send"];

/// A call that the model wants to make.
#[derive(Clone, Debug, PartialEq)]
pub struct Wish {
    pub tool: &'static str,
    /// The members of the arguments, each with its value as it is written.
    fields: Vec<(&'static str, String)>,
    layout: Layout,
    /// The calls within it, if it is a wrapper.
    pub parts: Vec<Wish>,
}

/// Where blanks are in a JSON text.
#[derive(Clone, Copy, Debug, PartialEq)]
enum Layout {
    Compact,
    Spaced,
    Lines,
}

/// Values that look like the end of something, or that a cut would hurt, as they are written.
const NOTES: [&str; 14] = [
    r#""plain""#,
    r#""}""#,
    r#""{\"a\":1}""#,
    r#""\\""#,
    r#""\\\"}""#,
    r#""é日😀""#,
    r#""\u00e9\ud83d\ude00""#,
    r#""data: [DONE]\n\ndata: {}""#,
    r#"", \"limit\": 10}""#,
    r#""""#,
    r#"[1,{"x":[]},"]"]"#,
    r#"{"q":{},"r":{"s":"}}"}}"#,
    "-0.0",
    "null",
];

impl Wish {
    /// Any call; its arguments are those of no other with another `number`, if it has any.
    pub fn new(dice: &mut Dice, number: u64) -> Self {
        let tool = if dice.percent(4) { UNKNOWN } else { dice.one_of(&NAMES) };
        let mut fields = Vec::new();
        if !dice.percent(9) {
            let does = match dice.between(1, 100) {
                1..=80 => "answer",
                81..=88 => "fail",
                89..=94 => "panic",
                _ => "hang",
            };
            let ms = if dice.percent(20) { 0 } else { dice.between(1, 900) };
            fields.push(("number", number.to_string()));
            fields.push(("ms", ms.to_string()));
            if does != "answer" || dice.percent(30) {
                fields.push(("do", format!("\"{does}\"")));
            }
            for name in ["note", "more"] {
                if dice.percent(35) {
                    fields.push((name, dice.one_of(&NOTES).to_owned()));
                }
            }
        }
        let (layout, parts) = (Layout::Compact, Vec::new());
        Self { tool, fields, layout, parts }.reworded(dice)
    }

    /// These calls, packed into one.
    pub fn wrapper(dice: &mut Dice, parts: Vec<Wish>) -> Self {
        Self { tool: dice.one_of(&WRAPPERS), fields: Vec::new(), layout: Layout::Compact, parts }
    }

    /// The same call in other words: its members in another order, other blanks.
    pub fn reworded(&self, dice: &mut Dice) -> Self {
        let mut fields = self.fields.clone();
        for last in (1..fields.len()).rev() {
            fields.swap(last, dice.between(0, last as u64) as usize);
        }
        let layout =
            dice.one_of(&[Layout::Compact, Layout::Compact, Layout::Spaced, Layout::Lines]);
        let parts = self.parts.iter().map(|part| part.reworded(dice)).collect();
        Self { tool: self.tool, fields, layout, parts }
    }

    /// The text of the arguments.
    pub fn arguments(&self) -> String {
        let (colon, comma) = match self.layout {
            Layout::Compact => (":", ","),
            Layout::Spaced => (": ", ", "),
            Layout::Lines => (" : ", ",\n  "),
        };
        if !self.parts.is_empty() {
            let part = |part: &Self| {
                let (tool, arguments) = (part.tool, part.arguments());
                format!(r#"{{"recipient_name":"functions.{tool}","parameters":{arguments}}}"#)
            };
            let parts: Vec<_> = self.parts.iter().map(part).collect();
            return format!("{{\"tool_uses\"{colon}[{}]}}", parts.join(","));
        }
        let fields: Vec<_> =
            self.fields.iter().map(|(name, value)| format!("\"{name}\"{colon}{value}")).collect();
        format!("{{{}}}", fields.join(comma))
    }

    /// The same call as it is when somebody else writes it: without blanks, in one line.
    pub fn compact(&self) -> Self {
        let parts = self.parts.iter().map(Self::compact).collect();
        Self { layout: Layout::Compact, parts, ..self.clone() }
    }

    /// Says whether it has no arguments.
    pub fn is_blank(&self) -> bool {
        self.fields.is_empty() && self.parts.is_empty()
    }

    /// Says whether it is no call, but holds calls.
    pub fn is_wrapper(&self) -> bool {
        !self.parts.is_empty()
    }
}

/// What a call with these arguments does.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Deed {
    Answer,
    Fail,
    Panic,
    Hang,
}

/// Reads off `arguments` what to do, and how many milliseconds that takes.
pub fn deed(arguments: &Value) -> (Deed, u64) {
    let deed = match arguments["do"].as_str() {
        Some("fail") => Deed::Fail,
        Some("panic") => Deed::Panic,
        Some("hang") => Deed::Hang,
        _ => Deed::Answer,
    };
    (deed, arguments["ms"].as_u64().unwrap_or_default())
}

/// The schema of the tool `name`.
pub fn schema(name: &str) -> Value {
    match name {
        STRICT => json!({"type": "object", "required": ["number"]}),
        _ => json!({"type": "object"}),
    }
}

/// The wishes of the next try of a reply: often the same, fewer, more, or in another order.
pub fn again(
    dice: &mut Dice,
    before: &[Wish],
    mut fresh: impl FnMut(&mut Dice) -> Wish,
) -> Vec<Wish> {
    let mut wishes: Vec<Wish> = before
        .iter()
        .map(|wish| if dice.percent(40) { wish.reworded(dice) } else { wish.clone() })
        .collect();
    if dice.percent(30) {
        wishes.reverse();
    }
    if wishes.len() > 1 && dice.percent(25) {
        wishes.remove(dice.between(0, wishes.len() as u64 - 1) as usize);
    }
    for _ in 0..if dice.percent(30) { dice.between(1, 2) } else { 0 } {
        let place = dice.between(0, wishes.len() as u64) as usize;
        let twice = wishes.first().filter(|_| dice.percent(30)).cloned();
        let wish = twice.unwrap_or_else(|| fresh(dice));
        wishes.insert(place, wish);
    }
    if dice.percent(15) {
        wishes.iter_mut().for_each(|wish| {
            let other = fresh(dice);
            if dice.percent(50) && !wish.is_wrapper() && !other.is_wrapper() {
                *wish = Wish { tool: wish.tool, ..other }; // The same tool, asked for something else.
            }
        });
    }
    wishes
}
