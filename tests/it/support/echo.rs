//! A model that says back what it is asked.

use callsheet::model::{self, Events, Model, Request};
use callsheet::wire::chat;
use futures_util::stream;

/// Says back the last message.
pub struct Echo;

impl Model for Echo {
    fn name(&self) -> &str {
        "echo"
    }

    fn ask(&self, request: Request<'_>) -> Events {
        let messages = chat::decode_messages(request.messages).expect("messages");
        let text = messages.last().map(|message| message.text.clone()).unwrap_or_default();
        let body = serde_json::json!({"choices": [{"message": {"content": text}}]}).to_string();
        let reply = chat::decode_reply(body.as_bytes()).expect("a reply");
        Box::pin(stream::once(async move { Ok(model::Event::Reply(Box::new(reply))) }))
    }
}
