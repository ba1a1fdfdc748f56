//! The parts of a clause that could be the value of a string parameter.

use std::ops::Range;

use super::schema::Leaf;
use super::token::{Pause, Shape, Token};
use super::words;

/// A part of a clause that could be a value.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Candidate {
    /// The tokens of the value.
    pub value: Range<usize>,
    /// The tokens that are used up with it: also the preposition before it.
    pub covers: Range<usize>,
    pub source: Source,
}

/// Why a part could be a value.
#[derive(Clone, Debug, PartialEq)]
pub(super) enum Source {
    Quoted,
    /// An address, a path or the like.
    Shaped(Shape),
    Proper,
    /// One word of capital letters.
    Upper,
    /// Behind this preposition, up to the next.
    After(String),
    /// Behind this preposition, as far as it goes.
    LongAfter(String),
    /// Behind the name of this parameter.
    Labelled(usize),
    /// The word behind a number.
    Unit,
    Date,
    Time,
    Expression,
}

/// A clause and what of it is used up already.
pub(super) struct Clause<'a> {
    pub tokens: &'a [Token],
    pub taken: &'a [bool],
    /// Says whether a token names the tool itself.
    pub names_tool: &'a dyn Fn(&Token) -> bool,
}

/// All candidates of `clause`, in its order.
pub(super) fn all(clause: &Clause<'_>, leaves: &[Leaf]) -> Vec<Candidate> {
    let mut found = Vec::new();
    let when = when(clause.tokens);
    let is_when = |at: usize| when.iter().any(|candidate| candidate.value.contains(&at));
    for at in 0..clause.tokens.len() {
        if clause.taken[at] {
            continue;
        }
        single(clause, at, &mut found);
        let begins =
            at == 0 || !clause.is_name(at - 1) || clause.tokens[at - 1].pause != Pause::None;
        if begins && !is_when(at) && clause.is_name(at) && !clause.tokens[at].is_stop() {
            let value = at..clause.name_end(at);
            found.push(Candidate {
                covers: clause.with_preposition(&value),
                value,
                source: Source::Proper,
            });
        }
        if clause.tokens[at].is_preposition() || clause.tokens[at].word == "that" {
            after(clause, at, &is_when, &mut found);
        }
        for (index, leaf) in leaves.iter().enumerate() {
            labelled(clause, at, index, leaf, &is_when, &mut found);
        }
    }
    found.extend(when);
    found.extend(expression(clause));
    found.retain(|candidate| {
        !candidate.value.is_empty() && candidate.value.clone().all(|at| !clause.taken[at])
    });
    found
}

impl Clause<'_> {
    /// Says whether the token belongs to a name.
    fn is_name(&self, at: usize) -> bool {
        let token = &self.tokens[at];
        token.is_proper() && !(self.names_tool)(token) && !(at == 0 && words::is_verb(&token.word))
    }

    /// Where the name that begins at `start` ends. It goes over a comma and over `of`.
    fn name_end(&self, start: usize) -> usize {
        let name = |at: usize| {
            at < self.tokens.len()
                && !self.taken[at]
                && self.is_name(at)
                && !is_day(&self.tokens[at].word)
        };
        let mut end = start + 1;
        loop {
            let linked = self
                .tokens
                .get(end)
                .is_some_and(|token| matches!(token.word.as_str(), "of" | "the" | "de" | "la"));
            if self.tokens[end - 1].pause == Pause::Sentence {
                return end;
            } else if name(end) {
                end += 1;
            } else if linked && self.tokens[end - 1].pause == Pause::None && name(end + 1) {
                end += 2;
            } else {
                return end;
            }
        }
    }

    fn with_preposition(&self, value: &Range<usize>) -> Range<usize> {
        let mut start = value.start;
        while start > 0
            && (is_article(&self.tokens[start - 1]) || self.tokens[start - 1].is_preposition())
            && !self.taken[start - 1]
        {
            start -= 1;
        }
        start..value.end
    }
}

/// Candidates of one token.
fn single(clause: &Clause<'_>, at: usize, found: &mut Vec<Candidate>) {
    let token = &clause.tokens[at];
    let value = at..at + 1;
    let source = match token.shape {
        Shape::Quoted => Source::Quoted,
        Shape::Email | Shape::Url | Shape::Path => Source::Shaped(token.shape),
        Shape::Upper if !(clause.names_tool)(token) => Source::Upper,
        Shape::Plain | Shape::Capital
            if at > 0
                && matches!(clause.tokens[at - 1].shape, Shape::Number(_))
                && !token.is_stop()
                && !token.is_preposition() =>
        {
            Source::Unit
        }
        _ => return,
    };
    found.push(Candidate { covers: clause.with_preposition(&value), value, source });
}

