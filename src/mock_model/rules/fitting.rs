//! Values made to fit a schema.

use super::super::json::Json;
use super::schema::{self, Kind, MAX_DEPTH};

/// More items than this are never made up.
const MAX_MADE_UP: usize = 16;

/// Values made to fit the parts of one schema.
pub(super) struct Fitting<'a> {
    /// The whole schema, which references point into.
    pub root: &'a Json,
    /// What a string is made of.
    pub text: String,
}

impl Fitting<'_> {
    /// A value that fits `schema` when the clause says nothing.
    pub fn stopgap(&self, schema: &Json) -> Json {
        self.made_up(schema, 0)
    }

    /// `items` as a list that fits `schema`: filled up or cut to its length.
    pub fn list(&self, schema: &Json, items: Vec<Json>) -> Json {
        self.filled_up(schema, items, 0)
    }

    fn made_up(&self, schema: &Json, depth: usize) -> Json {
        let given = schema.get("default").or(schema.get("const"));
        let choice = schema.get("enum").and_then(|choices| choices.items().first());
        if let Some(value) = given.or(choice) {
            return value.clone();
        }
        if schema::is_nullable(schema) {
            return Json::Null;
        }
        match schema::kind(schema) {
            Kind::Integer | Kind::Number => number(schema, 0.0),
            Kind::Boolean => Json::Bool(false),
            Kind::Null => Json::Null,
            Kind::String => Json::Text(self.text.clone()),
            Kind::List => self.filled_up(schema, Vec::new(), depth),
            Kind::Object => {
                let members = schema::properties(self.root, schema).into_iter();
                let required = members.filter(|(_, required, _)| *required && depth < MAX_DEPTH);
                let made_up = |(name, _, schema)| (name, self.made_up(&schema, depth + 1));
                Json::Object(required.map(made_up).collect())
            }
        }
    }

    fn filled_up(&self, schema: &Json, mut items: Vec<Json>, depth: usize) -> Json {
        let bound = |key: &str| schema.get(key).and_then(Json::as_f64).map(|bound| bound as usize);
        let any = Json::Object(Vec::new());
        let item = schema::resolved(self.root, schema.get("items").unwrap_or(&any));
        let least = bound("minItems").unwrap_or(0).min(MAX_MADE_UP);
        while items.len() < least && depth < MAX_DEPTH {
            items.push(self.made_up(&item, depth + 1));
        }
        items.truncate(bound("maxItems").unwrap_or(usize::MAX));
        Json::List(items)
    }
}

/// `value` as a number that fits `schema`.
pub(super) fn number(schema: &Json, value: f64) -> Json {
    let bound = |key: &str| schema.get(key).and_then(Json::as_f64);
    let low = bound("minimum").or(bound("exclusiveMinimum").map(|low| low + 1.0));
    let high = bound("maximum").or(bound("exclusiveMaximum").map(|high| high - 1.0));
    let value = value.max(low.unwrap_or(f64::MIN)).min(high.unwrap_or(f64::MAX));
    Json::number(if schema::kind(schema) == Kind::Integer { value.round() } else { value })
}
