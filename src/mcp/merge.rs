//! All tools together: those that stay, and those that the servers list at the moment.

use std::collections::HashSet;
use std::sync::Arc;

use serde_json::Value;
use tokio::time::Instant;

use super::call::ServerTool;
use super::door::Door;
use super::hints::judge;
use super::listing::Listed;
use super::server::{News, Server};
use super::{Choice, ServerSettings, ToolTerms};
use crate::tools::{Blame, Origin, ToolSet, ToolType, Trip};

/// The tools so far.
pub(super) struct Merge {
    fixed: Vec<ToolType>,
    parts: Vec<Part>,
    choice: Choice,
}

/// Those of one server.
struct Part {
    settings: ServerSettings,
    door: Door,
    tools: Vec<(Listed, ToolType)>,
}

/// A tool that is not offered, and why, in a line.
pub(super) type Refused = (String, String);

impl Merge {
    pub fn new(fixed: Vec<ToolType>, servers: &[Arc<Server>], choice: Choice) -> Self {
        let part = |server: &Arc<Server>| Part {
            settings: server.settings.clone(),
            door: server.door(),
            tools: Vec::new(),
        };
        Self { fixed, parts: servers.iter().map(part).collect(), choice }
    }

    /// Takes in news of the server at `place`. If its tools are others than before, what it lists and
    /// cannot be offered comes back.
    pub fn take_in(&mut self, place: usize, news: News) -> Option<Vec<Refused>> {
        let part = self.parts.get_mut(place)?;
        match news {
            News::Tools(listed) => {
                let before = std::mem::take(&mut part.tools);
                let refused = part.take(listed, &before);
                for (_, tool) in &part.tools {
                    tool.shared().on_server_back(); // Who lists its tools is there.
                }
                let is_same =
                    |(one, other): (&(_, ToolType), &(_, ToolType))| one.1.is_same(&other.1);
                let unchanged =
                    before.len() == part.tools.len() && before.iter().zip(&part.tools).all(is_same);
                (!unchanged || !refused.is_empty()).then_some(refused)
            }
            News::Failed => None,
            News::Down(why, rest) => {
                for (_, tool) in &part.tools {
                    let cause = format!("its server is down: {why}").into();
                    let trip = Trip { cause, cool_down: rest, blame: Blame::Server };
                    tool.shared().on_block(Instant::now(), trip);
                }
                None
            }
        }
    }

    /// All of them: the fixed ones, then those of each server, in the order of the settings. What
    /// cannot be offered besides those before it comes back.
    pub fn all(&self) -> (Arc<ToolSet>, Vec<Refused>) {
        let mut names: HashSet<&str> = self.fixed.iter().map(|tool| &**tool.name()).collect();
        let (mut tools, mut refused) = (self.fixed.clone(), Vec::new());
        let Choice { only, most } = &self.choice;
        let most = most.unwrap_or(usize::MAX);
        for (_, tool) in self.parts.iter().flat_map(|part| &part.tools) {
            let name = tool.name();
            if only.as_ref().is_some_and(|only| !only.contains(&**name)) {
                continue;
            }
            if !names.insert(name) {
                refused.push((name.to_string(), "another tool has its name".to_owned()));
            } else if tools.len() >= most {
                let why = format!("one request may list {most} tools, and there are so many");
                refused.push((name.to_string(), why));
            } else {
                tools.push(tool.clone());
            }
        }
        let set = ToolSet::with_most(tools, usize::MAX).unwrap_or_default();
        (Arc::new(set), refused)
    }
}

impl Part {
    fn take(
        &mut self,
        listed: Vec<Result<Listed, Refused>>,
        before: &[(Listed, ToolType)],
    ) -> Vec<Refused> {
        let (mut seen, mut refused) = (HashSet::new(), Vec::new());
        let full_name = |name: &str| format!("{}__{name}", self.settings.name);
        let mut beyond = 0;
        for listed in listed {
            let tool = match listed {
                Ok(tool) if !self.settings.offers(&tool.name) => continue,
                Ok(tool) => tool,
                Err((name, _)) if !self.settings.offers(&name) => continue,
                Err((name, why)) => {
                    refused.push((full_name(&name), why));
                    continue;
                }
            };
            let name = full_name(&tool.name);
            if !seen.insert(tool.name.clone()) {
                refused.push((name, "its server lists two of this name".to_owned()));
                continue;
            }
            if self.tools.len() == self.settings.max_tools {
                beyond += 1;
                continue;
            }
            // One that is the same as before keeps its workers, its limits and its health.
            if let Some(known) = before.iter().find(|(known, _)| *known == tool) {
                self.tools.push(known.clone());
                continue;
            }
            let made = tool_type(&self.settings, &self.door, &tool, name.clone());
            match ToolSet::new([made.clone()]) {
                Ok(_) => self.tools.push((tool, made)),
                Err(error) => refused.push((name, error.to_string())),
            }
        }
        if beyond > 0 {
            let most = self.settings.max_tools;
            let why = format!("{beyond} tools beyond the first {most}; choose with `allow`");
            refused.push((full_name("*"), why));
        }
        refused
    }
}

fn tool_type(settings: &ServerSettings, door: &Door, listed: &Listed, name: String) -> ToolType {
    let nothing = ToolTerms::default();
    let own = settings.tool_terms.get(&listed.name).unwrap_or(&nothing);
    let (effects, approval) = judge(listed.hints.as_ref(), settings.trusted, own, &settings.terms);
    let terms = own.or(&settings.terms);
    let (its_name, door): (Arc<str>, Door) = (listed.name.as_str().into(), door.clone());
    let make = move || ServerTool { name: Arc::clone(&its_name), door: door.clone() };
    let schema = Value::Object(listed.schema.clone());
    let origin = Origin { kind: "mcp", server: Some(settings.name.as_str().into()) };
    let mut tool = ToolType::new(name, listed.description.as_str(), schema, make)
        .effects(effects)
        .approval(approval)
        .with_origin(origin)
        .retries(terms.retries.unwrap_or_default());
    if let Some(limit) = terms.time_limit {
        tool = tool.time_limit(limit);
    }
    if let Some(limit) = terms.silence_limit {
        tool = tool.silence_limit(limit);
    }
    match terms.max_concurrency {
        Some(calls) => tool.max_concurrency(calls),
        None => tool,
    }
}