/// Candidates behind the preposition at `at`.
fn after(
    clause: &Clause<'_>,
    at: usize,
    is_when: &dyn Fn(usize) -> bool,
    found: &mut Vec<Candidate>,
) {
    let tokens = clause.tokens;
    let word = &tokens[at].word;
    let speech = matches!(word.as_str(), "saying" | "says" | "that");
    let mut start = at + 1;
    while !speech && start < tokens.len() && is_article(&tokens[start]) {
        start += 1;
    }
    if start >= tokens.len() || tokens[at].pause != Pause::None && !speech {
        return;
    }
    let free = |end: &usize| *end < tokens.len() && !clause.taken[*end];
    let mut long = start;
    while free(&long) && (speech || !is_when(long)) {
        long += 1;
        if tokens[long - 1].pause == Pause::Sentence {
            break;
        }
    }
    let mut short = start;
    if clause.is_name(start) {
        short = clause.name_end(start);
    } else {
        while free(&short) && !is_when(short) && !tokens[short].is_preposition() {
            let breaks = tokens[short].is_conjunction()
                && tokens
                    .get(short + 1)
                    .is_none_or(|next| next.is_stop() || next.is_preposition() || next.is_proper());
            if breaks || short > start && (clause.names_tool)(&tokens[short]) {
                break;
            }
            short += 1;
            if tokens[short - 1].pause != Pause::None {
                break;
            }
        }
    }
    let only_tool = |range: &Range<usize>| {
        tokens[range.clone()].iter().all(|token| (clause.names_tool)(token) || token.is_stop())
    };
    let mut push =
        |word: &str, value: Range<usize>, covers_from: usize, source: fn(String) -> Source| {
            if !value.is_empty() && (speech || !only_tool(&value)) {
                found.push(Candidate {
                    covers: covers_from..value.end,
                    value,
                    source: source(word.to_owned()),
                });
            }
        };
    if word == "between" {
        let Some(and) = (start..tokens.len()).find(|&at| tokens[at].is_conjunction()) else {
            return;
        };
        let mut end = and + 1;
        while free(&end) && !is_when(end) && !tokens[end].is_preposition() {
            end += 1;
        }
        push("from", start..and, at, Source::After);
        push("to", and + 1..end, and, Source::After);
        return;
    }
    if speech {
        push(word, start..long, at, Source::LongAfter);
    } else {
        push(word, start..trimmed(tokens, start, short), at, Source::After);
        push(word, start..trimmed(tokens, start, long), at, Source::LongAfter);
    }
}

/// A value behind the name of a parameter: `with the subject Lunch`, `her email is …`.
fn labelled(
    clause: &Clause<'_>,
    at: usize,
    index: usize,
    leaf: &Leaf,
    is_when: &dyn Fn(usize) -> bool,
    found: &mut Vec<Candidate>,
) {
    let tokens = clause.tokens;
    let label = leaf.name.last().is_some_and(|name| *name == tokens[at].stem);
    // At the beginning it is a verb: `text Maria`.
    if at == 0 || !label || tokens[at].is_preposition() || (clause.names_tool)(&tokens[at]) {
        return;
    }
    let mut start = at + 1;
    while tokens.get(start).is_some_and(|token| {
        matches!(token.word.as_str(), "is" | "to" | "as" | "of" | "called" | "=" | "should" | "be")
    }) {
        start += 1;
    }
    let mut end = start;
    while end < tokens.len()
        && !clause.taken[end]
        && !is_when(end)
        && !tokens[end].is_preposition()
        && (end > start || !tokens[end].is_stop())
    {
        end += 1;
        if tokens[end - 1].pause == Pause::Sentence {
            break;
        }
    }
    if start < end {
        let covers = clause.with_preposition(&(at..end));
        found.push(Candidate { value: start..end, covers, source: Source::Labelled(index) });
    }
}

/// `end` moved before the words that only round a question off.
fn trimmed(tokens: &[Token], start: usize, mut end: usize) -> usize {
    let spare = |token: &Token| token.is_stop() || token.is_preposition() || token.is_conjunction();
    while end > start && spare(&tokens[end - 1]) {
        end -= 1;
    }
    end
}

