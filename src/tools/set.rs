//! The tools of a session, as the model is shown them.

use std::collections::HashMap;
use std::sync::Arc;

use serde_json::Value;
use serde_json::value::RawValue;

use super::ToolType;
use super::quick_check::QuickCheck;
use crate::conversation::{Catalogue, Effects, Refusal};
use crate::wire::{Certainty, chat};

/// How many characters of the reason for a refusal the model is told.
const MAX_REASON: usize = 300;

/// So few names are found faster one by one than by their hash.
const FEW: usize = 8;

/// The tools a session may call: checked once, then shared by all sessions that use them.
#[derive(Debug, Default)]
pub struct ToolSet {
    tools: Vec<Entry>,
    by_name: HashMap<Arc<str>, usize>,
    on_the_wire: Vec<u8>,
}

#[derive(Debug)]
struct Entry {
    tool_type: Arc<ToolType>,
    quick: Option<QuickCheck>,
    arguments: jsonschema::Validator,
}

/// Why tools cannot be offered together.
#[derive(Debug, thiserror::Error)]
pub enum SetError {
    /// The name would be refused by providers.
    #[error(
        "the tool name `{name}` is not allowed: a name has 1 to 64 letters, digits, `_` or `-`"
    )]
    Name {
        /// As it was given.
        name: String,
    },
    /// The model could not tell them apart.
    #[error("two tools are named `{name}`")]
    Twice {
        /// As it was given.
        name: String,
    },
    /// A limit that no call could keep.
    #[error("the {limit} of the tool `{name}` is zero: no call could keep it")]
    Limit {
        /// The tool's name.
        name: String,
        /// Which of its limits.
        limit: &'static str,
    },
    /// The parameters are no JSON Schema of an object.
    #[error("the parameters of the tool `{name}` are not a JSON Schema of an object: {reason}")]
    Schema {
        /// The tool's name.
        name: String,
        /// What is wrong with it.
        reason: String,
    },
}

impl ToolSet {
    /// Checks names and schemas.
    ///
    /// # Errors
    /// [`SetError`] names the first tool that cannot be offered; nothing is offered then.
    pub fn new(tools: impl IntoIterator<Item = ToolType>) -> Result<Self, SetError> {
        let mut set = Self::default();
        for tool in tools {
            set.add(tool)?;
        }
        set.on_the_wire = set.describe(&[])?;
        Ok(set)
    }

    fn add(&mut self, tool: ToolType) -> Result<(), SetError> {
        let name = Arc::clone(&tool.name);
        if !is_allowed(&name) {
            return Err(SetError::Name { name: name.to_string() });
        }
        if let Some(limit) = tool.limits.impossible() {
            return Err(SetError::Limit { name: name.to_string(), limit });
        }
        let wrong = |reason: String| SetError::Schema { name: name.to_string(), reason };
        if tool.parameters.get("type").is_some_and(|kind| kind != "object") {
            return Err(wrong("its `type` is not \"object\"".into()));
        }
        let arguments = jsonschema::validator_for(&tool.parameters)
            .map_err(|error| wrong(error.to_string()))?;
        if self.by_name.insert(Arc::clone(&name), self.tools.len()).is_some() {
            return Err(SetError::Twice { name: name.to_string() });
        }
        let quick = QuickCheck::new(&tool.parameters);
        self.tools.push(Entry { tool_type: Arc::new(tool), quick, arguments });
        Ok(())
    }

