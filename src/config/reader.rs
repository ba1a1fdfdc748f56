//! Reads merged settings by key. What it is asked for is what is known; what is left over is an error.

use ::config::{Map, Value, ValueKind};

use super::error::Error;
use super::kind::{Input, Notation, Parsed, described};
use super::origin::{Row, Source};
use super::secret::MASK;

/// The merged settings, and what was read of them so far.
#[derive(Default)]
pub(super) struct Reader {
    rows: Vec<Row>,
    known: Vec<String>,
    unknown: Vec<(String, Source)>,
}

impl Reader {
    /// Reads the whole tree with `read`.
    ///
    /// # Errors
    /// Whatever `read` answers, else [`Error::UnknownKey`] for the first key it did not ask for.
    pub(super) fn read<T>(
        root: Map<String, Value>,
        read: impl FnOnce(&mut Section<'_>) -> Result<T, Error>,
    ) -> Result<(T, Vec<Row>), Error> {
        let mut reader = Reader::default();
        let settings = reader.section(String::new(), Source::Default, root, read)?;
        reader.unknown.sort_by(|(left, _), (right, _)| left.cmp(right));
        match reader.unknown.into_iter().next() {
            Some((key, origin)) => {
                let known = reader.known.iter().map(String::as_str);
                let nearest = nearest(&key, known).unwrap_or_default().to_owned();
                Err(Error::UnknownKey { key, origin, nearest })
            }
            None => Ok((settings, reader.rows)),
        }
    }

    /// Reads one table with `read`, then notes the keys that are left.
    fn section<T>(
        &mut self,
        path: String,
        origin: Source,
        fields: Map<String, Value>,
        read: impl FnOnce(&mut Section<'_>) -> Result<T, Error>,
    ) -> Result<T, Error> {
        let mut section = Section { reader: self, path, origin, fields };
        let settings = read(&mut section)?;
        let Section { path, origin, fields, .. } = section;
        for (name, value) in fields {
            self.note_unknown(join(&path, &name), &origin, value);
        }
        Ok(settings)
    }

    /// Reads `value`, which must be a table, with `read`.
    fn table_value<T>(
        &mut self,
        key: String,
        origin: Source,
        value: Value,
        read: impl FnOnce(&mut Section<'_>) -> Result<T, Error>,
    ) -> Result<T, Error> {
        match (Input { value: &value, is_text: origin.is_text() }).structured().kind {
            ValueKind::Table(fields) => self.section(key, origin, fields, read),
            _ => {
                let expected = "a table".to_owned();
                Err(Error::Value { key, origin, expected, found: described(&value) })
            }
        }
    }

    /// Notes the keys of an unknown table one by one: `modle.name` is nearer to what was meant than `modle`.
    fn note_unknown(&mut self, key: String, outer: &Source, value: Value) {
        let origin = source_of(&value, outer);
        match value.kind {
            ValueKind::Table(fields) if !fields.is_empty() => {
                for (name, value) in fields {
                    self.note_unknown(join(&key, &name), &origin, value);
                }
            }
            _ => self.unknown.push((key, origin)),
        }
    }
}

/// One table of the settings. Reading a key takes it out.
pub(super) struct Section<'r> {
    reader: &'r mut Reader,
    path: String,
    origin: Source,
    fields: Map<String, Value>,
}

impl Section<'_> {
    /// Reads a key that must be there.
    pub(super) fn required<T: Notation>(
        &mut self,
        name: &str,
        parse: impl FnOnce(&Input<'_>) -> Parsed<T>,
    ) -> Result<T, Error> {
        let missing = Error::Missing { key: join(&self.path, name), origin: self.origin.clone() };
        self.optional(name, parse)?.ok_or(missing)
    }

    /// Reads a key that may be left out.
    pub(super) fn optional<T: Notation>(
        &mut self,
        name: &str,
        parse: impl FnOnce(&Input<'_>) -> Parsed<T>,
    ) -> Result<Option<T>, Error> {
        let Some((key, origin, value)) = self.take(name) else { return Ok(None) };
        match parse(&Input { value: &value, is_text: origin.is_text() }) {
            Ok(setting) => {
                self.reader.rows.push(Row { key, value: setting.notation(), source: origin });
                Ok(Some(setting))
            }
            Err(expected) => {
                // A key is often pasted where the name of its variable belongs; headers may hold one.
                // So may what is handed on to programs and endpoints.
                let may_hold = ["args", "argv", "env", "query"].contains(&name);
                let is_secret = may_hold || name.ends_with("_env") || name.ends_with("headers");
                let found = if is_secret { MASK.to_owned() } else { described(&value) };
                Err(Error::Value { key, origin, expected, found })
            }
        }
    }

    /// Reads a key that has a default of its own.
    pub(super) fn or<T: Notation>(
        &mut self,
        name: &str,
        parse: impl FnOnce(&Input<'_>) -> Parsed<T>,
        default: T,
    ) -> Result<T, Error> {
        if let Some(setting) = self.optional(name, parse)? {
            return Ok(setting);
        }
        let key = join(&self.path, name);
        self.reader.rows.push(Row { key, value: default.notation(), source: Source::Default });
        Ok(default)
    }

    /// Reads a table with `read`; one that is not there is read as an empty one.
    pub(super) fn table<T>(
        &mut self,
        name: &str,
        read: impl FnOnce(&mut Section<'_>) -> Result<T, Error>,
    ) -> Result<T, Error> {
        let (key, origin, value) = self.take(name).unwrap_or_else(|| {
            let empty = Value::new(None, ValueKind::Table(Map::new()));
            (join(&self.path, name), self.origin.clone(), empty)
        });
        self.reader.table_value(key, origin, value, read)
    }

    /// Reads a table with `read`, if it is there.
    pub(super) fn optional_table<T>(
        &mut self,
        name: &str,
        read: impl FnOnce(&mut Section<'_>) -> Result<T, Error>,
    ) -> Result<Option<T>, Error> {
        let Some((key, origin, value)) = self.take(name) else { return Ok(None) };
        self.reader.table_value(key, origin, value, read).map(Some)
    }

    /// Reads an array of tables with `read`.
    pub(super) fn tables<T>(
        &mut self,
        name: &str,
        mut read: impl FnMut(&mut Section<'_>) -> Result<T, Error>,
    ) -> Result<Vec<T>, Error> {
        let Some((key, origin, value)) = self.take(name) else { return Ok(Vec::new()) };
        let structured = Input { value: &value, is_text: origin.is_text() }.structured();
        let ValueKind::Array(items) = structured.kind else {
            let expected = format!("an array of tables, [[{name}]]");
            return Err(Error::Value { key, origin, expected, found: described(&value) });
        };
        let each = items.into_iter().enumerate().map(|(index, value)| {
            let key = format!("{key}[{index}]");
            let origin = source_of(&value, &origin);
            self.reader.table_value(key, origin, value, &mut read)
        });
        each.collect()
    }

    /// Makes the error for a value that was read but does not fit another one.
    pub(super) fn misfit(&self, name: &str, expected: String) -> Error {
        let Row { key, value, source } = self.row(name);
        Error::Value { key, origin: source, expected, found: value }
    }

    /// Says which key was read, and where its value came from.
    pub(super) fn place(&self, name: &str) -> String {
        let Row { key, source, .. } = self.row(name);
        format!("`{key}` in {source}")
    }

    /// Says which table this is, and where it came from.
    pub(super) fn own_place(&self) -> String {
        format!("`{}` in {}", self.path, self.origin)
    }

    /// Returns the row of a key that was read.
    fn row(&self, name: &str) -> Row {
        let key = join(&self.path, name);
        let row = self.reader.rows.iter().rfind(|row| row.key == key).cloned();
        row.unwrap_or_else(|| Row { key, value: "nothing".to_owned(), source: self.origin.clone() })
    }

    /// Takes a key out, and remembers that it is known.
    fn take(&mut self, name: &str) -> Option<(String, Source, Value)> {
        let key = join(&self.path, name);
        self.reader.known.push(key.clone());
        let value = self.fields.remove(name)?;
        let origin = source_of(&value, &self.origin);
        Some((key, origin, value))
    }
}

/// Returns where a value came from. A table that was merged does not know: one of its fields, the first by
/// name, tells. What knows nothing at all came with what is round it.
fn source_of(value: &Value, outer: &Source) -> Source {
    let own = value.origin().and_then(Source::decode);
    own.unwrap_or_else(|| match &value.kind {
        ValueKind::Table(fields) => {
            let first = fields.iter().min_by_key(|(name, _)| *name);
            first.map_or_else(|| outer.clone(), |(_, field)| source_of(field, outer))
        }
        _ => outer.clone(),
    })
}

/// Writes a key with its levels.
fn join(path: &str, name: &str) -> String {
    if path.is_empty() { name.to_owned() } else { format!("{path}.{name}") }
}

/// Finds the known name with the fewest letters to change, the first of several.
pub(super) fn nearest<'a>(name: &str, known: impl Iterator<Item = &'a str>) -> Option<&'a str> {
    known.min_by_key(|known| strsim::damerau_levenshtein(name, known))
}
