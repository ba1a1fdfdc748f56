//! The attributes of spans.

use std::sync::Arc;
use std::time::Duration;

use opentelemetry::{Array, KeyValue, StringValue, Value};
use serde_json::json;

use crate::conversation::{AskedCall, CallTimes};
use crate::telemetry::gen_ai as name;
use crate::wire::Usage;

pub(super) fn text(key: &'static str, value: &str) -> KeyValue {
    KeyValue::new(key, value.to_owned())
}

pub(super) fn number(key: &'static str, value: u64) -> KeyValue {
    KeyValue::new(key, i64::try_from(value).unwrap_or(i64::MAX))
}

pub(super) fn seconds(key: &'static str, value: Duration) -> KeyValue {
    KeyValue::new(key, value.as_secs_f64())
}

fn micros(key: &'static str, micros: u64) -> KeyValue {
    seconds(key, Duration::from_micros(micros))
}

pub(super) fn list(key: &'static str, value: &str) -> KeyValue {
    let value = StringValue::from(value.to_owned());
    KeyValue::new(key, Value::Array(Array::String(vec![value])))
}

/// What a provider has counted.
pub(super) fn usage(usage: &Usage) -> impl Iterator<Item = KeyValue> {
    let Usage { input_tokens, output_tokens, cached_tokens, reasoning_tokens, .. } = *usage;
    let parts = [(name::CACHED_TOKENS, cached_tokens), (name::REASONING_TOKENS, reasoning_tokens)];
    let parts = parts.into_iter().filter(|(_, tokens)| *tokens > 0);
    [(name::INPUT_TOKENS, input_tokens), (name::OUTPUT_TOKENS, output_tokens)]
        .into_iter()
        .chain(parts)
        .map(|(key, tokens)| number(key, tokens))
}

/// Where the time of a call went.
pub(super) fn times(times: &CallTimes) -> Vec<KeyValue> {
    let mut attributes = vec![
        micros(name::CALL_RAN, times.ran_us),
        micros(name::CALL_QUEUED, times.queued_us),
        number(name::CALL_ATTEMPTS, times.attempts.into()),
        number(name::WORKER_GENERATION, times.worker_generation.into()),
    ];
    let waits = [
        (name::CALL_STARTUP, times.startup_us),
        (name::CALL_BACKOFF, times.backoff_us),
        (name::CALL_WAITED, times.waited_us),
    ];
    attributes.extend(waits.into_iter().filter(|(_, us)| *us > 0).map(|(key, us)| micros(key, us)));
    if let Some(reused) = times.reused {
        attributes.push(text(name::CALL_REUSED, reused.as_str()));
    }
    attributes
}

/// A message of a person, as the conventions write it down.
pub(super) fn asked(prompt: &str) -> KeyValue {
    let message = json!([{"role": "user", "parts": [{"type": "text", "content": prompt}]}]);
    KeyValue::new(name::INPUT_MESSAGES, message.to_string())
}

/// A message of the model.
pub(super) fn said(said: &str, calls: &[AskedCall], finish: &str) -> KeyValue {
    let is_said = !said.is_empty();
    let said = is_said.then(|| json!({"type": "text", "content": said}));
    let call = |call: &AskedCall| {
        // What is no object is shown as the text that it is.
        let arguments = serde_json::from_str(&call.arguments);
        let arguments = arguments.unwrap_or_else(|_| json!(Arc::clone(&call.arguments)));
        json!({"type": "tool_call", "id": call.id, "name": call.tool, "arguments": arguments})
    };
    let parts: Vec<_> = said.into_iter().chain(calls.iter().map(call)).collect();
    let message = json!([{"role": "assistant", "parts": parts, "finish_reason": finish}]);
    KeyValue::new(name::OUTPUT_MESSAGES, message.to_string())
}
