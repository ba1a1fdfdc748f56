//! From a question to calls: which part of it is for which tool.

use std::ops::Range;

use super::super::json::Json;
use super::super::reply::Call;
use super::super::request::Function;
use super::candidates::is_moment;
use super::fill::{Filled, fill};
use super::profile::Profile;
use super::schema::Meaning;
use super::token::{Pause, Shape, Token, tokens};

/// A clause that shares less than this with a tool is not for it: one word of its name is enough,
/// one of its description is not.
const ENOUGH: f64 = 1.4;

/// A verb of its name is enough if the clause also fills all that the tool needs.
const A_VERB: f64 = 1.0;

/// The calls that answer `question`, in its order, none twice.
pub(super) fn calls(question: &str, tools: &[&Function]) -> Vec<Call> {
    let mut calls: Vec<Call> = Vec::new();
    let tools: Vec<Profile<'_>> = tools.iter().map(|tool| Profile::new(tool)).collect();
    let tokens = tokens(question);
    for clause in clauses(&tokens, &tools) {
        let name = tools[clause.tool].function.name.clone();
        let call = Call { id: None, name, arguments: clause.filled.arguments.to_string() };
        if !calls.contains(&call) {
            calls.push(call);
        }
    }
    calls
}

/// The call of `tool` that fits `question` best, whether or not it asks for it.
pub(super) fn forced_call(question: &str, tool: &Function) -> Call {
    let filled = fill(&Profile::new(tool), &tokens(question));
    Call { id: None, name: tool.name.clone(), arguments: filled.arguments.to_string() }
}

/// A part of the question and the tool it is for.
#[derive(Clone)]
struct Clause {
    tool: usize,
    tokens: Vec<Token>,
    filled: Filled,
    /// The place of the clause whose value this one replaces.
    pattern: Option<usize>,
}

