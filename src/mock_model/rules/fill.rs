//! Fills a tool's parameters from a clause, so that the arguments fit the tool's schema.

use std::ops::Range;

use super::super::json::Json;
use super::candidates::{self, Candidate, Clause};
use super::fitting::{self, Fitting};
use super::leftover::leftover;
use super::profile::Profile;
use super::schema::{self, Kind, Leaf, Meaning};
use super::token::{Pause, Shape, Token};
use super::words::{self, stem};
use super::{score, synonyms};

/// The arguments of a call, and where they came from.
#[derive(Clone, Debug)]
pub(super) struct Filled {
    pub arguments: Json,
    /// The parameters, by the name at the top, that were needed and not found.
    pub missing: Vec<String>,
    /// How many parameters were found.
    pub found: usize,
    /// How many of them are only what was left of the clause.
    pub guessed: usize,
    /// How many numbers of the clause fit no parameter.
    pub idle_numbers: usize,
    /// The tokens of each value found, with what the value is about.
    pub values: Vec<(Range<usize>, Meaning)>,
    /// Says whether a list was filled or is needed.
    pub takes_list: bool,
}

/// Fills the parameters of `tool` from `tokens`.
pub(super) fn fill(tool: &Profile<'_>, tokens: &[Token]) -> Filled {
    let leaves = schema::leaves(&tool.parameters);
    let mut work = Work {
        tool,
        tokens,
        taken: vec![false; tokens.len()],
        found: vec![None; leaves.len()],
        values: Vec::new(),
        guessed: 0,
        idle_numbers: 0,
        leaves,
    };
    work.enums();
    work.booleans();
    work.numbers();
    work.strings();
    work.idle_numbers = work.count_idle_numbers();
    work.leftovers();
    work.finish()
}

struct Work<'a> {
    tool: &'a Profile<'a>,
    tokens: &'a [Token],
    taken: Vec<bool>,
    leaves: Vec<Leaf>,
    /// For each leaf.
    found: Vec<Option<Json>>,
    values: Vec<(Range<usize>, Meaning)>,
    guessed: usize,
    idle_numbers: usize,
}

