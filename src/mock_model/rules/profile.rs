//! A tool by its words, and how well a clause fits them.

use super::super::json::Json;
use super::super::request::Function;
use super::synonyms;
use super::token::{Shape, Token};
use super::words::{self, stem};

/// A tool on offer, prepared for comparing.
pub(super) struct Profile<'a> {
    pub function: &'a Function,
    pub parameters: Json,
    /// Each stem with its weight.
    words: Vec<(String, f64)>,
    /// Stems of the name that are not verbs for everything.
    name: Vec<String>,
}

/// A synonym is worth less than the word itself.
const SYNONYM: f64 = 0.7;

impl<'a> Profile<'a> {
    pub fn new(function: &'a Function) -> Self {
        let parameters = function.parameters.clone().unwrap_or(Json::Object(Vec::new()));
        let name = words::of_name(&function.name);
        let mut profile =
            Self { function, parameters: parameters.clone(), words: Vec::new(), name: Vec::new() };
        for word in &name {
            profile.learn(word, if words::is_verb(word) { 1.0 } else { 3.0 });
        }
        profile.name =
            name.iter().filter(|word| !words::is_verb(word)).map(|word| stem(word)).collect();
        for word in words::of_text(&function.description) {
            profile.learn(&word, if words::is_verb(&word) { 0.3 } else { 1.0 });
        }
        for leaf in super::schema::leaves(&parameters) {
            for name in leaf.path.iter().flat_map(|name| words::of_name(name)) {
                profile.learn(&name, 1.0);
            }
            for hint in &leaf.hints {
                profile.learn(hint, 0.5);
            }
            for value in leaf.schema.get("enum").map_or(&[][..], Json::items) {
                for word in words::of_name(value.as_str().unwrap_or_default()) {
                    profile.learn(&word, 1.5);
                }
            }
        }
        profile
    }

    fn learn(&mut self, word: &str, weight: f64) {
        if words::is_stop(word) || words::is_preposition(word) {
            return;
        }
        let stem = stem(word);
        match self.words.iter_mut().find(|(known, _)| *known == stem) {
            Some((_, known)) => *known = known.max(weight),
            None => self.words.push((stem, weight)),
        }
    }

    /// Says whether `token` is a word of the tool's name.
    pub fn is_named_by(&self, token: &Token) -> bool {
        token.shape != Shape::Quoted && self.name.contains(&token.stem)
    }

    /// Says whether `token` is a word of the tool's name or description.
    pub fn is_told_by(&self, token: &Token) -> bool {
        token.shape != Shape::Quoted
            && self.words.iter().any(|(stem, weight)| *stem == token.stem && *weight >= 0.9)
    }

    /// What a word is worth, with what it matched.
    fn worth(&self, stem: &str) -> Option<(&str, f64)> {
        let direct = self.words.iter().find(|(known, _)| known == stem);
        let direct = direct.map(|(known, weight)| (known.as_str(), *weight));
        let similar = self
            .words
            .iter()
            .filter(|(known, _)| synonyms::same(known, stem))
            .map(|(known, weight)| (known.as_str(), weight * SYNONYM));
        direct.into_iter().chain(similar).max_by(|left, right| left.1.total_cmp(&right.1))
    }

    /// How well `clause` fits the tool: by itself, and with words that fit many of `all` counting
    /// less.
    pub fn fit(&self, clause: &[Token], all: &[Profile<'_>]) -> (f64, f64) {
        let mut seen: Vec<String> = Vec::new();
        let (mut raw, mut ranked) = (0.0, 0.0);
        for stem in stems(clause) {
            if seen.contains(&stem) {
                continue;
            }
            if let Some((known, worth)) = self.worth(&stem) {
                let sharing = all
                    .iter()
                    .filter(|other| {
                        other.words.iter().any(|(stem, weight)| stem == known && *weight >= 0.9)
                    })
                    .count()
                    .max(1);
                raw += worth;
                ranked += worth / sharing as f64;
            }
            seen.push(stem);
        }
        (raw, ranked)
    }
}

/// The stems of a clause that carry meaning, and words for what other tokens look like.
fn stems(clause: &[Token]) -> Vec<String> {
    let mut stems: Vec<String> = Vec::new();
    for token in clause {
        let looks_like = match token.shape {
            Shape::Quoted => continue,
            Shape::Math => "calculate",
            Shape::Number(_) if token.text.ends_with('%') => "calculate",
            Shape::Number(_) | Shape::Date | Shape::Time => continue,
            Shape::Email => "email",
            Shape::Url => "url",
            Shape::Path => "file",
            Shape::Plain | Shape::Capital | Shape::Upper => {
                if !token.is_stop() && !token.is_preposition() {
                    stems.push(token.stem.clone());
                }
                continue;
            }
        };
        stems.push(stem(looks_like));
    }
    stems
}
