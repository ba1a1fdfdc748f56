//! What a tool's JSON Schema asks for: its parameters, flat, with a guess at what each one means.

use super::super::json::Json;
use super::words::{self, stem};

/// What lies deeper is not filled: a schema may hold itself.
pub(super) const MAX_DEPTH: usize = 4;

/// A parameter that holds a value of its own, perhaps inside of objects.
#[derive(Clone, Debug)]
pub(super) struct Leaf {
    /// Member names from the top.
    pub path: Vec<String>,
    pub schema: Json,
    /// It and every object round it is required.
    pub required: bool,
    /// Stems of its name.
    pub name: Vec<String>,
    /// Stems of its description.
    pub hints: Vec<String>,
    pub meaning: Meaning,
    pub direction: Option<Direction>,
}

/// What a string parameter is about.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Meaning {
    Email,
    Url,
    Path,
    Date,
    Time,
    /// A date or a time.
    When,
    Expression,
    /// A ticker, a currency: short and fixed.
    Symbol,
    Place,
    /// A name or a heading.
    Title,
    /// Running text.
    Text,
    /// Whatever is asked about.
    Topic,
}

/// One of the two ends that something goes between.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Direction {
    From,
    To,
}

/// The JSON type to produce.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Kind {
    String,
    Integer,
    Number,
    Boolean,
    List,
    Object,
    Null,
}

/// Each meaning with words of names that tell it, the more telling first.
const MEANINGS: &[(Meaning, &str)] = &[
    (Meaning::Email, "email mail"),
    (Meaning::Url, "url uri link website"),
    (Meaning::Path, "path file filename directory folder filepath"),
    (
        Meaning::Place,
        "timezone city location place town country region origin destination address room airport area state district near",
    ),
    (Meaning::Date, "date day deadline due birthday"),
    (Meaning::Time, "time hour clock"),
    (Meaning::When, "when at schedule"),
    (Meaning::Expression, "expression formula equation calculation"),
    (Meaning::Symbol, "ticker symbol currency code isin"),
    (
        Meaning::Title,
        "title name subject label heading recipient person customer user assignee contact artist author",
    ),
    (Meaning::Topic, "query topic keyword keywords search term question word food genre q"),
    (Meaning::Text, "text content body message note description comment prompt sentence"),
];

/// Marks a resolved schema that had null among its alternatives, as OpenAPI does.
const NULLABLE: &str = "nullable";

/// The parameters of the schema `root`, the required ones first, in the order it names them.
pub(super) fn leaves(root: &Json) -> Vec<Leaf> {
    let mut leaves = Vec::new();
    collect(root, root, &[], true, &mut leaves);
    leaves
}

fn collect(root: &Json, schema: &Json, path: &[String], required: bool, leaves: &mut Vec<Leaf>) {
    for (name, must, schema) in properties(root, schema) {
        let path: Vec<String> = path.iter().cloned().chain([name.clone()]).collect();
        let required = required && must;
        if kind(&schema) == Kind::Object && schema.get("properties").is_some() {
            if path.len() < MAX_DEPTH {
                collect(root, &schema, &path, required, leaves);
            }
            continue;
        }
        let name: Vec<String> = words::of_name(&name).iter().map(|word| stem(word)).collect();
        let said = [schema.get("title"), schema.get("description")];
        let said = said.into_iter().flatten().filter_map(Json::as_str);
        let hints: Vec<String> = said
            .flat_map(words::of_text)
            .filter(|word| !words::is_stop(word))
            .map(|word| stem(&word))
            .collect();
        let meaning = meaning(&name, &hints, &schema);
        let direction = direction(&name, &hints);
        leaves.push(Leaf { path, schema, required, name, hints, meaning, direction });
    }
}

/// Name, whether it is required, and schema of each property of an object's schema, the required
/// ones first.
pub(super) fn properties(root: &Json, schema: &Json) -> Vec<(String, bool, Json)> {
    let required: Vec<&str> = schema
        .get("required")
        .map_or(&[][..], Json::items)
        .iter()
        .filter_map(Json::as_str)
        .collect();
    let rank = |name: &str| required.iter().position(|must| *must == name);
    let declared = schema.get("properties").map_or(&[][..], Json::members);
    let mut properties: Vec<(String, bool, Json)> = declared
        .iter()
        .map(|(name, schema)| (name.clone(), rank(name).is_some(), resolved(root, schema)))
        .collect();
    // A required name without a schema takes anything.
    let undeclared = required.iter().filter(|must| declared.iter().all(|(name, _)| name != *must));
    properties.extend(undeclared.map(|name| ((*name).to_owned(), true, Json::Object(Vec::new()))));
    properties.sort_by_key(|(name, _, _)| rank(name).unwrap_or(usize::MAX));
    properties
}

