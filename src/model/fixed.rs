//! A model that asks for calls that were decided beforehand: tools without a model run through the
//! same workers, guard and report.

use std::sync::Arc;

use futures_util::{StreamExt, stream};

use super::{Event, Events, Model, Request};
use crate::wire::{Arguments, Call, Extra, Finish, Reply};

/// Asks for the same calls on every first question, and has nothing to say about the results.
#[derive(Debug)]
pub(crate) struct FixedModel {
    calls: Vec<Call>,
}

impl FixedModel {
    /// Asks for `count` calls of `tool`, each with `arguments`.
    pub fn new(count: u32, tool: &str, arguments: &Arguments) -> Arc<Self> {
        let call = |n| Call {
            id: format!("call_{n}").into(),
            name: tool.to_owned(),
            arguments: arguments.clone(),
            extra: Extra::default(),
            function_extra: Extra::default(),
        };
        Arc::new(Self { calls: (1..=count).map(call).collect() })
    }
}

impl Model for FixedModel {
    fn name(&self) -> &str {
        "none"
    }

    fn ask(&self, request: Request<'_>) -> Events {
        let calls = match answers_follow(request.messages) {
            true => Vec::new(),
            false => self.calls.clone(),
        };
        let finish = if calls.is_empty() { Finish::Stop } else { Finish::ToolCalls };
        let reply = Reply {
            text: String::new(),
            reasoning: String::new(),
            calls,
            finish,
            truncated: false,
            usage: None,
            model: None,
            id: None,
            extra: Extra::default(),
        };
        stream::iter([Ok(Event::Reply(Box::new(reply)))]).boxed_local()
    }
}

/// The history is one user message until the calls are answered.
fn answers_follow(messages: &[u8]) -> bool {
    messages.windows(13).any(|bytes| bytes == b"\"role\":\"tool\"")
}
