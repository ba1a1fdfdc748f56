//! Tools as clients are shown them.

use std::sync::Arc;

use rmcp::model::{JsonObject, Tool, ToolAnnotations};
use serde_json::Value;

use crate::conversation::Effects;
use crate::tools::{ToolSet, ToolType};

/// All of `tools`, under the names that a model would see.
pub(super) fn listing(tools: &ToolSet) -> Vec<Tool> {
    let named = tools.iter().zip(tools.names());
    named.map(|(tool, name)| described(tool, &name.on_the_wire)).collect()
}

fn described(tool: &ToolType, name: &str) -> Tool {
    let described =
        Tool::new(name.to_owned(), tool.description().to_owned(), schema(tool.parameters()));
    described.with_annotations(hints(tool.declared_effects()))
}

/// The protocol wants the type that goes without saying here.
fn schema(parameters: &Value) -> Arc<JsonObject> {
    let mut schema = parameters.as_object().cloned().unwrap_or_default();
    schema.entry("type").or_insert_with(|| "object".into());
    Arc::new(schema)
}

/// What is not said is taken for the worst: a tool that changes things, and may destroy some. That a
/// tool is idempotent under the same key does not make it so under the same arguments, which is what
/// the protocol's hint means: each call of a client has a key of its own.
fn hints(effects: Effects) -> ToolAnnotations {
    ToolAnnotations::new().read_only(effects == Effects::None)
}
