//! What is left of a clause when all that was recognized is taken out.

use std::ops::Range;

use super::candidates;
use super::profile::Profile;
use super::schema::{self, Kind, Leaf, Meaning};
use super::token::{Pause, Shape, Token};
use super::words;

/// The longest run of free tokens, without the words round it that only ask.
pub(super) fn leftover(
    tool: &Profile<'_>,
    tokens: &[Token],
    taken: &[bool],
    leaf: &Leaf,
) -> Option<Range<usize>> {
    let meaning = leaf.meaning;
    let over_commas = meaning == Meaning::Text || schema::kind(&leaf.schema) == Kind::List;
    let pause = if over_commas { Pause::Sentence } else { Pause::Comma };
    let mut best: Option<Range<usize>> = None;
    let mut start = 0;
    for end in 0..=tokens.len() {
        let run_ends = end == tokens.len() || taken[end];
        let paused = end > start && tokens[end - 1].pause >= pause;
        if !run_ends && !paused {
            continue;
        }
        let range = without_edges(tool, tokens, start..end, meaning);
        if !range.is_empty() && best.as_ref().is_none_or(|best| range.len() > best.len()) {
            best = Some(range);
        }
        start = if run_ends { end + 1 } else { end };
    }
    best
}

/// `range` without the words at its edges that only ask.
fn without_edges(
    tool: &Profile<'_>,
    tokens: &[Token],
    mut range: Range<usize>,
    meaning: Meaning,
) -> Range<usize> {
    // `The Godfather` keeps its article.
    let titled = |at: usize| {
        at > 0
            && tokens[at].shape == Shape::Capital
            && tokens.get(at + 1).is_some_and(Token::is_proper)
    };
    let asks = |token: &Token| {
        token.shape != Shape::Quoted
            && (token.is_stop() || token.is_preposition() || token.is_conjunction())
    };
    let verb = |token: &Token| token.shape != Shape::Quoted && words::is_verb(&token.word);
    let works = |token: &Token| verb(token) || tool.is_told_by(token);
    let opening = range.clone().take_while(|&at| !titled(at));
    let opening = opening.map(|at| &tokens[at]);
    let opening = opening.take_while(|token| asks(token) || works(token));
    let opening: Vec<&Token> = opening.collect();
    // Running text may itself begin with such words: `translate thank you`.
    let last_work = opening.iter().rposition(|token| works(token));
    range.start += match last_work.filter(|_| meaning == Meaning::Text) {
        Some(at) => at + 1,
        None => opening.len(),
    };
    while let Some(last) =
        range.end.checked_sub(1).map(|at| &tokens[at]).filter(|_| !range.is_empty())
    {
        let spare = last.is_preposition() || last.is_conjunction() || last.word == "please";
        let more = meaning != Meaning::Text
            && (asks(last)
                || tool.is_named_by(last)
                || words::is_tail(&last.word)
                || candidates::is_moment(last));
        if !(spare || more) {
            break;
        }
        range.end -= 1;
    }
    range
}
