//! A tool type: what the model is shown of a tool, its limits, and how to make one.

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use futures_util::future::LocalBoxFuture;
use serde_json::Value;

use super::{CallContext, Error};
use crate::conversation::Effects;

/// The work of one call: the text that answers it, or the tool's own failure.
///
/// It runs on one thread from start to end, so it need not be `Send`. It is dropped when the call
/// is cancelled or its time limit passes.
pub type ToolFuture = LocalBoxFuture<'static, Result<String, Error>>;

/// Something the model can call.
///
/// Most tools are plain async functions: see [`ToolType::typed`]. Implement the trait for a tool
/// with state of its own, such as a connection: each worker makes its own value (see
/// [`ToolType::new`]), and a value that panicked is thrown away and made anew.
pub trait Tool: 'static {
    /// Starts a call. `arguments` is the text of a JSON object that fits the schema.
    ///
    /// Must return at once: whatever waits belongs into the future, and whatever computes for
    /// more than some 50 µs belongs on a thread of its own (`tokio::task::spawn_blocking`).
    /// A panic, here or in the future, is caught and answers this call alone.
    fn call(&self, arguments: &str, context: CallContext) -> ToolFuture;
}

impl<F> Tool for F
where
    F: Fn(&str, CallContext) -> ToolFuture + 'static,
{
    fn call(&self, arguments: &str, context: CallContext) -> ToolFuture {
        self(arguments, context)
    }
}

/// Makes the tool of a new worker, and again each time the worker is rebuilt.
pub type Make = Arc<dyn Fn() -> Box<dyn Tool> + Send + Sync>;

/// A named tool with its description, schema, limits and effects. Cheap to clone.
#[derive(Clone)]
pub struct ToolType {
    pub(super) name: Arc<str>,
    pub(super) description: Arc<str>,
    pub(super) parameters: Value,
    pub(super) effects: Effects,
    pub(super) time_limit: Option<Duration>,
    pub(super) make: Make,
}

impl ToolType {
    /// A tool with the JSON Schema `parameters` for its arguments; `make` makes one for each worker.
    ///
    /// Its effects are taken for [`Effects::Once`] until [`ToolType::effects`] says better.
    pub fn new<T: Tool>(
        name: impl Into<Arc<str>>,
        description: impl Into<Arc<str>>,
        parameters: Value,
        make: impl Fn() -> T + Send + Sync + 'static,
    ) -> Self {
        Self {
            name: name.into(),
            description: description.into(),
            parameters,
            effects: Effects::default(),
            time_limit: None,
            make: Arc::new(move || Box::new(make())),
        }
    }

    /// Says what running the tool twice would do.
    #[must_use]
    pub fn effects(mut self, effects: Effects) -> Self {
        self.effects = effects;
        self
    }

    /// Sets the time limit of one call, waiting included, in place of the session's.
    #[must_use]
    pub fn time_limit(mut self, limit: Duration) -> Self {
        self.time_limit = Some(limit);
        self
    }

    /// Says to the model what the tool is good for, in place of what it was made with.
    #[must_use]
    pub fn with_description(mut self, description: impl Into<Arc<str>>) -> Self {
        self.description = description.into();
        self
    }

    /// Sets another JSON Schema for the arguments.
    #[must_use]
    pub fn with_parameters(mut self, schema: Value) -> Self {
        self.parameters = schema;
        self
    }

    /// The name the model calls.
    #[must_use]
    pub fn name(&self) -> &Arc<str> {
        &self.name
    }

    /// What the model reads to choose.
    #[must_use]
    pub fn description(&self) -> &str {
        &self.description
    }

    /// The JSON Schema of the arguments.
    #[must_use]
    pub fn parameters(&self) -> &Value {
        &self.parameters
    }

    /// What running it twice would do.
    #[must_use]
    pub fn declared_effects(&self) -> Effects {
        self.effects
    }

    /// The time limit of one call, if the tool sets one.
    #[must_use]
    pub fn declared_time_limit(&self) -> Option<Duration> {
        self.time_limit
    }
}

impl fmt::Debug for ToolType {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ToolType")
            .field("name", &self.name)
            .field("effects", &self.effects)
            .field("time_limit", &self.time_limit)
            .finish_non_exhaustive()
    }
}
