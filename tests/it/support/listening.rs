//! A scripted model that also notes which tools it is offered.

use std::sync::{Arc, Mutex};

use callsheet::model::{Events, Model, Request};
use callsheet::testing::{Scripted, ScriptedModel};
use serde_json::Value;

/// Says what its script says, and keeps the names in each request's list of tools.
pub struct Listening {
    pub script: Arc<ScriptedModel>,
    offers: Mutex<Vec<Vec<String>>>,
}

impl Listening {
    pub fn new(script: impl IntoIterator<Item = Scripted>) -> Arc<Self> {
        Arc::new(Self { script: ScriptedModel::new(script), offers: Mutex::default() })
    }

    /// The names of the tools in each request, in order.
    pub fn offers(&self) -> Vec<Vec<String>> {
        self.offers.lock().expect("nobody panics with it").clone()
    }
}

impl Model for Listening {
    fn name(&self) -> &str {
        self.script.name()
    }

    fn ask(&self, request: Request<'_>) -> Events {
        self.offers.lock().expect("nobody panics with it").push(names(request.tools));
        self.script.ask(request)
    }
}

/// The names in a request's list of tools.
pub fn names(tools: &[u8]) -> Vec<String> {
    if tools.is_empty() {
        return Vec::new();
    }
    let tools: Vec<Value> = serde_json::from_slice(tools).expect("a list of tools is JSON");
    let name = |tool: &Value| tool["function"]["name"].as_str().expect("each has one").to_owned();
    tools.iter().map(name).collect()
}

/// Says whether every provider takes `name` for a function's.
pub fn is_taken_by_all(name: &str) -> bool {
    let is_allowed = |byte: u8| byte.is_ascii_alphanumeric() || byte == b'_' || byte == b'-';
    (1..=64).contains(&name.len()) && name.bytes().all(is_allowed)
}
