//! Fills a tool's parameters from a clause, so that the arguments fit the tool's schema.

use std::ops::Range;

use super::super::json::Json;
use super::candidates::{self, Candidate, Clause, Source};
use super::profile::Profile;
use super::schema::{self, Direction, Kind, Leaf, Meaning};
use super::synonyms;
use super::token::{Pause, Shape, Token};
use super::words::{self, stem};

/// The arguments of a call, and where they came from.
#[derive(Clone, Debug)]
pub(super) struct Filled {
    pub arguments: Json,
    /// The parameters, by the name at the top, that were needed and not found.
    pub missing: Vec<String>,
    /// How many required and how many optional parameters were found.
    pub found: (usize, usize),
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
        leaves,
    };
    work.enums();
    work.booleans();
    work.numbers();
    work.strings();
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
                        let score = self.direction_score(&self.leaves[leaf], range.start);
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

    /// How well the place `at` fits a parameter that is one of two ends.
    fn direction_score(&self, leaf: &Leaf, at: usize) -> i32 {
        let before = at.checked_sub(1).map(|before| &self.tokens[before]);
        let told = match before {
            Some(token) if token.word == "from" => Some(Direction::From),
            Some(token) if matches!(token.shape, Shape::Number(_)) => Some(Direction::From),
            Some(token) if matches!(token.word.as_str(), "to" | "into" | "in") => {
                Some(Direction::To)
            }
            _ => None,
        };
        match (leaf.direction, told) {
            (Some(wanted), Some(told)) if wanted == told => 3,
            (Some(_), Some(_)) => 0,
            _ => 1,
        }
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
            let value = fitting_number(&self.leaves[leaf].schema, value);
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
                Shape::Number(value) => fitting_number(&items, value),
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
                    let score = self.score(leaf, &candidate);
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

    /// How well `candidate` fits a parameter; 3 is enough for a required one.
    fn score(&self, leaf: usize, candidate: &Candidate) -> f64 {
        use Meaning as M;
        let index = leaf;
        let leaf = &self.leaves[leaf];
        let tokens = &self.tokens[candidate.value.clone()];
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
                7.0 + f64::from(self.direction_score(leaf, candidate.value.start)) / 10.0
            }
            (Source::Unit, M::Symbol) => {
                3.0 + f64::from(self.direction_score(leaf, candidate.value.start))
            }
            (Source::Unit, _) => 0.0,
            (Source::After(word), meaning) => self.after_score(leaf, word, meaning, short),
            (Source::LongAfter(word), M::Topic) => {
                0.2 + self.after_score(leaf, word, M::Topic, short)
            }
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

    fn after_score(&self, leaf: &Leaf, word: &str, meaning: Meaning, short: bool) -> f64 {
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

    /// What is left of the clause, for the required strings that found nothing better.
    fn leftovers(&mut self) {
        for leaf in self.open(|leaf| leaf.required && is_string(leaf)) {
            if matches!(
                self.leaves[leaf].meaning,
                Meaning::Date | Meaning::Time | Meaning::When | Meaning::Email | Meaning::Url
            ) {
                continue;
            }
            let Some(range) = self.leftover(&self.leaves[leaf]) else { continue };
            let value = self.value(leaf, &range);
            self.take(leaf, value, range.clone(), range);
        }
    }

    /// The longest run of free tokens, without the words round it that only ask.
    fn leftover(&self, leaf: &Leaf) -> Option<Range<usize>> {
        let meaning = leaf.meaning;
        let over_commas = meaning == Meaning::Text || schema::kind(&leaf.schema) == Kind::List;
        let pause = if over_commas { Pause::Sentence } else { Pause::Comma };
        let mut best: Option<Range<usize>> = None;
        let mut start = 0;
        for end in 0..=self.tokens.len() {
            let run_ends = end == self.tokens.len() || self.taken[end];
            let paused = end > start && self.tokens[end - 1].pause >= pause;
            if !run_ends && !paused {
                continue;
            }
            let range = self.without_edges(start..end, meaning);
            if !range.is_empty() && best.as_ref().is_none_or(|best| range.len() > best.len()) {
                best = Some(range);
            }
            start = if run_ends { end + 1 } else { end };
        }
        best
    }

    fn without_edges(&self, mut range: Range<usize>, meaning: Meaning) -> Range<usize> {
        let asks = |token: &Token| {
            token.shape != Shape::Quoted
                && (token.is_stop() || token.is_preposition() || token.is_conjunction())
        };
        let verb = |token: &Token| token.shape != Shape::Quoted && words::is_verb(&token.word);
        let works = |token: &Token| verb(token) || self.tool.is_told_by(token);
        let opening =
            self.tokens[range.clone()].iter().take_while(|token| asks(token) || works(token));
        let opening: Vec<&Token> = opening.collect();
        // Running text may itself begin with such words: `translate thank you`.
        let last_work = opening.iter().rposition(|token| works(token));
        range.start += match last_work.filter(|_| meaning == Meaning::Text) {
            Some(at) => at + 1,
            None => opening.len(),
        };
        while let Some(last) =
            range.end.checked_sub(1).map(|at| &self.tokens[at]).filter(|_| !range.is_empty())
        {
            let spare = last.is_preposition() || last.is_conjunction() || last.word == "please";
            let more = meaning != Meaning::Text
                && (asks(last)
                    || self.tool.is_named_by(last)
                    || words::is_tail(&last.word)
                    || candidates::is_moment(last));
            if !(spare || more) {
                break;
            }
            range.end -= 1;
        }
        range
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
        let required = |leaf: &&usize| self.leaves[**leaf].required;
        let found: Vec<usize> =
            (0..self.leaves.len()).filter(|&leaf| self.found[leaf].is_some()).collect();
        let found_required = found.iter().filter(required).count();
        let missing = self.leaves.iter().zip(&self.found);
        let missing = missing.filter(|(leaf, found)| {
            leaf.required && found.is_none() && leaf.schema.get("default").is_none()
        });
        let takes_list = self.leaves.iter().zip(&self.found).any(|(leaf, found)| {
            schema::kind(&leaf.schema) == Kind::List && (leaf.required || found.is_some())
        });
        let missing = missing.map(|(leaf, _)| leaf.path[0].clone()).collect();
        let arguments = self.object(&self.tool.parameters, &mut Vec::new());
        Filled {
            arguments,
            missing,
            found: (found_required, found.len() - found_required),
            values: self.values,
            takes_list,
        }
    }

    fn object(&self, schema: &Json, path: &mut Vec<String>) -> Json {
        let mut members = Vec::new();
        for (name, required, schema) in schema::properties(&self.tool.parameters, schema) {
            path.push(name.clone());
            let leaf = self.leaves.iter().position(|leaf| leaf.path == *path);
            let inside = self.leaves.iter().zip(&self.found);
            let inside = inside
                .filter(|(leaf, found)| found.is_some() && leaf.path.starts_with(path))
                .count();
            let value = match leaf.map(|leaf| &self.found[leaf]) {
                Some(Some(value)) => Some(value.clone()),
                Some(None) if required => Some(self.stopgap(&schema)),
                None if required || inside > 0 => Some(self.object(&schema, path)),
                _ => None,
            };
            path.pop();
            members.extend(value.map(|value| (name, value)));
        }
        Json::Object(members)
    }

    /// A value that fits `schema` when the clause says nothing.
    fn stopgap(&self, schema: &Json) -> Json {
        let given = schema.get("default").or(schema.get("const"));
        if let Some(value) =
            given.or_else(|| schema.get("enum").and_then(|choices| choices.items().first()))
        {
            return value.clone();
        }
        match schema::kind(schema) {
            Kind::Integer | Kind::Number => fitting_number(schema, 0.0),
            Kind::Boolean => Json::Bool(false),
            Kind::Null => Json::Null,
            Kind::Object => Json::Object(Vec::new()),
            Kind::List => {
                let least = schema.get("minItems").and_then(Json::as_f64).unwrap_or(0.0) as usize;
                let any = Json::Object(Vec::new());
                let items =
                    schema::resolved(&self.tool.parameters, schema.get("items").unwrap_or(&any));
                Json::List((0..least.min(16)).map(|_| self.stopgap(&items)).collect())
            }
            Kind::String => Json::Text(text(self.tokens, Meaning::Text)),
        }
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

fn fitting_number(schema: &Json, value: f64) -> Json {
    let bound = |key: &str| schema.get(key).and_then(Json::as_f64);
    let low = bound("minimum").or(bound("exclusiveMinimum").map(|low| low + 1.0));
    let high = bound("maximum").or(bound("exclusiveMaximum").map(|high| high - 1.0));
    let value = value.max(low.unwrap_or(f64::MIN)).min(high.unwrap_or(f64::MAX));
    Json::number(if schema::kind(schema) == Kind::Integer { value.round() } else { value })
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
