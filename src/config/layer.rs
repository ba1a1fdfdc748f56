//! The layers of settings, each a source of the `config` crate whose values remember where they came from.

use std::path::Path;

use ::config::{ConfigError, Map, Value, ValueKind};
use toml::Spanned;
use toml::de::{DeArray, DeTable, DeValue};

use super::error::Error;
use super::origin::Source;

/// Variables with this prefix are settings.
const PREFIX: &str = "CALLSHEET__";

/// The table in `[model]` whose keys are names of headers.
const HEADERS: &str = "extra_headers";

/// The highest index of an array that a key may name.
const MAX_INDEX: usize = 999;

/// One file, one variable or one flag.
#[derive(Clone, Debug)]
pub(super) struct Layer(Map<String, Value>);

impl ::config::Source for Layer {
    fn clone_into_box(&self) -> Box<dyn ::config::Source + Send + Sync> {
        Box::new(self.clone())
    }

    fn collect(&self) -> Result<Map<String, Value>, ConfigError> {
        Ok(self.0.clone())
    }
}

impl Layer {
    /// Reads the settings shipped with the program.
    pub(super) fn defaults(text: &str) -> Result<Layer, Error> {
        read_toml(text, Path::new("config.toml"), |_| Source::Default)
    }

    /// Reads the `text` of the file that the user knows as `path`.
    pub(super) fn file(text: &str, path: &Path) -> Result<Layer, Error> {
        read_toml(text, path, |line| Source::File { path: path.to_owned(), line })
    }

    /// Takes an environment variable; `None` if it is none of ours.
    pub(super) fn variable(name: &str, value: &str) -> Result<Option<Layer>, Error> {
        let Some(levels) = name.strip_prefix(PREFIX) else { return Ok(None) };
        let key = levels.to_ascii_lowercase().replace("__", ".");
        Layer::text(&key, value, &Source::Environment(name.to_owned())).map(Some)
    }

    /// Takes the `key=value` of a flag.
    pub(super) fn flag(assignment: &str) -> Result<Layer, Error> {
        let parts = assignment.split_once('=').filter(|(key, _)| !key.trim().is_empty());
        let Some((key, value)) = parts else {
            return Err(Error::Assignment { text: assignment.to_owned(), expected: "key=value" });
        };
        Layer::text(key.trim(), value, &Source::Set)
    }

    /// Writes the names of headers in small letters: those that differ in nothing else are one header,
    /// and the later layer's counts. Two of them in one table stay as they are, to be told of.
    pub(super) fn with_plain_header_names(self) -> Layer {
        let plain = |(key, mut value): (String, Value)| {
            if let ("model", ValueKind::Table(fields)) = (&*key, &mut value.kind)
                && let Some(ValueKind::Table(headers)) =
                    fields.get_mut(HEADERS).map(|headers| &mut headers.kind)
            {
                *headers = with_plain_names(std::mem::take(headers));
            }
            let rest = key.strip_prefix("model.").and_then(|key| key.strip_prefix(HEADERS));
            match rest {
                Some(name) if name.starts_with('.') => (key.to_ascii_lowercase(), value),
                _ => (key, value),
            }
        };
        Layer(self.0.into_iter().map(plain).collect())
    }

    /// A layer of one setting, given as text. An index out of reach is refused: all below it would be made.
    fn text(key: &str, value: &str, source: &Source) -> Result<Layer, Error> {
        let indices = key.split('[').skip(1).map(|rest| rest.split(']').next().unwrap_or(rest));
        for index in indices {
            if index.parse::<usize>().is_ok_and(|index| index <= MAX_INDEX) {
                continue;
            }
            return Err(Error::Assignment {
                text: key.to_owned(),
                expected: "an index from 0 to 999",
            });
        }
        let origin = Some(source.encode());
        // No setting stands at the top: what is set there is a section, merged with the others, or all tools.
        let section =
            if key.contains(['.', '[']) { None } else { parse_inline(value, origin.as_ref()) };
        let value = section.unwrap_or_else(|| Value::new(origin.as_ref(), value));
        Ok(Layer([(key.to_owned(), value)].into_iter().collect()))
    }
}

