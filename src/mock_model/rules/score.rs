//! How well a part of a clause fits a parameter.
//!
//! From 3 on it is good enough for a required parameter, from 4 on for an optional one.

use super::candidates::{Candidate, Source};
use super::schema::{self, Direction, Kind, Leaf, Meaning};
use super::token::{Shape, Token};

/// How well `candidate`, a part of `clause`, fits the parameter `leaf`, the `index`-th of its tool.
pub(super) fn of(index: usize, leaf: &Leaf, clause: &[Token], candidate: &Candidate) -> f64 {
    use Meaning as M;
    let tokens = &clause[candidate.value.clone()];
    let is_list = schema::kind(&leaf.schema) == Kind::List;
    let short = tokens.len() == 1;
    match (&candidate.source, leaf.meaning) {
        (Source::Labelled(of), meaning) if *of == index => match meaning {
            M::Email | M::Url | M::Path => 0.0,
            M::Place | M::Symbol | M::Topic if !is_list => 3.5,
            _ => 8.0,
        },
        (Source::Labelled(_), _) => 0.0,
        (Source::Shaped(Shape::Email), M::Email)
        | (Source::Shaped(Shape::Url), M::Url)
        | (Source::Shaped(Shape::Path), M::Path)
        | (Source::Expression, M::Expression) => 10.0,
        (Source::Date, M::Date) | (Source::Time, M::Time) | (Source::Time, M::When) => 9.0,
        (Source::Date, M::When) => 8.5,
        (Source::Date, M::Time) | (Source::Time, M::Date) => 2.0,
        (Source::Date | Source::Time | Source::Expression, _) => 0.0,
        (Source::Shaped(Shape::Url), M::Path) | (Source::Shaped(Shape::Path), M::Url) => 4.0,
        (Source::Shaped(_), _) => {
            if leaf.direction == Some(Direction::To) {
                5.0
            } else {
                1.0
            }
        }
        (_, M::Email | M::Url | M::Date | M::Time | M::When) => 0.0,
        (Source::Quoted, M::Text) => 7.0,
        (Source::Quoted, M::Path | M::Place) => 4.0,
        (Source::Quoted, _) => 6.5,
        (Source::LongAfter(word), M::Text) if matches!(word.as_str(), "saying" | "says") => 8.0,
        (Source::LongAfter(word), M::Text) if word == "that" => 5.0,
        (Source::LongAfter(word), M::Text) if word == "to" && !tokens[0].is_proper() => 4.5,
        (_, M::Text | M::Expression) => 0.0,
        (Source::Upper, M::Symbol) => {
            7.0 + f64::from(direction(leaf, clause, candidate.value.start)) / 10.0
        }
        (Source::Unit, M::Symbol) => {
            3.0 + f64::from(direction(leaf, clause, candidate.value.start))
        }
        (Source::Unit, _) => 0.0,
        (Source::After(word), meaning) => after(leaf, word, meaning, short),
        (Source::LongAfter(word), M::Topic) => 0.2 + after(leaf, word, M::Topic, short),
        (Source::LongAfter(_), meaning) if is_list && meaning != M::Symbol => 5.2,
        (Source::LongAfter(_), _) => 0.0,
        (Source::Proper, M::Place) => 4.0,
        (Source::Proper, M::Title) => 1.5,
        // What is left of the clause may say more than the name alone.
        (Source::Proper, M::Topic) if !is_list => 2.9,
        (Source::Proper, _) => 3.0,
        (Source::Upper, _) => 2.9,
    }
}

/// How well what stands behind the preposition `word` fits.
fn after(leaf: &Leaf, word: &str, meaning: Meaning, short: bool) -> f64 {
    let told = match word {
        "from" => Some(Direction::From),
        "to" | "into" | "towards" => Some(Direction::To),
        _ => None,
    };
    match (leaf.direction, told) {
        (Some(wanted), Some(told)) if wanted == told => return 7.5,
        (Some(_), Some(_)) => return 0.0,
        (Some(Direction::From), None) if matches!(word, "in" | "for") => return 1.0,
        _ => {}
    }
    match (meaning, word) {
        (_, "saying" | "says" | "that") => 0.0,
        (Meaning::Symbol, _) => {
            if short {
                3.5
            } else {
                0.0
            }
        }
        (Meaning::Place, "in" | "at" | "near" | "around" | "for" | "of" | "within") => 5.0,
        (Meaning::Place, "to" | "from" | "on") => 4.0,
        (Meaning::Title, "called" | "named" | "titled") => 6.0,
        (Meaning::Title, "for") => 4.0,
        (Meaning::Topic, "about" | "regarding") => 5.5,
        (Meaning::Topic, "for" | "of") => 5.0,
        (Meaning::Topic, "on") => 4.0,
        (Meaning::Topic, "containing" | "using" | "with") => 3.5,
        (Meaning::Path, "in" | "of" | "from" | "under") => 3.5,
        _ => 1.0,
    }
}

/// How well the place `at` fits a parameter that is one of two ends.
pub(super) fn direction(leaf: &Leaf, tokens: &[Token], at: usize) -> i32 {
    let before = at.checked_sub(1).map(|before| &tokens[before]);
    let told = match before {
        Some(token) if token.word == "from" => Some(Direction::From),
        Some(token) if matches!(token.shape, Shape::Number(_)) => Some(Direction::From),
        Some(token) if matches!(token.word.as_str(), "to" | "into" | "in") => Some(Direction::To),
        _ => None,
    };
    match (leaf.direction, told) {
        (Some(wanted), Some(told)) if wanted == told => 3,
        (Some(_), Some(_)) => 0,
        _ => 1,
    }
}
