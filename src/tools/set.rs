//! The tools of a session, as the model is shown them.

use std::borrow::Cow;
use std::collections::HashSet;
use std::sync::{Arc, OnceLock};

use serde_json::Value;
use serde_json::value::RawValue;

use super::ToolType;
use super::names::{Names, wire_form};
use super::quick_check::QuickCheck;
use super::read_result::{self, READ_RESULT};
use crate::conversation::{Approval, Catalogue, Effects, Refusal};
use crate::model::ToolName;
use crate::wire::{Certainty, chat};

/// How many characters of the reason for a refusal the model is told.
const MAX_REASON: usize = 300;

/// How many tools OpenAI, Groq and many others take in one request.
const MOST: usize = 128;

/// The tools a session may call: checked once, then shared by all sessions that use them.
///
/// A tool may have any name. Providers take letters, digits, `_` and `-`, 64 of them at most: a name
/// that fits is shown to the model as it is, any other in a form that does
/// (`math_toolkit.sum_of_multiples` as `math_toolkit_sum_of_multiples`), each in one of its own.
/// Events and reports have the tool's own name, and a call may be written under either.
#[derive(Debug, Default)]
pub struct ToolSet {
    tools: Vec<Arc<Entry>>,
    names: Names,
    /// Those of each tool, in the same order.
    tool_names: Vec<ToolName>,
    on_the_wire: Vec<u8>,
    /// The same tools and the built-in one behind them, once a session has needed it.
    with_reader: OnceLock<Option<Arc<ToolSet>>>,
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
    /// Nobody could write the name.
    #[error("the tool name {name:?} is not allowed: it is empty or has a control character")]
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
    /// Providers would refuse a request with all of them.
    #[error("there are more than {most} tools: `{name}` is one too many")]
    TooMany {
        /// The first tool beyond them.
        name: String,
        /// How many there may be.
        most: usize,
    },
    /// A limit that no call could keep.
    #[error("the {limit} of the tool `{name}` is zero: no call could keep it")]
    Limit {
        /// The tool's name.
        name: String,
        /// Which of its limits.
        limit: &'static str,
    },
    /// A call that does not run would not have its effects.
    #[error("the tool `{name}` has effects, so that it cannot have {what}")]
    Reuse {
        /// The tool's name.
        name: String,
        /// What would have its calls answered without running.
        what: &'static str,
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
    /// Checks names and schemas. There may be 128 tools: many providers take no more.
    ///
    /// # Errors
    /// [`SetError`] names the first tool that cannot be offered; nothing is offered then.
    pub fn new(tools: impl IntoIterator<Item = ToolType>) -> Result<Self, SetError> {
        Self::with_most(tools, MOST)
    }

    /// As [`ToolSet::new`], with `most` in place of 128, for a provider that takes more, such as
    /// Google's 512.
    ///
    /// # Errors
    /// As of [`ToolSet::new`].
    pub fn with_most(
        tools: impl IntoIterator<Item = ToolType>,
        most: usize,
    ) -> Result<Self, SetError> {
        let (mut set, mut seen) = (Self::default(), HashSet::new());
        for tool in tools {
            let name = Arc::clone(&tool.name);
            if set.len() == most {
                return Err(SetError::TooMany { name: name.to_string(), most });
            }
            set.add(tool)?;
            if !seen.insert(Arc::clone(&name)) {
                return Err(SetError::Twice { name: name.to_string() });
            }
        }
        set.name()?;
        Ok(set)
    }

    /// The same tools and `more` behind them, `most` in all.
    ///
    /// # Errors
    /// As of [`ToolSet::new`].
    pub fn and(
        &self,
        more: impl IntoIterator<Item = ToolType>,
        most: usize,
    ) -> Result<Self, SetError> {
        let mut set = Self { tools: self.tools.clone(), ..Self::default() };
        for tool in more {
            let name = Arc::clone(&tool.name);
            if set.len() >= most {
                return Err(SetError::TooMany { name: name.to_string(), most });
            }
            if set.iter().any(|known| known.name == name) {
                return Err(SetError::Twice { name: name.to_string() });
            }
            set.add(tool)?;
        }
        set.name()?;
        Ok(set)
    }

    /// Gives the tools the names they travel under.
    fn name(&mut self) -> Result<(), SetError> {
        let own: Vec<_> = self.iter().map(|tool| Arc::clone(&tool.name)).collect();
        self.names = Names::new(&own);
        let wire = self.names.all_on_the_wire().iter().map(Arc::clone);
        let named = own.into_iter().zip(wire);
        self.tool_names = named.map(|(own, on_the_wire)| ToolName { own, on_the_wire }).collect();
        self.on_the_wire = self.describe(&[])?;
        Ok(())
    }

    /// Says whether there may be the built-in tool that reads large results, besides these: not if a
    /// model that writes its name would mean one of them.
    pub(crate) fn has_room_for_reader(&self) -> bool {
        self.names.find(READ_RESULT).is_none()
    }

    /// The same tools at the same places and, behind them, the one that reads large results; `None` if
    /// one of them has its name. Made once.
    pub(crate) fn with_reader(&self) -> Option<&Arc<ToolSet>> {
        let make = || {
            let mut set = Self { tools: self.tools.clone(), ..Self::default() };
            set.add(read_result::tool_type()).expect("the built-in tool can be offered");
            set.name().expect("the other tools were described when the set was made");
            Arc::new(set)
        };
        self.with_reader.get_or_init(|| self.has_room_for_reader().then(make)).as_ref()
    }

    fn add(&mut self, tool: ToolType) -> Result<(), SetError> {
        let name = Arc::clone(&tool.name);
        if name.is_empty() || name.contains(char::is_control) {
            return Err(SetError::Name { name: name.to_string() });
        }
        if let Some(limit) = tool.limits.impossible() {
            return Err(SetError::Limit { name: name.to_string(), limit });
        }
        if let Some(what) = tool.limits.reuse().filter(|_| tool.effects != Effects::None) {
            return Err(SetError::Reuse { name: name.to_string(), what });
        }
        let wrong = |reason: String| SetError::Schema { name: name.to_string(), reason };
        if tool.parameters.get("type").is_some_and(|kind| kind != "object") {
            return Err(wrong("its `type` is not \"object\"".into()));
        }
        let arguments = jsonschema::validator_for(&tool.parameters)
            .map_err(|error| wrong(error.to_string()))?;
        let quick = QuickCheck::new(&tool.parameters);
        self.tools.push(Arc::new(Entry { tool_type: Arc::new(tool), quick, arguments }));
        Ok(())
    }

    /// The tools on the wire, but for those that `left_out` says of.
    fn describe(&self, left_out: &[bool]) -> Result<Vec<u8>, SetError> {
        let is_left_out = |place: usize| left_out.get(place).copied().unwrap_or_default();
        let entries = self.names.all_on_the_wire().iter().zip(&self.tools).enumerate();
        let entries = entries.filter(|(place, _)| !is_left_out(*place)).map(|(_, named)| named);
        let entries: Vec<(&Arc<str>, &Arc<Entry>)> = entries.collect();
        if entries.is_empty() {
            return Ok(Vec::new());
        }
        let raw = |(_, entry): &(&Arc<str>, &Arc<Entry>)| {
            serde_json::value::to_raw_value(&entry.tool_type.parameters).map_err(|error| {
                SetError::Schema {
                    name: entry.tool_type.name.to_string(),
                    reason: error.to_string(),
                }
            })
        };
        let parameters: Vec<Box<RawValue>> = entries.iter().map(raw).collect::<Result<_, _>>()?;
        let specs = entries.iter().zip(&parameters).map(|((name, entry), parameters)| {
            chat::ToolSpec { name, description: &entry.tool_type.description, parameters }
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

    /// What each tool is called, in the order they were given.
    #[must_use]
    pub fn names(&self) -> &[ToolName] {
        &self.tool_names
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

    /// The place of the tool whose own name is `name`.
    #[must_use]
    pub fn index_of(&self, name: &str) -> Option<usize> {
        let place = self.names.exact(name)?;
        (*self.at(place)?.name == *name).then_some(place)
    }

    /// The tool whose own name is `name`.
    #[must_use]
    pub fn get(&self, name: &str) -> Option<&Arc<ToolType>> {
        self.at(self.index_of(name)?)
    }

    /// The tool at `index`.
    #[must_use]
    pub(crate) fn at(&self, index: usize) -> Option<&Arc<ToolType>> {
        Some(&self.tools.get(index)?.tool_type)
    }
}

impl Catalogue for ToolSet {
    fn check(&self, name: &str, arguments: &str) -> Result<Arc<str>, Refusal> {
        let Some(entry) = self.names.find(name).and_then(|place| self.tools.get(place)) else {
            return Err(Refusal::UnknownTool { known: self.names.all_on_the_wire().to_vec() });
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

    fn approval(&self, tool: &str) -> Approval {
        self.get(tool).map_or(Approval::Never, |tool| tool.declared_approval())
    }

    fn own_name(&self, written: &str) -> Option<Arc<str>> {
        let tool = self.at(self.names.find(written)?)?;
        Some(Arc::clone(&tool.name))
    }

    fn wire_name<'a>(&'a self, written: &'a str) -> Cow<'a, str> {
        match self.names.find(written).and_then(|place| self.names.on_the_wire(place)) {
            Some(name) => Cow::Borrowed(name),
            None => wire_form(written),
        }
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
