//! The tools that a server lists. Each is looked at by itself: one that is malformed costs no other.

use rmcp::model::{
    ClientRequest, JsonObject, ListToolsRequest, PaginatedRequestParams, ServerResult, Tool,
    ToolAnnotations,
};
use rmcp::service::{Peer, RoleClient, ServiceError};
use serde_json::Value;

use super::trouble::chain;

/// Pages of one list: of a server that always has another one no more are asked for.
const MAX_PAGES: usize = 100;

/// Tools of one list: more than anybody offers are not waited for.
const MAX_TOOLS: usize = 10_000;

/// How much of a description a model is shown.
const MAX_DESCRIPTION: usize = 8_000;

/// A tool as its server describes it.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Listed {
    pub name: String,
    pub description: String,
    pub schema: JsonObject,
    pub hints: Option<ToolAnnotations>,
}

/// Asks for all tools. An entry that is none is said by its name, if it has one, and the reason.
pub(super) async fn list(
    peer: &Peer<RoleClient>,
) -> Result<Vec<Result<Listed, (String, String)>>, String> {
    let (mut tools, mut cursor) = (Vec::new(), None);
    for _ in 0..MAX_PAGES {
        let params = PaginatedRequestParams::default().with_cursor(cursor.take());
        let request = ListToolsRequest {
            method: Default::default(),
            params: Some(params),
            extensions: Default::default(),
        };
        let answer = peer.send_request(ClientRequest::ListToolsRequest(request)).await;
        match answer {
            Ok(ServerResult::ListToolsResult(page)) => {
                tools.extend(page.tools.into_iter().map(|tool| Ok(listed(tool))));
                cursor = page.next_cursor;
            }
            // One entry that is no tool, and the page is no list for all that the library knows.
            Ok(ServerResult::CustomResult(page)) => {
                let Some(entries) = page.0.get("tools").and_then(Value::as_array) else {
                    return Err("its list of tools is none".to_owned());
                };
                tools.extend(entries.iter().map(entry));
                cursor = page.0.get("nextCursor").and_then(Value::as_str).map(str::to_owned);
            }
            Ok(_) => return Err("it answers something else than a list of tools".to_owned()),
            Err(ServiceError::McpError(error)) => {
                return Err(format!("it does not list its tools: {}", error.message));
            }
            Err(error) => return Err(chain(&error)),
        }
        if cursor.is_none() {
            return Ok(tools);
        }
        if tools.len() > MAX_TOOLS {
            return Err(format!("it lists more than {MAX_TOOLS} tools"));
        }
    }
    Err(format!("its list of tools has more than {MAX_PAGES} pages"))
}

fn entry(value: &Value) -> Result<Listed, (String, String)> {
    match serde_json::from_value::<Tool>(value.clone()) {
        Ok(tool) => Ok(listed(tool)),
        Err(error) => {
            let name = value.get("name").and_then(Value::as_str).unwrap_or("?");
            Err((name.to_owned(), format!("its description is malformed: {error}")))
        }
    }
}

fn listed(tool: Tool) -> Listed {
    let mut description = tool.description.unwrap_or_default().into_owned();
    if description.is_empty() {
        let title = tool.title.or_else(|| tool.annotations.as_ref()?.title.clone());
        description = title.unwrap_or_default();
    }
    if let Some((end, _)) = description.char_indices().nth(MAX_DESCRIPTION) {
        description.truncate(end);
        description.push('…');
    }
    let schema = (*tool.input_schema).clone();
    Listed { name: tool.name.into_owned(), description, schema, hints: tool.annotations }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn an_entry_that_is_no_tool_says_which_and_why() {
        let good = json!({"name": "a", "inputSchema": {"type": "object"}});
        assert_eq!(entry(&good).map(|tool| tool.name).as_deref(), Ok("a"));
        let (name, why) = entry(&json!({"name": "b", "inputSchema": "none"})).unwrap_err();
        assert!(name == "b" && why.contains("malformed"), "{name}: {why}");
        let (name, _) = entry(&json!(7)).unwrap_err();
        assert_eq!(name, "?");
    }
}