/// A part of the question between two pauses or conjunctions.
#[derive(Clone)]
struct Segment {
    range: Range<usize>,
    /// How it is joined to the one before.
    joint: Joint,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Joint {
    Sentence,
    Comma,
    And,
}

fn clauses(tokens: &[Token], tools: &[Profile<'_>]) -> Vec<Clause> {
    let segments = segments(tokens);
    let mut clauses: Vec<Clause> = Vec::new();
    // Where the part of the question begins that no clause has taken in yet.
    let mut waiting: Option<Range<usize>> = None;
    // The part of the question that the last clause was made from.
    let mut taken = 0..0;
    for (index, segment) in segments.iter().enumerate() {
        let part = &tokens[segment.range.clone()];
        let best = best(part, tools);
        let list_goes_on = segments[index + 1..].iter().find(|next| next.joint != Joint::Comma);
        let last_of_pair = segment.joint == Joint::Comma
            && list_goes_on.is_none_or(|next| next.joint == Joint::Sentence);
        match (best, clauses.last().cloned()) {
            (None, None) => {
                waiting = Some(
                    waiting.map_or(segment.range.start, |range| range.start)..segment.range.end,
                )
            }
            (Some((tool, filled)), None) => {
                let first = Clause { tool, tokens: part.to_vec(), filled, pattern: None };
                clauses.extend(with_waiting(tokens, waiting.take(), first, tools));
                taken = segment.range.clone();
            }
            (Some((tool, filled)), Some(last)) if tool != last.tool => {
                clauses.push(Clause { tool, tokens: part.to_vec(), filled, pattern: None });
                taken = segment.range.clone();
            }
            (best, Some(last)) => {
                let tool = &tools[last.tool];
                let joined = tokens[taken.start..segment.range.end].to_vec();
                let filled = fill(tool, &joined);
                let pattern = last.pattern.unwrap_or(clauses.len() - 1);
                let same = item(part, tool)
                    .and_then(|item| replaced(&clauses[pattern], &item, tool, last_of_pair));
                if filled.missing.len() < last.filled.missing.len()
                    || segment.joint != Joint::Sentence && last.filled.takes_list && best.is_none()
                {
                    taken.end = segment.range.end;
                    replace_last(&mut clauses, Clause { tokens: joined, filled, ..last });
                } else if segment.joint == Joint::Sentence && best.is_none() {
                } else if let Some(clause) = same {
                    clauses.push(Clause { pattern: Some(pattern), ..clause });
                } else if let Some((tool, filled)) = best {
                    let filled = inherit(filled, &last.filled);
                    clauses.push(Clause { tool, tokens: part.to_vec(), filled, pattern: None });
                    taken = segment.range.clone();
                } else if last.pattern.is_none() && !part.first().is_some_and(Token::is_stop) {
                    taken.end = segment.range.end;
                    replace_last(&mut clauses, Clause { tokens: joined, filled, ..last });
                }
            }
        }
    }
    if clauses.is_empty()
        && let Some((tool, filled)) = best(tokens, tools)
    {
        // Only the parts together say enough: `add 3 and 5`.
        clauses.push(Clause { tool, tokens: tokens.to_vec(), filled, pattern: None });
    }
    clauses
}

fn replace_last(clauses: &mut [Clause], clause: Clause) {
    if let Some(last) = clauses.last_mut() {
        *last = clause;
    }
}

/// Cuts the question at pauses and conjunctions.
fn segments(tokens: &[Token]) -> Vec<Segment> {
    let mut segments: Vec<Segment> = Vec::new();
    let mut joint = Joint::Sentence;
    let mut start = 0;
    let mut between = false;
    for (at, token) in tokens.iter().enumerate() {
        between |= token.word == "between";
        let conjunction = token.is_conjunction();
        if conjunction && std::mem::take(&mut between) {
            continue; // `between Rome and Milan` stays in one piece.
        }
        let end = if conjunction { at } else { at + 1 };
        if conjunction || token.pause != Pause::None || at + 1 == tokens.len() {
            if start < end {
                segments.push(Segment { range: start..end, joint });
                joint = Joint::Comma;
            }
            start = at + 1;
            joint = match token.pause {
                Pause::Sentence => Joint::Sentence,
                _ if conjunction && joint != Joint::Sentence => Joint::And,
                _ if conjunction => joint,
                _ => Joint::Comma,
            };
        }
    }
    segments
}

/// The tool that fits `part` best, if one fits well enough.
fn best(part: &[Token], tools: &[Profile<'_>]) -> Option<(usize, Filled)> {
    let mut best: Option<(f64, usize, Filled)> = None;
    for (index, tool) in tools.iter().enumerate() {
        let (raw, ranked) = tool.fit(part, tools);
        if raw < A_VERB {
            continue;
        }
        let filled = fill(tool, part);
        if raw < ENOUGH && !(filled.missing.is_empty() && filled.found > 0) {
            continue;
        }
        let told = filled.found - filled.guessed;
        let score = ranked + 0.5 * told as f64
            - 0.8 * filled.missing.len() as f64
            - 0.5 * filled.idle_numbers as f64;
        if best.as_ref().is_none_or(|(top, ..)| score > *top) {
            best = Some((score, index, filled));
        }
    }
    best.map(|(_, tool, filled)| (tool, filled))
}

/// The first clause that a tool fits, with what was said before it: `Tokyo and Paris weather`.
fn with_waiting(
    tokens: &[Token],
    waiting: Option<Range<usize>>,
    first: Clause,
    tools: &[Profile<'_>],
) -> Vec<Clause> {
    let Some(waiting) = waiting else { return vec![first] };
    let tool = &tools[first.tool];
    let said = &tokens[waiting];
    let tail =
        said.iter().rposition(|token| !token.is_proper() || token.is_stop()).map_or(0, |at| at + 1);
    let before = item(&said[tail..], tool).and_then(|item| replaced(&first, &item, tool, false));
    if let Some(before) = before {
        return vec![before, first];
    }
    if first.filled.missing.is_empty() {
        return vec![first];
    }
    let joined: Vec<Token> = said.iter().chain(&first.tokens).cloned().collect();
    let filled = fill(tool, &joined);
    vec![if filled.missing.len() < first.filled.missing.len() {
        Clause { tokens: joined, filled, ..first }
    } else {
        first
    }]
}

/// What `part` lists, if it is nothing but one more thing of a list: `Paris`, `and the living room`.
fn item(part: &[Token], tool: &Profile<'_>) -> Option<Vec<Token>> {
    let skipped =
        |token: &&Token| token.is_preposition() || token.is_conjunction() || token.is_stop();
    let start = part.iter().take_while(skipped).count();
    let body = &part[start..];
    let end = body.iter().position(is_moment).unwrap_or(body.len());
    let thing =
        |token: &Token| !token.is_stop() && !token.is_preposition() && !tool.is_named_by(token);
    let names = body[..end].iter().all(|token| token.shape != Shape::Plain);
    (end > 0 && (names || end <= 3) && body[..end].iter().all(thing)).then(|| body[..end].to_vec())
}

/// `pattern` with `item` in the place of the last value that looks like it.
///
/// `pair` says that the item follows a single comma: `Paris, France` is one place.
fn replaced(pattern: &Clause, item: &[Token], tool: &Profile<'_>, pair: bool) -> Option<Clause> {
    let looks = |tokens: &[Token]| tokens.iter().map(|token| look(token.shape)).max();
    let alike = |(range, meaning): &&(Range<usize>, Meaning)| {
        let plain = looks(item) == Some(Look::Plain);
        looks(&pattern.tokens[range.clone()]) == looks(item)
            && !matches!(meaning, Meaning::Text | Meaning::Expression)
            && (!plain || matches!(meaning, Meaning::Place | Meaning::Symbol))
            && !(pair && *meaning == Meaning::Place && looks(item) == Some(Look::Name))
    };
    let (range, _) =
        pattern.filled.values.iter().filter(alike).max_by_key(|(range, _)| range.end)?;
    let mut tokens = pattern.tokens[..range.start].to_vec();
    tokens.extend_from_slice(item);
    tokens.extend_from_slice(&pattern.tokens[range.end..]);
    let filled = fill(tool, &tokens);
    (filled.missing.len() <= pattern.filled.missing.len()).then(|| Clause {
        tokens,
        filled,
        pattern: None,
        ..pattern.clone()
    })
}

#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Look {
    Plain,
    Name,
    Number,
    Other,
}

fn look(shape: Shape) -> Look {
    match shape {
        Shape::Plain => Look::Plain,
        Shape::Capital | Shape::Upper => Look::Name,
        Shape::Number(_) => Look::Number,
        _ => Look::Other,
    }
}

/// `filled` with what it misses taken from the clause before.
fn inherit(mut filled: Filled, before: &Filled) -> Filled {
    if let Json::Object(members) = &mut filled.arguments {
        for (name, value) in members {
            if filled.missing.contains(name)
                && let Some(known) = before.arguments.get(name)
            {
                *value = known.clone();
            }
        }
    }
    filled
}
