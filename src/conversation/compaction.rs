//! Which messages leave a history that has become too long for its model.
//!
//! Whole turns go, the oldest first, so that no call is parted from its answer and what is left
//! begins with a question. Only where that is not enough do rounds of the turn under way go, and never
//! its question nor its last round. More goes than must: what is left is the beginning of many
//! requests, and a provider that keeps what it has read finds it unchanged.

use serde::{Deserialize, Serialize};

use super::Transcript;
use crate::sabotage::{self, Sabotage};
use crate::wire::chat::Role;

/// Of three parts of the budget so many are left full.
const KEPT_PARTS: usize = 2;

/// The part of the budget that a summary may take: one in so many bytes.
const SUMMARY_SHARE: usize = 6;

/// A summary in fewer bytes says nothing.
const MIN_SUMMARY: usize = 400;

/// A summary in more bytes is none.
const MAX_SUMMARY: usize = 20_000;

/// How many bytes a token is taken to have before a provider has counted any: of prose it has more, of
/// JSON about as many.
const BYTES_A_TOKEN: f64 = 3.0;

/// A count that says anything else is not believed.
const LIKELY_BYTES_A_TOKEN: std::ops::RangeInclusive<f64> = 1.0..=16.0;

/// How long a request may be, and what is done about one that would be longer.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct ContextBudget {
    /// The tokens of a request, estimated: tools and system prompt count, the reply does not. 0 = as
    /// many as the model takes.
    pub tokens: u64,
    /// What is done.
    pub compaction: Compaction,
}

/// What is done about a history that is too long.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Compaction {
    /// Nothing: the provider refuses it, and the turn fails.
    Off,
    /// The oldest turns leave it.
    #[default]
    DropOldest,
    /// They do, and the model is asked for a summary that takes their place.
    Summarise,
}

/// Why a history is too long.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum TooLong {
    /// By the estimate, for the budget.
    Estimated,
    /// The model refused it.
    Refused,
}

/// Messages that follow each other, by their numbers in the history, which count from 0.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Span {
    /// The first one.
    pub from: usize,
    /// The first one behind them.
    pub to: usize,
}

/// What leaves a history.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Cut {
    /// The messages, in order.
    pub dropped: Vec<Span>,
    /// How many bytes a summary of them may have; 0 if there is no room for one, or none is wanted.
    pub summary_bytes: usize,
    /// The tokens of the request with them, estimated.
    pub tokens_before: u64,
    /// And without them.
    pub tokens_after: u64,
}

impl Compaction {
    /// The name used in settings.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Off => "off",
            Self::DropOldest => "drop_oldest",
            Self::Summarise => "summarise",
        }
    }
}

impl Span {
    fn has(self, number: usize) -> bool {
        (self.from..self.to).contains(&number)
    }
}

impl Cut {
    /// The messages of `history` that a summary of what is left out is made from: all up to the last
    /// one of them. The system prompt is among them, and a question that stays may be.
    pub(super) fn summarised(&self) -> usize {
        self.dropped.last().map_or(0, |span| span.to)
    }
}

/// Says whether the message of this `number` is among `dropped`.
pub(super) fn is_dropped(dropped: &[Span], number: usize) -> bool {
    dropped.iter().any(|span| span.has(number))
}

/// How many bytes a token has, by what the provider counted last: a request of so many bytes.
#[derive(Clone, Copy, Debug)]
pub(super) struct Scale(f64);

impl Scale {
    /// By the last count there is: (bytes, tokens).
    pub fn of(counted: Option<(usize, u64)>) -> Self {
        let Some((bytes, tokens)) = counted.filter(|(_, tokens)| *tokens > 0) else {
            return Self(BYTES_A_TOKEN);
        };
        let measured = as_float(bytes) / as_float(usize::try_from(tokens).unwrap_or(usize::MAX));
        let (least, most) = LIKELY_BYTES_A_TOKEN.into_inner();
        Self(measured.clamp(least, most))
    }

    /// The tokens of so many bytes, rounded up.
    fn tokens(self, bytes: usize) -> u64 {
        (as_float(bytes) / self.0).ceil() as u64
    }

    /// The bytes that have so many tokens.
    fn bytes(self, tokens: u64) -> usize {
        (as_float(usize::try_from(tokens).unwrap_or(usize::MAX)) * self.0) as usize
    }
}

fn as_float(number: usize) -> f64 {
    number as f64
}