/// An article in small letters: `The Godfather` keeps its own.
fn is_article(token: &Token) -> bool {
    matches!(
        token.word.as_str(),
        "the" | "a" | "an" | "my" | "our" | "your" | "some" | "any" | "me" | "both"
    ) && token.shape == Shape::Plain
}

const DAYS: &[&str] = &[
    "today",
    "tomorrow",
    "tonight",
    "yesterday",
    "monday",
    "tuesday",
    "wednesday",
    "thursday",
    "friday",
    "saturday",
    "sunday",
    "january",
    "february",
    "march",
    "april",
    "june",
    "july",
    "august",
    "september",
    "october",
    "november",
    "december",
    "weekend",
];

fn is_day(word: &str) -> bool {
    DAYS.contains(&word)
}

/// Says whether a token is part of a date or a time that needs no context.
pub(super) fn is_moment(token: &Token) -> bool {
    matches!(token.shape, Shape::Date | Shape::Time)
        || token.shape != Shape::Quoted && is_day(&token.word)
}

/// Dates and times, such as `next Friday`, `March 5`, `this week`, `at 3pm`.
fn when(tokens: &[Token]) -> Vec<Candidate> {
    let mut found: Vec<Candidate> = Vec::new();
    let mut at = 0;
    while at < tokens.len() {
        let next = tokens.get(at + 1);
        let token = &tokens[at];
        let relative = matches!(token.word.as_str(), "next" | "this" | "last");
        let period = |token: &Token| {
            is_day(&token.word)
                || matches!(
                    token.word.as_str(),
                    "week" | "month" | "year" | "morning" | "afternoon" | "evening" | "weekend"
                )
        };
        let (length, source) = match token.shape {
            Shape::Time => (1, Source::Time),
            Shape::Date => (1, Source::Date),
            Shape::Number(_)
                if next
                    .is_some_and(|next| matches!(next.word.as_str(), "am" | "pm" | "o'clock")) =>
            {
                (2, Source::Time)
            }
            Shape::Quoted => (0, Source::Date),
            _ if relative && next.is_some_and(period) => (2, Source::Date),
            _ if is_day(&token.word) => {
                let of_month = next.is_some_and(|next| {
                    matches!(next.shape, Shape::Number(_)) || next.word.ends_with("th")
                });
                let of_day = next.is_some_and(|next| {
                    matches!(next.word.as_str(), "morning" | "afternoon" | "evening" | "night")
                });
                (1 + usize::from((of_month || of_day) && token.pause == Pause::None), Source::Date)
            }
            _ => (0, Source::Date),
        };
        if length == 0 {
            at += 1;
            continue;
        }
        let before = at.checked_sub(1).filter(|&before| {
            matches!(tokens[before].word.as_str(), "on" | "at" | "by" | "for" | "until" | "in")
        });
        found.push(Candidate {
            value: at..at + length,
            covers: before.unwrap_or(at)..at + length,
            source,
        });
        at += length;
    }
    found
}

/// The longest run of numbers, operators and their names, if it holds a number and more.
fn expression(clause: &Clause<'_>) -> Option<Candidate> {
    let part = |token: &Token| {
        matches!(token.shape, Shape::Number(_) | Shape::Math)
            || matches!(
                token.word.as_str(),
                "plus"
                    | "minus"
                    | "times"
                    | "divided"
                    | "multiplied"
                    | "by"
                    | "over"
                    | "squared"
                    | "cubed"
                    | "percent"
                    | "of"
                    | "square"
                    | "cube"
                    | "root"
                    | "sqrt"
                    | "power"
                    | "the"
                    | "to"
                    | "sum"
                    | "product"
                    | "and"
                    | "x"
                    | "mod"
            )
    };
    let mut best = 0..0;
    let mut start = 0;
    for end in 1..=clause.tokens.len() {
        if !part(&clause.tokens[end - 1]) {
            start = end;
            continue;
        }
        let edge = |token: &Token| {
            matches!(token.word.as_str(), "the" | "of" | "by" | "to" | "and" | "over")
        };
        while start < end && edge(&clause.tokens[start]) {
            start += 1;
        }
        let numbers = clause.tokens[start..end].iter().any(|token| {
            matches!(token.shape, Shape::Number(_))
                || token.outer.contains(|c: char| c.is_ascii_digit())
        });
        let last = &clause.tokens[end - 1];
        if numbers && end - start > best.len() && !edge(last) {
            best = start..end;
        }
    }
    let more = best.len() > 1
        || clause.tokens[best.clone()].iter().any(|token| token.shape == Shape::Math);
    more.then(|| Candidate { value: best.clone(), covers: best, source: Source::Expression })
}