/// Writes the names of `fields` in small letters, unless two of them would then be the same.
fn with_plain_names(fields: Map<String, Value>) -> Map<String, Value> {
    let mut names: Vec<_> = fields.keys().map(|name| name.to_ascii_lowercase()).collect();
    names.sort_unstable();
    if names.windows(2).any(|pair| pair[0] == pair[1]) {
        return fields;
    }
    fields.into_iter().map(|(name, value)| (name.to_ascii_lowercase(), value)).collect()
}

/// Reads a table or an array written in one line of TOML or JSON; `None` for anything else.
pub(super) fn parse_inline(text: &str, origin: Option<&String>) -> Option<Value> {
    let text = text.trim();
    if !text.starts_with(['[', '{']) {
        return None;
    }
    let as_toml = || {
        let value = DeValue::parse(text).ok()?;
        Places { source_of: |_: usize| Source::Set, line_starts: Vec::new() }.value(value).ok()
    };
    let value = serde_json::from_str::<Value>(text).ok().or_else(as_toml)?;
    Some(with_origin(value, origin))
}

/// Gives a value and all that is in it the same origin.
fn with_origin(value: Value, origin: Option<&String>) -> Value {
    let kind = match value.kind {
        ValueKind::Table(fields) => {
            let fields = fields.into_iter().map(|(name, field)| (name, with_origin(field, origin)));
            ValueKind::Table(fields.collect())
        }
        ValueKind::Array(items) => {
            ValueKind::Array(items.into_iter().map(|item| with_origin(item, origin)).collect())
        }
        kind => kind,
    };
    Value::new(origin, kind)
}

/// Reads a file of TOML; `source_of` names the source of a line.
fn read_toml(text: &str, path: &Path, source_of: impl Fn(usize) -> Source) -> Result<Layer, Error> {
    let line_starts = text.match_indices('\n').map(|(end, _)| end + 1).collect();
    let places = Places { source_of, line_starts };
    let syntax = |at: usize, message: &str| Error::Syntax {
        path: path.to_owned(),
        line: places.line(at),
        message: message.lines().collect::<Vec<_>>().join(", "),
    };
    let table = DeTable::parse(text)
        .map_err(|error| syntax(error.span().map_or(0, |span| span.start), error.message()))?;
    let table = places.table(table.into_inner()).map_err(|at| syntax(at, "number out of range"))?;
    Ok(Layer(table))
}

/// Turns parsed TOML into values that know their line. The error is where a number is out of range.
struct Places<F> {
    source_of: F,
    line_starts: Vec<usize>,
}

impl<F: Fn(usize) -> Source> Places<F> {
    /// Returns the line of a byte, counted from 1.
    fn line(&self, at: usize) -> usize {
        self.line_starts.partition_point(|start| *start <= at) + 1
    }

    fn table(&self, table: DeTable<'_>) -> Result<Map<String, Value>, usize> {
        let field = |(key, value): (Spanned<_>, Spanned<DeValue<'_>>)| {
            let key: std::borrow::Cow<'_, str> = key.into_inner();
            Ok((key.into_owned(), self.value(value)?))
        };
        table.into_iter().map(field).collect()
    }

    fn array(&self, array: DeArray<'_>) -> Result<Vec<Value>, usize> {
        array.into_iter().map(|value| self.value(value)).collect()
    }

    fn value(&self, value: Spanned<DeValue<'_>>) -> Result<Value, usize> {
        let at = value.span().start;
        let kind = match value.into_inner() {
            DeValue::String(text) => ValueKind::String(text.into_owned()),
            DeValue::Integer(number) => ValueKind::I64(
                i64::from_str_radix(number.as_str(), number.radix()).map_err(|_| at)?,
            ),
            DeValue::Float(number) => ValueKind::Float(number.as_str().parse().map_err(|_| at)?),
            DeValue::Boolean(flag) => ValueKind::Boolean(flag),
            DeValue::Datetime(moment) => ValueKind::String(moment.to_string()),
            DeValue::Array(items) => ValueKind::Array(self.array(items)?),
            DeValue::Table(table) => ValueKind::Table(self.table(table)?),
        };
        Ok(Value::new(Some(&(self.source_of)(self.line(at)).encode()), kind))
    }
}