    /// The tools on the wire, but for those that `left_out` says of.
    fn describe(&self, left_out: &[bool]) -> Result<Vec<u8>, SetError> {
        let is_left_out = |place: usize| left_out.get(place).copied().unwrap_or_default();
        let entries = self.tools.iter().enumerate();
        let entries = entries.filter(|(place, _)| !is_left_out(*place)).map(|(_, entry)| entry);
        let entries: Vec<&Entry> = entries.collect();
        if entries.is_empty() {
            return Ok(Vec::new());
        }
        let raw = |entry: &&Entry| {
            serde_json::value::to_raw_value(&entry.tool_type.parameters).map_err(|error| {
                SetError::Schema {
                    name: entry.tool_type.name.to_string(),
                    reason: error.to_string(),
                }
            })
        };
        let parameters: Vec<Box<RawValue>> = entries.iter().map(raw).collect::<Result<_, _>>()?;
        let specs = entries.iter().zip(&parameters).map(|(entry, parameters)| chat::ToolSpec {
            name: &entry.tool_type.name,
            description: &entry.tool_type.description,
            parameters,
        });
        let mut out = Vec::new();
        chat::write_tools(&mut out, specs);
        Ok(out)
    }

    /// The JSON array of the tools in a request; empty when there are none.
    #[must_use]
    pub fn on_the_wire(&self) -> &[u8] {
        &self.on_the_wire
    }

    /// As [`ToolSet::on_the_wire`], without the tools at the places that `left_out` says of.
    pub(crate) fn without(&self, left_out: &[bool]) -> Vec<u8> {
        self.describe(left_out).expect("they were described when the set was made")
    }

    /// The tools, in the order they were given.
    pub fn iter(&self) -> impl ExactSizeIterator<Item = &Arc<ToolType>> {
        self.tools.iter().map(|entry| &entry.tool_type)
    }

    /// How many tools there are.
    #[must_use]
    pub fn len(&self) -> usize {
        self.tools.len()
    }

    /// Says whether there are none.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.tools.is_empty()
    }

    /// The place of the tool `name`.
    #[must_use]
    pub fn index_of(&self, name: &str) -> Option<usize> {
        if self.tools.len() <= FEW {
            return self.iter().position(|tool| *tool.name == *name);
        }
        self.by_name.get(name).copied()
    }

    /// The tool `name`.
    #[must_use]
    pub fn get(&self, name: &str) -> Option<&Arc<ToolType>> {
        Some(&self.tools.get(self.index_of(name)?)?.tool_type)
    }

    /// The tool at `index`.
    #[must_use]
    pub(crate) fn at(&self, index: usize) -> Option<&Arc<ToolType>> {
        Some(&self.tools.get(index)?.tool_type)
    }
}

impl Catalogue for ToolSet {
    fn check(&self, name: &str, arguments: &str) -> Result<Arc<str>, Refusal> {
        let Some(entry) = self.index_of(name).and_then(|index| self.tools.get(index)) else {
            let known = self.iter().map(|tool| Arc::clone(&tool.name)).collect();
            return Err(Refusal::UnknownTool { known });
        };
        let name = Arc::clone(&entry.tool_type.name);
        if entry.quick.as_ref().is_some_and(|quick| quick.surely_fits(arguments)) {
            return Ok(name);
        }
        let bad = |message: String| Refusal::BadArguments { message: cut(message) };
        let value: Value =
            serde_json::from_str(arguments).map_err(|error| bad(error.to_string()))?;
        entry.arguments.validate(&value).map_err(|error| {
            let place = error.instance_path().to_string();
            bad(if place.is_empty() { error.to_string() } else { format!("{place}: {error}") })
        })?;
        Ok(name)
    }

    fn begins(&self, tool: &str) -> Option<Certainty> {
        self.get(tool).and_then(|tool| tool.begins())
    }

    fn effects(&self, tool: &str) -> Effects {
        self.get(tool).map_or(Effects::Once, |tool| tool.declared_effects())
    }
}

/// A validator repeats the value that it refuses, which may be a megabyte.
fn cut(mut message: String) -> String {
    if let Some((end, _)) = message.char_indices().nth(MAX_REASON) {
        message.truncate(end);
        message.push('…');
    }
    message
}

/// The rule of Chat Completions for the names of functions.
fn is_allowed(name: &str) -> bool {
    (1..=64).contains(&name.len())
        && name.bytes().all(|byte| byte.is_ascii_alphanumeric() || matches!(byte, b'_' | b'-'))
}
