//! What a server answers, as text that the model can use.

use rmcp::model::{CallToolResult, ContentBlock, ResourceContents};
use serde_json::Value;

use crate::tools::Error;

/// The text of `result`, or the error that the server says it is.
pub(super) fn read(result: CallToolResult) -> Result<String, Error> {
    let CallToolResult { content, structured_content, is_error, .. } = result;
    let blocks: Vec<String> = content.into_iter().map(block).collect();
    answered(&blocks, structured_content, is_error == Some(true))
}

/// The same of an answer with something in it that this version of the protocol does not know.
pub(super) fn read_unknown(result: &Value) -> Result<String, Error> {
    let Some(content) = result.get("content").and_then(Value::as_array) else {
        let message = "the server's answer is no result of a tool";
        return Err(Error::permanent(message).code("protocol_error"));
    };
    let known = |value: &Value| match serde_json::from_value(value.clone()) {
        Ok(known) => block(known),
        Err(_) => {
            let kind = value.get("type").and_then(Value::as_str).unwrap_or("unknown");
            format!("[content of the type {kind:?}, which cannot be shown]")
        }
    };
    let blocks: Vec<String> = content.iter().map(known).collect();
    let is_error = result.get("isError").and_then(Value::as_bool) == Some(true);
    answered(&blocks, result.get("structuredContent").cloned(), is_error)
}

fn answered(blocks: &[String], structured: Option<Value>, is_error: bool) -> Result<String, Error> {
    let mut text = blocks.join("\n");
    if let Some(value) = structured {
        // Servers repeat it as text for those who know no better.
        let repeats = blocks.iter().any(|block| is_same_json(block, &value));
        if !repeats {
            if !text.is_empty() {
                text.push('\n');
            }
            text.push_str(&value.to_string());
        }
    }
    match is_error {
        true if text.is_empty() => Err(Error::new("the tool failed and does not say why")),
        true => Err(Error::new(text)),
        false => Ok(text),
    }
}

fn is_same_json(text: &str, value: &Value) -> bool {
    serde_json::from_str::<Value>(text).is_ok_and(|said| said == *value)
}

fn block(block: ContentBlock) -> String {
    match block {
        ContentBlock::Text(text) => text.text,
        ContentBlock::Image(image) => described("image", &image.mime_type, &image.data),
        ContentBlock::Audio(audio) => described("audio", &audio.mime_type, &audio.data),
        ContentBlock::Resource(resource) => match resource.resource {
            ResourceContents::TextResourceContents { uri, text, .. } => {
                format!("[resource {uri}]\n{text}")
            }
            ResourceContents::BlobResourceContents { uri, mime_type, blob, .. } => {
                let kind = mime_type.unwrap_or_else(|| "binary".to_owned());
                described(&format!("resource {uri}"), &kind, &blob)
            }
            _ => "[a resource that cannot be shown]".to_owned(),
        },
        ContentBlock::ResourceLink(link) => {
            let about = [link.title, link.description, link.mime_type];
            let about: Vec<String> = about.into_iter().flatten().collect();
            let about = about.join("; ");
            let colon = if about.is_empty() { "" } else { ": " };
            format!("[link to {} ({}){colon}{about}]", link.uri, link.name)
        }
        _ => "[content that cannot be shown]".to_owned(),
    }
}

/// What is not text is described. `data` is base64.
fn described(what: &str, kind: &str, data: &str) -> String {
    let digits = data.trim_end_matches('=').len();
    format!("[{what}, {kind}, {} bytes]", digits * 3 / 4)
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn said(result: Value) -> Result<String, String> {
        let known = serde_json::from_value(result.clone()).expect("it is a result");
        let text = read(known);
        assert_eq!(text, read_unknown(&result), "both readers say the same of what both know");
        text.map_err(|error| error.message().to_owned())
    }

    #[test]
    fn blocks_of_every_kind_are_text_the_model_can_use() {
        let result = json!({"content": [
            {"type": "text", "text": "hello"},
            {"type": "image", "data": "aGVsbG8h", "mimeType": "image/png"},
            {"type": "audio", "data": "aGVsbG8=", "mimeType": "audio/wav"},
            {"type": "resource", "resource": {"uri": "file:///a", "text": "inside"}},
            {"type": "resource", "resource": {"uri": "file:///b", "blob": "aA==", "mimeType": "x/y"}},
            {"type": "resource_link", "uri": "file:///c", "name": "c", "description": "a file"},
        ]});
        assert_eq!(
            said(result).as_deref(),
            Ok("hello\n[image, image/png, 6 bytes]\n[audio, audio/wav, 5 bytes]\n\
                [resource file:///a]\ninside\n[resource file:///b, x/y, 1 bytes]\n\
                [link to file:///c (c): a file]")
        );
    }

    #[test]
    fn structured_content_is_told_once() {
        let repeated = json!({"content": [{"type": "text", "text": "{ \"a\": 1 }"}],
            "structuredContent": {"a": 1}});
        assert_eq!(said(repeated).as_deref(), Ok("{ \"a\": 1 }"));
        let besides = json!({"content": [{"type": "text", "text": "one"}],
            "structuredContent": {"a": 1}});
        assert_eq!(said(besides).as_deref(), Ok("one\n{\"a\":1}"));
        let alone = json!({"content": [], "structuredContent": [1, 2]});
        assert_eq!(said(alone).as_deref(), Ok("[1,2]"));
    }

    #[test]
    fn what_the_server_calls_an_error_is_one_and_reaches_the_model() {
        let result =
            json!({"content": [{"type": "text", "text": "no such file"}], "isError": true});
        assert_eq!(said(result), Err("no such file".to_owned()));
        let silent = json!({"content": [], "isError": true});
        assert_eq!(said(silent), Err("the tool failed and does not say why".to_owned()));
    }

    #[test]
    fn a_block_that_nobody_knows_spoils_no_other() {
        let result = json!({"content": [{"type": "hologram", "beams": 3},
            {"type": "text", "text": "hello"}]});
        let text = "[content of the type \"hologram\", which cannot be shown]\nhello";
        assert_eq!(read_unknown(&result).as_deref(), Ok(text));
        assert!(read_unknown(&json!({"ok": true})).is_err());
    }
}
