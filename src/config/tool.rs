//! The settings of one tool: an entry of `[[tools]]`.

use std::time::Duration;

use serde_json::Value as Json;

use super::choice::ToolKind;
use super::error::Error;
use super::kind;
use super::reader::Section;
use crate::conversation::Effects;

/// A tool that is offered to the model.
#[derive(Clone, Debug, PartialEq)]
pub struct Tool {
    /// The name the model calls it by: 1 to 64 letters, digits, `_` and `-`; unique.
    pub name: String,
    /// What runs its calls.
    pub kind: ToolKind,
    /// What the model is told; `None` = the tool's own words.
    pub description: Option<String>,
    /// The JSON schema of its arguments, an object; `None` = the tool's own.
    pub parameters: Option<Json>,
    /// What running a call twice would do.
    pub effects: Effects,
    /// The limit of one call; `None` = [`Turn::call_time_limit`](super::Turn::call_time_limit).
    pub time_limit: Option<Duration>,
    /// How a demo tool behaves.
    pub simulate: Simulate,
}

/// How long the calls of a demo tool take, and what goes wrong with them. The default: nothing.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Simulate {
    /// What every call takes.
    pub latency: Duration,
    /// The most that chance adds to it.
    pub jitter: Duration,
    /// The share of calls that answer with an error, 0 to 1.
    pub error_rate: f64,
    /// The share of calls that panic, 0 to 1.
    pub panic_rate: f64,
    /// The share of calls that never answer, 0 to 1.
    pub hang_rate: f64,
    /// The number of the call that panics, counted from 1.
    pub crash_after: Option<u64>,
    /// Makes chance repeatable.
    pub seed: Option<u64>,
}

impl Tool {
    /// Reads `[[tools]]`.
    pub(super) fn read_all(root: &mut Section<'_>) -> Result<Vec<Tool>, Error> {
        let mut places: Vec<(String, String)> = Vec::new();
        root.tables("tools", |section| {
            let tool = Tool::read(section)?;
            let place = section.place("name");
            if let Some((name, first)) = places.iter().find(|(name, _)| *name == tool.name) {
                let (name, first) = (name.clone(), first.clone());
                return Err(Error::DuplicateTool { name, first, second: place });
            }
            places.push((tool.name.clone(), place));
            Ok(tool)
        })
    }

    fn read(section: &mut Section<'_>) -> Result<Tool, Error> {
        Ok(Tool {
            name: section.required("name", kind::tool_name)?,
            kind: section.or("kind", kind::choice, ToolKind::Demo)?,
            description: section.optional("description", kind::string)?,
            parameters: section.optional("parameters", kind::schema)?,
            effects: section.or("effects", kind::choice, Effects::None)?,
            time_limit: section.optional("time_limit_ms", kind::time_limit)?,
            simulate: section.table("simulate", Simulate::read)?,
        })
    }
}

impl Simulate {
    fn read(section: &mut Section<'_>) -> Result<Simulate, Error> {
        Ok(Simulate {
            latency: section.optional("latency_ms", kind::millis)?.unwrap_or_default(),
            jitter: section.optional("jitter_ms", kind::millis)?.unwrap_or_default(),
            error_rate: section.optional("error_rate", kind::rate)?.unwrap_or_default(),
            panic_rate: section.optional("panic_rate", kind::rate)?.unwrap_or_default(),
            hang_rate: section.optional("hang_rate", kind::rate)?.unwrap_or_default(),
            crash_after: section.optional("crash_after", kind::whole(1..=u64::MAX))?,
            seed: section.optional("seed", kind::whole(0..=u64::MAX))?,
        })
    }
}
