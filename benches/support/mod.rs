//! What the benches share: the replies of a scripted model.

use callsheet::wire::{Reply, chat};

/// A reply that asks for so many `calls` of `tool`, each with its ordinal as `n`, and one that answers
/// `text`.
pub fn replies(
    tool: &str,
    calls: usize,
    text: &str,
) -> Result<[Reply; 2], Box<dyn std::error::Error>> {
    let calls = (0..calls).map(|n| {
        serde_json::json!({"id": format!("call_{n}"), "type": "function",
            "function": {"name": tool, "arguments": format!("{{\"n\":{n}}}")}})
    });
    let reply = |message| {
        let body = serde_json::json!({"choices": [{"index": 0, "message": message}]});
        chat::decode_reply(body.to_string().as_bytes())
    };
    let asks = serde_json::json!({"tool_calls": calls.collect::<Vec<_>>()});
    Ok([reply(asks)?, reply(serde_json::json!({"content": text}))?])
}