/// Decides what leaves `history`, that is asked about with `fixed_bytes` of tools; `None` if it may
/// stay as it is, or nothing can leave it.
pub(super) fn cut(
    history: &Transcript,
    fixed_bytes: usize,
    budget: &ContextBudget,
    scale: Scale,
    why: TooLong,
) -> Option<Cut> {
    let all = history.as_bytes().len() + fixed_bytes;
    let set = (budget.tokens > 0).then(|| scale.bytes(budget.tokens));
    let (max, target) = match (why, set) {
        _ if budget.compaction == Compaction::Off => return None,
        (TooLong::Estimated, None) => return None,
        (TooLong::Estimated, Some(max)) if all <= max => return None,
        (TooLong::Estimated, Some(max)) => (max, max / 3 * KEPT_PARTS),
        // How much would have been taken is not known: half of it is likely to be.
        (TooLong::Refused, set) => {
            (all / 2, set.map_or(all, |max| max / 3 * KEPT_PARTS).min(all / 2))
        }
    };
    let messages = Messages::of(history);
    let dropped = messages.dropped(all, (max, target));
    if dropped.is_empty() {
        return None;
    }
    let left = |dropped: &[Span]| all.saturating_sub(messages.bytes_of(dropped));
    let whole = messages.with_summary(&dropped);
    let room = (max / SUMMARY_SHARE).min(max.saturating_sub(left(&whole))).min(MAX_SUMMARY);
    let summarises = budget.compaction == Compaction::Summarise && room >= MIN_SUMMARY;
    let dropped = if summarises { whole } else { dropped };
    Some(Cut {
        summary_bytes: if summarises { room } else { 0 },
        tokens_before: scale.tokens(all),
        tokens_after: scale.tokens(left(&dropped)),
        dropped,
    })
}

/// The messages of a history, as far as it matters which of them may go.
struct Messages {
    /// Who says each, and how many bytes it has, the comma before it included.
    said: Vec<(Role, usize)>,
    /// How many at the beginning are the system prompt.
    system: usize,
    /// Behind it there is a summary of what went before.
    has_summary: bool,
    /// The question of the turn under way.
    question: usize,
}

impl Messages {
    fn of(history: &Transcript) -> Self {
        let said: Vec<_> =
            history.said().into_iter().map(|(role, json)| (role, json.len() + 1)).collect();
        let system = said.iter().take_while(|(role, _)| *role == Role::System).count();
        let question = said.iter().rposition(|(role, _)| *role == Role::User);
        let (question, has_summary) = (question.unwrap_or(said.len()), history.has_summary());
        Self { said, system, has_summary, question }
    }

    /// What goes of `all` bytes so that not more than `target` are left, or, if rounds of the turn
    /// under way or the summary would have to go for that, `max`. The summary stays as long as
    /// anything: it has most in least.
    fn dropped(&self, all: usize, (max, target): (usize, usize)) -> Vec<Span> {
        let (mut left, mut dropped) = (all, Vec::new());
        let from = self.system + usize::from(self.has_summary);
        let turns = self.begins(from..self.question, Role::User);
        let to = self.drop_first(&turns, self.question, target, &mut left);
        dropped.push(Span { from, to });
        if left > max {
            let from = self.question + 1;
            let rounds = self.begins(from..self.said.len(), Role::Assistant);
            if let Some((last, older)) = rounds.split_last() {
                let to = self.drop_first(older, *last, target, &mut left);
                dropped.push(Span { from, to });
            }
        }
        dropped.retain(|span| span.to > span.from);
        if left > max { self.with_summary(&dropped) } else { dropped }
    }

    /// The same, and the summary of what went before, if there is one.
    fn with_summary(&self, dropped: &[Span]) -> Vec<Span> {
        let summary = Span { from: self.system, to: self.system + 1 };
        match dropped.split_first() {
            _ if !self.has_summary || is_dropped(dropped, summary.from) => dropped.to_vec(),
            Some((first, rest)) if first.from == summary.to => {
                [&[Span { from: summary.from, to: first.to }], rest].concat()
            }
            _ => [&[summary], dropped].concat(),
        }
    }

    /// Where the parts of `range` begin: at each message of `role`, and at its start.
    fn begins(&self, range: std::ops::Range<usize>, role: Role) -> Vec<usize> {
        let start = range.start;
        let anywhere = sabotage::is(Sabotage::CutAnywhere);
        let begins = |number: &usize| {
            anywhere || *number == start || self.said.get(*number).is_some_and(|it| it.0 == role)
        };
        range.filter(begins).collect()
    }

    /// Drops the parts that begin at `begins`, the first ones first, until not more than `target` bytes
    /// are `left`. Behind the last of them is `end`. Says up to where it went.
    fn drop_first(&self, begins: &[usize], end: usize, target: usize, left: &mut usize) -> usize {
        let mut to = begins.first().copied().unwrap_or(end);
        let ends = begins.iter().skip(1).copied().chain(std::iter::once(end));
        for (from, part_end) in begins.iter().zip(ends) {
            if *left <= target {
                break;
            }
            *left -= self.bytes(*from..part_end).min(*left);
            to = part_end;
        }
        to
    }

    fn bytes(&self, range: std::ops::Range<usize>) -> usize {
        self.said.get(range).unwrap_or_default().iter().map(|(_, bytes)| bytes).sum()
    }

    fn bytes_of(&self, dropped: &[Span]) -> usize {
        dropped.iter().map(|span| self.bytes(span.from..span.to)).sum()
    }
}

#[cfg(test)]
mod tests;