/// Says whether null fits a resolved schema.
pub(super) fn is_nullable(schema: &Json) -> bool {
    let listed = schema.get("type").map_or(&[][..], Json::items);
    schema.get(NULLABLE).is_some() || listed.iter().any(|name| name.as_str() == Some("null"))
}

/// `schema` without references and alternatives: the first alternative that is not null is taken,
/// and what stands beside it is kept.
pub(super) fn resolved(root: &Json, schema: &Json) -> Json {
    let mut schema = schema.clone();
    for _ in 0..MAX_DEPTH {
        let target = match schema.get("$ref").and_then(Json::as_str) {
            Some(reference) => reference.strip_prefix('#').and_then(|path| pointer(root, path)),
            None => ["anyOf", "oneOf", "allOf"].iter().find_map(|key| schema.get(key)).and_then(
                |choices| choices.items().iter().find(|choice| kind(choice) != Kind::Null),
            ),
        };
        let Some(target) = target.cloned() else { break };
        let kept = schema.members().iter().filter(|(key, _)| {
            !matches!(key.as_str(), "$ref" | "anyOf" | "oneOf" | "allOf")
                && target.get(key).is_none()
        });
        let null = Json::Text("null".to_owned());
        let is_null = |choice: &Json| choice.get("type") == Some(&null);
        let choices = ["anyOf", "oneOf"].iter().filter_map(|key| schema.get(key));
        let nullable = choices.flat_map(Json::items).any(is_null);
        let mark = nullable.then(|| (NULLABLE.to_owned(), Json::Bool(true)));
        let members = target.members().iter().chain(kept).cloned().chain(mark).collect();
        schema = Json::Object(members);
    }
    schema
}

fn pointer<'a>(root: &'a Json, path: &str) -> Option<&'a Json> {
    path.split('/')
        .skip(1)
        .try_fold(root, |json, key| json.get(&key.replace("~1", "/").replace("~0", "~")))
}

/// The type a schema asks for; a string where it does not say.
pub(super) fn kind(schema: &Json) -> Kind {
    let named = |name: &str| match name {
        "integer" => Kind::Integer,
        "number" => Kind::Number,
        "boolean" => Kind::Boolean,
        "array" => Kind::List,
        "object" => Kind::Object,
        "null" => Kind::Null,
        _ => Kind::String,
    };
    match schema.get("type") {
        Some(Json::Text(name)) => named(name),
        Some(Json::List(names)) => names
            .iter()
            .filter_map(Json::as_str)
            .map(named)
            .find(|kind| *kind != Kind::Null)
            .unwrap_or(Kind::Null),
        _ if schema.get("properties").is_some() => Kind::Object,
        _ if schema.get("items").is_some() => Kind::List,
        _ => Kind::String,
    }
}

fn meaning(name: &[String], hints: &[String], schema: &Json) -> Meaning {
    match schema.get("format").and_then(Json::as_str) {
        Some("email") => return Meaning::Email,
        Some("uri" | "url" | "uri-reference") => return Meaning::Url,
        Some("date") => return Meaning::Date,
        Some("time") => return Meaning::Time,
        Some("date-time") => return Meaning::When,
        _ => {}
    }
    let told_by = |stems: &[String]| {
        MEANINGS
            .iter()
            .find(|(_, words)| words.split(' ').any(|word| stems.contains(&stem(word))))
            .map(|(meaning, _)| *meaning)
    };
    // A name that says nothing itself leaves it to the description.
    let addressed = ["recipient", "to", "cc"].iter().any(|word| name.contains(&stem(word)));
    if addressed && hints.iter().any(|hint| hint == "email") {
        return Meaning::Email;
    }
    told_by(name).or_else(|| told_by(hints)).unwrap_or(Meaning::Topic)
}

fn direction(name: &[String], hints: &[String]) -> Option<Direction> {
    let told_by = |stems: &[String]| {
        let has = |words: &str| words.split(' ').any(|word| stems.contains(&stem(word)));
        if has("from origin source departure base start") {
            Some(Direction::From)
        } else if has("to target destination arrival end into recipient") {
            Some(Direction::To)
        } else {
            None
        }
    };
    told_by(name).or_else(|| told_by(hints).filter(|_| name.len() == 1))
}