impl Work<'_> {
    fn take(&mut self, leaf: usize, value: Json, tokens: Range<usize>, covers: Range<usize>) {
        self.found[leaf] = Some(value);
        self.values.push((tokens, self.leaves[leaf].meaning));
        self.taken[covers].fill(true);
    }

    fn open(&self, wanted: impl Fn(&Leaf) -> bool) -> Vec<usize> {
        let open = |&leaf: &usize| self.found[leaf].is_none() && wanted(&self.leaves[leaf]);
        (0..self.leaves.len()).filter(open).collect()
    }

    /// Values that the schema lists and the clause mentions.
    fn enums(&mut self) {
        loop {
            let mut best: Option<(i32, usize, Json, Range<usize>)> = None;
            for leaf in self.open(|leaf| leaf.schema.get("enum").is_some()) {
                for value in self.leaves[leaf].schema.get("enum").map_or(&[][..], Json::items) {
                    let Some(text) = value.as_str() else { continue };
                    for at in 0..self.tokens.len() {
                        let Some(range) = self.mention(text, at) else { continue };
                        let score = score::direction(&self.leaves[leaf], self.tokens, range.start);
                        if best.as_ref().is_none_or(|(top, ..)| score > *top) {
                            best = Some((score, leaf, value.clone(), range));
                        }
                    }
                }
            }
            let Some((_, leaf, value, range)) = best else { break };
            let mut covers = range.clone();
            if covers.start > 0 && self.tokens[covers.start - 1].is_preposition() {
                covers.start -= 1;
            }
            self.take(leaf, value, range, covers);
        }
        for leaf in
            self.open(|leaf| kind_of_items(leaf).is_some_and(|items| items.get("enum").is_some()))
        {
            let choices =
                kind_of_items(&self.leaves[leaf]).and_then(|items| items.get("enum").cloned());
            let mut mentioned: Vec<(Range<usize>, Json)> = Vec::new();
            for value in choices.as_ref().map_or(&[][..], Json::items) {
                let text = value.as_str().unwrap_or_default();
                let range = (0..self.tokens.len()).find_map(|at| self.mention(text, at));
                mentioned.extend(range.map(|range| (range, value.clone())));
            }
            mentioned.sort_by_key(|(range, _)| range.start);
            let (Some((first, _)), Some((last, _))) = (mentioned.first(), mentioned.last()) else {
                continue;
            };
            let range = first.start..last.end;
            let values = mentioned.into_iter().map(|(_, value)| value).collect();
            self.take(leaf, Json::List(values), range.clone(), range);
        }
    }

    /// The free tokens from `at` on that say `text`.
    fn mention(&self, text: &str, at: usize) -> Option<Range<usize>> {
        let wanted = words::of_name(text);
        let range = at..at + wanted.len();
        let tokens = self.tokens.get(range.clone())?;
        let free = !wanted.is_empty() && range.clone().all(|at| !self.taken[at]);
        let said = wanted.iter().zip(tokens).all(|(word, token)| {
            token.shape != Shape::Quoted
                && (stem(word) == token.stem
                    || synonyms::same_code(word, &token.word)
                    || synonyms::same_code(word, &token.stem))
        });
        (free && said).then_some(range)
    }

    fn booleans(&mut self) {
        for leaf in self.open(|leaf| schema::kind(&leaf.schema) == Kind::Boolean) {
            let says = |words: &'static [&str]| {
                self.tokens.iter().position(move |token| words.contains(&token.word.as_str()))
            };
            let named = |token: &Token| {
                self.leaves[leaf].name.contains(&token.stem) && !token.is_preposition()
            };
            let name = self.tokens.iter().position(named);
            let no = says(&[
                "off",
                "disable",
                "without",
                "not",
                "don't",
                "no",
                "false",
                "disabled",
                "deactivate",
            ]);
            let switch = self.leaves[leaf].required || name.is_some();
            let yes = says(&["on", "enable", "true", "yes", "enabled", "activate"]).or(name);
            let (value, at) = match (no, yes) {
                (Some(at), _) if switch => (false, at),
                (None, Some(at)) if switch => (true, at),
                _ => continue,
            };
            self.found[leaf] = Some(Json::Bool(value));
            self.taken[at] = true;
        }
    }

    fn numbers(&mut self) {
        let is_number =
            |leaf: &Leaf| matches!(schema::kind(&leaf.schema), Kind::Integer | Kind::Number);
        loop {
            let mut best: Option<(i32, usize, usize, f64)> = None;
            for leaf in self.open(is_number) {
                for (at, token) in self.tokens.iter().enumerate() {
                    let Shape::Number(value) = token.shape else { continue };
                    let score = i32::from(self.is_beside(leaf, at)) * 3
                        + i32::from(self.leaves[leaf].required);
                    if !self.taken[at]
                        && score > 0
                        && best.as_ref().is_none_or(|(top, ..)| score > *top)
                    {
                        best = Some((score, leaf, at, value));
                    }
                }
            }
            let Some((_, leaf, at, value)) = best else { break };
            let value = fitting::number(&self.leaves[leaf].schema, value);
            self.take(leaf, value, at..at + 1, at..at + 1);
        }
        for leaf in self.open(|leaf| {
            kind_of_items(leaf)
                .is_some_and(|items| matches!(schema::kind(items), Kind::Integer | Kind::Number))
        }) {
            let Some(items) = kind_of_items(&self.leaves[leaf]).cloned() else { continue };
            let free =
                |at: &usize| !self.taken[*at] && matches!(self.tokens[*at].shape, Shape::Number(_));
            let places: Vec<usize> = (0..self.tokens.len()).filter(free).collect();
            let value = |&at: &usize| match self.tokens[at].shape {
                Shape::Number(value) => fitting::number(&items, value),
                _ => Json::Null,
            };
            let values: Vec<Json> = places.iter().map(value).collect();
            if let (Some(&first), Some(&last)) = (places.first(), places.last()) {
                self.take(leaf, Json::List(values), first..last + 1, first..last + 1);
            }
        }
    }

    /// Says whether a word of the parameter stands close to the token at `at`.
    fn is_beside(&self, leaf: usize, at: usize) -> bool {
        let leaf = &self.leaves[leaf];
        let counts = ["quantity", "count", "number", "amount", "limit", "copies"];
        let counts = counts.iter().any(|word| leaf.name.contains(&stem(word)));
        let thing = |token: &Token| token.shape == Shape::Plain && !token.is_preposition();
        if counts && self.tokens.get(at + 1).is_some_and(thing) {
            return true;
        }
        let near = at.saturating_sub(2)..(at + 3).min(self.tokens.len());
        let of_leaf = |stem: &String| leaf.name.contains(stem) || leaf.hints.contains(stem);
        self.tokens[near].iter().any(|token| {
            !token.is_stop()
                && !token.is_preposition()
                && (of_leaf(&token.stem)
                    || leaf.name.iter().any(|name| synonyms::same(name, &token.stem)))
        })
    }

    /// Strings and lists of strings, the best fit first.
    fn strings(&mut self) {
        loop {
            let open = self.open(is_string);
            let names_tool = |token: &Token| self.tool.is_named_by(token);
            let clause =
                Clause { tokens: self.tokens, taken: &self.taken, names_tool: &names_tool };
            let mut best: Option<(f64, usize, Candidate)> = None;
            for candidate in candidates::all(&clause, &self.leaves) {
                for &leaf in &open {
                    let score = score::of(leaf, &self.leaves[leaf], self.tokens, &candidate);
                    let enough = if self.leaves[leaf].required { 3.0 } else { 4.0 };
                    if score >= enough && best.as_ref().is_none_or(|(top, ..)| score > *top) {
                        best = Some((score, leaf, candidate.clone()));
                    }
                }
            }
            let Some((_, leaf, candidate)) = best else { return };
            let value = self.value(leaf, &candidate.value);
            self.take(leaf, value, candidate.value, candidate.covers);
        }
    }

    fn count_idle_numbers(&self) -> usize {
        let number = |token: &Token| matches!(token.shape, Shape::Number(_));
        self.tokens
            .iter()
            .zip(&self.taken)
            .filter(|(token, taken)| !**taken && number(token))
            .count()
    }

    /// What is left of the clause, for the required strings that found nothing better.
    fn leftovers(&mut self) {
        for leaf in self.open(|leaf| leaf.required && is_string(leaf)) {
            if matches!(
                self.leaves[leaf].meaning,
                Meaning::Date | Meaning::Time | Meaning::When | Meaning::Email | Meaning::Url
            ) {
                continue;
            }
            let Some(range) = leftover(self.tool, self.tokens, &self.taken, &self.leaves[leaf])
            else {
                continue;
            };
            let value = self.value(leaf, &range);
            self.take(leaf, value, range.clone(), range);
            self.guessed += 1;
        }
    }

    /// The tokens of `range` as the value of a parameter.
    fn value(&self, leaf: usize, range: &Range<usize>) -> Json {
        let leaf = &self.leaves[leaf];
        if schema::kind(&leaf.schema) != Kind::List {
            return Json::Text(text(&self.tokens[range.clone()], leaf.meaning));
        }
        let mut items: Vec<Json> = Vec::new();
        let mut start = range.start;
        for at in range.clone() {
            let joins = self.tokens[at].is_conjunction();
            let ends = joins || self.tokens[at].pause != Pause::None || at + 1 == range.end;
            if !ends {
                continue;
            }
            let end = if joins { at } else { at + 1 };
            while start < end
                && (self.tokens[start].is_stop() || self.tokens[start].is_preposition())
            {
                start += 1;
            }
            if start < end {
                items.push(Json::Text(text(&self.tokens[start..end], leaf.meaning)));
            }
            start = at + 1;
        }
        Json::List(items)
    }

    /// Puts the arguments together; what is required and was not found gets a value that fits.
    fn finish(self) -> Filled {
        let found = self.found.iter().flatten().count();
        let missing = self.leaves.iter().zip(&self.found);
        let missing = missing.filter(|(leaf, found)| {
            leaf.required && found.is_none() && leaf.schema.get("default").is_none()
        });
        let takes_list = self.leaves.iter().zip(&self.found).any(|(leaf, found)| {
            schema::kind(&leaf.schema) == Kind::List && (leaf.required || found.is_some())
        });
        let missing = missing.map(|(leaf, _)| leaf.path[0].clone()).collect();
        let said = text(self.tokens, Meaning::Text);
        let fitting = Fitting { root: &self.tool.parameters, text: said };
        let arguments = self.object(&fitting, fitting.root, &mut Vec::new());
        Filled {
            arguments,
            missing,
            found,
            guessed: self.guessed,
            idle_numbers: self.idle_numbers,
            values: self.values,
            takes_list,
        }
    }

    fn object(&self, fitting: &Fitting<'_>, schema: &Json, path: &mut Vec<String>) -> Json {
        let mut members = Vec::new();
        for (name, required, schema) in schema::properties(&self.tool.parameters, schema) {
            path.push(name.clone());
            let leaf = self.leaves.iter().position(|leaf| leaf.path == *path);
            let inside = self.leaves.iter().zip(&self.found);
            let inside = inside
                .filter(|(leaf, found)| found.is_some() && leaf.path.starts_with(path))
                .count();
            let value = match leaf.map(|leaf| &self.found[leaf]) {
                Some(Some(Json::List(items))) => Some(fitting.list(&schema, items.clone())),
                Some(Some(value)) => Some(value.clone()),
                Some(None) if required => Some(fitting.stopgap(&schema)),
                None if inside > 0 => Some(self.object(fitting, &schema, path)),
                None if required => Some(fitting.stopgap(&schema)),
                _ => None,
            };
            path.pop();
            members.extend(value.map(|value| (name, value)));
        }
        Json::Object(members)
    }
}

fn is_string(leaf: &Leaf) -> bool {
    let schema = kind_of_items(leaf).unwrap_or(&leaf.schema);
    let strings = schema::kind(schema) == Kind::String
        && schema.get("enum").is_none()
        && schema.get("const").is_none();
    strings && (kind_of_items(leaf).is_some() || schema::kind(&leaf.schema) == Kind::String)
}

/// The schema of a list's items.
fn kind_of_items(leaf: &Leaf) -> Option<&Json> {
    (schema::kind(&leaf.schema) == Kind::List).then(|| leaf.schema.get("items")).flatten()
}

/// The tokens as one text, the punctuation between them kept.
fn text(tokens: &[Token], meaning: Meaning) -> String {
    let last = tokens.len().saturating_sub(1);
    let mut text = String::new();
    for (at, token) in tokens.iter().enumerate() {
        if at > 0 {
            text.push(' ');
        }
        let whole = meaning == Meaning::Expression || (at < last && token.shape != Shape::Quoted);
        text.push_str(if whole { &token.outer } else { &token.text });
    }
    text.trim_end_matches([',', '.', '?', '!', ';', ':']).to_owned()
}
